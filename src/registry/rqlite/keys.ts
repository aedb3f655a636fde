import type { DomainNews, KeyRow, NewKey } from '../../core/registry.ts'
import type { Cluster } from './cluster.ts'
import type { Source } from './follow.ts'
import { textOf } from './rows.ts'
import type { Tables } from './schema.ts'
import { changesOne, hexOf, type Call, type Row, type Statement, type Value } from './statements.ts'

/** The calls about API keys. `now` in ms since 1970. */
export interface KeyCalls {
  of(domains: readonly string[]): Statement
  after(after: number, most: number): Call<readonly KeyRow[]>
  add(key: NewKey, now: number): Call<boolean>
  change(domain: string, change: { readonly sha256?: Buffer; readonly active?: boolean }): Call<boolean>
  remove(domain: string): Call<boolean>
}

/** Domains that are read at once. */
const DOMAINS = 10_000
/** What of a row is read, in the order in which `keyOf` takes it. Expressions, because rqlite makes a time and a truth value of its own of what a column declares. */
const COLUMNS = 'id, domain, username, apikey, hex(apikey_sha256) AS sha256, CAST(insert_ts AS TEXT) AS inserted_at, active <> 0 AS is_active'
export const KEY_NAMES = 'id, domain, username, apikey, sha256, inserted_at, is_active'

export function keyCalls({ apikeys }: Tables): KeyCalls {
  return {
    of: (domains) => [`SELECT ${COLUMNS} FROM ${apikeys} WHERE domain IN (${domains.map(() => '?').join(', ')}) ORDER BY id`, ...domains],
    after: (after, most) => ({
      reads: [[`${keysPast(apikeys)} LIMIT ?`, after, most]],
      answer: (_, [rows = []]) => rows.map(keyOf),
    }),
    // Looked for first: an insert that does nothing would still call its trigger.
    add: ({ domain, username, apikey, sha256, insertedAt, active }, now) => changesOne([
      `INSERT INTO ${apikeys} (domain, username, apikey, apikey_sha256, insert_ts, active) SELECT ?1, ?2, ?3, unhex(?4), ?5, ?6
        WHERE NOT EXISTS (SELECT 1 FROM ${apikeys} WHERE domain = ?1 OR apikey = ?3 OR apikey_sha256 = unhex(?4))`,
      domain, username, apikey ?? null, sha256 === undefined ? null : hexOf(sha256), timestampOf(insertedAt ?? now), active === false ? 0 : 1,
    ]),
    change(domain, { sha256, active }) {
      const sets: string[] = []
      const values: Value[] = []
      if (sha256 !== undefined) {
        sets.push('apikey_sha256 = unhex(?2), apikey = NULL')
        values.push(hexOf(sha256))
      }
      if (active !== undefined) {
        sets.push(`active = ?${values.length + 2}`)
        values.push(active ? 1 : 0)
      }
      const taken = sha256 === undefined ? '' : `AND NOT EXISTS (SELECT 1 FROM ${apikeys} WHERE apikey_sha256 = unhex(?2) AND domain <> ?1)`
      return changesOne([`UPDATE ${apikeys} SET ${sets.length === 0 ? 'active = active' : sets.join(', ')} WHERE domain = ?1 ${taken}`, domain, ...values])
    },
    remove: (domain) => changesOne([`DELETE FROM ${apikeys} WHERE domain = ?`, domain]),
  }
}

/** Rows past a number, in the order of their numbers. */
export function keysPast(apikeys: string): string {
  return `SELECT ${COLUMNS} FROM ${apikeys} WHERE id > ? ORDER BY id`
}

export function keyOf([id, domain, username, apikey, sha256, insertedAt, active]: Row): KeyRow {
  return {
    id: Number(id),
    domain: String(domain),
    username: String(username),
    apikey: textOf(apikey),
    sha256: textOf(sha256) === undefined || sha256 === '' ? undefined : Buffer.from(String(sha256), 'hex'),
    insertedAt: timeOf(String(insertedAt)),
    active: Number(active) === 1,
  }
}

/** As SQLite writes a time, with milliseconds, of UTC. A time that no calendar has is the first, as on SQLite. */
function timestampOf(ms: number): string {
  const date = new Date(ms)
  return (Number.isNaN(date.getTime()) ? new Date(0) : date).toISOString().replace('T', ' ').replace('Z', '')
}

function timeOf(text: string): number {
  const ms = Date.parse(`${text.replace(' ', 'T')}Z`)
  return Number.isNaN(ms) ? 0 : ms
}

/** The changes of keys, told to one listener as domains. */
export function domainSource(cluster: Cluster, { apikeys, keyChanges }: Tables, told: (news: DomainNews) => void): Source {
  return {
    table: keyChanges,
    touched: (after, to) => [`SELECT DISTINCT c.domain, EXISTS (SELECT 1 FROM ${apikeys} AS k WHERE k.domain = c.domain) FROM ${keyChanges} AS c WHERE c.seq > ? AND c.seq <= ?`, after, to],
    tell(rows) {
      if (rows.length > 0) told({ all: false, domains: rows.map(([domain, isThere]) => [String(domain), isThere === 1] as const) })
    },
    async readAll() {
      const domains: (readonly [string, boolean])[] = []
      for (let [after, n] = [Number.MIN_SAFE_INTEGER, DOMAINS]; n === DOMAINS;) {
        const [page] = await cluster.ask('agreed', [[`SELECT id, domain FROM ${apikeys} WHERE id > ? ORDER BY id LIMIT ?`, after, DOMAINS]])
        for (const [, domain] of page?.rows ?? []) domains.push([String(domain), true])
        n = page?.rows.length ?? 0
        after = Number(page?.rows.at(-1)?.[0] ?? 0)
      }
      // Told also when there is none: whatever was told before has no row now.
      told({ all: true, domains })
    },
  }
}
