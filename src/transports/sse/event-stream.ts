import type { ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import type { Tickable, Wheel } from '../../core/wheel.ts'
import type { Member } from '../../core/fan-out.ts'
import type { Limits } from '../../core/limits.ts'
import { roomOn, StallWatch } from '../../http/stall.ts'
import { HEARTBEAT } from './encode.ts'

/** One open event stream: the writing end of a subscription, with its heartbeat, bounded. */
export class EventStream implements Member, Tickable {
  slot = -1
  wheelSlot: Set<Tickable> | undefined = undefined
  readonly #response: ServerResponse
  readonly #socket: Socket
  readonly #limits: Limits
  readonly #wheel: Wheel
  readonly #stall: StallWatch
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
    this.#stall = new StallWatch(this.#socket, limits.writeTimeout)
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
    wheel.add(this, limits.heartbeat)
    response.on('close', () => {
      this.#closing = true
      wheel.remove(this)
      closed()
    })
  }

  get pendingBytes(): number {
    return this.#socket.writableLength
  }

  write(chunk: Buffer): void {
    if (this.#closing || this.#socket.destroyed) return
    this.#socket.write(chunk)
    if (!this.#stall.begin(this.#wheel.now)) return
    this.#wheel.add(this, Math.max(1, Math.min(this.#stall.due, this.#nextBeat) - this.#wheel.now))
  }

  room(): Promise<void> | undefined {
    if (this.#closing) return Promise.reject(new Error('the stream is closing'))
    return roomOn(this.#socket, this.#limits.maxPendingBytes / 2)
  }

  /** Ends the stream; a browser comes back by itself, after the time it was told. */
  close(_code: number, reason: string): void {
    if (this.#closing) return
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

  tick(now: number): number {
    if (this.#stall.overdue(now)) {
      this.destroy()
      return 0
    }
    if (now >= this.#nextBeat) {
      this.#nextBeat = now + this.#limits.heartbeat
      this.write(HEARTBEAT)
    }
    return Math.max(1, Math.min(this.#nextBeat, this.#stall.due) - now)
  }
}
