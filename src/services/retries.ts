import type { Clock, Random } from '../core/ports.ts'
import type { Ending } from '../zones/backoff.ts'

/** When a client tries again to connect. */
export interface Retries {
  /** ms before the next try. `lasted`: ms for which the connection had been up; 0 when it had not. */
  after(ending: Ending, lasted: number): number
}

/** Tries without a wait within that many ms: what the supervisor of an original allows (`erps.md`, 9.3). */
const MOST_AT_ONCE = 3
const AT_ONCE_SPAN = 5_000
/** ms after which a connection that was up has been a good one. */
const LASTING = 5_000
/** Beyond this the longest wait has long been reached. */
const MOST_DOUBLINGS = 30

/**
 * How long a client waits (`erps.md`, 9.3): not at all after a connection that had been up, three times within five seconds
 * at most; else `first`, twice as long after each further failure, `most` at the longest, and each of these within half as
 * much more or less, so that the clients of a daemon do not come back together. Who was refused waits the longest.
 */
export function createRetries({ first, most, clock, random }: { first: number; most: number; clock: Clock; random: Random }): Retries {
  let failures = 0
  let atOnce: number[] = []

  function spread(wait: number): number {
    const from = wait / 2
    return from + random.next() * (Math.min(most, wait + from) - from)
  }

  return {
    after(ending, lasted) {
      if (ending === 'refused') return spread(most)
      if (lasted >= LASTING) failures = 0
      const now = clock.monotonic()
      atOnce = atOnce.filter((at) => now - at < AT_ONCE_SPAN)
      if (ending === 'failed' || atOnce.length >= MOST_AT_ONCE) return spread(Math.min(most, first * 2 ** Math.min(failures++, MOST_DOUBLINGS)))
      atOnce.push(now)
      return 0
    },
  }
}
