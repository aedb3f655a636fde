import type { DatabaseSync, StatementSync } from 'node:sqlite'
import type { DomainNews } from '../../core/registry.ts'
import type { Listened, News } from './calls.ts'
import { changeLog, type ChangeLog } from './change-log.ts'
import { packer, PIECE } from './pack.ts'
import { packedFields, REGISTRATION_COLUMNS } from './rows.ts'

export function changeFeeds(database: DatabaseSync): Readonly<Record<Listened, ChangeLog>> {
  return { registrations: registrationFeed(database), domains: domainFeed(database) }
}

function registrationFeed(database: DatabaseSync): ChangeLog {
  const touched = database.prepare(`SELECT c.subscription_id AS touched, ${REGISTRATION_COLUMNS}
    FROM (SELECT subscription_id, max(seq) AS latest FROM changes WHERE seq > ? AND seq <= ? GROUP BY subscription_id) AS c
    LEFT JOIN subscriptions AS s ON s.id = c.subscription_id ORDER BY c.latest`)
  const numbers = database.prepare('SELECT id FROM subscriptions ORDER BY id')
  const everything = database.prepare(`SELECT s.id AS touched, ${REGISTRATION_COLUMNS} FROM subscriptions AS s ORDER BY s.id`)

  function* packed(statement: StatementSync, ...values: number[]): Iterable<News> {
    const rows = packer()
    for (const row of statement.iterate(...values)) {
      rows.put({ ...packedFields(row), id: Number(row['touched']) })
      if (rows.rows === PIECE) yield { rows: rows.take() }
    }
    if (rows.rows > 0) yield { rows: rows.take() }
  }

  return changeLog(database, 'changes', {
    *all() {
      yield { all: Float64Array.from(numbers.all(), (row) => Number(row['id'])) }
      yield* packed(everything)
    },
    some: (from, upTo) => packed(touched, from, upTo),
  })
}

function domainFeed(database: DatabaseSync): ChangeLog {
  const touched = database.prepare(`SELECT DISTINCT c.domain, EXISTS (SELECT 1 FROM apikeys AS a WHERE a.domain = c.domain) AS is_there
    FROM key_changes AS c WHERE c.seq > ? AND c.seq <= ?`)
  const everything = database.prepare('SELECT domain, 1 AS is_there FROM apikeys')

  function* inPieces(statement: StatementSync, values: number[], first: DomainNews['all']): Iterable<News> {
    let all = first
    let domains: [string, boolean][] = []
    for (const row of statement.iterate(...values)) {
      domains.push([String(row['domain']), row['is_there'] === 1])
      if (domains.length < PIECE) continue
      yield { domains: { all, domains } }
      all = false
      domains = []
    }
    if (all || domains.length > 0) yield { domains: { all, domains } }
  }

  return changeLog(database, 'key_changes', { all: () => inPieces(everything, [], true), some: (from, upTo) => inPieces(touched, [from, upTo], false) })
}
