import assert from 'node:assert/strict'
import { once } from 'node:events'
import { connect } from 'node:net'
import { test, type TestContext } from 'node:test'
import { deflateSync } from 'node:zlib'
import { subscribeFrame } from '../../src/protocol/pony-express/from-taker.ts'
import { createRecorder } from '../../src/testing/recorders.ts'
import { interestIn } from '../../src/core/interest.ts'
import { topicFromText } from '../../src/core/topic.ts'
import { until } from '../support/events.ts'
import { connectTaker, startLinkDaemon, type LinkDaemon, type LinkTaker } from '../support/links.ts'
import { fuzzTakers } from '../links/fuzz-takers.ts'

const hex = (text: string): Buffer => Buffer.from(text.replaceAll(' ', ''), 'hex')
const frame = (payload: string): Buffer => {
  const bytes = hex(payload)
  const head = hex('07440745 00000000')
  head.writeUInt32BE(bytes.length, 4)
  return Buffer.concat([head, bytes])
}
const SUBSCRIBE = '83 68 02 77 09 737562736372696265'

/** A term that says it inflates to more than it does, or to very much. */
function compressed(declared: number, content: Buffer): Buffer {
  const head = hex('83 50 00000000')
  head.writeUInt32BE(declared, 2)
  return Buffer.concat([head, deflateSync(content, { level: 9 })])
}
function framed(payload: Buffer): Buffer {
  return frame(payload.toString('hex'))
}

/** A daemon, and a taker that behaves, through whom it is seen that nobody is disturbed. */
async function world(t: TestContext, limits: NonNullable<Parameters<typeof startLinkDaemon>[1]>['limits'] = {}): Promise<{ daemon: LinkDaemon; good: LinkTaker; undisturbed: () => Promise<void> }> {
  const daemon = await startLinkDaemon(t, { limits })
  const good = await connectTaker(t, daemon.port)
  await good.wish({ topics: ['good'] })
  let n = 0
  return {
    daemon, good,
    async undisturbed() {
      await daemon.publish('good', `${++n}`)
      assert.equal(await good.body(), `${n}`)
    },
  }
}

const bombs = deflateSync(Buffer.alloc(50_000_000, 'a'), { level: 9 })
const bad: readonly (readonly [string, Buffer, string])[] = [
  ['a wrong cookie', hex('07440746'), 'bad_frame'],
  ['one wrong byte', hex('08'), 'bad_frame'],
  ['HTTP', Buffer.from('GET / HTTP/1.1\r\n\r\n'), 'bad_frame'],
  ['a frame of size 0', frame(''), 'bad_term'],
  ['a frame of 4 GiB', hex('07440745 ffffffff'), 'too_large'],
  ['a frame above the bound', hex('07440745 00100001'), 'too_large'],
  ['a term that inflates to 50 MB', framed(Buffer.concat([hex('83 50 02faf080'), bombs])), 'too_large'],
  ['a term that inflates to more than it says', framed(compressed(20, Buffer.concat([hex(SUBSCRIBE.slice(3)), hex('6d 000f4240'), Buffer.alloc(1_000_000)]))), 'bad_term'],
  ['a term that inflates to less than it says', framed(compressed(500, hex(`${SUBSCRIBE.slice(3)} 6d 00000001 74`))), 'bad_term'],
  ['a million lists in one another', framed(Buffer.concat([hex(SUBSCRIBE), Buffer.alloc(1_000_000, hex('6c0000000161')), hex('6a')])), 'bad_term'],
  ['a tuple of four thousand million', frame('83 69 ffffffff'), 'bad_term'],
  ['a topic that is an atom', frame(`${SUBSCRIBE} 77 01 74`), 'bad_term'],
  ['a topic that is nil', frame(`${SUBSCRIBE} 77 03 6e696c`), 'bad_term'],
  ['a topic that is a list', frame(`${SUBSCRIBE} 6b 0001 74`), 'bad_term'],
  ['a broadcast', frame('83 68 02 77 06 707562737562 6d 00000001 74'), 'bad_term'],
  ['an atom that is not known', frame('83 77 0e 7a7a5f6e6f745f7965745f393134'), 'bad_term'],
  ['a function', frame('83 71 77 05 6c69737473 77 03 6d6170 61 02'), 'bad_term'],
  ['the word of a giver', frame('83 68 03 77 05 616c697665 6d 00000001 65 61 01'), 'bad_term'],
]

test('whatever is no frame, or no term of a taker, ends that connection in order, and nobody else notices', async (t) => {
  const { daemon, undisturbed } = await world(t)
  for (const [what, bytes, why] of bad) {
    const taker = await connectTaker(t, daemon.port)
    taker.send(bytes)
    assert.equal(await taker.ended, 'orderly', what)
    assert.deepEqual(daemon.refusals.splice(0), [why], what)
    assert.deepEqual(taker.taken(), [], what)
    await undisturbed()
  }
  assert.equal(daemon.daemon.takers, 1)
})

test('a good subscription in front of junk counts until the junk comes', async (t) => {
  const { daemon, undisturbed } = await world(t)
  const taker = await connectTaker(t, daemon.port)
  taker.subscribe('a')
  await daemon.subscribed(2)
  await daemon.publish('a', 'one')
  assert.equal(await taker.body(), 'one')
  taker.send(Buffer.from('junk'))
  assert.equal(await taker.ended, 'orderly')
  await daemon.subscribed(1)
  await undisturbed()
})

test('two frames in one segment, and one in a hundred, are read as they were meant', async (t) => {
  const { daemon } = await world(t)
  const [glued, cut] = [await connectTaker(t, daemon.port), await connectTaker(t, daemon.port)]
  cut.socket.setNoDelay(true)
  glued.send(Buffer.concat([subscribeFrame(Buffer.from('a')), subscribeFrame(Buffer.from('b'))]))
  for (const byte of subscribeFrame(Buffer.alloc(73, 'c'))) await new Promise<void>((resolve) => cut.socket.write(Buffer.of(byte), () => resolve()))
  await daemon.subscribed(4)
  for (const topic of ['a', 'b', 'c'.repeat(73)]) await daemon.publish(topic, topic)
  assert.deepEqual(await glued.bodies(2), ['a', 'b'])
  assert.equal(await cut.body(), 'c'.repeat(73))
})

test('linkRequestTimeout: half a frame and silence ends when its time is up, and so does a taker that asks for nothing', async (t) => {
  const { daemon, undisturbed } = await world(t, { linkRequestTimeout: 150 })
  const [half, silent, later, dripping] = [await connectTaker(t, daemon.port), await connectTaker(t, daemon.port), await connectTaker(t, daemon.port), await connectTaker(t, daemon.port)]
  half.send(subscribeFrame(Buffer.from('a')).subarray(0, 20))
  later.send(Buffer.concat([subscribeFrame(Buffer.from('a')), hex('07')]))
  // One that goes on and on does not put off its end.
  dripping.send(Buffer.concat([subscribeFrame(Buffer.from('b')), hex('07440745 000fffff')]))
  const drip = setInterval(() => dripping.send(hex('83')), 20)
  t.after(() => clearInterval(drip))
  for (const taker of [half, silent, later, dripping]) assert.equal(await taker.ended, 'orderly')
  assert.deepEqual(daemon.refusals, Array(4).fill('timeout'))
  await undisturbed()
})

test('maxLinkKeepalives: keepalives past their number a minute are a flood, and end it', async (t) => {
  const { daemon, good, undisturbed } = await world(t, { maxLinkKeepalives: 20 })
  const taker = await connectTaker(t, daemon.port)
  taker.subscribe('a')
  for (let i = 0; i < 20; i++) taker.keepalive()
  await daemon.subscribed(2)
  await daemon.publish('a', 'still here')
  assert.equal(await taker.body(), 'still here')
  taker.keepalive()
  assert.equal(await taker.ended, 'orderly')
  assert.deepEqual(daemon.refusals, ['too_many_keepalives'])
  for (let i = 0; i < 20; i++) good.keepalive()
  for (let i = 0; i < 20; i++) assert.equal((await good.next()).kind, 'alive')
  await undisturbed()
})

test('maxLinkTopics: more topics than there may be are refused, in one wish and one by one', async (t) => {
  const { daemon, undisturbed } = await world(t, { maxLinkTopics: 3 })
  const taker = await connectTaker(t, daemon.port)
  assert.deepEqual(await taker.wish({ topics: ['a', 'b'], patterns: ['c*', 'd*'] }), { kind: 'refused', why: 'too_many_topics' })
  const old = await connectTaker(t, daemon.port)
  for (const topic of ['a', 'b', 'c']) old.subscribe(topic)
  await daemon.subscribed(4)
  old.subscribe('d')
  assert.equal(await old.ended, 'orderly')
  const many = await connectTaker(t, daemon.port)
  many.subscribe('a')
  await daemon.subscribed(2)
  many.send(subscribeFrame(Buffer.from('a'), { hub: '', topics: ['a', 'b', 'c', 'd'].map((one) => Buffer.from(one)), patterns: [], after: undefined }))
  assert.equal(await many.ended, 'orderly')
  assert.deepEqual(many.taken(), [])
  await undisturbed()
})

test('the same topic asked for again and again does not make a message as many times larger', async (t) => {
  const { daemon, undisturbed } = await world(t)
  const taker = await connectTaker(t, daemon.port)
  for (let i = 0; i < 9; i++) taker.subscribe('a')
  assert.equal(await taker.ended, 'orderly')
  assert.deepEqual(daemon.refusals, ['too_many_topics'])
  await undisturbed()
})

test('maxLinkPendingBytes: a taker that does not take is let go past what may wait for it, and slows nobody', async (t) => {
  const { daemon, undisturbed } = await world(t, { maxLinkPendingBytes: 100_000, maxPendingBytes: 1_000_000_000, writeTimeout: 200 })
  const slow = [await connectTaker(t, daemon.port), await connectTaker(t, daemon.port)]
  slow[0]?.subscribe('a')
  await slow[1]?.wish({ patterns: ['a*'] })
  await daemon.subscribed(3)
  for (const { socket } of slow) socket.pause()
  const body = 'x'.repeat(100_000)
  await until(async () => {
    await daemon.publish('a', body)
    return daemon.counted.slow.length === 2
  }, 'both were too slow')
  assert.deepEqual(daemon.counted.slow.toSorted(), ['a', 'a*'])
  await daemon.subscribed(1)
  await undisturbed()
  await until(() => daemon.daemon.takers === 1, 'both are gone')
  assert.deepEqual(daemon.refusals.toSorted(), ['slow_consumer', 'slow_consumer'])
})

test('a taker that takes nothing of what is little ends when its time is up', async (t) => {
  const { daemon, undisturbed } = await world(t, { writeTimeout: 150 })
  const taker = await connectTaker(t, daemon.port)
  await taker.wish({ topics: ['a'] })
  taker.socket.pause()
  const body = 'x'.repeat(1_000_000)
  // More than the system takes on both ends, less than may wait.
  for (let i = 0; i < 12; i++) await daemon.publish('a', body)
  await until(() => daemon.daemon.takers === 1, 'it is gone')
  assert.deepEqual(daemon.refusals, ['stalled'])
  await undisturbed()
})

test('a taker that was sent away and does not go is cut off', async (t) => {
  const { daemon } = await world(t)
  const socket = connect({ port: daemon.port, host: '127.0.0.1', allowHalfOpen: true })
  t.after(() => socket.destroy())
  socket.on('error', () => {})
  socket.resume()
  socket.write('junk')
  await once(socket, 'end')
  assert.equal(daemon.daemon.takers, 2)
  await until(() => daemon.daemon.takers === 1, 'it is cut off', 5_000)
})

test('maxLinks: more links than there may be, in all and from one address, are refused at the door', async (t) => {
  const daemon = await startLinkDaemon(t, { limits: { maxLinks: 2 } })
  const here = [await connectTaker(t, daemon.port), await connectTaker(t, daemon.port)]
  const third = await connectTaker(t, daemon.port)
  await third.ended
  assert.deepEqual(daemon.refusals, ['too_many_connections'])
  here[0]?.socket.destroy()
  await until(() => daemon.daemon.takers === 1, 'one has left')
  assert.equal((await (await connectTaker(t, daemon.port)).wish({ topics: ['a'] })).kind, 'ready')
})

test('whatever a taker sends, nothing is published', async (t) => {
  const daemon = await startLinkDaemon(t)
  const everything = createRecorder()
  daemon.hub.join(interestIn(['*']), everything)
  const inputs = await fuzzTakers({ inputs: 3_000, seed: 1, port: daemon.port })
  assert.equal(inputs, 3_000)
  await until(() => daemon.daemon.takers === 0, 'all are gone')
  assert.deepEqual(everything.arrivals, [])
  assert.equal(daemon.log.head, 0)
  assert.equal(daemon.hub.topics + daemon.hub.patterns, 1)
  assert.equal(daemon.hub.audience(topicFromText('a')), 1)
})
