import type { ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import type { Arrears } from '../../core/arrears.ts'
import type { Tickable, Wheel } from '../../core/wheel.ts'
import type { Member } from '../../core/fan-out.ts'
import type { Limits } from '../../core/limits.ts'
import { roomOn, StallWatch } from '../../http/stall.ts'
import { HEARTBEAT } from './encode.ts'

const STREAM = Symbol('stream')
type Carrier = Socket & { [STREAM]: EventStream }
type Answer = ServerResponse & { [STREAM]: EventStream }

/* One function for all connections: nothing of an idle stream is a closure. */
function onDrain(this: Socket): void {
  (this as Carrier)[STREAM].arrears?.drained()
}
function onClose(this: ServerResponse): void {
  (this as Answer)[STREAM].over()
}

/** One open event stream: the writing end of a subscription, with its heartbeat, bounded. */
export class EventStream implements Member, Tickable {
  slot = -1
  wheelSlot: Set<Tickable> | undefined = undefined
  /** What waits for it in a fan-out. */
  arrears: Arrears | undefined = undefined
  readonly #response: ServerResponse
  readonly #socket: Socket
  readonly #limits: Limits
  readonly #wheel: Wheel
  readonly #closed: () => void
  #stall: StallWatch | undefined = undefined
  #nextBeat: number
  #closing = false

  /**
   * @param headers beside the ones every stream has
   * @param closed called once, when the connection is gone
   */
  constructor(response: ServerResponse, headers: Record<string, string>, limits: Limits, wheel: Wheel, closed: () => void) {
    this.#response = response
    this.#socket = response.socket as Socket
    this.#limits = limits
    this.#wheel = wheel
    this.#closed = closed
    this.#nextBeat = wheel.now + limits.heartbeat
    // The stream ends with its connection, so it needs no chunks: what is prepared for all can be written as it is.
    response.useChunkedEncodingByDefault = false
    response.shouldKeepAlive = false
    response.writeHead(200, {
      'Content-Type': 'text/event-stream; charset=utf-8',
      'Cache-Control': 'no-cache, no-transform',
      'X-Accel-Buffering': 'no',
      ...headers,
    })
    response.flushHeaders()
    wheel.add(this, limits.heartbeat);
    (this.#socket as Carrier)[STREAM] = this;
    (response as Answer)[STREAM] = this
    this.#socket.on('drain', onDrain)
    response.on('close', onClose)
  }

  get pendingBytes(): number {
    const { arrears } = this
    return arrears === undefined ? this.#socket.writableLength : this.#socket.writableLength + arrears.bytes
  }

  write(chunk: Buffer): boolean {
    if (this.#closing || this.#socket.destroyed) return true
    const takesMore = this.#socket.write(chunk)
    return this.#written(takesMore)
  }

  /** The same for several, with one call of the system. */
  writeAll(chunks: readonly Buffer[]): boolean {
    if (this.#closing || this.#socket.destroyed) return true
    let takesMore = true
    this.#socket.cork()
    for (const chunk of chunks) takesMore = this.#socket.write(chunk)
    this.#socket.uncork()
    return this.#written(takesMore)
  }

  /** What the system took at once does not count, however much it was. */
  #written(takesMore: boolean): boolean {
    if (this.#socket.writableLength === 0) return true
    const stall = (this.#stall ??= new StallWatch(this.#socket, this.#limits.writeTimeout))
    if (stall.begin(this.#wheel.now)) this.#wheel.add(this, Math.max(1, Math.min(stall.due, this.#nextBeat) - this.#wheel.now))
    return takesMore
  }

  room(): Promise<void> | undefined {
    if (this.#closing) return Promise.reject(new Error('the stream is closing'))
    return roomOn(this.#socket, this.#limits.maxPendingBytes / 2)
  }

  /** Ends the stream; a browser comes back by itself, after the time it was told. What was owed goes out before. */
  close(_code: number, reason: string): void {
    if (this.#closing) return
    this.arrears?.settle()
    this.write(Buffer.from(`: ${reason}\n\n`))
    this.#closing = true
    this.#response.end()
  }

  evict(): void {
    this.close(0, 'slow consumer')
  }

  destroy(): void {
    this.#socket.destroy()
  }

  /** @internal the connection is gone */
  over(): void {
    this.#closing = true
    this.#wheel.remove(this)
    this.#closed()
  }

  tick(now: number): number {
    if (this.#stall?.overdue(now) === true) {
      this.destroy()
      return 0
    }
    if (now >= this.#nextBeat) {
      this.#nextBeat = now + this.#limits.heartbeat
      this.write(HEARTBEAT)
    }
    return Math.max(1, Math.min(this.#nextBeat, this.#stall?.due ?? Infinity) - now)
  }
}
