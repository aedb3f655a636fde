import { WaystationError } from '../core/errors.ts'
import type { Clock, Random } from '../core/ports.ts'

export interface Broadcaster {
  readonly url: string
  /** The lower is tried first. */
  readonly priority: number
}

/** Thrown by an attempt that may fare better elsewhere, or later. */
export class TryAgain extends Error {
  override readonly name = 'TryAgain'
  /** What the caller is told when no attempt is left. */
  readonly why: WaystationError

  constructor(why: WaystationError) {
    super(why.message)
    this.why = why
  }
}

/**
 * Tries broadcasters in turn (lonelyps, section 2.8): in each round every one once, in random order within a priority;
 * before round k (from 1) it sleeps 2^(k-1) + random seconds.
 */
export interface Rounds {
  /**
   * @param most rounds of this call; all of them if not stated
   * @throws {WaystationError} the last attempt's, or `stopped`; whatever but `TryAgain` an attempt throws is final
   */
  run<T>(attempt: (base: string) => Promise<T>, most?: number): Promise<T>
}

/** @param parts.hold keeps the process alive meanwhile; `stopped` ends the sleep */
export function createRounds(parts: {
  broadcasters: readonly Broadcaster[]
  rounds: number
  clock: Clock
  random: Random
  hold: () => () => void
  stopped: AbortSignal
}): Rounds {
  const { broadcasters, rounds, clock, random, hold, stopped } = parts

  function inOrder(): Broadcaster[] {
    return broadcasters
      .map((one) => ({ one, chance: random.next() }))
      .sort((a, b) => a.one.priority - b.one.priority || a.chance - b.chance)
      .map(({ one }) => one)
  }

  async function sleep(ms: number): Promise<void> {
    if (stopped.aborted) return
    const over = Promise.withResolvers<void>()
    const wake = (): void => over.resolve()
    const cancel = clock.after(ms, wake)
    stopped.addEventListener('abort', wake, { once: true })
    await over.promise
    stopped.removeEventListener('abort', wake)
    cancel()
  }

  return {
    async run(attempt, most = rounds) {
      const letGo = hold()
      let last: WaystationError | undefined
      try {
        for (let round = 0; round < most; round++) {
          if (round > 0) await sleep((2 ** (round - 1) + random.next()) * 1_000)
          for (const { url } of inOrder()) {
            if (stopped.aborted) throw new WaystationError('stopped')
            try {
              return await attempt(url)
            } catch (error) {
              if (!(error instanceof TryAgain)) throw error
              last = error.why
            }
          }
        }
        throw last ?? new WaystationError('unreachable')
      } finally {
        letGo()
      }
    },
  }
}
