import type { Message } from './message.ts'

/** What of a turn is for one member. */
export interface Share {
  readonly count: number
  readonly buffer: Buffer
}

/**
 * The messages of one turn for members that have names: each without what has come through the member. Members that leave
 * out the same share one buffer, and those that leave out nothing the one that everybody else gets.
 * @param join makes one buffer of messages
 */
export function createShares(messages: readonly Message[], join: (messages: readonly Message[]) => Buffer): (names: ReadonlySet<string> | undefined) => Share {
  const shares = new Map<string, Share>()
  const stated = new Set(messages.flatMap(({ via }) => via ?? []))

  return (names) => {
    const left = names === undefined ? [] : [...names].filter((name) => stated.has(name))
    const key = JSON.stringify(left)
    let share = shares.get(key)
    if (share === undefined) {
      const rest = left.length === 0 ? messages : messages.filter(({ via }) => via?.some((name) => left.includes(name)) !== true)
      shares.set(key, (share = { count: rest.length, buffer: join(rest) }))
    }
    return share
  }
}

/** Whether what has this `via` has come through somebody who goes by one of the names. */
export function cameThrough(via: readonly string[] | undefined, names: ReadonlySet<string> | undefined): boolean {
  return via !== undefined && names !== undefined && via.some((name) => names.has(name))
}
