import { setImmediate as turn } from 'node:timers/promises'
import type { Registration, RegistryChange } from '../../core/registry.ts'
import { coalesced } from './coalesced.ts'
import type { Connections } from './connections.ts'
import { UnfitError } from './reasons.ts'
import { placeOf, REGISTRATION_COLUMNS, registrationOf, type RegistrationRow } from './rows.ts'

/** Compares what the database has with what was told, and tells the difference. */
export interface ChangeFeed {
  readonly listening: boolean
  /** Whoever listened before is told nothing more; this one is told everything. */
  listen(told: (changes: readonly RegistryChange[]) => void): void
  /** Settles when everything has been told that was committed before the call. */
  current(): Promise<void>
  /** The database may be another one, or an older state of it: the next reading compares everything. */
  doubt(): void
  /** How far the changes have been read, and up to where they have been let go. */
  readonly place: { readonly read: number; readonly pruned: number }
}

/** Rows of one statement, which are told in one turn of the event loop. */
export const TOLD_AT_ONCE = 1_000
/** Numbers that are compared in one turn. */
const COMPARED_AT_ONCE = 20_000

/**
 * What was noted after a number, each with its row as it is now, in one snapshot, and in which table of which server: the
 * numbers of another say nothing. One row, with nothing touched, when nothing was. `OFFSET` keeps the server from reading the whole table, which it takes for cheaper than a thousand rows.
 */
const NEWS = `SELECT f.pruned, ${placeOf('waystation.changes')} AS place, coalesce((SELECT max(seq) FROM waystation.changes), f.pruned) AS last, c.seq, c.subscription_id AS touched, ${REGISTRATION_COLUMNS}
  FROM waystation.feeds AS f LEFT JOIN LATERAL (SELECT seq, subscription_id FROM waystation.changes WHERE seq > $1 ORDER BY seq LIMIT ${TOLD_AT_ONCE}) AS c ON true
  LEFT JOIN LATERAL (SELECT * FROM waystation.subscriptions WHERE id = c.subscription_id OFFSET 0) AS s ON true WHERE f.name = 'subscriptions' ORDER BY c.seq`
const PAGE = `SELECT ${REGISTRATION_COLUMNS} FROM waystation.subscriptions AS s WHERE s.id > $1 ORDER BY s.id LIMIT ${TOLD_AT_ONCE}`

interface NewsRow extends Omit<RegistrationRow, 'id'> {
  readonly pruned: string
  readonly place: string
  readonly last: string
  readonly seq: string | null
  readonly touched: string | null
  readonly id: string | null
}

export function changeFeed(connections: Connections): ChangeFeed {
  const known = new Map<number, Registration>()
  let listener: ((changes: readonly RegistryChange[]) => void) | undefined
  /** The last change that was told; `undefined` where everything is to be compared. */
  let read: number | undefined
  let place = ''
  let pruned = 0

  function compare(id: number, now: Registration | undefined): RegistryChange[] {
    const before = known.get(id)
    if (now === undefined) return known.delete(id) ? [{ type: 'removed', id }] : []
    if (before !== undefined && before.url === now.url && before.kind === now.kind && before.target === now.target && before.recovery === now.recovery) return []
    known.set(id, now)
    const isMoved = before !== undefined && (before.url !== now.url || before.kind !== now.kind || before.target !== now.target)
    return [...(isMoved ? [{ type: 'removed', id } as const] : []), { type: 'added', registration: now }]
  }

  function tell(changes: readonly RegistryChange[]): void {
    if (changes.length > 0) listener?.(changes)
  }

  async function news(after: number): Promise<readonly NewsRow[]> {
    return connections.use(async (connection) => {
      const { rows } = await connection.query<NewsRow>(NEWS, [after])
      if (rows.length === 0) throw new UnfitError("waystation.feeds has no row 'subscriptions' any more: INSERT INTO waystation.feeds (name) VALUES ('subscriptions')")
      return rows
    })
  }

  async function compareAll(): Promise<void> {
    let doubted = false
    doubts = () => (doubted = true)
    // What is noted while the pages are read is read once more afterwards.
    const [head] = await news(Number.MAX_SAFE_INTEGER)
    const seen = new Set<number>()
    for (let after = Number.MIN_SAFE_INTEGER, full = true; full;) {
      const { rows } = await connections.use((connection) => connection.query<RegistrationRow>(PAGE, [after]))
      tell(rows.map(registrationOf).flatMap((one) => (seen.add(one.id), compare(one.id, one))))
      full = rows.length === TOLD_AT_ONCE
      after = Number(rows.at(-1)?.id ?? after)
    }
    let compared = 0
    let gone: RegistryChange[] = []
    for (const id of known.keys()) {
      if (!seen.has(id)) gone.push(...compare(id, undefined))
      if (++compared % COMPARED_AT_ONCE !== 0 && gone.length < TOLD_AT_ONCE) continue
      tell(gone)
      gone = []
      await turn()
    }
    tell(gone)
    if (doubted) return
    read = Number(head?.last ?? 0)
    place = head?.place ?? ''
  }

  let doubts = (): void => {}

  const current = coalesced(async () => {
    for (;;) {
      while (read === undefined) await compareAll()
      const after: number = read
      const rows = await news(after)
      // Meanwhile it may have become another database.
      if (read === undefined) continue
      const last = Number(rows[0]?.last ?? 0)
      pruned = Number(rows[0]?.pruned ?? 0)
      if (pruned > after || last < after || rows[0]?.place !== place) {
        read = undefined
        continue
      }
      tell(rows.flatMap((row) => (row.touched === null ? [] : compare(Number(row.touched), row.id === null ? undefined : registrationOf({ ...row, id: row.id })))))
      read = Number(rows.at(-1)?.seq ?? last)
      if (rows.length < TOLD_AT_ONCE) return
    }
  })

  return {
    get listening() {
      return listener !== undefined
    },
    listen(told) {
      listener = told
      known.clear()
      read = undefined
      doubts()
    },
    current,
    doubt() {
      read = undefined
      doubts()
    },
    get place() {
      return { read: read ?? 0, pruned }
    },
  }
}
