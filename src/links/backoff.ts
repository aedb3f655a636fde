import type { Clock, Random } from '../core/ports.ts'

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

/** Tries that are made at once, and the ms within which they are counted (`pony-express.md`, section 8). */
const [AT_ONCE, WITHIN] = [3, 5_000]
/** Beyond this the longest wait has long been reached. */
const MOST_DOUBLINGS = 30

/**
 * How long to wait before a connection is tried again: not at all after one that had been up, as long as that does not
 * come too often; else `first`, twice as long after each further failure, `most` at the longest, and each of these within
 * half as much more or less, so that a thousand takers of one daemon do not come back together.
 */
export function createBackoff({ first, most, clock, random }: { first: number; most: number; clock: Clock; random: Random }): Backoff {
  let failures = 0
  let atOnce: number[] = []

  function spread(wait: number): number {
    const from = wait / 2
    return from + random.next() * (Math.min(most, wait + from) - from)
  }

  return {
    after(ending, lasted) {
      if (ending === 'refused') return spread(most)
      if (lasted >= WITHIN) failures = 0
      if (ending === 'failed') return spread(Math.min(most, first * 2 ** Math.min(failures++, MOST_DOUBLINGS)))
      failures = 0
      const now = clock.monotonic()
      atOnce = atOnce.filter((at) => now - at < WITHIN)
      if (atOnce.length >= AT_ONCE) return spread(Math.min(most, first))
      atOnce.push(now)
      return 0
    },
  }
}
