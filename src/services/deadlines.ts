import type { Clock } from '../core/ports.ts'

/** Those whose time ends together. Whoever needs no end any more is deleted from it. */
export type Bucket<T> = Set<T>

/** Ends for tens of thousands a second: those that are due within a few milliseconds of one another share a timer. */
export interface Deadlines<T> {
  /** @param ms from now; the end comes up to 10 ms later, 100 where it is more than 10 seconds away */
  add(one: T, ms: number): Bucket<T>
  /** Nobody's time ends any more. */
  stop(): void
}

const STEP = 10
const LONG = 10_000
const LONG_STEP = 100

export function createDeadlines<T>(clock: Clock, expire: (one: T) => void): Deadlines<T> {
  const buckets = new Map<number, { readonly all: Bucket<T>; readonly untime: () => void }>()

  function open(due: number, now: number): Bucket<T> {
    const all: Bucket<T> = new Set()
    const untime = clock.after(Math.ceil(due - now), () => {
      buckets.delete(due)
      for (const one of all) expire(one)
    })
    buckets.set(due, { all, untime })
    return all
  }

  return {
    add(one, ms) {
      const now = clock.monotonic()
      const step = ms > LONG ? LONG_STEP : STEP
      const due = Math.ceil((now + Math.max(0, ms)) / step) * step
      const bucket = buckets.get(due)?.all ?? open(due, now)
      return bucket.add(one)
    },
    stop() {
      for (const { untime } of buckets.values()) untime()
      buckets.clear()
    },
  }
}
