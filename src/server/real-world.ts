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

/** Keeps the process from ending for want of anything to wait for. Gives what lets go. */
export function holdProcess(): () => void {
  const timer = setInterval(() => {}, 2 ** 30)
  return () => clearInterval(timer)
}

/** Chance that nobody can foresee. */
export const realRandom: Random = {
  next: () => (webcrypto.getRandomValues(new Uint32Array(1))[0] as number) / 2 ** 32,
}
