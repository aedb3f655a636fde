import type { Socket } from 'node:net'
import type { Member } from '../core/fan-out.ts'
import type { Limits } from '../core/limits.ts'
import type { Tickable, Wheel } from '../core/wheel.ts'
import type { Leaving } from '../http/goodbye.ts'
import { roomOn, StallWatch } from '../http/stall.ts'
import { EtfError } from '../protocol/etf/term.ts'
import { createFrameReader, FrameError, type FrameReader } from '../protocol/pony-express/frame.ts'
import { readFromTaker } from '../protocol/pony-express/from-taker.ts'
import type { FromTaker } from '../protocol/pony-express/messages.ts'

/** Why a taker was sent away: a label of metrics, so there are few. */
export type Farewell =
  /** What it sent is no frame, or no term that a taker sends. */
  | 'bad_frame' | 'bad_term' | 'too_large'
  /** It did not ask for anything in time, or did not end what it had begun. */
  | 'timeout' | 'stalled' | 'slow_consumer'
  | 'too_many_keepalives' | 'too_many_topics' | 'bad_pattern' | 'bad_request' | 'forbidden'
  /** Something is lost that its protocol has no word for. */
  | 'gap'
  | 'revoked' | 'stopped' | 'left'
  /** The daemon has a fault. */
  | 'failed'

export interface TakerEvents {
  /** It has said something that a taker may say. */
  said(said: FromTaker): void
  /** What it asks for is granted. Once, where it is at all. */
  asked?(): void
  /** Something went wrong here that is no fault of its; it is let go. Where nobody wants to know, it is thrown. */
  failed?(error: unknown): void
  /** It gets nothing more. Once. */
  ended(why: Farewell): void
  /** Its connection is over. Once, after `ended`. */
  closed(): void
}

/** ms that the other end has for its goodbye. */
const GOODBYE = 1_000
/** ms between two looks where nothing is due. The wheel has the time only while somebody waits. */
const LOOK = 10_000
/** Bytes of history that wait for one taker: a thousand that do not read must not cost what a thousand that are slow may. */
const HISTORY_BYTES = 1_048_576

/** A taker's connection: frames in, prepared bytes out, both bounded. After its end it takes and gives nothing more. */
export class TakerConnection implements Member, Tickable, Leaving {
  slot = -1
  wheelSlot: Set<Tickable> | undefined = undefined
  /** What has come through one of these is not for this taker. Stays as it is once it has subscribed. */
  names: ReadonlySet<string>
  readonly #socket: Socket
  readonly #limits: Limits
  readonly #wheel: Wheel
  readonly #reader: FrameReader
  readonly #stall: StallWatch
  readonly #events: TakerEvents
  /** By when it must have asked for something. */
  #askBy: number
  /** By when the frame that has begun must end. */
  #frameBy = Infinity
  /** When it is cut off, goodbye or not. */
  #cutAt = Infinity
  #isOver = false

  constructor(socket: Socket, names: ReadonlySet<string>, { limits, wheel }: { limits: Limits; wheel: Wheel }, events: TakerEvents) {
    this.names = names
    this.#socket = socket
    this.#limits = limits
    this.#wheel = wheel
    this.#events = events
    this.#reader = createFrameReader({ maxBytes: limits.maxLinkRequestBytes })
    this.#stall = new StallWatch(socket, limits.writeTimeout)
    wheel.add(this, Math.min(LOOK, limits.linkRequestTimeout))
    this.#askBy = wheel.now + limits.linkRequestTimeout
    socket.on('data', (chunk: Buffer) => this.#take(chunk))
    socket.on('error', () => {})
    socket.on('end', () => this.end('left'))
    socket.on('close', () => {
      this.#over('left')
      wheel.remove(this)
      events.closed()
    })
  }

  get isOver(): boolean {
    return this.#isOver
  }

  get pendingBytes(): number {
    return this.#socket.writableLength
  }

  /** It has asked for something; from now on it may be silent. */
  asked(): void {
    if (this.#askBy === Infinity) return
    this.#askBy = Infinity
    this.#events.asked?.()
  }

  write(chunk: Buffer): void {
    if (this.#isOver || this.#socket.destroyed) return
    this.#socket.write(chunk)
    if (this.#stall.begin(this.#wheel.now)) this.#wheel.add(this, this.#due())
  }

  room(): Promise<void> | undefined {
    if (this.#isOver) return Promise.reject(new Error('the connection is closing'))
    return roomOn(this.#socket, Math.min(HISTORY_BYTES, this.#limits.maxLinkPendingBytes / 2))
  }

  evict(): void {
    this.end('slow_consumer')
  }

  gone(): void {
    this.end('gap')
  }

  close(): void {
    this.end('stopped')
  }

  /** What is pending still goes out, then comes the orderly end. */
  end(why: Farewell): void {
    if (!this.#over(why)) return
    this.#socket.end()
    // However slowly it takes the rest: it has the time of a write, and no more.
    this.#cutAt = this.#wheel.now + this.#limits.writeTimeout
    this.#socket.once('finish', () => {
      this.#cutAt = this.#wheel.now + GOODBYE
      if (this.wheelSlot !== undefined) this.#wheel.add(this, GOODBYE)
    })
    this.#wheel.add(this, this.#due())
  }

  /** At once, whatever is pending. */
  destroy(why: Farewell = 'stopped'): void {
    this.#over(why)
    this.#socket.destroy()
  }

  tick(now: number): number {
    if (now >= this.#cutAt) this.destroy()
    else if (this.#stall.overdue(now)) this.destroy('stalled')
    else if (now >= this.#askBy || now >= this.#frameBy) this.end('timeout')
    return this.#socket.destroyed ? 0 : this.#due()
  }

  #due(): number {
    const next = this.#isOver ? this.#cutAt : Math.min(this.#askBy, this.#frameBy, this.#stall.due)
    return Math.max(1, Math.min(LOOK, next - this.#wheel.now))
  }

  #take(chunk: Buffer): void {
    // What it still says once it has been sent away is thrown away, so that the connection can end in order.
    if (this.#isOver) return
    try {
      for (const payload of this.#reader.push(chunk)) {
        this.#frameBy = Infinity
        this.#events.said(readFromTaker(payload, { maxBytes: this.#limits.maxLinkRequestBytes, maxTopics: this.#limits.maxLinkTopics }))
        if (this.#isOver) return
      }
    } catch (error) {
      const why = reasonOf(error)
      this.end(why)
      if (why !== 'failed') return
      if (this.#events.failed === undefined) throw error
      this.#events.failed(error)
      return
    }
    if (this.#reader.buffered === 0 || this.#frameBy !== Infinity) return
    this.#frameBy = this.#wheel.now + this.#limits.linkRequestTimeout
    this.#wheel.add(this, this.#due())
  }

  /** Whether it was not over before. */
  #over(why: Farewell): boolean {
    if (this.#isOver) return false
    this.#isOver = true
    this.#events.ended(why)
    return true
  }
}

function reasonOf(error: unknown): Farewell {
  if (error instanceof FrameError) return error.code === 'too_large' ? 'too_large' : 'bad_frame'
  if (error instanceof EtfError) return error.code === 'too_large' ? 'too_large' : 'bad_term'
  return 'failed'
}
