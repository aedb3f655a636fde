/**
 * What the two ends of a link say to one another: PonyExpress' three terms (`pony-express.md`, section 3), and what two
 * Waystations say beyond them. The taker connects and subscribes; the giver sends.
 *
 * A taker asks for more by bytes behind the term of its subscription, inside the frame. PonyExpress ignores those
 * (section 11), so it notices nothing, subscribes to the one topic that the term names, and never answers. A Waystation
 * answers `ready`, and from then on uses the second half of `FromGiver`; nobody else is ever sent any of it.
 */

/** Bytes of what names a hub: the epoch of its log, or an entry of `via`. What is longer is kept by whoever hears it, again and again. */
export const LONGEST_NAME = 1_024

export interface Place {
  readonly epoch: string
  readonly offset: number
}

/** What a Waystation asks of another, in one subscription. */
export interface Wish {
  /** The identity of the taker's log, so that nothing that came from there is given back. */
  readonly hub: string
  /** Bytes of each topic; no name stands twice. */
  readonly topics: readonly Buffer[]
  /** Globs. */
  readonly patterns: readonly string[]
  /** Everything after it first, then live; without it, from now on. */
  readonly after: Place | undefined
}

export type FromTaker =
  | { readonly kind: 'subscribe'; readonly topic: Buffer; readonly wish: Wish | undefined }
  | { readonly kind: 'keepalive' }
  /** A wish for more topics and patterns than there may be: nothing else of it was read. */
  | { readonly kind: 'too_many_topics' }

export type FromGiver =
  /** `term` is the broadcast in external term format, with the 131 before it, not compressed. */
  | { readonly kind: 'pubsub'; readonly term: Buffer }
  | Extended

/** What only a Waystation that was asked for it says. */
export type Extended =
  /** The wish is granted. What comes now was published after `at`: the cursor of the wish where it holds, else the present. */
  | { readonly kind: 'ready'; readonly at: Place; readonly hub: string }
  | RemoteMessage
  /** Of these something up to and including `to` is lost. `via`: the hubs that this word has come through, as of a message. */
  | { readonly kind: 'gap'; readonly to: Place; readonly topics: readonly Buffer[]; readonly patterns: readonly string[]; readonly via: readonly string[] }
  /** Everything up to and including `at` has been sent. The answer to a keepalive. */
  | { readonly kind: 'alive'; readonly at: Place }
  /** The wish is not granted; the connection is closed behind it. `why` is a code of `errors.md`. */
  | { readonly kind: 'refused'; readonly why: string }

export interface RemoteMessage {
  readonly kind: 'message'
  readonly offset: number
  readonly topic: Buffer
  readonly contentType: string
  /** Milliseconds since 1970 by the giver's clock. */
  readonly time: number
  /** Identities of the hubs that it has come through, the giver not among them. */
  readonly via: readonly string[]
  /** With content type `application/x-erlang-term` a term in external term format, with the 131 before it. */
  readonly body: Buffer
}
