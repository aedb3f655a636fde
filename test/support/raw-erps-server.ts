import { once } from 'node:events'
import { createServer as createTcpServer, type AddressInfo, type Server, type Socket } from 'node:net'
import { createServer as createTlsServer, type TlsOptions } from 'node:tls'
import { decode } from '../../src/protocol/etf/decode.ts'
import { encode } from '../../src/protocol/etf/encode.ts'
import { Tuple, type Term } from '../../src/protocol/etf/term.ts'
import { createInbox, type Inbox } from './events.ts'

/* A server of Erps by hand: it looks at each byte that a client sends, and answers as the test says. */

const CODES = { 0: 'keepalive', 1: 'error', 2: 'reply', 3: 'push', 4: 'call', 8: 'cast' } as Readonly<Record<number, string>>
const HEAD = 96

/** A packet as it came. */
export interface RawPacket {
  readonly type: string
  readonly version: string
  readonly identifier: string
  /** Bytes of all of it. */
  readonly size: number
  /** Of the term alone. */
  readonly termBytes: number
  /** `undefined` for the short keepalive. */
  readonly term: Term | undefined
  /** What stands behind the term, where anything does. */
  readonly behind: Buffer
  /** By `performance.now()`. */
  readonly at: number
}

export interface RawClient {
  readonly socket: Socket
  /** Calls and casts. */
  readonly inbox: Inbox<RawPacket>
  /** Keepalives, both forms. */
  readonly keepalives: Inbox<RawPacket>
  reply(to: RawPacket, answer: Term): void
  push(term: Term): void
  /** The text of a refusal, or `{reason, ref}`. */
  error(term: Term): void
}

export interface RawServer {
  readonly port: number
  readonly clients: Inbox<RawClient>
  /** Ends each connection, and lets nobody in any more. */
  close(): Promise<void>
}

/** @param tls with it over TLS @param port any free one when not stated */
export async function rawErpsServer({ tls, port = 0 }: { tls?: TlsOptions; port?: number } = {}): Promise<RawServer> {
  const clients = createInbox<RawClient>('client')
  const sockets = new Set<Socket>()
  const welcome = (socket: Socket): void => void clients.push(rawClient(socket))
  const server: Server = tls === undefined ? createTcpServer({ noDelay: true }, welcome) : createTlsServer(tls, welcome)
  server.on('tlsClientError', () => {})
  server.on('connection', (socket: Socket) => {
    sockets.add(socket)
    socket.on('error', () => {})
    socket.once('close', () => sockets.delete(socket))
  })
  server.listen(port, '127.0.0.1')
  await once(server, 'listening')
  return {
    get port() { return (server.address() as AddressInfo).port },
    clients,
    async close() {
      const closed = once(server, 'close')
      clients.end(new Error('the server is closed'))
      server.close()
      for (const socket of sockets) socket.destroy()
      await closed
    },
  }
}

function rawClient(socket: Socket): RawClient {
  const inbox = createInbox<RawPacket>('packet')
  const keepalives = createInbox<RawPacket>('keepalive')
  let waiting: Buffer = Buffer.alloc(0)
  socket.on('error', () => {})
  socket.once('close', () => [inbox, keepalives].forEach((one) => one.end(new Error('the client is gone'))))
  socket.on('data', (chunk: Buffer) => {
    waiting = Buffer.concat([waiting, chunk])
    for (;;) {
      const packet = read(waiting)
      if (packet === undefined) return
      waiting = waiting.subarray(packet.size)
      const into = packet.type === 'keepalive' ? keepalives : inbox
      into.push(packet)
    }
  })
  const send = (code: number, term: Term): void => void socket.write(rawPacket(code, term))
  return {
    socket, inbox, keepalives,
    reply: (to, answer) => send(2, new Tuple(answer, refOf(to))),
    push: (term) => send(3, term),
    error: (term) => send(1, term),
  }
}

/** The ref of a call. */
export function refOf({ term }: RawPacket): Term {
  return (term as Tuple).elements[0] as Term
}

/** What a call asks for. */
export function requestOf({ term }: RawPacket): Term {
  return (term as Tuple).elements[1] as Term
}

export function rawPacket(code: number, term: Term): Buffer {
  const payload = encode(term)
  const head = Buffer.alloc(HEAD)
  head.write('erps')
  head.writeUInt32BE(payload.length, 4)
  head[8] = code
  return Buffer.concat([head, payload])
}

function read(bytes: Buffer): RawPacket | undefined {
  const at = performance.now()
  if (bytes.length < 9) return undefined
  if (bytes.toString('latin1', 0, 4) !== 'erps') throw new Error('a wrong cookie')
  const length = bytes.readUInt32BE(4)
  if (length === 0 && bytes[8] === 0) return { type: 'keepalive', version: '', identifier: '', size: 9, termBytes: 0, term: undefined, behind: Buffer.alloc(0), at }
  if (bytes.length < HEAD + length) return undefined
  const payload = bytes.subarray(HEAD, HEAD + length)
  const { term, end } = decode(payload)
  return {
    type: CODES[bytes[8] as number] ?? 'unknown',
    version: `${bytes[9]}.${bytes[10]}.${bytes[11]}`,
    identifier: bytes.toString('utf8', 12, 48).replace(/\0+$/, ''),
    size: HEAD + length, termBytes: end, term, behind: payload.subarray(end), at,
  }
}
