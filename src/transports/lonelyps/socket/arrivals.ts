import type { Unfinished } from '../../../http/websocket-connection.ts'
import { createPace } from './pace.ts'

/** What is on its way to one socket, and not whole: what it costs, and whether it comes at all. */
export interface Arrivals {
  /** When to look whether something is late; infinity when nothing is on its way, or it is the hub that takes its time. */
  readonly due: number
  /** Bytes came in. False when there is no room for what is left. */
  arrived(unfinished: Unfinished): boolean
  /** A message has come whole. */
  cameWhole(): void
  /** Nothing is read, until `resume`. */
  pause(): void
  resume(): void
  /** What may be a part of a longer message waits to be done; then it is done. */
  partWaits(): void
  partDone(): void
  isLate(now: number): boolean
  /** Nothing more comes. */
  close(): void
}

export interface ArrivalsParts {
  /** Monotonic milliseconds. */
  readonly now: () => number
  /** A message must come to its end in so many milliseconds, or bring a fair share of it in each. */
  readonly span: number
  /** Books memory. False when there is too little. */
  readonly take: (bytes: number) => boolean
  readonly give: (bytes: number) => void
  /** Bytes that have come of a message in parts; `undefined` when none has begun. */
  readonly inParts: () => number | undefined
  /** `due` may have become earlier. */
  readonly sooner: () => void
}

/** Less is not booked: most messages are short. */
const UNBOOKED = 4_096

export function createArrivals({ now, span, take, give, inParts, sooner }: ArrivalsParts): Arrivals {
  const [frame, parts] = [createPace(span), createPace(span)]
  let [number, bytes, booked] = [0, 0, 0]
  let partsWaiting = 0
  let paused = false
  let closed = false

  function book(kept: number): boolean {
    const more = (kept > UNBOOKED ? kept : 0) - booked
    if (more === 0) return true
    if (more > 0 && !take(more)) return false
    if (more < 0) give(-more)
    booked += more
    return true
  }

  function go(): void {
    if (paused) return
    frame.go(now())
    if (partsWaiting === 0) parts.go(now())
    sooner()
  }

  return {
    get due() { return Math.min(frame.due, parts.due) },
    arrived(unfinished) {
      if (closed) return true
      bytes = unfinished.bytes
      if (bytes === 0) frame.end()
      else if (unfinished.number !== number) {
        number = unfinished.number
        frame.begin(now())
        sooner()
      }
      return book(unfinished.kept)
    },
    cameWhole() {
      bytes = 0
      book(0)
    },
    pause() {
      paused = true
      frame.hold(now())
      parts.hold(now())
    },
    resume() {
      paused = false
      go()
    },
    partWaits() {
      partsWaiting++
      parts.hold(now())
    },
    partDone() {
      partsWaiting--
      if (inParts() === undefined) parts.end()
      else if (!parts.runs && !closed) parts.begin(now())
      go()
    },
    isLate: (at) => frame.isLate(at, bytes) || parts.isLate(at, inParts() ?? 0, bytes),
    close() {
      closed = true
      frame.end()
      parts.end()
      book(0)
    },
  }
}
