/** A member of a pool, as far as choosing goes. Whoever changes one says so with `changed`. */
export interface Candidate {
  /** Stays the same when a worker comes again. */
  readonly id: string
  /** Calls that it takes at once; at least 1. */
  readonly slots: number
  /** Calls that it has not answered yet. */
  readonly running: number
  /** Whether it takes calls at all now. */
  readonly isOpen: boolean
}

/** Who of a pool gets a call. */
export interface Chooser {
  join(member: Candidate): void
  leave(member: Candidate): void
  changed(member: Candidate): void
  /** A free member that is none of `not`, or `undefined` where there is none. */
  choose(key: Buffer | undefined, not: ReadonlySet<Candidate>): Candidate | undefined
}

export function isFree(member: Candidate): boolean {
  return member.isOpen && member.running < member.slots
}
