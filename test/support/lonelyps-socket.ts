import { createHash, randomBytes } from 'node:crypto'
import { once } from 'node:events'
import type { TestContext } from 'node:test'
import { WebSocket } from 'ws'
import { claims, type Claim } from '../../src/protocol/lonelyps/claims.ts'
import { connectionNonce, pseudoUrl } from '../../src/protocol/lonelyps/stateful/connection.ts'
import type { ConfirmConfigure, HeaderForm, MessageHead, ReceivePart, ToBroadcaster, ToSubscriber } from '../../src/protocol/lonelyps/stateful/messages.ts'
import { encodeToBroadcaster } from '../../src/protocol/lonelyps/stateful/to-broadcaster.ts'
import { parseToSubscriber } from '../../src/protocol/lonelyps/stateful/to-subscriber.ts'
import { createInbox, type Inbox } from './events.ts'
import { sign, type SchemeName } from './lonelyps.ts'

const NONE = Buffer.alloc(0)

export interface SocketOptions {
  readonly scheme?: SchemeName
  readonly form?: HeaderForm
  readonly zstd?: boolean
  readonly training?: boolean
  readonly initialDictionary?: number
  readonly path?: string
  readonly headers?: Record<string, string>
  /** Milliseconds since 1970, for signatures. */
  readonly now?: () => number
}

/** Everything in one message, or the first part of one. */
export type Part = ReceivePart & { readonly head: MessageHead }

/** A bare client of the stateful protocol: it says what it is told to, and nothing by itself. */
export interface SocketClient {
  readonly ws: WebSocket
  /** What came, in order. */
  readonly inbox: Inbox<ToSubscriber>
  /** The code that the socket was closed with. */
  readonly closed: Promise<number>
  readonly nonce: string
  /** The pseudo-url of the next message from here that takes one. */
  url(): string
  prove(claim: Claim): string | undefined
  send(message: ToBroadcaster): void
  /** Bytes as they are. */
  raw(frame: Buffer | string): void
  subscribe(kind: 'exact' | 'glob', target: string | Buffer): void
  unsubscribe(kind: 'exact' | 'glob', target: string | Buffer): void
  notify(topic: string | Buffer, body: string | Buffer, identifier?: Buffer): Buffer
  /** In parts of so many bytes. */
  notifyParts(topic: string | Buffer, body: Buffer, size: number, identifier?: Buffer): Buffer
  /** The next of its type; anything else before it fails. */
  next<T extends ToSubscriber['type']>(type: T): Promise<Extract<ToSubscriber, { type: T }>>
  /** Acknowledges a part as its last, or as one before it. */
  acknowledge(part: ReceivePart, place?: 'last' | 'earlier'): void
}

const bytes = (text: string | Buffer): Buffer => (typeof text === 'string' ? Buffer.from(text) : text)

/** Connects and shakes hands. */
export async function connectSocket(t: TestContext, port: number, options: SocketOptions = {}): Promise<SocketClient> {
  const client = await openSocket(t, port, options)
  const subscriberNonce = randomBytes(32)
  const configure = { nonce: subscriberNonce, zstd: options.zstd ?? false, training: options.training ?? false, initialDictionary: options.initialDictionary ?? 0, tracing: NONE }
  client.send({ type: 'configure', ...configure, authorization: client.prove(claims.configure(configure)) })
  const { nonce } = await client.next('confirm_configure') as ConfirmConfigure
  client.shake(connectionNonce(subscriberNonce, nonce))
  return client
}

/** Connects only. */
export async function openSocket(t: TestContext, port: number, options: SocketOptions = {}): Promise<SocketClient & { shake(nonce: string): void }> {
  const { scheme = 'none', form = 'minimal', path = '/v1/websocket', now = Date.now } = options
  const ws = new WebSocket(`ws://127.0.0.1:${port}${path}`, { perMessageDeflate: false, ...(options.headers && { headers: options.headers }) })
  t.after(() => ws.terminate())
  const inbox = createInbox<ToSubscriber>('frame')
  const closed = new Promise<number>((resolve) => ws.on('close', resolve))
  ws.on('error', () => {})
  ws.on('message', (data: Buffer, binary: boolean) => {
    const message = binary ? parseToSubscriber(data) : 'a text message'
    if (typeof message === 'string') throw new Error(`the hub sent what cannot be understood: ${message}`)
    inbox.push(message)
  })
  await once(ws, 'open')
  let nonce = ''
  let counter = -1
  const prove = (claim: Claim): string | undefined => sign(scheme, claim, now())
  const client = {
    ws, inbox, closed, prove,
    get nonce() { return nonce },
    shake: (made: string) => void (nonce = made),
    url: () => pseudoUrl(nonce, counter--),
    raw: (frame: Buffer | string) => ws.send(frame),
    send(message: ToBroadcaster) {
      const body = 'body' in message ? message.body : NONE
      ws.send(Buffer.concat([encodeToBroadcaster(message, form), body]))
    },
    subscribe: (kind: 'exact' | 'glob', target: string | Buffer) => want('subscribe', kind, bytes(target)),
    unsubscribe: (kind: 'exact' | 'glob', target: string | Buffer) => want('unsubscribe', kind, bytes(target)),
    notify(topic: string | Buffer, body: string | Buffer, identifier = randomBytes(4)) {
      const head = headOf(bytes(topic), bytes(body))
      client.send({ type: 'notify', identifier, head, body: bytes(body), tracing: NONE, authorization: prove(claims.notify({ ...head, identifier, tracing: NONE })) })
      return identifier
    },
    notifyParts(topic: string | Buffer, body: Buffer, size: number, identifier = randomBytes(4)) {
      const head = headOf(bytes(topic), body)
      for (let part = 0; part === 0 || part * size < body.length; part++) {
        const authorization = prove(claims.notify({ ...head, identifier, tracing: NONE }))
        client.send({ type: 'notify_stream', identifier, part, head: part === 0 ? head : undefined, body: body.subarray(part * size, (part + 1) * size), tracing: NONE, authorization })
      }
      return identifier
    },
    async next<T extends ToSubscriber['type']>(type: T) {
      const message = await inbox.next()
      if (message.type !== type) throw new Error(`expected ${type}, got ${message.type}`)
      return message as Extract<ToSubscriber, { type: T }>
    },
    acknowledge({ identifier, part }: ReceivePart, place: 'last' | 'earlier' = 'last') {
      const url = client.url()
      if (place === 'earlier') client.send({ type: 'continue_receive', identifier, part, tracing: NONE, authorization: prove(claims.continueReceive({ url, identifier, part, tracing: NONE })) })
      else client.send({ type: 'confirm_receive', identifier, subscribers: 1, tracing: NONE, authorization: prove(claims.confirmReceive({ url, identifier, subscribers: 1, tracing: NONE })) })
    },
  }
  function want(verb: 'subscribe' | 'unsubscribe', kind: 'exact' | 'glob', target: Buffer): void {
    const url = client.url()
    const claim = kind === 'exact' ? claims.subscribeExact({ url, recovery: undefined, topic: target, tracing: NONE }) : claims.subscribeGlob({ url, recovery: undefined, glob: target, tracing: NONE })
    const said = { tracing: NONE, authorization: prove(claim) }
    client.send(kind === 'exact' ? { type: `${verb}_exact`, topic: target, ...said } : { type: `${verb}_glob`, glob: target, ...said })
  }
  return client
}

/** What is said of an uncompressed message. */
export function headOf(topic: Buffer, body: Buffer): MessageHead {
  const length = BigInt(body.length)
  return { topic, compressor: 0, compressedLength: length, decompressedLength: length, sha512: createHash('sha512').update(body).digest() }
}
