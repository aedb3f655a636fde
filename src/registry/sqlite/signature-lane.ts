import { DatabaseSync } from 'node:sqlite'
import type { Clock } from '../../core/ports.ts'
import type { SignatureCall } from './calls.ts'
import { kindOf, signatureMemory, type Signatures } from './signatures.ts'

/**
 * Remembers signatures in the caller's own thread: the file takes one within some 15 us, because nothing waits for the disk,
 * while asking another thread takes several times that, on both sides. What is asked for in one turn of the event loop
 * shares a transaction. Whatever is not that simple is left to the thread.
 */
export interface SignatureLane {
  /** The thread has made its files. */
  ready(): void
  /** Whether it is new; `undefined` when the thread is to be asked. Never rejects. */
  remember(signature: Uint8Array, expiresAt: number, signedAt: number): Promise<boolean | undefined> | undefined
  close(): void
}

/** Milliseconds that the event loop may stand still for another process's lock: those are held for microseconds. */
const PATIENCE = 20
/** Milliseconds before it is tried again, once something was wrong. */
const PAUSE = 1_000
/** Signatures in one transaction: the lock is not held for longer than these take. */
const MOST_TOGETHER = 256

export function createSignatureLane({ file, clock, bootTime }: { file: string; clock: Clock; bootTime: number }): SignatureLane {
  let opened: { readonly database: DatabaseSync; readonly memory: Signatures } | undefined
  let notBefore = Infinity
  let closed = false
  let waiting: { readonly call: SignatureCall; readonly done: (verdict: boolean | undefined) => void }[] = []

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

  function perform(): void {
    const all = waiting
    waiting = []
    if (all.length === 0) return
    const verdicts = attempt(all.map(({ call }) => call))
    for (const [i, { done }] of all.entries()) done(verdicts[i])
  }

  function attempt(calls: readonly SignatureCall[]): (boolean | undefined)[] {
    // It was closed, or something was wrong, since they came.
    if (clock.monotonic() < notBefore) return []
    try {
      return open().perform(calls)
    } catch {
      close()
      notBefore = clock.monotonic() + PAUSE
      return []
    }
  }

  return {
    ready() {
      // What the thread still answers after the end opens nothing again.
      if (notBefore === Infinity && file !== ':memory:' && !closed) notBefore = 0
    },
    remember(signature, expiresAt, signedAt) {
      if (clock.monotonic() < notBefore) return undefined
      const call = { do: 'remember', signature, expiresAt, signedAt, now: clock.now() } as const
      if (kindOf(call) !== 'passing') return undefined
      return new Promise((done) => {
        if (waiting.push({ call, done }) === 1) setImmediate(perform)
        else if (waiting.length === MOST_TOGETHER) perform()
      })
    },
    close() {
      // What was asked for is settled first.
      perform()
      closed = true
      notBefore = Infinity
      close()
    },
  }
}
