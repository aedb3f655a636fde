import type { Cursor } from '../../src/core/cursor.ts'
import type { Draft, Lost, LostInterest, Message } from '../../src/core/message.ts'
import type { Clock, Log } from '../../src/core/ports.ts'
import type { Rules } from '../../src/core/rules.ts'
import type { Chance } from './chance.ts'

/**
 * How a log takes its time. What every way keeps is the contract: offsets in the order of the calls, promises settling
 * in that order, reads that are whole or 'lost'.
 */
export interface LogPace {
  /**
   * `at once`: as the log in memory. `numbered`: the offset is given by the call and the promise settles later, as on
   * a disk that is synced now and then; what no rule keeps is not written and comes at once. `queued`: appends stand in
   * a queue, get their offset when it is their turn, and may fail.
   */
  readonly append: 'at once' | 'numbered' | 'queued'
  /** Whether a read shows what is numbered, or only what has settled. */
  readonly shows: 'numbered' | 'settled'
  /** Whether a read comes in one piece or over several turns. */
  readonly read: 'whole' | 'in pieces'
}

/** A log that is slower than the one in memory, which it stands on. `cut` ends it: what has not settled never will. */
export function createSlowLog(parts: { log: Log; rules: Rules; pace: LogPace; clock: Clock; chance: Chance }): Log & { cut(): void } {
  const { log, rules, pace, clock, chance } = parts
  let dueAt = 0
  let settled = log.head
  let cut = false

  /** Settles after a while, and never before those that were asked earlier. */
  function later<T>(work: () => T): Promise<T> {
    const { promise, resolve, reject } = Promise.withResolvers<T>()
    const now = clock.monotonic()
    dueAt = Math.max(dueAt, now + chance.int(0, 60))
    clock.after(dueAt - now, () => {
      if (cut) return
      try {
        resolve(work())
      } catch (error) {
        reject(error)
      }
    })
    return promise
  }

  /** A loss is written like a message that is kept; what cannot be written stays in memory. */
  function lose(lost: LostInterest): Lost | Promise<Lost> {
    switch (pace.append) {
      case 'at once': return show(log.lose(lost) as Lost)
      case 'numbered': {
        const loss = log.lose(lost) as Lost
        return later(() => show(loss))
      }
      case 'queued': return later(() => show(log.lose(lost) as Lost))
      default: return pace.append satisfies never
    }
  }

  function number(draft: Draft): Message | Promise<Message> {
    const message = log.append(draft) as Message
    if (rules.for(draft.topic).keep !== undefined) return later(() => show(message))
    return show(message)
  }

  function show<E extends Cursor>(entry: E): E {
    settled = Math.max(settled, entry.offset)
    return entry
  }

  function queue(draft: Draft): Promise<Message> {
    const fails = chance.odds(0.05)
    return later(() => {
      if (fails) throw new Error('the disk is full')
      return show(log.append(draft) as Message)
    })
  }

  async function* inPieces(entries: readonly (Message | Lost)[]): AsyncIterable<Message | Lost> {
    for (const entry of entries) {
      if (chance.odds(0.5)) await new Promise<void>((resolve) => clock.endOfTurn(resolve))
      yield entry
    }
  }

  return {
    epoch: log.epoch,
    get head() { return log.head },
    append(draft) {
      switch (pace.append) {
        case 'at once': return show(log.append(draft) as Message)
        case 'numbered': return number(draft)
        case 'queued': return queue(draft)
        default: return pace.append satisfies never
      }
    },
    lose,
    read(interest, after) {
      const found = log.read(interest, after) as Iterable<Message | Lost> | 'lost'
      if (found === 'lost') return found
      const shown = pace.shows === 'numbered' ? [...found] : [...found].filter((message) => message.offset <= settled)
      return pace.read === 'whole' ? shown : inPieces(shown)
    },
    sweep: () => log.sweep(),
    cut() {
      cut = true
    },
  }
}
