import assert from 'node:assert/strict'
import { test } from 'node:test'
import { interestIn, type Interest } from '../../src/core/interest.ts'
import { createWishBounds, isFitForLog, MOST_STEPS, MOST_STEPS_IN_LOG } from '../../src/links/wish-bounds.ts'

/** Tried at each sign of a topic, with so many steps. */
const dear = (steps: number, name = ''): string => `*${'?'.repeat(steps - name.length)}${name}*`
const globs = (...sources: string[]): Interest => interestIn(sources)

test('globs that are tried at each sign of a topic have a bound, for all takers together, and room again when they go', () => {
  const bounds = createWishBounds()
  const half = bounds.take(globs(dear(MOST_STEPS / 2)))
  const rest = bounds.take(globs(dear(MOST_STEPS / 2 - 1, 'a'), 'cheap/*'))
  assert.ok(half !== undefined && rest !== undefined)
  assert.equal(bounds.take(globs(dear(2))), undefined)
  half()
  assert.ok(bounds.take(globs(dear(2))))
})

test('takers that want the same share it, and it is free when the last has gone', () => {
  const bounds = createWishBounds()
  const wish = globs(dear(MOST_STEPS))
  const [one, other] = [bounds.take(wish), bounds.take(globs(dear(MOST_STEPS)))]
  one?.()
  assert.equal(bounds.take(globs(dear(1))), undefined)
  other?.()
  assert.ok(bounds.take(globs(dear(1))))
})

test('globs that are looked for once, or found by an index, cost nothing', () => {
  const bounds = createWishBounds()
  const plain = Array.from({ length: 5_000 }, (_, i) => [`news/${i}/*`, `*/${i}`, `a*/x${i}/*b`, `[ab]?${i}*?`]).flat()
  assert.ok(bounds.take(globs(...plain)))
  assert.ok(isFitForLog(globs(...plain)))
})

test('a set costs what it takes to look into it', () => {
  const ranges = Array.from({ length: 1_000 }, (_, i) => String.fromCodePoint(0x4e00 + 3 * i)).join('')
  assert.equal(isFitForLog(globs(`*${`[${ranges}]`.repeat(20)}*`)), false)
  assert.equal(isFitForLog(globs(`*${'[a]'.repeat(20)}*`)), true)
})

test('a log is asked for few such globs only', () => {
  assert.equal(isFitForLog(globs(dear(MOST_STEPS_IN_LOG))), true)
  assert.equal(isFitForLog(globs(dear(MOST_STEPS_IN_LOG), dear(1))), false)
})

test('names and globs of all wishes have a bound, long ones counting more', () => {
  const bounds = createWishBounds(1_000)
  const wish = (name: string, count: number): Interest => ({ topics: Array.from({ length: count }, (_, i) => `${name}${i}` as never), patterns: [] })
  const most = bounds.take(wish('a', 990))
  assert.equal(bounds.take(wish('b', 11)), undefined)
  assert.equal(bounds.take(wish('b'.repeat(10_240), 1)), undefined)
  assert.equal(bounds.take(globs(`${'b'.repeat(10_240)}*`)), undefined)
  assert.ok(bounds.take(wish('c', 10)))
  most?.()
  assert.ok(bounds.take(wish('b', 990)))
})
