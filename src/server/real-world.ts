import { webcrypto } from 'node:crypto'
import type { Clock, Random } from '../core/ports.ts'

/** The machine's own time. Timers never keep the process alive: sockets do. */
export const realClock: Clock = {
  now: () => Date.now(),
  monotonic: () => performance.now(),
  after(ms, fn) {
    const timer = setTimeout(fn, ms)
    timer.unref()
    return () => clearTimeout(timer)
  },
  endOfTurn: (fn) => void setImmediate(fn),
}

/** Chance that nobody can foresee. */
export const realRandom: Random = {
  next: () => (webcrypto.getRandomValues(new Uint32Array(1))[0] as number) / 2 ** 32,
}
