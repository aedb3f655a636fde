import type { DatabaseSync } from 'node:sqlite'
import type { News } from './calls.ts'
import { PIECE } from './pack.ts'
import type { Row } from './rows.ts'

/** What has changed in the database since it was last asked, whoever changed it. It keeps none of it in memory. */
export interface ChangeLog {
  /** Everything that was not given yet, in one snapshot. What is left when it is broken off is given the next time. */
  news(): Iterable<News>
  /** The same, when another connection has written since the last time; otherwise nothing is read. */
  foreignNews(): Iterable<News>
  /** Lets go of old rows of the table, some at a time. To be called inside a write transaction. */
  prune(): void
}

/** How the news of one table of changes are read, inside a transaction. */
export interface Reading {
  /** For those who know nothing, or missed something: all that there is. */
  all(): Iterable<News>
  /** What the changes past `from`, up to `upTo`, are about, as it is now. */
  some(from: number, upTo: number): Iterable<News>
}

/** Rows of changes that stay for others who read them. Whoever is further behind reads everything. */
export const KEPT_CHANGES = 10_000
const PRUNED_AT_ONCE = 5_000
const PRUNE_EVERY = 1_000

export function changeLog(database: DatabaseSync, table: 'changes' | 'key_changes', { all, some }: Reading): ChangeLog {
  const head = database.prepare(`SELECT (SELECT seq FROM sqlite_sequence WHERE name = '${table}') AS last, (SELECT min(seq) FROM ${table}) AS first`)
  const dataVersion = database.prepare('PRAGMA data_version')
  const removeOld = database.prepare(`DELETE FROM ${table} WHERE seq <= min(?, (SELECT min(seq) FROM ${table}) + ?)`)
  /** The last change that was given; `undefined` before the first reading. */
  let told: number | undefined
  let version: unknown
  let pruned = 0

  function* news(): Iterable<News> {
    database.exec('BEGIN')
    try {
      const { last, first } = head.get() as Row
      const latest = Number(last ?? 0)
      if (latest === told) return
      // A gap in the numbers can only be at the beginning: rows are let go from there.
      const complete = told !== undefined && latest > told && first !== null && Number(first) <= told + 1
      if (!complete) yield* all()
      for (let from = told; complete && from !== undefined && from < latest; from += PIECE) yield* some(from, Math.min(latest, from + PIECE))
      told = latest
    } finally {
      database.exec('COMMIT')
    }
  }

  return {
    news,
    *foreignNews() {
      // Read first: what is written in between is then seen twice, never missed.
      const now = dataVersion.get()?.['data_version']
      if (now === version && told !== undefined) return
      yield* news()
      version = now
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
