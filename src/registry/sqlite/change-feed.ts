import type { DatabaseSync, StatementSync } from 'node:sqlite'
import type { News } from './calls.ts'
import { packer, PIECE } from './pack.ts'
import { packedFields, REGISTRATION_COLUMNS, type Row } from './rows.ts'

/** What has changed in the database since it was last asked, whoever changed it. It keeps no registration in memory. */
export interface ChangeFeed {
  /** Everything that was not given yet, in one snapshot. What is left when it is broken off is given the next time. */
  news(): Iterable<News>
  /** The same, when another connection has written since the last time; otherwise nothing is read. */
  foreignNews(): Iterable<News>
  /** Lets go of old rows of `changes`, some at a time. To be called inside a write transaction. */
  prune(): void
}

/** Rows of `changes` that stay for others who read them. Whoever is further behind reads everything. */
export const KEPT_CHANGES = 10_000
const PRUNED_AT_ONCE = 5_000
const PRUNE_EVERY = 1_000

export function changeFeed(database: DatabaseSync): ChangeFeed {
  const head = database.prepare("SELECT (SELECT seq FROM sqlite_sequence WHERE name = 'changes') AS last, (SELECT min(seq) FROM changes) AS first")
  const touched = database.prepare(`SELECT c.subscription_id AS touched, ${REGISTRATION_COLUMNS}
    FROM (SELECT subscription_id, max(seq) AS latest FROM changes WHERE seq > ? AND seq <= ? GROUP BY subscription_id) AS c
    LEFT JOIN subscriptions AS s ON s.id = c.subscription_id ORDER BY c.latest`)
  const numbers = database.prepare('SELECT id FROM subscriptions ORDER BY id')
  const everything = database.prepare(`SELECT s.id AS touched, ${REGISTRATION_COLUMNS} FROM subscriptions AS s ORDER BY s.id`)
  const dataVersion = database.prepare('PRAGMA data_version')
  const removeOld = database.prepare('DELETE FROM changes WHERE seq <= min(?, (SELECT min(seq) FROM changes) + ?)')
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
      if (!complete) {
        yield { all: Float64Array.from(numbers.all(), (row) => Number(row['id'])) }
        yield* packed(everything)
      }
      for (let from = told; complete && from !== undefined && from < latest; from += PIECE) yield* packed(touched, from, Math.min(latest, from + PIECE))
      told = latest
    } finally {
      database.exec('COMMIT')
    }
  }

  function* packed(statement: StatementSync, ...values: number[]): Iterable<News> {
    const rows = packer()
    for (const row of statement.iterate(...values)) {
      rows.put({ ...packedFields(row), id: Number(row['touched']) })
      if (rows.rows === PIECE) yield { rows: rows.take() }
    }
    if (rows.rows > 0) yield { rows: rows.take() }
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
