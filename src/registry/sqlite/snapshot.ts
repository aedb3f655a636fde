import { DatabaseSync } from 'node:sqlite'
import type { Stored } from '../../core/registry.ts'
import { topicFromBytes } from '../../core/topic.ts'
import { keyOperations } from './keys.ts'
import { PIECE } from './pack.ts'
import { packedFields, REGISTRATION_COLUMNS, registrationOf } from './rows.ts'
import { NOTHING, type Signatures } from './signatures.ts'
import { statements } from './statements.ts'

/** Everything that is kept, of the moment it was opened, in pieces. Only signatures, which are in another file, are as they are when they are read. */
export interface Snapshot {
  /** Empty at the end. */
  next(): readonly Stored[]
  close(): void
}

export interface SnapshotParts {
  readonly file: string
  readonly busyTimeout: number
  /** The connection that others write through. */
  readonly database: DatabaseSync
  readonly signatures: Signatures
  readonly now: number
}

/** On a connection of its own, so that others write meanwhile; a database in memory has only one, and is read as it changes. */
export function openSnapshot({ file, busyTimeout, database, signatures, now }: SnapshotParts): Snapshot {
  signatures.open(now)
  const own = file === ':memory:' ? undefined : new DatabaseSync(file, { readOnly: true, timeout: busyTimeout })
  // Its first reading says of which moment all of it is.
  own?.exec('BEGIN')
  const pieces = piecesOf(own ?? database, signatures, now)

  return {
    next() {
      for (;;) {
        const { done, value } = pieces.next()
        if (done === true) return []
        if (value.length > 0) return value
      }
    },
    close() {
      pieces.return()
      if (own?.isOpen === true) own.close()
    },
  }
}

function* piecesOf(database: DatabaseSync, signatures: Signatures, now: number): Generator<Stored[], void> {
  const { sql } = statements(database)
  const { keysAfter } = keyOperations(database)
  yield sql('SELECT secret FROM hub_secret').all().map((row) => ({ type: 'hubSecret', secret: row['secret'] as Uint8Array }))
  for (let after = Number.MIN_SAFE_INTEGER, rows; (rows = sql(`SELECT ${REGISTRATION_COLUMNS} FROM subscriptions AS s WHERE s.id > ? ORDER BY s.id LIMIT ?`).all(after, PIECE)).length > 0;) {
    after = Number(rows.at(-1)?.['id'])
    yield rows.map((row) => {
      const { id: _, ...registration } = registrationOf(packedFields(row))
      return { type: 'registration', ...registration }
    })
  }
  for (let after = Number.MIN_SAFE_INTEGER, rows; (rows = sql(`SELECT ${REGISTRATION_COLUMNS}, m.topic, m.attempts, m.due_at FROM missed AS m JOIN subscriptions AS s ON s.id = m.subscription_id
    WHERE m.subscription_id > ? ORDER BY m.subscription_id LIMIT ?`).all(after, PIECE)).length > 0;) {
    after = Number(rows.at(-1)?.['id'])
    yield rows.map((row) => {
      const { url, kind, target } = registrationOf(packedFields(row))
      return { type: 'notice', url, kind, target, topic: topicFromBytes(row['topic'] as Uint8Array), attempts: Number(row['attempts']), dueAt: Number(row['due_at']) }
    })
  }
  for (let after = Number.MIN_SAFE_INTEGER, rows; (rows = keysAfter(after, PIECE)).length > 0;) {
    after = rows.at(-1)?.id ?? after
    yield rows.map((row) => {
      const { id: _, ...key } = row
      return { type: 'key', ...key }
    })
  }
  for (let after: Uint8Array = NOTHING, rows; (rows = signatures.validAfter(after, PIECE, now)).length > 0;) {
    after = rows.at(-1)?.code ?? after
    yield rows.map((row) => ({ type: 'signature', ...row }))
  }
}
