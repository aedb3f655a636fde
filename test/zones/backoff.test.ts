import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createBackoff } from '../../src/zones/backoff.ts'
import { createSeededRandom } from '../../src/testing/seeded-random.ts'

function backoffWith(chance: number | undefined = undefined) {
  const random = chance === undefined ? createSeededRandom(7) : { next: () => chance }
  return { backoff: createBackoff({ first: 1_000, most: 15_000, random }) }
}

test('each further failure waits twice as long, up to the longest', () => {
  const { backoff } = backoffWith(0.5)
  const waits = Array.from({ length: 7 }, () => backoff.after('failed', 0))
  assert.deepEqual(waits.slice(0, 4), [1_000, 2_000, 4_000, 8_000])
  for (const wait of waits.slice(4)) assert.ok(wait > 8_000 && wait <= 15_000, `${wait}`)
})

test('a wait is within half as much more or less, and never above the longest', () => {
  const { backoff } = backoffWith()
  const seen = new Set<number>()
  for (let i = 0; i < 200; i++) {
    const base = Math.min(15_000, 1_000 * 2 ** i)
    const wait = backoff.after('failed', 0)
    assert.ok(wait >= base / 2 && wait <= Math.min(15_000, 1.5 * base), `after ${i} failures: ${wait}`)
    seen.add(wait)
  }
  assert.ok(seen.size > 190, 'takers that fail together would come back together')
})

test('after a connection that had been up the next is tried at once; one that soon ends again waits, and each further one longer', () => {
  const { backoff } = backoffWith(0.5)
  assert.deepEqual(Array.from({ length: 7 }, () => backoff.after('lost', 3_000)), [0, 1_000, 2_000, 4_000, 8_000, 11_250, 11_250])
  assert.equal(backoff.after('failed', 0), 11_250, 'whatever way it ends')
  assert.deepEqual(Array.from({ length: 4 }, () => backoff.after('lost', 5_000)), [0, 0, 0, 0], 'after a long good time the count is new')
})

test('a link that flaps, however it does, is made again some ten times a minute', () => {
  for (const lasted of [10, 250, 2_000, 4_999, 5_000]) {
    const { backoff } = backoffWith()
    let made = 0
    for (let at = 0; at < 60_000; made++) at += lasted + backoff.after('lost', lasted)
    assert.ok(made <= 13, `${made} times, each for ${lasted} ms`)
  }
})

test('a connection that was lost makes failures before it forgotten', () => {
  const { backoff } = backoffWith(0.5)
  for (let i = 0; i < 5; i++) backoff.after('failed', 0)
  backoff.after('lost', 300)
  assert.equal(backoff.after('failed', 0), 1_000)
})

test('one that ends by a fault each time, however soon, waits longer each time; after a long good time the count is new', () => {
  const { backoff } = backoffWith(0.5)
  assert.deepEqual([backoff.after('failed', 300), backoff.after('failed', 300), backoff.after('failed', 300)], [1_000, 2_000, 4_000])
  assert.equal(backoff.after('failed', 5_000), 1_000)
})

test('a refusal waits the longest at once', () => {
  const { backoff } = backoffWith(0)
  assert.equal(backoff.after('refused', 100), 7_500)
  const { backoff: other } = backoffWith(0.999_999)
  assert.ok(other.after('refused', 100) > 14_900)
})
