import type { Connection } from './connections.ts'
import { sqlState, UnfitError } from './reasons.ts'
import { APIKEYS_ALWAYS, APIKEYS_HASHES, APIKEYS_TABLE, APIKEYS_TRIGGERS, MIGRATIONS } from './schema.ts'

/** Any number that no other program has chosen: who holds it changes the schema. */
const LOCK = 7_289_046_113_258
/** PostgreSQL 13. */
const OLDEST = 130_000

/**
 * Brings the database up to the last of the migrations, each in a transaction of its own. Safe when several hubs do it at
 * once: each step is made by one of them.
 * @throws {UnfitError} when the schema is newer, or the server cannot hold it; nothing is changed then
 */
export async function migrate(connection: Connection, migrations = MIGRATIONS): Promise<void> {
  while ((await stepsDone(connection, migrations.length)) < migrations.length) {
    await locked(connection, async () => {
      // Read again under the lock: another hub may have made the step while this one waited.
      const done = await stepsDone(connection, migrations.length)
      if (done === 0) await prepare(connection)
      if (done < migrations.length) await connection.query(`${migrations[done]}; UPDATE waystation.schema_version SET version = ${done + 1}`)
    })
  }
}

/** Makes the table of keys where there is none, and prepares one that is there, as far as our user may. */
export async function prepareKeys(connection: Connection): Promise<void> {
  for (const [isDone, step] of KEY_STEPS) {
    if (await yes(connection, isDone)) continue
    await locked(connection, async () => {
      if (!(await yes(connection, isDone))) await connection.query(step)
    }).catch((error: unknown) => {
      if (!LEFT_AS_IT_IS.has(sqlState(error) ?? '')) throw error
    })
  }
}

const KEY_STEPS = [
  ["SELECT to_regclass('apikeys') IS NOT NULL", APIKEYS_TABLE],
  [`SELECT to_regclass('apikeys') IS NULL OR EXISTS (SELECT FROM pg_attribute AS h JOIN pg_attribute AS k USING (attrelid)
    WHERE attrelid = to_regclass('apikeys') AND h.attname = 'apikey_sha256' AND k.attname = 'apikey' AND NOT k.attnotnull)`, APIKEYS_HASHES],
  ["SELECT to_regclass('apikeys') IS NULL OR EXISTS (SELECT FROM pg_trigger WHERE tgrelid = to_regclass('apikeys') AND tgname = 'waystation_keys_truncated')", APIKEYS_TRIGGERS],
  ["SELECT (SELECT count(*) FROM pg_trigger WHERE tgrelid = to_regclass('apikeys') AND tgname LIKE 'waystation_keys_%' AND tgenabled = 'O') = 0", APIKEYS_ALWAYS],
] as const
/** No permission, another's lock, no table or none that can be changed (a view, a foreign table): it is used as it is. */
const LEFT_AS_IT_IS = new Set(['42501', '55P03', '42809', '0A000', '42P01', '42P16', '25006'])

async function stepsDone(connection: Connection, known: number): Promise<number> {
  if (!(await yes(connection, "SELECT to_regclass('waystation.schema_version') IS NOT NULL"))) return 0
  const { rows } = await connection.query<{ version: number }>('SELECT version FROM waystation.schema_version')
  const version = rows[0]?.version ?? 0
  if (version > known) throw new UnfitError(`its schema has version ${version}, and this program knows up to ${known}: start the newer version of the program, or name another database`)
  return version
}

async function prepare(connection: Connection): Promise<void> {
  const { rows } = await connection.query<{ version: string; encoding: string; there: boolean; may: boolean; user: string }>(
    `SELECT current_setting('server_version_num') AS version, current_setting('server_encoding') AS encoding, to_regnamespace('waystation') IS NOT NULL AS there,
      has_database_privilege(current_database(), 'CREATE') AS may, current_user AS user`)
  const { version, encoding, there, may, user } = rows[0] as (typeof rows)[0]
  if (Number(version) < OLDEST) throw new UnfitError('it is older than PostgreSQL 13')
  if (encoding !== 'UTF8' && encoding !== 'SQL_ASCII') throw new UnfitError(`the encoding of the database is ${encoding}: make one with ENCODING 'UTF8'`)
  if (!there && !may) throw new UnfitError(`the user may not make the schema of the registry: CREATE SCHEMA waystation AUTHORIZATION ${JSON.stringify(user)} does it`)
  await connection.query(`${there ? '' : 'CREATE SCHEMA waystation;'} CREATE TABLE waystation.schema_version (one integer PRIMARY KEY CHECK (one = 1), version integer NOT NULL);
    INSERT INTO waystation.schema_version (one, version) VALUES (1, 0)`)
}

/** The lock before the transaction: one that had begun before would not see the tables that another hub has made meanwhile. */
async function locked(connection: Connection, act: () => Promise<void>): Promise<void> {
  await connection.query(`SELECT pg_advisory_lock(${LOCK})`)
  try {
    await connection.query('BEGIN')
    await act()
    await connection.query('COMMIT')
  } catch (error) {
    await connection.query('ROLLBACK').catch(() => {})
    throw error
  } finally {
    // With a connection that is cut the lock goes, too.
    await connection.query(`SELECT pg_advisory_unlock(${LOCK})`).catch(() => {})
  }
}

async function yes(connection: Connection, text: string): Promise<boolean> {
  const { rows } = await connection.query<boolean[]>({ text, rowMode: 'array' })
  return rows[0]?.[0] === true
}
