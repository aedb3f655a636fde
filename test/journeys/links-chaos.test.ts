import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createSeededRandom } from '../../src/testing/index.ts'
import { mischiefBy } from '../support/chaos-proxy.ts'
import { until } from '../support/events.ts'
import { BRIEF, PLAIN, startLinksWorld, TOPICS } from '../support/links-world.ts'

/*
 * A few seconds of what `npm run soak:links` does for minutes. Nothing here depends on how long anything takes: whatever
 * the network does, all arrives in order, or is announced.
 */

const SEED = 20_261

test('two hubs and a network that cuts, stalls, slices and swallows: everyone downstream has everything in order, or is told what is missing', async (t) => {
  const world = await startLinksWorld(t, 100_000)
  const random = createSeededRandom(SEED)
  const pause = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, random.below(40)))
  for (let round = 0; round < 50; round++) {
    for (const proxy of [world.proxy, world.plainProxy]) if (random.next() < 0.7) proxy.do(mischiefBy(random, { ms: 250 }))
    for (let i = random.below(120); i > 0; i--) world.publish(random.pick([...TOPICS, PLAIN]))
    await pause()
  }
  await world.settle()
  assert.deepEqual(world.witnesses.flatMap(({ faults }) => faults), [])

  // An outage that is shorter than the log.
  for (const { name, announced, gaps } of world.keptWitnesses) assert.deepEqual([announced, gaps], [0, 0], name)

  // A connection that swallows everything is found out by the taker alone.
  const made = world.proxy.made
  world.proxy.do({ kind: 'half-open', ms: 3_600_000 })
  for (let i = 0; i < 100; i++) world.publish('kept/a')
  await until(() => world.proxy.made > made, 'the taker has noticed')

  // An outage that is longer than what is kept of one topic, and shorter than what is kept of another.
  const before = world.witnesses.map(({ gaps }) => gaps)
  world.proxy.do({ kind: 'outage', ms: 3_600_000 })
  await until(() => world.links[0]?.state.state === 'down', 'the link is down')
  for (let i = 0; i < 3 * BRIEF; i++) for (const topic of ['brief/a', 'kept/b']) world.publish(topic)
  await world.settle()
  const brief = world.witnesses.findIndex(({ name }) => name === 'WebSocket of brief/a')
  assert.ok((world.witnesses[brief]?.gaps ?? 0) > (before[brief] ?? 0), 'those of the brief topic were told')
  for (const { name, announced, gaps } of world.keptWitnesses) assert.deepEqual([announced, gaps], [0, 0], name)
  assert.deepEqual(world.witnesses.flatMap(({ faults }) => faults), [])
  t.diagnostic(`${world.published} messages, ${JSON.stringify(world.proxy.counts)}`)
})
