import type { Member } from '../../src/core/fan-out.ts'

/** How a client reads: everything at once, so many bytes a turn, or so and with stalls in between. */
export type Temper = { readonly kind: 'quick' } | { readonly kind: 'slow' | 'moody'; readonly bytes: number }

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
}

export function createConnection(temper: Temper, maxPendingBytes: number, events: ConnectionEvents): Connection {
  let waiting: Buffer[] = []
  let pendingBytes = 0
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

  function take(bytes: number): void {
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
    if (reason !== undefined && pendingBytes === 0) cut()
  }

  function close(text: string): void {
    if (reason !== undefined || gone) return
    reason = text
    if (pendingBytes === 0) cut()
  }

  return {
    slot: -1,
    get pendingBytes() { return pendingBytes },
    get ending() { return gone || reason !== undefined },
    write(chunk) {
      if (reason !== undefined || gone) return
      events.waited(pendingBytes, 'write')
      waiting.push(chunk)
      pendingBytes += chunk.length
      if (temper.kind === 'quick') take(chunk.length)
    },
    room() {
      if (reason !== undefined || gone) return Promise.reject(new Error('the connection is closing'))
      if (pendingBytes <= maxPendingBytes / 2) return undefined
      return new Promise((resolve, reject) => roomy.push({ resolve, reject }))
    },
    evict() {
      events.waited(pendingBytes, 'eviction')
      close('slow consumer')
    },
    close,
    cut,
    take,
  }
}
