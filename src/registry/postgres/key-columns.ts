import type { KeyRow } from '../../core/registry.ts'
import type { Connection } from './connections.ts'

/** The table of keys as it is: it may be somebody else's. */
export interface KeyColumns {
  readonly isThere: boolean
  /** Whether it has a column for the hash of a key. */
  readonly hasHash: boolean
  /** Whether a row may have a hash alone. */
  readonly takesHashes: boolean
}

/** Which table the name means now, and whether changes of it are noted: one row, at no cost. */
export const KEY_TABLE = `to_regclass('apikeys')::oid AS table,
  (SELECT count(*) FROM pg_trigger WHERE tgrelid = to_regclass('apikeys') AND tgname IN ('waystation_keys_changed', 'waystation_keys_truncated') AND tgenabled IN ('O', 'A')) = 2 AS triggers`

export async function keyColumns(connection: Connection): Promise<KeyColumns> {
  const { rows } = await connection.query<{ there: boolean; hash: boolean; nullable: boolean }>(`SELECT to_regclass('apikeys') IS NOT NULL AS there,
    EXISTS (SELECT FROM pg_attribute WHERE attrelid = to_regclass('apikeys') AND attname = 'apikey_sha256' AND NOT attisdropped) AS hash,
    EXISTS (SELECT FROM pg_attribute WHERE attrelid = to_regclass('apikeys') AND attname = 'apikey' AND NOT attnotnull) AS nullable`)
  const { there, hash, nullable } = rows[0] as (typeof rows)[0]
  return { isThere: there, hasHash: hash, takesHashes: hash && nullable }
}

/** What a `Date` can hold; the server's times go further. */
export const LAST_MOMENT = 8_640_000_000_000_000

export interface KeyTableRow {
  readonly id: number | string
  readonly domain: string
  readonly username: string
  readonly apikey: string | null
  readonly sha256: Buffer | null
  readonly inserted_at: string | null
  /** In somebody else's table it may be a number. */
  readonly active: boolean | number | string | null
}

/**
 * Whether there is a column for the hash or not.
 *
 * A `timestamp` is what the clock on the wall of the session showed that wrote it, usually by `now()`: it is read as the
 * same wall's, in the time zone that the server gives to us as to others. What is endless has no time.
 */
export const SELECTED = `SELECT k.id, k.domain::text AS domain, k.username::text AS username, k.apikey::text AS apikey, decode(substr(to_jsonb(k) ->> 'apikey_sha256', 3), 'hex') AS sha256,
  CASE WHEN isfinite(k.insert_ts::timestamptz) THEN round(extract(epoch FROM k.insert_ts::timestamptz) * 1000)::bigint END AS inserted_at, k.active FROM apikeys AS k`

export function keyRow({ id, domain, username, apikey, sha256, inserted_at, active }: KeyTableRow): KeyRow {
  return { id: Number(id), domain, username, apikey: apikey ?? undefined, sha256: sha256 ?? undefined, insertedAt: Math.min(Number(inserted_at ?? 0), LAST_MOMENT), active: active === true || String(active) === '1' }
}
