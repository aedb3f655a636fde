import { connect, type Socket } from 'node:net'
import type { FrameState } from './frames.ts'

const PATIENCE_MS = 50_000
const AT_ONCE = 64
/** All connections read into one buffer: what comes is counted before the next read. */
const shared = Buffer.alloc(262_144)

/** A bare connection; each read is handed on without a stream or an allocation in between. */
export function openSocket(port: number, onBytes: (bytes: Buffer, length: number) => void): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = connect({
      port,
      host: '127.0.0.1',
      noDelay: true,
      onread: {
        buffer: shared,
        callback(length) {
          onBytes(shared, length)
          return true
        },
      },
    })
    socket.on('error', reject)
    socket.on('connect', () => {
      socket.off('error', reject)
      resolve(socket)
    })
    socket.on('close', () => reject(new Error('the server closed a connection')))
  })
}

/** Ends connections from our side, which is no fault of the server. */
export function letGo(sockets: readonly Socket[]): void {
  for (const socket of sockets) socket.removeAllListeners('close').destroy()
}

export interface Connection extends FrameState {
  readonly socket: Socket
}

/** Opens a WebSocket, and settles with its 101. What comes behind it goes to `onFrames`. */
export async function openWebSocket(
  port: number,
  path: string,
  onFrames: (state: FrameState, bytes: Buffer, length: number) => void,
): Promise<Connection> {
  const state: FrameState = { rest: undefined }
  const { promise: opened, resolve, reject } = Promise.withResolvers<void>()
  let head: string | undefined = ''
  const socket = await openSocket(port, (bytes, length) => {
    if (head === undefined) return onFrames(state, bytes, length)
    head += bytes.toString('latin1', 0, length)
    const end = head.indexOf('\r\n\r\n')
    if (end === -1) return
    if (!head.startsWith('HTTP/1.1 101 ')) return reject(new Error(`the server refused a WebSocket: ${head.slice(0, head.indexOf('\r\n'))}`))
    const behind = Buffer.from(head.slice(end + 4), 'latin1')
    head = undefined
    if (behind.length > 0) onFrames(state, behind, behind.length)
    resolve()
  })
  socket.on('close', () => {
    const error = new Error('the server closed a connection')
    if (head !== undefined) return reject(error)
    throw error
  })
  socket.write(
    `GET ${path} HTTP/1.1\r\nHost: bench\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n` +
    'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n',
  )
  await opened
  return Object.assign(state, { socket })
}

/** Opens `count` of something, some at a time, in order. */
export async function openMany<T>(count: number, open: (index: number) => Promise<T>, atOnce = AT_ONCE): Promise<T[]> {
  const all: T[] = []
  let next = 0
  let opened = 0
  const late = setTimeout(() => {
    throw new Error(`only ${opened} of ${count} connections opened within ${PATIENCE_MS / 1000} seconds`)
  }, PATIENCE_MS)
  const worker = async (): Promise<void> => {
    while (next < count) {
      const index = next++
      all[index] = await open(index)
      opened++
    }
  }
  await Promise.all(Array.from({ length: atOnce }, worker))
  clearTimeout(late)
  return all
}
