import type { IncomingMessage } from 'node:http'
import { duplexPair, type Duplex } from 'node:stream'
import { createWheel } from '../../src/core/wheel.ts'
import { createWebSocketAcceptor } from '../../src/http/websocket.ts'
import type { Unfinished, WebSocketBounds, WebSocketConnection, WebSocketEvents } from '../../src/http/websocket-connection.ts'
import { createManualClock, type ManualClock } from '../../src/testing/manual-clock.ts'
import { readFrames } from './frames.ts'

/** A WebSocket of ours in memory, on a clock that stands still, and the bare other end. */
export interface WebSocketPair {
  readonly connection: WebSocketConnection
  readonly clock: ManualClock
  /** Our end of the stream. */
  readonly near: Duplex
  readonly far: Duplex
  /** What the connection has told, a line for each; of what is unfinished the last alone. */
  readonly told: string[]
  readonly unfinished: Unfinished | undefined
  /** For each time that it was told of something that came: whether the connection was open then. */
  readonly arrivals: readonly boolean[]
  /** What came at the far end behind the answer to the handshake, and was not asked for yet: `opcode:payload`, a Close as its code and reason. */
  came(): string[]
  /** The answer to the handshake. */
  head(): string
  /** Waits until nothing moves any more. */
  quiet(): Promise<void>
}

const BOUNDS: WebSocketBounds = { maxFrameBytes: 16_777_216, maxPendingBytes: 1_000_000, writeTimeout: 10_000, pingInterval: 27_000, pongDeadline: 30_000 }
export const KEY = 'dGhlIHNhbXBsZSBub25jZQ=='

/** @param options `reads` false: the far end takes nothing until it is resumed; `echo`: messages are sent back */
export function openInMemory(options: Partial<WebSocketBounds> & { head?: Buffer; reads?: 'at once' | 'later'; messages?: 'echoed' | 'told' } = {}): WebSocketPair {
  const { head = Buffer.alloc(0), reads = 'at once', messages = 'told', ...bounds } = options
  const clock = createManualClock()
  const [near, far] = duplexPair()
  let written = 0
  const write = near.write.bind(near)
  // What a socket has, and a stream in memory has not.
  Object.defineProperty(near, 'bytesWritten', { get: () => written })
  Object.assign(near, {
    setTimeout: () => near,
    write(chunk: Buffer | string) {
      written += chunk.length
      return write(chunk)
    },
  })
  const told: string[] = []
  let unfinished: Unfinished | undefined
  const arrivals: boolean[] = []
  const chunks: Buffer[] = []
  far.on('error', () => {})
  if (reads === 'at once') far.on('data', (chunk: Buffer) => chunks.push(chunk))
  else far.pause().on('data', (chunk: Buffer) => chunks.push(chunk)).pause()
  const events: WebSocketEvents = {
    message(data, binary) {
      told.push(`${binary ? 'binary' : 'text'} ${data.length > 30 ? data.length : data.toString()}`)
      if (messages === 'echoed') connection?.write(Buffer.concat([headerBefore(data), data]))
    },
    arrived(left) {
      unfinished = left.bytes === 0 ? undefined : { number: left.number, bytes: left.bytes, announced: left.announced, kept: left.kept }
      arrivals.push(connection?.open === true)
    },
    broken: (why) => void told.push(`broken: ${why}`),
    closed: () => void told.push('closed'),
  }
  const acceptor = createWebSocketAcceptor({ ...BOUNDS, ...bounds }, createWheel(clock))
  const connection = acceptor.accept({ headers: { 'sec-websocket-key': KEY } } as IncomingMessage, near, head, events)
  if (connection === undefined) throw new Error('it was not accepted')
  if (told.length > 0) throw new Error('it told something before it was there')

  let asked = 0
  const behindHead = (): Buffer => {
    const all = Buffer.concat(chunks)
    return all.subarray(all.indexOf('\r\n\r\n') + 4)
  }
  return {
    connection, clock, near, far, told, arrivals,
    get unfinished() { return unfinished },
    head: () => Buffer.concat(chunks).toString('latin1').split('\r\n\r\n')[0] ?? '',
    came() {
      const { frames, rest } = readFrames(behindHead().subarray(asked))
      asked = behindHead().length - rest.length
      return frames.map(({ opcode, payload, fin, masked, rsv }) => {
        const text = opcode === 8 ? `${payload.length < 2 ? '' : payload.readUInt16BE(0)}${payload.toString('utf8', 2)}` : payload.length > 125 ? `${payload.length} bytes` : payload.toString()
        return `${fin && !masked && rsv === 0 ? '' : 'odd '}${opcode}:${text}`
      })
    },
    async quiet() {
      let [before, still] = [-1, 0]
      while (still < 4) {
        await new Promise((resolve) => setImmediate(resolve))
        const now = chunks.length + told.length + near.readableLength + far.readableLength
        still = now === before ? still + 1 : 0
        before = now
      }
    },
  }
}

/** The header that stands in memory before a message. */
function headerBefore(data: Buffer): Buffer {
  const size = data.length < 126 ? 2 : data.length < 65_536 ? 4 : 10
  return Buffer.from(data.buffer, data.byteOffset - size, size)
}
