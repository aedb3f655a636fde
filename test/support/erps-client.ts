import { connect as connectTcp, type Socket } from 'node:net'
import type { TestContext } from 'node:test'
import { connect as connectTls, type ConnectionOptions } from 'node:tls'
import { writeExtension } from '../../src/protocol/erps/extension.ts'
import type { Extension, PacketType } from '../../src/protocol/erps/messages.ts'
import { createHead, writePacket } from '../../src/protocol/erps/packet.ts'
import { createPacketReader } from '../../src/protocol/erps/reader.ts'
import { readVersion } from '../../src/protocol/erps/versions.ts'
import { decode } from '../../src/protocol/etf/decode.ts'
import { encode } from '../../src/protocol/etf/encode.ts'
import { Atom, Tuple, type Term } from '../../src/protocol/etf/term.ts'
import { createInbox } from './events.ts'

/** A client of Erps that does only what a test says. It keeps nothing of what an original keeps, and waits between no packets. */
export interface ErpsClient {
  readonly socket: Socket
  send(bytes: Uint8Array): void
  /** @param extension what makes it a Waystation */
  packet(type: PacketType, term: Term, extension?: Extension): void
  call(ref: Term, request: Term): void
  cast(request: Term): void
  /** The next packet: its type, and its term with binaries that are UTF-8 as text. */
  next(): Promise<[PacketType, Term]>
  taken(): [PacketType, Term][]
  /** The answer to a call of its own. */
  ask(request: Term): Promise<Term>
  /** Settles when the connection is over. */
  readonly ended: Promise<void>
}

export interface ErpsClientOptions {
  readonly tls?: ConnectionOptions
  readonly host?: string
  readonly identifier?: string
  readonly version?: string
}

export const atom = (name: string): Atom => new Atom(name)

/** A packet as a client sends it. */
export function packetBytes(type: PacketType, payload: Buffer, { identifier = '', version = '0.0.0' }: ErpsClientOptions = {}): Buffer {
  const stated = readVersion(version)
  if (stated === undefined) throw new Error(`no version: ${version}`)
  return writePacket(createHead({ version: stated, identifier: Buffer.from(identifier) }), type, [payload])
}

export async function connectErps(t: TestContext, port: number, options: ErpsClientOptions = {}): Promise<ErpsClient> {
  const { tls, host = '127.0.0.1' } = options
  const socket = tls === undefined ? connectTcp({ port, host }) : connectTls({ port, host, ...tls })
  t.after(() => socket.destroy())
  const inbox = createInbox<[PacketType, Term]>('packet of the service')
  const reader = createPacketReader({ maxBytes: 64 << 20 })
  socket.on('data', (chunk: Buffer) => {
    for (const { type, payload } of reader.push(chunk)) inbox.push([type, payload.length === 0 ? [] : decode(payload, { binaries: 'text' }).term])
  })
  socket.on('error', () => {})
  const ended = new Promise<void>((resolve) => socket.on('close', () => {
    inbox.end(new Error('the connection is over'))
    resolve()
  }))
  await new Promise<void>((resolve, reject) => {
    socket.once('error', reject)
    socket.once(tls === undefined ? 'connect' : 'secureConnect', resolve)
  })
  let refs = 0
  const client: ErpsClient = {
    socket, ended,
    send: (bytes) => void socket.write(bytes),
    packet(type, term, extension) {
      const payload = encode(term)
      client.send(packetBytes(type, extension === undefined ? payload : Buffer.concat([payload, writeExtension(extension)]), options))
    },
    call: (ref, request) => client.packet('call', new Tuple(ref, request)),
    cast: (request) => client.packet('cast', request),
    next: () => inbox.next(),
    taken: () => inbox.taken(),
    async ask(request) {
      const ref = ++refs
      client.call(ref, request)
      const [type, term] = await inbox.next()
      if (type !== 'reply' || !(term instanceof Tuple) || term.elements[1] !== ref) throw new Error(`no answer: ${type} ${JSON.stringify(term)}`)
      return term.elements[0] as Term
    },
  }
  return client
}

/** Makes it a Waystation, and waits until the other end knows. */
export async function sayHello(client: ErpsClient): Promise<void> {
  client.packet('keepalive', [], { kind: 'hello', nonce: Buffer.alloc(16, 7), work: undefined })
  const [type] = await client.next()
  if (type !== 'reply') throw new Error(`no welcome, but ${type}`)
}
