import assert from 'node:assert/strict'
import { parseArgs } from 'node:util'
import { test } from 'node:test'
import { createSeededRandom } from '../../src/testing/index.ts'
import { mischiefBy } from '../support/chaos-proxy.ts'
import { PLAIN, startLinksWorld, TOPICS, type LinksWorld } from '../support/links-world.ts'

/*
 * Two hubs with a link between them, and a network at its worst, for as long as is asked for:
 *   npm run soak:links
 *   npm run soak:links -- --minutes 60 --seed 7
 */

const { values } = parseArgs({ options: { minutes: { type: 'string', default: '10' }, seed: { type: 'string', default: '1' } } })
const [minutes, seed] = [Number(values.minutes), Number(values.seed)]
/** More than a minute of messages of one topic. */
const KEPT = 30_000
/** Mischief, in ms: some of it lasts longer than a taker waits. */
const MOST_MS = 3_000

test(`links in a network at its worst, for ${minutes} minutes from seed ${seed}`, async (t) => {
  const world = await startLinksWorld(t, KEPT)
  const random = createSeededRandom(seed)
  const until = performance.now() + minutes * 60_000
  let mischiefAt = 0
  let toldAt = performance.now()
  let rounds = 0
  while (performance.now() < until) {
    if (performance.now() >= mischiefAt) {
      for (const proxy of [world.proxy, world.plainProxy]) if (random.next() < 0.6) proxy.do(mischiefBy(random, { ms: MOST_MS }))
      mischiefAt = performance.now() + random.below(600)
      // Otherwise stalls and outages come so close upon one another that nothing is ever up.
      if (++rounds % 20 === 0) await world.settle()
    }
    for (let i = random.below(60); i > 0; i--) world.publish(random.pick([...TOPICS, PLAIN]))
    await new Promise((resolve) => setTimeout(resolve, random.below(30)))
    if (performance.now() - toldAt > 60_000) {
      toldAt = performance.now()
      console.log(figures(world))
    }
    assert.deepEqual(faults(world), [])
  }
  await world.settle()
  console.log(figures(world))
  assert.deepEqual(faults(world), [])
})

const MIB = (bytes: number): string => (bytes / 1_048_576).toFixed(0)

function faults(world: LinksWorld): string[] {
  return world.witnesses.flatMap((witness) => witness.faults)
}

function figures({ published, proxy, plainProxy, witnesses }: LinksWorld): string {
  const lines = witnesses.map(({ name, taken, announced, gaps, needless }) => `  ${name.padEnd(34)} ${taken} taken, ${announced} missing and announced, ${gaps} gaps, ${needless} of them needless`)
  const did = ({ counts, made }: LinksWorld['proxy']): string => `${Object.entries(counts).map(([kind, n]) => `${n} ${kind}`).join(', ')}; ${made} connections`
  return `${published} messages, ${MIB(process.memoryUsage().rss)} MiB, ${MIB(process.memoryUsage().heapUsed)} of them objects\n  link: ${did(proxy)}\n  link to PonyExpress: ${did(plainProxy)}\n${lines.join('\n')}`
}
