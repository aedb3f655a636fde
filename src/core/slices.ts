import type { Clock } from './ports.ts'

/** Long work that nobody waits for, done bit by bit in its order, a slice of time in each turn of the event loop. */
export interface Slices {
  /** Each step must be short, and must not throw. It begins at the end of this turn. */
  add(work: Iterator<unknown, void>): void
  /** Settles when nothing is left to do. */
  idle(): Promise<void>
  /** Lets go of what waits. */
  close(): void
}

/** Milliseconds of each turn. */
const SLICE = 5
/** Steps between two looks at the clock. */
const BETWEEN_LOOKS = 32

export function createSlices(clock: Clock): Slices {
  const works = new Set<Iterator<unknown, void>>()
  let asked = false
  let toldIdle: (() => void)[] = []

  function ask(): void {
    if (asked) return
    asked = true
    clock.endOfTurn(turn)
  }

  function turn(): void {
    asked = false
    const until = clock.monotonic() + SLICE
    let steps = 0
    for (const work of works) {
      for (let done = false; !done;) {
        done = work.next().done === true
        if (done) works.delete(work)
        if (++steps % BETWEEN_LOOKS === 0 && works.size > 0 && clock.monotonic() >= until) return ask()
      }
    }
    tellIdle()
  }

  function tellIdle(): void {
    for (const tell of toldIdle) tell()
    toldIdle = []
  }

  return {
    add(work) {
      works.add(work)
      ask()
    },
    idle: () => (works.size === 0 ? Promise.resolve() : new Promise((resolve) => void toldIdle.push(resolve))),
    close() {
      works.clear()
      tellIdle()
    },
  }
}
