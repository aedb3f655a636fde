import type { Claim } from '../../../../src/protocol/lonelyps/claims.ts'

export type Kind = 'exact' | 'glob'

/** How a frame is proved. */
export interface Proof {
  readonly right: boolean
  /** Of a signature that is to be remembered. */
  readonly mac: string | undefined
  /** The pseudo-url that it counts with. */
  readonly url: string
}

/** What is announced of a message, and whether it is true. */
export interface Packed {
  readonly topic: Buffer
  readonly compressor: number
  readonly length: number
  readonly sha512: Buffer
  /** What it was before it was compressed. */
  readonly plain: Buffer
  readonly good: boolean
}

/** What a frame says, known from its making and not from its bytes. */
export type Said =
  | { readonly is: 'wrong' }
  | { readonly is: 'configure'; readonly proof: Proof; readonly zstd: boolean; readonly initial: number }
  | { readonly is: 'subscribe' | 'unsubscribe'; readonly proof: Proof; readonly kind: Kind; readonly target: Buffer }
  | { readonly is: 'notify'; readonly proof: Proof; readonly identifier: Buffer; readonly packed: Packed }
  | { readonly is: 'part'; readonly proof: Proof; readonly identifier: Buffer; readonly part: number; readonly packed: Packed | undefined; readonly size: number }
  | { readonly is: 'ack'; readonly proof: Proof; readonly identifier: Buffer; readonly part: number | undefined }

/** One answer that a socket is to get. */
export interface Answer {
  readonly type: string
  /** The topic, the glob or the identifier. */
  readonly subject: Buffer
  part: number | undefined
  count: number | undefined
  claim: Claim | undefined
  ready: boolean
  /** What happens in the step in which it is given. */
  effect: (() => void) | undefined
}

/** What a socket is to get unasked, in one order. */
export type Unasked =
  | { readonly kind: 'message'; readonly topic: Buffer; readonly body: Buffer; readonly offset: number; readonly after: number }
  | { readonly kind: 'missed'; readonly topic: Buffer }
  | { readonly kind: 'enable'; readonly compressor: number; readonly minSize: number }
