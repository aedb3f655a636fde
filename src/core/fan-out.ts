import { formatCursor, type Cursor } from './cursor.ts'
import type { LostInterest, Message } from './message.ts'
import type { Clock, Sink, Subscriber } from './ports.ts'
import { cameThrough, createShares } from './shares.ts'
import type { Flushable, Turn } from './turn.ts'

/** One wire form of a message. Sizes are asked first, so that a whole turn goes into one buffer without a copy between. */
export interface Encoder {
  size(message: Message): number
  /** Writes the form at `at` and gives the place behind it. */
  write(message: Message, into: Buffer, at: number): number
  /**
   * The form of a gap; `undefined` where the protocol has no word for it: see `Member.gone`.
   * @param lost as a subscriber is told
   */
  gap(from: Cursor, to: Cursor, lost?: LostInterest): Buffer | undefined
}

/** A member of a fan-out. `slot` belongs to the fan-out. */
export interface Member extends Sink {
  slot: number
  /** What has come through one of these (`via`) is not for this member. They stay as they are while it is here. */
  readonly names?: ReadonlySet<string>
  /** Something is lost that its protocol has no word for: what is pending may still go out, then it ends with this reason. */
  gone?(why: string): void
}

export interface FanOutEvents {
  /** One write to all was done: messages times members, and seconds since the first of them came. */
  delivered(deliveries: number, seconds: number): void
  slow(): void
  /** So many members were told that something was lost on its way to this hub. */
  lost(receivers: number): void
  /** The last member has left. */
  empty(): void
}

export interface FanOut extends Subscriber {
  /** From the next message on; what is pending goes out before, so that nobody gets what was published before it joined. */
  add(member: Member): void
  remove(member: Member): void
  members(): readonly Member[]
}

export interface FanOutParts {
  readonly encoder: Encoder
  readonly turn: Turn
  readonly clock: Clock
  readonly maxPendingBytes: number
  readonly events: FanOutEvents
}

export function createFanOut(parts: FanOutParts): FanOut {
  return new JoinedFanOut(parts)
}

/**
 * The unit of delivery: all connections of one transport that want the same. The messages of one turn are framed once,
 * joined into one buffer, and that buffer is written once to every member. A member that still has more than
 * `maxPendingBytes` from earlier turns is evicted instead; the others notice nothing.
 *
 * A class, because there may be one for every connection: the methods cost nothing, and `count` is found fast.
 */
class JoinedFanOut implements FanOut, Flushable {
  readonly #parts: FanOutParts
  readonly #members: Member[] = []
  #pending: Message[] = []
  #pendingSince = 0
  /** Whether a pending message has a `via`. */
  #pendingVia = false
  /** Members that have names. */
  #named = 0
  #joining = false

  constructor(parts: FanOutParts) {
    this.#parts = parts
  }

  get count(): number {
    return this.#members.length
  }

  deliver(message: Message): void {
    if (message.via !== undefined) this.#pendingVia = true
    if (this.#pending.push(message) > 1) return
    this.#pendingSince = this.#parts.clock.monotonic()
    this.#parts.turn.add(this)
  }

  gap(from: Cursor, to: Cursor, lost?: LostInterest): void {
    this.flush()
    const { encoder, events } = this.#parts
    const form = encoder.gap(from, to, lost)
    if (lost === undefined) {
      if (form !== undefined) this.#writeToAll(form)
      return
    }
    const told = this.#tell(form, gapReason(to), lost)
    if (told > 0) events.lost(told)
  }

  add(member: Member): void {
    // This flush may let the last member go, but somebody is here again before anyone could be told that nobody is.
    this.#joining = true
    this.flush()
    this.#joining = false
    member.slot = this.#members.push(member) - 1
    if (member.names !== undefined) this.#named++
  }

  remove(member: Member): void {
    const members = this.#members
    if (members[member.slot] !== member) return
    const last = members.pop() as Member
    if (last !== member) {
      members[member.slot] = last
      last.slot = member.slot
    }
    member.slot = -1
    if (member.names !== undefined) this.#named--
    if (members.length === 0 && !this.#joining) this.#parts.events.empty()
  }

  members(): readonly Member[] {
    return this.#members
  }

  flush(): void {
    const messages = this.#pending
    if (messages.length === 0) return
    const sorts = this.#pendingVia && this.#named > 0
    this.#pending = []
    this.#pendingVia = false
    if (this.#members.length === 0) return
    const { encoder, clock, events } = this.#parts
    const deliveries = sorts ? this.#writeShares(messages) : this.#writeToAll(joined(encoder, messages)) * messages.length
    if (deliveries > 0) events.delivered(deliveries, (clock.monotonic() - this.#pendingSince) / 1000)
  }

  /** Gives to how many it was written. */
  #writeToAll(buffer: Buffer): number {
    const members = this.#members
    let written = 0
    // Backwards, because whoever goes puts the last member, which has had its write, into the free slot.
    for (let i = members.length - 1; i >= 0; i--) if (this.#write(members[i] as Member, buffer)) written++
    return written
  }

  /** To each what has not come through it. Gives how many messages were written. */
  #writeShares(messages: readonly Message[]): number {
    const members = this.#members
    const shareOf = createShares(messages, (some) => joined(this.#parts.encoder, some))
    let written = 0
    for (let i = members.length - 1; i >= 0; i--) {
      const member = members[i] as Member
      const { count, buffer } = shareOf(member.names)
      if (count > 0 && this.#write(member, buffer)) written += count
    }
    return written
  }

  /** Tells of a loss, or lets go where there is no form for it. Gives how many were told. */
  #tell(form: Buffer | undefined, why: string, { via }: LostInterest): number {
    const members = this.#members
    let told = 0
    for (let i = members.length - 1; i >= 0; i--) {
      const member = members[i] as Member
      if (cameThrough(via, member.names)) continue
      if (form !== undefined) {
        if (this.#write(member, form)) told++
      } else if (member.gone !== undefined) {
        this.remove(member)
        member.gone(why)
        told++
      }
    }
    return told
  }

  /** Whether it was written: whoever is too slow is let go instead. */
  #write(member: Member, buffer: Buffer): boolean {
    const { maxPendingBytes, events } = this.#parts
    if (member.pendingBytes <= maxPendingBytes) {
      member.write(buffer)
      return true
    }
    this.remove(member)
    events.slow()
    member.evict()
    return false
  }
}

/** What somebody hears who is sent away because messages are lost. */
export function gapReason(live: Cursor): string {
  return `gap: messages are lost; live is at ${formatCursor(live)}`
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
 * loop gets its turn, so that a long replay does not keep everybody else waiting. What has come through the member is left
 * out, as in a fan-out.
 */
export function createReplay(parts: { member: Sink & Pick<Member, 'names'>; encoder: Encoder; clock: Clock }): {
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
      if (cameThrough(message.via, member.names)) return
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
