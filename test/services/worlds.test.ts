import assert from 'node:assert/strict'
import { test } from 'node:test'
import { playServices } from './worlds.ts'

/** More of them: `CALLER_WORLDS=1000000`. With those of pools and of whole hubs the suite plays ten thousand. */
const WORLDS = Number(process.env['CALLER_WORLDS'] ?? 5_000)
/** Worlds that are played side by side. */
const TOGETHER = 250

test(`in ${WORLDS} worlds no answer goes to another call, every call ends once and in time, and originals are spared`, async () => {
  const seen = { answer: 0, failed: 0, lost: 0, unsent: 0, deadline: 0 }
  for (let from = 1; from <= WORLDS; from += TOGETHER) {
    const seeds = Array.from({ length: TOGETHER }, (_, at) => from + at)
    const played = await playServices(seeds)
    for (const [at, { breach, outcomes }] of played.entries()) {
      assert.equal(breach, undefined, `seed ${seeds[at]}`)
      for (const [kind, count] of Object.entries(outcomes)) seen[kind as keyof typeof seen] += count
    }
  }
  for (const [kind, count] of Object.entries(seen)) assert.ok(count > WORLDS / 20, `only ${count} calls of ${WORLDS} worlds ended by ${kind}`)
})
