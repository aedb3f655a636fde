import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Registration } from '../../src/core/registry.ts'
import { KEPT_CHANGES } from '../../src/registry/sqlite/change-log.ts'
import { createSqliteRegistry } from '../../src/registry/sqlite/registry.ts'
import { realClock } from '../../src/server/real-world.ts'
import { until } from '../support/events.ts'
import { databasePath, exact, openRegistry, shell, startAndKeep, targets, URL } from './open-registry.ts'

test('what somebody changes with an SQL tool is told', async (t) => {
  const file = databasePath(t)
  const registry = openRegistry(t, file)
  const told = await startAndKeep(registry)
  await registry.add(URL, exact('mine'))
  const other = shell(t, file)
  other.exec("INSERT INTO subscriptions (kind, target, url) VALUES ('exact', CAST('news' AS BLOB), 'http://two.example/'), ('glob', CAST('n*' AS BLOB), 'http://two.example/')")
  await until(() => told.there.size === 3, 'two more')
  assert.deepEqual(await registry.list('http://two.example/'), [...told.there.values()].filter((one) => one.url === 'http://two.example/'))
  assert.equal(told.calls.length, 2, 'one transaction was told in pieces')

  other.exec("UPDATE subscriptions SET recovery = 'http://r/' WHERE target = CAST('news' AS BLOB)")
  await until(() => [...told.there.values()].some((one) => one.recovery === 'http://r/'), 'the new recovery url')
  assert.deepEqual(told.calls.at(-1)?.map((change) => change.type), ['added'])

  other.exec("UPDATE subscriptions SET url = 'http://three.example/' WHERE kind = 'glob'")
  await until(() => [...told.there.values()].some((one) => one.url === 'http://three.example/'), 'the new url')
  assert.deepEqual(told.calls.at(-1)?.map((change) => change.type), ['removed', 'added'], 'an index that knows the old url must let go of it')

  other.exec("UPDATE subscriptions SET id = 1000 WHERE kind = 'glob'")
  await until(() => told.there.has(1000) && told.there.size === 3, 'the new id')
  other.exec("INSERT OR REPLACE INTO subscriptions (kind, target, url) VALUES ('exact', CAST('mine' AS BLOB), 'http://one.example/')")
  await until(() => told.there.has(1001), 'the replacement')
  assert.deepEqual(targets(told), ['mine', 'n*', 'news'], 'the one that was replaced is still there')

  other.exec('DELETE FROM subscriptions')
  await until(() => told.there.size === 0, 'the end of all')
})

test('a deletion with foreign keys off takes the notice with it', async (t) => {
  const file = databasePath(t)
  const registry = openRegistry(t, file)
  await registry.add(URL, exact('a'))
  const [{ id, target: topic }] = (await registry.list(URL)) as [Registration]
  await registry.postpone({ id, topic, attempts: 0, dueAt: 0 })
  const other = shell(t, file)
  other.exec('PRAGMA foreign_keys = OFF; DELETE FROM subscriptions')
  assert.equal(other.prepare('SELECT count(*) AS n FROM missed').get()?.['n'], 0)
})

test('text where bytes belong is refused by the database itself', async (t) => {
  const file = databasePath(t)
  await openRegistry(t, file).add(URL, exact('a'))
  const other = shell(t, file)
  assert.throws(() => other.exec("INSERT INTO subscriptions (kind, target, url) VALUES ('exact', 'news', 'http://two.example/')"), /cannot store TEXT value in BLOB column/)
  assert.throws(() => other.exec("INSERT INTO subscriptions (kind, target, url) VALUES ('regex', X'00', 'http://two.example/')"), /CHECK constraint/)
})

test('notices and signatures are no changes', async (t) => {
  const file = databasePath(t)
  const registry = openRegistry(t, file)
  await registry.add(URL, exact('a'))
  const [{ id, target: topic }] = (await registry.list(URL)) as [Registration]
  const count = (): unknown => shell(t, file).prepare('SELECT count(*) AS n FROM changes').get()?.['n']
  const before = count()
  await registry.postpone({ id, topic, attempts: 0, dueAt: 0 })
  for (const claim of await registry.claim(0, 1, 1)) await registry.settle(claim, undefined)
  await registry.remember(Buffer.from('s'), 1, 1)
  await registry.forget(Buffer.from('s'))
  await registry.add(URL, exact('a'))
  await registry.set(URL, [exact('a')])
  assert.equal(count(), before)
})

test('a database that another process makes later is noticed', async (t) => {
  const file = databasePath(t)
  const registry = openRegistry(t, file)
  const told = await startAndKeep(registry)
  assert.equal(told.calls.length, 0)
  await openRegistry(t, file).add(URL, exact('a'))
  await until(() => told.there.size === 1, 'the registration')
})

test('with nothing stated, a change made elsewhere is told within a second', async (t) => {
  const file = databasePath(t)
  const registry = createSqliteRegistry({ file, clock: realClock })
  t.after(() => registry.close())
  const told = await startAndKeep(registry)
  const elsewhere = openRegistry(t, file)
  await elsewhere.add(URL, exact('a'))
  const began = performance.now()
  await until(() => told.there.size === 1, 'the registration')
  // The promise is a second; what a busy machine adds to it is not ours.
  assert.ok(performance.now() - began < 3_000)
})

test('who has fallen behind what is kept of the changes compares everything', async (t) => {
  const file = databasePath(t)
  const registry = openRegistry(t, file)
  const told = await startAndKeep(registry)
  await registry.set(URL, [exact('gone'), exact('stays'), exact('changes')])
  const before = told.calls.length
  shell(t, file).exec(`BEGIN;
    DELETE FROM subscriptions WHERE target = CAST('gone' AS BLOB);
    UPDATE subscriptions SET recovery = 'http://r/' WHERE target = CAST('changes' AS BLOB);
    DELETE FROM changes;
    INSERT INTO subscriptions (kind, target, url) VALUES ('exact', CAST('new' AS BLOB), 'http://one.example/');
    COMMIT`)
  await until(() => targets(told).includes('new'), 'the difference')
  assert.deepEqual(targets(told), ['changes', 'new', 'stays'])
  assert.equal([...told.there.values()].find((one) => one.target === 'changes')?.recovery, 'http://r/')
  assert.deepEqual(told.calls.slice(before).flat().map((change) => change.type), ['removed', 'added', 'added'], 'more was told than the difference')
  shell(t, file).exec("BEGIN; DELETE FROM subscriptions WHERE target = CAST('new' AS BLOB); DELETE FROM changes; COMMIT")
  await until(() => !targets(told).includes('new'), 'the end of one')
  assert.equal(told.there.size, 2)
})

test('old changes are let go of, and nobody who listens loses any', async (t) => {
  const file = databasePath(t)
  const [registry, elsewhere] = [openRegistry(t, file), openRegistry(t, file)]
  const views = [await startAndKeep(registry), await startAndKeep(elsewhere)]
  for (let round = 0; round < 8; round++) await registry.set(URL, Array.from({ length: 2_000 }, (_, i) => exact(`${round}/${i}`)))
  for (let i = 0; i < 20; i++) await registry.add(URL, exact(`last/${i}`))
  const { n, last } = shell(t, file).prepare('SELECT count(*) AS n, max(seq) AS last FROM changes').get() as { n: number; last: number }
  assert.ok(last > 20_000)
  assert.ok(n >= KEPT_CHANGES && n < KEPT_CHANGES + 2_000, `${n} rows are kept`)
  const there = (await registry.list(URL)).map((one) => one.id).sort((a, b) => a - b)
  for (const view of views) {
    await until(() => view.there.size === 2_020 && [...view.there.values()].some((one) => one.target === 'last/19'), 'all of it')
    assert.deepEqual([...view.there.keys()].sort((a, b) => a - b), there)
  }
})

test('a hundred thousand registrations are set, told at the start and set again', async (t) => {
  const file = databasePath(t)
  const many = Array.from({ length: 100_000 }, (_, i) => exact(`topics/${i}`))
  const first = openRegistry(t, file)
  await first.set(URL, many)
  await first.set(URL, many)
  await first.close()
  const told = await startAndKeep(openRegistry(t, file))
  assert.equal(told.there.size, 100_000)
  assert.equal(Math.max(...[...told.there.keys()].slice(0, 10)), 10)
})

test('many who open a new database at once make one of it', async (t) => {
  const first = databasePath(t)
  const places = Array.from({ length: 8 }, (_, i) => `${first}.${i}`)
  for (const file of places) {
    const registries = Array.from({ length: 4 }, () => openRegistry(t, file, { busyTimeout: 20_000 }))
    // Their threads run already, so that they get to the database together.
    await Promise.all(registries.map((registry) => registry.list(URL)))
    const made = await Promise.all(registries.map((registry, i) => registry.add(URL, exact(`${i % 2}`))))
    assert.equal(made.filter(Boolean).length, 2)
    assert.equal((await (registries[0] as (typeof registries)[0]).list(URL)).length, 2)
    await Promise.all(registries.map((registry) => registry.close()))
  }
})
