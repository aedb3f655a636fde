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
}

export function createTurn(clock: Clock): Turn {
  let waiting: Flushable[] = []

  function flush(): void {
    const now = waiting
    waiting = []
    for (const one of now) one.flush()
  }

  return {
    add(one) {
      if (waiting.push(one) === 1) clock.endOfTurn(flush)
    },
    flush,
  }
}
