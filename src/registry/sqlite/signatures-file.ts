import { rmSync, statSync } from 'node:fs'
import { DatabaseSync } from 'node:sqlite'
import { createFile, identityOf, journalAhead } from './file.ts'
import { migrate } from './migrate.ts'
import { SIGNATURE_MIGRATIONS, SIGNATURE_TABLES } from './schema.ts'

export interface OpenedSignatures {
  /** The file of signatures as `main`, never synced; the registry's database as `durable`, always synced. */
  readonly database: DatabaseSync
  /** Whether there was one of before the boot, which is gone now. */
  readonly discarded: boolean
  /** False when the file is not there any more, or is another. */
  isCurrent(): boolean
}

/** Where the signatures of a database are. */
export function signaturesOf(file: string): string {
  return file === ':memory:' ? file : `${file}-signatures`
}

/** Opens the file of signatures, made when it is missing or of before the boot: what was not synced may be damaged then. */
export function openSignatures(database: DatabaseSync, { file, busyTimeout, bootTime }: { file: string; busyTimeout: number; bootTime: number }): OpenedSignatures {
  const path = signaturesOf(file)
  const discarded = path !== ':memory:' && makeCurrent(database, path, bootTime)
  const opened = new DatabaseSync(path, { timeout: busyTimeout })
  try {
    journalAhead(opened, busyTimeout)
    // A checkpoint in the midst of a request must not take many milliseconds.
    opened.exec('PRAGMA main.synchronous = OFF; PRAGMA temp_store = MEMORY; PRAGMA wal_autocheckpoint = 1000')
    opened.prepare('ATTACH ? AS durable').run(file)
    opened.exec('PRAGMA durable.synchronous = FULL')
    if (path === ':memory:') opened.exec(SIGNATURE_TABLES.replaceAll('CREATE TABLE ', 'CREATE TABLE durable.'))
    migrate(opened, SIGNATURE_MIGRATIONS)
  } catch (error) {
    opened.close()
    throw error
  }
  const identity = path === ':memory:' ? undefined : identityOf(path)
  return { database: opened, discarded, isCurrent: () => identity === undefined || identityOf(path) === identity }
}

/** Under the database's lock, so that of several hubs one does it, and none takes away what another has just made. */
function makeCurrent(database: DatabaseSync, path: string, bootTime: number): boolean {
  database.exec('BEGIN IMMEDIATE')
  try {
    const last = Math.max(changedAt(path), changedAt(`${path}-wal`))
    const discarded = last > 0 && last < bootTime
    // The log first: alone it would be taken for the log of the new file.
    if (discarded) for (const one of [`${path}-wal`, `${path}-shm`, path]) rmSync(one, { force: true })
    createFile(path)
    return discarded
  } finally {
    database.exec('COMMIT')
  }
}

/** In ms since 1970; 0 when there is no such file. */
function changedAt(path: string): number {
  return statSync(path, { throwIfNoEntry: false })?.mtimeMs ?? 0
}
