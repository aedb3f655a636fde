import assert from 'node:assert/strict'
import { test, type TestContext } from 'node:test'
import type { KeyTable, NewKey, Registry } from '../../src/core/registry.ts'
import { KEPT_CHANGES } from '../../src/registry/sqlite/change-log.ts'
import { migrate } from '../../src/registry/sqlite/migrate.ts'
import { MIGRATIONS } from '../../src/registry/sqlite/schema.ts'
import { until } from '../support/events.ts'
import { databasePath, exact, openRegistry, shell, startAndKeep, targets, URL } from './open-registry.ts'

function key(domain: string): NewKey {
  return { domain, username: 'u', apikey: domain, sha256: undefined }
}

/** The domains as they are told, in one order, and how often that was. */
async function follow(table: KeyTable): Promise<{ owned: () => string; calls: () => number }> {
  const there = new Set<string>()
  let calls = 0
  await table.watchDomains(({ all, domains }) => {
    calls++
    if (all) there.clear()
    for (const [domain, isThere] of domains) {
      if (isThere) there.add(domain)
      else there.delete(domain)
    }
  })
  return { owned: () => [...there].sort().join(' '), calls: () => calls }
}

function open(t: TestContext): { file: string; registry: Registry; sql: (text: string) => void } {
  const file = databasePath(t)
  return { file, registry: openRegistry(t, file), sql: (text) => shell(t, file).exec(text) }
}

test('what somebody changes of the keys with an SQL tool is told', async (t) => {
  const { registry, sql } = open(t)
  await registry.addKey(key('mine'))
  const view = await follow(registry)
  sql("INSERT INTO apikeys (domain, username, apikey) VALUES ('a', 'u', 'x'), ('b', 'u', 'y')")
  await until(() => view.owned() === 'a b mine', 'two more')
  assert.equal(view.calls(), 2, 'one transaction was told in pieces')
  assert.deepEqual((await registry.keysOf(['a'])).map((row) => row.active), [false], 'the table of the original has keys that do not count unless it is said')
  sql("UPDATE apikeys SET domain = 'c' WHERE domain = 'b'")
  await until(() => view.owned() === 'a c mine', 'the new name')
  const before = view.calls()
  sql("UPDATE apikeys SET active = 1 WHERE domain = 'c'")
  await until(() => view.calls() > before, 'the change')
  // Takes the row of one domain away for its key.
  sql("INSERT OR REPLACE INTO apikeys (domain, username, apikey) VALUES ('d', 'u', 'x')")
  await until(() => view.owned() === 'c d mine', 'the replacement')
  sql("UPDATE OR REPLACE apikeys SET apikey = 'x' WHERE domain = 'c'")
  await until(() => view.owned() === 'c mine', 'a replacement by a change')
  sql('DELETE FROM apikeys')
  await until(() => view.owned() === '', 'the end of all')
})

test('what has a number of zero or less is like anything else', async (t) => {
  const { file, registry, sql } = open(t)
  await registry.add(URL, exact('1'))
  sql(`INSERT INTO subscriptions (id, kind, target, url) VALUES (0, 'exact', x'30', '${URL}'), (-5, 'exact', x'35', '${URL}'); INSERT INTO apikeys (id, domain, username) VALUES (-7, 'test', 'u')`)
  assert.deepEqual(targets(await startAndKeep(openRegistry(t, file))), ['0', '1', '5'])
  assert.deepEqual((await registry.list(URL)).map(({ target }) => target).sort(), ['0', '1', '5'])
  const things = await Array.fromAsync(registry.everything())
  assert.deepEqual(things.map((one) => (one.type === 'registration' ? one.target : one.type)).sort(), ['0', '1', '5', 'key'])
  await registry.set(URL, [exact('1')])
  assert.deepEqual((await registry.list(URL)).map(({ target }) => target), ['1'])
})

test('who has fallen behind what is kept of the changes of keys is told all domains', async (t) => {
  const { registry, sql } = open(t)
  for (const domain of ['gone', 'stays']) await registry.addKey(key(domain))
  const view = await follow(registry)
  sql("BEGIN; DELETE FROM apikeys WHERE domain = 'gone'; DELETE FROM key_changes; INSERT INTO apikeys (domain, username) VALUES ('new', 'u'); COMMIT")
  await until(() => view.owned() === 'new stays', 'the difference')
})

test('old changes of keys are let go of, and nobody who listens loses any', async (t) => {
  const { file, registry, sql } = open(t)
  const elsewhere = openRegistry(t, file)
  const views = [await follow(registry), await follow(elsewhere)]
  await registry.addKey(key('first'))
  sql('WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 16000) INSERT INTO apikeys (domain, username) SELECT i, i FROM n')
  await until(() => views.every((view) => view.owned().length > 80_000), 'all of them')
  for (let i = 0; i < 4; i++) await registry.addKey(key(`last ${i}`))
  const n = Number(shell(t, file).prepare('SELECT count(*) AS n FROM key_changes').get()?.['n'])
  assert.ok(n >= KEPT_CHANGES && n < KEPT_CHANGES + 2_000, `${n} rows are kept`)
  await until(() => views.every((view) => view.owned().includes('last 3')), 'the last')
  assert.equal(views[0]?.owned(), views[1]?.owned())
})

test('a database of the version before has its keys with the first start of this one', async (t) => {
  const { file, registry } = open(t)
  const database = shell(t, file)
  migrate(database, MIGRATIONS.slice(0, 4))
  database.exec("INSERT INTO subscriptions (kind, target, url) VALUES ('exact', CAST('old' AS BLOB), 'http://one.example/')")
  assert.deepEqual(targets(await startAndKeep(registry)), ['old'])
  assert.equal(await registry.addKey(key('a')), true)
  assert.equal(database.prepare('PRAGMA user_version').get()?.['user_version'], 5)
})

test('a time that was written by hand is read, and one that is none hurts nobody', async (t) => {
  const { registry, sql } = open(t)
  await registry.addKey({ ...key('odd'), insertedAt: NaN })
  sql("INSERT INTO apikeys (domain, username, insert_ts) VALUES ('a', 'u', '2015-03-04 05:06:07'), ('b', 'u', '2015-03-04T05:06:07.089Z'), ('c', 'u', 'yesterday')")
  assert.deepEqual((await registry.keysAfter(0, 10)).map((row) => row.insertedAt), [0, Date.UTC(2015, 2, 4, 5, 6, 7), Date.UTC(2015, 2, 4, 5, 6, 7, 89), 0])
})

test('a key that is refused leaves what is done with it as it is', async (t) => {
  const { registry } = open(t)
  await registry.addKey(key('a'))
  const answers = await Promise.all([
    registry.addKey(key('b')), registry.addKey(key('a')), registry.add(URL, exact('a')), registry.addKey({ ...key('c'), apikey: 'a' }),
    registry.addKey({ ...key('d'), sha256: Buffer.alloc(32) }), registry.changeKey('b', { sha256: Buffer.alloc(32) }), registry.removeKey('x'), registry.addKey({ ...key('e'), insertedAt: Infinity }),
  ])
  assert.deepEqual(answers, [true, false, true, false, true, false, false, true])
})
