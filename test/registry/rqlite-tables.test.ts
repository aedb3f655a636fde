import assert from 'node:assert/strict'
import { after, test, type TestContext } from 'node:test'
import { WaystationError } from '../../src/core/errors.ts'
import type { DomainNews, Registration, Registry } from '../../src/core/registry.ts'
import { createCluster } from '../../src/registry/rqlite/cluster.ts'
import { migrate } from '../../src/registry/rqlite/migrate.ts'
import { createRqliteRegistry, type RqliteRegistryOptions } from '../../src/registry/rqlite/registry.ts'
import { tablesOf } from '../../src/registry/rqlite/schema.ts'
import { realClock } from '../../src/server/real-world.ts'
import { until } from '../support/events.ts'
import { startGate, type RqliteGate } from '../support/rqlite-gate.ts'
import { startRqlite } from '../support/rqlite.ts'
import { exact, startAndKeep, targets, URL } from './open-registry.ts'

/** One node for all; each test has tables of its own. */
const cluster = await startRqlite({ after }, 1)
let n = 0

interface World {
  readonly prefix: string
  readonly node: string
  open(options?: Partial<RqliteRegistryOptions>): Registry
}

function world(t: TestContext): World {
  const prefix = `t${++n}_`
  const node = cluster.nodes[0] as string
  return {
    prefix,
    node,
    open(options = {}) {
      // Nothing is told but what is asked for.
      const registry = createRqliteRegistry({ nodes: [node], clock: realClock, pollInterval: 600_000, prefix, ...options })
      t.after(() => registry.close())
      return registry
    },
  }
}

/** A registry that knows the node only by a way on which things go wrong, and one that has its own. */
async function gated(t: TestContext): Promise<{ gate: RqliteGate; registry: Registry; direct: Registry }> {
  const { open, node } = world(t)
  const gate = await startGate(t, node)
  const registry = open({ nodes: [gate.url.replace('//', '//user:p%40ss@')] })
  await registry.add(URL, exact('there'))
  return { gate, registry, direct: open() }
}

function unavailable(text: RegExp): (error: unknown) => boolean {
  return (error) => {
    assert.ok(error instanceof WaystationError && error.code === 'registry_unavailable', String(error))
    assert.match(error.message, text)
    return true
  }
}

async function targetsOf(registry: Registry): Promise<string[]> {
  return (await registry.list(URL)).map((one) => one.target).sort()
}

test('what was done, and whose answer was lost, is not done again: who can be answered is, and the others are told that it is not known', async (t) => {
  const { gate, registry, direct } = await gated(t)
  const [{ id, target }] = (await registry.list(URL)) as [Registration]
  await registry.postpone({ id, topic: target, attempts: 0, dueAt: 1 })
  const signature = Buffer.alloc(64, 1)
  const remember = (one: Registry): Promise<boolean> => one.remember(signature, realClock.now() + 9_000, realClock.now())
  for (const act of [() => registry.add(URL, exact('new')), () => remember(registry), () => registry.addKey({ domain: 'a', username: 'u', apikey: 'k', sha256: undefined })]) {
    gate.next = 'lose the answer'
    await assert.rejects(act(), unavailable(/the answer was lost/))
    assert.equal(gate.next, 'pass')
  }
  assert.deepEqual(await targetsOf(direct), ['new', 'there'])
  assert.equal(await remember(direct), false)
  gate.next = 'lose the answer'
  assert.deepEqual((await registry.claim(10, 60_000, 10)).map((one) => one.id), [id])
  gate.next = 'lose the answer'
  await registry.set(URL, [exact('there'), exact('set')])
  assert.deepEqual(await targetsOf(direct), ['set', 'there'])
  gate.next = 'lose the answer'
  assert.deepEqual(Buffer.from(await registry.hubSecret(Buffer.alloc(64, 7))), Buffer.alloc(64, 7))
})

test('a request that arrives when it has long been done by another way does nothing', async (t) => {
  const { gate, registry, direct } = await gated(t)
  const told = await startAndKeep(registry)
  gate.next = 'hold'
  await registry.set(URL, [exact('zombie')])
  assert.deepEqual(targets(told), ['zombie'])
  await direct.set(URL, [])
  await gate.deliver()
  assert.deepEqual(await targetsOf(direct), [])
  await registry.current()
  assert.deepEqual(targets(told), [])
})

test('a request is sent on to the leader, asked again where there is none, and always with the user name and password', async (t) => {
  const { gate, registry } = await gated(t)
  for (const next of ['send on', 'no leader'] as const) {
    gate.next = next
    gate.seen.length = 0
    assert.equal(await registry.add(URL, exact(next)), true)
    assert.equal(gate.seen.length, next === 'send on' ? 1 : 2)
  }
  assert.deepEqual(await targetsOf(registry), ['no leader', 'send on', 'there'])
  const expected = `Basic ${Buffer.from('user:p@ss').toString('base64')}`
  assert.ok(gate.seen.every((one) => one.authorization === expected))
  gate.next = 'refuse'
  await assert.rejects(registry.add(URL, exact('refused')), (error) => {
    assert.doesNotMatch(String(error) + (error as Error).stack, /p@ss|p%40ss|user:/)
    return unavailable(/refuses the user name and password/)(error)
  })
})

test('what answers nothing that can be understood has done nothing: it is asked once more', async (t) => {
  const { gate, registry } = await gated(t)
  const act = { add: () => registry.add(URL, exact('new')), remember: () => registry.remember(Buffer.alloc(64, 3), realClock.now() + 9_000, realClock.now()), remove: () => registry.remove(URL, exact('new')) }
  for (const next of ['say nothing', 'say that there is a page'] as const) {
    for (const [name, one] of Object.entries(act)) {
      gate.next = next
      assert.equal(await one(), true, `${name}: ${next}`)
      assert.equal(gate.next, 'pass')
    }
    await registry.forget(Buffer.alloc(64, 3))
  }
})

test('a password is brought to nobody who is not named', async (t) => {
  const { open, node } = world(t)
  const stranger = await startGate(t, node)
  const friend = await startGate(t, node)
  for (const other of [stranger, friend]) {
    const gate = await startGate(t, other.url)
    const registry = open({ nodes: [gate, ...(other === friend ? [friend] : [])].map(({ url }) => url.replace('//', '//user:secret@')) })
    await registry.list(URL)
    other.seen.length = 0
    gate.next = 'send on'
    assert.equal(await registry.add(URL, exact(other.url)), true)
    assert.deepEqual(other.seen.map(({ authorization }) => authorization), [other === friend ? `Basic ${Buffer.from('user:secret').toString('base64')}` : undefined])
  }
})

test('what has a number of zero or less is like anything else, and so is a time that no calendar has', async (t) => {
  const { open, prefix } = world(t)
  const registry = open()
  await registry.add(URL, exact('1'))
  await cluster.sql([`INSERT INTO ${prefix}waystation_subscriptions (id, kind, target, url) VALUES (0, 'exact', x'30', ?), (-5, 'exact', x'35', ?)`, URL, URL], [`INSERT INTO ${prefix}apikeys (id, domain, username, apikey) VALUES (-7, 'test', 'u', 'k')`])
  const told = await startAndKeep(open())
  assert.deepEqual(targets(told), ['0', '1', '5'])
  const owned: string[] = []
  await open().watchDomains(({ domains }) => void owned.push(...domains.map(([domain]) => domain)))
  assert.deepEqual(owned, ['test'])
  const things = await Array.fromAsync(registry.everything())
  assert.deepEqual(things.map((one) => (one.type === 'registration' ? one.target : one.type)).sort(), ['0', '1', '5', 'key'])
  await registry.set(URL, [exact('1')])
  assert.deepEqual(await targetsOf(registry), ['1'])
  assert.equal(await registry.restore([{ type: 'key', domain: 'late', username: 'u', apikey: 'late', sha256: undefined, insertedAt: Number.MAX_SAFE_INTEGER, active: true }]), 1)
  assert.deepEqual((await registry.keysOf(['late'])).map(({ insertedAt }) => insertedAt), [0])
})

test('every question says which answer it takes: agreed for what is promised, weak for keys, near for the look for changes', async (t) => {
  const { gate, registry } = await gated(t)
  // What has made the tables.
  gate.seen.length = 0
  await Promise.all([registry.start(() => {}), registry.list(URL), registry.hubSecret(Buffer.alloc(64)), registry.watchDomains(() => {})])
  await registry.current()
  await registry.keysAfter(0, 10)
  assert.ok(gate.seen.length > 3)
  for (const { path } of gate.seen) assert.match(path, /^\/db\/request\?transaction&level=strong&timeout=\d+ms$/)
  gate.seen.length = 0
  await registry.keysOf(['a'])
  assert.deepEqual(gate.seen.map(({ path }) => path.replace(/\d+ms/, '')), ['/db/query?transaction&level=weak&timeout='])
  gate.seen.length = 0
  await world(t).open({ nodes: [gate.url], pollInterval: 20 }).start(() => {})
  await until(() => gate.seen.some(({ path }) => /^\/db\/query\?transaction&level=none&freshness=1s&timeout=\d+ms$/.test(path)), 'a look for changes')
})

test('once it was told that a key has changed, no older answer about it counts', async (t) => {
  const { gate, registry, direct } = await gated(t)
  await direct.addKey({ domain: 'a', username: 'u', apikey: 'k', sha256: undefined })
  const active = async (): Promise<unknown> => (await registry.keysOf(['a']))[0]?.active
  await registry.watchDomains(() => {})
  assert.equal(await active(), true)
  await direct.changeKey('a', { active: false })
  gate.next = 'repeat the answer before'
  assert.equal(await active(), true, 'as a leader answers that was just deposed')
  await registry.current()
  gate.next = 'repeat the answer before'
  assert.equal(await active(), false)
  assert.equal(gate.next, 'pass')
})

test('what is asked for in one turn is one request', async (t) => {
  const { gate, registry } = await gated(t)
  gate.seen.length = 0
  await Promise.all(Array.from({ length: 400 }, (_, i) => registry.add(URL, exact(`${i}`))))
  assert.ok(gate.seen.length <= 2, `${gate.seen.length} requests`)
})

test('hubs that start at once on an empty cluster make the tables once, and all go on', async (t) => {
  const { open, prefix } = world(t)
  const hubs = Array.from({ length: 8 }, () => open())
  assert.deepEqual(await Promise.all(hubs.map((one, i) => one.add(URL, exact(`${i}`)))), hubs.map(() => true))
  assert.equal((await open().list(URL)).length, 8)
  assert.deepEqual(await cluster.sql([`SELECT version FROM ${prefix}waystation_schema`]), [[1]])
})

test('a step of the schema is made once, whoever makes it', async () => {
  const tables = tablesOf(`t${++n}_`)
  const steps = [[`CREATE TABLE ${tables.prefix}made (step TEXT)`], [`INSERT INTO ${tables.prefix}made VALUES ('second')`], [`INSERT INTO ${tables.prefix}made VALUES ('third')`]]
  const ours = createCluster(cluster.nodes, 4_500)
  await Promise.all(Array.from({ length: 6 }, () => migrate(ours, tables, steps)))
  assert.deepEqual(await cluster.sql([`SELECT step FROM ${tables.prefix}made`]), [['second'], ['third']])
  await assert.rejects(migrate(ours, tables, [...steps, ['INSERT INTO nowhere VALUES (1)']]), /no such table/)
  await ours.close()
})

test('a newer schema is refused, and nothing is changed', async (t) => {
  const { open, prefix } = world(t)
  await open().add(URL, exact('a'))
  await cluster.sql([`INSERT INTO ${prefix}waystation_schema (version) VALUES (99)`])
  await assert.rejects(open().add(URL, exact('b')), unavailable(/version 99.* up to 1/))
  assert.deepEqual(await cluster.sql([`SELECT count(*) FROM ${prefix}waystation_subscriptions`]), [[1]])
})

test('what somebody changes by hand is told, of registrations and of keys, and their notices follow', async (t) => {
  const { open, prefix } = world(t)
  const registry = open({ pollInterval: 20 })
  const told = await startAndKeep(registry)
  const owned = new Map<string, boolean>()
  await registry.watchDomains(({ domains }: DomainNews) => domains.forEach(([domain, isThere]) => owned.set(domain, isThere)))
  const [subscriptions, apikeys] = [`${prefix}waystation_subscriptions`, `${prefix}apikeys`]
  await cluster.sql([`INSERT INTO ${subscriptions} (kind, target, url) VALUES ('exact', CAST('a' AS BLOB), ?)`, URL], [`INSERT INTO ${apikeys} (domain, username, apikey, active) VALUES ('acme', 'u', 'k', TRUE)`])
  await until(() => targets(told).join() === 'a' && owned.get('acme') === true, 'both to be told')
  assert.deepEqual((await registry.keysOf(['acme'])).map(({ apikey, active }) => [apikey, active]), [['k', true]])
  const [{ id }] = (await registry.list(URL)) as [Registration]
  await registry.postpone({ id, topic: exact('a').target, attempts: 0, dueAt: 1 })
  await cluster.sql([`UPDATE ${subscriptions} SET kind = 'glob', target = CAST('b*' AS BLOB)`], [`UPDATE ${apikeys} SET domain = 'other'`])
  await until(() => targets(told).join() === 'b*' && owned.get('acme') === false && owned.get('other') === true, 'the changes to be told')
  assert.deepEqual(await cluster.sql([`SELECT kind FROM ${prefix}waystation_missed`]), [['glob']])
  await cluster.sql([`INSERT OR REPLACE INTO ${apikeys} (domain, username, apikey) VALUES ('third', 'u', 'k')`], [`DELETE FROM ${subscriptions}`])
  await until(() => targets(told).length === 0 && owned.get('other') === false && owned.get('third') === true, 'the ends to be told')
  assert.deepEqual(await cluster.sql([`SELECT count(*) FROM ${prefix}waystation_missed`]), [[0]])
  await cluster.sql([`INSERT INTO ${apikeys} (domain, username, apikey) VALUES ('fourth', 'u', 'l')`], [`UPDATE OR REPLACE ${apikeys} SET apikey = 'k' WHERE domain = 'fourth'`])
  await until(() => owned.get('third') === false && owned.get('fourth') === true, 'a replacement by a change')
})

test('who is behind by thousands is told of all, and who is behind by more than is kept reads everything', async (t) => {
  const { open, prefix } = world(t)
  const registry = open()
  const told = await startAndKeep(registry)
  const [subscriptions, changes] = [`${prefix}waystation_subscriptions`, `${prefix}waystation_changes`]
  const insert = (from: number, to: number): readonly [string] => [`WITH RECURSIVE n (i) AS (SELECT ${from} UNION ALL SELECT i + 1 FROM n WHERE i < ${to}) INSERT INTO ${subscriptions} (kind, target, url) SELECT 'exact', CAST(i AS BLOB), 'http://many/' FROM n`]
  await cluster.sql(insert(1, 5_000))
  await registry.current()
  assert.equal(told.there.size, 5_000)
  const gone = [...told.there.values()].slice(0, 10).map((one) => one.id)
  const other = open()
  await cluster.sql([`DELETE FROM ${subscriptions} WHERE id IN (${gone.join()})`], insert(5_001, 16_000))
  await other.set(URL, Array.from({ length: 1_100 }, (_, i) => exact(`${i}`)))
  for (let i = 0; i < 3; i++) await other.set(URL, Array.from({ length: 1_100 }, (_, j) => exact(`${j}`, `http://r/${i}`)))
  const [[first, latest]] = (await cluster.sql([`SELECT min(seq), max(seq) FROM ${changes}`])) as [[number, number]]
  assert.ok(first > 5_020, `changes from ${first} on are there`)
  assert.ok(latest - first >= 9_999, `only changes from ${first} to ${latest} are kept`)
  await registry.current()
  assert.equal(told.there.size, 16_000 - 10 + 1_100)
  for (const id of gone) assert.ok(!told.there.has(id))
})

test('signatures that have run out are let go of, ten minutes later', async (t) => {
  const { open, prefix } = world(t)
  const registry = open()
  const now = realClock.now()
  await Promise.all(Array.from({ length: 40 }, (_, i) => registry.remember(Buffer.from(`signature ${i}`), i < 20 ? now - 601_000 : now - 590_000, now)))
  await Promise.all(Array.from({ length: 16 }, (_, i) => registry.remember(Buffer.from(`later ${i}`), now + 9_000, now)))
  assert.deepEqual(await cluster.sql([`SELECT count(*) FROM ${prefix}waystation_signatures`]), [[36]])
})

test('tables that are gone are made again, and everything that was told is taken back', async (t) => {
  const { open, prefix } = world(t)
  const registry = open()
  const told = await startAndKeep(registry)
  for (const target of ['a', 'b']) await registry.add(URL, exact(target))
  const tables = await cluster.sql([`SELECT name FROM sqlite_master WHERE type = 'table' AND name LIKE '${prefix}%'`])
  await cluster.sql(...tables.map(([name]) => [`DROP TABLE ${String(name)}`] as const))
  await assert.rejects(registry.add(URL, exact('c')), unavailable(/no such table/))
  assert.equal(await registry.add(URL, exact('c')), true)
  assert.deepEqual(targets(told), ['c'])
})

test('a node that is no url, no node, and a prefix of other signs are refused without their text', () => {
  for (const nodes of [[], ['user:secret@host'], ['http://a', 'secret']]) assert.throws(() => createRqliteRegistry({ nodes, clock: realClock }), (error) => error instanceof RangeError && !error.message.includes('secret'))
  assert.throws(() => createRqliteRegistry({ nodes: ['http://a'], clock: realClock, prefix: 'a; --' }), RangeError)
})

test('where a table of keys is there that is not ours, whoever asks for anything is told so', async (t) => {
  const { open, prefix } = world(t)
  await cluster.sql([`CREATE TABLE ${prefix}apikeys (mine TEXT)`])
  const registry = open()
  for (const asked of [() => registry.start(() => {}), () => registry.watchDomains(() => {}), () => registry.keysOf(['acme']), () => registry.add(URL, exact('a'))]) {
    await assert.rejects(asked(), unavailable(/apikeys already exists/))
  }
})
