import assert from 'node:assert/strict'
import { test } from 'node:test'
import { playPoolWorld } from './pool-world.ts'

/** More of them, or one alone: `POOL_WORLDS=1000000`, `POOL_WORLDS_FROM=4711 POOL_WORLDS=1`. */
const WORLDS = Number(process.env['POOL_WORLDS'] ?? 5_000)
const FROM = Number(process.env['POOL_WORLDS_FROM'] ?? 1)

test(`in ${WORLDS} worlds of workers that come, go and fail every call ends once, in time, with its own answer, and nothing is done twice`, (t) => {
  const sums = { answered: 0, failed: 0, moved: 0, waited: 0, repeats: 0 }
  for (let seed = FROM; seed < FROM + WORLDS; seed++) {
    const { breach, policy, ...counts } = playPoolWorld(seed)
    assert.equal(breach, undefined, `with ${policy}: POOL_WORLDS_FROM=${seed} POOL_WORLDS=1 node --test test/services/pool-world.test.ts`)
    for (const key of ['answered', 'failed', 'moved', 'waited', 'repeats'] as const) sums[key] += counts[key]
  }
  t.diagnostic(JSON.stringify(sums))
  // Worlds in which nothing happens keep every promise.
  if (WORLDS >= 1_000) assert.ok(sums.answered > 4 * WORLDS && sums.failed > WORLDS && sums.moved > WORLDS / 3 && sums.waited > WORLDS && sums.repeats > WORLDS / 4)
})
