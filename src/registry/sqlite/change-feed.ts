import type { DatabaseSync } from 'node:sqlite'
import type { Registration, RegistryChange } from '../../core/registry.ts'
import { REGISTRATION_COLUMNS, registrationOf, type Row } from './operations.ts'

/** What has changed in the database since it was last asked, whoever changed it. */
export interface ChangeFeed {
  /** Everything that is there and was not told yet, in one snapshot. */
  news(): RegistryChange[]
  /** The same, when another connection has written since the last time; otherwise nothing is read. */
  foreignNews(): RegistryChange[]
  /** Lets go of old rows of `changes`, some at a time. To be called inside a write transaction. */
  prune(): void
}

/** Rows of `changes` that stay for others who read them. Whoever is further behind compares everything. */
export const KEPT_CHANGES = 10_000
const PRUNED_AT_ONCE = 5_000
const PRUNE_EVERY = 1_000

/** @param known what has been told so far, by id; the feed keeps it true */
export function changeFeed(database: DatabaseSync, known: Map<number, Registration>): ChangeFeed {
  const head = database.prepare("SELECT (SELECT seq FROM sqlite_sequence WHERE name = 'changes') AS last, (SELECT min(seq) FROM changes) AS first")
  const touched = database.prepare(`SELECT c.subscription_id AS touched, ${REGISTRATION_COLUMNS}
    FROM (SELECT subscription_id, max(seq) AS latest FROM changes WHERE seq > ? GROUP BY subscription_id) AS c
    LEFT JOIN subscriptions AS s ON s.id = c.subscription_id ORDER BY c.latest`)
  const everything = database.prepare(`SELECT ${REGISTRATION_COLUMNS} FROM subscriptions AS s ORDER BY s.id`)
  const dataVersion = database.prepare('PRAGMA data_version')
  const removeOld = database.prepare('DELETE FROM changes WHERE seq <= min(?, (SELECT min(seq) FROM changes) + ?)')
  /** The last change that was told; `undefined` before the first reading. */
  let told: number | undefined
  let version: unknown
  let pruned = 0

  function news(): RegistryChange[] {
    database.exec('BEGIN')
    try {
      return read()
    } finally {
      database.exec('COMMIT')
    }
  }

  function read(): RegistryChange[] {
    const { last, first } = head.get() as Row
    const latest = Number(last ?? 0)
    if (latest === told) return []
    // A gap in the numbers can only be at the beginning: rows are let go from there.
    const complete = told !== undefined && latest > told && first !== null && Number(first) <= told + 1
    const changes = complete ? afterChanges(told as number) : difference()
    told = latest
    return changes
  }

  function afterChanges(seq: number): RegistryChange[] {
    return touched.all(seq).flatMap((row) => compare(Number(row['touched']), row['id'] === null ? undefined : registrationOf(row)))
  }

  function difference(): RegistryChange[] {
    const there = new Map(everything.all().map((row) => [Number(row['id']), registrationOf(row)]))
    const gone = [...known.keys()].filter((id) => !there.has(id))
    return [...gone.flatMap((id) => compare(id, undefined)), ...[...there].flatMap(([id, registration]) => compare(id, registration))]
  }

  function compare(id: number, now: Registration | undefined): RegistryChange[] {
    const before = known.get(id)
    if (now === undefined) return known.delete(id) ? [{ type: 'removed', id }] : []
    known.set(id, now)
    if (before === undefined) return [{ type: 'added', registration: now }]
    if (before.url !== now.url || before.kind !== now.kind || before.target !== now.target) return [{ type: 'removed', id }, { type: 'added', registration: now }]
    return before.recovery === now.recovery ? [] : [{ type: 'added', registration: now }]
  }

  return {
    news,
    foreignNews() {
      // Read first: what is written in between is then seen twice, never missed.
      const now = dataVersion.get()?.['data_version']
      if (now === version && told !== undefined) return []
      const changes = news()
      version = now
      return changes
    },
    prune() {
      const latest = Number((head.get() as Row)['last'] ?? 0)
      if (latest - pruned < PRUNE_EVERY) return
      // Not further than what has been told here: a large transaction of our own is still to be read.
      const upTo = Math.min(latest, told ?? latest) - KEPT_CHANGES
      if (removeOld.run(upTo, PRUNED_AT_ONCE).changes === 0) pruned = latest
    },
  }
}
