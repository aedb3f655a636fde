import type { Duplex } from 'node:stream'
import type { Clock } from '../core/ports.ts'
import type { Extension, PacketType } from '../protocol/erps/messages.ts'
import type { Head } from '../protocol/erps/packet.ts'
import type { Brake, Sent } from './ports.ts'

/** A packet before its header is written: only when it leaves is it known what the other end understands. */
export interface Outgoing {
  /** `sign`: the short keepalive. */
  readonly type: PacketType | 'sign'
  readonly head: Head
  readonly parts: readonly Buffer[]
  readonly extension?: Extension | undefined
}

/** What waits to go out, in order. */
export interface Outbox {
  /** Bytes that wait, those included that the network has not taken yet. */
  readonly pendingBytes: number
  /** @param size of the packet, in bytes */
  add(packet: Outgoing, size: number, where?: 'first'): Sent
  /** The call that has left is answered: what waits behind it may go. */
  answered(): void
  /** The other end is a Waystation: nothing is paced any more. */
  unbrake(): void
  /** Nothing leaves until `release`, but for what was added as `first`. */
  hold(): void
  release(): void
  /** Takes back all that waits. */
  clear(): void
  /** Calls `done`, once, when nothing waits, and `linger` ms have passed since the last byte was taken. */
  whenEmpty(linger: number, done: () => void): void
  /** Nothing leaves any more, and nobody is told anything. */
  stop(): void
}

export interface OutboxParts {
  readonly stream: Pick<Duplex, 'write'>
  readonly brake: Brake
  readonly clock: Clock
  /** ms that the other end has to take a MiB. */
  readonly writeTimeout: number
  /** The bytes of a packet that leaves now. */
  readonly pack: (packet: Outgoing) => Buffer
  /** The other end does not take what it is sent. */
  readonly stalled: () => void
}

/** Bytes that are joined in one write. What is larger is not copied. */
const JOINED = 262_144
/** Bytes of one write: each has its own time, so that a large packet is not cut off on a slow way. */
const PIECE = 1_048_576
/** Of what is not sent at all. */
export const NEVER: Sent = { hasLeft: false, withdraw: () => true }

class Entry implements Sent {
  readonly packet: Outgoing
  readonly size: number
  hasLeft = false
  readonly #withdraw: (entry: Entry) => boolean

  constructor(packet: Outgoing, size: number, withdraw: (entry: Entry) => boolean) {
    this.packet = packet
    this.size = size
    this.#withdraw = withdraw
  }

  withdraw(): boolean {
    return !this.hasLeft && this.#withdraw(this)
  }
}

/**
 * The sending half of a connection. Towards an original each packet goes out by a write of its own, `gap` ms after the network
 * has taken the one before, and none before the call before it is answered where the brake says so (`erps.md`, section 5): the
 * original has no carry-over buffer. Towards a Waystation, and without a gap, all packets of a turn of the event loop go out
 * together at its end. One write at a time: what the network does not take can still be withdrawn.
 */
export function createOutbox({ stream, brake, clock, writeTimeout, pack, stalled }: OutboxParts): Outbox {
  const urgent = new Set<Entry>()
  const queue = new Set<Entry>()
  let isBraked = brake.gap > 0
  let isHeld = false
  let isStopped = false
  let isAsked = false
  let isCallOut = false
  let queuedBytes = 0
  /** Bytes of the write that is under way, and of the pieces behind it. */
  let writing = 0
  /** When the write that is under way began; when the last one ended. */
  let writingSince = 0
  let lastTaken = -Infinity
  let isWatching = false
  let unwait = (): void => {}
  let unwatch = (): void => {}
  let empty: { readonly linger: number; readonly done: () => void } | undefined

  function withdraw(entry: Entry): boolean {
    if (queue.delete(entry) || urgent.delete(entry)) {
      queuedBytes -= entry.size
      // What waits behind it may not have to wait any more.
      look()
    }
    return true
  }

  function look(): void {
    if (isStopped || writing > 0) return
    if (urgent.size + queue.size === 0) return rest()
    if (urgent.size === 0 && (isHeld || isCallOut)) return
    if (isBraked) later(brake.gap, ask)
    else ask()
  }

  /** Does something when so many ms have passed since the network has taken the last byte; now, where they have. */
  function later(ms: number, then: () => void): void {
    unwait()
    const left = lastTaken + ms - clock.monotonic()
    if (left > 0) unwait = clock.after(Math.ceil(left), () => void (isStopped || later(ms, then)))
    else then()
  }

  /** At the end of this turn: others may join until then, and nothing is answered before `add` has returned, whatever the stream. */
  function ask(): void {
    if (isAsked) return
    isAsked = true
    clock.endOfTurn(() => {
      isAsked = false
      if (!isStopped && writing === 0) leave()
    })
  }

  function leave(): void {
    const chunks: Buffer[] = []
    let bytes = 0
    for (const from of [urgent, queue]) {
      if (from === queue && isHeld) continue
      for (const entry of from) {
        if (bytes > 0 && bytes + entry.size > JOINED) return write(chunks, bytes)
        const chunk = take(entry, from)
        chunks.push(chunk)
        bytes += chunk.length
        if (isBraked) return write(chunks, bytes)
      }
    }
    if (bytes > 0) write(chunks, bytes)
  }

  function take(entry: Entry, from: Set<Entry>): Buffer {
    from.delete(entry)
    queuedBytes -= entry.size
    entry.hasLeft = true
    if (isBraked && brake.calls === 'one' && entry.packet.type === 'call') isCallOut = true
    return pack(entry.packet)
  }

  function write(chunks: readonly Buffer[], bytes: number): void {
    writing = bytes
    writePiece(chunks.length === 1 ? chunks[0] as Buffer : Buffer.concat(chunks, bytes))
  }

  function writePiece(rest: Buffer): void {
    const piece = rest.length > PIECE ? rest.subarray(0, PIECE) : rest
    writingSince = clock.monotonic()
    watch()
    stream.write(piece, (error) => {
      // Its end is told by the stream itself.
      if (isStopped || (error !== undefined && error !== null)) return
      writing -= piece.length
      if (writing > 0) return writePiece(rest.subarray(piece.length))
      lastTaken = clock.monotonic()
      look()
    })
  }

  /** One timer while anything is written, however much it is. */
  function watch(): void {
    if (isWatching) return
    isWatching = true
    const left = writingSince + writeTimeout - clock.monotonic()
    unwatch = clock.after(Math.max(1, Math.ceil(left)), () => {
      isWatching = false
      if (isStopped || writing === 0) return
      if (clock.monotonic() - writingSince >= writeTimeout) stalled()
      else watch()
    })
  }

  function rest(): void {
    if (empty === undefined) return
    const { linger, done } = empty
    later(linger, () => {
      if (empty === undefined) return
      empty = undefined
      done()
    })
  }

  return {
    get pendingBytes() { return queuedBytes + writing },
    add(packet, size, where) {
      if (isStopped) return NEVER
      const entry = new Entry(packet, size, withdraw)
      const into = where === 'first' ? urgent : queue
      into.add(entry)
      queuedBytes += size
      look()
      return entry
    },
    answered() {
      isCallOut = false
      look()
    },
    unbrake() {
      isBraked = isCallOut = false
      unwait()
      look()
    },
    hold() {
      isHeld = true
    },
    release() {
      isHeld = false
      look()
    },
    clear() {
      urgent.clear()
      queue.clear()
      queuedBytes = 0
      isCallOut = false
    },
    whenEmpty(linger, done) {
      empty = { linger, done }
      look()
    },
    stop() {
      isStopped = true
      urgent.clear()
      queue.clear()
      queuedBytes = 0
      unwait()
      unwatch()
    },
  }
}
