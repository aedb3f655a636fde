import type { Clock } from './ports.ts'

/** Something that gathers during a turn of the event loop and writes at its end. */
export interface Flushable {
  flush(): void
}

/** One call at the end of a turn for all who have something to write. */
export interface Turn {
  /** Flush this one at the end of the turn. The caller asks once a turn. */
  add(one: Flushable): void
  /** Flush everyone now: for shutdown. */
  flush(): void
  /** Milliseconds since 1970, asked for once in a turn: what comes in one turn has one time. */
  now(): number
}

export function createTurn(clock: Clock): Turn {
  let waiting: Flushable[] = []
  let begun = false
  let time = 0

  function begin(): void {
    begun = true
    time = clock.now()
    clock.endOfTurn(end)
  }

  function end(): void {
    begun = false
    flush()
  }

  function flush(): void {
    const now = waiting
    waiting = []
    for (const one of now) one.flush()
  }

  return {
    add(one) {
      if (!begun) begin()
      waiting.push(one)
    },
    flush,
    now() {
      if (!begun) begin()
      return time
    },
  }
}
