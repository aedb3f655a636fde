import { WaystationError } from '../core/errors.ts'
import { exactly } from '../core/interest.ts'
import type { Draft, LostInterest } from '../core/message.ts'
import type { Clock, HubPort, Identity, Meter } from '../core/ports.ts'

/** Why something that came was not published. */
export type Dropped =
  /** It comes from here. */
  | 'own'
  /** It has come through too many hubs. */
  | 'via'
  /** It had come before. */
  | 'repeat'
  /** The hub did not take it. */
  | 'rejected'
  /** A daemon that could only be asked for the empty topic sent something of that. */
  | 'unasked'

/** Where all that a link brings goes into the hub, in the order in which it comes. */
export interface Intake {
  /** Whether so much waits for the hub that nothing more is read. */
  readonly isFull: boolean
  take(draft: Draft): void
  /** Something of this, as it is called here, is lost. Its `via` is where this word has come through. */
  lose(lost: LostInterest): void
}

/** Bytes that may wait for a hub whose log takes its time, and what each message counts beside its body. */
const [MOST_WAITING, OVERHEAD] = [4_194_304, 512]
/** ms between two that are told of. */
const QUIET = 60_000

/**
 * @param parts.full called when reading is to pause
 * @param parts.roomy called when it may go on
 * @param parts.failed told what a publication failed with, one a minute at most
 */
export function createIntake(parts: {
  hub: HubPort
  by: Identity
  clock: Clock
  meter: Meter
  full(): void
  roomy(): void
  dropped(why: Dropped): void
  failed(error: unknown): void
}): Intake {
  const { hub, by, clock, meter } = parts
  let waiting = 0
  let isFull = false
  let toldAt = -Infinity

  function reject(error: unknown, { topic, via }: Draft): void {
    parts.dropped('rejected')
    const isMeant = error instanceof WaystationError && (error.code === 'stopped' || error.code === 'forbidden')
    // Where it has come through it is there.
    if (!isMeant) hub.lose({ ...exactly(topic), ...(via !== undefined && { via }) })
    const now = clock.monotonic()
    if (now - toldAt < QUIET) return
    toldAt = now
    parts.failed(error)
  }

  function settle(size: number): void {
    waiting -= size
    if (!isFull || waiting > MOST_WAITING / 2) return
    isFull = false
    parts.roomy()
  }

  return {
    get isFull() { return isFull },
    take(draft) {
      try {
        const published = hub.publish(draft, by)
        meter.published('link', draft.body.length)
        if (!(published instanceof Promise)) return
        const size = draft.body.length + OVERHEAD
        waiting += size
        published.catch((error: unknown) => reject(error, draft)).finally(() => settle(size))
        if (isFull || waiting <= MOST_WAITING) return
        isFull = true
        parts.full()
      } catch (error) {
        reject(error, draft)
      }
    },
    lose(lost) {
      if (lost.topics.length + lost.patterns.length > 0) hub.lose(lost)
    },
  }
}
