import { hash } from 'node:crypto'
import type { KeyRow, NewKey } from '../../core/registry.ts'
import type { Connection } from './connections.ts'
import { keyColumns, keyRow, LAST_MOMENT, SELECTED, type KeyColumns, type KeyTableRow } from './key-columns.ts'
import { sqlState, UnfitError } from './reasons.ts'

/** What the owner of a table of the original does, so that our user can make keys in it. */
const ADVICE = 'its owner can let this user: ALTER TABLE apikeys ADD COLUMN apikey_sha256 bytea UNIQUE, ALTER COLUMN apikey DROP NOT NULL; GRANT SELECT, INSERT, UPDATE, DELETE, TRIGGER ON apikeys, and USAGE on the sequence of its ids'
const NO_TABLE = 'there is no table apikeys, and the user may not make one: grant CREATE on the schema public, or set a search_path'

/** In ms since 1970, some time after the first that the server has: it has time zones. */
const FIRST_MOMENT = -210_000_000_000_000
/** Numbers that are drawn at once where those that come are other rows'. */
const MOST_DRAWN = 131_072

/** Rows of the table that are asked for by domain, or page by page. */
export async function keysOf(connection: Connection, domains: readonly string[]): Promise<KeyRow[]> {
  const { rows } = await connection.query<KeyTableRow>(`${SELECTED} WHERE k.domain::text = ANY($1::text[])`, [domains.filter((one) => !one.includes('\0'))])
  return rows.map(keyRow)
}

export async function keysAfter(connection: Connection, after: number, most: number): Promise<KeyRow[]> {
  const { rows } = await connection.query<KeyTableRow>(`${SELECTED} WHERE k.id > $1::bigint ORDER BY k.id LIMIT $2`, [after, most])
  return rows.map(keyRow)
}

/**
 * Puts in those whose domain and key are free, and gives how many. A key that one row has as it is and another by its hash
 * is the same key.
 */
export async function addKeys(connection: Connection, keys: readonly NewKey[]): Promise<number> {
  const withHash = keys.some(({ sha256 }) => sha256 !== undefined)
  const { hasHash } = await writable(connection, withHash)
  const withKey = keys.some(({ apikey }) => apikey !== undefined)
  // Somebody else's table may lack the constraints, or have other types.
  const taken = [
    'a.domain::text = n.domain', ...(withKey ? ['a.apikey::text = n.apikey'] : []), ...(hasHash ? ['a.apikey_sha256 = n.digest'] : []),
    ...(withHash ? ["sha256(convert_to(a.apikey::text, 'UTF8')) = n.digest"] : []),
  ]
  const free = `FROM unnest($1::text[], $2::text[], $3::text[], $4::bytea[], $5::float8[], $6::boolean[], $7::bytea[])
    WITH ORDINALITY AS n (domain, username, apikey, sha256, inserted_at, active, digest, place) WHERE ${taken.map((one) => `NOT EXISTS (SELECT FROM apikeys AS a WHERE ${one})`).join(' AND ')}`
  const values = [
    keys.map(({ domain }) => domain), keys.map(({ username }) => username), keys.map(({ apikey }) => apikey ?? null), keys.map(({ sha256 }) => sha256 ?? null),
    keys.map(({ insertedAt }) => (insertedAt === undefined ? null : Math.min(Math.max(insertedAt, FIRST_MOMENT), LAST_MOMENT))), keys.map(({ active }) => active ?? true),
    keys.map(({ sha256, apikey }) => sha256 ?? hash('sha256', apikey ?? '', 'buffer')),
  ]
  const put = (): Promise<number> => written(connection, `INSERT INTO apikeys (domain, username, apikey, ${hasHash ? 'apikey_sha256, ' : ''}insert_ts, active)
    SELECT n.domain, n.username, ${withKey ? 'n.apikey' : 'NULL'}, ${hasHash ? 'n.sha256, ' : ''}coalesce(to_timestamp(n.inserted_at / 1000.0), now()), n.active
    ${free} ORDER BY n.place ON CONFLICT DO NOTHING`, values)
  let count = await put()
  // What is free and was not taken has met the number of another row: of rows put in with numbers, the sequence knows nothing.
  for (let drawn = 1; drawn <= MOST_DRAWN && count < keys.length; drawn *= 2) {
    const { rowCount } = await connection.query(`SELECT ${free}`, values)
    if (rowCount === 0) break
    const isBehind = await drawNumbers(connection, drawn)
    count += await put()
    if (!isBehind) break
  }
  return count
}

/** Has the table's sequence give some numbers to nobody. False when it has none, or was past all rows before. */
async function drawNumbers(connection: Connection, n: number): Promise<boolean> {
  const { rows } = await connection.query<{ next: string | null }>(`SELECT coalesce(pg_get_expr(d.adbin, d.adrelid), CASE WHEN a.attidentity <> '' THEN format('nextval(%L)', pg_get_serial_sequence('apikeys', 'id')) END) AS next
    FROM pg_attribute AS a LEFT JOIN pg_attrdef AS d ON d.adrelid = a.attrelid AND d.adnum = a.attnum WHERE a.attrelid = to_regclass('apikeys') AND a.attname = 'id'`)
  const next = rows[0]?.next
  if (next?.startsWith('nextval(') !== true) return false
  try {
    const { rows: [drawn] } = await connection.query<{ behind: boolean | null }>(`SELECT (SELECT max(id) FROM apikeys) >= min(n) AS behind FROM (SELECT ${next} AS n FROM generate_series(1, $1)) AS numbers`, [n])
    return drawn?.behind === true
  } catch (error) {
    throw refusal(error)
  }
}

export async function changeKey(connection: Connection, domain: string, { sha256, active }: { readonly sha256?: Buffer; readonly active?: boolean }): Promise<boolean> {
  await writable(connection, sha256 !== undefined)
  const changed = sha256 === undefined
    ? await written(connection, 'UPDATE apikeys SET active = coalesce($2, active) WHERE domain = $1', [domain, active ?? null])
    : await written(connection, `UPDATE apikeys SET active = coalesce($2, active), apikey = NULL, apikey_sha256 = $3 WHERE domain = $1 AND NOT EXISTS
      (SELECT FROM apikeys AS a WHERE a.domain <> $1 AND (a.apikey_sha256 = $3 OR sha256(convert_to(a.apikey::text, 'UTF8')) = $3))`, [domain, active ?? null, sha256])
  return changed === 1
}

export async function removeKey(connection: Connection, domain: string): Promise<boolean> {
  await writable(connection, false)
  return (await written(connection, 'DELETE FROM apikeys WHERE domain = $1', [domain])) === 1
}

/** @throws {UnfitError} in place of a refusal, with what can be done about it */
async function written(connection: Connection, text: string, values: readonly unknown[]): Promise<number> {
  try {
    return (await connection.query(text, [...values])).rowCount ?? 0
  } catch (error) {
    throw refusal(error)
  }
}

function refusal(error: unknown): unknown {
  return sqlState(error) === '42501' ? new UnfitError(`this user may not change the table apikeys: ${ADVICE}`) : error
}

async function writable(connection: Connection, withHash: boolean): Promise<KeyColumns> {
  const columns = await keyColumns(connection)
  if (!columns.isThere) throw new UnfitError(NO_TABLE)
  if (withHash && !columns.takesHashes) throw new UnfitError(`the table apikeys has no room for the hash of a key: ${ADVICE}`)
  return columns
}
