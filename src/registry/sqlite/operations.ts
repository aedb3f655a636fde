import type { DatabaseSync, SQLOutputValue, StatementSync } from 'node:sqlite'
import type { ClaimedNotice, Registration, Wanted } from '../../core/registry.ts'
import { topicFromBytes, topicToBytes } from '../../core/topic.ts'
import type { Answer, Call } from './calls.ts'

export type Row = Record<string, SQLOutputValue>

/** Expired signatures are kept a little longer, for a hub whose clock is behind. */
const SIGNATURE_GRACE_MS = 600_000

export const REGISTRATION_COLUMNS = 's.id, s.kind, s.target, s.url, s.recovery'

export function registrationOf(row: Row): Registration {
  return {
    id: Number(row['id']),
    kind: row['kind'] === 'glob' ? 'glob' : 'exact',
    target: topicFromBytes(row['target'] as Uint8Array),
    url: String(row['url']),
    recovery: row['recovery'] === null ? undefined : String(row['recovery']),
  }
}

/** Whether the call can change the database, so that its transaction takes the write lock at once. */
export function writes(call: Call): boolean {
  return call.do !== 'list' && call.do !== 'start' && call.do !== 'close'
}

/** Whether the call has something to write into a database that is not there yet. */
export function needsDatabase(call: Call): boolean {
  return call.do === 'add' || call.do === 'remember' || (call.do === 'set' && call.wanted.length > 0)
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

/** The registry's statements on one connection. The transaction is the caller's. */
export function operations(database: DatabaseSync): (call: Call) => Answer {
  database.exec('CREATE TEMP TABLE wanted (kind TEXT, target BLOB, recovery TEXT, PRIMARY KEY (target, kind)) WITHOUT ROWID')
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

  function set(url: string, wanted: readonly Wanted[], now: number): undefined {
    const insert = sql('INSERT OR REPLACE INTO wanted (kind, target, recovery) VALUES (?, ?, ?)')
    for (const one of wanted) insert.run(one.kind, topicToBytes(one.target), one.recovery ?? null)
    run('DELETE FROM subscriptions AS s WHERE url = ? AND NOT EXISTS (SELECT 1 FROM wanted AS w WHERE w.target = s.target AND w.kind = s.kind)', url)
    run(`UPDATE subscriptions AS s SET recovery = w.recovery FROM wanted AS w
      WHERE s.target = w.target AND s.kind = w.kind AND s.url = ? AND s.recovery IS NOT w.recovery`, url)
    run(`INSERT INTO subscriptions (kind, target, url, recovery, created_at) SELECT kind, target, ?, recovery, ? FROM wanted AS w
      WHERE NOT EXISTS (SELECT 1 FROM subscriptions AS s WHERE s.target = w.target AND s.kind = w.kind AND s.url = ?)`, url, now, url)
    run('DELETE FROM wanted')
    return undefined
  }

  function remember(signature: Uint8Array, expiresAt: number, now: number): boolean {
    // Two for each that comes: the table shrinks to what is valid without a sweep that anybody would have to wait for.
    run('DELETE FROM signatures WHERE code IN (SELECT code FROM signatures WHERE expires_at < ? LIMIT 2)', now - SIGNATURE_GRACE_MS)
    return run(`INSERT INTO signatures (code, expires_at) VALUES (?, ?)
      ON CONFLICT (code) DO UPDATE SET expires_at = excluded.expires_at WHERE signatures.expires_at < ?`, signature, expiresAt, now) === 1
  }

  function claim({ lock, now, lockMs, most }: Extract<Call, { do: 'claim' }>): ClaimedNotice[] {
    const rows = sql(`SELECT ${REGISTRATION_COLUMNS}, m.topic, m.attempts, m.due_at FROM missed AS m JOIN subscriptions AS s ON s.id = m.subscription_id
      WHERE m.due_at <= ? AND (m.locked_until IS NULL OR m.locked_until <= ?) ORDER BY s.kind = 'glob', m.due_at, s.id LIMIT ?`).all(now, now, most)
    return rows.map((row) => {
      const registration = registrationOf(row)
      run('UPDATE missed SET lock = ?, locked_until = ? WHERE subscription_id = ?', lock, now + lockMs, registration.id)
      const topic = topicFromBytes(row['topic'] as Uint8Array)
      return { id: registration.id, topic, attempts: Number(row['attempts']), dueAt: Number(row['due_at']), registration, lock }
    })
  }

  return (call) => {
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
      case 'set': return set(call.url, call.wanted, call.now)
      case 'list': return sql(`SELECT ${REGISTRATION_COLUMNS} FROM subscriptions AS s WHERE s.url = ?`).all(call.url).map(registrationOf)
      case 'remember': return remember(call.signature, call.expiresAt, call.now)
      case 'forget': run('DELETE FROM signatures WHERE code = ?', call.signature)
        return undefined
      case 'postpone': {
        const { id, topic, attempts, dueAt } = call.notice
        run(`INSERT INTO missed (subscription_id, topic, attempts, due_at) SELECT id, ?, ?, ? FROM subscriptions WHERE id = ?
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
      default: throw new Error(`no operation ${JSON.stringify(call satisfies never)}`)
    }
  }
}
