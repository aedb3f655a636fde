import type { Socket } from 'node:net'
import { closeFrame, CLOSE_STATUS, PING_FRAME, pongFrame } from '../protocol/websocket/frame.ts'
import { readFrames, type FrameHandler, type ReaderBounds, type UnfinishedMessage } from '../protocol/websocket/reader.ts'
import { roomOn, StallWatch } from './stall.ts'

/** One timer for many connections; the shape of the hub's wheel. */
export interface Ticker {
  readonly now: number
  add(one: Ticked, ms: number): void
  remove(one: Ticked): void
}
interface Ticked {
  wheelSlot: Set<Ticked> | undefined
  tick(now: number): number
}

/** What waits for a connection elsewhere; the shape of a fan-out's arrears. */
interface Owed {
  readonly bytes: number
  drained(): void
  settle(): void
}

export interface WebSocketBounds {
  readonly maxFrameBytes: number
  readonly maxPendingBytes: number
  readonly writeTimeout: number
  readonly pingInterval: number
  readonly pongDeadline: number
}

/** What has come of a WebSocket message that has not come whole. */
export interface Unfinished {
  /** Which one it is, counted from 1: another one has another number. */
  readonly number: number
  /** Bytes of it that have come, headers included; 0 while none is on its way. */
  readonly bytes: number
  /** Bytes of payload that its frames have announced so far. */
  readonly announced: number
  /** Bytes of memory that it takes, about. */
  readonly kept: number
}

export interface WebSocketEvents {
  /**
   * A whole message; text is valid UTF-8. The header of its frame, as a server sends it, stands right before it in memory.
   * Nothing comes any more once this end has said goodbye.
   */
  message(data: Buffer, binary: boolean): void
  /** Something came in, and the messages that it completes were told before; this is left. */
  arrived?(unfinished: Unfinished): void
  /** What came in breaks the WebSocket protocol, or is too long; `closed` follows. */
  broken?(reason: string): void
  closed(): void
}

/** Close codes that are sent from here (RFC 6455, section 7.4.1, and the private range). */
export const CLOSE = { normal: 1000, goingAway: 1001, notText: 1007, forbidden: 1008, tryLater: 1013, gone: 4410 } as const

/** What all connections of one transport share. */
export interface Shared {
  readonly bounds: WebSocketBounds
  readonly ticker: Ticker
  readonly reading: ReaderBounds
  /** For those whose messages nobody wants any more. */
  readonly discarding: ReaderBounds
}

/** Pings in one read. */
const MOST_PINGS = 60
/** Bytes that wait, past which pings are not answered. */
const UNREAD = 65_536
const NO_MESSAGE: Unfinished = { number: 0, bytes: 0, announced: 0, kept: 0 }
const CONNECTION = Symbol('connection')
type Carrier = Socket & { [CONNECTION]: WebSocketConnection }

/* One function for all sockets: a closure for each would weigh a tenth of what a connection may. */
function onData(this: Socket, chunk: Buffer): void {
  (this as Carrier)[CONNECTION].take(chunk)
}
function onDrain(this: Socket): void {
  (this as Carrier)[CONNECTION].arrears?.drained()
}
function onEnd(this: Socket): void {
  (this as Carrier)[CONNECTION].halfClosed()
}
function onError(this: Socket): void {
  this.destroy()
}
function onClose(this: Socket): void {
  (this as Carrier)[CONNECTION].over()
}

/** Where a connection stands: open; a goodbye is said from here, or from both sides, and the rest is waited for; over. */
const STATE = { open: 0, closing: 1, closed: 2, over: 3 } as const

/**
 * One open WebSocket: the writing end of a subscription, kept alive by pings, and bounded. Idle, it is this one object beside
 * its socket: what only some need at some time (a message on its way, a watch over what is owed) is made when it is needed.
 */
export class WebSocketConnection implements FrameHandler {
  slot = -1
  wheelSlot: Set<Ticked> | undefined = undefined
  /** What waits for it in a fan-out. */
  arrears: Owed | undefined = undefined
  readonly #socket: Socket
  readonly #shared: Shared
  readonly #events: WebSocketEvents
  #state: number = STATE.open
  #paused = false
  #lastSeen: number
  #nextPing: number
  #stall: StallWatch | undefined = undefined
  #unfinished: UnfinishedMessage | undefined = undefined
  #unfinishedCount = 0
  /** Of one read. */
  #pings = 0

  constructor(socket: Socket, shared: Shared, events: WebSocketEvents) {
    this.#socket = socket
    this.#shared = shared
    this.#events = events
    const { bounds, ticker } = shared
    this.#lastSeen = Math.floor(ticker.now)
    this.#nextPing = Math.floor(ticker.now) + bounds.pingInterval
    ticker.add(this, Math.min(bounds.pingInterval, bounds.pongDeadline));
    (socket as Carrier)[CONNECTION] = this
    socket.setTimeout(0)
    socket.on('data', onData)
    socket.on('drain', onDrain)
    socket.on('end', onEnd)
    socket.on('error', onError)
    socket.on('close', onClose)
  }

  /** Whether neither side has begun to say goodbye. */
  get open(): boolean {
    return this.#state === STATE.open && !this.#socket.destroyed
  }

  get pendingBytes(): number {
    const { arrears } = this
    return arrears === undefined ? this.#socket.writableLength : this.#socket.writableLength + arrears.bytes
  }

  write(chunk: Buffer): boolean {
    if (this.#state !== STATE.open) return true
    const takesMore = this.#socket.write(chunk)
    // However large the write was, the system may have taken all of it.
    if (this.#socket.writableLength === 0) return true
    this.#watch()
    return takesMore
  }

  /** The same for several, with one call of the system. */
  writeAll(chunks: readonly Buffer[]): boolean {
    if (this.#state !== STATE.open) return true
    const socket = this.#socket
    let takesMore = true
    socket.cork()
    for (const chunk of chunks) takesMore = socket.write(chunk)
    socket.uncork()
    if (socket.writableLength === 0) return true
    this.#watch()
    return takesMore
  }

  #watch(): void {
    const { ticker, bounds } = this.#shared
    const stall = (this.#stall ??= new StallWatch(this.#socket, bounds.writeTimeout))
    if (!stall.begin(ticker.now)) return
    ticker.add(this, Math.max(1, Math.min(stall.due, this.#nextPing) - ticker.now))
  }

  /** Nothing more is read until `resume`, but for what has come in already. */
  pause(): void {
    if (this.#paused) return
    this.#paused = true
    this.#socket.pause()
  }

  resume(): void {
    if (!this.#paused) return
    this.#paused = false
    this.#lastSeen = Math.floor(this.#shared.ticker.now)
    this.#socket.resume()
  }

  /** @internal bytes of the connection */
  take(chunk: Buffer): void {
    const { ticker, reading, discarding } = this.#shared
    this.#lastSeen = Math.floor(ticker.now)
    if (this.#state > STATE.closing) return
    this.#pings = 0
    const left = readFrames(chunk, this.#unfinished, this.#state === STATE.open ? reading : discarding, this)
    if (left !== undefined && left !== this.#unfinished) left.number = ++this.#unfinishedCount
    this.#unfinished = this.#state > STATE.closing ? undefined : left
    // Also behind a goodbye: who counts, and who waits for the place of one that has left, is not to wait for the end.
    this.#events.arrived?.(this.#unfinished ?? NO_MESSAGE)
  }

  /** @internal */
  message(payload: Buffer, binary: boolean): void {
    if (this.#state === STATE.open) this.#events.message(payload, binary)
  }

  /** @internal */
  ping(payload: Buffer): void {
    if (this.#state !== STATE.open) return
    // A small question must not cost an answer each time: of many at once only a flood is made.
    if (++this.#pings > MOST_PINGS) return this.destroy()
    // Whoever does not take what was sent before is asked for no more patience: the answer would stand behind it.
    if (this.#socket.writableLength <= UNREAD) this.write(pongFrame(payload))
  }

  /** @internal the other side says goodbye */
  closing(code: number, reason: Buffer): void {
    this.#answer(code === CLOSE_STATUS.none ? closeFrame() : closeFrame(code, reason))
  }

  /** @internal */
  broken(code: number, why: string): void {
    this.#answer(closeFrame(code))
    this.#events.broken?.(why)
  }

  /** Says the last word, unless it was said, and ends. What was owed goes out before it. */
  #answer(lastWord: Buffer): void {
    if (this.#state === STATE.open) this.#sayLast(lastWord)
    this.#state = STATE.closed
    this.#unfinished = undefined
    this.#paused = false
    this.#socket.resume()
    this.#socket.end()
  }

  #sayLast(word: Buffer): void {
    this.arrears?.settle()
    this.#socket.write(word)
    this.#state = STATE.closing
    this.#endInTime()
  }

  /** From here on the next look is the end. */
  #endInTime(): void {
    const { ticker, bounds } = this.#shared
    this.#nextPing = Math.floor(ticker.now) + bounds.writeTimeout
    ticker.add(this, bounds.writeTimeout)
  }

  /** Says goodbye. What is pending goes out first, as long as the peer takes it. */
  close(code: number, reason: string): void {
    if (this.#state !== STATE.open) return
    // The goodbye of the other side would not be seen otherwise.
    this.resume()
    this.#sayLast(closeFrame(code, Buffer.from(reason)))
  }

  evict(): void {
    this.close(CLOSE.tryLater, 'slow consumer')
  }

  /** Goes on only with whoever comes back: what it was here for is not whole any more. */
  gone(why: string): void {
    this.close(CLOSE.gone, why)
  }

  /** Ends without a word. */
  destroy(): void {
    this.#state = STATE.closed
    this.#socket.destroy()
  }

  /** @internal the other side says nothing more, and no goodbye; it may still take what it is owed */
  halfClosed(): void {
    if (this.#state === STATE.open) {
      this.arrears?.settle()
      this.#endInTime()
    }
    this.#state = STATE.closed
    this.#unfinished = undefined
    this.#socket.end()
  }

  /** @internal the socket is closed */
  over(): void {
    this.#state = STATE.over
    this.#unfinished = undefined
    this.#shared.ticker.remove(this)
    this.#events.closed()
  }

  room(): Promise<void> | undefined {
    if (this.#state !== STATE.open) return Promise.reject(new Error('the connection is closing'))
    return roomOn(this.#socket, this.#shared.bounds.maxPendingBytes / 2)
  }

  tick(now: number): number {
    const { pingInterval, pongDeadline } = this.#shared.bounds
    // Who is not listened to cannot be heard.
    if (this.#paused) this.#lastSeen = Math.floor(now)
    const isLate = now - this.#lastSeen >= pongDeadline || this.#stall?.overdue(now) === true
    if (isLate || (this.#state !== STATE.open && now >= this.#nextPing)) {
      this.#socket.destroy()
      return 0
    }
    if (now >= this.#nextPing) {
      this.#nextPing += pingInterval
      this.write(PING_FRAME)
    }
    return Math.max(1, Math.min(this.#nextPing, this.#lastSeen + pongDeadline, this.#stall?.due ?? Infinity) - now)
  }
}
