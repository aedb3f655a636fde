import type { Clock } from '../../src/core/ports.ts'

/**
 * A clock that stands until it is told to go on, one call at a time: promises get to run between two timers, and between
 * two who end a turn, as they do in the event loop.
 */
export interface VirtualClock extends Clock {
  /** The next timer due up to this time, taken out and the clock set to it; `undefined` and the clock at `time` when none is. */
  due(time: number): (() => void) | undefined
  /** What asked for the end of this turn, taken out: what they ask for in their calls is for the next. */
  turnEnd(): (() => void)[]
  /** Timers and turn ends that are still owed. */
  readonly owed: number
}

interface Timer {
  readonly at: number
  readonly fn: () => void
}

const EPOCH_1970 = 1_700_000_000_000

export function createVirtualClock(): VirtualClock {
  let now = 0
  let timers: Timer[] = []
  let atEnd: (() => void)[] = []

  return {
    now: () => EPOCH_1970 + now,
    monotonic: () => now,
    after(ms, fn) {
      const timer = { at: now + ms, fn }
      // Behind those of the same time: timers of one time go off in the order they were set.
      const place = timers.findIndex((other) => other.at > timer.at)
      timers.splice(place === -1 ? timers.length : place, 0, timer)
      return () => {
        timers = timers.filter((other) => other !== timer)
      }
    },
    endOfTurn: (fn) => void atEnd.push(fn),
    due(time) {
      const first = timers[0]
      if (first === undefined || first.at > time) {
        now = time
        return undefined
      }
      timers.shift()
      now = Math.max(now, first.at)
      return first.fn
    },
    turnEnd() {
      const fns = atEnd
      atEnd = []
      return fns
    },
    get owed() { return timers.length + atEnd.length },
  }
}
