import type { Cursor } from './cursor.ts'
import type { Message } from './message.ts'
import type { Clock, Sink, Subscriber } from './ports.ts'
import type { Flushable, Turn } from './turn.ts'

/** One wire form of a message. Sizes are asked first, so that a whole turn goes into one buffer without a copy between. */
export interface Encoder {
  size(message: Message): number
  /** Writes the form at `at` and gives the place behind it. */
  write(message: Message, into: Buffer, at: number): number
  /** The form of a gap; `undefined` where the protocol has no word for it. */
  gap(from: Cursor, to: Cursor): Buffer | undefined
}

/** A member of a fan-out. `slot` belongs to the fan-out. */
export interface Member extends Sink {
  slot: number
}

export interface FanOutEvents {
  /** One write to all was done: messages times members, and seconds since the first of them came. */
  delivered(deliveries: number, seconds: number): void
  slow(): void
  /** The last member has left. */
  empty(): void
}

export interface FanOut extends Subscriber {
  /** From the next message on; what is pending goes out before, so that nobody gets what was published before it joined. */
  add(member: Member): void
  remove(member: Member): void
  members(): readonly Member[]
}

/**
 * The unit of delivery: all connections of one transport that want the same. The messages of one turn are framed once,
 * joined into one buffer, and that buffer is written once to every member. A member that still has more than
 * `maxPendingBytes` from earlier turns is evicted instead; the others notice nothing.
 */
export function createFanOut(parts: {
  encoder: Encoder
  turn: Turn
  clock: Clock
  maxPendingBytes: number
  events: FanOutEvents
}): FanOut {
  const { encoder, turn, clock, maxPendingBytes, events } = parts
  const members: Member[] = []
  let pending: Message[] = []
  let pendingSince = 0
  let joining = false

  const self: FanOut & Flushable = {
    get count() { return members.length },
    deliver(message) {
      if (pending.push(message) > 1) return
      pendingSince = clock.monotonic()
      turn.add(self)
    },
    gap(from, to) {
      flush()
      const form = encoder.gap(from, to)
      if (form !== undefined) writeToAll(form)
    },
    add(member) {
      // This flush may let the last member go, but somebody is here again before anyone could be told that nobody is.
      joining = true
      flush()
      joining = false
      member.slot = members.push(member) - 1
    },
    remove(member) {
      if (members[member.slot] !== member) return
      const last = members.pop() as Member
      if (last !== member) {
        members[member.slot] = last
        last.slot = member.slot
      }
      member.slot = -1
      if (members.length === 0 && !joining) events.empty()
    },
    members: () => members,
    flush,
  }

  function flush(): void {
    if (pending.length === 0) return
    const messages = pending
    pending = []
    if (members.length === 0) return
    const written = writeToAll(joined(encoder, messages))
    if (written > 0) events.delivered(written * messages.length, (clock.monotonic() - pendingSince) / 1000)
  }

  /** Gives to how many it was written. */
  function writeToAll(buffer: Buffer): number {
    let written = 0
    // Backwards, because an eviction puts the last member, which has had its write, into the free slot.
    for (let i = members.length - 1; i >= 0; i--) {
      const member = members[i] as Member
      if (member.pendingBytes <= maxPendingBytes) {
        member.write(buffer)
        written++
        continue
      }
      self.remove(member)
      events.slow()
      member.evict()
    }
    return written
  }

  return self
}

/** All messages in one buffer. */
function joined(encoder: Encoder, messages: readonly Message[]): Buffer {
  let size = 0
  for (const message of messages) size += encoder.size(message)
  const buffer = Buffer.allocUnsafe(size)
  let at = 0
  for (const message of messages) at = encoder.write(message, buffer, at)
  return buffer
}

const BATCH_BYTES = 65_536

/**
 * Writes history to one member, some messages at a time: the writing half of a latecomer. After each batch the event
 * loop gets its turn, so that a long replay does not keep everybody else waiting.
 */
export function createReplay(parts: { member: Sink; encoder: Encoder; clock: Clock }): {
  deliver(message: Message): void
  room(): Promise<void> | undefined
  flush(): void
} {
  const { member, encoder, clock } = parts
  let batch: Message[] = []
  let size = 0

  function flush(): void {
    if (batch.length === 0) return
    member.write(joined(encoder, batch))
    batch = []
    size = 0
  }

  return {
    deliver(message) {
      batch.push(message)
      size += encoder.size(message)
    },
    room() {
      if (size < BATCH_BYTES) return undefined
      flush()
      const turn = new Promise<void>((resolve) => clock.endOfTurn(resolve))
      // Both are waited for from now on: a member that ends before the turn does must not leave a rejection to nobody.
      return Promise.all([turn, member.room()]).then(() => {})
    },
    flush,
  }
}
