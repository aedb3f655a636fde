import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createFanOut, type Encoder, type FanOut } from '../../src/core/fan-out.ts'
import { interestIn } from '../../src/core/interest.ts'
import { createMemoryLog } from '../../src/core/log.ts'
import { draft, memoryOf, type Message } from '../../src/core/message.ts'
import { createReplay } from '../../src/core/replay.ts'
import { createRules } from '../../src/core/rules.ts'
import { topicFromText } from '../../src/core/topic.ts'
import { createTurn } from '../../src/core/turn.ts'
import { createManualClock, createRecordingSink, createSeededRandom, type ManualClock } from '../../src/testing/index.ts'

const words: Encoder = {
  size: ({ body }) => body.length + 1,
  write: ({ body }, into, at) => at + body.copy(into, at) + into.write(' ', at + body.length),
  gap: (from, to, lost) => Buffer.from(`gap:${from.offset}-${to.offset}:${lost?.topics.join()} `),
}

function message(text: string, via?: readonly string[]): Message {
  return { ...draft(topicFromText('t'), Buffer.from(text)), offset: 1, epoch: 'e', time: 0, ...(via !== undefined && { via }) }
}

function createWorld(encoder = words): { fanOut: FanOut; clock: ManualClock; log: string[] } {
  const clock = createManualClock()
  const log: string[] = []
  const events = {
    delivered: (deliveries: number) => void log.push(`delivered ${deliveries}`),
    slow: () => void log.push('slow'),
    lost: (receivers: number) => void log.push(`lost to ${receivers}`),
    empty: () => void log.push('empty'),
  }
  return { clock, log, fanOut: createFanOut({ encoder, turn: createTurn(clock), clock, maxPendingBytes: 100, events }) }
}

test('what has come through a member is not sent to it, and to all others it is', () => {
  const { fanOut, clock, log } = createWorld()
  const [plain, a, b, both, other] = [undefined, ['a'], ['b'], ['a', 'b'], ['c']].map((names) => createRecordingSink(0, names && new Set(names)))
  const sinks = [plain, a, b, both, other] as ReturnType<typeof createRecordingSink>[]
  for (const sink of sinks) fanOut.add(sink)
  for (const one of [message('1'), message('2', ['a']), message('3', ['x', 'b']), message('4', []), message('5', ['a', 'b'])]) fanOut.deliver(one)
  clock.endTurn()
  assert.deepEqual(sinks.map((sink) => sink.text()), ['1 2 3 4 5 ', '1 3 4 ', '1 2 4 ', '1 4 ', '1 2 3 4 5 '])
  assert.deepEqual(log, ['delivered 18'])
  assert.equal(sinks[0]?.chunks[0], sinks[4]?.chunks[0], 'those that leave out nothing share one buffer')
})

test('members that leave out the same share a buffer, and one that all of a turn came through is not written to', () => {
  const { fanOut, clock, log } = createWorld()
  const sinks = [['a', 'p'], ['a', 'q'], ['r']].map((names) => createRecordingSink(0, new Set(names)))
  for (const sink of sinks) fanOut.add(sink)
  fanOut.deliver(message('1', ['a']))
  fanOut.deliver(message('2', ['z']))
  clock.endTurn()
  assert.equal(sinks[0]?.chunks[0], sinks[1]?.chunks[0])
  fanOut.deliver(message('3', ['a']))
  clock.endTurn()
  assert.deepEqual(sinks.map((sink) => sink.text()), ['2 ', '2 ', '1 2 3 '])
  assert.deepEqual(log, ['delivered 4', 'delivered 1'])
  assert.equal(sinks[0]?.chunks.length, 1)
})

test('where no message has a way, or no member a name, everyone gets one buffer', () => {
  const { fanOut, clock } = createWorld()
  const [plain, named] = [createRecordingSink(), createRecordingSink(0, new Set(['a']))]
  fanOut.add(plain)
  fanOut.add(named)
  fanOut.deliver(message('1'))
  clock.endTurn()
  fanOut.remove(named)
  fanOut.deliver(message('2', ['a']))
  clock.endTurn()
  fanOut.add(named)
  fanOut.deliver(message('3'))
  clock.endTurn()
  fanOut.deliver(message('4', ['a']))
  clock.endTurn()
  assert.equal(plain.chunks[0], named.chunks[0])
  assert.equal(plain.chunks[2], named.chunks[1])
  assert.deepEqual([plain.text(), named.text()], ['1 2 3 4 ', '1 3 '])
})

test('names are asked for only in a turn with a way, and while somebody has names', () => {
  const { fanOut, clock } = createWorld()
  let asked = 0
  const watched = (names: ReadonlySet<string> | undefined) => Object.defineProperty(createRecordingSink(), 'names', { get: () => (asked++, names) })
  const askedIn = (...messages: Message[]): boolean => {
    const before = asked
    for (const one of messages) fanOut.deliver(one)
    clock.endTurn()
    return asked > before
  }
  const [plain, named] = [watched(undefined), watched(new Set(['a']))]
  fanOut.add(plain)
  fanOut.add(named)
  assert.equal(askedIn(message('1')), false)
  assert.equal(askedIn(message('2'), message('3', ['a'])), true)
  assert.equal(askedIn(message('4')), false)
  fanOut.remove(named)
  assert.equal(askedIn(message('5', ['a'])), false)
  assert.deepEqual([plain.text(), named.text()], ['1 2 3 4 5 ', '1 2 4 '])
})

test('a slow one is let go, whatever it is to be left out of, and the count is right', () => {
  const { fanOut, clock, log } = createWorld()
  const sinks = [['a'], ['b'], ['c']].map((names) => createRecordingSink(0, new Set(names)))
  for (const sink of sinks) fanOut.add(sink)
  sinks[1]?.stall()
  sinks[1]?.write(Buffer.alloc(101))
  fanOut.deliver(message('1', ['a']))
  fanOut.deliver(message('2'))
  clock.endTurn()
  assert.deepEqual([sinks[0]?.text(), sinks[1]?.evicted, sinks[2]?.text(), fanOut.count], ['2 ', true, '1 2 ', 2])
  assert.deepEqual(log, ['slow', 'delivered 3'])
})

test('a loss is told behind what was pending, and not to those whom it has come through', () => {
  const { fanOut, log } = createWorld()
  const [plain, named, through] = [createRecordingSink(), createRecordingSink(0, new Set(['b'])), createRecordingSink(0, new Set(['a']))]
  for (const sink of [plain, named, through]) fanOut.add(sink)
  fanOut.deliver(message('1'))
  fanOut.gap({ epoch: 'e', offset: 1 }, { epoch: 'e', offset: 2 }, { ...interestIn(['x', 'y']), via: ['a'] })
  assert.deepEqual([plain.text(), named.text(), through.text()], ['1 gap:1-2:x,y ', '1 gap:1-2:x,y ', '1 '])
  assert.deepEqual(log, ['delivered 3', 'lost to 2'])
})

test('where the protocol has no word for it, a loss sends everyone away behind what was pending, and no other gap does', () => {
  const { fanOut, clock, log } = createWorld({ ...words, gap: () => undefined })
  const [one, slow, through] = [createRecordingSink(), createRecordingSink(), createRecordingSink(0, new Set(['a']))]
  for (const sink of [one, slow, through]) fanOut.add(sink)
  fanOut.deliver(message('1'))
  fanOut.gap({ epoch: 'e', offset: 1 }, { epoch: 'e', offset: 2 })
  clock.endTurn()
  assert.deepEqual([one.goneFor, slow.goneFor], [undefined, undefined])
  slow.stall()
  slow.write(Buffer.alloc(101))
  fanOut.deliver(message('2'))
  fanOut.gap({ epoch: 'e', offset: 2 }, { epoch: 'e', offset: 3 }, { ...interestIn(['x']), via: ['a'] })
  assert.equal(one.goneFor, 'gap: messages are lost; live is at e:3')
  assert.deepEqual([one.text(), through.text(), through.goneFor, slow.evicted, fanOut.count], ['1 2 ', '1 2 ', undefined, true, 1])
  assert.deepEqual(log, ['delivered 3', 'slow', 'delivered 2', 'lost to 1'])
  fanOut.gap({ epoch: 'e', offset: 3 }, { epoch: 'e', offset: 4 }, interestIn(['x']))
  assert.equal(log.at(-2), 'empty')
})

test('a replay leaves out what has come through its receiver', () => {
  const member = createRecordingSink(0, new Set(['a']))
  const replay = createReplay({ member, encoder: words, clock: createManualClock() })
  for (const one of [message('1'), message('2', ['a']), message('3', ['b'])]) replay.deliver(one)
  replay.flush()
  assert.equal(member.text(), '1 3 ')
})

test('the log carries the term and the way, keeps a copy of the term, and counts both', () => {
  const rules = createRules([{ topics: 'kept', keep: { messages: 10, ms: 1_000 } }])
  const log = createMemoryLog({ rules, clock: createManualClock(), random: createSeededRandom(1), maxBytes: 1_000_000 })
  const pool = Buffer.alloc(10_000, 7)
  const [term, via] = [pool.subarray(0, 1_000), ['a'.repeat(100), 'b']]
  const plain = draft(topicFromText('kept'), Buffer.from('x'))
  log.append(plain)
  const before = log.bytes
  const kept = log.append({ ...plain, term, via }) as Message
  const passed = log.append({ ...plain, topic: topicFromText('unkept'), term, via }) as Message
  assert.deepEqual([kept.via, passed.via, passed.term], [via, via, term])
  pool.fill(0)
  assert.equal(kept.term?.[0], 7, 'what is kept is a slice of what somebody else may keep')
  const weight = log.bytes - before
  assert.ok(weight >= 1_101 + 256 && weight < 2_000, `${weight}`)
  assert.ok(memoryOf(kept) - memoryOf({ ...plain, offset: 1, epoch: 'e', time: 0 }) >= 1_101)
  assert.equal('via' in (log.append(plain) as Message), false)
})
