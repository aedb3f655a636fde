import { connect as connectTcp, type NetConnectOpts, type Socket } from 'node:net'
import type { TestContext } from 'node:test'
import { until } from './events.ts'

/** A bare TCP connection, for what no client library would send. */
export interface Raw {
  readonly socket: Socket
  send(data: string | Uint8Array): void
  /** Everything received so far. */
  received(): Buffer
  /** Waits until what was received satisfies the condition, and gives it. */
  until(condition: (received: Buffer) => boolean, ms?: number): Promise<Buffer>
  /** Everything, when the other side has ended. */
  readonly ended: Promise<Buffer>
}

export function raw(t: TestContext, to: number | NetConnectOpts): Promise<Raw> {
  const socket = connectTcp(typeof to === 'number' ? { port: to, host: '127.0.0.1' } : to)
  t.after(() => socket.destroy())
  const chunks: Uint8Array[] = []
  const received = (): Buffer => Buffer.concat(chunks)
  socket.on('data', (chunk: Buffer) => chunks.push(chunk))
  socket.on('error', () => {})
  const ended = new Promise<Buffer>((resolve) => socket.on('close', () => resolve(received())))
  return new Promise((resolve, reject) => {
    socket.once('error', reject)
    socket.once('connect', () => resolve({
      socket,
      received,
      ended,
      send: (data) => void socket.write(data),
      async until(condition, ms) {
        await until(() => condition(received()), 'what was to be received', ms)
        return received()
      },
    }))
  })
}

/** Sends one request as it stands and gives everything that came until the other side ended. */
export async function exchange(t: TestContext, to: number | NetConnectOpts, request: string | Uint8Array): Promise<string> {
  const connection = await raw(t, to)
  connection.send(request)
  return (await connection.ended).toString('latin1')
}

/** A client frame with a zero mask, so that the payload stands in it as it is. */
export function clientFrame(opcode: number, payload: string | Uint8Array, { fin = true, rsv = 0, masked = true } = {}): Buffer {
  const body = Buffer.from(payload as string)
  const first = (fin ? 0x80 : 0) | (rsv << 4) | opcode
  const mask = masked ? 0x80 : 0
  const head = body.length < 126
    ? Buffer.from([first, mask | body.length])
    : body.length < 65_536
      ? Buffer.from([first, mask | 126, body.length >> 8, body.length & 0xff])
      : Buffer.concat([Buffer.from([first, mask | 127]), bigEndian(body.length)])
  return Buffer.concat([head, Buffer.alloc(masked ? 4 : 0), body])
}

function bigEndian(length: number): Buffer {
  const bytes = Buffer.alloc(8)
  bytes.writeBigUInt64BE(BigInt(length))
  return bytes
}

/** The handshake of a WebSocket client, to be sent over a bare connection. */
export function handshake(path: string, headers: Record<string, string> = {}): string {
  const all: Record<string, string> = {
    Host: '127.0.0.1', Connection: 'Upgrade', Upgrade: 'websocket', 'Sec-WebSocket-Version': '13', 'Sec-WebSocket-Key': 'dGhlIHNhbXBsZSBub25jZQ==', ...headers,
  }
  return `GET ${path} HTTP/1.1\r\n${Object.entries(all).map(([name, value]) => `${name}: ${value}\r\n`).join('')}\r\n`
}
