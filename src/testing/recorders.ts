import type { Arrears } from '../core/arrears.ts'
import type { Cursor } from '../core/cursor.ts'
import type { Member } from '../core/fan-out.ts'
import type { LostInterest, Message } from '../core/message.ts'
import type { Subscriber } from '../core/ports.ts'

/** What came to a recorder: a message, or the gap between two places. */
export type Arrival = { readonly message: Message } | { readonly gap: readonly [from: Cursor, to: Cursor]; readonly lost?: LostInterest }

/** A subscriber that remembers everything. */
export interface Recorder extends Subscriber {
  readonly arrivals: readonly Arrival[]
  /** The messages alone. */
  messages(): Message[]
  /** The bodies as text; a gap stands as `(gap)`. */
  texts(): string[]
}

/** @param count how many receivers it says stand behind it */
export function createRecorder(count = 1): Recorder {
  const arrivals: Arrival[] = []
  return {
    count,
    arrivals,
    deliver: (message) => void arrivals.push({ message }),
    gap: (from, to, lost) => void arrivals.push(lost === undefined ? { gap: [from, to] } : { gap: [from, to], lost }),
    messages: () => arrivals.flatMap((arrival) => ('message' in arrival ? [arrival.message] : [])),
    texts: () => arrivals.map((arrival) => ('message' in arrival ? arrival.message.body.toString() : '(gap)')),
  }
}

/** A connection's writing end without a connection; it can be a member of a fan-out. */
export interface RecordingSink extends Member {
  arrears: Arrears | undefined
  /** The chunks as they were written, not copied. */
  readonly chunks: readonly Buffer[]
  readonly evicted: boolean
  /** Why it was sent away, where it was. */
  readonly goneFor: string | undefined
  /** Everything written so far, joined. */
  bytes(): Buffer
  text(): string
  /** The far end takes nothing from now on: what is written stays pending. */
  stall(): void
  /** The far end takes all that is pending, and goes on taking. Where it had enough, it says to its `arrears` that it takes more. */
  take(): void
  /** The connection is gone. */
  end(): void
}

/**
 * @param roomy how many bytes may be pending while there still is room
 * @param names see `Member`
 * @param enough past so many pending bytes it says at a `write` that it has enough; never when not stated
 */
export function createRecordingSink(roomy = 0, names?: ReadonlySet<string>, enough = Infinity): RecordingSink {
  const chunks: Buffer[] = []
  let waiting: { resolve(): void; reject(error: Error): void }[] = []
  let pending = 0
  let stalled = false
  let evicted = false
  let goneFor: string | undefined
  let ended = false
  let full = false
  let arrears: Arrears | undefined

  return {
    slot: -1,
    get arrears() { return arrears },
    set arrears(next) {
      arrears = next
    },
    ...(names !== undefined && { names }),
    chunks,
    get pendingBytes() { return pending + (arrears?.bytes ?? 0) },
    get evicted() { return evicted },
    get goneFor() { return goneFor },
    write(chunk) {
      if (ended || evicted || goneFor !== undefined) return true
      chunks.push(chunk)
      if (stalled) pending += chunk.length
      full ||= pending > enough
      return !full
    },
    room() {
      if (ended || evicted) return Promise.reject(new Error('the connection is gone'))
      if (pending <= roomy) return undefined
      return new Promise((resolve, reject) => waiting.push({ resolve, reject }))
    },
    gone(why) {
      arrears?.settle()
      goneFor ??= why
    },
    evict() {
      arrears?.settle()
      evicted = true
    },
    bytes: () => Buffer.concat(chunks),
    text: () => Buffer.concat(chunks).toString(),
    stall() {
      stalled = true
    },
    take() {
      stalled = false
      pending = 0
      const roomed = waiting
      waiting = []
      for (const one of roomed) one.resolve()
      if (!full) return
      full = false
      arrears?.drained()
    },
    end() {
      ended = true
      const left = waiting
      waiting = []
      for (const one of left) one.reject(new Error('the connection is gone'))
    },
  }
}
