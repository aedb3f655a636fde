import assert from 'node:assert/strict'
import { test } from 'node:test'
import { limitsWith, type LimitName } from '../../src/core/limits.ts'
import { createWheel } from '../../src/core/wheel.ts'
import type { PacketType } from '../../src/protocol/erps/messages.ts'
import { encode } from '../../src/protocol/etf/encode.ts'
import { BitString, Float, Pid, Tuple, type Term } from '../../src/protocol/etf/term.ts'
import { createCallAccount, type CallAccount } from '../../src/services/call-account.ts'
import { createAnswerer, FILTERED } from '../../src/services/answerer.ts'
import type { Answering, Asker, From } from '../../src/services/ports.ts'
import { createManualClock } from '../../src/testing/manual-clock.ts'
import { atom, bare, callOf, packetOf, recordConnection, unbare } from './recorded-connection.ts'

function start({ peer = 'waystation', limits = {}, account }: { peer?: 'erps' | 'waystation'; limits?: Partial<Record<LimitName, number>>; account?: CallAccount } = {}) {
  const clock = createManualClock()
  const asked: { request: Term; from: From }[] = []
  const casts: { request: Term; from: Asker }[] = []
  const ends: string[] = []
  const answering: Answering = {
    call: (request, from) => void asked.push({ request: unbare(request), from }),
    cast: (request, from) => void casts.push({ request: unbare(request), from }),
    ended: (why, detail) => void ends.push(`${why} ${detail}`),
  }
  const connection = recordConnection(peer)
  const answerer = createAnswerer(connection, answering, { limits: limitsWith(limits), wheel: createWheel(clock, 50), ...(account !== undefined && { account }) })
  const call = (ref: Term, request: Term = 0, deadline?: number): From => {
    answerer.packet(callOf(ref, request), deadline === undefined ? undefined : { kind: 'terms', deadline, times: 'once', key: undefined })
    return (asked.at(-1) as { from: From }).from
  }
  const cancel = (ref: Term): void => answerer.packet(packetOf('keepalive', encode(new Tuple(ref, []))), { kind: 'cancel' })
  return { clock, asked, casts, ends, connection, answerer, call, cancel }
}

test('a call is handed on with who asks, and its answer goes back before the ref, which may be any term', () => {
  const { answerer, connection, asked } = start({ peer: 'erps' })
  const refs: Term[] = [0, 255, 134_217_727, 'text', atom('whatever'), [1, [2]], new Tuple(), new Float(1), new Pid('a@b', 1, 2, 3), new BitString(Uint8Array.of(0x80), 1), 2n ** 70n]
  for (const [i, ref] of refs.entries()) answerer.packet(callOf(ref, ['ask', i], 'my_api'), undefined)
  for (const [i, { request, from }] of asked.entries()) {
    assert.deepEqual(request, ['ask', i])
    assert.deepEqual([from.remote, from.peer?.address, from.identifier.toString(), from.version, from.deadline], [true, '192.0.2.1', 'my_api', { major: 1, minor: 2, patch: 3 }, undefined])
    assert.equal(from.reply(bare(['answer', i])), true)
  }
  const sent = connection.sent()
  assert.deepEqual(sent.map(([type, term]) => [type, (term as Tuple).elements[0]]), refs.map((_, i) => ['reply', ['answer', i]]))
  assert.deepEqual(sent.map(([, term]) => bare((term as Tuple).elements[1] as Term)), refs.map(bare))
})

test('a ref goes back as it came, in whichever encoding', () => {
  const { answerer, asked, connection } = start()
  const parts: Buffer[] = []
  connection.send = (_type, sent) => {
    parts.push(Buffer.concat(sent))
    return { hasLeft: true, withdraw: () => false }
  }
  answerer.packet(packetOf('call', Buffer.from('836802620000000161ff', 'hex')), undefined)
  asked[0]?.from.reply(Buffer.from('6101', 'hex'))
  assert.equal(parts[0]?.toString('hex'), '8368026101' + '6200000001')
})

test('answers go in any order, and the first of a call is the only one', () => {
  const { call, connection, answerer } = start()
  const [first, second, third] = [call(1), call(2), call(3)]
  assert.equal(answerer.pending, 3)
  assert.equal(third.reply(bare('c')), true)
  assert.equal(first.fail('call_failed'), true)
  assert.equal(second.reply(bare('b')), true)
  assert.deepEqual([third.reply(bare('c')), third.fail('deadline'), first.reply(bare('a')), first.fail('deadline')], [false, false, false, false])
  assert.deepEqual(connection.sent(), [['reply', new Tuple('c', 3)], ['error', new Tuple('call_failed', 1)], ['reply', new Tuple('b', 2)]])
  assert.deepEqual([answerer.pending, answerer.late], [0, 0])
})

test('calls of one connection are bounded, and one that is answered makes room', () => {
  const { call, connection, asked, answerer } = start({ peer: 'erps', limits: { maxCallsPerConnection: 2 } })
  const first = call(1)
  call(2)
  call(3)
  assert.equal(asked.length, 2)
  assert.deepEqual(connection.sent(), [['error', new Tuple('too_many_calls', 3)]])
  first.reply(bare(0))
  call(4)
  assert.deepEqual([asked.length, answerer.pending], [3, 2])
})

test('requests and refs of unanswered calls are bounded by their bytes: those of one connection, and of all together', () => {
  const limits = { maxCallBytes: 65_536, maxPacketBytes: 1_024 }
  const account = createCallAccount(limitsWith(limits))
  const { call, connection, asked } = start({ limits, account })
  const first = call('x'.repeat(4_000), 'x'.repeat(4_000))
  call(1, 'y'.repeat(200))
  assert.equal(asked.length, 1)
  const others = Array.from({ length: 7 }, () => start({ limits, account }))
  for (const other of others) other.call('x'.repeat(4_000), 'x'.repeat(4_000))
  const late = start({ limits, account })
  late.call(1)
  late.call(2, 'z'.repeat(2_000))
  assert.deepEqual([connection.sent(), late.connection.sent()], [[['error', new Tuple('too_many_calls', 1)]], [['error', new Tuple('too_many_calls', 2)]]])
  for (const other of others) other.answerer.ended('lost', '')
  first.reply(bare(0))
  assert.deepEqual([account.calls, account.bytes], [1, 4])
  call('y'.repeat(900))
  assert.equal(asked.length, 2)
})

test('a caller that takes its call back aborts the signal; an answer that comes then is dropped and counted', () => {
  const { call, cancel, connection, answerer } = start()
  const [gone, stays] = [call(1), call(2)]
  const told: string[] = []
  gone.signal.addEventListener('abort', () => told.push('gone'))
  cancel(1)
  cancel(3)
  cancel('no ref of ours, and longer than any of them')
  assert.deepEqual([told, stays.signal.aborted, answerer.pending], [['gone'], false, 1])
  assert.deepEqual([gone.reply(bare(0)), gone.reply(bare(0)), gone.fail('call_failed')], [false, false, false])
  assert.equal(answerer.late, 1)
  assert.equal(stays.reply(bare(0)), true)
  assert.equal(connection.sent().length, 1)
  assert.equal(call(1).signal.aborted, false, 'another call of the same ref')
})

test('of two calls of one ref each is answered, and the later one can be taken back', () => {
  const { call, cancel, connection } = start()
  const [first, second] = [call(1), call(1)]
  assert.equal(first.reply(bare('a')), true)
  cancel(1)
  assert.equal(second.signal.aborted, true)
  assert.deepEqual(connection.sent(), [['reply', new Tuple('a', 1)]])
})

test('who has asked to be told when nobody waits any more is told once: at a cancel, at the deadline and at the end, and not after an answer', () => {
  const { call, cancel, clock, answerer } = start()
  const told: string[] = []
  const [cancelled, late, answered, quiet, lost] = [call(1), call(2, 0, 1_000), call(3), call(4), call(5)]
  for (const [name, from] of Object.entries({ cancelled, late, answered, quiet, lost })) from.onLeave(() => void told.push(name))
  quiet.onLeave(undefined)
  answered.reply(bare('a'))
  for (const ref of [1, 3, 4]) cancel(ref)
  assert.deepEqual(told, ['cancelled'])
  clock.advance(1_100)
  answerer.ended('lost', '')
  assert.deepEqual(told, ['cancelled', 'late', 'lost'])
  quiet.onLeave(() => void told.push('quiet, at once'))
  assert.deepEqual(told.slice(3), ['quiet, at once'])
})

test('the deadline of a call aborts its signal, neither early nor much later', () => {
  const { call, clock, answerer } = start()
  const [brief, long, longest] = [call(1, 0, 200), call(2, 0, 60_000), call(3, 0, 4_294_967_295)]
  assert.equal(brief.deadline, 200)
  clock.advance(199)
  assert.equal(brief.signal.aborted, false)
  clock.advance(60)
  assert.deepEqual([brief.signal.aborted, (brief.signal.reason as { code: string }).code, answerer.pending], [true, 'deadline', 2])
  clock.advance(59_700)
  assert.equal(long.signal.aborted, false)
  clock.advance(200)
  assert.deepEqual([long.signal.aborted, longest.signal.aborted], [true, false])
  assert.equal(brief.reply(bare(0)), false)
  longest.reply(bare(0))
  clock.advance(100)
  assert.deepEqual([answerer.late, clock.timers], [1, 0])
})

test('a signal that is asked for after the end is aborted already; that of a call that was answered never is', () => {
  const { call, answerer, clock } = start()
  const [late, answered] = [call(1, 0, 10), call(2, 0, 10)]
  answered.reply(bare(0))
  clock.advance(500)
  late.reply(bare(0))
  answerer.ended('lost', 'cut')
  assert.deepEqual([late.signal.aborted, answered.signal.aborted], [true, false])
})

test('the end of the connection aborts all that waits, is told once, and after it nothing is taken', () => {
  const { call, answerer, ends, asked, casts, connection } = start({ peer: 'erps' })
  const from = call(1)
  const { signal } = from
  answerer.ended('lost', 'cut')
  answerer.ended('stopped', 'again')
  assert.deepEqual([ends, signal.aborted, (signal.reason as { code: string }).code, answerer.pending], [['lost cut'], true, 'disconnected', 0])
  assert.equal(from.reply(bare(0)), false)
  answerer.packet(callOf(2, 0), undefined)
  answerer.packet(packetOf('cast', encode(0)), undefined)
  assert.deepEqual([asked.length, casts.length, connection.sent(), answerer.late], [1, 0, [], 1])
})

test('a cast is its term, whatever that looks like', () => {
  const { answerer, casts, connection } = start()
  answerer.packet(packetOf('cast', encode(new Tuple(1, atom('ping'))), 'me'), undefined)
  assert.deepEqual(casts.map(({ request, from }) => [request, from.identifier.toString()]), [[new Tuple(1, atom('ping')), 'me']])
  assert.deepEqual(connection.sent(), [])
})

test('a call that is no tuple of two ends the connection', () => {
  for (const term of [[], 1, new Tuple(), new Tuple(1), new Tuple(1, 2, 3), [1, 2]] satisfies Term[]) {
    const { answerer, connection, asked } = start({ peer: 'erps' })
    answerer.packet(packetOf('call', encode(term)), undefined)
    assert.deepEqual([connection.over, connection.sent(), asked.length], [['bad_term'], [], 0])
  }
})

test('a reply, a push or an error to one that answers ends the connection; a keepalive does nothing', () => {
  for (const type of ['reply', 'push', 'error'] satisfies PacketType[]) {
    const { answerer, connection } = start()
    answerer.packet(packetOf(type, encode(new Tuple(1, 2))), undefined)
    assert.deepEqual([type, connection.over], [type, ['bad_packet']])
  }
  const { answerer, connection, asked } = start()
  answerer.packet(packetOf('keepalive', encode([])), undefined)
  assert.deepEqual([connection.over, connection.sent(), asked.length], [[], [], 0])
})

test('what drains takes no more calls, and is done when the last is answered', async () => {
  const { call, answerer, connection, asked, casts } = start()
  const from = call(1)
  const order: string[] = []
  const drained = answerer.drain().then(() => order.push('drained'))
  answerer.packet(callOf(2, 0), undefined)
  answerer.packet(packetOf('cast', encode(0)), undefined)
  assert.deepEqual([asked.length, casts.length], [1, 1])
  await Promise.resolve()
  order.push('answered')
  from.reply(bare('yes'))
  await drained
  assert.deepEqual(order, ['answered', 'drained'])
  assert.deepEqual(connection.sent(), [['error', new Tuple('stopped', 2)], ['reply', new Tuple('yes', 1)]])
})

test('what drains is done as well when nobody waits any more, or when the connection is over', async () => {
  const idle = start()
  await idle.answerer.drain()
  const left = start()
  left.call(1, 0, 100)
  const drained = left.answerer.drain()
  left.clock.advance(200)
  await drained
  const cut = start()
  cut.call(1)
  const over = cut.answerer.drain()
  cut.answerer.ended('lost', '')
  await over
})

test('what was filtered an original is told without a ref, as its older servers say it', () => {
  const { call, connection, answerer } = start({ peer: 'erps' })
  assert.equal(call(1).fail(FILTERED), true)
  assert.deepEqual([connection.sent(), answerer.pending], [[['error', 'filtered']], 0])
  const other = start()
  other.call(1).fail(FILTERED)
  assert.deepEqual(other.connection.sent(), [['error', new Tuple('filtered', 1)]])
})

test('an answer that does not fit into a packet fails its call', () => {
  const { call, connection } = start({ limits: { maxPacketBytes: 1_024 } })
  assert.equal(call(1).reply(bare('x'.repeat(1_020))), false)
  assert.equal(call(2).reply(bare('x'.repeat(1_014))), true)
  assert.deepEqual(connection.sent().map(([type]) => type), ['error', 'reply'])
})
