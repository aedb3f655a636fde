import { Ledger, type Debtor } from './arrears.ts'
import { formatCursor, type Cursor } from './cursor.ts'
import type { LostInterest, Message } from './message.ts'
import type { Clock, Subscriber } from './ports.ts'
import { cameThrough, createShares } from './shares.ts'
import type { Flushable, Turn } from './turn.ts'

/** One wire form of a message. Sizes are asked first, so that a whole turn goes into one buffer without a copy between. */
export interface Encoder {
  size(message: Message): number
  /** Writes the form at `at` and gives the place behind it. */
  write(message: Message, into: Buffer, at: number): number
  /** The forms of all of them, one behind the other, where they lie ready in memory; else `undefined`. */
  ready?(messages: readonly Message[]): Buffer | undefined
  /**
   * The form of a gap; `undefined` where the protocol has no word for it: see `Member.gone`.
   * @param lost as a subscriber is told
   */
  gap(from: Cursor, to: Cursor, lost?: LostInterest): Buffer | undefined
}

/**
 * A member of a fan-out. `slot` belongs to the fan-out. Whose `write` says that it has enough is not written to until it
 * says to its `arrears` that it takes more; until then what is for it waits here, once for all members who are behind.
 * One that has names is written to always.
 */
export interface Member extends Debtor {
  slot: number
  /** What has come through one of these (`via`) is not for this member. They stay as they are while it is here. */
  readonly names?: ReadonlySet<string>
  /** Something is lost that its protocol has no word for: what is pending may still go out, then it ends with this reason. */
  gone?(why: string): void
}

/** What is told of a fan-out. `about` is what it was made with, so that many can share the same listener. */
export interface FanOutEvents<A = undefined> {
  /** Messages times members that were written. Of a write to all, the seconds since the first of the messages came; `undefined` for what went to those who were behind. */
  delivered(deliveries: number, seconds: number | undefined, about: A): void
  slow(about: A): void
  /** So many members were told that something was lost on its way to this hub. */
  lost(receivers: number, about: A): void
  /** The last member has left. */
  empty(about: A): void
}

export interface FanOut extends Subscriber {
  /** From the next message on; what is pending goes out before, so that nobody gets what was published before it joined. */
  add(member: Member): void
  remove(member: Member): void
}

export interface FanOutParts<A = undefined> {
  readonly encoder: Encoder
  readonly turn: Turn
  readonly clock: Clock
  readonly maxPendingBytes: number
  readonly events: FanOutEvents<A>
}

export function createFanOut(parts: FanOutParts): FanOut
/** @param about what the events are told with */
export function createFanOut<A>(parts: FanOutParts<A>, about: A): FanOut
export function createFanOut<A>(parts: FanOutParts<A>, about?: A): FanOut {
  return new JoinedFanOut(parts, about as A)
}

/**
 * The unit of delivery: all connections of one transport that want the same. The messages of one turn are framed once,
 * joined into one buffer, and that buffer is written once to every member. A member that still has more than
 * `maxPendingBytes` from earlier turns is evicted instead; the others notice nothing.
 *
 * A class, because there may be one for every connection: the methods cost nothing, and `count` is found fast.
 */
class JoinedFanOut<A> implements FanOut, Flushable {
  readonly #parts: FanOutParts<A>
  readonly #about: A
  /** Those who take what is written. */
  #members: Member[] = NOBODY
  /** Those who have enough, from the first on that there ever was. */
  #behind: Ledger<Member> | undefined
  #pending: Message[] = NO_MESSAGES
  #pendingSince = 0
  /** Whether a pending message has a `via`. */
  #pendingVia = false
  /** Members that have names. */
  #named = 0
  #joining = false

  constructor(parts: FanOutParts<A>, about: A) {
    this.#parts = parts
    this.#about = about
  }

  get count(): number {
    return this.#members.length + (this.#behind?.size ?? 0)
  }

  deliver(message: Message): void {
    if (message.via !== undefined) this.#pendingVia = true
    if (this.#pending !== NO_MESSAGES) {
      this.#pending.push(message)
      return
    }
    this.#pending = [message]
    this.#pendingSince = this.#parts.clock.monotonic()
    this.#parts.turn.add(this)
  }

  gap(from: Cursor, to: Cursor, lost?: LostInterest): void {
    this.flush()
    const { encoder, events } = this.#parts
    const form = encoder.gap(from, to, lost)
    if (lost === undefined) {
      if (form !== undefined) this.#writeToAll(form, 0)
      return
    }
    const told = this.#tell(form, gapReason(to), lost)
    if (told > 0) events.lost(told, this.#about)
  }

  add(member: Member): void {
    // This flush may let the last member go, but somebody is here again before anyone could be told that nobody is.
    this.#joining = true
    this.flush()
    this.#joining = false
    this.#join(member)
    if (member.names !== undefined) this.#named++
  }

  #join(member: Member): void {
    // One that is pushed into an empty list makes room for seventeen.
    if (this.#members.length === 0) this.#members = [member]
    else this.#members.push(member)
    member.slot = this.#members.length - 1
  }

  remove(member: Member): void {
    if (!this.#leave(member) && this.#behind?.remove(member) !== true) return
    if (member.names !== undefined) this.#named--
    if (this.count === 0 && !this.#joining) this.#parts.events.empty(this.#about)
  }

  /** Takes it out of those who are written to. False where it is not among them. */
  #leave(member: Member): boolean {
    const members = this.#members
    if (members[member.slot] !== member) return false
    const last = members.pop() as Member
    if (last !== member) {
      members[member.slot] = last
      last.slot = member.slot
    }
    member.slot = -1
    return true
  }

  flush(): void {
    const messages = this.#pending
    if (messages === NO_MESSAGES) return
    const sorts = this.#pendingVia && this.#named > 0
    this.#pending = NO_MESSAGES
    this.#pendingVia = false
    if (this.count === 0) return
    const { encoder, clock, events } = this.#parts
    const deliveries = sorts ? this.#writeShares(messages) : this.#writeToAll(joined(encoder, messages), messages.length) * messages.length
    if (deliveries > 0) events.delivered(deliveries, (clock.monotonic() - this.#pendingSince) / 1000, this.#about)
  }

  /** Gives to how many it was written. */
  #writeToAll(buffer: Buffer, messages: number): number {
    this.#owe(buffer, messages)
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
    if ((this.#behind?.size ?? 0) > 0) this.#owe(shareOf(undefined).buffer, messages.length)
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
    if (form !== undefined) {
      this.#owe(form, 0)
      told = this.#behind?.size ?? 0
    } else for (const member of this.#behind?.debtors() ?? []) if (this.#sendAway(member, why)) told++
    for (let i = members.length - 1; i >= 0; i--) {
      const member = members[i] as Member
      if (cameThrough(via, member.names)) continue
      if (form !== undefined ? this.#write(member, form) : this.#sendAway(member, why)) told++
    }
    return told
  }

  /** False where it cannot be told. What was for it until now may still go out, so it is asked before it leaves. */
  #sendAway(member: Member, why: string): boolean {
    if (member.gone === undefined) return false
    member.gone(why)
    this.remove(member)
    return true
  }

  /** For those who are behind. Whoever has too much to get from earlier turns is let go instead. */
  #owe(buffer: Buffer, messages: number): void {
    if (this.#behind === undefined || this.#behind.size === 0) return
    for (const member of this.#behind.over(this.#parts.maxPendingBytes)) this.#evict(member)
    this.#behind.owe(buffer, messages)
  }

  /** Whether it was written: whoever is too slow is let go instead. */
  #write(member: Member, buffer: Buffer): boolean {
    if (member.pendingBytes > this.#parts.maxPendingBytes) {
      this.#evict(member)
      return false
    }
    if (member.write(buffer) === false && member.names === undefined && this.#leave(member)) this.#fallBehind(member)
    return true
  }

  #fallBehind(member: Member): void {
    this.#behind ??= new Ledger<Member>({
      level: (one) => this.#join(one),
      paid: (messages) => this.#parts.events.delivered(messages, undefined, this.#about),
    })
    this.#behind.add(member)
  }

  #evict(member: Member): void {
    this.remove(member)
    this.#parts.events.slow(this.#about)
    member.evict()
  }
}

/** Nobody writes to it: who has nothing pending has no list. */
const NO_MESSAGES: Message[] = []
const NOBODY: Member[] = []

/** What somebody hears who is sent away because messages are lost. */
export function gapReason(live: Cursor): string {
  return `gap: messages are lost; live is at ${formatCursor(live)}`
}

/** All messages in one buffer. */
export function joined(encoder: Encoder, messages: readonly Message[]): Buffer {
  const ready = encoder.ready?.(messages)
  if (ready !== undefined) return ready
  let size = 0
  for (let i = 0; i < messages.length; i++) size += encoder.size(messages[i] as Message)
  const buffer = Buffer.allocUnsafe(size)
  let at = 0
  for (let i = 0; i < messages.length; i++) at = encoder.write(messages[i] as Message, buffer, at)
  return buffer
}
