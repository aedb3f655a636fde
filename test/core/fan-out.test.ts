import assert from 'node:assert/strict'
import { test } from 'node:test'
import { formatCursor } from '../../src/core/cursor.ts'
import { createFanOut, type Encoder, type FanOut } from '../../src/core/fan-out.ts'
import type { Message } from '../../src/core/message.ts'
import { createReplay } from '../../src/core/replay.ts'
import { topicFromText } from '../../src/core/topic.ts'
import { createTurn } from '../../src/core/turn.ts'
import { createManualClock, createRecordingSink, GAP, subscriberContract, type ManualClock } from '../../src/testing/index.ts'

/** Bodies, each with a line end behind it. */
const lines: Encoder = {
  size: (message) => message.body.length + 1,
  write(message, into, at) {
    into.set(message.body, at)
    into[at + message.body.length] = 0x0a
    return at + message.body.length + 1
  },
  gap: (from, to) => Buffer.from(`gap ${formatCursor(from)} ${formatCursor(to)}\n`),
}

interface World {
  readonly fanOut: FanOut
  readonly clock: ManualClock
  readonly log: string[]
}

function createWorld({ maxPendingBytes = 100, encoder = lines }: { maxPendingBytes?: number; encoder?: Encoder } = {}): World {
  const clock = createManualClock()
  const log: string[] = []
  const fanOut = createFanOut({
    encoder,
    turn: createTurn(clock),
    clock,
    maxPendingBytes,
    events: {
      delivered: (deliveries, seconds) => log.push(`delivered ${deliveries} after ${seconds} s`),
      slow: () => log.push('slow'),
      lost: (receivers) => log.push(`lost to ${receivers}`),
      empty: () => log.push('empty'),
    },
  })
  return { fanOut, clock, log }
}

function message(offset: number, text = `m${offset}`): Message {
  return { topic: topicFromText('t'), body: Buffer.from(text), contentType: 'text/plain', text: true, offset, epoch: 'e', time: 0 }
}

for (const members of [1, 3]) {
  subscriberContract(`a fan-out of ${members}`, () => {
    const { fanOut, clock } = createWorld({ maxPendingBytes: Infinity })
    const sinks = Array.from({ length: members }, () => createRecordingSink())
    for (const sink of sinks) fanOut.add(sink)
    return {
      subscriber: fanOut,
      receivers: members,
      arrived() {
        clock.endTurn()
        return (sinks.at(-1)?.text() ?? '').split('\n').slice(0, -1).map((line) => (line.startsWith('gap ') ? GAP : line))
      },
      leave() {
        for (const sink of sinks) {
          sink.end()
          fanOut.remove(sink)
        }
      },
    }
  })
}

test('the messages of one turn are one buffer, and all members are written that same buffer', () => {
  const { fanOut, clock } = createWorld()
  const sinks = [createRecordingSink(), createRecordingSink(), createRecordingSink()]
  for (const sink of sinks) fanOut.add(sink)
  for (let i = 1; i <= 5; i++) fanOut.deliver(message(i))
  assert.deepEqual(sinks.map((sink) => sink.chunks.length), [0, 0, 0])
  clock.endTurn()
  assert.deepEqual(sinks.map((sink) => sink.text()), Array(3).fill('m1\nm2\nm3\nm4\nm5\n'))
  assert.deepEqual(sinks.map((sink) => sink.chunks.length), [1, 1, 1])
  assert.equal(sinks[0]?.chunks[0], sinks[2]?.chunks[0])
})

test('a newcomer gets nothing of what was published before it joined, in the same turn or earlier', () => {
  const { fanOut, clock } = createWorld()
  const [first, second] = [createRecordingSink(), createRecordingSink()]
  fanOut.add(first)
  fanOut.deliver(message(1))
  fanOut.add(second)
  assert.equal(first.text(), 'm1\n', 'what was pending goes out before the newcomer is in')
  fanOut.deliver(message(2))
  clock.endTurn()
  assert.deepEqual([first.text(), second.text()], ['m1\nm2\n', 'm2\n'])
})

test('one that leaves gets nothing more, also of what was published in the same turn', () => {
  const { fanOut, clock } = createWorld()
  const [leaving, staying] = [createRecordingSink(), createRecordingSink()]
  fanOut.add(leaving)
  fanOut.add(staying)
  fanOut.deliver(message(1))
  fanOut.remove(leaving)
  clock.endTurn()
  assert.deepEqual([leaving.text(), staying.text()], ['', 'm1\n'])
})

test('leaving twice, or without having joined, does nothing to the others', () => {
  const { fanOut, clock, log } = createWorld()
  const sinks = [createRecordingSink(), createRecordingSink(), createRecordingSink()]
  for (const sink of sinks) fanOut.add(sink)
  fanOut.remove(sinks[0] as never)
  fanOut.remove(sinks[0] as never)
  fanOut.remove(createRecordingSink())
  assert.equal(fanOut.count, 2)
  fanOut.deliver(message(1))
  clock.endTurn()
  assert.deepEqual(sinks.map((sink) => sink.text()), ['', 'm1\n', 'm1\n'])
  assert.deepEqual(log, ['delivered 2 after 0 s'])
})

test('members that come and go in any order each get exactly what was published while they were in', () => {
  const { fanOut, clock } = createWorld()
  const here = new Map<ReturnType<typeof createRecordingSink>, string>()
  const gone: [string, string][] = []
  for (let i = 1; i <= 400; i++) {
    const sinks = [...here.keys()]
    const one = sinks[(i * 7) % (sinks.length + 1)]
    if (one === undefined || i % 3 === 0) {
      const sink = createRecordingSink()
      fanOut.add(sink)
      here.set(sink, '')
    } else if (i % 3 === 1) {
      clock.endTurn()
      fanOut.remove(one)
      gone.push([one.text(), here.get(one) as string])
      here.delete(one)
    }
    fanOut.deliver(message(i))
    for (const [sink, expected] of here) here.set(sink, `${expected}m${i}\n`)
    assert.equal(fanOut.count, here.size)
  }
  clock.endTurn()
  for (const [sink, expected] of here) assert.equal(sink.text(), expected)
  for (const [got, expected] of gone) assert.equal(got, expected)
  assert.ok(gone.length > 50)
})

test('one that still has more than the bound from earlier turns is let go; the others notice nothing', () => {
  const { fanOut, clock, log } = createWorld({ maxPendingBytes: 4 })
  const [slow, quick] = [createRecordingSink(), createRecordingSink()]
  fanOut.add(slow)
  fanOut.add(quick)
  slow.stall()
  for (let i = 1; i <= 3; i++) {
    fanOut.deliver(message(i))
    clock.endTurn()
  }
  assert.equal(slow.text(), 'm1\nm2\n', 'six bytes pending are more than four')
  assert.equal(slow.evicted, true)
  assert.equal(quick.text(), 'm1\nm2\nm3\n')
  assert.deepEqual(log, ['delivered 2 after 0 s', 'delivered 2 after 0 s', 'slow', 'delivered 1 after 0 s'])
  assert.equal(fanOut.count, 1)
})

test('one turn may be larger than the bound: only what is left from earlier turns counts', () => {
  const { fanOut, clock, log } = createWorld({ maxPendingBytes: 4 })
  const sink = createRecordingSink()
  fanOut.add(sink)
  for (let i = 1; i <= 9; i++) fanOut.deliver(message(i))
  clock.endTurn()
  assert.equal(sink.evicted, false)
  assert.deepEqual(log, ['delivered 9 after 0 s'])
})

test('several that are too slow at once are all let go, and everyone else is written to once', () => {
  const { fanOut, clock } = createWorld({ maxPendingBytes: 1 })
  const sinks = Array.from({ length: 9 }, () => createRecordingSink())
  for (const [i, sink] of sinks.entries()) {
    fanOut.add(sink)
    if (i % 2 === 0 || i > 6) sink.stall()
  }
  fanOut.deliver(message(1))
  clock.endTurn()
  fanOut.deliver(message(2))
  clock.endTurn()
  assert.deepEqual(sinks.map((sink) => (sink.evicted ? 'evicted' : sink.text())), [
    'evicted', 'm1\nm2\n', 'evicted', 'm1\nm2\n', 'evicted', 'm1\nm2\n', 'evicted', 'evicted', 'evicted',
  ])
})

test('the last one to leave ends the fan-out, whether it goes or is let go', () => {
  const { fanOut, clock, log } = createWorld({ maxPendingBytes: 1 })
  const [one, other] = [createRecordingSink(), createRecordingSink()]
  fanOut.add(one)
  fanOut.remove(one)
  assert.deepEqual(log.splice(0), ['empty'])
  fanOut.add(other)
  other.stall()
  fanOut.deliver(message(1))
  clock.endTurn()
  fanOut.deliver(message(2))
  clock.endTurn()
  assert.deepEqual(log, ['delivered 1 after 0 s', 'empty', 'slow'])
})

test('a newcomer whose coming lets the last other one go does not join something that has ended', () => {
  const { fanOut, clock, log } = createWorld({ maxPendingBytes: 1 })
  const [slow, newcomer] = [createRecordingSink(), createRecordingSink()]
  fanOut.add(slow)
  slow.stall()
  fanOut.deliver(message(1))
  clock.endTurn()
  fanOut.deliver(message(2))
  fanOut.add(newcomer)
  assert.equal(slow.evicted, true)
  assert.ok(!log.includes('empty'), 'it said that it was empty, and then took a member')
  fanOut.deliver(message(3))
  clock.endTurn()
  assert.equal(newcomer.text(), 'm3\n')
  fanOut.remove(newcomer)
  assert.equal(log.at(-1), 'empty')
})

test('the time that is reported is that of the oldest message, by the clock that never goes back', () => {
  const clock = createManualClock()
  const reports: [number, number | undefined][] = []
  const fanOut = createFanOut({
    encoder: lines,
    // A turn that does not end: the flush that a newcomer causes is the only one.
    turn: { add() {}, flush() {}, now: () => 0 },
    clock,
    maxPendingBytes: 100,
    events: { delivered: (deliveries, seconds) => reports.push([deliveries, seconds]), slow() {}, lost() {}, empty() {} },
  })
  fanOut.add(createRecordingSink())
  fanOut.deliver(message(1))
  clock.advance(250)
  clock.adjust(-60_000)
  fanOut.deliver(message(2))
  clock.advance(500)
  fanOut.add(createRecordingSink())
  assert.deepEqual(reports, [[2, 0.75]])
})

test('a gap is told at once, behind what was pending', () => {
  const { fanOut } = createWorld()
  const sink = createRecordingSink()
  fanOut.add(sink)
  fanOut.deliver(message(1))
  fanOut.gap({ epoch: 'e', offset: 1 }, { epoch: 'e', offset: 4 })
  assert.equal(sink.text(), 'm1\ngap e:1 e:4\n')
})

test('where the protocol has no word for a gap, nothing is written', () => {
  const { fanOut, clock } = createWorld({ encoder: { ...lines, gap: () => undefined } })
  const sink = createRecordingSink()
  fanOut.add(sink)
  fanOut.gap({ epoch: 'e', offset: 1 }, { epoch: 'e', offset: 4 })
  clock.endTurn()
  assert.deepEqual(sink.chunks, [])
})

test('a replay writes in batches, and gives the event loop its turn between them', async () => {
  const clock = createManualClock()
  const member = createRecordingSink()
  const replay = createReplay({ member, encoder: lines, clock })
  const body = 'x'.repeat(9_999)
  for (let i = 1; i <= 6; i++) {
    assert.equal(replay.room(), undefined)
    replay.deliver(message(i, body))
  }
  assert.equal(member.chunks.length, 0, 'sixty thousand bytes are less than a batch')
  replay.deliver(message(7, body))
  const room = replay.room()
  assert.ok(room !== undefined)
  assert.equal(member.chunks.length, 1)
  let roomy = false
  const waited = room.then(() => (roomy = true))
  await Promise.resolve()
  assert.equal(roomy, false, 'it did not wait for the end of the turn')
  clock.endTurn()
  await waited
  replay.deliver(message(8))
  replay.flush()
  replay.flush()
  assert.equal(member.bytes().length, 70_000 + 3)
  assert.equal(member.chunks.length, 2)
})

test('a replay waits for a receiver that is slower than the log', async () => {
  const clock = createManualClock()
  const member = createRecordingSink()
  const replay = createReplay({ member, encoder: lines, clock })
  member.stall()
  replay.deliver(message(1, 'x'.repeat(70_000)))
  const room = replay.room() as Promise<void>
  let roomy = false
  const waited = room.then(() => (roomy = true))
  await clock.settle()
  assert.equal(roomy, false)
  member.take()
  await waited
})

test('a replay to a receiver that is gone fails at once, and no rejection is left without a handler', async () => {
  const clock = createManualClock()
  const member = createRecordingSink()
  const replay = createReplay({ member, encoder: lines, clock })
  const unhandled: unknown[] = []
  const listener = (reason: unknown): void => void unhandled.push(reason)
  process.on('unhandledRejection', listener)
  try {
    replay.deliver(message(1, 'x'.repeat(70_000)))
    member.end()
    await assert.rejects(replay.room() as Promise<void>, /gone/)
    await clock.settle()
    assert.deepEqual(unhandled, [])
  } finally {
    process.off('unhandledRejection', listener)
  }
})
