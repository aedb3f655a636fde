import type { Clock } from '../core/ports.ts'
import { parseTarget } from '../webhooks/target.ts'

/** Says of webhooks that they were in vain, in as few and as short lines as tell an operator what is wrong. */
export interface FailureLog {
  failed(registration: { readonly id: number; readonly url: string }, topic: string, why: string): void
}

/** What a line says. Path, query and user of the url may hold secrets: the registration's number stands for them. */
export interface FailureLine {
  readonly origin: string
  readonly registration: number
  readonly topic: string
  readonly why: string
  /** Failures at this origin since its last line that have none of their own. */
  readonly leftOut?: number
  /** The same of origins that got no line, or that are forgotten. */
  readonly leftOutElsewhere?: number
}

/** ms from one line about an origin to the next. */
const SPAN = 10_000
/** Origins in one span; what fails at others is only counted. */
const MOST_ORIGINS = 256
const MOST_TEXT = 100

/** Text from outside for a log line: a hundred characters at most. */
export function cut(text: string): string {
  return text.length > MOST_TEXT ? `${text.slice(0, MOST_TEXT)}…` : text
}

/** @param write gets the lines */
export function createFailureLog(clock: Clock, write: (line: FailureLine) => void): FailureLog {
  /** In the order of their last lines. */
  const origins = new Map<string, { at: number; leftOut: number }>()
  let elsewhere = 0

  function forgetOldest(now: number): void {
    for (const [origin, { at, leftOut }] of origins) {
      if (now - at < SPAN) return
      elsewhere += leftOut
      origins.delete(origin)
      if (origins.size < MOST_ORIGINS) return
    }
  }

  return {
    failed({ id, url }, topic, why) {
      const target = parseTarget(url)
      const origin = typeof target === 'string' ? '(no url)' : target.origin
      const now = clock.monotonic()
      const known = origins.get(origin)
      if (known !== undefined && now - known.at < SPAN) {
        known.leftOut++
        return
      }
      origins.delete(origin)
      if (origins.size >= MOST_ORIGINS) forgetOldest(now)
      if (origins.size >= MOST_ORIGINS) {
        elsewhere++
        return
      }
      origins.set(origin, { at: now, leftOut: 0 })
      const leftOut = known?.leftOut ?? 0
      write({
        origin: cut(origin), registration: id, topic: cut(topic), why: cut(why),
        ...(leftOut > 0 && { leftOut }),
        ...(elsewhere > 0 && { leftOutElsewhere: elsewhere }),
      })
      elsewhere = 0
    },
  }
}
