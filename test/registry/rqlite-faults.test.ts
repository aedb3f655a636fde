import assert from 'node:assert/strict'
import { after, test, type TestContext } from 'node:test'
import { WaystationError } from '../../src/core/errors.ts'
import type { Registry } from '../../src/core/registry.ts'
import { createRqliteRegistry } from '../../src/registry/rqlite/registry.ts'
import { realClock } from '../../src/server/real-world.ts'
import { until } from '../support/events.ts'
import { startRqlite } from '../support/rqlite.ts'
import { exact, startAndKeep, targets, URL, type Told } from './open-registry.ts'

/** One cluster for all, whole again after each test; each has tables of its own. */
const cluster = await startRqlite({ after })
let n = 0

/** Registries on tables of their own, each with the nodes that it is to ask, the first first. */
function world(t: TestContext, options: { readonly patience?: number } = {}): (...nodes: number[]) => Registry {
  const prefix = `t${++n}_`
  t.after(() => cluster.heal())
  return (...nodes) => {
    const urls = nodes.map((i) => (cluster.nodes[i] as string).replace('http://', 'http://user:secret@'))
    const registry = createRqliteRegistry({ nodes: urls, clock: realClock, pollInterval: 100, prefix, ...options })
    t.after(() => registry.close())
    return registry
  }
}

function isUnavailable(error: unknown): error is WaystationError {
  assert.ok(error instanceof WaystationError, String(error))
  assert.equal(error.code, 'registry_unavailable')
  assert.doesNotMatch(error.message + String((error.cause as Error | undefined)?.stack), /secret|user:/)
  return true
}

/** Enough where nothing can be answered. */
const IMPATIENT = { patience: 1_000 }

/** Rejects, in time. */
async function refused(act: () => Promise<unknown> | undefined): Promise<void> {
  const began = performance.now()
  await assert.rejects(async () => act(), isUnavailable)
  assert.ok(performance.now() - began < 4_000, `it took ${performance.now() - began} ms`)
}

/** Adds through two registries at once, and does something in the middle. Gives what was answered well. */
async function storm(both: readonly [Registry, Registry], inTheMiddle: () => Promise<void> | void): Promise<string[]> {
  const answered: string[] = []
  let [next, refusals] = [0, 0]
  let middle: Promise<void> | undefined
  await Promise.all(both.flatMap((registry, which) => Array.from({ length: 20 }, async () => {
    while (next < 1_200) {
      const target = `${which}/${next++}`
      if (next === 400) middle = Promise.resolve(inTheMiddle())
      try {
        // Each target is new: one that was done twice would be false.
        assert.equal(await registry.add(URL, exact(target)), true, `${target} was there already`)
        answered.push(target)
      } catch (error) {
        if (error instanceof assert.AssertionError) throw error
        isUnavailable(error)
        refusals++
      }
    }
  })))
  await middle
  // Those alone whose answers were on their way.
  assert.ok(answered.length >= 1_000, `only ${answered.length} were answered, and ${refusals} refused`)
  return answered
}

async function agree(registries: readonly Registry[], told: readonly Told[], answered: readonly string[]): Promise<void> {
  const there = (await (registries[0] as Registry).list(URL)).map((one) => one.target).sort()
  for (const target of answered) assert.ok(there.includes(target as never), `${target} was answered, and is lost`)
  for (const one of told) await until(() => JSON.stringify(targets(one)) === JSON.stringify(there), 'the registries to agree')
}

function works(registry: Registry, target: string): Promise<void> {
  return until(async () => registry.add(URL, exact(target)).then(() => true, (error) => !isUnavailable(error)), 'the registry to work again')
}

test('when the leader is killed in the middle of a storm, what was answered is there, once, and all agree afterwards', async (t) => {
  const open = world(t)
  const [leader, ...followers] = inOrder(await cluster.leader())
  const both = [open(leader, ...followers), open(followers[1], followers[0], leader)] as const
  const told = await Promise.all(both.map(startAndKeep))
  const answered = await storm(both, () => cluster.kill(leader))
  await agree(both, told, answered)
  assert.deepEqual(both.map((one) => one.available), [true, true])
})

test('when the leader stands still in the middle of a storm and goes on, what was answered is there, once, and all agree afterwards', async (t) => {
  const open = world(t)
  const [leader, ...followers] = inOrder(await cluster.leader())
  const both = [open(leader, ...followers), open(followers[1], followers[0], leader)] as const
  const told = await Promise.all(both.map(startAndKeep))
  const answered = await storm(both, () => cluster.pause(leader))
  cluster.resume(leader)
  await until(async () => (await fetch(`${cluster.nodes[leader]}/readyz`)).ok, 'the node to be ready')
  await works(open(leader), 'afterwards')
  await agree(both, told, answered)
})

test('without a majority everything is refused in time, the registry says so, and works by itself when it is back', async (t) => {
  const open = world(t, IMPATIENT)
  const both = [open(0, 1, 2), open(2, 0, 1)] as const
  const told = await Promise.all(both.map(startAndKeep))
  await both[0].add(URL, exact('before'))
  await Promise.all([cluster.kill(0), cluster.kill(1)])
  for (const registry of both) {
    await Promise.all([refused(() => registry.add(URL, exact('meanwhile'))), refused(() => registry.current()), refused(() => registry.list(URL))])
    // A leader goes on for a moment, and then it knows that it is none.
    await refused(() => registry.keysOf(['a']))
    assert.equal(registry.available, false)
  }
  await cluster.restart(0, 1)
  await until(() => both.every((one) => one.available), 'both to be available')
  await works(both[0], 'after')
  await both[1].current()
  assert.ok(targets(told[1] as Told).includes('after'))
  await agree(both, told, ['before', 'after'])
})

test('the end of the node that it speaks to is nothing to a registry that knows others; one that knows no other waits for it', async (t) => {
  const open = world(t, IMPATIENT)
  const [leader, follower, other] = inOrder(await cluster.leader())
  const registries = [open(follower, other, leader), open(follower)] as const
  const told = await Promise.all(registries.map(startAndKeep))
  await cluster.kill(follower)
  for (let i = 0; i < 5; i++) assert.equal(await registries[0].add(URL, exact(`while it is away ${i}`)), true)
  await refused(() => registries[1].current())
  assert.equal(registries[0].available, true)
  await cluster.restart(follower)
  await until(() => registries[1].available, 'the node to be found again')
  await agree(registries, told, ['while it is away 0', 'while it is away 4'])
})

test('when all are stopped and started, everything is there; who starts meanwhile is refused, and told later', async (t) => {
  const open = world(t, IMPATIENT)
  const before = open(1, 2, 0)
  const told = await startAndKeep(before)
  await before.add(URL, exact('before'))
  await before.addKey({ domain: 'acme', username: 'u', apikey: 'k', sha256: undefined })
  await Promise.all([cluster.stop(0), cluster.stop(1), cluster.stop(2)])
  const late = open(0, 1)
  let [registrations, domains] = [0, 0]
  const start = (): Promise<void> => late.start((changes) => void (registrations += changes.length))
  await Promise.all([refused(start), refused(() => late.watchDomains((news) => void (domains += news.domains.length)))])
  assert.equal(late.available, false)
  await cluster.restart(0, 1, 2)
  await until(() => registrations === 1 && domains === 1, 'who was refused to be told by itself')
  await start()
  assert.equal(registrations, 1)
  await works(before, 'after')
  await agree([before], [told], ['before', 'after'])
})

test('what one answers is known to the other once it was asked to be current, every time, also when the leader is lost in between', async (t) => {
  const open = world(t)
  const [leader, first, second] = inOrder(await cluster.leader())
  const [registry, other] = [open(first, second, leader), open(second, leader, first)]
  const told = await startAndKeep(other)
  const there = new Set<string>()
  let answered = 0
  for (let i = 0; i < 300; i++) {
    const down = i === 150 ? cluster.kill(leader) : undefined
    const added = await registry.add(URL, exact(`${i}`)).catch((error) => !isUnavailable(error))
    // It says that it does not know, or it knows.
    const known = await (other.current() ?? Promise.resolve()).then(() => true, (error) => !isUnavailable(error))
    await down
    if (!added || !known) continue
    answered++
    for (const one of told.there.values()) there.add(one.target)
    assert.ok(there.has(`${i}`), `${i} was answered and not known`)
  }
  assert.ok(answered > 250, `only ${answered} of 300 were answered`)
})

function inOrder(leader: number): [number, number, number] {
  return [leader, (leader + 1) % 3, (leader + 2) % 3]
}
