import type { Cursor } from './cursor.ts'
import type { Interest } from './interest.ts'
import type { Draft, Lost, LostInterest, Message } from './message.ts'
import type { Topic } from './topic.ts'

/** Time, handed in, so that a whole hub runs on a made-up clock. */
export interface Clock {
  /** Milliseconds since 1970. */
  now(): number
  /** Milliseconds from some point on, never going back: for durations. */
  monotonic(): number
  /** Calls `fn` once after `ms` milliseconds. Never keeps the process alive. Gives what takes it back. */
  after(ms: number, fn: () => void): () => void
  /** Calls `fn` once when the events of this turn of the loop have been handled, before new ones are waited for. */
  endOfTurn(fn: () => void): void
}

/** Chance, handed in. */
export interface Random {
  /** At least 0, below 1. */
  next(): number
}

/** Bytes that nobody can foresee, for nonces and identifiers. */
export type RandomBytes = (size: number) => Buffer

/**
 * One wire protocol's way in and out. `start` lets newcomers in; it is called once. `stop` lets no more in, says goodbye
 * to those who are here, and settles when they are gone; when the signal aborts it MUST let go of the rest at once and
 * settle. `stop` before `start`, and a second `stop`, do nothing.
 */
export interface Transport {
  readonly name: string
  start(hub: HubPort): Promise<void>
  stop(deadline: AbortSignal): Promise<void>
}

/**
 * Anything the hub delivers to. `deliver` MUST NOT throw and MUST NOT wait; the order of the calls is the order of
 * offsets. It MUST NOT publish: what a delivery causes is done in a later turn.
 */
export interface Subscriber {
  /** How many receivers are here behind this one: 1, the connections of a fan-out, or 0 where a delivery is confirmed later. */
  readonly count: number
  /** Whether messages that lie on disk may be delivered; to all others they are a gap. */
  readonly takesLarge?: boolean
  deliver(message: Message): void
  /**
   * Something after `from` and up to `to` is lost to this subscriber.
   * @param lost stated where something was lost on its way to this hub: only what this wants may be missing
   */
  gap(from: Cursor, to: Cursor, lost?: LostInterest): void
}

/**
 * Numbers messages, and keeps what the rules say to keep. `append` gives offsets that rise by one, over all topics. When
 * it returns a promise, promises MUST settle in the order of the calls. `read` gives everything kept that the interest
 * wants, after the cursor, in the order of offsets; or 'lost' when the epoch is another, the offset was never given, or
 * anything the interest may have wanted after the cursor is no longer there. Never a part: an iteration that cannot go on
 * MUST throw, and the rest counts as lost. A log that keeps a copy of a body instead of the body MUST NOT say of the message
 * that it is `framed`: what stands before the copy is something else.
 *
 * `lose` numbers a loss as `append` does a message, in the same order, and keeps it, whatever the rules say: a read gives it
 * in its place to an interest that it touches (see `overlapOf`). It MUST NOT fail: what cannot be written stays in
 * memory. Losses are bounded: where the oldest are let go, a read from before the last of those is 'lost', whichever its
 * interest; the newest thousand MUST stay where they name little.
 */
export interface Log {
  readonly epoch: string
  /** The last offset given; 0 before the first. */
  readonly head: number
  append(draft: Draft): Message | Promise<Message>
  /** Stated by a log whose `append` and `lose` never give a promise. */
  readonly prompt?: true
  lose(interest: LostInterest): Lost | Promise<Lost>
  read(interest: Interest, after: Cursor): Iterable<Message | Lost> | AsyncIterable<Message | Lost> | 'lost'
  /** Whether a read would not be 'lost', where that is known for less than a read. It is asked for each of thousands of topics. */
  has?(interest: Interest, after: Cursor): boolean
  /** Lets go of what has grown too old. Cheap; called now and then. */
  sweep(): void
}

/**
 * Who is speaking, proved. A `keyed` one has an API key of a domain. A `hub` is another one on our registry that sends on
 * what it has taken: its rules have judged who published it. A `link` brings what its operator has asked for.
 */
export interface Identity {
  readonly kind: 'anonymous' | 'keyed' | 'signed' | 'embedded' | 'hub' | 'link'
  /** What a `keyed` one has the API key of, and may publish under. */
  readonly domain?: string
  /** Whether the peer is on this machine (loopback or a UNIX socket) or in this process. */
  readonly local: boolean
  /** For logs and limits. */
  readonly address: string
}

/** What became of a publication. */
export interface Receipt {
  readonly message: Message
  /** How many receivers that are here it was handed to. */
  readonly subscribers: number
}

/** What became of deliveries that end later, such as webhooks. */
export interface Confirmations {
  /** For a message that was just published: how many receivers have taken it, once that is known of all. */
  confirmed(message: Message): number | Promise<number>
}

/** The hub as transports see it. */
export interface HubPort {
  /** The place after everything routed so far. */
  readonly cursor: Cursor
  /** The last offset that the log has given. Where its appends are asynchronous, a resumption may show what is not routed yet. */
  readonly head: number
  /** Synchronous whenever the log is. @throws {WaystationError} `forbidden`, `stopped` */
  publish(draft: Draft, by: Identity): Receipt | Promise<Receipt>
  /** Whether `publish` never gives a promise. */
  readonly prompt?: boolean
  /**
   * Something of this interest is lost on its way to this hub. It is numbered like a message, everyone who may want something
   * of it is told, and so is whoever resumes across it. Does nothing once the hub has stopped.
   */
  lose(interest: LostInterest): void
  /** How many receivers are here for a topic. */
  audience(topic: Topic): number
  may(verb: 'publish' | 'subscribe', topic: Topic, by: Identity): boolean
  /** Whether the rules let this identity subscribe to all that the interest names. */
  maySubscribe(interest: Interest, by: Identity): boolean
  /** From now on. Gives what ends it. */
  join(interest: Interest, subscriber: Subscriber): () => void
  /**
   * Every message of every topic, from now on, after those who want its topic: for whoever has an index of his own. The
   * subscriber's `count` is not asked for: it is 0. Gives what ends it.
   */
  joinAll(subscriber: Subscriber): () => void
  /** From a cursor on: see `catchUp`. Gives what ends it. */
  resume(interest: Interest, after: Cursor, late: Latecomer): () => void
}

/** A subscriber that is being caught up, and then goes over to the live stream by `live`. */
export interface Latecomer extends Subscriber {
  /**
   * Whether it can tell which of its topics a gap is of. Where the log has some of them in full and others not, it gets a gap
   * of these alone (`lost`, `to` the same place as `from`), and everything of those. To all others everything is lost.
   */
  readonly takesParts?: true
  /** Waits until there is room for more; `undefined` when there is. Rejects when the receiver is gone. */
  room(): Promise<void> | undefined
  /** Everything up to now was delivered. Joins the live stream before it returns, without a message in between. */
  live(): void
}

/** One connection's writing end. */
export interface Sink {
  /** Bytes that the connection has not taken yet. */
  readonly pendingBytes: number
  /**
   * Never throws; after the end it does nothing. The chunk is shared with other sinks: it MUST NOT be changed. False says
   * that it has enough, and that it will say when it takes more, in a later turn: see `Member`. It takes all the same.
   */
  write(chunk: Buffer): boolean | void
  /** Waits until there is room for more; `undefined` when there is. Rejects when the connection is gone. */
  room(): Promise<void> | undefined
  /** Too slow: what is pending may still go out, then it ends with a reason. */
  evict(): void
}

/** What is counted. Every call is cheap and never throws. */
export interface Meter {
  /** @param messages that came together; 1 when not stated */
  published(transport: string, bytes: number, messages?: number): void
  /** `deliveries` messages times connections; `seconds` from the publishing of the oldest of them to the write to all, `undefined` where a connection was behind. */
  delivered(transport: string, deliveries: number, seconds: number | undefined): void
  slow(transport: string, topic: string): void
  /** A delivery was tried in vain. */
  failed(transport: string): void
  /** @param receivers that were told that messages are lost; 1 when not stated */
  gap(transport: string, receivers?: number): void
}
