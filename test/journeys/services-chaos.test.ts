import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createSeededRandom } from '../../src/testing/index.ts'
import { mischiefBy } from '../support/chaos-proxy.ts'
import { startServicesWorld } from '../support/services-world.ts'

/*
 * Two seconds of what `npm run soak:services` does for minutes. Nothing here depends on how long anything takes.
 */

const SEED = 20_262
const ROUNDS = 60

test('five workers that are killed and asked to go, callers by all ways in, and a network that cuts, stalls, slices and swallows: each call ends once, with its own answer, and is not done twice', async (t) => {
  const world = await startServicesWorld(t, 1)
  const random = createSeededRandom(SEED)
  await world.settle()
  for (let round = 0; round < ROUNDS; round++) {
    for (const proxy of world.proxies) if (random.below(12) === 0) proxy.do(mischiefBy(random, { ms: 200 }))
    if (round % 20 === 10) world.loseWorker(random, 'kill')
    if (round % 20 === 19) world.loseWorker(random, 'drain')
    for (let i = random.below(12); i > 0; i--) world.act(random)
    await new Promise((resolve) => setTimeout(resolve, random.below(40)))
  }
  await world.settle()

  // Where nothing is wrong with the network, those who go cost nobody an answer.
  const slow = world.callers.flatMap((caller) => Array.from({ length: 6 }, (_, i) => caller.call({ how: 'slow', ms: 20 * i, deadline: 10_000, kind: 'once' })))
  for (let i = 0; i < 3; i++) world.loseWorker(random, 'drain')
  assert.deepEqual(await Promise.all(slow), slow.map(() => true))
  await world.settle()
  assert.deepEqual(world.ledger.faults, [])
  const { counts, codes, latest } = world.ledger
  assert.ok(counts.answered > 50 && counts.executed > 50, JSON.stringify(counts))
  t.diagnostic(`${JSON.stringify(counts)}, ${JSON.stringify(Object.fromEntries(codes))}, at most ${latest.toFixed(0)} ms late`)
})
