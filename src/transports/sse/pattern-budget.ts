import { countedAddress, isLoopback } from '../../http/address.ts'

/** Counts the different patterns that streams bring, in all and for each client address. */
export interface PatternBudget {
  /**
   * Asks for these patterns.
   * @returns what gives them back (once; further calls do nothing), or `undefined` when there are too many
   */
  take(address: string, patterns: readonly string[]): (() => void) | undefined
}

type Counts = Map<string, number>

/** A pattern that is there already costs nothing more, whoever else asks for it. Clients on this machine count in all only. */
export function createPatternBudget(bounds: { total: number; perAddress: number }): PatternBudget {
  const all: Counts = new Map()
  const byAddress = new Map<string, Counts>()

  return {
    take(address, patterns) {
      if (patterns.length === 0) return () => {}
      const key = address === 'unix' || isLoopback(address) ? undefined : countedAddress(address)
      const here = key === undefined ? undefined : (byAddress.get(key) ?? new Map<string, number>())
      if (all.size + missing(all, patterns) > bounds.total) return undefined
      if (here !== undefined && here.size + missing(here, patterns) > bounds.perAddress) return undefined
      if (key !== undefined && here !== undefined) byAddress.set(key, here)
      const counts = here === undefined ? [all] : [all, here]
      for (const count of counts) for (const pattern of patterns) count.set(pattern, (count.get(pattern) ?? 0) + 1)
      let taken = true
      return () => {
        if (!taken) return
        taken = false
        for (const count of counts) for (const pattern of patterns) giveBack(count, pattern)
        if (key !== undefined && here?.size === 0 && byAddress.get(key) === here) byAddress.delete(key)
      }
    },
  }
}

function missing(counts: Counts, patterns: readonly string[]): number {
  return patterns.filter((pattern) => !counts.has(pattern)).length
}

function giveBack(counts: Counts, pattern: string): void {
  const left = (counts.get(pattern) ?? 1) - 1
  if (left === 0) counts.delete(pattern)
  else counts.set(pattern, left)
}
