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
  /** Opens the file, in no transaction: what follows may be done in one. */
  open(now: number): void
  /** Up to `most` that are valid, behind this one in the order of their bytes. */
  validAfter(code: Uint8Array, most: number, now: number): { readonly code: Uint8Array; readonly expiresAt: number }[]
  /** Takes over what was used elsewhere, and says how many were not known. That it outlives the machine is up to the caller. */
  adopt(used: readonly { readonly code: Uint8Array; readonly expiresAt: number }[], now: number): number
  close(): void
}

/** How far ahead of our clock a signature may be dated that is not kept on disk, in ms. */
export const SKEW_MS = 5_000
/** Expired signatures are kept a little longer, for a hub whose clock is behind. */
const SIGNATURE_GRACE_MS = 600_000
/** Signatures that come between two looks for expired ones. */
const SWEPT = 16
/** Rows that are looked at then. */
const LOOKED_AT = 64
/** Bytes of a signature that the file keeps: as hard to meet by chance as the whole, and four times as many in a page. */
const KEPT = 16
export const NOTHING = new Uint8Array(0)
/** Before any signature. */
const LONG_AGO = -9_000_000_000_000
/** Expired rows of the database that go when it is opened. */
const MOST_OLD = 50_000

type RememberCall = Extract<SignatureCall, { do: 'remember' }>

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
  let [unswept, unsynced] = [0, 0]
  /** The last row that was looked at for being expired. */
  let sweptTo: Uint8Array = NOTHING

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

  /** In one statement, and in one page: more of either would cost as much as all the rest of a signed request. */
  function rememberPassing({ signature, expiresAt, signedAt, now }: RememberCall): Verdict {
    const isNew = sql(`INSERT INTO main.signatures (code, expires_at)
      SELECT ?, ? WHERE ? > (SELECT coalesce(max(since), ${LONG_AGO}) FROM main.about) + ${SKEW_MS}
      ON CONFLICT (code) DO UPDATE SET expires_at = excluded.expires_at WHERE signatures.expires_at < ?`).run(kept(signature), expiresAt, signedAt, now).changes === 1
    // Behind the first write: a transaction that began with reading may find that others have written meanwhile.
    sweep(now)
    return isNew ? true : refusal(signature, signedAt, now)
  }

  /** Known, or of before what is remembered. */
  function refusal(signature: Uint8Array, signedAt: number, now: number): Verdict {
    if (isKnown('main', signature, now)) return false
    const since = sql('SELECT since FROM main.about').get()?.['since'] ?? LONG_AGO
    return signedAt > Number(since) + SKEW_MS ? false : undefined
  }

  /** To the disk, and to where it is looked for. */
  function rememberAhead(call: RememberCall): Verdict {
    const { signature, expiresAt, now } = call
    if (isKnown('durable', signature, now)) return false
    const verdict = rememberPassing(call)
    if (verdict !== true) return verdict
    if (++unsynced >= SWEPT) {
      sql(`DELETE FROM durable.signatures WHERE code IN (SELECT code FROM durable.signatures WHERE expires_at < ? LIMIT ${2 * SWEPT})`).run(now - SIGNATURE_GRACE_MS)
      unsynced = 0
    }
    sql('INSERT OR REPLACE INTO durable.signatures (code, expires_at) VALUES (?, ?)').run(signature, expiresAt)
    return true
  }

  /** Four for each that comes, some at a time and in the order of the table: it shrinks to what is valid without a sweep that anybody would have to wait for. */
  function sweep(now: number): void {
    if (++unswept < SWEPT) return
    unswept = 0
    const rows = sql(`SELECT code, expires_at FROM main.signatures WHERE code > ? ORDER BY code LIMIT ${LOOKED_AT}`).all(sweptTo)
    for (const row of rows) {
      if (Number(row['expires_at']) < now - SIGNATURE_GRACE_MS) sql('DELETE FROM main.signatures WHERE code = ?').run(row['code'] as Uint8Array)
    }
    sweptTo = rows.length < LOOKED_AT ? NOTHING : (rows.at(-1)?.['code'] as Uint8Array)
  }

  function isKnown(where: 'main' | 'durable', signature: Uint8Array, now: number): boolean {
    return sql(`SELECT 1 FROM ${where}.signatures WHERE code = ? AND expires_at >= ?`).get(where === 'main' ? kept(signature) : signature, now) !== undefined
  }

  function forget(signature: Uint8Array): undefined {
    sql('DELETE FROM main.signatures WHERE code = ?').run(kept(signature))
    // What came from another database is there by what is kept of it.
    sql('DELETE FROM durable.signatures WHERE code IN (?, ?)').run(signature, kept(signature))
    return undefined
  }

  function adopt({ code, expiresAt }: { readonly code: Uint8Array; readonly expiresAt: number }, now: number): boolean {
    const isNew = !isKnown('main', code, now)
    sql('INSERT INTO main.signatures (code, expires_at) VALUES (?, ?) ON CONFLICT (code) DO UPDATE SET expires_at = max(expires_at, excluded.expires_at)').run(kept(code), expiresAt)
    return isNew
  }

  function one(call: SignatureCall): Verdict {
    if (call.do === 'forget') return forget(call.signature)
    return kindOf(call) === 'ahead' ? rememberAhead(call) : rememberPassing(call)
  }

  return {
    perform(calls) {
      const [first] = calls
      if (first === undefined) return []
      const connection = ready(first.now)
      if (kindOf(first) !== 'passing') return inTransaction(connection, 'BEGIN IMMEDIATE', () => calls.map(one))
      // The first statement of what passes writes to its own file: no lock on the database is waited for. One statement needs no transaction.
      return calls.length === 1 ? [one(first)] : inTransaction(connection, 'BEGIN', () => calls.map(one))
    },
    open: (now) => void ready(now),
    validAfter: (code, most, now) => {
      ready(now)
      return sql('SELECT code, expires_at FROM main.signatures WHERE code > ? AND expires_at >= ? ORDER BY code LIMIT ?').all(code, now, most)
        .map((row) => ({ code: row['code'] as Uint8Array, expiresAt: Number(row['expires_at']) }))
    },
    adopt: (used, now) => inTransaction(ready(now), 'BEGIN', () => used.filter((one) => adopt(one, now)).length),
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
    // Looked for in one place from now on.
    database.prepare(`INSERT OR IGNORE INTO main.signatures (code, expires_at) SELECT substr(code, 1, ${KEPT}), expires_at FROM durable.signatures WHERE expires_at >= ?`).run(now)
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

function kept(signature: Uint8Array): Uint8Array {
  return signature.subarray(0, KEPT)
}
