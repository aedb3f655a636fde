import type { Registration, RegistryChange, Wanted } from '../../core/registry.ts'
import { topicToBytes } from '../../core/topic.ts'
import { packer } from '../sqlite/pack.ts'
import { teller } from '../sqlite/told.ts'
import type { Cluster } from './cluster.ts'
import type { Source } from './follow.ts'
import { registrationOf, packedRow, REGISTRATION } from './rows.ts'
import type { Tables } from './schema.ts'
import { changesOne, done, hexOf, isLastPage, pageOf, PIECE, type Call, type Row, type Statement } from './statements.ts'

/** Rows whose numbers are read at once. */
const NUMBERS = 20_000
const SIZE = 'length(target) + length(url) + coalesce(length(recovery), 0)'

/** The calls about registrations. `now` in ms since 1970. */
export interface Subscriptions {
  add(url: string, wanted: Wanted, now: number): Call<boolean>
  remove(url: string, wanted: Pick<Wanted, 'kind' | 'target'>): Call<boolean>
  removeId(id: number): Call<boolean>
  /** What a url has, by number, from past `after`. */
  page(after: number, url?: string): Call<Page>
  /**
   * Makes what the url has equal to this, in one transaction. False when the url has more than a piece: then only what is
   * wanted was put in.
   * @param wanted JSON of `[kind, target, recovery]`, the latter two in hexadecimal, or null; none twice
   */
  setSmall(url: string, wanted: string, now: number): Call<boolean>
  /** Adds these, and gives those that are there their recovery urls. */
  put(url: string, wanted: string, now: number): Call<undefined>
  /** The largest number that the url has. */
  newest(url: string): Call<number>
  removeAll(url: string, ids: readonly number[]): Call<undefined>
}

export interface Page {
  readonly registrations: readonly Registration[]
  readonly isLast: boolean
}

export function subscriptionCalls({ subscriptions }: Tables): Subscriptions {
  function put(url: string, wanted: string, now: number): Statement[] {
    // What is there as it is wanted is left out: its trigger would say that it has changed.
    return [[
      `INSERT INTO ${subscriptions} (kind, target, url, recovery, created_at) SELECT w.kind, w.target, ?1, w.recovery, ?3
        FROM (SELECT value ->> 0 AS kind, unhex(value ->> 1) AS target, CAST(unhex(value ->> 2) AS TEXT) AS recovery FROM json_each(?2)) AS w
        WHERE NOT EXISTS (SELECT 1 FROM ${subscriptions} AS s WHERE s.target = w.target AND s.kind = w.kind AND s.url = ?1 AND s.recovery IS w.recovery)
        ON CONFLICT (target, kind, url) DO UPDATE SET recovery = excluded.recovery`,
      url, wanted, now,
    ]]
  }

  return {
    // Looked for first: an insert that does nothing would still call its trigger.
    add: (url, { kind, target, recovery }, now) => changesOne([
      `INSERT INTO ${subscriptions} (kind, target, url, recovery, created_at) SELECT ?1, unhex(?2), ?3, ?4, ?5
        WHERE NOT EXISTS (SELECT 1 FROM ${subscriptions} WHERE target = unhex(?2) AND kind = ?1 AND url = ?3)`,
      kind, hexOf(topicToBytes(target)), url, recovery ?? null, now,
    ]),
    remove: (url, { kind, target }) => changesOne([`DELETE FROM ${subscriptions} WHERE target = unhex(?) AND kind = ? AND url = ?`, hexOf(topicToBytes(target)), kind, url]),
    removeId: (id) => changesOne([`DELETE FROM ${subscriptions} WHERE id = ?`, id]),
    page(after, url) {
      const inner = `SELECT ${REGISTRATION} FROM ${subscriptions} WHERE id > ?1 ${url === undefined ? '' : 'AND url = ?2'} ORDER BY id LIMIT ${PIECE}`
      return {
        reads: [[pageOf(REGISTRATION, inner, 'id', SIZE), after, ...(url === undefined ? [] : [url])]],
        answer: (_, [rows = []]) => ({ registrations: rows.map(registrationOf), isLast: isLastPage(rows) }),
      }
    },
    setSmall: (url, wanted, now) => ({
      writes: [
        [`DELETE FROM ${subscriptions} WHERE url = ?1 AND kind || ' ' || lower(hex(target)) NOT IN (SELECT (value ->> 0) || ' ' || (value ->> 1) FROM json_each(?2))
          AND (SELECT count(*) FROM (SELECT 1 FROM ${subscriptions} WHERE url = ?1 LIMIT ${PIECE + 1})) <= ${PIECE}`, url, wanted],
        ...put(url, wanted, now),
      ],
      // Of the same transaction, and the same when it is read again: then others may have added more, which is no harm.
      reads: [[`SELECT count(*) <= json_array_length(?2) FROM ${subscriptions} WHERE url = ?1`, url, wanted]],
      answer: (_, [rows]) => rows?.[0]?.[0] === 1,
    }),
    put: (url, wanted, now) => done(...put(url, wanted, now)),
    newest: (url) => ({ reads: [[`SELECT max(id) FROM ${subscriptions} WHERE url = ?`, url]], answer: (_, [rows]) => Number(rows?.[0]?.[0] ?? 0) }),
    removeAll: (url, ids) => done([`DELETE FROM ${subscriptions} WHERE url = ? AND id IN (SELECT value FROM json_each(?))`, url, JSON.stringify(ids)]),
  }
}

/** The changes of registrations, told to one listener. */
export function registrationSource(cluster: Cluster, { subscriptions, changes }: Tables, told: (changes: readonly RegistryChange[]) => void): Source {
  const compared = teller()

  function tell(rows: readonly Row[]): Promise<void> | void {
    const packed = packer()
    for (const row of rows) packed.put(packedRow(row))
    return compared.tell({ rows: packed.take() }, told)
  }

  async function numbers(): Promise<Float64Array<ArrayBuffer>> {
    const all: number[] = []
    for (let n = NUMBERS; n === NUMBERS;) {
      const [page] = await cluster.ask('agreed', [[`SELECT id FROM ${subscriptions} WHERE id > ? ORDER BY id LIMIT ?`, all.at(-1) ?? Number.MIN_SAFE_INTEGER, NUMBERS]])
      n = page?.rows.length ?? 0
      for (const row of page?.rows ?? []) all.push(Number(row[0]))
    }
    return Float64Array.from(all)
  }

  return {
    table: changes,
    touched: (after, to) => [`SELECT s.id, s.kind, s.target, s.url, s.recovery, c.subscription_id
      FROM (SELECT subscription_id, max(seq) AS latest FROM ${changes} WHERE seq > ? AND seq <= ? GROUP BY subscription_id) AS c
      LEFT JOIN ${subscriptions} AS s ON s.id = c.subscription_id ORDER BY c.latest`, after, to],
    tell,
    async readAll() {
      await compared.tell({ all: await numbers() }, told)
      const inner = `SELECT ${REGISTRATION} FROM ${subscriptions} WHERE id > ? ORDER BY id LIMIT ${PIECE}`
      for (let after = Number.MIN_SAFE_INTEGER, isLast = false; !isLast;) {
        const [page] = await cluster.ask('agreed', [[pageOf(REGISTRATION, inner, 'id', SIZE), after]])
        const rows = page?.rows ?? []
        await tell(rows.map((row) => [...row.slice(0, 5), row[0]]))
        isLast = isLastPage(rows)
        after = Number(rows.at(-1)?.[0] ?? 0)
      }
    },
  }
}
