import type { ErrorCode } from '../core/errors.ts'
import type { Extension, Packet, Version, Work } from '../protocol/erps/messages.ts'

/** A term in external term format without its 131, not compressed: as it stands inside another. */
export type Bare = Buffer

/** Who is at the other end of a connection. */
export interface Peer {
  /** IP address, in its short form. */
  readonly address: string
  readonly local: boolean
  /** `cn:…`, `dns:…`, `ip:…` of a certificate that was proved; empty over plain TCP. */
  readonly names: readonly string[]
  /** The same without their kinds: what grants and rules speak of. */
  readonly certificateNames: readonly string[]
}

/** A key that packets are signed with. `id` is 1 to 16 bytes in UTF-8. */
export interface SigningKey {
  readonly id: string
  readonly secret: Buffer
}

/** Why a connection has ended: a label of metrics, so there are few. */
export type Ending =
  /** The other end has closed it, or it broke. */
  | 'lost'
  /** This end has closed it, for no fault. */
  | 'stopped'
  /** What came is no packet, no term, or nothing that this end takes. */
  | 'bad_packet' | 'bad_term' | 'too_large'
  /** A packet that had begun did not end in time; what was sent was not taken; too much waits; nothing came any more. */
  | 'timeout' | 'stalled' | 'slow_consumer' | 'silent'
  /** Identifier, version or signature; `detail` is the text that was sent or has come. */
  | 'refused'
  | 'revoked'
  /** This end has a fault. */
  | 'failed'

/** A packet that was handed to a connection. */
export interface Sent {
  /** The network has it, or may have. */
  readonly hasLeft: boolean
  /** Takes it back. Gives whether it will never leave; false when it has. */
  withdraw(): boolean
}

/**
 * One connection of Erps, whichever end: whole packets both ways, in order. It paces what goes to an original, finds out
 * whether the other end is a Waystation, signs and checks signatures. After its end everything does nothing.
 */
export interface Connection {
  readonly peer: Peer
  /** Whether the other end has shown itself to be a Waystation: only then it is sent what Erps does not know. */
  readonly isWaystation: boolean
  /** Bytes that wait, paced ones included. */
  readonly pendingBytes: number
  readonly isOver: boolean
  /**
   * Sends a packet with version and identifier of this end (or `identifier`, up to 36 bytes, where stated). `parts` are the
   * payload's, the 131 among them, and are not changed. An extension is sent to Waystations only, and left out for all others.
   * With a brake (see `Brake`), a call goes out when those before it are answered; `answered` tells that this one is.
   * `keepalive` is the long form, which carries `drain` and `cancel`; it is sent to Waystations only.
   */
  send(type: 'error' | 'reply' | 'push' | 'call' | 'cast' | 'keepalive', parts: readonly Buffer[], more?: { readonly extension?: Extension; readonly identifier?: Buffer }): Sent
  /** Where one call at a time may be under way: the one that was sent last is answered, or nobody waits for it any more. */
  answered(): void
  keepalive(): void
  /** Nothing is read until `resume`, but for what has been read already. */
  pause(): void
  resume(): void
  /** Ends it now: what waits is lost. `ended` is told, once. */
  drop(why: Ending, detail: string): void
  /** Sends what waits, paced as it is, then says goodbye. Settles when it is over, at once where the deadline aborts. `ended` is told with `stopped`. */
  close(deadline: AbortSignal): Promise<void>
}

export interface ConnectionEvents {
  /**
   * A whole packet whose header, term and signature are good as far as a connection can tell, and whose type may come from this
   * peer; never a keepalive without an extension, never `hello` or `welcome`. Its `payload` is the term alone, uncompressed, its
   * 131 first.
   */
  packet(packet: Packet, extension: Extension | undefined): void
  /** Something from an original server was left out, because nobody can use it (section 15): the connection goes on. */
  dropped?(detail: string): void
  /** The other end is a Waystation. Once. `work`: it is a worker, and offers this. */
  shown?(work: Work | undefined): void
  /** Something has come, keepalives included. */
  seen?(): void
  /** Once, and nothing after it. */
  ended(why: Ending, detail: string): void
}

/** What an original must be spared (`erps.md`, section 5). Nothing of it holds towards a Waystation, or where the gap is 0. */
export interface Brake {
  /** ms between two packets. */
  readonly gap: number
  /** `one`: no packet before the call before it is answered. */
  readonly calls: 'one' | 'many'
}

/** What became of a call. */
export type Outcome =
  | { readonly kind: 'answer'; readonly term: Bare }
  /** The other end has said so: it will not answer, for this reason, a term. */
  | { readonly kind: 'failed'; readonly reason: Bare }
  /** Nobody knows whether it was done. */
  | { readonly kind: 'lost'; readonly detail: string }
  /** It has not left this machine, so nobody has done it. */
  | { readonly kind: 'unsent'; readonly code: ErrorCode; readonly detail: string }
  | { readonly kind: 'deadline' }

export interface CallWish {
  readonly request: Bare
  /** ms from now until nobody waits any more. */
  readonly deadline: number
  /** What stands in the header as the identifier, where it is not the caller's own. */
  readonly identifier?: Buffer
  /** It may be done twice; for a Waystation that hands it on. `once` when not stated. */
  readonly times?: 'once' | 'repeatable'
  /** What a pool that chooses by hash chooses by, where the other end has one. */
  readonly key?: Buffer
}

/** Something that can be called: a connection to an answerer, or many of them. */
export interface Callee {
  /** `settle` is called once, never before `call` has returned. Gives what says that nobody waits any more: `settle` is not called then. */
  call(wish: CallWish, settle: (outcome: Outcome) => void): () => void
  /** Gives whether it was sent, or waits to be. */
  cast(request: Bare, identifier?: Buffer, key?: Buffer): boolean
}

/** A callee over one connection. */
export interface Caller extends Callee {
  /** Calls that wait for an answer. */
  readonly pending: number
  /** Answers to nothing that waits: those that came too late among them. */
  readonly late: number
}

/** Who asks, as those who answer see him. */
export interface Asker {
  /** Anything that can be called from the network; false for a call of this process itself. */
  readonly remote: boolean
  readonly peer: Peer | undefined
  /** The identifier of the packet, without its trailing zeros. */
  readonly identifier: Buffer
  readonly version: Version
  /** What a pool that chooses by hash chooses by, where the caller has stated it. */
  readonly key: Buffer | undefined
}

/** A call as those who answer it see it. Of `reply` and `fail` the first counts; they give whether this one did, and whether somebody still waited. */
export interface From extends Asker {
  /** ms from the moment of the call until nobody waits any more, where the caller has said so. */
  readonly deadline: number | undefined
  /** Whether the caller has said that it may be done twice. */
  readonly times: 'once' | 'repeatable'
  /** Aborts when nobody waits any more. */
  readonly signal: AbortSignal
  /** Calls this when nobody waits any more, at once where that is so; `undefined` takes it back. It costs little; a signal for each call would be a third of what a hub does. */
  onLeave(told: (() => void) | undefined): void
  reply(answer: Bare): boolean
  /** @param reason a code of `errors.md` */
  fail(reason: string): boolean
}

/** What answers on one connection: the handlers of a program, or a hub that hands calls on. Nothing of it throws. */
export interface Answering {
  call(request: Bare, from: From): void
  cast(request: Bare, from: Asker): void
  /** The connection is over. */
  ended(why: Ending, detail: string): void
}
