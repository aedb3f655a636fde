import type { Random } from '../core/ports.ts'

/** How a try at a connection has ended. */
export type Ending =
  /** It could not be made, or was of no use. */
  | 'failed'
  /** It had been up, and is gone without anyone's fault. */
  | 'lost'
  /** The other end has said that it does not want us: it will hardly think better of it soon. */
  | 'refused'

export interface Backoff {
  /** ms before the next try. `lasted`: ms for which the connection had been up; 0 when it had not. */
  after(ending: Ending, lasted: number): number
}

/** ms after which a connection that was up has been a good one. */
const LASTING = 5_000
/** Beyond this the longest wait has long been reached. */
const MOST_DOUBLINGS = 30

/**
 * How long to wait before a connection is tried again: not at all after one that had been up, until one has lasted for a
 * while once only; else `first`, twice as long after each further end, `most` at the longest, and each of these within
 * half as much more or less, so that a thousand takers of one daemon do not come back together. PonyExpress itself goes on
 * with one try a second where it flaps (`pony-express.md`, section 8). Here the pauses grow: each time everybody downstream
 * may be told of a gap, and Elixir takers are sent away with it, whose supervisors give up after three times in five seconds.
 */
export function createBackoff({ first, most, random }: { first: number; most: number; random: Random }): Backoff {
  let failures = 0
  let hasTriedAtOnce = false

  function spread(wait: number): number {
    const from = wait / 2
    return from + random.next() * (Math.min(most, wait + from) - from)
  }

  return {
    after(ending, lasted) {
      if (ending === 'refused') return spread(most)
      if (lasted >= LASTING) {
        failures = 0
        hasTriedAtOnce = false
      }
      if (ending === 'failed' || hasTriedAtOnce) return spread(Math.min(most, first * 2 ** Math.min(failures++, MOST_DOUBLINGS)))
      failures = 0
      hasTriedAtOnce = true
      return 0
    },
  }
}
