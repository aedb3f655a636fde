import type { DatabaseSync } from 'node:sqlite'
import type { KeyRow, NewKey } from '../../core/registry.ts'
import { statements } from './statements.ts'
import type { Row } from './rows.ts'

/** The table of API keys on one connection. The transaction is the caller's, and none of these makes it fail: what is taken is looked for first. */
export interface KeyOperations {
  keysOf(domains: readonly string[]): KeyRow[]
  keysAfter(after: number, most: number): KeyRow[]
  addKey(key: NewKey, now: number): boolean
  changeKey(domain: string, change: { readonly sha256?: Uint8Array; readonly active?: boolean }): boolean
  removeKey(domain: string): boolean
}

/** The time in ms since 1970, in whichever of SQLite's forms somebody has written it. */
const KEY_COLUMNS = "id, domain, username, apikey, apikey_sha256, active, CAST(round((coalesce(julianday(insert_ts), 2440587.5) - 2440587.5) * 86400000.0) AS INTEGER) AS inserted_at"

export function keyOperations(database: DatabaseSync): KeyOperations {
  const { sql, run } = statements(database)

  return {
    keysOf: (domains) => domains.flatMap((domain) => {
      const row = sql(`SELECT ${KEY_COLUMNS} FROM apikeys WHERE domain = ?`).get(domain)
      return row === undefined ? [] : [keyOf(row)]
    }),
    keysAfter: (after, most) => sql(`SELECT ${KEY_COLUMNS} FROM apikeys WHERE id > ? ORDER BY id LIMIT ?`).all(after, most).map(keyOf),
    addKey({ domain, username, apikey, sha256, insertedAt, active }, now) {
      return run(`INSERT INTO apikeys (domain, username, apikey, apikey_sha256, insert_ts, active) SELECT ?, ?, ?, ?, ?, ?
        WHERE NOT EXISTS (SELECT 1 FROM apikeys WHERE domain = ? OR apikey = ? OR apikey_sha256 = ?)`,
      domain, username, apikey ?? null, sha256 ?? null, timeText(insertedAt ?? now), active === false ? 0 : 1, domain, apikey ?? null, sha256 ?? null) === 1
    },
    changeKey(domain, { sha256, active }) {
      const flag = active === undefined ? null : Number(active)
      if (sha256 === undefined) return run('UPDATE apikeys SET active = coalesce(?, active) WHERE domain = ?', flag, domain) === 1
      return run(`UPDATE apikeys SET apikey = NULL, apikey_sha256 = ?, active = coalesce(?, active) WHERE domain = ?
        AND NOT EXISTS (SELECT 1 FROM apikeys WHERE apikey_sha256 = ? AND domain <> ?)`, sha256, flag, domain, sha256, domain) === 1
    },
    removeKey: (domain) => run('DELETE FROM apikeys WHERE domain = ?', domain) === 1,
  }
}

function keyOf(row: Row): KeyRow {
  return {
    id: Number(row['id']),
    domain: String(row['domain']),
    username: String(row['username']),
    apikey: row['apikey'] === null ? undefined : String(row['apikey']),
    sha256: row['apikey_sha256'] === null ? undefined : Buffer.from(row['apikey_sha256'] as Uint8Array),
    insertedAt: Number(row['inserted_at']),
    active: row['active'] === 1,
  }
}

/** In UTC, as SQLite's own functions write it. A time that no calendar has must not keep what shares the transaction from being done. */
function timeText(ms: number): string {
  const date = new Date(ms)
  return (Number.isNaN(date.getTime()) ? new Date(0) : date).toISOString().replace('T', ' ').slice(0, -1)
}
