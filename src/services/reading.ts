import type { Duplex } from 'node:stream'
import type { Clock } from '../core/ports.ts'
import type { Packet } from '../protocol/erps/messages.ts'
import { createPacketReader } from '../protocol/erps/reader.ts'

/** The receiving half of a connection. */
export interface Reading {
  /** Nothing is read until `resume`, but for what has been read already. */
  pause(): void
  resume(): void
  /** ms since something has come. Whoever does not read hears nothing: that time does not count. */
  silence(): number
  /** What still comes is thrown away, so that the connection can end in order. */
  stop(): void
}

export interface ReadingParts {
  readonly stream: Pick<Duplex, 'on' | 'pause' | 'resume' | 'isPaused'>
  readonly clock: Clock
  /** The largest payload. */
  readonly maxBytes: number
  /** ms for the rest of a packet that has begun, and again for each MiB of it. */
  readonly packetTimeout: number
  /** Books so many bytes more for a packet that is on its way, or less where it is below 0. False when that is too much. */
  readonly book?: ((more: number) => boolean) | undefined
}

export interface ReadingEvents {
  /** It must not throw. */
  packet(packet: Packet): void
  /** What comes is no packet. */
  bad(error: unknown): void
  /** A packet that had begun has not ended in time. */
  late(): void
  /** Too much is on its way, from here and from others. */
  crowded(): void
}

/** ms of a turn of the event loop for what one connection brings: a few bytes may make much work, and others wait. */
const SLICE = 20
/** Packets between two looks at the clock. */
const BETWEEN_LOOKS = 8
const MIB = 1_048_576
/** Bytes of an unfinished packet that are not booked: most are short. */
const UNBOOKED = 4_096

/** Reads packets, however they were cut and glued on their way (`erps.md`, 4.2), in slices of work. */
export function createReading({ stream, clock, maxBytes, packetTimeout, book = () => true }: ReadingParts, events: ReadingEvents): Reading {
  const reader = createPacketReader({ maxBytes })
  /** What came and is not yet worked off: the packets of one chunk, and chunks behind it. */
  let working: Generator<Packet, void> | undefined
  const waiting: Buffer[] = []
  /** Why nothing is read. */
  const holds = new Set<'owner' | 'work'>()
  let isStopped = false
  let lastSeen = clock.monotonic()
  /** When the packet that is not whole yet has begun. */
  let begun: number | undefined
  let isWatching = false
  let unwatch = (): void => {}
  let booked = 0

  function take(chunk: Buffer): void {
    if (isStopped) return
    lastSeen = clock.monotonic()
    waiting.push(chunk)
    if (working === undefined) work()
  }

  /** What is too much for this turn of the event loop goes on in the next. */
  function work(): void {
    const until = clock.monotonic() + SLICE
    try {
      for (let packets = 1; ; packets++) {
        const packet = next()
        if (packet === undefined) break
        begun = undefined
        events.packet(packet)
        if (isStopped) return
        if (packets % BETWEEN_LOOKS !== 0 || clock.monotonic() < until) continue
        hold('work')
        return clock.endOfTurn(() => {
          if (!isStopped) work()
        })
      }
    } catch (error) {
      return events.bad(error)
    }
    if (!keep(reader.buffered)) return events.crowded()
    if (reader.buffered > 0) begin()
    release('work')
  }

  /** Gives whether so many bytes may be kept. */
  function keep(bytes: number): boolean {
    const more = (bytes > UNBOOKED ? bytes : 0) - booked
    if (more === 0) return true
    if (!book(more)) return false
    booked += more
    return true
  }

  function next(): Packet | undefined {
    for (;;) {
      const step = working?.next()
      if (step?.done === false) return step.value
      const chunk = waiting.shift()
      working = chunk === undefined ? undefined : reader.push(chunk)
      if (working === undefined) return undefined
    }
  }

  function begin(): void {
    begun ??= clock.monotonic()
    if (isWatching) return
    isWatching = true
    unwatch = clock.after(Math.max(1, Math.ceil(left(begun))), look)
  }

  /** ms that the packet still has. */
  function left(since: number): number {
    return since + packetTimeout * (1 + Math.floor(reader.buffered / MIB)) - clock.monotonic()
  }

  /** One timer, however many packets begin meanwhile. */
  function look(): void {
    isWatching = false
    if (isStopped || begun === undefined) return
    // The rest cannot come while nothing is read.
    if (stream.isPaused()) begun = clock.monotonic()
    if (left(begun) <= 0) events.late()
    else begin()
  }

  function hold(why: 'owner' | 'work'): void {
    holds.add(why)
    stream.pause()
  }

  function release(why: 'owner' | 'work'): void {
    if (!holds.delete(why) || holds.size > 0) return
    // What could not come meanwhile has its time from here on.
    lastSeen = clock.monotonic()
    if (begun !== undefined) begun = lastSeen
    stream.resume()
  }

  stream.on('data', take)

  return {
    pause: () => hold('owner'),
    resume: () => release('owner'),
    silence() {
      if (stream.isPaused()) lastSeen = clock.monotonic()
      return clock.monotonic() - lastSeen
    },
    stop() {
      isStopped = true
      keep(0)
      working = undefined
      waiting.length = 0
      unwatch()
      stream.resume()
    },
  }
}
