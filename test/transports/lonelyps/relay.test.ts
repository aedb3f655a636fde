import assert from 'node:assert/strict'
import { test, type TestContext } from 'node:test'
import { WaystationError } from '../../../src/core/errors.ts'
import type { Registry, Wanted } from '../../../src/core/registry.ts'
import { topicFromText } from '../../../src/core/topic.ts'
import { createManualClock } from '../../../src/testing/manual-clock.ts'
import { createSeededRandom } from '../../../src/testing/seeded-random.ts'
import { createRelay, type Relay } from '../../../src/transports/lonelyps/relay.ts'
import { createMemoryRegistry, createRegistryStore, type RegistryStore } from '../../support/memory-registry.ts'

const OURS = 'http://one.example/v1/receive_for_websockets'
const OTHERS = 'http://two.example/v1/receive_for_websockets'
const RECOVERY = 'http://one.example/v1/missed_for_websockets'
const [A, B] = [topicFromText('a'), topicFromText('b')]
const wanted = (target = A, kind: Wanted['kind'] = 'exact'): Wanted => ({ kind, target, recovery: RECOVERY })

interface World {
  readonly store: RegistryStore
  readonly clock: ReturnType<typeof createManualClock>
  readonly registry: Registry
  readonly elsewhere: Registry
  readonly relay: Relay
  readonly failures: unknown[]
  /** How often it was told that another hub goes by its url. */
  readonly shared: () => number
  /** What was asked of the registry. */
  readonly asked: string[]
  rows(url?: string): string[]
}

/** A relay on a registry that another hub shares. @param around put before the registry */
async function open(t: TestContext, { before = [], around = {} }: { before?: readonly Wanted[]; around?: Partial<Registry> } = {}): Promise<World> {
  const clock = createManualClock()
  const store = createRegistryStore()
  const elsewhere = createMemoryRegistry(store, clock)
  for (const one of before) await elsewhere.add(OURS, one)
  const real = createMemoryRegistry(store, clock)
  const asked: string[] = []
  const registry: Registry = {
    ...real,
    add: (url, one) => (asked.push(`add ${one.kind} ${one.target}`), (around.add ?? real.add)(url, one)),
    remove: (url, one) => (asked.push(`remove ${one.kind} ${one.target}`), (around.remove ?? real.remove)(url, one)),
    set: around.set ?? real.set,
  }
  const failures: unknown[] = []
  let shared = 0
  const relay = createRelay({ registry, clock, url: OURS, recovery: RECOVERY, failed: (error) => failures.push(error), shared: () => shared++ })
  await real.start(relay.apply)
  t.after(() => real.close())
  const rows = (url = OURS): string[] => [...store.rows.values()].filter((row) => row.url === url).map((row) => `${row.kind} ${row.target}`).sort()
  return { store, clock, registry: real, elsewhere, relay, failures, shared: () => shared, asked, rows }
}

async function settled(world: World): Promise<void> {
  for (let i = 0; i < 5; i++) await world.clock.settle()
}

const unavailable = new WaystationError('registry_unavailable', 'by the test')

test('a hub is registered once for what several of its sockets want, until the last leaves', async (t) => {
  const world = await open(t)
  const { relay, rows, asked, store } = world
  await Promise.all([relay.want('exact', A), relay.want('exact', A), relay.want('glob', A)])
  assert.deepEqual(rows(), ['exact a', 'glob a'])
  assert.deepEqual([...store.rows.values()].map((row) => row.recovery), [RECOVERY, RECOVERY])
  await relay.want('exact', A)
  assert.deepEqual(asked, ['add exact a', 'add glob a'])
  for (let i = 0; i < 2; i++) relay.leave('exact', A)
  await settled(world)
  assert.deepEqual(rows(), ['exact a', 'glob a'])
  relay.leave('exact', A)
  await settled(world)
  assert.deepEqual(rows(), ['glob a'])
  relay.leave('exact', A)
  relay.leave('exact', B)
  await settled(world)
  assert.deepEqual(asked, ['add exact a', 'add glob a', 'remove exact a'])
})

test('what is wanted settles when the row is there, for all who wait for it', async (t) => {
  const gate = Promise.withResolvers<void>()
  const world: World = await open(t, { around: { add: (url, one) => gate.promise.then(() => world.registry.add(url, one)) } })
  let settledOnes = 0
  const wants = [1, 2].map(() => world.relay.want('exact', A).then(() => settledOnes++))
  await settled(world)
  assert.equal(settledOnes, 0)
  gate.resolve()
  await Promise.all(wants)
  assert.deepEqual(world.rows(), ['exact a'])
})

test('who wants a topic just when others were told is told too', async (t) => {
  const { relay, asked } = await open(t)
  await relay.want('exact', A)
  await relay.want('exact', A)
  await relay.want('exact', A)
  assert.deepEqual(asked, ['add exact a'])
})

test('to leave and to want the same topic again ends registered, however they meet', async (t) => {
  const world = await open(t)
  const { relay, rows } = world
  await relay.want('exact', A)
  relay.leave('exact', A)
  await relay.want('exact', A)
  assert.deepEqual(rows(), ['exact a'])
  relay.leave('exact', A)
  // The removal is under way.
  await Promise.resolve()
  await relay.want('exact', A)
  assert.deepEqual(rows(), ['exact a'])
  await settled(world)
  assert.deepEqual(rows(), ['exact a'])
})

test('of one target only one thing is done at a time, of several many', async (t) => {
  const open_ = new Map<string, number>()
  let most = 0
  let together = 0
  const world: World = await open(t, { around: {
    add: (url, one) => track(one, () => world.registry.add(url, one)),
    remove: (url, one) => track(one, () => world.registry.remove(url, one)),
  } })
  async function track(one: Pick<Wanted, 'target'>, act: () => Promise<boolean>): Promise<boolean> {
    const now = (open_.get(one.target) ?? 0) + 1
    open_.set(one.target, now)
    most = Math.max(most, now)
    together = Math.max(together, open_.size)
    try {
      return await act()
    } finally {
      if (now === 1) open_.delete(one.target)
      else open_.set(one.target, now - 1)
    }
  }
  const random = createSeededRandom(7)
  const counts = new Map([[A, 0], [B, 0]])
  for (let i = 0; i < 300; i++) {
    const target = random.next() < 0.5 ? A : B
    if (random.next() < 0.5) void world.relay.want('exact', target).then(() => counts.set(target, (counts.get(target) as number) + 1))
    else if ((counts.get(target) as number) > 0) {
      counts.set(target, (counts.get(target) as number) - 1)
      world.relay.leave('exact', target)
    }
    if (random.next() < 0.3) await new Promise((resolve) => setImmediate(resolve))
  }
  await settled(world)
  assert.equal(most, 1)
  assert.equal(together, 2)
  assert.deepEqual(world.rows(), [A, B].filter((target) => (counts.get(target) as number) > 0).map((target) => `exact ${target}`))
})

test('a want that the registry refused is told, and does not count', async (t) => {
  let refuse = true
  const world: World = await open(t, { around: { add: (url, one) => (refuse ? Promise.reject(unavailable) : world.registry.add(url, one)) } })
  const { relay, rows, failures } = world
  await assert.rejects(relay.want('exact', A), (error) => error === unavailable)
  refuse = false
  world.clock.advance(60_000)
  await settled(world)
  assert.deepEqual(rows(), [], 'it was added though nobody wants it')
  await relay.want('exact', A)
  relay.leave('exact', A)
  await settled(world)
  assert.deepEqual(rows(), [], 'the refused one counts')
  assert.deepEqual(failures, [])
})

test('a row of ours that somebody took away is added again while it is wanted, and only then', async (t) => {
  const world = await open(t)
  const { relay, elsewhere, rows } = world
  await relay.want('exact', A)
  await relay.want('glob', B)
  await elsewhere.set(OURS, [])
  await settled(world)
  assert.deepEqual(rows(), ['exact a', 'glob b'])
  relay.leave('exact', A)
  await settled(world)
  assert.deepEqual(rows(), ['glob b'])
})

test('a row that goes while it is being added is added again before anybody is told that it is there', async (t) => {
  let times = 0
  const world: World = await open(t, { around: { async add(url, one) {
    const added = await world.registry.add(url, one)
    if (times++ === 0) await world.elsewhere.remove(url, one)
    return added
  } } })
  await world.relay.want('exact', A)
  assert.deepEqual(world.rows(), ['exact a'])
})

test('a row that goes late, while the one after it is being added, leaves nothing behind when the last one leaves', async (t) => {
  const gate = Promise.withResolvers<void>()
  let times = 0
  const world: World = await open(t, { around: { async add(url, one) {
    // Somebody took away the row of before, and that is told when this add is already under way.
    if (++times === 2) await world.elsewhere.remove(url, one)
    const added = await world.registry.add(url, one)
    if (times === 2) await gate.promise
    return added
  }, remove: async (url, one) => (times === 1 ? false : world.registry.remove(url, one)) } })
  const { relay, rows } = world
  await relay.want('exact', A)
  await settled(world)
  relay.leave('exact', A)
  const again = relay.want('exact', A)
  await settled(world)
  gate.resolve()
  await again
  relay.leave('exact', A)
  await settled(world)
  assert.equal(times, 2)
  assert.deepEqual(rows(), [])
})

test('what sockets want, or wait for, is wanted until the last leaves or is refused', async (t) => {
  const gate = Promise.withResolvers<void>()
  let refuse = false
  const world: World = await open(t, { around: { add: async (url, one) => {
    await gate.promise
    if (refuse) throw unavailable
    return world.registry.add(url, one)
  } } })
  const { relay } = world
  assert.equal(relay.wants(A), false)
  const waiting = [relay.want('exact', A), relay.want('glob', topicFromText('?'))]
  assert.deepEqual([relay.wants(A), relay.wants(B), relay.wants(topicFromText('ab'))], [true, true, false])
  gate.resolve()
  await Promise.all(waiting)
  relay.leave('glob', topicFromText('?'))
  assert.deepEqual([relay.wants(A), relay.wants(B)], [true, false])
  refuse = true
  const refused = relay.want('exact', B)
  assert.equal(relay.wants(B), true)
  await assert.rejects(refused)
  relay.leave('exact', A)
  assert.deepEqual([relay.wants(A), relay.wants(B)], [false, false])
})

test('that another hub goes by our url is noticed, once, and our own rows are never taken for its', async (t) => {
  const world = await open(t, { before: [wanted(topicFromText('left'))] })
  const { relay, elsewhere, shared } = world
  await relay.start()
  for (let i = 0; i < 3; i++) {
    await relay.want('exact', A)
    await elsewhere.set(OURS, [])
    await settled(world)
    relay.leave('exact', A)
    await settled(world)
  }
  assert.equal(shared(), 0)
  await elsewhere.add(OURS, wanted(B))
  await elsewhere.add(OURS, wanted(A))
  await elsewhere.add(OTHERS, wanted(A))
  await settled(world)
  assert.equal(shared(), 1)
  assert.deepEqual(world.rows(), ['exact a', 'exact b'], 'what another hub wants is left to it')
})

test('what could not be added again or taken away is tried until it is done', async (t) => {
  let refuse = false
  const world: World = await open(t, { around: {
    add: (url, one) => (refuse ? Promise.reject(unavailable) : world.registry.add(url, one)),
    remove: (url, one) => (refuse ? Promise.reject(unavailable) : world.registry.remove(url, one)),
  } })
  const { relay, elsewhere, rows, failures, clock } = world
  await relay.want('exact', A)
  await relay.want('exact', B)
  refuse = true
  await elsewhere.remove(OURS, wanted(A))
  relay.leave('exact', B)
  await settled(world)
  assert.deepEqual(rows(), ['exact b'])
  assert.deepEqual(failures, [unavailable, unavailable])
  clock.advance(1_000)
  await settled(world)
  assert.equal(failures.length, 4)
  refuse = false
  clock.advance(1_000)
  await settled(world)
  assert.deepEqual(rows(), ['exact a'])
  clock.advance(60_000)
  await settled(world)
  assert.equal(failures.length, 4)
  assert.equal(clock.timers, 0)
})

test('what a killed process left under our url goes at the start, but for what is wanted, and others keep theirs', async (t) => {
  const world = await open(t, { before: [wanted(A), wanted(B), wanted(A, 'glob'), ...Array.from({ length: 2_500 }, (_, i) => wanted(topicFromText(`old/${i}`)))] })
  const { relay, elsewhere, rows, asked } = world
  await elsewhere.add(OTHERS, wanted(B))
  await relay.want('exact', A)
  const starting = relay.start()
  const last = topicFromText('old/2499')
  await Promise.all([starting, relay.want('exact', B), relay.want('exact', last)])
  await settled(world)
  assert.deepEqual(rows(), ['exact a', 'exact b', 'exact old/2499'])
  assert.ok(!asked.includes('remove exact old/2499'), 'what is wanted was absent for a while')
  assert.deepEqual(rows(OTHERS), ['exact b'])
})

test('when it stops, all rows of ours go, what waits is refused, and nothing is added again', async (t) => {
  const gate = Promise.withResolvers<void>()
  let gated = false
  const world: World = await open(t, { before: [wanted(topicFromText('left'))], around: { add: async (url, one) => {
    if (gated) await gate.promise
    return world.registry.add(url, one)
  } } })
  const { relay, elsewhere, rows } = world
  await elsewhere.add(OTHERS, wanted(A))
  await relay.want('exact', A)
  gated = true
  const refused = assert.rejects(relay.want('exact', B), (error) => error instanceof WaystationError && error.code === 'stopped')
  await settled(world)
  const stopping = [relay.stop(), relay.stop()]
  await refused
  await assert.rejects(relay.want('exact', A), (error) => error instanceof WaystationError && error.code === 'stopped')
  gate.resolve()
  await Promise.all(stopping)
  assert.deepEqual(rows(), [])
  relay.leave('exact', A)
  await elsewhere.add(OURS, wanted(A))
  await elsewhere.remove(OURS, wanted(A))
  await settled(world)
  assert.deepEqual(rows(), [])
  assert.deepEqual(rows(OTHERS), ['exact a'])
})

test('a registry that cannot take the rows away does not keep the hub from stopping', async (t) => {
  const world = await open(t, { around: { set: () => Promise.reject(unavailable) } })
  await world.relay.want('exact', A)
  await world.relay.stop()
  assert.deepEqual(world.failures, [unavailable])
})
