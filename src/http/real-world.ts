import { randomFillSync, webcrypto } from 'node:crypto'

/** The machine's own time. Timers never keep the process alive: sockets do. */
export const realClock = {
  now: (): number => Date.now(),
  monotonic: (): number => performance.now(),
  after(ms: number, fn: () => void): () => void {
    // What is due already is nothing to warn of: time passes while it is reckoned.
    const timer = setTimeout(fn, Math.max(1, ms))
    timer.unref()
    return () => clearTimeout(timer)
  },
  endOfTurn: (fn: () => void): void => void setImmediate(fn),
}

/** Keeps the process from ending for want of anything to wait for. Gives what lets go. */
export function holdProcess(): () => void {
  const timer = setInterval(() => {}, 2 ** 30)
  return () => clearInterval(timer)
}

/** Chance that nobody can foresee. */
export const realRandom = {
  next(): number {
    // Many at a time: each drawing is a call of the system.
    if (drawn === numbers.length) {
      webcrypto.getRandomValues(numbers)
      drawn = 0
    }
    return (numbers[drawn++] as number) / 2 ** 32
  },
}

const numbers = new Uint32Array(256)
let drawn = numbers.length

let pool: Buffer = Buffer.alloc(0)
let used = 0

/** Bytes that nobody can foresee, drawn many at a time: each drawing is a call of the system. */
export function randomBytes(size: number): Buffer {
  if (used + size > pool.length) {
    // A new pool each time: what was given out before stays as it is.
    pool = randomFillSync(Buffer.allocUnsafeSlow(Math.max(8_192, size)))
    used = 0
  }
  used += size
  return pool.subarray(used - size, used)
}
