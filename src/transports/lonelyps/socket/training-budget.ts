/** What trainings may keep in memory, all connections together, and whose turn it is to build. */
export interface TrainingBudget {
  /** Bytes that are taken now. */
  readonly taken: number
  /** False when that would be too much; nothing is taken then. */
  take(bytes: number): boolean
  giveBack(bytes: number): void
  /**
   * Calls `build` when no other is building: at once, or in the turn in which another calls what it was given. One
   * after another, because each takes several MiB and the time of the event loop.
   * @returns ends the turn, or takes the place in the queue back; calling it again does nothing
   */
  queue(build: () => void): () => void
}

/** @param maxBytes for the samples and the dictionaries of all connections */
export function createTrainingBudget(maxBytes: number): TrainingBudget {
  let taken = 0
  const waiting = new Set<() => void>()

  function next(): void {
    const [first] = waiting
    first?.()
  }

  return {
    get taken() {
      return taken
    },
    take(bytes) {
      if (taken + bytes > maxBytes) return false
      taken += bytes
      return true
    },
    giveBack(bytes) {
      taken -= bytes
    },
    queue(build) {
      // A place of its own, should the same function be queued twice.
      const place = (): void => build()
      waiting.add(place)
      if (waiting.size === 1) place()
      return () => {
        const [first] = waiting
        if (waiting.delete(place) && first === place) next()
      }
    },
  }
}
