import assert from 'node:assert/strict'
import { test } from 'node:test'
import { migrate, NewerSchemaError } from '../../src/registry/sqlite/migrate.ts'
import { DUE_NOTICES } from '../../src/registry/sqlite/operations.ts'
import { MIGRATIONS } from '../../src/registry/sqlite/schema.ts'
import { databasePath, exact, openRegistry, shell, URL } from './open-registry.ts'

const STEPS = ['CREATE TABLE a (x INTEGER)', 'ALTER TABLE a ADD COLUMN y INTEGER', 'INSERT INTO a VALUES (1, 2)']

test('an older database is brought up from where it stands, and what is in it stays', (t) => {
  const database = shell(t, databasePath(t))
  migrate(database, STEPS.slice(0, 1))
  database.exec('INSERT INTO a VALUES (7)')
  migrate(database, STEPS)
  migrate(database, STEPS)
  assert.deepEqual(database.prepare('SELECT x, y FROM a').all().map((row) => ({ ...row })), [{ x: 7, y: null }, { x: 1, y: 2 }])
  assert.equal(database.prepare('PRAGMA user_version').get()?.['user_version'], 3)
})

test('a step that fails is undone as a whole, and the steps before it stay', (t) => {
  const database = shell(t, databasePath(t))
  assert.throws(() => migrate(database, [...STEPS, 'CREATE TABLE half (x); INSERT INTO nowhere VALUES (1)']), /no such table: nowhere/)
  assert.equal(database.prepare('PRAGMA user_version').get()?.['user_version'], 3)
  assert.deepEqual(database.prepare('SELECT name FROM sqlite_schema').all().map((row) => row['name']), ['a'])
  assert.equal(database.isTransaction, false)
})

test('a step that another made in the meantime is not made twice', (t) => {
  const file = databasePath(t)
  const [one, other] = [shell(t, file), shell(t, file)]
  // The other one is through with all steps between the first look and the lock.
  const exec = one.exec.bind(one)
  one.exec = (sql) => {
    if (sql === 'BEGIN IMMEDIATE') migrate(other, STEPS)
    exec(sql)
  }
  migrate(one, STEPS)
  assert.equal(one.prepare('SELECT count(*) AS n FROM a').get()?.['n'], 1)
})

test('a database past the last step is not touched', (t) => {
  const database = shell(t, databasePath(t))
  migrate(database, STEPS)
  assert.throws(() => migrate(database, STEPS.slice(0, 2)), NewerSchemaError)
  assert.equal(database.prepare('PRAGMA user_version').get()?.['user_version'], 3)
})

test('a database of the first version is opened by this one', async (t) => {
  const file = databasePath(t)
  const database = shell(t, file)
  migrate(database, MIGRATIONS.slice(0, 1))
  database.exec(`INSERT INTO subscriptions (kind, target, url) VALUES ('exact', CAST('old' AS BLOB), 'http://one.example/'), ('glob', CAST('old' AS BLOB), 'http://one.example/');
    INSERT INTO missed (subscription_id, topic, attempts, due_at) VALUES (1, X'61', 0, 2), (2, X'61', 0, 1)`)
  const registry = openRegistry(t, file)
  assert.equal(await registry.add(URL, exact('new')), true)
  assert.deepEqual((await registry.list(URL)).map((one) => one.target).sort(), ['new', 'old', 'old'])
  assert.deepEqual((await registry.claim(2, 1, 10)).map((one) => one.registration.kind), ['exact', 'glob'])
  assert.equal(database.prepare('PRAGMA user_version').get()?.['user_version'], MIGRATIONS.length)
})

test('a claim takes what is due from its index, in order, without sorting the rest', (t) => {
  const database = shell(t, databasePath(t))
  migrate(database, MIGRATIONS)
  const plan = database.prepare(`EXPLAIN QUERY PLAN ${DUE_NOTICES}`).all('exact', 1, 1, 1).map((row) => String(row['detail']))
  assert.match(plan[0] as string, /USING INDEX missed_by_kind_and_due_at \(kind=\? AND due_at<\?\)/)
  assert.ok(plan.every((line) => !/TEMP B-TREE|SCAN/.test(line)), plan.join('\n'))
})

test('a notice keeps to the kind of its registration, whoever changes that', (t) => {
  const database = shell(t, databasePath(t))
  migrate(database, MIGRATIONS)
  database.exec(`INSERT INTO subscriptions (kind, target, url) VALUES ('exact', X'61', 'http://one.example/');
    INSERT INTO missed (subscription_id, kind, topic, attempts, due_at) VALUES (1, 'exact', X'61', 0, 1);
    UPDATE subscriptions SET kind = 'glob'`)
  assert.equal(database.prepare('SELECT kind FROM missed').get()?.['kind'], 'glob')
})
