import type { DatabaseSync } from 'node:sqlite'
import type { ClaimedNotice, Wanted } from '../../core/registry.ts'
import { topicFromBytes, topicToBytes } from '../../core/topic.ts'
import type { Answer, Call, SignatureCall } from './calls.ts'
import { keyOperations } from './keys.ts'
import { packer, PIECE } from './pack.ts'
import { restoring } from './restore.ts'
import { packedFields, REGISTRATION_COLUMNS, registrationOf } from './rows.ts'
import { setInPieces, type Next } from './set-in-pieces.ts'
import type { Signatures } from './signatures.ts'
import { statements } from './statements.ts'

/** Those that the thread does itself, outside of any transaction on the database. */
type Special = Extract<Call, { do: 'start' | 'watchDomains' | 'look' | 'everything' | 'enough' | 'close' }>
/** Those that are done within one. */
export type Operation = Exclude<Call, Special | SignatureCall>

/** Whether the call has something to write into a database that is not there yet. */
export function needsDatabase(call: Call): boolean {
  switch (call.do) {
    case 'add':
    case 'addKey':
    case 'remember':
    case 'hubSecret': return true
    case 'set': return call.wanted.length > 0
    case 'restore': return call.things.length > 0
    default: return false
  }
}

/** What a call answers where there is no database. */
export function answerOfNothing(call: Call): Answer {
  switch (call.do) {
    case 'remove':
    case 'removeId':
    case 'changeKey':
    case 'removeKey': return false
    case 'restore': return 0
    case 'list':
    case 'keysOf':
    case 'keysAfter':
    case 'everything':
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
  perform(call: Operation): Answer
  /** The pieces of a call that may be long, or only reads, `undefined` for any other. Its steps may be done between others. */
  pieces(call: Call): Generator<Next, Answer> | undefined
}

export function operations(database: DatabaseSync, signatures: Signatures): Operations {
  const set = setInPieces(database)
  const keys = keyOperations(database)
  const restore = restoring(database, keys, add)
  const { sql, run } = statements(database)

  function add(url: string, { kind, target, recovery }: Wanted, now: number): boolean {
    const bytes = topicToBytes(target)
    // Looked for first: an insert that does nothing would still call its trigger.
    return run(`INSERT INTO subscriptions (kind, target, url, recovery, created_at) SELECT ?, ?, ?, ?, ?
      WHERE NOT EXISTS (SELECT 1 FROM subscriptions WHERE target = ? AND kind = ? AND url = ?)`,
    kind, bytes, url, recovery ?? null, now, bytes, kind, url) === 1
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
    for (let after = Number.MIN_SAFE_INTEGER; ;) {
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

  /** In one step, which takes no write lock. */
  function* reading(act: () => Answer): Generator<Next, Answer> {
    yield 'read'
    return act()
  }

  function perform(call: Operation): Answer {
    switch (call.do) {
      case 'add': return add(call.url, call.wanted, call.now)
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
      case 'keysOf': return keys.keysOf(call.domains)
      case 'keysAfter': return keys.keysAfter(call.after, call.most)
      case 'addKey': return keys.addKey(call.key, call.now)
      case 'changeKey': return keys.changeKey(call.domain, call.change)
      case 'removeKey': return keys.removeKey(call.domain)
      case 'restore': return toTheEnd(restore(call.things, signatures, call.now))
      default: throw new Error(`no operation ${JSON.stringify(call satisfies never)}`)
    }
  }

  return {
    perform,
    pieces(call) {
      switch (call.do) {
        case 'list': return list(call.url)
        case 'keysOf':
        case 'keysAfter': return reading(() => perform(call))
        case 'restore': return restore(call.things, signatures, call.now)
        case 'set': return isLong(call.url, call.wanted) ? (set(call.url, call.wanted, call.now) as Generator<Next, undefined>) : undefined
        default: return undefined
      }
    },
  }
}

function toTheEnd<T>(steps: Generator<Next, T>): T {
  for (;;) {
    const step = steps.next()
    if (step.done === true) return step.value
  }
}
