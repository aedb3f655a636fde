import { hash } from 'node:crypto'
import { parseGlob } from '../core/glob.ts'
import { interestKey, type Interest } from '../core/interest.ts'
import type { Pattern } from '../core/pattern.ts'

/** What the wishes of all takers together may cost, so that no few of them make every message dear or fill the memory. */
export interface WishBounds {
  /**
   * Takes one wish.
   * @returns what gives it back, called once; `undefined` where it would be too much beside those that are there
   */
  take(interest: Interest): (() => void) | undefined
}

/** Names and globs of all wishes that differ, each once more for each KiB that it is long: some 800 bytes of memory each. */
const MOST_ASKED = 1_000_000
/** Steps at each sign of a topic, for all globs of all wishes: a topic of 256 signs takes some ten milliseconds. */
export const MOST_STEPS = 16_384
/** The same for one that the whole log is asked for, each topic that it has kept. */
export const MOST_STEPS_IN_LOG = 256
const KIB = 1_024

/**
 * What a glob may cost at each sign of a topic. A stretch that stands between two stars and has `?` or sets in it is tried
 * at each place, and nothing rules the glob out beforehand; all others are looked for once, or found by an index.
 */
function stepsOf({ source }: Pattern): number {
  let steps = 0
  for (const { text, tokens, sets } of parseGlob(source).pieces.slice(1, -1)) {
    if (text === undefined) steps += sets.reduce((sum, { cost }) => sum + 2 * cost, tokens.length)
  }
  return steps
}

function allSteps({ patterns }: Interest): number {
  return patterns.reduce((sum, pattern) => sum + stepsOf(pattern), 0)
}

function sizeOf({ topics, patterns }: Interest): number {
  const weigh = (sum: number, { length }: string): number => sum + 1 + Math.floor(length / KIB)
  return patterns.reduce((sum, { source }) => weigh(sum, source), topics.reduce(weigh, 0))
}

/** Whether a log can be asked for it: it asks the globs about each of its topics in one go. */
export function isFitForLog(interest: Interest): boolean {
  return allSteps(interest) <= MOST_STEPS_IN_LOG
}

/** @param mostAsked stated by tests, which have less time */
export function createWishBounds(mostAsked = MOST_ASKED): WishBounds {
  /** Takers that want the same share it. */
  const held = new Map<string, { readonly size: number; readonly steps: number; count: number }>()
  let size = 0
  let steps = 0

  function hold(key: string, interest: Interest): boolean {
    const before = held.get(key)
    if (before !== undefined) {
      before.count++
      return true
    }
    const one = { size: sizeOf(interest), steps: allSteps(interest), count: 1 }
    if (size + one.size > mostAsked || steps + one.steps > MOST_STEPS) return false
    held.set(key, one)
    size += one.size
    steps += one.steps
    return true
  }

  function letGo(key: string): void {
    const one = held.get(key)
    if (one === undefined || --one.count > 0) return
    held.delete(key)
    size -= one.size
    steps -= one.steps
  }

  return {
    take(interest) {
      // The text may be a megabyte.
      const key = hash('sha256', interestKey(interest))
      return hold(key, interest) ? () => letGo(key) : undefined
    },
  }
}
