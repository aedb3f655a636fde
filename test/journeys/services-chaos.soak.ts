import assert from 'node:assert/strict'
import { parseArgs } from 'node:util'
import { test } from 'node:test'
import { createSeededRandom } from '../../src/testing/index.ts'
import { mischiefBy } from '../support/chaos-proxy.ts'
import { heapUsed } from '../support/memory.ts'
import { startServicesWorld, type ServicesWorld } from '../support/services-world.ts'

/*
 * A hub, five workers in processes of their own that are killed and asked to go, callers by all ways in, and a network at
 * its worst, for as long as is asked for:
 *   npm run soak:services
 *   npm run soak:services -- --minutes 60 --seed 7
 */

const { values } = parseArgs({ options: { minutes: { type: 'string', default: '10' }, seed: { type: 'string', default: '1' } } })
const [minutes, seed] = [Number(values.minutes), Number(values.seed)]
const WORKERS = 5
/** Mischief, in ms: some of it lasts longer than an end waits for the other. */
const MOST_MS = 1_500
const MIB = 1_048_576
/** Answers with keys are kept for 20 s: by then as many are here as ever will be. */
const WARM_MS = 60_000
/** Bytes that objects may take more in the end than when all was warm. */
const MOST_GROWTH = 24 * MIB

test(`services in a network at its worst, for ${minutes} minutes from seed ${seed}`, async (t) => {
  const world = await startServicesWorld(t, WORKERS)
  const random = createSeededRandom(seed)
  await world.settle()
  const began = performance.now()
  let [mischiefAt, workersAt, toldAt, calmAt, rounds] = [0, 0, began, began, 0]
  let warm: number | undefined
  for (let now = began; now - began < minutes * 60_000; now = performance.now()) {
    rounds++
    if (now >= mischiefAt) {
      for (const proxy of world.proxies) if (random.below(8) === 0) proxy.do(mischiefBy(random, { ms: MOST_MS }))
      mischiefAt = now + random.below(500)
    }
    if (now >= workersAt) {
      world.loseWorker(random, random.below(2) === 0 ? 'kill' : 'drain')
      workersAt = now + 500 + random.below(4_000)
    }
    for (let i = random.below(14); i > 0; i--) world.act(random)
    await new Promise((resolve) => setTimeout(resolve, random.below(40)))
    if (rounds % 50 === 0) world.ledger.check()
    if (now - calmAt > 20_000) {
      await world.settle()
      calmAt = performance.now()
    }
    if (now - toldAt > 60_000) {
      toldAt = now
      console.log(figures(world))
      if (warm === undefined && now - began >= WARM_MS) warm = heapUsed()
    }
    assert.deepEqual(world.ledger.faults, [])
  }
  await world.settle()
  console.log(figures(world))
  assert.deepEqual(world.ledger.faults, [])
  const growth = warm === undefined ? 0 : heapUsed() - warm
  console.log(`${(growth / MIB).toFixed(1)} MiB of objects more than after a minute`)
  assert.ok(growth < MOST_GROWTH, `objects have grown by ${growth} bytes`)
})

function figures({ ledger, proxies, killed, drained }: ServicesWorld): string {
  const { counts, codes, latest } = ledger
  const sum = (of: (proxy: ServicesWorld['proxies'][number]) => number): number => proxies.reduce((all, proxy) => all + of(proxy), 0)
  const did = Object.keys(proxies[0]?.counts ?? {}).map((kind) => `${sum((proxy) => proxy.counts[kind as 'cut'])} ${kind}`).join(', ')
  const ends = [...codes].map(([code, n]) => `${n} ${code}`).join(', ')
  return `${counts.calls} calls, ${counts.answered} answered, ${ends}, at most ${latest.toFixed(0)} ms late (${counts.unjudged} not judged: the machine was busy); ${counts.casts} casts; ${counts.executed} done, ${counts.twice} of them again\n`
    + `  ${killed} workers killed, ${drained} asked to go; ${did}; ${sum(({ made }) => made)} connections; ${(process.memoryUsage().rss / MIB).toFixed(0)} MiB, ${(heapUsed() / MIB).toFixed(0)} of them objects`
}
