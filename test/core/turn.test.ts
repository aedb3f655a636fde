import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createTurn } from '../../src/core/turn.ts'
import { createManualClock } from '../../src/testing/index.ts'

test('all who gather in a turn are flushed at its end, in their order, by one call of the clock', () => {
  const clock = createManualClock()
  let asked = 0
  const turn = createTurn({ ...clock, endOfTurn: (fn) => (asked++, clock.endOfTurn(fn)) })
  const flushed: string[] = []
  for (const name of ['a', 'b', 'c']) turn.add({ flush: () => flushed.push(name) })
  assert.deepEqual(flushed, [])
  clock.endTurn()
  assert.deepEqual(flushed, ['a', 'b', 'c'])
  assert.equal(asked, 1)
  clock.endTurn()
  assert.deepEqual(flushed, ['a', 'b', 'c'], 'once flushed, only who asks again is flushed again')
})

test('one that gathers again during the flush is flushed at the end of the next turn', () => {
  const clock = createManualClock()
  const turn = createTurn(clock)
  let flushes = 0
  const one = { flush: (): void => { if (++flushes === 1) turn.add(one) } }
  turn.add(one)
  clock.endTurn()
  assert.equal(flushes, 1)
  clock.endTurn()
  assert.equal(flushes, 2)
})

test('a flush at once leaves nothing for the end of the turn', () => {
  const clock = createManualClock()
  const turn = createTurn(clock)
  let flushes = 0
  turn.add({ flush: () => flushes++ })
  turn.flush()
  assert.equal(flushes, 1)
  clock.endTurn()
  assert.equal(flushes, 1)
  turn.add({ flush: () => flushes++ })
  clock.endTurn()
  assert.equal(flushes, 2)
})

test('what comes in one turn has one time, also where nobody has anything to write, and the next turn another', () => {
  const clock = createManualClock()
  const turn = createTurn(clock)
  const began = turn.now()
  assert.equal(began, clock.now())
  clock.adjust(5_000)
  turn.flush()
  assert.equal(turn.now(), began, 'a flush at once does not end the turn')
  clock.endTurn()
  assert.equal(turn.now(), clock.now())
  clock.endTurn()
  turn.add({ flush() {} })
  const second = clock.now()
  clock.adjust(5_000)
  assert.equal(turn.now(), second, 'the turn began when somebody had something to write')
})
