import type { Limits } from '../core/limits.ts'
import type { Clock } from '../core/ports.ts'
import { createFrameReader } from '../protocol/pony-express/frame.ts'
import { readFromGiver } from '../protocol/pony-express/from-giver.ts'
import { keepaliveFrame } from '../protocol/pony-express/from-taker.ts'
import type { FromGiver } from '../protocol/pony-express/messages.ts'
import type { Ending } from '../zones/backoff.ts'
import type { Dialled } from '../zones/ports.ts'

/** One connection to a giver, from its handshake to its end. After the end everything does nothing. */
export interface Connection {
  /** By what the giver may be known again. */
  readonly names: readonly string[]
  readonly isPaused: boolean
  send(frame: Buffer): void
  /** Nothing is read until `resume`, but for what has been read already. */
  pause(): void
  resume(): void
  /** From now on it is gone where nothing comes from it within `linkDeadline`. */
  expectSigns(): void
  /** It is of no use any more. */
  drop(ending: Ending, why: string): void
  /** Says goodbye; settles when it is over, at once where the deadline aborts. `closed` is not told. */
  close(deadline: AbortSignal): Promise<void>
}

export interface ConnectionEvents {
  /** It counts as up: something that can be understood has come, or nothing has gone wrong for a while. Once, before all else. */
  up(): void
  said(said: FromGiver): void
  /** Once. `lasted`: ms since it was up, 0 when it never was. */
  closed(ending: Ending, why: string, lasted: number): void
}

/** ms without an error after which a connection counts as up: in TLS 1.3 our certificate is refused after our handshake (`erps.md`, 10.4). */
const QUIET = 200
/** ms that the other end has for its goodbye. */
const GOODBYE = 1_000
/** ms of a turn of the event loop for what one connection brings: a few bytes may make much work, and others wait. */
const SLICE = 20
/** Frames between two looks at the clock. */
const BETWEEN_LOOKS = 8

export function openConnection({ stream, names }: Dialled, { clock, limits }: { clock: Clock; limits: Limits }, events: ConnectionEvents): Connection {
  const reader = createFrameReader({ maxBytes: limits.maxLinkFrameBytes })
  const bounds = { maxBytes: limits.maxLinkFrameBytes, maxDepth: limits.maxTermDepth, maxTopics: limits.maxLinkTopics }
  let upSince: number | undefined
  let isOver = false
  /** What came and is not yet worked off: the frames of one chunk, and chunks behind it. */
  let working: Generator<Buffer, void> | undefined
  const waiting: Buffer[] = []
  /** Why nothing is read. */
  const holds = new Set<'hub' | 'work'>()
  let lastSeen = clock.monotonic()
  let unwatch = (): void => {}
  const unrise = clock.after(QUIET, rise)
  let unbeat = clock.after(limits.linkKeepalive, beat)
  const gone = new Promise<void>((resolve) => void stream.once('close', resolve))

  function rise(): void {
    if (isOver || upSince !== undefined) return
    unrise()
    upSince = clock.monotonic()
    events.up()
  }

  function beat(): void {
    send(keepaliveFrame)
    unbeat = clock.after(limits.linkKeepalive, beat)
  }

  function send(frame: Buffer): void {
    if (!isOver) stream.write(frame)
  }

  function watch(): void {
    // Whoever does not read hears nothing.
    if (stream.isPaused()) lastSeen = clock.monotonic()
    const left = limits.linkDeadline - (clock.monotonic() - lastSeen)
    if (left <= 0) return drop('lost', `nothing has come for ${limits.linkDeadline} ms`)
    unwatch = clock.after(left, watch)
  }

  function take(chunk: Buffer): void {
    if (isOver) return
    lastSeen = clock.monotonic()
    waiting.push(chunk)
    if (working === undefined) work()
  }

  /** What is too much for this turn of the event loop goes on in the next. */
  function work(): void {
    const until = clock.monotonic() + SLICE
    try {
      for (let frames = 1; ; frames++) {
        const payload = nextPayload()
        if (payload === undefined) return release('work')
        const said = readFromGiver(payload, bounds)
        rise()
        if (said !== undefined) events.said(said)
        if (isOver) return
        if (frames % BETWEEN_LOOKS !== 0 || clock.monotonic() < until) continue
        hold('work')
        return clock.endOfTurn(() => {
          if (!isOver) work()
        })
      }
    } catch (error) {
      drop('failed', `it sends what nobody can use: ${(error as Error).message}`)
    }
  }

  function nextPayload(): Buffer | undefined {
    for (;;) {
      const next = working?.next()
      if (next?.done === false) return next.value
      const chunk = waiting.shift()
      working = chunk === undefined ? undefined : reader.push(chunk)
      if (working === undefined) return undefined
    }
  }

  function hold(why: 'hub' | 'work'): void {
    holds.add(why)
    stream.pause()
  }

  function release(why: 'hub' | 'work'): void {
    if (holds.delete(why) && holds.size === 0) stream.resume()
  }

  /** Nothing is told from here on. Gives whether it was not over before. */
  function finish(): boolean {
    if (isOver) return false
    isOver = true
    unrise()
    unbeat()
    unwatch()
    return true
  }

  function drop(ending: Ending, why: string): void {
    if (!finish()) return
    stream.destroy()
    events.closed(ending, why, upSince === undefined ? 0 : clock.monotonic() - upSince)
  }

  function ended(why: string): void {
    drop(upSince === undefined ? 'failed' : 'lost', why)
  }

  // It may have broken since its handshake, with nobody there to be told.
  if (stream.destroyed) unwatch = clock.after(0, () => ended(stream.errored?.message ?? 'the connection has broken'))
  stream.on('data', take)
  stream.on('error', (error) => ended(error.message))
  stream.on('end', () => ended('the other end has closed the connection'))
  stream.on('close', () => ended('the connection has broken'))

  return {
    names,
    get isPaused() { return stream.isPaused() },
    send,
    pause: () => hold('hub'),
    resume: () => release('hub'),
    expectSigns: watch,
    drop,
    close(deadline) {
      if (!finish()) return gone
      const cut = (): void => void stream.destroy()
      // A peer that is not read from does not get to say goodbye.
      stream.resume()
      stream.end()
      const uncut = clock.after(GOODBYE, cut)
      if (deadline.aborted) cut()
      else deadline.addEventListener('abort', cut, { once: true })
      return gone.finally(() => {
        uncut()
        deadline.removeEventListener('abort', cut)
      })
    },
  }
}
