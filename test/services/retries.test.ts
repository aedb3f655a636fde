import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createRetries } from '../../src/services/retries.ts'
import { createManualClock } from '../../src/testing/manual-clock.ts'

/** @param chance what the random source gives */
function retriesWith(chance: number) {
  const clock = createManualClock()
  return { clock, retries: createRetries({ first: 1_000, most: 60_000, clock, random: { next: () => chance } }) }
}

test('a connection that was up is made again at once, three times within five seconds and no more', () => {
  const { clock, retries } = retriesWith(0.5)
  assert.deepEqual([1, 2, 3].map(() => retries.after('lost', 100)), [0, 0, 0])
  assert.equal(retries.after('lost', 100), 1_000)
  assert.equal(retries.after('lost', 100), 2_000)
  clock.advance(4_999)
  assert.equal(retries.after('lost', 100), 4_000)
  clock.advance(1)
  assert.equal(retries.after('lost', 100), 0)
})

test('failures wait twice as long each time, up to the longest wait, within half as much more or less', () => {
  const middle = retriesWith(0.5).retries
  assert.deepEqual(Array.from({ length: 8 }, () => middle.after('failed', 0)), [1_000, 2_000, 4_000, 8_000, 16_000, 32_000, 45_000, 45_000])
  const low = retriesWith(0).retries
  assert.deepEqual(Array.from({ length: 3 }, () => low.after('failed', 0)), [500, 1_000, 2_000])
  const high = retriesWith(0.999_999).retries
  assert.deepEqual(Array.from({ length: 8 }, () => Math.round(high.after('failed', 0))), [1_500, 3_000, 6_000, 12_000, 24_000, 48_000, 60_000, 60_000])
})

test('a connection that has lasted makes the waits short again, one that has not does not', () => {
  const { retries } = retriesWith(0.5)
  for (let i = 0; i < 4; i++) retries.after('failed', 0)
  assert.equal(retries.after('lost', 4_999), 0)
  assert.equal(retries.after('failed', 0), 16_000)
  assert.equal(retries.after('lost', 5_000), 0)
  assert.equal(retries.after('failed', 0), 1_000)
})

test('who was refused waits the longest, and that counts as no failure', () => {
  const { retries } = retriesWith(1)
  assert.equal(retries.after('refused', 10), 60_000)
  assert.equal(retries.after('failed', 0), 1_500)
})
