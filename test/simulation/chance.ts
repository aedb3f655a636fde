import { createSeededRandom, type SeededRandom } from '../../src/testing/index.ts'

/** Seeded chance, with the draws that a world is made by. */
export interface Chance extends SeededRandom {
  /** A whole number, both ends included. */
  int(from: number, to: number): number
  /** True in `share` of all cases. */
  odds(share: number): boolean
}

/**
 * @param seed a whole number
 * @param label parts of a world draw from streams of their own, so that one more draw in one part leaves the others alone
 */
export function createChance(seed: number, label: string): Chance {
  let mixed = Math.imul(seed ^ 0x9e3779b9, 0x85ebca6b)
  for (const char of label) mixed = Math.imul(mixed ^ (char.codePointAt(0) as number), 0x01000193)
  const random = createSeededRandom(mixed)
  return {
    ...random,
    int: (from, to) => from + random.below(to - from + 1),
    odds: (share) => random.next() < share,
  }
}
