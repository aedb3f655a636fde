import type { DatabaseSync, StatementSync } from 'node:sqlite'
import type { ClaimedNotice } from '../../core/registry.ts'
import { topicFromBytes, topicToBytes } from '../../core/topic.ts'
import type { Answer, Call, SignatureCall } from './calls.ts'
import { packer, PIECE } from './pack.ts'
import { packedFields, REGISTRATION_COLUMNS, registrationOf } from './rows.ts'
import { setInPieces, type Next } from './set-in-pieces.ts'

/** Whether the call can change the database, so that its transaction takes the write lock at once. */
export function writes(call: Call): boolean {
  return call.do !== 'list' && call.do !== 'start' && call.do !== 'close'
}

/** Whether the call has something to write into a database that is not there yet. */
export function needsDatabase(call: Call): boolean {
  return call.do === 'add' || call.do === 'remember' || call.do === 'hubSecret' || (call.do === 'set' && call.wanted.length > 0)
}

/** What a call answers where there is no database. */
export function answerOfNothing(call: Call): Answer {
  switch (call.do) {
    case 'remove':
    case 'removeId': return false
    case 'list':
    case 'claim': return []
    default: return undefined
  }
}

/** Due notices of one kind that nobody has locked, the longest due first: in the order of its index, so that a long queue costs nothing. */
export const DUE_NOTICES = `SELECT ${REGISTRATION_COLUMNS}, m.topic, m.attempts, m.due_at FROM missed AS m JOIN subscriptions AS s ON s.id = m.subscription_id
  WHERE m.kind = ? AND m.due_at <= ? AND (m.locked_until IS NULL OR m.locked_until <= ?) ORDER BY m.due_at, m.subscription_id LIMIT ?`

/** The registry's statements on one connection. The transaction is the caller's. */
export interface Operations {
  /** A call that is done in one go. */
  perform(call: Exclude<Call, SignatureCall>): Answer
  /** The pieces of a call that may be long, `undefined` for any other. Its steps may be done between others. */
  pieces(call: Call): Generator<Next, Answer> | undefined
}

export function operations(database: DatabaseSync): Operations {
  const set = setInPieces(database)
  const prepared = new Map<string, StatementSync>()

  function sql(text: string): StatementSync {
    let statement = prepared.get(text)
    if (statement === undefined) prepared.set(text, (statement = database.prepare(text)))
    return statement
  }

  /** How many rows the statement changed. */
  function run(text: string, ...values: (string | number | null | Uint8Array)[]): number {
    return Number(sql(text).run(...values).changes)
  }

  function claim({ lock, now, lockMs, most }: Extract<Call, { do: 'claim' }>): ClaimedNotice[] {
    const exact = sql(DUE_NOTICES).all('exact', now, now, most)
    const rows = [...exact, ...(exact.length < most ? sql(DUE_NOTICES).all('glob', now, now, most - exact.length) : [])]
    return rows.map((row) => {
      const registration = registrationOf(packedFields(row))
      run('UPDATE missed SET lock = ?, locked_until = ? WHERE subscription_id = ?', lock, now + lockMs, registration.id)
      const topic = topicFromBytes(row['topic'] as Uint8Array)
      return { id: registration.id, topic, attempts: Number(row['attempts']), dueAt: Number(row['due_at']), registration, lock }
    })
  }

  function* list(url: string): Generator<Next, Answer> {
    const parts: Uint8Array<ArrayBuffer>[] = []
    for (let after = 0; ;) {
      yield 'read'
      const rows = packer()
      for (const row of sql(`SELECT ${REGISTRATION_COLUMNS} FROM subscriptions AS s WHERE s.url = ? AND s.id > ? ORDER BY s.id LIMIT ?`).iterate(url, after, PIECE)) {
        const fields = packedFields(row)
        rows.put(fields)
        after = fields.id
      }
      const full = rows.rows === PIECE
      if (rows.rows > 0) parts.push(rows.take())
      if (!full) return parts
    }
  }

  /** Whether it may change more than is done in one go. */
  function isLong(url: string, wanted: readonly Uint8Array[]): boolean {
    return wanted.length > 1 || sql('SELECT count(*) AS n FROM (SELECT 1 FROM subscriptions WHERE url = ? LIMIT ?)').get(url, PIECE + 1)?.['n'] === PIECE + 1
  }

  function perform(call: Exclude<Call, SignatureCall>): Answer {
    switch (call.do) {
      case 'start':
      case 'close': return undefined
      case 'add': {
        const { kind, target, recovery } = call.wanted
        const bytes = topicToBytes(target)
        // Looked for first: an insert that does nothing would still call its trigger.
        return run(`INSERT INTO subscriptions (kind, target, url, recovery, created_at) SELECT ?, ?, ?, ?, ?
          WHERE NOT EXISTS (SELECT 1 FROM subscriptions WHERE target = ? AND kind = ? AND url = ?)`,
        kind, bytes, call.url, recovery ?? null, call.now, bytes, kind, call.url) === 1
      }
      case 'remove': return run('DELETE FROM subscriptions WHERE target = ? AND kind = ? AND url = ?', topicToBytes(call.wanted.target), call.wanted.kind, call.url) === 1
      case 'removeId': return run('DELETE FROM subscriptions WHERE id = ?', call.id) === 1
      case 'set': return toTheEnd(set(call.url, call.wanted, call.now)) as undefined
      case 'list': return toTheEnd(list(call.url))
      case 'postpone': {
        const { id, topic, attempts, dueAt } = call.notice
        run(`INSERT INTO missed (subscription_id, kind, topic, attempts, due_at) SELECT id, kind, ?, ?, ? FROM subscriptions WHERE id = ?
          ON CONFLICT (subscription_id) DO UPDATE SET topic = excluded.topic, attempts = excluded.attempts, due_at = excluded.due_at, lock = NULL, locked_until = NULL`,
        topicToBytes(topic), attempts, dueAt, id)
        return undefined
      }
      case 'claim': return claim(call)
      case 'settle': {
        if (call.next === undefined) run('DELETE FROM missed WHERE subscription_id = ? AND lock = ?', call.id, call.lock)
        else run('UPDATE missed SET attempts = ?, due_at = ?, lock = NULL, locked_until = NULL WHERE subscription_id = ? AND lock = ?', call.next.attempts, call.next.dueAt, call.id, call.lock)
        return undefined
      }
      case 'hubSecret': {
        run('INSERT OR IGNORE INTO hub_secret (only, secret) VALUES (1, ?)', call.fresh)
        return sql('SELECT secret FROM hub_secret').get()?.['secret'] as Uint8Array
      }
      default: throw new Error(`no operation ${JSON.stringify(call satisfies never)}`)
    }
  }

  return {
    perform,
    pieces(call) {
      if (call.do === 'list') return list(call.url)
      return call.do === 'set' && isLong(call.url, call.wanted) ? (set(call.url, call.wanted, call.now) as Generator<Next, undefined>) : undefined
    },
  }
}

function toTheEnd<T>(steps: Generator<Next, T>): T {
  for (;;) {
    const step = steps.next()
    if (step.done === true) return step.value
  }
}
