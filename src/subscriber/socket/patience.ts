import type { Clock } from '../../core/ports.ts'
import type { Asked } from './answers.ts'

/** Watches that a broadcaster takes what it is asked, and answers: pings alone do not show that. */
export interface Patience {
  /** Something was asked. */
  asked(): void
  /** The network has taken the whole of it. */
  left(one: Asked): void
  /** The next answer has its own time from now on: one came, or they are read again. */
  renew(): void
  /** The wait for the network as it is given; it is over when nothing at all is taken for that long. */
  bounded(room: Promise<void> | undefined): Promise<void> | undefined
  end(): void
}

export interface PatienceParts {
  readonly clock: Clock
  /** ms for an answer, from when all of the request has left and the answer before has come. */
  readonly timeout: number
  readonly next: () => Asked | undefined
  /** Bytes that the network has taken so far. */
  readonly taken: () => number
  /** Whoever does not read hears nothing. */
  readonly isReading: () => boolean
  /** @param silence ms for which nothing came that was due */
  readonly over: (why: string, silence: number) => void
}

/** Bytes of a message for which there is as much time again: broadcasters have more time for large ones, too. */
const MORE_FOR = 16_777_216
const UNTAKEN = 'what was sent was not taken in time'

export function createPatience({ clock, timeout, next, taken, isReading, over }: PatienceParts): Patience {
  let since = 0
  let before = -1
  let unwatch: (() => void) | undefined

  function renew(): void {
    since = clock.monotonic()
  }

  function watch(ms: number): void {
    unwatch = clock.after(ms, look)
  }

  function look(): void {
    unwatch = undefined
    const asked = next()
    if (asked === undefined) return
    if (!isReading()) return watch(timeout)
    const silence = clock.monotonic() - since
    const limit = timeout * (1 + Math.floor(asked.size / MORE_FOR))
    if (silence < limit) return watch(Math.min(timeout, limit - silence))
    const now = taken()
    if (asked.hasLeft) return over('an answer did not come in time', silence)
    if (now === before) return over(UNTAKEN, silence)
    before = now
    renew()
    watch(timeout)
  }

  return {
    asked() {
      if (unwatch !== undefined) return
      renew()
      watch(timeout)
    },
    left(one) {
      one.hasLeft = true
      if (one === next()) renew()
    },
    renew,
    bounded(room) {
      if (room === undefined) return undefined
      let last = taken()
      let cancel = clock.after(timeout, still)
      function still(): void {
        const now = taken()
        if (now === last) return over(UNTAKEN, timeout)
        last = now
        cancel = clock.after(timeout, still)
      }
      return room.finally(() => cancel())
    },
    end() {
      unwatch?.()
    },
  }
}
