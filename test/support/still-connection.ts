import type { Server } from 'node:http'
import { connect } from 'node:net'
import { duplexPair, type Duplex } from 'node:stream'
import { OPCODE, readFrames } from './frames.ts'
import { clientFrame, handshake } from './raw.ts'
import { request } from './responses.ts'

export type Kind = 'websocket' | 'sse'

/**
 * A subscriber of a server in this process, with no network between: no kernel takes megabytes before the server notices that nobody
 * reads. It reads only when it is told to.
 */
export interface StillConnection {
  readonly kind: Kind
  /** From here on everything that comes, and what has come. */
  read(): void
  stopReading(): void
  /** The texts of all messages, and in their place `ping`, `close CODE REASON`, and comments of an event stream. */
  readonly got: readonly string[]
  readonly ended: boolean
  send(opcode: number, payload?: string | Uint8Array): void
  destroy(): void
}

/** The client's end of a connection: without a network to a server in this process, or to the path of a UNIX socket. */
export function stillSocket(server: Server | string): Duplex {
  if (typeof server === 'string') return connect(server)
  const [near, far] = duplexPair()
  server.emit('connection', Object.assign(far, { setTimeout: () => far, bytesWritten: 0, remoteAddress: '127.0.0.1' }))
  near.on('close', () => far.destroy())
  return near
}

/** Settles when it has joined; it does not read any more then. */
export async function openStill(server: Server | string, kind: Kind, path: string): Promise<StillConnection> {
  const near = stillSocket(server)
  const got: string[] = []
  let rest: Buffer = Buffer.alloc(0)
  let ended = false
  near.on('error', () => {}).on('close', () => (ended = true)).on('end', () => near.end())
  near.write(kind === 'websocket' ? handshake(path) : request(`GET ${path}`, { headers: { Accept: 'text/event-stream' } }))
  await untilHead(near, kind)
  const take = kind === 'websocket' ? frames : events
  near.on('data', (chunk: Buffer) => {
    rest = take(rest.length === 0 ? chunk : Buffer.concat([rest, chunk]), got)
    if (kind === 'websocket' && got.at(-1)?.startsWith('close ') === true) near.end(clientFrame(OPCODE.close, ''))
  })
  near.pause()
  return {
    kind,
    got,
    get ended() { return ended },
    read: () => void near.resume(),
    stopReading: () => void near.pause(),
    send: (opcode, payload = '') => void near.write(clientFrame(opcode, payload)),
    destroy: () => void near.destroy(),
  }
}

/** What is behind it stays where it is. */
async function untilHead(near: Duplex, kind: Kind): Promise<void> {
  const end = kind === 'websocket' ? '\r\n\r\n' : '\n\n'
  let head = ''
  while (!head.endsWith(end)) {
    const byte = near.read(1) as Buffer | null
    // Whoever listens for 'readable' reads on by itself when it stops listening.
    if (byte === null) await new Promise(setImmediate)
    else head += byte.toString('latin1')
  }
  if (!/^HTTP\/1\.1 (101|200) /.test(head)) throw new Error(head)
}

function frames(bytes: Buffer, got: string[]): Buffer {
  const read = readFrames(bytes)
  for (const { opcode, payload } of read.frames) {
    if (opcode === OPCODE.ping) got.push('ping')
    else if (opcode === OPCODE.close) got.push(`close ${payload.readUInt16BE(0)} ${payload.toString('utf8', 2)}`)
    else got.push(payload.toString())
  }
  return read.rest
}

function events(bytes: Buffer, got: string[]): Buffer {
  const end = bytes.lastIndexOf('\n\n')
  if (end === -1) return bytes
  for (const line of bytes.toString('utf8', 0, end).split('\n')) {
    if (line.startsWith('data: ')) got.push(line.slice(6))
    else if (line.startsWith(':')) got.push(line)
  }
  return bytes.subarray(end + 2)
}
