import { DatabaseSync, type StatementSync } from 'node:sqlite'
import { identityOf } from './file.ts'

/** Knows within microseconds whether anybody has written to the database since all of it was told. */
export interface Current {
  /** `undefined` when nothing was written since; else what the thread's look for news comes to. */
  current(): Promise<void> | undefined
  close(): void
}

/** What says that no two states are the same: then the thread is asked. */
const UNKNOWN = Symbol('unknown')

/**
 * A connection of the caller's thread that only reads SQLite's number of changes, which is in memory that the connections
 * share: it waits for no lock, and reads no disk. What this registry writes itself changes it too.
 * @param look asks the thread to tell whatever was written before
 */
export function createCurrent(file: string, look: () => Promise<void>): Current {
  let opened: { readonly database: DatabaseSync; readonly version: StatementSync; readonly identity: string } | undefined
  /** The state of the file of which everything has been told; `none` when there was no file. */
  let told: unknown = UNKNOWN
  let asked: { readonly state: unknown; readonly done: Promise<void> } | undefined
  let closed = false

  /** The same as before only when nothing has been written in between. */
  function state(): unknown {
    try {
      const identity = identityOf(file)
      if (opened !== undefined && opened.identity !== identity) close()
      if (identity === 'none') return identity
      opened ??= open(identity)
      return opened.version.get()?.['data_version']
    } catch {
      close()
      return UNKNOWN
    }
  }

  function open(identity: string): NonNullable<typeof opened> {
    // The number counts from another beginning on each connection.
    told = UNKNOWN
    asked = undefined
    const database = new DatabaseSync(file, { readOnly: true, timeout: 0 })
    return { database, version: database.prepare('PRAGMA data_version'), identity }
  }

  function close(): void {
    const last = opened?.database
    opened = undefined
    if (last?.isOpen === true) last.close()
  }


  return {
    current() {
      // What is in memory has no other writers.
      if (file === ':memory:') return undefined
      if (closed) return look()
      const now = state()
      if (now !== UNKNOWN && now === told) return undefined
      if (now !== UNKNOWN && asked !== undefined && asked.state === now) return asked.done
      const done = look()
      asked = { state: now, done }
      // Before whoever waits for it goes on. The state is of before the look: what was written meanwhile may not have been told.
      const isLast = (): boolean => asked?.done === done
      void done.then(() => {
        if (isLast()) [told, asked] = [now, undefined]
      }, () => {
        if (isLast()) asked = undefined
      })
      return done
    },
    close() {
      closed = true
      close()
    },
  }
}
