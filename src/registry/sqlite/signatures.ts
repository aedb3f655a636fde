import { randomUUID } from 'node:crypto'
import type { DatabaseSync, StatementSync } from 'node:sqlite'
import type { SignatureCall } from './calls.ts'
import { openSignatures, type OpenedSignatures } from './signatures-file.ts'

/** What is known of a signature: `undefined` when it may have been used and forgotten. */
export type Verdict = boolean | undefined

/**
 * The signatures that were used, in two places. Almost all are in a file of their own that is never synced: it takes a
 * signature within microseconds, other hubs see it at once, and the end of a process loses nothing. The end of the machine
 * does; so each such file knows since when it is complete, and what was signed before that, and `SKEW_MS` after, is not
 * taken. What is dated further ahead goes to the database, and is synced: no such date could refuse it later.
 */
export interface Signatures {
  /** Does all of it, which must be of one kind, in one transaction, or nothing. */
  perform(calls: readonly SignatureCall[]): Verdict[]
  close(): void
}

/** How far ahead of our clock a signature may be dated that is not kept on disk, in ms. */
export const SKEW_MS = 5_000
/** Expired signatures are kept a little longer, for a hub whose clock is behind. */
const SIGNATURE_GRACE_MS = 600_000
/** Signatures that come between two looks for expired ones. */
const SWEPT = 16
/** Expired rows of the database that go when it is opened. */
const MOST_OLD = 50_000

/** Calls of different kinds need different locks: `passing` needs none that others hold for long. */
export function kindOf(call: SignatureCall): 'passing' | 'ahead' | 'forget' {
  if (call.do === 'forget') return 'forget'
  return call.signedAt > call.now + SKEW_MS ? 'ahead' : 'passing'
}

/**
 * @param database an open connection to the registry's database, that is in no transaction between calls
 * @param bootTime when the machine was started, in ms since 1970
 */
export function signatureMemory(database: DatabaseSync, parts: { readonly file: string; readonly busyTimeout: number; readonly bootTime: number }): Signatures {
  let opened: OpenedSignatures | undefined
  let prepared = new Map<string, StatementSync>()
  const unswept = { main: 0, durable: 0 }

  function sql(text: string): StatementSync {
    let statement = prepared.get(text)
    if (statement === undefined) prepared.set(text, (statement = (opened as OpenedSignatures).database.prepare(text)))
    return statement
  }

  function ready(now: number): DatabaseSync {
    if (opened?.isCurrent() === false) close()
    if (opened === undefined) {
      const fresh = openSignatures(database, parts)
      try {
        reconcile(fresh, parts.bootTime, now)
      } catch (error) {
        fresh.database.close()
        throw error
      }
      opened = fresh
    }
    return opened.database
  }

  function close(): void {
    prepared = new Map()
    opened?.database.close()
    opened = undefined
  }

  function remember({ signature, expiresAt, signedAt, now }: Extract<SignatureCall, { do: 'remember' }>, into: 'main' | 'durable', since: number): Verdict {
    const other = into === 'main' ? 'durable' : 'main'
    sweep(into, now)
    if (isKnown(other, signature, now)) return false
    if (signedAt <= since) return isKnown(into, signature, now) ? false : undefined
    return sql(`INSERT INTO ${into}.signatures (code, expires_at) VALUES (?, ?)
      ON CONFLICT (code) DO UPDATE SET expires_at = excluded.expires_at WHERE signatures.expires_at < ?`).run(signature, expiresAt, now).changes === 1
  }

  /** Two for each that comes, some at a time: the table shrinks to what is valid without a sweep that anybody would have to wait for. */
  function sweep(where: 'main' | 'durable', now: number): void {
    if (++unswept[where] < SWEPT) return
    sql(`DELETE FROM ${where}.signatures WHERE code IN (SELECT code FROM ${where}.signatures WHERE expires_at < ? LIMIT ${2 * SWEPT})`).run(now - SIGNATURE_GRACE_MS)
    unswept[where] = 0
  }

  function isKnown(where: 'main' | 'durable', signature: Uint8Array, now: number): boolean {
    return sql(`SELECT 1 FROM ${where}.signatures WHERE code = ? AND expires_at >= ?`).get(signature, now) !== undefined
  }

  function one(call: SignatureCall, since: number): Verdict {
    if (call.do === 'remember') return remember(call, kindOf(call) === 'ahead' ? 'durable' : 'main', since)
    for (const where of ['main', 'durable']) sql(`DELETE FROM ${where}.signatures WHERE code = ?`).run(call.signature)
    return undefined
  }

  return {
    perform(calls) {
      const [first] = calls
      if (first === undefined) return []
      const connection = ready(first.now)
      // The first statement of what passes writes to its own file: no lock on the database is waited for.
      return inTransaction(connection, kindOf(first) === 'passing' ? 'BEGIN' : 'BEGIN IMMEDIATE', () => {
        if (kindOf(first) === 'passing') sql('UPDATE main.about SET since = since WHERE false').run()
        const since = sql('SELECT since FROM main.about').get()?.['since'] ?? -Infinity
        return calls.map((call) => one(call, Number(since) + SKEW_MS))
      })
    },
    close,
  }
}

/**
 * The database knows which file of signatures belongs to it. One that it does not know takes the place of one that is
 * lost, and says since when it is complete: since the boot, where the one before was of before that, else since now. The
 * first of all was never without anything.
 */
function reconcile({ database, discarded }: OpenedSignatures, bootTime: number, now: number): void {
  inTransaction(database, 'BEGIN IMMEDIATE', () => {
    const known = database.prepare('SELECT id, made_at FROM durable.signature_file').get()
    const there = database.prepare('SELECT id FROM main.about').get()
    const id = String(there?.['id'] ?? randomUUID())
    if (there === undefined) {
      const since = known === undefined ? null : discarded && Number(known['made_at']) <= bootTime ? Math.ceil(bootTime) : now
      database.prepare('INSERT INTO main.about (only, id, since) VALUES (1, ?, ?)').run(id, since)
    } else if (known !== undefined && known['id'] !== id) database.prepare('UPDATE main.about SET since = ?').run(now)
    if (known?.['id'] !== id) database.prepare('INSERT OR REPLACE INTO durable.signature_file (only, id, made_at) VALUES (1, ?, ?)').run(id, now)
    database.prepare('DELETE FROM durable.signatures WHERE code IN (SELECT code FROM durable.signatures WHERE expires_at < ? LIMIT ?)').run(now - SIGNATURE_GRACE_MS, MOST_OLD)
  })
}

function inTransaction<T>(database: DatabaseSync, begin: 'BEGIN' | 'BEGIN IMMEDIATE', act: () => T): T {
  database.exec(begin)
  try {
    const result = act()
    database.exec('COMMIT')
    return result
  } catch (error) {
    // Some failures have rolled it back already.
    if (database.isTransaction) database.exec('ROLLBACK')
    throw error
  }
}
