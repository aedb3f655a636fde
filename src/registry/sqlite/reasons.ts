import { NewerSchemaError } from './migrate.ts'

/** SQLite's primary result codes that an operator can do something about. */
const REASONS: Readonly<Record<number, string>> = {
  5: 'it is locked by another program',
  6: 'it is locked by another program',
  8: 'it may only be read, not written',
  10: 'reading or writing the disk failed',
  11: 'it is damaged: put a backup in its place (a file of signatures may be deleted)',
  13: 'the disk is full',
  14: 'it cannot be opened: look at the permissions of the file and of its folder',
  26: 'it is no SQLite database: move it away, or name another file',
}

/** Says what is the matter with the database, and where there is something to do, what. */
export function reasonOf(file: string, error: unknown): string {
  if (error instanceof NewerSchemaError) return `${file}: ${error.message}: start the newer version of the program, or name another file`
  const { errcode } = error as { errcode?: unknown }
  const reason = typeof errcode === 'number' ? REASONS[errcode & 0xff] : undefined
  const message = error instanceof Error ? error.message : String(error)
  return reason === undefined ? `${file}: ${message}` : `${file}: ${reason} (${message})`
}

/** Whether there was no room on the disk: it is full, or a file may not be larger. */
export function isFull(error: unknown): boolean {
  const { errcode } = error as { errcode?: unknown }
  return typeof errcode === 'number' && [10, 13].includes(errcode & 0xff)
}

/** Whether the wait for another program's lock was in vain. */
export function isLocked(error: unknown): boolean {
  const { errcode } = error as { errcode?: unknown }
  return typeof errcode === 'number' && (errcode & 0xff) === 5
}
