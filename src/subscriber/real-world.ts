import { randomBytes as drawBytes, webcrypto } from 'node:crypto'
import type { Clock, Random, RandomBytes } from '../core/ports.ts'

/** The machine's own time. */
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

export const realRandom: Random = {
  next: () => (webcrypto.getRandomValues(new Uint32Array(1))[0] as number) / 2 ** 32,
}

export const randomBytes: RandomBytes = (size) => drawBytes(size)

/** Keeps the process from ending while a retry waits for nothing but time. Gives what lets go. */
export function holdProcess(): () => void {
  const timer = setInterval(() => {}, 2 ** 30)
  return () => clearInterval(timer)
}
