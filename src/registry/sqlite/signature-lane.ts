import { DatabaseSync } from 'node:sqlite'
import type { Clock } from '../../core/ports.ts'
import { kindOf, signatureMemory, type Signatures } from './signatures.ts'

/**
 * Remembers signatures in the caller's own thread: the file takes one within some 30 us, because nothing waits for the disk,
 * while asking another thread takes several times that, on both sides. Whatever is not that simple is left to the thread.
 */
export interface SignatureLane {
  /** The thread has made its files. */
  ready(): void
  /** Whether it is new; `undefined` when the thread is to be asked. Never throws. */
  remember(signature: Uint8Array, expiresAt: number, signedAt: number): boolean | undefined
  close(): void
}

/** Milliseconds that the event loop may stand still for another process's lock: those are held for microseconds. */
const PATIENCE = 20
/** Milliseconds before it is tried again, once something was wrong. */
const PAUSE = 1_000

export function createSignatureLane({ file, clock, bootTime }: { file: string; clock: Clock; bootTime: number }): SignatureLane {
  let opened: { readonly database: DatabaseSync; readonly memory: Signatures } | undefined
  let notBefore = Infinity

  function open(): Signatures {
    if (opened === undefined) {
      const database = new DatabaseSync(file, { timeout: PATIENCE })
      opened = { database, memory: signatureMemory(database, { file, busyTimeout: PATIENCE, bootTime }) }
    }
    return opened.memory
  }

  function close(): void {
    try {
      opened?.memory.close()
      opened?.database.close()
    } catch {
      // What cannot be closed is of no more use either.
    }
    opened = undefined
  }

  return {
    ready() {
      if (notBefore === Infinity && file !== ':memory:') notBefore = 0
    },
    remember(signature, expiresAt, signedAt) {
      if (clock.monotonic() < notBefore) return undefined
      const call = { do: 'remember', signature, expiresAt, signedAt, now: clock.now() } as const
      if (kindOf(call) !== 'passing') return undefined
      try {
        return open().perform([call])[0]
      } catch {
        close()
        notBefore = clock.monotonic() + PAUSE
        return undefined
      }
    },
    close() {
      notBefore = Infinity
      close()
    },
  }
}
