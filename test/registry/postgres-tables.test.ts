import assert from 'node:assert/strict'
import { hash } from 'node:crypto'
import { after, test, type TestContext } from 'node:test'
import { inspect } from 'node:util'
import { Client } from 'pg'
import { WaystationError } from '../../src/core/errors.ts'
import type { Registry, Stored } from '../../src/core/registry.ts'
import { createPostgresRegistry } from '../../src/registry/postgres/registry.ts'
import { realClock } from '../../src/server/real-world.ts'
import { until } from '../support/events.ts'
import { startPostgres } from '../support/postgres.ts'
import { exact, startAndKeep, targets, URL as RECEIVER } from './open-registry.ts'

/* What may stand in the tables, or become of them, that we have not put there. */

const server = await startPostgres(after)
const HASH = hash('sha256', 'k', 'buffer')

async function connect(t: TestContext, url: string): Promise<Client> {
  const client = new Client({ connectionString: url })
  await client.connect()
  t.after(() => client.end())
  return client
}

function open(t: TestContext, url: string, pollInterval = 200): Registry {
  const registry = createPostgresRegistry({ url, clock: realClock, pollInterval })
  t.after(() => registry.close())
  return registry
}

async function opened(t: TestContext, pollInterval?: number): Promise<{ url: string; owner: Client; registry: Registry }> {
  const url = await server.createDatabase()
  return { url, owner: await connect(t, url), registry: open(t, url, pollInterval) }
}

function named(n: number): Extract<Stored, { type: 'key' }> {
  return { type: 'key', domain: `new/${n}`, username: 'u', apikey: undefined, sha256: hash('sha256', `new ${n}`, 'buffer'), insertedAt: 1_000, active: true }
}

test('where rows have numbers that their sequence has still to give, keys are put in all the same', async (t) => {
  const { owner, registry } = await opened(t)
  assert.equal(await registry.addKey({ domain: 'first', username: 'u', apikey: undefined, sha256: HASH }), true)
  await owner.query("INSERT INTO apikeys (id, domain, username, apikey) SELECT n, 'theirs/' || n, 'u', 'key ' || n FROM generate_series(2, 300) AS n")
  assert.equal(await registry.addKey({ domain: 'theirs/7', username: 'u', apikey: 'another', sha256: undefined }), false)
  assert.equal(await registry.addKey({ domain: 'one', username: 'u', apikey: 'one', sha256: undefined }), true)
  await owner.query("INSERT INTO apikeys (id, domain, username, apikey) SELECT last_value + n, 'more/' || n, 'u', 'more ' || n FROM apikeys_id_seq, generate_series(1, 299) AS n WHERE n <> 9")
  assert.equal(await registry.restore(Array.from({ length: 50 }, (_, i) => named(i))), 50)
  assert.equal(await registry.restore(Array.from({ length: 60 }, (_, i) => named(i))), 10)
  assert.equal((await registry.keysAfter(0, 1_000)).length, 1 + 299 + 1 + 298 + 60)
})

test('a table without constraints, with columns of its own types and times that no calendar has, is read and written', async (t) => {
  const { owner, registry } = await opened(t)
  await owner.query(`CREATE TABLE apikeys (id bigserial, domain text, username text, apikey uuid, insert_ts timestamptz DEFAULT now(), active boolean DEFAULT true);
    INSERT INTO apikeys (domain, username, apikey, insert_ts) VALUES ('endless', 'u', 'f47ac10b-58cc-4372-a567-0e02b2c3d479', 'infinity'), ('late', 'u', NULL, '294000-01-01'), ('none', 'u', NULL, NULL), ('early', 'u', NULL, '4713-01-01 BC')`)
  const rows = await registry.keysOf(['endless', 'late', 'none', 'early'])
  assert.deepEqual(rows.map(({ domain, apikey }) => [domain, apikey]), [['endless', 'f47ac10b-58cc-4372-a567-0e02b2c3d479'], ['late', undefined], ['none', undefined], ['early', undefined]])
  for (const { domain, insertedAt } of rows) assert.ok(Number.isSafeInteger(insertedAt) && !Number.isNaN(new Date(insertedAt).getTime()), `${domain}: ${insertedAt}`)
  assert.equal(await registry.addKey({ domain: 'late', username: 'u', apikey: undefined, sha256: HASH }), false)
  assert.equal(await registry.addKey({ domain: 'new', username: 'u', apikey: undefined, sha256: HASH }), true)
  assert.equal((await registry.keysOf(['new']))[0]?.sha256?.equals(HASH), true)
})

test('in a table with numbers that are none, texts that are filled up with spaces and flags that are numbers, each domain is owned and each key is found', async (t) => {
  const { owner, registry } = await opened(t)
  await owner.query(`CREATE TABLE apikeys (id uuid DEFAULT gen_random_uuid(), domain char(64) UNIQUE, username char(20), apikey char(36), insert_ts timestamp DEFAULT now(), active integer);
    INSERT INTO apikeys (domain, username, apikey, active) VALUES ('a', 'u', 'key', 1), ('b', 'u', 'another', 0), ('c', 'u', NULL, NULL)`)
  const owned = new Set<string>()
  await registry.watchDomains(({ domains }) => {
    for (const [domain] of domains) owned.add(domain)
  })
  assert.deepEqual([...owned].sort(), ['a', 'b', 'c'])
  const rows = await registry.keysOf(['a', 'b', 'c'])
  assert.deepEqual(rows.map(({ domain, username, apikey, active }) => [domain, username, apikey, active]), [['a', 'u', 'key', true], ['b', 'u', 'another', false], ['c', 'u', undefined, false]])
  await owner.query("INSERT INTO apikeys (domain) VALUES ('d')")
  await until(() => owned.has('d'), 'the new domain')
})

test('what has a number of zero or less is like anything else', async (t) => {
  const { owner, registry } = await opened(t)
  await registry.add(RECEIVER, exact('1'))
  await owner.query("INSERT INTO waystation.subscriptions (id, kind, target, url) VALUES (0, 'exact', '0', 'http://one.example/'), (-5, 'exact', '-5', 'http://one.example/'); INSERT INTO apikeys (id, domain, username, apikey) VALUES (-7, 'test', 'u', 'k')")
  const things = await Array.fromAsync(registry.everything())
  assert.deepEqual(things.map((one) => (one.type === 'registration' ? one.target : one.type)).sort(), ['-5', '0', '1', 'key'])
  await registry.set(RECEIVER, [exact('1')])
  assert.deepEqual((await registry.list(RECEIVER)).map(({ target }) => target), ['1'])
})

test('tables that are made anew and filled again before anybody looks are told whole', async (t) => {
  const { url, owner, registry } = await opened(t, 600_000)
  const view = await startAndKeep(registry)
  const owned = new Set<string>()
  await registry.watchDomains(({ all, domains }) => {
    if (all) owned.clear()
    for (const [domain, isThere] of domains) {
      if (isThere) owned.add(domain)
      else owned.delete(domain)
    }
  })
  for (const target of ['a', 'b']) await registry.add(RECEIVER, exact(target))
  await registry.addKey({ domain: 'a', username: 'u', apikey: 'k', sha256: undefined })
  await registry.current()
  await owner.query('DROP SCHEMA waystation CASCADE; DELETE FROM apikeys')
  const other = open(t, url, 600_000)
  for (const target of ['c', 'd', 'e', 'f']) await other.add(RECEIVER, exact(target))
  for (const domain of ['c', 'd', 'e']) await other.addKey({ domain, username: 'u', apikey: domain, sha256: undefined })
  await registry.current()
  assert.deepEqual(targets(view), ['c', 'd', 'e', 'f'])
  await registry.addKey({ domain: 'f', username: 'u', apikey: 'f', sha256: undefined })
  assert.deepEqual([...owned].sort(), ['c', 'd', 'e', 'f'])
})

test('where the server gives few connections, calls wait for one another', async (t) => {
  const { url, owner } = await opened(t)
  await owner.query('CREATE ROLE few LOGIN SUPERUSER CONNECTION LIMIT 2; ALTER ROLE few NOSUPERUSER; GRANT CREATE ON DATABASE ' + new URL(url).pathname.slice(1) + ' TO few; GRANT CREATE ON SCHEMA public TO few')
  const registry = open(t, url.replace('postgres@', 'few@'))
  const view = await startAndKeep(registry)
  const made = await Promise.all(Array.from({ length: 10 }, (_, i) => Promise.all([
    registry.add(RECEIVER, exact(`${i}`)), registry.remember(Buffer.from(`${i}`), Date.now() + 9_000, Date.now()), registry.keysOf([`${i}`]), registry.claim(0, 1, 1), registry.list(RECEIVER),
  ])))
  assert.equal(made.length, 10)
  assert.equal(view.there.size, 10)
  assert.equal(registry.available, true)
})

test('old changes are let go some at a time, however many there are', async (t) => {
  const { url, owner } = await opened(t)
  const registry = open(t, url, 50)
  await startAndKeep(registry)
  await registry.add(RECEIVER, exact('a'))
  await owner.query(`CREATE TABLE seen (gone bigint); CREATE FUNCTION look() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN INSERT INTO public.seen SELECT count(*) FROM old; RETURN NULL; END $$;
    CREATE TRIGGER look AFTER DELETE ON waystation.changes REFERENCING OLD TABLE AS old EXECUTE FUNCTION look();
    INSERT INTO waystation.changes (subscription_id) SELECT 0 FROM generate_series(1, 45000)`)
  await until(async () => (await owner.query('SELECT FROM waystation.changes OFFSET 12000')).rowCount === 0, 'old rows to go')
  const { rows } = await owner.query<{ gone: string }>('SELECT gone FROM seen')
  assert.ok(rows.every(({ gone }) => Number(gone) <= 25_000), inspect(rows))
})

test('transactions are what they must be, whatever the database does for others', async (t) => {
  const { url, owner, registry } = await opened(t)
  await registry.add(RECEIVER, exact('a'))
  await owner.query(`ALTER DATABASE ${new URL(url).pathname.slice(1)} SET default_transaction_isolation = 'serializable'`)
  const both = [open(t, url), open(t, url)]
  const sets = Array.from({ length: 10 }, (_, i) => (both[i % 2] as Registry).set(i % 4 < 2 ? RECEIVER : 'http://two.example/', [exact(`${i}`), exact('b')]))
  await Promise.all(sets)
  const { rows } = await owner.query<{ n: string }>("SELECT count(*) AS n FROM waystation.subscriptions WHERE target = 'b'")
  assert.deepEqual(rows, [{ n: '2' }])
})

test('a url is refused with what is wrong in it, and a host may be an address of IPv6', async (t) => {
  const refusal = (url: string): unknown => {
    try {
      createPostgresRegistry({ url, clock: realClock })
      return undefined
    } catch (error) {
      return error
    }
  }
  const missing = refusal('postgres://u:pass-word@127.0.0.1/x?sslmode=verify-full&sslrootcert=/none/here.pem')
  assert.ok(missing instanceof WaystationError && missing.code === 'config_invalid' && /here\.pem/.test(missing.message), inspect(missing))
  assert.doesNotMatch(inspect(missing), /pass-word/)
  const error: unknown = await open(t, 'postgres://u:pass-word@[::1]:1/x').list(RECEIVER).catch((one: unknown) => one)
  assert.ok(error instanceof WaystationError && /nothing listens there|EADDRNOTAVAIL/.test(error.message), inspect(error))
  assert.doesNotMatch(inspect(error), /pass-word/)
})
