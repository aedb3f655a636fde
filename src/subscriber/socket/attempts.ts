import type { Random } from '../../core/ports.ts'
import type { Broadcaster } from '../rounds.ts'

/**
 * Which broadcaster is tried next, and when (lonelyps, section 4.16): each once in a round, in random order within a
 * priority; before round k (from 1) it waits 2^(k-1) + random seconds. The rounds are a budget, which connections that
 * do not last use up as well as those that fail.
 */
export interface Attempts {
  /** `undefined` when the budget is used up; it is a new one then. `wait` in ms. */
  next(): { readonly url: string; readonly wait: number } | undefined
  /** The last one was confirmed: from now on until the budget is used up, it is that of coming back. */
  opened(): void
  /** The last one lasted: the budget is whole again, and the others come before it. */
  renew(): void
}

/** How often all are tried, at least once: until one is confirmed, and from then on. */
export interface Budgets {
  readonly first: number
  readonly again: number
}

export function createAttempts(broadcasters: readonly Broadcaster[], budgets: Budgets, random: Random): Attempts {
  let rounds = budgets.first
  let round = 0
  let left = inOrder()
  let tried: Broadcaster[] = []

  function inOrder(): Broadcaster[] {
    return broadcasters
      .map((one) => ({ one, chance: random.next() }))
      .sort((a, b) => a.one.priority - b.one.priority || a.chance - b.chance)
      .map(({ one }) => one)
  }

  return {
    next() {
      let wait = 0
      if (left.length === 0) {
        round++
        left = inOrder()
        tried = []
        if (round >= rounds) {
          round = 0
          rounds = budgets.first
          return undefined
        }
        wait = (2 ** (round - 1) + random.next()) * 1_000
      }
      const one = left.shift() as Broadcaster
      tried.push(one)
      return { url: one.url, wait }
    },
    opened() {
      rounds = budgets.again
    },
    renew() {
      round = 0
      left = [...left, ...tried]
      tried = []
    },
  }
}
