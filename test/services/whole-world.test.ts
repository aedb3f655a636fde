import assert from 'node:assert/strict'
import { test } from 'node:test'
import { playWhole } from './whole-world.ts'

/** More of them, or one alone: `WHOLE_WORLDS=20000`, `WHOLE_WORLDS_FROM=4711 WHOLE_WORLDS=1`. */
const WORLDS = Number(process.env['WHOLE_WORLDS'] ?? 100)
const FROM = Number(process.env['WHOLE_WORLDS_FROM'] ?? 1)
/** Worlds that are played side by side. */
const TOGETHER = 20

test(`in ${WORLDS} worlds of a hub, workers and callers over a network at its worst every call ends once, in time, with its own answer, and nothing is done twice`, async (t) => {
  const sums = new Map<string, number>()
  for (let from = FROM; from < FROM + WORLDS; from += TOGETHER) {
    const seeds = Array.from({ length: Math.min(TOGETHER, FROM + WORLDS - from) }, (_, at) => from + at)
    for (const [at, { breach, policy, counts }] of (await playWhole(seeds)).entries()) {
      assert.equal(breach, undefined, `with ${policy}: WHOLE_WORLDS_FROM=${seeds[at]} WHOLE_WORLDS=1 node --test test/services/whole-world.test.ts`)
      for (const [what, count] of Object.entries(counts)) sums.set(what, (sums.get(what) ?? 0) + count)
    }
  }
  t.diagnostic(JSON.stringify(Object.fromEntries(sums)))
  // Worlds in which nothing happens keep every promise.
  if (WORLDS >= 100) for (const [what, count] of sums) assert.ok(count > WORLDS / 40, `only ${count} ${what} in ${WORLDS} worlds`)
})
