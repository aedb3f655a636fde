import type { Random } from '../core/ports.ts'

/** Chance that comes out the same again from the same seed. */
export interface SeededRandom extends Random {
  /** A whole number, at least 0 and below `n`. */
  below(n: number): number
  /** One of these. */
  pick<T>(from: readonly T[]): T
}

/** @param seed a whole number; 32 bits of it count */
export function createSeededRandom(seed: number): SeededRandom {
  let state = seed >>> 0

  /** Mulberry32: small, fast, and good enough to choose test cases by. */
  function next(): number {
    state = (state + 0x6d2b79f5) >>> 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
  const below = (n: number): number => Math.floor(next() * n)

  return {
    next,
    below,
    pick(from) {
      if (from.length === 0) throw new RangeError('there is nothing to pick from')
      return from[below(from.length)] as (typeof from)[number]
    },
  }
}
