/**
 * What the two ends of a connection say to one another: Erps' packets (`erps.md`, sections 2 and 3), and what two
 * Waystations say beyond them. The caller calls and casts; the answerer replies and pushes. In Erps whoever connects is the
 * caller; a worker of a pool connects and is the answerer.
 *
 * Everything that is not Erps stands behind the term of a packet, where Erps ignores it (section 7), in an extension. Nobody
 * who has not sent one is ever sent anything that an original does not understand.
 */

/** Bytes of one packet before its payload, and those of them before the size is known. */
export const HEAD_BYTES = 96
export const PREAMBLE_BYTES = 8
/** Bytes of the fields of the header. */
export const IDENTIFIER_BYTES = 36
export const KEY_BYTES = 16
export const SIGNATURE_BYTES = 32

/** Section 2.3. */
export const TYPES = { keepalive: 0, error: 1, reply: 2, push: 3, call: 4, cast: 8 } as const
export type PacketType = keyof typeof TYPES

/** The three numbers that reach the wire, each from 0 to 255. */
export interface Version {
  readonly major: number
  readonly minor: number
  readonly patch: number
}

/** A packet as it came. All bytes are views of what came in. */
export interface Packet {
  readonly type: PacketType
  readonly version: Version
  /** Without its trailing zeros. */
  readonly identifier: Buffer
  /** 16 bytes: which key it is signed with; zeros where it is not. */
  readonly key: Buffer
  /** 32 bytes. */
  readonly signature: Buffer
  /** The term in external term format, its 131 first, and what stands behind it. Empty for the short keepalive. */
  readonly payload: Buffer
  /** All of it, from the cookie on: what is signed. */
  readonly bytes: Buffer
}

/** What a header says of its sender. Answerers of the original send zeros, whatever they declare (2.4). */
export interface Sender {
  readonly version: Version
  readonly identifier: Buffer
}

/** What `{ref, request}`, `{answer, ref}` and `{reason, ref}` hold, taken apart without building a term: each part in external term format without the 131. */
export interface Referred {
  readonly ref: Buffer
  readonly term: Buffer
}

/** Why an answerer refuses a packet: the exact texts of section 6.1, and ours. */
export type RefusalText = 'wrong identifier' | 'incompatible version' | 'authentication provided' | 'authentication required' | 'wrong signature' | 'filtered'

/** What stands behind the term of a packet between two Waystations. */
export type Extension =
  /** Whoever connects says that it is a Waystation: behind the term of its first packet. `nonce`: 16 bytes. */
  | { readonly kind: 'hello'; readonly nonce: Buffer; readonly work: Work | undefined; readonly terms?: Terms }
  /** The answer: behind the term of the first packet that is sent back. Only then anything else is said that is not Erps. */
  | { readonly kind: 'welcome'; readonly nonce: Buffer }
  | Terms
  /** A worker takes no more calls and casts; what it has it still answers. */
  | { readonly kind: 'drain' }
  /** Nobody waits any more for the answer to a call. Behind the term `{ref, []}` of a long-form keepalive. */
  | { readonly kind: 'cancel' }

/** How a call is meant. A caller that has said hello may say it before it knows whom it has said it to: with hello behind its first packet, or by itself. */
export interface Terms {
  readonly kind: 'terms'
  /** ms until nobody waits for the answer any more. Of a cast it means nothing. */
  readonly deadline: number
  /** Whether it may be done twice. */
  readonly times: 'once' | 'repeatable'
  /** What a pool that chooses by hash chooses by, up to 255 bytes. */
  readonly key: Buffer | undefined
}

/** What a worker offers to a hub. */
export interface Work {
  /** The name of the pool. */
  readonly service: string
  /** Calls that it takes at once. */
  readonly slots: number
}
