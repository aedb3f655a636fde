import { closeSync, existsSync, fsyncSync, mkdirSync, openSync, statSync } from 'node:fs'
import { dirname } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { migrate } from './migrate.ts'

/** The database, opened when there is one, made when it is needed. */
export interface DatabaseFile {
  /** Opens what is there; `undefined` when nothing is. */
  openIfThere(): DatabaseSync | undefined
  openOrCreate(): DatabaseSync
  close(): void
}

/** A pause between two tries to get at a database that others hold. */
const RETRY_MS = 10

/** @param busyTimeout ms that a lock of another program is waited for */
export function databaseFile(file: string, busyTimeout: number, migrations: readonly string[]): DatabaseFile {
  const inMemory = file === ':memory:'
  let database: DatabaseSync | undefined
  /** Which file it is: a path can come to mean another. */
  let identity: string | undefined

  function open(): DatabaseSync {
    if (database !== undefined) {
      // A deleted file takes writes to the last, and they are gone with it: nothing may count as kept there.
      if (!inMemory && identityOf(file) !== identity) throw new Error('it was moved or deleted while it was in use: put it back, or start the program again')
      return database
    }
    const opened = new DatabaseSync(file, { timeout: busyTimeout })
    try {
      journalAhead(opened, busyTimeout)
      opened.exec('PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON; PRAGMA temp_store = MEMORY')
      migrate(opened, migrations)
    } catch (error) {
      opened.close()
      throw error
    }
    identity = inMemory ? undefined : identityOf(file)
    return (database = opened)
  }

  return {
    openIfThere: () => (database !== undefined || inMemory || existsSync(file) ? open() : undefined),
    openOrCreate() {
      if (database === undefined && !inMemory) createFile(file)
      return open()
    },
    close() {
      database?.close()
      database = undefined
    },
  }
}

/** Which file a path means at present; `none` when there is none. */
export function identityOf(file: string): string {
  const stat = statSync(file, { throwIfNoEntry: false, bigint: true })
  return stat === undefined ? 'none' : `${stat.dev}:${stat.ino}`
}

/** Empty, and for its owner alone: urls may carry secrets. SQLite gives the files beside it the same mode. */
export function createFile(file: string): void {
  const first = mkdirSync(dirname(file), { recursive: true, mode: 0o700 })
  try {
    // Only ever a new file: to close any descriptor of a database lets go of the locks that this process has on it.
    closeSync(openSync(file, 'wx', 0o600))
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error
  }
  if (first === undefined) return
  // SQLite syncs the file's own folder; that the new folders stay is up to us.
  for (let folder = dirname(dirname(file)); ; folder = dirname(folder)) {
    const descriptor = openSync(folder, 'r')
    fsyncSync(descriptor)
    closeSync(descriptor)
    if (folder === dirname(first) || folder === dirname(folder)) return
  }
}

/** Write-ahead logging: readers do not wait for the writer. While others open a new file too, SQLite refuses at once instead of waiting. */
export function journalAhead(database: DatabaseSync, busyTimeout: number): void {
  const deadline = performance.now() + busyTimeout
  for (;;) {
    try {
      database.exec('PRAGMA journal_mode = WAL')
      return
    } catch (error) {
      const busy = ((error as { errcode?: number }).errcode ?? 0) & 0xff
      if (busy !== 5 || performance.now() > deadline) throw error
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, RETRY_MS)
    }
  }
}
