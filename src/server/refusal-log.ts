import type { Clock } from '../core/ports.ts'
import { cut } from './failure-log.ts'

/** Who was turned away, as far as it is known. */
export interface Refused {
  readonly address: string
  /** What his certificate says of whose it is; empty where none was proved. */
  readonly names: readonly string[]
  /** What the TLS library said. */
  readonly detail?: string
}

export interface RefusalLine extends Refused {
  readonly reason: string
  /** How often the same was turned away since its last line. */
  readonly leftOut?: number
  /** The same of those that got no line. */
  readonly leftOutElsewhere?: number
}

/** Says who was turned away, in as few lines as tell an operator: whoever is, comes again every few seconds. */
export interface RefusalLog {
  refused(reason: string, who: Refused): void
}

/** ms from one line about somebody to the next. */
const SPAN = 600_000
/** Lines in one span. */
const MOST = 100
/** Names in a line. */
const MOST_NAMES = 10

/** @param write gets the lines */
export function createRefusalLog(clock: Clock, write: (line: RefusalLine) => void): RefusalLog {
  /** In the order of their last lines. */
  const known = new Map<string, { at: number; leftOut: number }>()
  let elsewhere = 0

  function forgetOld(now: number): void {
    for (const [key, { at, leftOut }] of known) {
      if (now - at < SPAN) return
      elsewhere += leftOut
      known.delete(key)
    }
  }

  return {
    refused(reason, { address, names: all, detail }) {
      const names = all.slice(0, MOST_NAMES).map(cut)
      const key = JSON.stringify([reason, address, names])
      const now = clock.monotonic()
      const last = known.get(key)
      if (last !== undefined && now - last.at < SPAN) return void last.leftOut++
      known.delete(key)
      forgetOld(now)
      if (known.size >= MOST) return void elsewhere++
      known.set(key, { at: now, leftOut: 0 })
      const leftOut = last?.leftOut ?? 0
      write({
        reason, address, names,
        ...(detail !== undefined && { detail: cut(detail) }),
        ...(leftOut > 0 && { leftOut }),
        ...(elsewhere > 0 && { leftOutElsewhere: elsewhere }),
      })
      elsewhere = 0
    },
  }
}
