import { createHash, randomBytes } from 'node:crypto'
import { createServer, request, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { buffer } from 'node:stream/consumers'
import type { TestContext } from 'node:test'
import { createChecker, prove, readScheme, type Scheme, type Verdict } from '../../src/protocol/lonelyps/authorization.ts'
import { claims, type Claim } from '../../src/protocol/lonelyps/claims.ts'
import {
  encodeCheck, encodeNotifyPrefix, encodeSet, encodeSubscribe, encodeUnsubscribe, inOrder, parseMissed, parseReceivePrefix,
  type Entry, type Kind,
} from '../../src/protocol/lonelyps/requests.ts'
import { encodeConfirmMissed, encodeConfirmReceive, parseNotifyResponse } from '../../src/protocol/lonelyps/responses.ts'
import { strongEtag } from '../../src/protocol/lonelyps/strong-etag.ts'
import type { Config } from '../../src/index.ts'
import { createInbox, type Inbox } from './events.ts'

export type SchemeName = 'none' | 'token' | 'hmac'
const SECRETS = { broadcasters: Buffer.alloc(64, 1).toString('base64url'), subscribers: Buffer.alloc(64, 2).toString('base64url') }
const NONE = Buffer.alloc(0)

/** All nine combinations of how the two directions are proved. */
export const COMBINATIONS: readonly (readonly [SchemeName, SchemeName])[] = (['none', 'token', 'hmac'] as const).flatMap((a) => (['none', 'token', 'hmac'] as const).map((b) => [a, b] as const))

/** The hub's options for a combination. */
export function schemes(toBroadcasters: SchemeName, toSubscribers: SchemeName): Config {
  return {
    toBroadcastersAuth: toBroadcasters, toBroadcastersSecret: toBroadcasters === 'none' ? '' : SECRETS.broadcasters,
    toSubscribersAuth: toSubscribers, toSubscribersSecret: toSubscribers === 'none' ? '' : SECRETS.subscribers,
  }
}

function scheme(name: SchemeName, secret: string): Scheme {
  const read = readScheme(name, name === 'none' ? undefined : secret)
  if (typeof read === 'string') throw new Error(read)
  return read
}

export function sign(name: SchemeName, claim: Claim, now = Date.now(), side: keyof typeof SECRETS = 'broadcasters'): string | undefined {
  return prove(scheme(name, SECRETS[side]), claim, { now: Math.floor(now / 1_000), nonce: randomBytes(4).toString('base64url') })
}

export interface Reply {
  readonly status: number
  readonly body: Buffer
  readonly headers: IncomingMessage['headers']
}

export function post(port: number, path: string, body: Uint8Array, authorization?: string, headers: Record<string, string> = {}): Promise<Reply> {
  return new Promise((resolve, reject) => {
    const sent = request({ port, host: '127.0.0.1', method: 'POST', path, headers: { ...headers, ...(authorization !== undefined && { Authorization: authorization }) } })
    sent.on('error', reject)
    sent.on('response', (response) => {
      buffer(response).then((bytes) => resolve({ status: response.statusCode as number, body: bytes, headers: response.headers }), reject)
    })
    sent.end(body)
  })
}

const bytes = (text: string | Buffer): Buffer => (typeof text === 'string' ? Buffer.from(text) : text)

/** A client that says what it is told to, over bare HTTP. */
export function createClient(port: number, name: SchemeName = 'none') {
  const claimOf = (kind: Kind, url: string, target: Buffer, recovery: string | undefined): Claim =>
    kind === 'exact' ? claims.subscribeExact({ url, recovery, topic: target, tracing: NONE }) : claims.subscribeGlob({ url, recovery, glob: target, tracing: NONE })
  return {
    subscribe(kind: Kind, url: string, target: string | Buffer, recovery?: string): Promise<Reply> {
      const one = { url, target: bytes(target), recovery, tracing: NONE }
      return post(port, `/v1/subscribe/${kind}`, encodeSubscribe(one), sign(name, claimOf(kind, url, one.target, recovery)))
    },
    unsubscribe(kind: Kind, url: string, target: string | Buffer): Promise<Reply> {
      const one = { url, target: bytes(target), tracing: NONE }
      return post(port, `/v1/unsubscribe/${kind}`, encodeUnsubscribe(one), sign(name, claimOf(kind, url, one.target, undefined)))
    },
    check(url: string): Promise<Reply> {
      return post(port, '/v1/check_subscriptions', encodeCheck({ tracing: NONE, url }), sign(name, claims.checkSubscriptions({ url, tracing: NONE })))
    },
    set(url: string, topics: readonly Entry[], globs: readonly Entry[]): Promise<Reply> {
      const etag = strongEtag(url, topics, globs)
      const body = encodeSet({ tracing: NONE, url, etag, topics: inOrder(topics), globs: inOrder(globs) })
      return post(port, '/v1/set_subscriptions', body, sign(name, claims.setSubscriptions({ url, etag, tracing: NONE })))
    },
    async notify(topic: string | Buffer, message: string | Buffer): Promise<Reply & { subscribers: number | undefined }> {
      const reply = await post(port, '/v1/notify', ...notifyBody(name, topic, message))
      return { ...reply, subscribers: parseNotifyResponse(reply.body)?.subscribers }
    },
  }
}

/** A notify and its authorization, to be sent once or twice. */
export function notifyBody(name: SchemeName, topic: string | Buffer, message: string | Buffer, now?: number): [Buffer, string | undefined] {
  const body = bytes(message)
  const head = { topic: bytes(topic), identifier: randomBytes(4), sha512: createHash('sha512').update(body).digest(), tracing: NONE }
  return [Buffer.concat([encodeNotifyPrefix({ ...head, length: BigInt(body.length) }), body]), sign(name, claims.notify(head), now)]
}

export interface Received {
  readonly path: string
  readonly topic: string
  readonly message: Buffer
  readonly digest: string | undefined
  readonly verdict: Verdict
  readonly headers: IncomingMessage['headers']
  /** Answers with CONFIRM_RECEIVE. Where the receiver is asked to wait, nothing is answered before. */
  confirm(subscribers?: number): void
  readonly response: ServerResponse
}

export interface Receiver {
  readonly port: number
  readonly server: Server
  url(path?: string): string
  readonly inbox: Inbox<Received>
  /** Topics of the notices that something was missed. */
  readonly missed: Inbox<string>
}

/** A server that takes webhooks, confirms each at once unless `manual`, and verifies all. */
export async function openReceiver(t: TestContext, options: { manual?: true; toBroadcasters?: SchemeName; toSubscribers?: SchemeName; port?: number; host?: string } = {}): Promise<Receiver> {
  const { toBroadcasters = 'none', toSubscribers = 'none', host = '127.0.0.1' } = options
  const inbox = createInbox<Received>('webhook')
  const missed = createInbox<string>('missed notice')
  const checker = createChecker(scheme(toSubscribers, SECRETS.subscribers), { now: Date.now, lifetime: 120_000, remember: () => true })
  const server = createServer((message, response) => {
    const take = async (body: Buffer): Promise<void> => {
      const url = `http://${message.headers.host}${message.url}`
      if (message.url === '/recover') {
        const notice = parseMissed(body)
        if (notice === undefined) return void response.writeHead(400).end()
        missed.push(notice.topic.toString())
        return void response.end(encodeConfirmMissed(sign(toBroadcasters, claims.confirmMissed({ topic: notice.topic, url, tracing: NONE })) ?? '', NONE))
      }
      const prefix = parseReceivePrefix(body)
      if (prefix === 'more') return void response.writeHead(400).end()
      const { topic, identifier, tracing, size } = prefix
      const content = body.subarray(size)
      const claim = claims.receive({ url, topic, identifier, sha512: createHash('sha512').update(content).digest(), tracing })
      const confirm = (subscribers = 1): void => {
        const proof = sign(toBroadcasters, claims.confirmReceive({ identifier, subscribers, url, tracing: NONE })) ?? ''
        response.end(encodeConfirmReceive({ authorization: proof, tracing: NONE, identifier, subscribers }))
      }
      const verdict = await checker.check(message.headers.authorization, claim)
      const digest = message.headers['repr-digest'] as string | undefined
      inbox.push({ path: message.url ?? '', topic: topic.toString(), message: content, digest, verdict, headers: message.headers, confirm, response })
      if (options.manual !== true) confirm()
    }
    buffer(message).then(take, () => {})
  })
  await new Promise<void>((resolve) => server.listen(options.port ?? 0, host, resolve))
  t.after(() => {
    server.close()
    server.closeAllConnections()
  })
  const { port } = server.address() as AddressInfo
  return { port, server, inbox, missed, url: (path = '/receive') => `http://${host}:${port}${path}` }
}
