import assert from 'node:assert/strict'
import { hash } from 'node:crypto'
import { after, test, type TestContext } from 'node:test'
import { Client } from 'pg'
import { WaystationError } from '../../src/core/errors.ts'
import type { Registry } from '../../src/core/registry.ts'
import { createPostgresRegistry } from '../../src/registry/postgres/registry.ts'
import { APIKEYS_TABLE, APIKEYS_TRIGGERS } from '../../src/registry/postgres/schema.ts'
import { realClock } from '../../src/server/real-world.ts'
import { until } from '../support/events.ts'
import { startPostgres } from '../support/postgres.ts'

const server = await startPostgres(after)
const KEY = 'f47ac10b-58cc-4372-a567-0e02b2c3d479'
/** The table as the original documents it (wspubsub, section 7), its sequence made first. */
const ORIGINAL = `
  CREATE SEQUENCE apikeys_id_seq;
  CREATE TABLE apikeys (
    id integer NOT NULL DEFAULT nextval('apikeys_id_seq'::regclass), domain character varying(64) NOT NULL, username character varying(254) NOT NULL,
    apikey character varying(36) NOT NULL, insert_ts timestamp without time zone NOT NULL DEFAULT now(), active boolean NOT NULL DEFAULT false,
    CONSTRAINT apikeys_pkey PRIMARY KEY (id), CONSTRAINT apikeys_apikey_key UNIQUE (apikey), CONSTRAINT apikeys_domain_key UNIQUE (domain));`
const INSERT = `INSERT INTO apikeys (domain, username, apikey, active) VALUES ('test', 'hello@world.com', '${KEY}', true)`
const HASHED = { domain: 'hashed', username: 'u', apikey: undefined, sha256: hash('sha256', 'k', 'buffer') }
/** Milliseconds in which a change is told, and some for a busy machine. */
const SOON = 2_000 + 3_000
let roles = 0

/** As the database's owner, or as somebody. */
async function connect(t: TestContext, url: string): Promise<Client> {
  const client = new Client({ connectionString: url })
  await client.connect()
  t.after(() => client.end())
  return client
}

function open(t: TestContext, url: string): Registry {
  const registry = createPostgresRegistry({ url, clock: realClock, pollInterval: 250 })
  t.after(() => registry.close())
  return registry
}

async function watch(registry: Registry): Promise<{ owned: Set<string>; told: string[] }> {
  const view = { owned: new Set<string>(), told: [] as string[] }
  await registry.watchDomains(({ all, domains }) => {
    if (all) view.owned.clear()
    for (const [domain, isThere] of domains) {
      view.told.push(domain)
      if (isThere) view.owned.add(domain)
      else view.owned.delete(domain)
    }
  })
  return view
}

/** Somebody who may only read the table, which is another's; his schema was made for him. Gives his url. */
async function reader(owner: Client, url: string): Promise<string> {
  const name = `reader_${++roles}`
  await owner.query(`CREATE ROLE ${name} LOGIN; GRANT SELECT ON apikeys TO ${name}; CREATE SCHEMA waystation AUTHORIZATION ${name}`)
  return url.replace('postgres@', `${name}@`)
}

for (const who of ['its owner', 'somebody who may only read it'] as const) {
  test(`a table of the original lets its publishers in, and what is done to it by plain SQL is told, to ${who}`, async (t) => {
    const url = await server.createDatabase()
    const owner = await connect(t, url)
    await owner.query(ORIGINAL)
    await owner.query(INSERT)
    const registry = open(t, who === 'its owner' ? url : await reader(owner, url))
    const view = await watch(registry)
    assert.deepEqual([...view.owned], ['test'])
    const [row] = await registry.keysOf(['test', 'Test'])
    assert.deepEqual({ ...row, insertedAt: 0 }, { id: 1, domain: 'test', username: 'hello@world.com', apikey: KEY, sha256: undefined, insertedAt: 0, active: true })
    assert.equal((await registry.keysAfter(0, 10)).length, 1)

    await owner.query("INSERT INTO apikeys (domain, username, apikey) VALUES ('second', 'u', 'a'), ('third', 'u', 'b')")
    await until(() => view.owned.size === 3, 'two more', SOON)
    assert.equal((await registry.keysOf(['second']))[0]?.active, false, 'a row is active only where it says so')
    view.told.length = 0
    await owner.query("UPDATE apikeys SET active = false WHERE domain = 'test'")
    await until(() => view.told.includes('test'), 'the revocation', SOON)
    assert.equal((await registry.keysOf(['test']))[0]?.active, false)
    await owner.query("UPDATE apikeys SET domain = 'renamed' WHERE domain = 'third'")
    await until(() => view.owned.has('renamed') && !view.owned.has('third'), 'the other name', SOON)
    await owner.query("DELETE FROM apikeys WHERE domain = 'test'")
    await until(() => !view.owned.has('test'), 'the end of a row', SOON)
    await owner.query('TRUNCATE apikeys')
    await until(() => view.owned.size === 0, 'the end of all', SOON)
    await owner.query(INSERT)
    await until(() => view.owned.has('test'), 'the first again', SOON)
    view.told.length = 0
    await owner.query("SET session_replication_role = replica; UPDATE apikeys SET active = false; RESET session_replication_role")
    await until(() => view.told.includes('test'), 'what comes by replication', SOON)
    await owner.query(`DROP TABLE apikeys; DROP SEQUENCE apikeys_id_seq; ${ORIGINAL} ${who === 'its owner' ? '' : 'GRANT SELECT ON apikeys TO PUBLIC;'} INSERT INTO apikeys (domain, username, apikey) VALUES ('other', 'u', 'a')`)
    await until(() => view.owned.has('other') && !view.owned.has('test'), 'another table of that name', SOON)
  })
}

test('a table of the original takes hashes once its owner has opened it, and its INSERT still works', async (t) => {
  const url = await server.createDatabase()
  const owner = await connect(t, url)
  await owner.query(ORIGINAL)
  const registry = open(t, url)
  assert.equal(await registry.addKey(HASHED), true)
  await owner.query(INSERT)
  assert.deepEqual((await registry.keysOf(['hashed', 'test'])).map(({ domain, apikey, sha256 }) => [domain, apikey, sha256]), [['hashed', undefined, HASHED.sha256], ['test', KEY, undefined]])
  // A key is the same, whichever way it is kept.
  assert.equal(await registry.addKey({ ...HASHED, domain: 'a', sha256: hash('sha256', KEY, 'buffer') }), false)
  assert.equal(await registry.addKey({ domain: 'a', username: 'u', apikey: 'k', sha256: undefined }), false)
  assert.equal(await registry.changeKey('hashed', { sha256: hash('sha256', KEY, 'buffer') }), false)
  assert.equal((await owner.query("SELECT FROM information_schema.columns WHERE table_name = 'apikeys'")).rowCount, 7)
})

test('where the table is another\'s, a key that cannot be stored is refused with what its owner can do; then it is taken', async (t) => {
  const url = await server.createDatabase()
  const owner = await connect(t, url)
  await owner.query(`${ORIGINAL} ${INSERT}`)
  const registry = open(t, await reader(owner, url))
  const advised = (error: unknown): boolean => error instanceof WaystationError && error.code === 'registry_unavailable' && /its owner can let this user: ALTER TABLE apikeys/.test(error.message)
  await assert.rejects(registry.addKey(HASHED), advised)
  await assert.rejects(registry.addKey({ domain: 'plain', username: 'u', apikey: 'a', sha256: undefined }), advised)
  await assert.rejects(registry.changeKey('test', { active: false }), advised)
  await assert.rejects(registry.changeKey('test', { sha256: HASHED.sha256 }), advised)
  await assert.rejects(registry.removeKey('test'), advised)
  // The rest of the registry does not need it.
  assert.equal(await registry.add('http://a/', { kind: 'exact', target: 'a' as never, recovery: undefined }), true)
  await owner.query('ALTER TABLE apikeys ADD COLUMN apikey_sha256 bytea UNIQUE, ALTER COLUMN apikey DROP NOT NULL; GRANT SELECT, INSERT, UPDATE, DELETE, TRIGGER ON apikeys TO PUBLIC; GRANT USAGE ON apikeys_id_seq TO PUBLIC')
  const view = await watch(registry)
  assert.equal(await registry.addKey(HASHED), true)
  assert.equal(await registry.changeKey('test', { sha256: hash('sha256', 'new', 'buffer') }), true)
  assert.deepEqual(view.told, ['test', 'hashed', 'test'])
  assert.equal((await owner.query("SELECT FROM pg_trigger WHERE tgname LIKE 'waystation%'")).rowCount, 2, 'the changes are not noted')
})

test('our own table loads into an empty database as it stands in the documents, and is used as it is', async (t) => {
  const url = await server.createDatabase()
  const owner = await connect(t, url)
  await owner.query(APIKEYS_TABLE)
  await owner.query(INSERT)
  const registry = open(t, url)
  assert.equal((await registry.keysOf(['test'])).length, 1)
  assert.equal(await registry.addKey(HASHED), true)
  await owner.query('DROP TABLE apikeys')
  assert.equal((await owner.query("SELECT to_regclass('apikeys_id_seq') AS there")).rows[0].there, null, 'the sequence stays behind')
})

test('a table that takes the place of another in one step, as a backup is put back, is told whole', async (t) => {
  const url = await server.createDatabase()
  const owner = await connect(t, url)
  const registry = open(t, url)
  const view = await watch(registry)
  await registry.addKey(HASHED)
  await owner.query(`BEGIN; ALTER TABLE apikeys RENAME TO former; CREATE TABLE apikeys (LIKE former INCLUDING ALL); ${INSERT}; ${APIKEYS_TRIGGERS} COMMIT`)
  await until(() => view.owned.has('test') && !view.owned.has('hashed'), 'the other table', SOON)
})

test('a row\'s time is right in whatever time zone the server writes', async (t) => {
  const url = await server.createDatabase()
  const owner = await connect(t, url)
  await owner.query(`${ORIGINAL} ALTER DATABASE ${new URL(url).pathname.slice(1)} SET timezone = 'Asia/Tokyo'`)
  const other = await connect(t, url)
  await other.query(INSERT)
  const registry = open(t, url)
  const [row] = await registry.keysOf(['test'])
  assert.ok(Math.abs((row?.insertedAt as number) - Date.now()) < 600_000, String(row?.insertedAt))
  await registry.addKey({ ...HASHED, insertedAt: 1_700_000_000_123 })
  assert.equal((await registry.keysOf(['hashed']))[0]?.insertedAt, 1_700_000_000_123)
})

test('a transaction that somebody leaves open holds up nobody, and is told when it ends, by whoever', async (t) => {
  const url = await server.createDatabase()
  const owner = await connect(t, url)
  await owner.query(ORIGINAL)
  const registry = open(t, url)
  const view = await watch(registry)
  // Somebody who has rights on the table and on nothing else.
  const name = `writer_${++roles}`
  await owner.query(`CREATE ROLE ${name} LOGIN; GRANT INSERT, UPDATE ON apikeys TO ${name}; GRANT USAGE ON apikeys_id_seq TO ${name}`)
  const other = await connect(t, url.replace('postgres@', `${name}@`))
  await other.query('BEGIN')
  await other.query(INSERT)
  assert.equal(await registry.addKey(HASHED), true)
  await owner.query("INSERT INTO apikeys (domain, username, apikey) VALUES ('meanwhile', 'u', 'a')")
  await until(() => view.owned.has('meanwhile'), 'what came meanwhile', SOON)
  assert.ok(!view.owned.has('test'))
  await other.query('COMMIT')
  await until(() => view.owned.has('test'), 'what was begun first', SOON)
})
