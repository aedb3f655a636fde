import assert from 'node:assert/strict'
import { test } from 'node:test'
import { interestIn } from '../../src/core/interest.ts'
import { createLosses, MOST_LOSSES, MOST_LOST_NAMES, type Losses } from '../../src/core/losses.ts'
import { createMemoryLog } from '../../src/core/log.ts'
import type { LostInterest } from '../../src/core/message.ts'
import { createRules } from '../../src/core/rules.ts'
import { createManualClock, createSeededRandom } from '../../src/testing/index.ts'

function lose(losses: Losses, offset: number, lost: LostInterest): void {
  losses.add({ offset, epoch: 'e', time: 0, lost })
}

function names(from: number, count: number): LostInterest {
  return interestIn(Array.from({ length: count }, (_, i) => `n/${from + i}`))
}

test('past their number the oldest losses go, and the last of them is the floor', () => {
  const losses = createLosses()
  const lost = interestIn(['a'])
  for (let offset = 1; offset <= MOST_LOSSES; offset++) lose(losses, offset, lost)
  assert.equal(losses.floor, 0)
  for (let offset = MOST_LOSSES + 1; offset <= MOST_LOSSES + 7; offset++) lose(losses, offset, lost)
  assert.equal(losses.floor, 7)
  assert.equal(losses.since(interestIn(['a']), 7).length, MOST_LOSSES)
})

test('past so many names the oldest losses go, and the newest stays however many it has', () => {
  const losses = createLosses()
  const half = MOST_LOST_NAMES / 2
  lose(losses, 1, names(0, half))
  lose(losses, 2, names(half, half))
  assert.equal(losses.floor, 0)
  lose(losses, 3, names(0, 1))
  assert.equal(losses.floor, 1)
  lose(losses, 4, names(0, MOST_LOST_NAMES + 1))
  assert.equal(losses.floor, 3)
  assert.equal(losses.since(names(1, 1), 3).length, 1)
})

test('the names of an interest that is lost again and again count once, until its last loss is gone', () => {
  const losses = createLosses()
  const again = names(0, MOST_LOST_NAMES - 1)
  for (let offset = 1; offset <= 500; offset++) lose(losses, offset, again)
  lose(losses, 501, names(0, 1))
  assert.equal(losses.floor, 0)
  lose(losses, 502, names(0, 1))
  assert.equal(losses.floor, 500)
  lose(losses, 503, names(0, MOST_LOST_NAMES - 2))
  assert.equal(losses.floor, 500, 'what is gone counts no more')
})

test('a log that has let go of losses answers "lost" to everyone from before them, and exactly to everyone else', () => {
  const log = createMemoryLog({ rules: createRules([{ topics: '*', keep: { messages: 10, ms: 1_000 } }]), clock: createManualClock(), random: createSeededRandom(1), maxBytes: 1_000_000 })
  const lost = interestIn(['a'])
  for (let i = 0; i <= MOST_LOSSES; i++) log.lose(lost)
  const read = (name: string, offset: number): unknown => log.read(interestIn([name]), { epoch: log.epoch, offset })
  assert.equal(read('a', 0), 'lost')
  assert.equal(read('b', 0), 'lost')
  assert.deepEqual(read('b', 1), [])
  assert.equal((read('a', 1) as unknown[]).length, MOST_LOSSES)
})

test('a thousand resumptions across a thousand losses of ten thousand names take no time', () => {
  const losses = createLosses()
  const lost = names(0, 10_000)
  for (let offset = 1; offset <= MOST_LOSSES; offset++) lose(losses, offset, lost)
  const before = performance.now()
  for (let i = 0; i < 1_000; i++) losses.since(interestIn([`n/${i}`, 'm/*', `n/${i}?`]), MOST_LOSSES - 10)
  assert.ok(performance.now() - before < 1_000)
})
