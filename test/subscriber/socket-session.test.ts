import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createServer, type AddressInfo, type Socket } from 'node:net'
import { test } from 'node:test'
import { connectSubscriber } from '../../src/subscriber/index.ts'
import { createManualClock } from '../../src/testing/manual-clock.ts'
import { until } from '../support/events.ts'
import { COMBINATIONS } from '../support/lonelyps.ts'
import { openFakeBroadcaster, openSocketSubscriber } from '../support/lonelyps-broadcaster.ts'
import { authOf, nextOf } from '../support/subscriber.ts'

for (const pair of COMBINATIONS) {
  test(`with ${pair.join(' and ')} it subscribes, receives, publishes and unsubscribes, everything proved`, async (t) => {
    const fake = await openFakeBroadcaster(t, { pair })
    const one = await openSocketSubscriber(t, fake, { pair })
    const feed = one.subscribe(['a', 'g/*'])
    const line = await fake.lines.next()
    await feed.ready
    assert.deepEqual([(await line.next('subscribe_exact')).topic.toString(), (await line.next('subscribe_glob')).glob.toString()], ['a', 'g/*'])
    line.deliver('g/1', [Buffer.from('hello')])
    const got = await nextOf(feed)
    assert.deepEqual([got.topic, await got.text()], ['g/1', 'hello'])
    await line.next('confirm_receive')
    const count = one.notify('a', 'out')
    const notify = await line.next('notify')
    line.confirmNotify(notify, 3)
    assert.deepEqual([await count, notify.body.toString()], [{ subscribers: 3 }, 'out'])
    assert.equal(await one.check(), true)
    await feed.close()
    assert.deepEqual([(await line.next('unsubscribe_exact')).topic.toString(), (await line.next('unsubscribe_glob')).glob.toString()], ['a', 'g/*'])
    await one.close()
    assert.deepEqual(await line.closed, { code: 1000 })
  })
}

test('nothing is sent before the first need, and one connection serves all that follow', async (t) => {
  const fake = await openFakeBroadcaster(t)
  const one = await openSocketSubscriber(t, fake)
  assert.deepEqual([fake.count, one.receiveUrl, one.port, await one.check()], [0, undefined, undefined, true])
  await Promise.all([one.subscribe('a').ready, one.subscribe('b').ready])
  await one.subscribe('a').ready
  const line = await fake.lines.next()
  const counts = [one.notify('x', '1'), one.notify('x', '2')]
  assert.deepEqual((await line.inbox.take(4)).map(({ type }) => type), ['subscribe_exact', 'subscribe_exact', 'notify', 'notify'])
  const refused = Promise.all(counts.map((count) => assert.rejects(count, { code: 'stopped' })))
  await one.close()
  await refused
  assert.equal(fake.count, 1)
})

test('what it offers is what its options say, in the form that they say', async (t) => {
  const fake = await openFakeBroadcaster(t)
  const dictionaries = { 258: { bytes: Buffer.from('some words'), level: 3 } }
  const cases = [
    [{}, [true, true, 0]],
    [{ training: false }, [true, false, 0]],
    [{ compression: false, dictionaries, initialDictionary: 258 }, [false, false, 0]],
    [{ headers: 'expanded', dictionaries, initialDictionary: 258 }, [true, true, 258]],
  ] as const
  for (const [websocket, offered] of cases) {
    const one = await openSocketSubscriber(t, fake, { websocket })
    const feed = one.subscribe('a')
    const line = await fake.lines.next()
    const { configured: { zstd, training, initialDictionary } } = line
    assert.deepEqual([zstd, training, initialDictionary], offered)
    await feed.ready
    const raw = new Promise<Buffer>((resolve) => void line.ws.once('message', resolve))
    await feed.close()
    assert.equal((await raw).readUInt16BE(0) & 1, 'headers' in websocket ? 0 : 1)
  }
})

test('what cannot be meant is refused', async () => {
  const broadcasters = ['ws://127.0.0.1:1']
  for (const [options, detail] of [
    [{ broadcasters: [...broadcasters, 'http://127.0.0.1:1'] }, /all are http.* or all are ws/],
    [{ broadcasters, receive: { port: 0 } }, /^receive: .* no port/],
    [{ broadcasters: ['ws://user:secret@host'] }, /a base url is/],
    [{ broadcasters: ['wss://host/?x'] }, /a base url is/],
    [{ broadcasters, websocket: { dictionaries: { 1: { bytes: Buffer.alloc(8), level: 3 } } } }, /1 is no id/],
    [{ broadcasters, websocket: { initialDictionary: 2 } }, /2 is not among/],
    [{ broadcasters, websocket: { maxMessageSize: 0 } }, /maxMessageSize/],
    [{ broadcasters, bounds: { notifies: 0 } }, /notifies/],
  ] as const) {
    await assert.rejects(connectSubscriber(options), (error: { code: string; detail: string }) => error.code === 'config_invalid' && detail.test(error.detail))
  }
})

test('a feed that closes before it stands, and one that opens after it, each get what is theirs', async (t) => {
  const fake = await openFakeBroadcaster(t, { manual: true })
  const one = await openSocketSubscriber(t, fake)
  const first = one.subscribe('a')
  const line = await fake.lines.next()
  const asked = [await line.next('subscribe_exact')]
  const closed = first.close()
  const second = one.subscribe('a')
  let isReady = false
  void second.ready.then(() => (isReady = true))
  asked.push(await line.inbox.next() as never, await line.inbox.next() as never)
  line.confirm(asked[0] as never)
  line.confirm(asked[1] as never)
  await closed
  assert.equal(isReady, false)
  assert.equal(await one.check(), false)
  line.confirm(asked[2] as never)
  await second.ready
  assert.equal(await one.check(), true)
})

test('a ping goes out after ten seconds without data, and five seconds without an answer end the connection', async (t) => {
  const fake = await openFakeBroadcaster(t)
  const clock = createManualClock(Date.now())
  const one = await openSocketSubscriber(t, [fake, fake], { clock })
  const feed = one.subscribe('a')
  await feed.ready
  const line = await fake.lines.next()
  await line.next('subscribe_exact')
  let pings = 0
  line.ws.on('ping', () => pings++)
  clock.advance(9_999)
  clock.advance(1)
  await until(() => pings === 1, 'the first ping')
  // Any data will do, and an answer comes behind the pong.
  line.deliver('a', [Buffer.from('1')])
  await nextOf(feed)
  clock.advance(5_000)
  const count = one.notify('a', '')
  await line.next('confirm_receive')
  line.confirmNotify(await line.next('notify'), 1)
  await count
  // From here on nobody answers.
  line.ws.pause()
  clock.advance(10_000)
  clock.advance(5_000)
  const next = await fake.lines.next()
  assert.equal((await next.next('subscribe_exact')).topic.toString(), 'a')
  assert.equal(fake.count, 2)
})

test('what is not confirmed within five seconds has failed', async (t) => {
  const fake = await openFakeBroadcaster(t)
  fake.refuse = 'silently'
  const clock = createManualClock(Date.now())
  const one = await openSocketSubscriber(t, fake, { clock, retries: 1 })
  const count = one.notify('a', '')
  // Only now is it past the handshake, which is what it says.
  await fake.configured.next()
  clock.advance(4_999)
  assert.equal(fake.count, 1)
  clock.advance(1)
  await assert.rejects(count, { code: 'unreachable', detail: 'it did not open in time' })
})

test('a broadcaster that takes the connection and never answers the handshake has failed after five seconds', async (t) => {
  const server = createServer().listen(0, '127.0.0.1')
  t.after(() => server.close())
  await once(server, 'listening')
  const clock = createManualClock(Date.now())
  const broadcasters = [`ws://127.0.0.1:${(server.address() as AddressInfo).port}`]
  const one = await connectSubscriber({ broadcasters, auth: authOf(['none', 'none']), clock, retries: 1 })
  t.after(() => one.close())
  const failed = assert.rejects(one.notify('a', ''), { code: 'unreachable' })
  const [socket] = await once(server, 'connection') as [Socket]
  t.after(() => socket.destroy())
  clock.advance(5_000)
  await failed
})
