import type { Arrears } from '../../src/core/arrears.ts'
import type { Member } from '../../src/core/fan-out.ts'

/**
 * How a client reads: everything at once, so many bytes a turn, or so and with stalls in between. Past `enough` bytes that
 * wait, its connection says that it has enough, and says that it takes more when none waits; without it, never.
 */
export type Temper = { readonly kind: 'quick' } | { readonly kind: 'slow' | 'moody'; readonly bytes: number; readonly enough?: number | undefined }

export interface ConnectionEvents {
  /** The client has got these bytes. */
  bytes(chunk: Buffer): void
  /** The connection is gone, for both ends. Called once. `reason` is what the hub said, if it said something. */
  closed(reason: string | undefined): void
  /** Bytes that waited when the hub wrote or let go: what the bounds are held against. */
  waited(before: number, during: 'write' | 'eviction'): void
}

/** Both ends of one connection and the network between, which holds what the client has not taken. */
export interface Connection extends Member {
  /** The hub has said goodbye, or the connection is gone. */
  readonly ending: boolean
  /** The hub says goodbye: what waits still goes out. */
  close(reason: string): void
  /** It ends for both sides, and what waits is lost. */
  cut(reason?: string): void
  /** The client takes this many bytes. */
  take(bytes: number): void
  /** Holds what waits against the bounds, also where it waits elsewhere; nothing tells of that. */
  look(): void
}

export function createConnection(temper: Temper, maxPendingBytes: number, events: ConnectionEvents): Connection {
  const enough = temper.kind === 'quick' ? undefined : temper.enough
  let waiting: Buffer[] = []
  /** Of `waiting`. */
  let pendingBytes = 0
  let arrears: Arrears | undefined
  /** What waited elsewhere when it was said last that something does. */
  let owedLast = 0
  /** It has said that it has enough. */
  let full = false
  let paying = false
  /** At the last look. */
  let seen = { owed: 0, pending: 0 }
  let reason: string | undefined
  let gone = false
  let roomy: { resolve(): void; reject(error: Error): void }[] = []

  function cut(last?: string): void {
    if (gone) return
    gone = true
    waiting = []
    pendingBytes = 0
    for (const { reject } of roomy.splice(0)) reject(new Error('the connection is closed'))
    events.closed(last ?? reason)
  }

  const owed = (): number => arrears?.bytes ?? 0

  /** Where more has come to wait elsewhere since the last look, nothing was taken in between, so that it was as much before that came. */
  function look(): void {
    if (owed() > seen.owed) events.waited(seen.pending, 'write')
    seen = { owed: owed(), pending: pendingBytes + owed() }
  }

  function take(bytes: number): void {
    look()
    let left = bytes
    while (left > 0 && waiting.length > 0) {
      const first = waiting[0] as Buffer
      const taken = first.subarray(0, left)
      if (taken.length === first.length) waiting.shift()
      else waiting[0] = first.subarray(taken.length)
      left -= taken.length
      pendingBytes -= taken.length
      events.bytes(taken)
    }
    if (pendingBytes <= maxPendingBytes / 2) {
      for (const { resolve } of roomy) resolve()
      roomy = []
    }
    if (full && pendingBytes === 0 && reason === undefined) {
      full = false
      pay(() => arrears?.drained())
    }
    seen = { owed: owed(), pending: pendingBytes + owed() }
    if (reason !== undefined && pendingBytes === 0) cut()
  }

  /** What was held against the bound when it came may be more than the bound together. */
  function pay(settle: () => void): void {
    paying = true
    settle()
    paying = false
  }

  function close(text: string): void {
    if (reason !== undefined || gone) return
    pay(() => arrears?.settle())
    reason = text
    if (pendingBytes === 0) cut()
  }

  return {
    slot: -1,
    get pendingBytes() { return pendingBytes + owed() },
    get arrears() { return arrears },
    set arrears(next) {
      owedLast = owed()
      arrears = next
    },
    get ending() { return gone || reason !== undefined },
    write(chunk) {
      if (reason !== undefined || gone) return true
      if (!paying) events.waited(pendingBytes, 'write')
      waiting.push(chunk)
      pendingBytes += chunk.length
      if (temper.kind === 'quick') take(chunk.length)
      full ||= enough !== undefined && pendingBytes > enough
      return !full
    },
    room() {
      if (reason !== undefined || gone) return Promise.reject(new Error('the connection is closing'))
      if (pendingBytes <= maxPendingBytes / 2) return undefined
      return new Promise((resolve, reject) => roomy.push({ resolve, reject }))
    },
    evict() {
      // It is sent away behind the moment in which nothing waits for it elsewhere any more.
      events.waited(pendingBytes + owedLast, 'eviction')
      close('slow consumer')
    },
    close,
    cut,
    take,
    look,
  }
}
