import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { readdirSync } from 'node:fs'
import { test } from 'node:test'
import { temporaryFolder } from '../support/certificates.ts'
import { until } from '../support/events.ts'
import { acknowledged, openFakeBroadcaster, openSocketSubscriber } from '../support/lonelyps-broadcaster.ts'
import { nextOf } from '../support/subscriber.ts'

const pair = ['hmac', 'hmac'] as const

test('a message comes once for a feed, however many of its targets match, and to every feed that wants it', async (t) => {
  const fake = await openFakeBroadcaster(t)
  const one = await openSocketSubscriber(t, fake)
  const feeds = [one.subscribe(['a/1', 'a/*', '*']), one.subscribe('a/*'), one.subscribe('b')]
  await Promise.all(feeds.map(({ ready }) => ready))
  const line = await fake.lines.next()
  for (const [topic, body] of [['a/1', '1'], ['b', '2'], ['a/2', '3']] as const) line.deliver(topic, [Buffer.from(body)])
  const texts: string[][] = []
  for (const [i, n] of [3, 2, 1].entries()) {
    texts.push([])
    for (let j = 0; j < n; j++) texts[i]?.push(await (await nextOf(feeds[i] as never)).text())
  }
  assert.deepEqual(texts, [['1', '2', '3'], ['1', '3'], ['2']])
})

test('parts are acknowledged one by one in order, in memory and on disk, and what nobody wants any more, too', async (t) => {
  const spoolFolder = temporaryFolder(t)
  const fake = await openFakeBroadcaster(t, { pair })
  const one = await openSocketSubscriber(t, fake, { pair, spoolFolder, spoolAbove: 1_000 })
  const feed = one.subscribe('a')
  await feed.ready
  const line = await fake.lines.next()
  await line.next('subscribe_exact')
  const large = [randomBytes(900), randomBytes(0), randomBytes(70_000), randomBytes(1)]
  const small = [randomBytes(400), randomBytes(500)]
  line.deliver('a', large)
  line.deliver('nobody', [Buffer.from('x')])
  line.deliver('a', small)
  line.deliver('a', [Buffer.alloc(0)])
  assert.deepEqual(await acknowledged(line, 8), [0, 1, 2, 'last', 'last', 0, 'last', 'last'])
  assert.deepEqual(one.gauges(), { waiting: 3, bytes: 900, spoolBytes: 70_901 })
  assert.deepEqual(await (await nextOf(feed)).bytes(), Buffer.concat(large))
  assert.deepEqual(await (await nextOf(feed)).bytes(), Buffer.concat(small))
  assert.deepEqual([(await nextOf(feed)).size, one.gauges()], [0, { waiting: 1, bytes: 0, spoolBytes: 0 }])
  await feed.close()
  assert.deepEqual([one.gauges(), readdirSync(spoolFolder)], [{ waiting: 0, bytes: 0, spoolBytes: 0 }, []])
})

test('a feed that nobody reads holds up its broadcaster, and what waits comes in order when it is read', async (t) => {
  const fake = await openFakeBroadcaster(t)
  const one = await openSocketSubscriber(t, fake, { bounds: { waiting: 2 } })
  const feed = one.subscribe('a')
  await feed.ready
  const line = await fake.lines.next()
  await line.next('subscribe_exact')
  const n = 600
  for (let i = 0; i < n; i++) line.deliver('a', [Buffer.from(String(i))])
  assert.deepEqual(await acknowledged(line, 2), ['last', 'last'])
  assert.equal(one.gauges().waiting, 2)
  // Behind whatever would have been acknowledged.
  const count = one.notify('x', '')
  line.confirmNotify(await line.next('notify'), 0)
  for (let i = 0; i < n; i++) assert.equal(await (await nextOf(feed)).text(), String(i))
  await acknowledged(line, n - 2)
  assert.deepEqual(await count, { subscribers: 0 })
})

test('bytes in memory are bounded as well, and one message that is larger than that still comes', async (t) => {
  const fake = await openFakeBroadcaster(t)
  const one = await openSocketSubscriber(t, fake, { bounds: { waitingBytes: 100 } })
  const feed = one.subscribe('a')
  await feed.ready
  const line = await fake.lines.next()
  await line.next('subscribe_exact')
  for (const size of [60, 60, 200, 40]) line.deliver('a', [Buffer.alloc(size / 2), Buffer.alloc(size / 2)])
  assert.deepEqual(await acknowledged(line, 2), [0, 'last'])
  assert.equal(one.gauges().bytes, 60)
  for (const size of [60, 60, 200, 40]) assert.equal((await nextOf(feed)).size, size)
  assert.deepEqual(await acknowledged(line, 6), [0, 'last', 0, 'last', 0, 'last'])
})

test('a message for which there is no room on disk is missed, acknowledged, and the next one comes', async (t) => {
  const fake = await openFakeBroadcaster(t)
  const told: string[] = []
  const one = await openSocketSubscriber(t, fake, { spoolAbove: 10, bounds: { spoolBytes: 1_000 } })
  const feed = one.subscribe('*', { onMissed: (topic) => told.push(topic) })
  await feed.ready
  const line = await fake.lines.next()
  await line.next('subscribe_glob')
  line.deliver('a', [randomBytes(600), randomBytes(600)])
  line.deliver('a', [Buffer.from('1')])
  assert.equal(await (await nextOf(feed)).text(), '1')
  assert.deepEqual([told, await acknowledged(line, 3), one.gauges().spoolBytes], [['a'], [0, 'last', 'last'], 0])
})

test('a connection that ends in the middle of a message leaves nothing of it', async (t) => {
  const fake = await openFakeBroadcaster(t)
  const one = await openSocketSubscriber(t, [fake, fake], { spoolAbove: 10, bounds: { waiting: 1 } })
  const feed = one.subscribe('a', { onMissed() {} })
  await feed.ready
  const line = await fake.lines.next()
  await line.next('subscribe_exact')
  const half = randomBytes(600)
  const head = { topic: Buffer.from('a'), compressor: 0, compressedLength: 1_200n, decompressedLength: 1_200n, sha512: Buffer.alloc(64) }
  line.say({ type: 'receive_stream', identifier: half.subarray(0, 8), part: 0, head, body: half })
  await line.next('continue_receive')
  assert.deepEqual(one.gauges(), { waiting: 1, bytes: 0, spoolBytes: 600 })
  line.ws.terminate()
  const next = await fake.lines.next()
  await until(() => one.gauges().spoolBytes === 0 && one.gauges().waiting === 0, 'nothing of it')
  next.deliver('a', [Buffer.from('1')])
  assert.equal(await (await nextOf(feed)).text(), '1')
})

test('MISSED comes to the feeds that want the topic, after what came before it', async (t) => {
  const fake = await openFakeBroadcaster(t, { pair })
  const one = await openSocketSubscriber(t, fake, { pair })
  const order: string[] = []
  const told = one.subscribe('a', { onMissed: (topic) => order.push(`missed ${topic}`) })
  const thrown = one.subscribe('*')
  const other = one.subscribe('b', { onMissed: () => order.push('wrong') })
  await Promise.all([told.ready, thrown.ready, other.ready])
  const line = await fake.lines.next()
  line.deliver('a', [randomBytes(70_000), randomBytes(70_000)])
  line.say({ type: 'missed', topic: Buffer.from('a') })
  line.deliver('b', [Buffer.from('1')])
  await nextOf(told)
  order.push('message')
  await nextOf(thrown)
  await assert.rejects(thrown.next(), { code: 'gap', detail: 'something on "a" was missed' })
  assert.equal((await nextOf(thrown)).topic, 'b')
  await nextOf(other)
  assert.deepEqual(order.sort(), ['message', 'missed a'])
})
