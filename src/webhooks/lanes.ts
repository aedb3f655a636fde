/** One thing to do at a time for each key, in the order given. */
export interface Lanes {
  readonly waiting: number
  /**
   * Calls `run` now, or when those before it in the lane have called their `next`. False when too many wait: nothing was
   * done then.
   */
  enter(key: string, run: (next: () => void) => void): boolean
}

type Run = (next: () => void) => void

/** @param most that wait in one lane */
export function createLanes(most: number): Lanes {
  /** Those that wait behind the one that runs. */
  const lanes = new Map<string, Run[]>()
  let waiting = 0

  function start(key: string, run: Run): void {
    let open = true
    run(() => {
      if (!open) return
      open = false
      const queue = lanes.get(key) as Run[]
      const following = queue.shift()
      if (following === undefined) {
        lanes.delete(key)
        return
      }
      waiting--
      start(key, following)
    })
  }

  return {
    get waiting() { return waiting },
    enter(key, run) {
      const queue = lanes.get(key)
      if (queue === undefined) {
        lanes.set(key, [])
        start(key, run)
        return true
      }
      if (queue.length >= most) return false
      queue.push(run)
      waiting++
      return true
    },
  }
}
