import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { test } from 'node:test'
import { schemes } from '../support/lonelyps.ts'
import { acknowledged, openFakeBroadcaster, openSocketSubscriber, streamOf } from '../support/lonelyps-broadcaster.ts'
import { startServer } from '../support/server.ts'
import { nextOf, type Pair } from '../support/subscriber.ts'

/* An acknowledgement of a part above 255 cannot be signed with hmac (lonelyps, section 3.4). */

const SIGNED: Pair = ['hmac', 'hmac']
const TOKEN: Pair = ['token', 'token']
const inParts = (n: number): Buffer[] => Array.from({ length: n }, (_, i) => Buffer.from([i >> 8, i & 255]))
const marks = (n: number): (number | 'last')[] => [...Array(n - 1).keys(), 'last']

for (const [pair, n] of [[SIGNED, 257], [TOKEN, 600]] as const) {
  test(`with ${pair[0]}, a message of ${n} parts is taken: its last part is confirmed without a number`, async (t) => {
    const fake = await openFakeBroadcaster(t, { pair })
    const one = await openSocketSubscriber(t, fake, { pair })
    const feed = one.subscribe('a')
    await feed.ready
    const line = await fake.lines.next()
    await line.next('subscribe_exact')
    const parts = inParts(n)
    line.deliver('a', parts)
    assert.deepEqual(await (await nextOf(feed)).bytes(), Buffer.concat(parts))
    assert.deepEqual(await acknowledged(line, n), marks(n))
  })
}

test('with hmac, a message of 258 parts ends the connection with a reason, nothing of it is kept, and the next connection works', async (t) => {
  const fake = await openFakeBroadcaster(t, { pair: SIGNED })
  const faults: unknown[] = []
  const one = await openSocketSubscriber(t, [fake, fake], { pair: SIGNED, failed: (error) => faults.push(error) })
  const missed: string[] = []
  const feed = one.subscribe('a', { onMissed: (topic) => missed.push(topic) })
  await feed.ready
  const line = await fake.lines.next()
  await line.next('subscribe_exact')
  line.deliver('a', inParts(258))
  assert.deepEqual(await acknowledged(line, 256), [...Array(256).keys()])
  assert.deepEqual(await line.closed, { code: 1000 })
  const next = await fake.lines.next()
  await next.next('subscribe_exact')
  next.deliver('a', [Buffer.from('after')])
  assert.equal(await (await nextOf(feed)).text(), 'after')
  assert.deepEqual([missed, faults.map((fault) => (fault as { detail: string }).detail), one.gauges().bytes], [['a'], ['a part past the 256th came, whose acknowledgement cannot be signed'], 5])
})

test('with hmac, a message goes out in 300 parts and more: their answers have room for the number', async (t) => {
  const fake = await openFakeBroadcaster(t, { pair: SIGNED })
  const one = await openSocketSubscriber(t, fake, { pair: SIGNED, websocket: { maxMessageSize: 600 } })
  const body = randomBytes(160_000)
  const count = one.notify('a', body)
  const line = await fake.lines.next()
  const { parts, bytes } = await streamOf(line)
  line.confirmNotify(parts[0] as never, 3)
  assert.deepEqual([await count, bytes.equals(body), parts.length > 300], [{ subscribers: 3 }, true, true])
})

const hubs = [
  [SIGNED, 'in memory', 'is told that it missed it'], [SIGNED, 'on disk', 'is told that it missed it'],
  [TOKEN, 'in memory', 'gets it'], [TOKEN, 'on disk', 'gets it'],
] as const

for (const [pair, place, ends] of hubs) {
  test(`with ${pair[0]}, a hub takes a message of more than 256 parts ${place}, and a subscriber to whom it would be as many ${ends}`, async (t) => {
    const { port } = await startServer(t, { ...schemes(...pair), maxPartBytes: 4_096, spoolAbove: place === 'on disk' ? 65_536 : 10_485_760 })
    const faults: unknown[] = []
    const hub = { url: `ws://127.0.0.1:${port}` } as Parameters<typeof openSocketSubscriber>[1]
    const one = await openSocketSubscriber(t, hub, { pair, websocket: { maxMessageSize: 4_096, compression: false }, failed: (error) => faults.push(error) })
    const feed = one.subscribe('a')
    await feed.ready
    const body = randomBytes(1_200_000)
    await one.notify('a', body)
    if (pair === SIGNED) await assert.rejects(feed.next(), { code: 'gap' })
    else assert.ok((await (await nextOf(feed)).bytes()).equals(body))
    await one.notify('a', 'after')
    assert.equal(await (await nextOf(feed)).text(), 'after')
    assert.deepEqual(faults, [])
  })
}
