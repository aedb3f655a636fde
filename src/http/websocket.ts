import type { IncomingMessage } from 'node:http'
import type { Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import { roomOn, StallWatch } from './stall.ts'
import { createUnfinishedWalk, type Unfinished } from './unfinished.ts'
import { WebSocketServer, type WebSocket } from 'ws'

/** One timer for many connections; the shape of the hub's wheel. */
interface Ticker {
  readonly now: number
  add(one: Ticked, ms: number): void
  remove(one: Ticked): void
}
interface Ticked {
  wheelSlot: Set<Ticked> | undefined
  tick(now: number): number
}

export interface WebSocketBounds {
  readonly maxFrameBytes: number
  readonly maxPendingBytes: number
  readonly writeTimeout: number
  readonly pingInterval: number
  readonly pongDeadline: number
}

export interface WebSocketEvents {
  message(data: Buffer, binary: boolean): void
  /** What is left for the reader of what came in, in its place. The frames must stay whole. */
  sift?(chunk: Buffer): Buffer
  /** Something came in, and the messages that it completes were told before; this is left. The same object each time. */
  arrived?(unfinished: Unfinished): void
  /** What came in breaks the WebSocket protocol, or is too long; `closed` follows. */
  broken?(reason: string): void
  closed(): void
}

/** Close codes that are sent from here (RFC 6455, section 7.4.1, and the private range). */
export const CLOSE = { normal: 1000, goingAway: 1001, notText: 1007, forbidden: 1008, tryLater: 1013, gone: 4410 } as const

/**
 * Checks a handshake, as RFC 6455, section 4.2.1, asks, in the order that pinghub answers in.
 * @param versions of the protocol, for those whose clients have an older one: 7 and 8 have the same frames
 * @returns the status that refuses it, 0 when it asks for no WebSocket, or `undefined` when it is good
 */
export function checkHandshake(message: IncomingMessage, originAllowed: (origin: string) => boolean, versions: readonly string[] = ['13']): number | undefined {
  const { headers } = message
  const asks = tokens(headers.connection).includes('upgrade') && tokens(headers.upgrade).includes('websocket')
  if (!asks) return 0
  if (message.method !== 'GET') return 405
  // A body before the frames: whoever sits between would have to agree where it ends.
  if (headers['transfer-encoding'] !== undefined || Number(headers['content-length'] ?? 0) > 0) return 400
  if (!tokens(headers['sec-websocket-version']).some((version) => versions.includes(version))) return 400
  const origin = message.headersDistinct['origin']?.[0]
  if (origin !== undefined && !originAllowed(origin)) return 403
  return /^[+/0-9A-Za-z]{22}==$/.test(headers['sec-websocket-key'] ?? '') ? undefined : 400
}

function tokens(header: string | string[] | undefined): string[] {
  return String(header ?? '').toLowerCase().split(',').map((token) => token.trim())
}

/** Opens WebSockets for one transport. Reading is the library's; what is sent to many goes to the socket as it is. */
export function createWebSocketAcceptor(bounds: WebSocketBounds, ticker: Ticker): {
  accept(message: IncomingMessage, socket: Duplex, head: Buffer, events: WebSocketEvents): WebSocketConnection | undefined
} {
  // A large message may come in packets of 256 bytes, no smaller.
  const maxPieces = Math.max(1_024, Math.ceil(Math.min(bounds.maxFrameBytes / 16, 4_096 + bounds.maxFrameBytes / 256)))
  const server = new WebSocketServer({
    noServer: true,
    clientTracking: false,
    perMessageDeflate: false,
    maxPayload: bounds.maxFrameBytes,
    // Each fragment, and each piece that a frame comes in, costs an object many times its size.
    maxFragments: maxPieces,
    maxBufferedChunks: maxPieces,
    handleProtocols: () => false,
    closeTimeout: bounds.writeTimeout,
  } as ConstructorParameters<typeof WebSocketServer>[0])
  return {
    accept(message, socket, head, events) {
      // The library wants these to be one word each; the check above has seen that the words are in the lists. It refuses
      // some offers of subprotocols, though none is ever taken.
      message.headers.upgrade = 'websocket'
      message.headers['sec-websocket-version'] = '13'
      delete message.headers['sec-websocket-protocol']
      let opened: WebSocketConnection | undefined
      const others = events.sift === undefined ? [] : socket.listeners('data')
      server.handleUpgrade(message, socket, head, (ws) => {
        if (events.sift !== undefined) putBefore(socket, others, events.sift)
        opened = new WebSocketConnection(ws, socket as Socket, bounds, ticker, events)
      })
      return opened
    },
  }
}

/** Puts a sieve between a socket and the library, which has just begun to read it. @param others who read it, too */
function putBefore(socket: Duplex, others: readonly Function[], sift: (chunk: Buffer) => Buffer): void {
  const toReader = socket.listeners('data').find((listener) => !others.includes(listener)) as ((chunk: Buffer) => void) | undefined
  if (toReader === undefined) throw new Error('the WebSocket library does not listen for data')
  socket.removeListener('data', toReader)
  socket.on('data', (chunk: Buffer) => {
    const rest = sift(chunk)
    if (rest.length > 0) toReader.call(socket, rest)
  })
}

const NOTHING = Buffer.alloc(0)
/** Whoever sends a longer message after the goodbye is not listened to. */
const AFTER_CLOSE = 65_536

/** One open WebSocket: the writing end of a subscription, kept alive by pings, and bounded. */
export class WebSocketConnection {
  slot = -1
  wheelSlot: Set<Ticked> | undefined = undefined
  readonly #ws: WebSocket
  readonly #socket: Socket
  readonly #bounds: WebSocketBounds
  readonly #ticker: Ticker
  #closing = false
  #paused = false
  #lastSeen: number
  #nextPing: number
  readonly #stall: StallWatch
  readonly #walk = createUnfinishedWalk()

  constructor(ws: WebSocket, socket: Socket, bounds: WebSocketBounds, ticker: Ticker, events: WebSocketEvents) {
    this.#ws = ws
    this.#socket = socket
    this.#bounds = bounds
    this.#ticker = ticker
    this.#stall = new StallWatch(socket, bounds.writeTimeout)
    this.#lastSeen = ticker.now
    this.#nextPing = ticker.now + bounds.pingInterval
    ticker.add(this, Math.min(bounds.pingInterval, bounds.pongDeadline))
    const { arrived } = events
    const walk = this.#walk
    socket.on('data', arrived === undefined ? () => (this.#lastSeen = ticker.now) : (chunk: Buffer) => {
      this.#lastSeen = ticker.now
      walk.take(chunk)
      if (this.#closing && walk.kept > AFTER_CLOSE) this.#swallow()
      else arrived(walk)
    })
    ws.on('message', (data: Buffer, binary: boolean) => {
      if (!this.#closing) events.message(data, binary)
    })
    // The library has answered with the right close code before it says so; there is nothing left to do.
    ws.on('error', (error) => events.broken?.(error.message))
    ws.on('close', () => {
      this.#closing = true
      ticker.remove(this)
      events.closed()
    })
  }

  /** Whether neither side has begun to say goodbye. */
  get open(): boolean {
    return !this.#closing && this.#ws.readyState === this.#ws.OPEN
  }

  get pendingBytes(): number {
    return this.#socket.writableLength
  }

  write(chunk: Buffer): void {
    // The library answers a Close by itself; nothing may follow it.
    if (!this.open) return
    this.#socket.write(chunk)
    this.#watch()
  }

  /** The same for several, with one call of the system. */
  writeAll(chunks: readonly Buffer[]): void {
    if (!this.open) return
    this.#socket.cork()
    for (const chunk of chunks) this.#socket.write(chunk)
    this.#socket.uncork()
    this.#watch()
  }

  #watch(): void {
    if (!this.#stall.begin(this.#ticker.now)) return
    this.#ticker.add(this, Math.max(1, Math.min(this.#stall.due, this.#nextPing) - this.#ticker.now))
  }

  /** Nothing more is read until `resume`, but for what has come in already. */
  pause(): void {
    if (this.#paused) return
    this.#paused = true
    this.#ws.pause()
  }

  resume(): void {
    if (!this.#paused) return
    this.#paused = false
    this.#lastSeen = this.#ticker.now
    this.#ws.resume()
  }

  /** Says goodbye. What is pending goes out first, as long as the peer takes it. */
  close(code: number, reason: string): void {
    if (this.#closing) return
    this.#closing = true
    // Its own Close would not be seen otherwise.
    this.resume()
    this.#ws.close(code, reason)
    if (this.#walk.bytes > 0) this.#swallow()
  }

  /** The library would keep all of a message that nobody wants. When it has come, everything was said. */
  #swallow(): void {
    const [socket, walk] = [this.#socket, this.#walk]
    const { number } = walk
    socket.removeAllListeners('data')
    socket.on('data', (chunk: Buffer) => {
      walk.take(chunk)
      if (walk.bytes === 0 || walk.number !== number) socket.end()
    })
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
    this.#ws.terminate()
  }

  room(): Promise<void> | undefined {
    if (this.#closing) return Promise.reject(new Error('the connection is closing'))
    return roomOn(this.#socket, this.#bounds.maxPendingBytes / 2)
  }

  tick(now: number): number {
    const { pingInterval, pongDeadline } = this.#bounds
    // Who is not listened to cannot be heard.
    if (this.#paused) this.#lastSeen = now
    if (this.#stall.overdue(now) || now - this.#lastSeen >= pongDeadline) {
      this.#ws.terminate()
      return 0
    }
    if (now >= this.#nextPing) {
      this.#nextPing += pingInterval
      if (!this.#closing) this.#ws.ping(NOTHING, false)
    }
    return Math.max(1, Math.min(this.#nextPing, this.#lastSeen + pongDeadline, this.#stall.due) - now)
  }
}
