import assert from 'node:assert/strict'
import { createServer } from 'node:net'
import { test } from 'node:test'
import { WaystationError } from '../../src/core/errors.ts'
import { createAdmission } from '../../src/http/admission.ts'
import { createLinkDaemon } from '../../src/links/daemon.ts'
import { COMMON_ATOMS } from '../../src/protocol/etf/term.ts'
import { subscribeFrame } from '../../src/protocol/pony-express/from-taker.ts'
import { interestIn } from '../../src/core/interest.ts'
import { createMemoryLog } from '../../src/core/log.ts'
import type { Lost, Message } from '../../src/core/message.ts'
import { createSeededRandom } from '../../src/testing/seeded-random.ts'
import { topicFromText } from '../../src/core/topic.ts'
import { connectTaker, startLinkDaemon } from '../support/links.ts'
import { transportKit } from '../support/transport-port.ts'
import { until } from '../support/events.ts'

const hex = (text: string): Buffer => Buffer.from(text.replaceAll(' ', ''), 'hex')
const term = (text: string) => ({ kind: 'pubsub', term: hex(text) })

test('a taker of PonyExpress gets its topic and nothing else: text and bytes as binaries, JSON and terms as terms', async (t) => {
  const daemon = await startLinkDaemon(t, { atoms: ['ping'] })
  const taker = await connectTaker(t, daemon.port)
  taker.subscribe('my_topic')
  await daemon.subscribed(1)
  daemon.put({ topic: 'my_topic', body: Buffer.from('my_message') })
  daemon.put({ topic: 'other', body: Buffer.from('not for it') })
  daemon.put({ topic: 'my_topic', body: hex('ff00'), contentType: 'application/octet-stream', text: false })
  daemon.put({ topic: 'my_topic', body: Buffer.from('[1]'), contentType: 'application/json' })
  daemon.put({ topic: 'my_topic', body: Buffer.from('"ping"'), contentType: 'application/json', term: hex('83 77 04 70696e67') })
  daemon.put({ topic: 'my_topic', body: hex('83 67 00'), contentType: 'application/x-erlang-term', text: false, term: hex('83 77 04 70696e67') })
  daemon.put({ topic: 'my_topic' })
  assert.equal(await taker.body(), 'my_message')
  assert.deepEqual(await taker.next(), term('83 6d 00000002 ff00'))
  assert.deepEqual(await taker.next(), term('83 6b 0001 01'))
  assert.deepEqual(await taker.next(), term('83 77 04 70696e67'))
  assert.deepEqual(await taker.next(), term('83 77 04 70696e67'))
  assert.equal(await taker.body(), '')
  assert.deepEqual(daemon.refusals, [])
})

test('a keepalive of a taker of PonyExpress is not answered, and disturbs nothing', async (t) => {
  const daemon = await startLinkDaemon(t)
  const taker = await connectTaker(t, daemon.port)
  taker.keepalive()
  taker.subscribe('a')
  taker.keepalive()
  await daemon.subscribed(1)
  await daemon.publish('a', 'one')
  assert.equal(await taker.body(), 'one')
  assert.deepEqual(taker.taken(), [])
})

test('a second subscription is honoured: both topics come unlabelled in the order of publication, and what was asked for twice comes twice', async (t) => {
  const daemon = await startLinkDaemon(t)
  const taker = await connectTaker(t, daemon.port)
  taker.subscribe('a')
  await daemon.subscribed(1)
  await daemon.publish('a', 'a1')
  taker.subscribe('b')
  await daemon.subscribed(2)
  for (const text of ['a2', 'b1', 'a3', 'b2', 'b3', 'a4']) await daemon.publish(text[0] as string, text)
  assert.deepEqual(await taker.bodies(7), ['a1', 'a2', 'b1', 'a3', 'b2', 'b3', 'a4'])
  taker.subscribe('b')
  taker.subscribe('c')
  await daemon.subscribed(3)
  for (const text of ['c1', 'b4', 'a5']) await daemon.publish(text[0] as string, text)
  assert.deepEqual(await taker.bodies(4), ['c1', 'b4', 'b4', 'a5'])
  taker.socket.destroy()
  await daemon.subscribed(0)
})

test('the same subscription in one write is two, and nothing of the turn it comes in is lost', async (t) => {
  const daemon = await startLinkDaemon(t)
  const taker = await connectTaker(t, daemon.port)
  taker.send(Buffer.concat([subscribeFrame(Buffer.from('a')), subscribeFrame(Buffer.from('a'))]))
  await daemon.subscribed(1)
  await daemon.publish('a', '1')
  await daemon.publish('a', '2')
  assert.deepEqual(await taker.bodies(4), ['1', '1', '2', '2'])
})

test('what a taker gave is not given back to it: one of PonyExpress is known by its address, a Waystation by its log', async (t) => {
  const daemon = await startLinkDaemon(t)
  const [old, young] = [await connectTaker(t, daemon.port), await connectTaker(t, daemon.port)]
  old.subscribe('a')
  await daemon.subscribed(1)
  await young.wish({ hub: 'edge', topics: ['a'] })
  daemon.put({ topic: 'a', body: Buffer.from('from the old'), via: ['ip:127.0.0.1'] })
  daemon.put({ topic: 'a', body: Buffer.from('from the young'), via: ['other', 'edge'] })
  daemon.put({ topic: 'a', body: Buffer.from('from elsewhere'), via: ['other'] })
  assert.deepEqual(await old.bodies(2), ['from the young', 'from elsewhere'])
  assert.deepEqual(await young.bodies(2), ['from the old', 'from elsewhere'])
})

test('a Waystation gets many topics and globs on one connection, each message once, with its topic, type, place and way', async (t) => {
  const daemon = await startLinkDaemon(t)
  await daemon.publish('news/eu', 'before')
  const taker = await connectTaker(t, daemon.port)
  const { epoch } = daemon.log
  assert.deepEqual(await taker.wish({ topics: ['prices', hex('ff00'), 'prices'], patterns: ['news/*', '*/eu', 'one'] }), { kind: 'ready', at: { epoch, offset: 1 }, hub: epoch })
  daemon.put({ topic: 'news/eu', body: Buffer.from('hello'), contentType: 'text/html', via: ['x'] })
  daemon.put({ topic: 'other' })
  daemon.put({ topic: 'one', body: Buffer.from('{"a":1}'), contentType: 'application/json' })
  daemon.put({ topic: 'one', body: Buffer.from('"ping"'), contentType: 'application/json', term: hex('83 77 04 70696e67') })
  daemon.put({ topic: 'one', body: hex('00'), contentType: 'application/x-erlang-term', text: false })
  void daemon.hub.publish({ topic: '\udcff\u0000' as never, body: hex('01'), contentType: 'x/y', text: false }, { kind: 'embedded', local: true, address: '' })
  const time = daemon.clock.now()
  const all = [await taker.next(), await taker.next(), await taker.next(), await taker.next(), await taker.next()]
  assert.deepEqual(all, [
    { kind: 'message', offset: 2, topic: Buffer.from('news/eu'), contentType: 'text/html', time, via: ['x'], body: Buffer.from('hello') },
    { kind: 'message', offset: 4, topic: Buffer.from('one'), contentType: 'application/json', time, via: [], body: Buffer.from('{"a":1}') },
    { kind: 'message', offset: 5, topic: Buffer.from('one'), contentType: 'application/x-erlang-term', time, via: [], body: hex('83 77 04 70696e67') },
    { kind: 'message', offset: 6, topic: Buffer.from('one'), contentType: 'application/octet-stream', time, via: [], body: hex('00') },
    { kind: 'message', offset: 7, topic: hex('ff00'), contentType: 'x/y', time, via: [], body: hex('01') },
  ])
  taker.keepalive()
  assert.deepEqual(await taker.next(), { kind: 'alive', at: { epoch, offset: 7 } })
})

const kept = [{ topics: 'news/*', keep: { messages: 5, ms: 1_000_000 } }]

test('a Waystation that comes back gets what was kept, in order and once, and then what is new', async (t) => {
  const daemon = await startLinkDaemon(t, { rules: kept })
  const { epoch } = daemon.log
  for (let i = 1; i <= 4; i++) await daemon.publish('news/eu', `${i}`)
  const taker = await connectTaker(t, daemon.port)
  assert.deepEqual(await taker.wish({ patterns: ['news/*'], after: { epoch, offset: 1 } }), { kind: 'ready', at: { epoch, offset: 1 }, hub: epoch })
  await daemon.publish('news/us', '5')
  assert.deepEqual(await taker.bodies(4), ['2', '3', '4', '5'])
  taker.keepalive()
  assert.deepEqual(await taker.next(), { kind: 'alive', at: { epoch, offset: 5 } })
  await daemon.publish('news/us', '6')
  assert.equal(await taker.body(), '6')
})

test('what is no longer kept is a gap of that part of what the taker asked for, and the rest comes in full', async (t) => {
  const daemon = await startLinkDaemon(t, { rules: [{ topics: '*', keep: { messages: 5, ms: 1_000_000 } }] })
  const { epoch } = daemon.log
  for (let i = 1; i <= 9; i++) await daemon.publish('news/eu', `${i}`)
  await daemon.publish('prices', 'kept')
  const taker = await connectTaker(t, daemon.port)
  await taker.wish({ topics: ['prices'], patterns: ['news/*'], after: { epoch, offset: 1 } })
  assert.deepEqual(await taker.next(), { kind: 'gap', to: { epoch, offset: 1 }, topics: [], patterns: ['news/*'], via: [] })
  assert.equal(await taker.body(), 'kept')
  await daemon.publish('news/eu', '10')
  assert.equal(await taker.body(), '10')
  assert.equal(daemon.counted.gaps, 1)
})

test('a place of another log, or one that was never reached, is answered with the present', async (t) => {
  const daemon = await startLinkDaemon(t, { rules: kept })
  const { epoch } = daemon.log
  await daemon.publish('news/eu', '1')
  for (const after of [{ epoch: 'another', offset: 1 }, { epoch, offset: 2 }]) {
    const taker = await connectTaker(t, daemon.port)
    assert.deepEqual(await taker.wish({ patterns: ['news/*'], after }), { kind: 'ready', at: { epoch, offset: 1 }, hub: epoch })
  }
})

test('a keepalive during the catching up says no more than what was sent', async (t) => {
  const daemon = await startLinkDaemon(t, { rules: [{ topics: '*', keep: { messages: 10_000, ms: 1_000_000 } }], limits: { maxLinkPendingBytes: 100_000 }, hub: { maxLogBytes: 100_000_000 } })
  const { epoch } = daemon.log
  const body = 'x'.repeat(50_000)
  for (let i = 1; i <= 400; i++) await daemon.publish('a', body)
  const taker = await connectTaker(t, daemon.port)
  await taker.wish({ topics: ['a'], after: { epoch, offset: 1 } })
  taker.socket.pause()
  await new Promise<void>((resolve) => taker.socket.write(Buffer.alloc(0), () => resolve()))
  for (let i = 0; i < 5; i++) taker.keepalive()
  await until(() => taker.socket.writableLength === 0, 'the keepalives are out')
  taker.socket.resume()
  let last = 1
  let answers = 0
  while (last < 400 || answers < 5) {
    const said = await taker.next()
    if (said.kind === 'alive') {
      answers++
      assert.equal(said.at.offset, last, 'it says that something was sent that was not, or the other way round')
    } else if (said.kind === 'message') {
      assert.equal(said.offset, last + 1)
      last = said.offset
    }
  }
})

test('what a keepalive is answered with was sent before the answer, also where it waited for the end of a turn', async (t) => {
  const held: (() => void)[] = []
  const daemon = await startLinkDaemon(t, { endOfTurn: (fn) => void held.push(fn) })
  const taker = await connectTaker(t, daemon.port)
  await taker.wish({ topics: ['a'] })
  await daemon.publish('a', 'one')
  taker.keepalive()
  assert.equal(await taker.body(), 'one')
  assert.deepEqual(await taker.next(), { kind: 'alive', at: { epoch: daemon.log.epoch, offset: 1 } })
  assert.equal(held.length, 1)
})

test('the same where the log is slow and the catching up is on its way', async (t) => {
  const read = Promise.withResolvers<void>()
  const seen = Promise.withResolvers<void>()
  const daemon = await startLinkDaemon(t, {
    rules: kept,
    hub: {
      log(rules, clock) {
        const log = createMemoryLog({ rules, clock, random: createSeededRandom(1), maxBytes: 1_000_000 })
        async function* slowly(all: Iterable<Message | Lost>): AsyncGenerator<Message | Lost> {
          for (const one of all) {
            yield one
            seen.resolve()
            await read.promise
          }
        }
        return {
          get epoch() { return log.epoch },
          get head() { return log.head },
          append: (one) => log.append(one),
          lose: (interest) => log.lose(interest),
          read(interest, after) {
            const found = log.read(interest, after)
            return found === 'lost' ? found : slowly(found as Iterable<Message | Lost>)
          },
          sweep: () => log.sweep(),
        }
      },
    },
  })
  const { epoch } = daemon.log
  for (let i = 1; i <= 3; i++) await daemon.publish('news/eu', `${i}`)
  const taker = await connectTaker(t, daemon.port)
  await taker.wish({ patterns: ['news/*'], after: { epoch, offset: 1 } })
  await seen.promise
  taker.keepalive()
  assert.equal(await taker.body(), '2')
  assert.deepEqual(await taker.next(), { kind: 'alive', at: { epoch, offset: 2 } })
  read.resolve()
  assert.equal(await taker.body(), '3')
})

test('something that the hub itself has lost is told to a Waystation by name, and ends a taker of PonyExpress that may want it', async (t) => {
  const daemon = await startLinkDaemon(t)
  const { epoch } = daemon.log
  const [old, other, young] = [await connectTaker(t, daemon.port), await connectTaker(t, daemon.port), await connectTaker(t, daemon.port)]
  old.subscribe('news/eu')
  other.subscribe('prices')
  await daemon.subscribed(2)
  await young.wish({ topics: ['a', 'news/eu', 'prices'], patterns: ['news/e*', 'b/*'] })
  daemon.hub.lose(interestIn(['news/*', 'c', 'b/1']))
  const gap = await young.next()
  assert.ok(gap.kind === 'gap')
  assert.deepEqual(gap.to, { epoch, offset: 1 })
  assert.deepEqual(gap.topics.map(String).sort(), ['b/1', 'news/eu'])
  assert.deepEqual(gap.patterns, ['news/e*'])
  assert.equal(await old.ended, 'orderly')
  await daemon.publish('prices', 'still here')
  assert.equal(await other.body(), 'still here')
  assert.equal(await young.body(), 'still here')
  assert.deepEqual(daemon.ends, ['gap'])
  assert.deepEqual(daemon.refusals, [])
})

test('what lies on disk is a gap of its topic for a Waystation, and nothing for PonyExpress', async (t) => {
  const daemon = await startLinkDaemon(t)
  const { epoch } = daemon.log
  const [old, young] = [await connectTaker(t, daemon.port), await connectTaker(t, daemon.port)]
  old.subscribe('a/1')
  await daemon.subscribed(1)
  await young.wish({ patterns: ['a/*'] })
  const large = { size: 1e9, hold() {}, letGo() {}, async *read() {} }
  await daemon.publish('a/1', 'before')
  daemon.put({ topic: 'a/1', large })
  await daemon.publish('a/1', 'behind')
  assert.deepEqual(await old.bodies(2), ['before', 'behind'])
  assert.equal(await young.body(), 'before')
  assert.deepEqual(await young.next(), { kind: 'gap', to: { epoch, offset: 2 }, topics: [Buffer.from('a/1')], patterns: [], via: [] })
  assert.equal(await young.body(), 'behind')
})

test('rules hold: a Waystation is told that it may not, one of PonyExpress is only sent away', async (t) => {
  const daemon = await startLinkDaemon(t, { rules: [{ topics: 'secret/*', subscribe: 'signed' }] })
  for (const wish of [{ topics: ['a', 'secret/b'] }, { patterns: ['*'] }, { patterns: ['secret/b*'] }]) {
    const taker = await connectTaker(t, daemon.port)
    assert.deepEqual(await taker.wish(wish), { kind: 'refused', why: 'forbidden' })
    assert.equal(await taker.ended, 'orderly')
  }
  const old = await connectTaker(t, daemon.port)
  old.subscribe('secret/b')
  assert.equal(await old.ended, 'orderly')
  assert.deepEqual(old.taken(), [])
  assert.deepEqual(daemon.refusals, Array(4).fill('forbidden'))
})

test('a wish that names nothing, or has a glob that cannot be used, is refused by name', async (t) => {
  const daemon = await startLinkDaemon(t)
  const nothing = await connectTaker(t, daemon.port)
  assert.deepEqual(await nothing.wish({}), { kind: 'refused', why: 'bad_request' })
  const long = await connectTaker(t, daemon.port)
  assert.deepEqual(await long.wish({ patterns: ['x'.repeat(70_000)] }), { kind: 'refused', why: 'bad_pattern' })
})

test('whoever has a wish granted asks for nothing more', async (t) => {
  const daemon = await startLinkDaemon(t)
  const taker = await connectTaker(t, daemon.port)
  await taker.wish({ topics: ['a'] })
  taker.subscribe('b')
  assert.equal(await taker.ended, 'orderly')
  const other = await connectTaker(t, daemon.port)
  other.subscribe('b')
  await daemon.subscribed(1)
  other.send(subscribeFrame(Buffer.from('c'), { hub: 'h', topics: [Buffer.from('c')], patterns: [], after: undefined }))
  assert.equal(await other.ended, 'orderly')
  assert.deepEqual(daemon.refusals, ['bad_request', 'bad_request'])
})

test('a port that is taken is said so at the start', async (t) => {
  const squatter = createServer()
  await new Promise<void>((resolve) => squatter.listen(0, '127.0.0.1', resolve))
  t.after(() => squatter.close())
  const daemon = createLinkDaemon({
    kit: transportKit(), hubId: () => 'log', security: { kind: 'tcp' }, grants: undefined, atoms: COMMON_ATOMS,
    listen: { port: (squatter.address() as { port: number }).port, host: '127.0.0.1' },
    admission: createAdmission({ total: 1, perAddress: 1 }),
    events: { refused() {} },
  })
  const { hub } = await startLinkDaemon(t)
  await assert.rejects(daemon.start(hub), (error: WaystationError) => error.code === 'listen_failed' && /in use/.test(error.message) && !error.message.includes('--addr'))
})

test('at a stop what was published before goes out, and connections end in order', async (t) => {
  const daemon = await startLinkDaemon(t)
  const takers = [await connectTaker(t, daemon.port), await connectTaker(t, daemon.port)]
  takers[0]?.subscribe('a')
  await daemon.subscribed(1)
  await takers[1]?.wish({ topics: ['a'] })
  const words = 'last words'.repeat(500_000)
  await daemon.publish('a', words)
  await daemon.daemon.stop(new AbortController().signal)
  for (const taker of takers) {
    assert.ok(await taker.body() === words)
    assert.equal(await taker.ended, 'orderly')
  }
  assert.equal(daemon.daemon.takers, 0)
  assert.equal(daemon.hub.audience(topicFromText('a')), 0)
})
