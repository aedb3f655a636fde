import type { Topic } from '../core/topic.ts'

/** One thing to do at a time in each lane, in the order given. */
export interface Lanes {
  readonly waiting: number
  /**
   * Calls `run` now, or when those before it in the lane have called their `next`. False when too many wait: nothing was
   * done then. Each id has one lane for each topic.
   */
  enter(topic: Topic, id: LaneId, run: (next: () => void) => void): boolean
}

type Run = (next: () => void) => void
/** A registration's, or the url of a hub. */
type LaneId = number | string

/** @param most that wait in one lane */
export function createLanes(most: number): Lanes {
  /** Those that wait behind the one that runs. By topic first: a long one that many ids share is not kept for each. */
  const topics = new Map<Topic, Map<LaneId, Run[]>>()
  let waiting = 0

  function start(topic: Topic, lanes: Map<LaneId, Run[]>, id: LaneId, run: Run): void {
    let open = true
    run(() => {
      if (!open) return
      open = false
      const queue = lanes.get(id) as Run[]
      const following = queue.shift()
      if (following === undefined) {
        lanes.delete(id)
        if (lanes.size === 0) topics.delete(topic)
        return
      }
      waiting--
      start(topic, lanes, id, following)
    })
  }

  return {
    get waiting() { return waiting },
    enter(topic, id, run) {
      let lanes = topics.get(topic)
      if (lanes === undefined) topics.set(topic, (lanes = new Map()))
      const queue = lanes.get(id)
      if (queue === undefined) {
        lanes.set(id, [])
        start(topic, lanes, id, run)
        return true
      }
      if (queue.length >= most) return false
      queue.push(run)
      waiting++
      return true
    },
  }
}
