import type { Clock } from '../core/ports.ts'

/** A clock that stands still until it is told otherwise. */
export interface ManualClock extends Clock {
  /** Timers that have neither gone off nor been taken back. */
  readonly timers: number
  /**
   * Lets time pass. The turn that is going on ends first; then every timer that falls due goes off at its own time, in
   * the order of those times, each in a turn of its own.
   */
  advance(ms: number): void
  /** Ends this turn: calls what waits for that. What is asked for meanwhile waits for the end of the next turn. */
  endTurn(): void
  /** Puts the time of day forward or, with a negative number, back, as an operator does. No time passes. */
  adjust(ms: number): void
  /** Lets promises run, and turns end, until nothing but timers is waited for. */
  settle(): Promise<void>
}

interface Timer {
  readonly at: number
  readonly fn: () => void
}

/** Turns that may follow one another without any time between: past it something asks for the next one for ever. */
const MOST_TURNS = 10_000

/** @param start the time of day at the beginning, in milliseconds since 1970 */
export function createManualClock(start = 1_767_225_600_000): ManualClock {
  const timers: Timer[] = []
  let ends: (() => void)[] = []
  let passed = 0
  let offset = start

  function endTurn(): void {
    const now = ends
    ends = []
    for (const fn of now) fn()
  }

  function endTurns(): void {
    for (let turns = 0; ends.length > 0; turns++) {
      if (turns === MOST_TURNS) throw new Error(`after ${MOST_TURNS} turns something still waits for the end of the next`)
      endTurn()
    }
  }

  function soonest(): Timer | undefined {
    let first: Timer | undefined
    // The earlier asked goes first where two are due together.
    for (const timer of timers) if (first === undefined || timer.at < first.at) first = timer
    return first
  }

  return {
    get timers() { return timers.length },
    now: () => offset + passed,
    monotonic: () => passed,
    after(ms, fn) {
      const timer = { at: passed + Math.max(0, ms), fn }
      timers.push(timer)
      return () => drop(timers, timer)
    },
    endOfTurn: (fn) => void ends.push(fn),
    advance(ms) {
      endTurns()
      const until = passed + ms
      for (let next = soonest(); next !== undefined && next.at <= until; next = soonest()) {
        drop(timers, next)
        passed = Math.max(passed, next.at)
        next.fn()
        endTurns()
      }
      passed = until
    },
    endTurn,
    adjust(ms) {
      offset += ms
    },
    async settle() {
      for (let turns = 0; turns < MOST_TURNS; turns++) {
        await new Promise((resolve) => setImmediate(resolve))
        if (ends.length === 0) return
        endTurn()
      }
      throw new Error(`after ${MOST_TURNS} turns something still waits for the end of the next`)
    },
  }
}

function drop(timers: Timer[], timer: Timer): void {
  const at = timers.indexOf(timer)
  if (at !== -1) timers.splice(at, 1)
}
