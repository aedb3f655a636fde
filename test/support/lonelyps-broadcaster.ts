import { createHash, randomBytes } from 'node:crypto'
import type { AddressInfo } from 'node:net'
import type { TestContext } from 'node:test'
import { WebSocketServer, type WebSocket } from 'ws'
import type { Claim } from '../../src/protocol/lonelyps/claims.ts'
import { claims } from '../../src/protocol/lonelyps/claims.ts'
import { createChecker, readScheme, type Scheme, type Verdict } from '../../src/protocol/lonelyps/authorization.ts'
import { connectionNonce, pseudoUrl } from '../../src/protocol/lonelyps/stateful/connection.ts'
import type { ConfirmReceive, Configure, MessageHead, Notify, NotifyPart, ToBroadcaster, ToSubscriber } from '../../src/protocol/lonelyps/stateful/messages.ts'
import { parseToBroadcaster } from '../../src/protocol/lonelyps/stateful/to-broadcaster.ts'
import { encodeToSubscriber } from '../../src/protocol/lonelyps/stateful/to-subscriber.ts'
import { createInbox, type Inbox } from './events.ts'
import { schemes, sign, type SchemeName } from './lonelyps.ts'
import { connectSubscriber, type Subscriber, type SubscriberOptions } from '../../src/subscriber/index.ts'
import { authOf, type Pair } from './subscriber.ts'

const NONE = Buffer.alloc(0)
export const sha512 = (bytes: Uint8Array): Buffer => createHash('sha512').update(bytes).digest()

type Draft<T> = T extends unknown ? Omit<T, 'authorization' | 'tracing'> : never

/** One subscriber's connection, as a broadcaster that says what it is told to sees it. */
export interface Line {
  readonly ws: WebSocket
  /** What has come, CONFIGURE first. Everything's authorization was verified. */
  readonly inbox: Inbox<ToBroadcaster>
  readonly configured: Configure
  /** Whether and how it has ended. */
  readonly closed: Promise<{ code: number }>
  next<T extends ToBroadcaster['type']>(type: T): Promise<Extract<ToBroadcaster, { type: T }>>
  /** Signs and sends; counts where the protocol counts. @param url in place of the right one */
  say(message: Draft<ToSubscriber>, url?: string): void
  /** Confirms a (un)subscription with the url that it was signed with. */
  confirm(message: ToBroadcaster): void
  confirmNotify(message: Notify | NotifyPart, subscribers: number, plain?: Buffer): void
  /** A message by RECEIVE_STREAM, in parts of these bytes. */
  deliver(topic: string, parts: readonly Uint8Array[], head?: Partial<MessageHead>, identifier?: Buffer): void
}

export interface FakeBroadcaster {
  readonly url: string
  readonly lines: Inbox<Line>
  /** Every CONFIGURE that was right, answered or not. */
  readonly configured: Inbox<Configure>
  /** Connections so far. */
  readonly count: number
  /** No newcomer gets further than this. */
  refuse: 'nobody' | 'http' | 'configure' | 'silently' | 'badly signed'
}

function schemeOf(name: SchemeName, secret: unknown): Scheme {
  const read = readScheme(name, name === 'none' ? undefined : String(secret))
  if (typeof read === 'string') throw new Error(read)
  return read
}

/** A broadcaster for sockets that does nothing by itself but the handshake and, unless `manual`, confirming subscriptions. */
export async function openFakeBroadcaster(t: TestContext, { pair = ['none', 'none'], manual = false }: { pair?: Pair; manual?: boolean } = {}): Promise<FakeBroadcaster> {
  const secrets = schemes(...pair)
  const checker = createChecker(schemeOf(pair[0], secrets.toBroadcastersSecret), { now: Date.now, lifetime: 120_000, remember: () => true })
  const lines = createInbox<Line>('connection')
  const configures = createInbox<Configure>('CONFIGURE')
  const server = new WebSocketServer({
    port: 0, host: '127.0.0.1', path: '/v1/websocket', perMessageDeflate: false,
    verifyClient: () => fake.refuse !== 'http',
  })
  await new Promise<void>((resolve) => void server.once('listening', resolve))
  let count = 0
  const fake: FakeBroadcaster = { url: `ws://127.0.0.1:${(server.address() as AddressInfo).port}`, lines, configured: configures, get count() { return count }, refuse: 'nobody' }
  t.after(() => {
    for (const client of server.clients) client.terminate()
    server.close()
  })
  server.on('connection', (ws) => {
    count++
    ws.on('error', () => {})
    accept(ws, fake)
  })

  function accept(ws: WebSocket, { refuse }: FakeBroadcaster): void {
    const inbox = createInbox<ToBroadcaster>('message')
    let connection = ''
    let theirs = -1
    let ours = 1
    let configured: Configure | undefined
    const urls = new WeakMap<ToBroadcaster, string>()
    const streams = new Map<string, MessageHead>()
    const prove = (claim: Claim): string | undefined => sign(pair[1], claim, Date.now(), 'subscribers')

    function claimOf(message: ToBroadcaster): Claim {
      const url = urls.get(message) ?? ''
      switch (message.type) {
        case 'configure': return claims.configure(message)
        case 'subscribe_exact': case 'unsubscribe_exact': return claims.subscribeExact({ ...message, url, recovery: undefined })
        case 'subscribe_glob': case 'unsubscribe_glob': return claims.subscribeGlob({ ...message, url, recovery: undefined })
        case 'notify': return claims.notify({ ...message, ...message.head })
        case 'notify_stream': {
          const key = message.identifier.toString('hex')
          if (message.head !== undefined) streams.set(key, message.head)
          return claims.notify({ ...message, ...streams.get(key) as MessageHead })
        }
        case 'continue_receive': return claims.continueReceive({ ...message, url })
        case 'confirm_receive': return claims.confirmReceive({ ...message, url })
        default: return message satisfies never
      }
    }

    function send(message: ToSubscriber): void {
      const head = encodeToSubscriber(message, 'minimal')
      ws.send('body' in message ? Buffer.concat([head, message.body]) : head)
    }

    function say(message: Draft<ToSubscriber>, given?: string): void {
      const counts = ['receive_stream', 'missed', 'enable_zstd_preset', 'enable_zstd_custom', 'disable_zstd_custom'].includes(message.type) && !(message.type === 'receive_stream' && message.part > 0)
      const url = given ?? (counts ? pseudoUrl(connection, ours++) : '')
      const whole = { ...message, tracing: NONE, authorization: undefined } as ToSubscriber
      send({ ...whole, authorization: prove(claimFor(whole, url)) } as ToSubscriber)
    }

    function claimFor(message: ToSubscriber, url: string): Claim {
      switch (message.type) {
        case 'receive_stream': return claims.receive({ ...message, topic: NONE, sha512: Buffer.alloc(64), ...message.head, url })
        case 'missed': return claims.missed({ ...message, url })
        case 'enable_zstd_preset': return claims.enableZstdPreset({ ...message, minSize: BigInt(message.minSize), url })
        case 'enable_zstd_custom': return claims.enableZstdCustom({ ...message, minSize: BigInt(message.minSize), url })
        case 'disable_zstd_custom': return claims.disableZstdCustom({ ...message, url })
        case 'continue_notify': return claims.continueNotify(message)
        case 'confirm_subscribe_exact': case 'confirm_unsubscribe_exact': return claims.confirmSubscribeExact({ ...message, url, recovery: undefined })
        case 'confirm_subscribe_glob': case 'confirm_unsubscribe_glob': return claims.confirmSubscribeGlob({ ...message, url, recovery: undefined })
        case 'confirm_configure': return claims.confirmConfigure(message)
        case 'confirm_notify': throw new Error('use confirmNotify')
        default: return message satisfies never
      }
    }

    const line: Line = {
      ws, inbox, say,
      get configured() { return configured as Configure },
      closed: new Promise((resolve) => {
        ws.on('close', (code) => {
          inbox.end(new Error(`closed with ${code}`))
          resolve({ code })
        })
      }),
      async next(type) {
        const message = await inbox.next()
        if (message.type !== type) throw new Error(`${message.type} came, not ${type}`)
        return message as Extract<ToBroadcaster, { type: typeof type }>
      },
      confirm(message) {
        if (message.type === 'subscribe_exact' || message.type === 'unsubscribe_exact') say({ type: `confirm_${message.type}`, topic: message.topic }, urls.get(message) ?? '')
        else if (message.type === 'subscribe_glob' || message.type === 'unsubscribe_glob') say({ type: `confirm_${message.type}`, glob: message.glob }, urls.get(message) ?? '')
      },
      confirmNotify(message, subscribers, plain) {
        const head = streams.get(message.identifier.toString('hex')) ?? message.head as MessageHead
        const { identifier } = message
        const claim = claims.confirmNotify({ identifier, subscribers, topic: head.topic, sha512: plain === undefined ? head.sha512 : sha512(plain), tracing: NONE })
        send({ type: 'confirm_notify', identifier, subscribers, tracing: NONE, authorization: prove(claim) })
      },
      deliver(topic, parts, stated, identifier = randomBytes(8)) {
        const all = Buffer.concat(parts)
        const length = BigInt(all.length)
        const head = { topic: Buffer.from(topic), compressor: 0, compressedLength: length, decompressedLength: length, sha512: sha512(all), ...stated }
        parts.forEach((body, part) => say({ type: 'receive_stream', identifier, part, head: part === 0 ? head : undefined, body: Buffer.from(body) }))
      },
    }

    ws.on('message', (data: Buffer) => {
      const message = parseToBroadcaster(data)
      if (typeof message === 'string') return inbox.end(new Error(message))
      const counts = !['configure', 'notify', 'notify_stream'].includes(message.type)
      if (counts) urls.set(message, pseudoUrl(connection, theirs--))
      const verdict = checker.checkBound(message.authorization, claimOf(message)) as Verdict
      if (verdict !== 'ok') return inbox.end(new Error(`${message.type}: ${verdict}`))
      if (message.type !== 'configure') {
        inbox.push(message)
        if (!manual && /subscribe/.test(message.type)) line.confirm(message)
        return
      }
      configured = message
      configures.push(message)
      if (refuse === 'silently') return
      if (refuse === 'configure') return ws.close(1000)
      const nonce = randomBytes(32)
      connection = connectionNonce(message.nonce, nonce)
      if (refuse === 'badly signed') return send({ type: 'confirm_configure', nonce, tracing: NONE, authorization: 'Bearer wrong' })
      say({ type: 'confirm_configure', nonce })
      lines.push(line)
    })
  }
  return fake
}

/** All parts of a NOTIFY_STREAM from its first on, each but the last answered. */
export async function streamOf(line: Line, isAnswered = true): Promise<{ parts: NotifyPart[]; bytes: Buffer }> {
  const parts: NotifyPart[] = []
  let size = 0n
  do {
    const part = await line.next('notify_stream')
    parts.push(part)
    size += BigInt(part.body.length)
    if (isAnswered && size < (parts[0]?.head?.compressedLength as bigint)) line.say({ type: 'continue_notify', identifier: part.identifier, part: part.part })
  } while (size < (parts[0]?.head?.compressedLength as bigint))
  return { parts, bytes: Buffer.concat(parts.map(({ body }) => body)) }
}

/** Acknowledgements as `part` numbers, `last` for CONFIRM_RECEIVE. */
export async function acknowledged(line: Line, n: number): Promise<(number | 'last')[]> {
  const all = await line.inbox.take(n)
  return all.map((message) => {
    if (message.type === 'continue_receive') return message.part
    if (message.type === 'confirm_receive' && (message satisfies ConfirmReceive).subscribers === 1) return 'last'
    throw new Error(`${message.type} came`)
  })
}

/** A subscriber of these broadcasters, closed when the test ends. */
export async function openSocketSubscriber(t: TestContext, fakes: FakeBroadcaster | readonly FakeBroadcaster[], options: Partial<SubscriberOptions> & { pair?: Pair } = {}): Promise<Subscriber> {
  const { pair = ['none', 'none'], ...rest } = options
  const broadcasters = [fakes].flat().map(({ url }) => url)
  const subscriber = await connectSubscriber({ broadcasters, auth: authOf(pair), ...rest })
  t.after(() => subscriber.close())
  return subscriber
}
