import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createManualClock, createRecorder, createRecordingSink, createSeededRandom, createTestHub, sinkContract } from '../../src/testing/index.ts'
import { interestIn } from '../../src/core/interest.ts'

sinkContract('a recording sink', () => {
  const sink = createRecordingSink(0, undefined, 1_000)
  const { promise: ended, resolve } = Promise.withResolvers<void>()
  const evict = sink.evict.bind(sink)
  sink.evict = () => (evict(), resolve())
  return {
    sink,
    arrived: async () => sink.bytes(),
    stall: () => sink.stall(),
    take: () => sink.take(),
    leave: async () => sink.end(),
    ended,
  }
}, { saysEnough: true })

test('the manual clock stands still until time is let pass, and each timer sees its own time', () => {
  const clock = createManualClock(1_000)
  const seen: [string, number, number][] = []
  const note = (name: string) => () => void seen.push([name, clock.monotonic(), clock.now()])
  clock.after(30, note('third'))
  clock.after(10, note('first'))
  clock.after(10, note('second'))
  const cancel = clock.after(20, note('never'))
  cancel()
  assert.equal(clock.timers, 3)
  clock.advance(9)
  assert.deepEqual(seen, [])
  clock.advance(100)
  assert.deepEqual(seen, [['first', 10, 1_010], ['second', 10, 1_010], ['third', 30, 1_030]])
  assert.deepEqual([clock.monotonic(), clock.now(), clock.timers], [109, 1_109, 0])
  clock.adjust(-5_000)
  assert.deepEqual([clock.monotonic(), clock.now()], [109, -3_891])
})

test('a timer that asks for another gets it at its time, within the same stretch', () => {
  const clock = createManualClock()
  const at: number[] = []
  const again = (): void => {
    at.push(clock.monotonic())
    clock.after(7, again)
  }
  clock.after(7, again)
  clock.advance(30)
  assert.deepEqual(at, [7, 14, 21, 28])
})

test('the end of a turn comes before time passes, and after each timer', () => {
  const clock = createManualClock()
  const order: string[] = []
  clock.endOfTurn(() => order.push(`end at ${clock.monotonic()}`))
  for (const ms of [5, 6]) {
    clock.after(ms, () => {
      order.push(`timer at ${clock.monotonic()}`)
      clock.endOfTurn(() => order.push(`end at ${clock.monotonic()}`))
    })
  }
  clock.advance(10)
  assert.deepEqual(order, ['end at 0', 'timer at 5', 'end at 5', 'timer at 6', 'end at 6'])
})

test('turns that never come to an end are an error, not a standstill', async () => {
  const clock = createManualClock()
  const again = (): void => clock.endOfTurn(again)
  again()
  assert.throws(() => clock.advance(1), /still waits/)
  await assert.rejects(clock.settle(), /still waits/)
})

test('settling runs promises and ends of turns that wait for one another', async () => {
  const clock = createManualClock()
  const order: number[] = []
  const turn = (): Promise<void> => new Promise((resolve) => clock.endOfTurn(resolve))
  void (async () => {
    for (let i = 0; i < 5; i++) {
      await turn()
      await Promise.resolve()
      order.push(i)
    }
  })()
  await clock.settle()
  assert.deepEqual(order, [0, 1, 2, 3, 4])
})

test('seeded chance comes out the same from the same seed, and otherwise from another', () => {
  const draw = (seed: number): number[] => {
    const random = createSeededRandom(seed)
    return Array.from({ length: 50 }, () => random.below(1_000))
  }
  assert.deepEqual(draw(42), draw(42))
  assert.notDeepEqual(draw(42), draw(43))
  assert.throws(() => createSeededRandom(1).pick([]), RangeError)
  assert.ok(['a', 'b'].includes(createSeededRandom(1).pick(['a', 'b'])))
})

test('a recorder has what came, gaps in their place', async () => {
  const { hub, publish } = createTestHub()
  const recorder = createRecorder(3)
  hub.join(interestIn(['a*']), recorder)
  await publish('a', 'one')
  recorder.gap({ epoch: 'e', offset: 1 }, { epoch: 'e', offset: 2 })
  await publish('ab', 'two')
  assert.deepEqual(recorder.texts(), ['one', '(gap)', 'two'])
  assert.deepEqual(recorder.messages().map((message) => message.offset), [1, 2])
  assert.equal(recorder.count, 3)
})
