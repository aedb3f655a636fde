import assert from 'node:assert/strict'
import { after, test, type TestContext } from 'node:test'
import { inspect } from 'node:util'
import { Client } from 'pg'
import { WaystationError } from '../../src/core/errors.ts'
import type { Registry } from '../../src/core/registry.ts'
import { MIGRATIONS } from '../../src/registry/postgres/schema.ts'
import { createPostgresRegistry } from '../../src/registry/postgres/registry.ts'
import { createManualClock } from '../../src/testing/index.ts'
import { realClock } from '../../src/server/real-world.ts'
import { until } from '../support/events.ts'
import { startPostgres, WITH_PASSWORD, type TestPostgres } from '../support/postgres.ts'
import { exact, startAndKeep, targets, URL, type Told } from './open-registry.ts'

const server = await startPostgres(after, { deadlock_timeout: '100ms' })
/** Milliseconds in which each call ends. */
const IN_TIME = 5_000

function open(t: TestContext, url: string, pollInterval = 200): Registry {
  const registry = createPostgresRegistry({ url, clock: realClock, pollInterval })
  t.after(() => registry.close())
  return registry
}

async function sql(url: string, text: string): Promise<void> {
  await rows(url, text)
}

async function rows(url: string, text: string): Promise<Record<string, unknown>[]> {
  const client = new Client({ connectionString: url })
  client.on('error', () => {})
  await client.connect()
  try {
    return (await client.query(text)).rows
  } finally {
    await client.end()
  }
}

async function connect(t: TestContext, url: string): Promise<Client> {
  const client = new Client({ connectionString: url })
  await client.connect()
  t.after(() => client.end())
  return client
}

function isUnavailable(error: unknown): error is WaystationError {
  return error instanceof WaystationError && error.code === 'registry_unavailable'
}

interface Storm {
  /** What was answered, by registry. */
  readonly answered: string[][]
  refused: number
  /** The longest that a call took, in ms. */
  longest: number
  end(): Promise<void>
}

/** Eight at a time in each registry, one after the other. */
function storm(registries: readonly Registry[]): Storm {
  const self: Storm = { answered: registries.map(() => []), refused: 0, longest: 0, end }
  let [ended, n] = [false, 0]
  const going = registries.flatMap((registry, i) => Array.from({ length: 8 }, async () => {
    while (!ended) {
      const target = `${n++}`
      const began = performance.now()
      try {
        await registry.add(URL, exact(target))
        self.answered[i]?.push(target)
      } catch (error) {
        assert.ok(isUnavailable(error), inspect(error))
        self.refused++
        // They are refused at once while it is away.
        await new Promise((resolve) => setTimeout(resolve, 20))
      }
      self.longest = Math.max(self.longest, performance.now() - began)
    }
  }))
  async function end(): Promise<void> {
    ended = true
    await Promise.all(going)
  }
  return self
}

const FAULTS: readonly { name: string; begin: (server: TestPostgres, url: string) => unknown; end: (server: TestPostgres) => unknown }[] = [
  { name: 'stopped and started again', begin: (one) => one.stop(), end: (one) => one.restart() },
  { name: 'killed and started again', begin: (one) => one.kill(), end: (one) => one.restart() },
  { name: 'standing still for a while', begin: (one) => one.pause(), end: (one) => one.resume() },
]

for (const { name, begin, end } of FAULTS) {
  test(`in a storm, with the server ${name}, nothing is lost that was answered, calls end in time, and all goes on by itself`, async (t) => {
    const url = await server.createDatabase()
    const registries = [open(t, url), open(t, url)]
    const views = await Promise.all(registries.map(startAndKeep))
    const going = storm(registries)
    await until(() => going.answered.every((some) => some.length > 20), 'the storm')
    await begin(server, url)
    await until(() => going.refused > 4 && registries.every((one) => !one.available), 'refusals, and no registry available')
    const asked = performance.now()
    await assert.rejects(async () => registries[0]?.current(), isUnavailable)
    assert.ok(performance.now() - asked < IN_TIME, 'to be current took too long')
    await end(server)
    const before = going.answered.map((some) => some.length)
    await until(() => going.answered.every((some, i) => some.length > (before[i] as number) + 20), 'more answers')
    await going.end()
    assert.ok(going.longest < IN_TIME, `a call took ${Math.round(going.longest)} ms`)
    await assertConverged(t, url, registries, views, going)
  })
}

test('in a storm, with all connections cut again and again, nothing is lost that was answered', async (t) => {
  const url = await server.createDatabase()
  const registries = [open(t, url), open(t, url)]
  const views = await Promise.all(registries.map(startAndKeep))
  const going = storm(registries)
  for (let i = 1; i <= 4; i++) {
    const before = going.answered.map((some) => some.length)
    await until(() => going.answered.every((some, at) => some.length > (before[at] as number) + 10), 'the storm')
    await sql(url, 'SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()')
  }
  await until(() => going.refused > 0, 'a refusal')
  const before = going.answered.map((some) => some.length)
  await until(() => going.answered.every((some, at) => some.length > (before[at] as number) + 10), 'more answers')
  await going.end()
  await assertConverged(t, url, registries, views, going)
})

async function assertConverged(t: TestContext, url: string, registries: readonly Registry[], views: readonly Told[], { answered }: Storm): Promise<void> {
  const there = (await open(t, url).list(URL)).map((one) => one.target as string).sort()
  const has = new Set(there)
  assert.deepEqual(answered.flat().filter((target) => !has.has(target)), [], 'what was answered is not there')
  await until(() => views.every((view) => view.there.size === there.length), 'the views to be equal')
  for (const view of views) assert.deepEqual(targets(view), there)
  await until(() => registries.every((one) => one.available), 'all to be available')
  await until(async () => (await rows(url, "SELECT FROM pg_stat_activity WHERE datname = current_database() AND query LIKE 'LISTEN%'")).length === registries.length, 'all to listen again')
}

test('who starts while the server is away is told so, and is told everything when it is there', async (t) => {
  const url = await server.createDatabase()
  await open(t, url).add(URL, exact('before'))
  await server.stop()
  const registry = open(t, url)
  assert.equal(registry.available, true)
  const told = { there: new Map(), calls: [] } as Told
  await assert.rejects(registry.start((changes) => {
    for (const change of changes) if (change.type === 'added') told.there.set(change.registration.id, change.registration)
  }), (error) => isUnavailable(error) && /nothing listens there: is PostgreSQL running\?/.test(error.message))
  assert.equal(registry.available, false)
  await server.restart()
  await until(() => targets(told).includes('before'), 'what is there')
  assert.equal(await registry.add(URL, exact('a')), true)
  assert.deepEqual(targets(told), ['a', 'before'])
})

test('what another has changed is told soon although nobody was told of it, and at once although nobody looks', async (t) => {
  const url = await server.createDatabase()
  const [silent, looking] = [open(t, url, 600_000), open(t, url, 50)]
  const views = await Promise.all([silent, looking].map(startAndKeep))
  await silent.add(URL, exact('heard'))
  await looking.add(URL, exact('heard too'))
  await until(() => views.every((view) => view.there.size === 2), 'what was heard of')
  // As when a notification is lost.
  await sql(url, "SET session_replication_role = replica; INSERT INTO waystation.subscriptions (kind, target, url) VALUES ('exact', 'unheard', 'http://one.example/'); INSERT INTO waystation.changes (subscription_id) SELECT max(id) FROM waystation.subscriptions")
  await until(() => targets(views[1] as Told).includes('unheard'), 'what was not heard of')
  assert.ok(!targets(views[0] as Told).includes('unheard'))
  await silent.current()
  assert.ok(targets(views[0] as Told).includes('unheard'))
})

test('what is done by hand is told: rows of many kinds at once, a changed number, a table that is emptied', async (t) => {
  const url = await server.createDatabase()
  const registry = open(t, url)
  const view = await startAndKeep(registry)
  await sql(url, "INSERT INTO waystation.subscriptions (kind, target, url) SELECT 'exact', convert_to('t/' || n, 'UTF8'), 'http://one.example/' FROM generate_series(1, 2500) AS n")
  await until(() => view.there.size === 2_500, 'all rows')
  await sql(url, "UPDATE waystation.subscriptions SET recovery = 'http://r/', id = id + 10000 WHERE target = 't/7'; DELETE FROM waystation.subscriptions WHERE target <> 't/7'")
  await until(() => view.there.size === 1, 'one row')
  assert.deepEqual([...view.there.values()].map(({ target, recovery, id }) => [target, recovery, id > 10_000]), [['t/7', 'http://r/', true]])
  await sql(url, "TRUNCATE waystation.subscriptions CASCADE; INSERT INTO waystation.subscriptions (kind, target, url) VALUES ('exact', 'new', 'http://one.example/')")
  await until(() => targets(view).join() === 'new', 'the one that came after')
  assert.equal(await registry.add(URL, exact('a')), true)
  assert.deepEqual(targets(view), ['a', 'new'])
})

test('a database that was made anew under a running hub is prepared again, and what is gone is told', async (t) => {
  const url = await server.createDatabase()
  const registry = open(t, url)
  const view = await startAndKeep(registry)
  await registry.add(URL, exact('a'))
  await sql(url, 'DROP SCHEMA waystation CASCADE')
  await until(() => view.there.size === 0, 'the end of what was there')
  assert.equal(await registry.add(URL, exact('b')), true)
  assert.deepEqual(targets(view), ['b'])
})

const secret = 'pass-word-4711'

test('a refusal says what an operator can do, and no password, value or row', async (t) => {
  const url = await server.createDatabase()
  const as = (user: string): string => url.replace('postgres@', `${user}:${secret}@`)
  await sql(url, `CREATE ROLE ${WITH_PASSWORD} LOGIN PASSWORD 'another'; CREATE ROLE poor LOGIN; CREATE ROLE crowd LOGIN CONNECTION LIMIT 0; CREATE ROLE idle LOGIN SUPERUSER; ALTER ROLE idle SET default_transaction_read_only = on`)
  const latin = await server.createDatabase()
  await sql(server.url, `ALTER DATABASE ${new globalThis.URL(latin).pathname.slice(1)} RENAME TO other_name`)
  const cases: readonly [string, RegExp][] = [
    [as(WITH_PASSWORD), /the password is wrong/],
    [url.replace('postgres@', `${WITH_PASSWORD}@`), /it asks for a password/],
    [latin, /there is no such database/],
    [as('poor'), /CREATE SCHEMA waystation AUTHORIZATION "poor"/],
    [as('crowd'), /all the connections that it may have/],
    [as('idle'), /it may only be read/],
    [`postgres://postgres:${secret}@127.0.0.1:1/none`, /nothing listens there/],
  ]
  for (const [one, said] of cases) {
    const error: unknown = await open(t, one).add(URL, exact('value-0815', 'http://value-0815/')).catch((refusal: unknown) => refusal)
    assert.ok(isUnavailable(error) && said.test(error.message), inspect(error))
    assert.doesNotMatch(inspect(error, { depth: 9 }), /pass-word|value-0815/)
  }
  assert.throws(() => createPostgresRegistry({ url: `postgres://a:${secret}@[/x`, clock: realClock }), (error) => error instanceof WaystationError && error.code === 'config_invalid' && !inspect(error).includes(secret))
  const registry = open(t, url)
  const error: unknown = await registry.addKey({ domain: 'value-0815'.repeat(10), username: 'u', apikey: 'k', sha256: undefined }).catch((refusal: unknown) => refusal)
  assert.ok(isUnavailable(error) && /longer than its column/.test(error.message), inspect(error))
  assert.doesNotMatch(inspect(error, { depth: 9 }), /value-0815/)
  const wrong: unknown = await registry.postpone({ id: 1, topic: exact('a').target, attempts: 47.11, dueAt: 1 }).catch((refusal: unknown) => refusal)
  assert.ok(isUnavailable(wrong))
  assert.doesNotMatch(inspect(wrong, { depth: 9 }), /47\.11/)
})

test('a schema of a newer version is refused, named, and left alone', async (t) => {
  const url = await server.createDatabase()
  await sql(url, `CREATE SCHEMA waystation; CREATE TABLE waystation.schema_version (version integer); INSERT INTO waystation.schema_version VALUES (${MIGRATIONS.length + 1})`)
  const registry = open(t, url)
  await assert.rejects(registry.start(() => {}), (error) => isUnavailable(error) && /its schema has version \d+, and this program knows up to \d+: start the newer version/.test(error.message))
  await assert.rejects(registry.add(URL, exact('a')), isUnavailable)
})

test('a lock that another program holds is waited for, but not for long', async (t) => {
  const url = await server.createDatabase()
  const registry = open(t, url)
  await registry.add(URL, exact('a'))
  const other = await connect(t, url)
  await other.query("BEGIN; INSERT INTO waystation.subscriptions (kind, target, url) VALUES ('exact', 'theirs', 'http://theirs/')")
  const began = performance.now()
  await assert.rejects(registry.add(URL, exact('b')), (error) => isUnavailable(error) && /a lock of another program|in time/.test(error.message))
  assert.ok(performance.now() - began < IN_TIME)
  assert.equal((await registry.list(URL)).length, 1)
  await other.query('COMMIT')
  assert.equal(await registry.add(URL, exact('b')), true)
})

test('of two who insert by hand at once, neither is missed, whoever ends first', async (t) => {
  const url = await server.createDatabase()
  const registry = open(t, url, 50)
  const view = await startAndKeep(registry)
  const [first, second] = [await connect(t, url), await connect(t, url)]
  await first.query("BEGIN; INSERT INTO waystation.subscriptions (kind, target, url) VALUES ('exact', 'first', 'http://one.example/')")
  let done = false
  const later = second.query("INSERT INTO waystation.subscriptions (kind, target, url) VALUES ('exact', 'second', 'http://one.example/')").then(() => (done = true))
  await until(async () => done || (await rows(url, "SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'")).length > 0, 'the second to wait, or to be done')
  await registry.current()
  await first.query('COMMIT')
  await later
  await until(() => targets(view).length === 2, 'both')
})

test('who waits for somebody who waits for him does it once more', async (t) => {
  const url = await server.createDatabase()
  const registry = open(t, url)
  await registry.add(URL, exact('a'))
  const other = await connect(t, url)
  await other.query('BEGIN; SELECT FROM waystation.subscriptions FOR UPDATE')
  const removing = registry.remove(URL, exact('a'))
  removing.catch(() => {})
  await until(async () => (await rows(url, "SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'")).length > 0, 'the lock to be waited for')
  // The server undoes one of the two: ours, unless the machine was too slow to bring them together in time.
  await other.query("UPDATE waystation.subscriptions SET recovery = 'http://r/'; COMMIT").catch(() => other.query('ROLLBACK'))
  assert.equal(await removing, true)
})

test('what is answered is on disk, whatever the database does for others', async (t) => {
  const url = await server.createDatabase()
  const name = new globalThis.URL(url).pathname.slice(1)
  const registry = open(t, url)
  await registry.add(URL, exact('before'))
  await sql(url, `ALTER DATABASE ${name} SET synchronous_commit = off; CREATE TABLE seen (setting text); CREATE FUNCTION look() RETURNS trigger LANGUAGE plpgsql
    AS $$ BEGIN INSERT INTO seen VALUES (current_setting('synchronous_commit')); RETURN NULL; END $$; CREATE TRIGGER look AFTER INSERT ON waystation.subscriptions EXECUTE FUNCTION look()`)
  assert.equal(await open(t, url).add(URL, exact('after')), true)
  assert.deepEqual(await rows(url, 'SELECT setting FROM seen'), [{ setting: 'on' }])
})

test('everything that comes out is of one moment', async (t) => {
  const url = await server.createDatabase()
  const registry = open(t, url)
  await registry.set(URL, Array.from({ length: 1_500 }, (_, i) => exact(`${i}`)))
  const things: string[] = []
  for await (const thing of registry.everything()) {
    if (things.push(thing.type) > 1) continue
    await registry.add(URL, exact('late'))
    await registry.addKey({ domain: 'late', username: 'u', apikey: 'k', sha256: undefined })
  }
  assert.deepEqual(things, Array.from({ length: 1_500 }, () => 'registration'))
})

test('old changes are let go, and who has not read them compares everything', async (t) => {
  const url = await server.createDatabase()
  const [silent, looking] = [open(t, url, 600_000), open(t, url, 50)]
  const views = await Promise.all([silent, looking].map(startAndKeep))
  await silent.add(URL, exact('a'))
  await sql(url, "SET session_replication_role = replica; UPDATE waystation.subscriptions SET target = 'b'; INSERT INTO waystation.changes (subscription_id) SELECT CASE n WHEN 1 THEN 1 ELSE 0 END FROM generate_series(1, 13000) AS n ORDER BY n")
  await until(async () => (await rows(url, 'SELECT FROM waystation.changes OFFSET 10000')).length === 0, 'old rows to go')
  await until(() => targets(views[1] as Told)[0] === 'b', 'the change to be told to who looks')
  assert.deepEqual(targets(views[0] as Told), ['a'])
  await silent.current()
  assert.deepEqual(targets(views[0] as Told), ['b'])
})

test('signatures that ran out long ago go by and by', async (t) => {
  const url = await server.createDatabase()
  const clock = createManualClock()
  const registry = createPostgresRegistry({ url, clock })
  t.after(() => registry.close())
  const some = (name: string): Promise<boolean[]> => Promise.all(Array.from({ length: 200 }, (_, i) => registry.remember(Buffer.from(`${name} ${i}`), clock.now() + 1_000, clock.now())))
  await some('first')
  clock.advance(601_001)
  assert.ok((await some('second')).every(Boolean))
  await until(async () => (await rows(url, 'SELECT FROM waystation.signatures')).length === 200, 'the first to go')
  assert.ok((await some('second')).every((isNew) => !isNew))
})
