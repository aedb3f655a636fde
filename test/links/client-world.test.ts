import assert from 'node:assert/strict'
import { test } from 'node:test'
import { playWorld } from './world.ts'

const WORLDS = 200

test(`in ${WORLDS} worlds with cuts at any byte every subscriber behind a link has everything in order, or was told of a gap`, async (t) => {
  const sums = { published: 0, heard: 0, gaps: 0, cuts: 0 }
  for (let seed = 1; seed <= WORLDS; seed++) {
    const { breach, kind, ...counts } = await playWorld(seed)
    assert.equal(breach, undefined, `in the world of ${kind} with seed ${seed}: node test/links/worlds.ts --seeds 1 --from ${seed}`)
    for (const key of ['published', 'heard', 'gaps', 'cuts'] as const) sums[key] += counts[key]
  }
  t.diagnostic(JSON.stringify(sums))
  // Worlds in which nothing happens keep every promise.
  assert.ok(sums.published > 50 * WORLDS && sums.heard > 50 * WORLDS && sums.cuts > WORLDS && sums.gaps > 2 * WORLDS)
})
