import { createHash, createHmac, createSecretKey } from 'node:crypto'
import { createServer, type AddressInfo, type Server, type Socket } from 'node:net'
import { bytesToSign, claims } from '../../src/protocol/lonelyps/claims.ts'
import { createChecker } from '../../src/protocol/lonelyps/authorization.ts'
import { parseReceivePrefix } from '../../src/protocol/lonelyps/requests.ts'
import { encodeConfirmReceive } from '../../src/protocol/lonelyps/responses.ts'
import type { Hosts, SchemeName } from '../task.ts'
import { schemeOf } from './lonelyps.ts'

const NONE = Buffer.alloc(0)
const NONCE = 'benchnonce'
/** The hub's identifiers have eight bytes. */
const IDENTIFIER = 8
/** One in so many is verified as a subscriber would; the others are only counted, so that the load costs less than the hub. */
const VERIFIED = 64
const DATE_EVERY_MS = 1_000

export interface Receivers {
  readonly urls: readonly string[]
  close(): void
}

export interface ReceiverOptions {
  readonly count: number
  readonly hosts: Hosts
  readonly scheme: SchemeName
  /** Whether this one ever answers. */
  answers(index: number): boolean
  /** Told of each webhook that has come whole, with what it carries. */
  arrived(index: number, message: Buffer): void
}

/** Subscribers' urls, with a port each or all on one. Bare sockets: what each answers is made beforehand but for its proof. */
export async function openReceivers({ count, hosts, scheme, answers, arrived }: ReceiverOptions): Promise<Receivers> {
  const sockets = new Set<Socket>()
  const urls: string[] = []
  const answerers: ((identifier: Buffer, at: number) => Buffer)[] = []
  const checker = createChecker(schemeOf(scheme, 'subscribers'), { now: Date.now, lifetime: 120_000, remember: () => true })
  let seen = 0

  function verify(index: number, head: string, body: Buffer): void {
    const prefix = parseReceivePrefix(body)
    if (prefix === 'more') throw new Error('a webhook was no receive webhook')
    const { topic, identifier, tracing, size } = prefix
    const sha512 = createHash('sha512').update(body.subarray(size)).digest()
    const verdict = checker.checkBound(/\r\nauthorization: ([^\r]*)/i.exec(head)?.[1], claims.receive({ url: urls[index] as string, topic, identifier, sha512, tracing }))
    if (verdict !== 'ok') throw new Error(`a webhook's authorization is ${verdict}`)
  }

  function onWebhook(socket: Socket, head: string, body: Buffer): void {
    const index = Number(head.slice('POST /'.length, head.indexOf(' ', 'POST /'.length)))
    if (seen++ % VERIFIED === 0) verify(index, head, body)
    // Behind the tracing and the topic, each counted in two bytes, stand the identifier and the length.
    const topicAt = 2 + body.readUInt16BE(0)
    const identifierAt = topicAt + 2 + body.readUInt16BE(topicAt)
    arrived(index, body.subarray(identifierAt + 1 + IDENTIFIER + 8))
    if (answers(index)) socket.write((answerers[index] as (identifier: Buffer, at: number) => Buffer)(body, identifierAt + 1))
  }

  function onConnection(socket: Socket): void {
    sockets.add(socket)
    socket.setNoDelay(true)
    socket.on('close', () => sockets.delete(socket)).on('error', () => {})
    let rest: Buffer = NONE
    socket.on('data', (chunk: Buffer) => {
      rest = rest.length === 0 ? chunk : Buffer.concat([rest, chunk])
      for (;;) {
        const end = rest.indexOf('\r\n\r\n')
        if (end === -1) return
        const head = rest.toString('latin1', 0, end)
        const size = end + 4 + Number(/\r\ncontent-length: (\d+)/i.exec(head)?.[1])
        if (rest.length < size) return
        const body = rest.subarray(end + 4, size)
        rest = rest.subarray(size)
        onWebhook(socket, head, body)
      }
    })
  }

  const servers: Server[] = []
  for (let index = 0; index < count; index++) {
    if (hosts === 'many' || index === 0) servers.push(await listen(onConnection))
    const url = `http://127.0.0.1:${portOf(servers.at(-1) as Server)}/${index}`
    urls.push(url)
    answerers.push(createAnswerer(url, scheme))
  }
  return {
    urls,
    close() {
      for (const server of servers) server.close()
      for (const socket of sockets) socket.destroy()
    },
  }
}

export function portOf(server: Server): number {
  return (server.address() as AddressInfo).port
}

export async function listen(onConnection: (socket: Socket) => void): Promise<Server> {
  const server = createServer(onConnection)
  await new Promise<void>((resolve) => server.listen({ port: 0, host: '127.0.0.1', backlog: 4_096 }, resolve))
  return server
}

/** CONFIRM_RECEIVE with its HTTP head. Only the identifier, and the MAC over it, differ from one answer to the next. */
export function createAnswerer(url: string, scheme: SchemeName): (from: Buffer, at: number) => Buffer {
  const key = scheme === 'hmac' ? createSecretKey(Buffer.alloc(64, 1)) : undefined
  const identifier = Buffer.alloc(IDENTIFIER)
  let madeAt = 0
  let signed: Buffer = NONE
  let answer: Buffer = NONE
  let macAt = 0

  /** The time in a signature may be some seconds old. */
  function renew(now: number): void {
    madeAt = now
    const time = Math.floor(now / 1_000)
    const blank = key === undefined ? '' : `X-HMAC ${time}:${NONCE}:${'A'.repeat(86)}==`
    const body = encodeConfirmReceive({ authorization: blank, tracing: NONE, identifier, subscribers: 1 })
    answer = Buffer.concat([Buffer.from(`HTTP/1.1 200 OK\r\nContent-Length: ${body.length}\r\n\r\n`), body])
    macAt = answer.indexOf('AAAA')
    signed = bytesToSign(claims.confirmReceive({ identifier, subscribers: 1, url, tracing: NONE }), time, NONCE)
  }

  return (from, at) => {
    const now = Date.now()
    if (now - madeAt > DATE_EVERY_MS) renew(now)
    const mine = Buffer.from(answer)
    from.copy(mine, mine.length - 4 - IDENTIFIER, at, at + IDENTIFIER)
    if (key === undefined) return mine
    // Behind the type, the time, the nonce, the tracing and the identifier's length.
    from.copy(signed, 1 + 8 + 1 + NONCE.length + 2 + 1, at, at + IDENTIFIER)
    mine.write(createHmac('sha512', key).update(signed).digest('base64'), macAt, 'latin1')
    return mine
  }
}
