import assert from 'node:assert/strict'
import { hash } from 'node:crypto'
import { test, type TestContext } from 'node:test'
import { WaystationError } from '../core/errors.ts'
import type { Registry, Stored } from '../core/registry.ts'
import { topicFromBytes, topicFromText, topicToBytes } from '../core/topic.ts'
import type { ManualClock } from './manual-clock.ts'
import type { OpenedRegistry } from './registry-notices.ts'
import { exact, glob, OTHER_URL, plain, URL, watch } from './registry-view.ts'

const BYTES = topicFromBytes(Buffer.from([0x61, 0xff, 0x00]))
const [USED, AHEAD, SHORT] = [1, 2, 3].map((byte) => Buffer.alloc(64, byte)) as [Buffer, Buffer, Buffer]

/** The part of the registry's contract that is about going from one database to another. `open` gives one of its own each time. */
export function registryMovesContract(open: (t: TestContext) => Promise<OpenedRegistry>): void {
  test('everything that was put in comes out, registrations before their notices', async (t) => {
    const { registry, clock } = await open(t)
    assert.deepEqual(await all(registry), [])
    const expected = await fill(registry, clock)
    const things = await all(registry)
    assert.deepEqual(canonical(things), canonical(expected))
    for (const [i, thing] of things.entries()) {
      if (thing.type === 'notice') assert.ok(things.slice(0, i).some((one) => one.type === 'registration' && one.url === thing.url && one.kind === thing.kind && one.target === thing.target), 'a notice came before its registration')
    }
  })

  test('what has run out does not come out, and is not put in', async (t) => {
    const { registry, clock } = await open(t)
    await registry.remember(SHORT, clock.now() + 1_000, clock.now())
    await registry.remember(USED, clock.now() + 1_001, clock.now())
    clock.advance(1_001)
    assert.deepEqual((await all(registry)).map((one) => one.type === 'signature' && one.code[0]), [USED[0]])
    assert.equal(await registry.restore([{ type: 'signature', code: AHEAD.subarray(0, 16), expiresAt: clock.now() - 1 }]), 0)
    assert.equal(await registry.remember(AHEAD, clock.now() + 1_000, clock.now()), true)
  })

  test('what came out of one goes into another, is told there, and comes out of it as it was; once more changes nothing', async (t) => {
    const [from, to] = [await open(t), await open(t)]
    await fill(from.registry, from.clock)
    const things = await all(from.registry)
    const view = await watch(to.registry)
    const owned = new Set<string>()
    await to.registry.watchDomains(({ domains }) => domains.forEach(([domain]) => owned.add(domain)))
    assert.equal(await to.registry.restore(things), things.length)
    assert.deepEqual(plain(view.all()), plain([...(await from.registry.list(URL)), ...(await from.registry.list(OTHER_URL))]))
    assert.deepEqual([...owned].sort(), ['hashed', 'idle', 'plain'])
    assert.deepEqual(canonical(await all(to.registry)), canonical(things))
    assert.equal(await to.registry.restore(things), 0)
    assert.deepEqual(canonical(await all(await to.another())), canonical(things))
    assert.equal(await to.registry.restore([]), 0)
  })

  test('what was put in is used like what was made there', async (t) => {
    const [from, to] = [await open(t), await open(t)]
    await fill(from.registry, from.clock)
    await to.registry.restore(await all(from.registry))
    const claims = await to.registry.claim(to.clock.now() + 500, 30_000, 10)
    assert.deepEqual(claims.map(({ topic, attempts, registration }) => [topic, attempts, registration.target]), [[BYTES, 3, BYTES], ['x/1', 0, 'x/*']])
    const elsewhere = await to.another()
    const now = to.clock.now()
    for (const registry of [to.registry, elsewhere]) {
      assert.equal(await registry.remember(USED, now + 9_000, now), false, 'a signature that was used is new')
      assert.equal(await registry.remember(AHEAD, now + 300_000, now + 60_000), false, 'a signature that was dated ahead is new')
    }
    await elsewhere.forget(USED)
    assert.equal(await to.registry.remember(USED, now + 9_000, now), true)
    assert.deepEqual(Buffer.from(await to.registry.hubSecret(Buffer.alloc(32, 9))), Buffer.alloc(32, 5))
  })

  test('what is there stays as it is, what is not comes in, and only that is counted', async (t) => {
    const { registry, clock } = await open(t)
    await fill(registry, clock)
    const before = await all(registry)
    const sha256 = hash('sha256', 'hashed', 'buffer')
    const row = { username: 'x', apikey: undefined, insertedAt: 1, active: true }
    assert.equal(await registry.restore([
      { type: 'registration', url: URL, ...exact('a', 'http://elsewhere/') },
      { type: 'notice', url: URL, kind: 'exact', target: BYTES, topic: topicFromText('other'), attempts: 9, dueAt: 9 },
      { type: 'notice', url: 'http://nobody.example/', kind: 'exact', target: BYTES, topic: BYTES, attempts: 9, dueAt: 9 },
      { type: 'key', ...row, domain: 'hashed', sha256: hash('sha256', 'new', 'buffer') },
      { type: 'key', ...row, domain: 'another', sha256 },
      { type: 'key', ...row, domain: 'third', sha256: undefined, apikey: 'f47ac10b' },
      { type: 'hubSecret', secret: Buffer.alloc(32, 7) },
      { type: 'signature', code: USED.subarray(0, 16), expiresAt: clock.now() + 1 },
    ]), 0)
    assert.deepEqual(canonical(await all(registry)), canonical(before))
    const fresh: Stored[] = [
      { type: 'registration', url: URL, ...glob('a') },
      { type: 'notice', url: URL, ...withoutRecovery(glob('a')), topic: topicFromText('a'), attempts: 1, dueAt: 1 },
      { type: 'key', ...row, domain: 'fourth', sha256: undefined, apikey: 'other' },
    ]
    assert.equal(await registry.restore([...before, ...fresh, ...before]), fresh.length)
    assert.deepEqual(canonical(await all(registry)), canonical([...before, ...fresh]))
  })

  test('of a signature that is there, the later end counts', async (t) => {
    const { registry, another, clock } = await open(t)
    await registry.remember(USED, clock.now() + 1_000, clock.now())
    await registry.restore([{ type: 'signature', code: USED.subarray(0, 16), expiresAt: clock.now() + 5_000 }])
    clock.advance(4_000)
    assert.equal(await (await another()).remember(USED, clock.now() + 9_000, clock.now()), false)
    clock.advance(1_001)
    assert.equal(await registry.remember(USED, clock.now() + 9_000, clock.now()), true)
  })

  test('thousands come out and go in, and who stops in the middle holds up nobody', async (t) => {
    const [from, to] = [await open(t), await open(t)]
    const wanted = Array.from({ length: 2_300 }, (_, i) => exact(`a/${i}`))
    await from.registry.set(URL, wanted)
    for await (const first of from.registry.everything()) {
      assert.equal(first.type, 'registration')
      break
    }
    assert.equal(await from.registry.add(OTHER_URL, exact('b')), true)
    const view = await watch(to.registry)
    assert.equal(await to.registry.restore(await all(from.registry)), 2_301)
    assert.equal(view.all().length, 2_301)
    await from.registry.close()
    await assert.rejects(all(from.registry), (error) => error instanceof WaystationError && error.code === 'registry_unavailable')
  })
}

/** Puts in one of each, through the methods that hubs use, and gives what should come out. */
async function fill(registry: Registry, clock: ManualClock): Promise<Stored[]> {
  const now = clock.now()
  const registrations = [
    { url: URL, ...exact('a', 'http://recovery/') }, { url: URL, kind: 'exact', target: BYTES, recovery: undefined },
    { url: OTHER_URL, ...exact('a') }, { url: OTHER_URL, ...glob('x/*', 'http://ü/?"\'') },
  ] as const
  for (const { url, ...wanted } of registrations) await registry.add(url, wanted)
  const idOf = async (url: string, target: string): Promise<number> => (await registry.list(url)).find((one) => one.target === target)?.id as number
  await registry.postpone({ id: await idOf(URL, BYTES), topic: BYTES, attempts: 3, dueAt: now + 500 })
  await registry.postpone({ id: await idOf(OTHER_URL, 'x/*'), topic: topicFromText('x/1'), attempts: 0, dueAt: now - 500 })
  // A lock is not taken along.
  assert.equal((await registry.claim(now, 60_000, 1)).length, 1)
  const keys = [
    { domain: 'hashed', username: 'u', apikey: undefined, sha256: hash('sha256', 'hashed', 'buffer'), insertedAt: 1_700_000_000_123, active: true },
    { domain: 'plain', username: "o'hara", apikey: 'f47ac10b', sha256: undefined, insertedAt: 1_000, active: true },
    { domain: 'idle', username: '', apikey: undefined, sha256: hash('sha256', 'idle', 'buffer'), insertedAt: 1_700_000_000_000, active: false },
  ]
  for (const key of keys) await registry.addKey(key)
  await registry.hubSecret(Buffer.alloc(32, 5))
  await registry.remember(USED, now + 240_000, now)
  await registry.remember(AHEAD, now + 300_000, now + 60_000)
  return [
    ...registrations.map((one) => ({ type: 'registration', ...one }) as const),
    { type: 'notice', url: URL, kind: 'exact', target: BYTES, topic: BYTES, attempts: 3, dueAt: now + 500 },
    { type: 'notice', url: OTHER_URL, ...withoutRecovery(glob('x/*')), topic: topicFromText('x/1'), attempts: 0, dueAt: now - 500 },
    ...keys.map((key) => ({ type: 'key', ...key }) as const),
    { type: 'hubSecret', secret: Buffer.alloc(32, 5) },
    { type: 'signature', code: USED.subarray(0, 16), expiresAt: now + 240_000 },
    { type: 'signature', code: AHEAD.subarray(0, 16), expiresAt: now + 300_000 },
  ]
}

function withoutRecovery({ kind, target }: ReturnType<typeof exact>): Pick<ReturnType<typeof exact>, 'kind' | 'target'> {
  return { kind, target }
}

async function all(registry: Registry): Promise<Stored[]> {
  return Array.fromAsync(registry.everything())
}

/** As a set: one text for each thing, in one order. Bytes are hexadecimal, and what is undefined is not there. */
function canonical(things: readonly Stored[]): string[] {
  return things.map((thing) => {
    const fields = Object.entries(thing).map(([name, value]: [string, unknown]) => {
      if (name === 'target' || name === 'topic') return [name, topicToBytes(value as typeof BYTES).toString('hex')]
      return [name, value instanceof Uint8Array ? Buffer.from(value).toString('hex') : value]
    })
    return JSON.stringify(Object.fromEntries(fields.toSorted()))
  }).sort()
}
