/** So many at a time; the others wait their turn. */
export interface Slots {
  /** Waits for a slot, runs, and lets the next one in. Rejects with the signal's reason when that aborts while waiting. */
  run<T>(signal: AbortSignal, work: () => Promise<T>): Promise<T>
}

export function createSlots(size: number): Slots {
  const waiting = new Set<() => void>()
  let free = size

  function letGo(): void {
    free++
    for (const next of waiting) {
      waiting.delete(next)
      free--
      return next()
    }
  }

  function turn(signal: AbortSignal): Promise<void> | undefined {
    signal.throwIfAborted()
    if (free > 0) {
      free--
      return undefined
    }
    return new Promise((resolve, reject) => {
      const mine = (): void => {
        signal.removeEventListener('abort', leave)
        resolve()
      }
      const leave = (): void => {
        if (waiting.delete(mine)) reject(signal.reason)
      }
      waiting.add(mine)
      signal.addEventListener('abort', leave, { once: true })
    })
  }

  return {
    async run(signal, work) {
      await turn(signal)
      try {
        return await work()
      } finally {
        letGo()
      }
    },
  }
}
