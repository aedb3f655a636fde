/** Where a link is. */
export type LinkState =
  /** It has not been up yet, or not since it was lost. `why` is the last failure, in words for an operator. */
  | { readonly state: 'down'; readonly why: string; readonly since: number }
  /** `peer` is what the other end turned out to be. */
  | { readonly state: 'up'; readonly peer: 'waystation' | 'ponyexpress'; readonly since: number }

/** One link of the taking side, as metrics, readiness and logs see it. */
export interface LinkView {
  /** `host:port`. */
  readonly name: string
  readonly topics: readonly string[]
  readonly current: LinkState
  /** Globs that the other end cannot be asked for, where there are any: PonyExpress knows names only. */
  readonly unserved?: readonly string[]
}
