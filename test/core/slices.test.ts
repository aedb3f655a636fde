import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createSlices, type Slices } from '../../src/core/slices.ts'
import { createManualClock } from '../../src/testing/index.ts'

/** A world in which every step takes a millisecond, and nothing else takes any time. */
function createWorld(): { slices: Slices; endTurn(): void; work(steps: number, done: (step: number) => void): Generator<void, void> } {
  const clock = createManualClock()
  let now = 0
  return {
    slices: createSlices({ ...clock, monotonic: () => now }),
    endTurn: clock.endTurn,
    *work(steps, done) {
      for (let step = 0; step < steps; step++) {
        now++
        done(step)
        yield
      }
    },
  }
}

test('long work is done in slices, in its order, to its end', async () => {
  const { slices, endTurn, work } = createWorld()
  const done: string[] = []
  slices.add(work(100, (step) => done.push(`one ${step}`)))
  slices.add(work(40, (step) => done.push(`two ${step}`)))
  assert.equal(done.length, 0, 'nothing is done where it is asked for')
  const idle = slices.idle()
  const perTurn: number[] = []
  for (let last = 0; done.length < 140; last = done.length) {
    endTurn()
    perTurn.push(done.length - last)
    assert.ok(done.length > last, 'a turn has done nothing')
  }
  await idle
  await slices.idle()
  assert.ok(Math.max(...perTurn) <= 32, `${perTurn}`)
  assert.deepEqual(done.map((line) => line.slice(0, 3)), [...Array(100).fill('one'), ...Array(40).fill('two')])
})

test('many small works share a slice, and no slice has no end', () => {
  const { slices, endTurn, work } = createWorld()
  let done = 0
  for (let i = 0; i < 1_000; i++) slices.add(work(1, () => done++))
  endTurn()
  assert.equal(done, 16)
  for (let last = 0; done < 1_000; last = done, endTurn()) assert.ok(done - last <= 16)
})

test('what is let go is not done, and nobody waits for it', async () => {
  const { slices, endTurn, work } = createWorld()
  let done = 0
  slices.add(work(10, () => done++))
  const idle = slices.idle()
  slices.close()
  await idle
  endTurn()
  assert.equal(done, 0)
  await slices.idle()
})
