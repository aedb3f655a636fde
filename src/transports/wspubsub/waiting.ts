import type { Duplex } from 'node:stream'
import type { KeyVerdict } from '../../core/keys.ts'
import type { Clock } from '../../core/ports.ts'

/** A connection that has left HTTP and waits for its 101. */
export interface Waiting {
  /** Ends the wait, once. Gives what has come in meanwhile; `undefined` when the client has gone, or the wait was over. */
  over(): Buffer | undefined
}

/** Bytes that a client may send before its 101; behind them nothing is read until then. */
const MOST_EARLY = 65_536
/** Less is not booked: most send nothing before they are let in. */
const UNBOOKED = 4_096

/** Where bytes are booked. */
export interface EarlyAccount {
  /** False when that would be too much; nothing is booked then. */
  take(bytes: number): boolean
  give(bytes: number): void
}

/**
 * Keeps a connection that nobody else looks after: without a listener a client that resets it would end the process, and
 * one that goes away would not be noticed.
 * @param head what came with the handshake
 * @param account where what is kept is booked; past it the connection ends
 */
export function keepWaiting(socket: Duplex, head: Buffer, account: EarlyAccount): Waiting {
  const early: Buffer[] = []
  let [size, booked] = [0, 0]
  let state: 'here' | 'gone' | 'over' = 'here'

  function giveBack(): void {
    account.give(booked)
    booked = 0
  }
  const gone = (): void => {
    // Its half of the connection alone is of no use.
    if (state !== 'here') return
    state = 'gone'
    early.length = 0
    giveBack()
    socket.destroy()
  }
  const onData = (chunk: Buffer): void => {
    // A destroyed one may have something left to say.
    if (state !== 'here') return
    size += chunk.length
    if (size > UNBOOKED) {
      if (!account.take(size - booked)) return gone()
      booked = size
    }
    early.push(chunk)
    if (size > MOST_EARLY) socket.pause()
  }
  socket.on('data', onData).on('end', gone).on('close', gone).on('error', gone)
  onData(head)

  return {
    over() {
      // To one that has gone an error may still come.
      if (state !== 'here') return undefined
      state = 'over'
      giveBack()
      socket.off('data', onData).off('end', gone).off('close', gone).off('error', gone)
      return Buffer.concat(early)
    },
  }
}

/** The verdict, or `unavailable` when it takes too long. @param ms milliseconds */
export function verdictWithin(verdict: Promise<KeyVerdict>, ms: number, clock: Pick<Clock, 'after'>): Promise<KeyVerdict> {
  return new Promise((resolve) => {
    const cancel = clock.after(ms, () => resolve('unavailable'))
    void verdict.then((known) => {
      cancel()
      resolve(known)
    })
  })
}
