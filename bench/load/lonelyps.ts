import { createHash, randomBytes } from 'node:crypto'
import type { Socket } from 'node:net'
import { prove, readScheme, type Scheme } from '../../src/protocol/lonelyps/authorization.ts'
import { claims, type Claim } from '../../src/protocol/lonelyps/claims.ts'
import { encodeNotifyPrefix, encodeSet } from '../../src/protocol/lonelyps/requests.ts'
import { parseNotifyResponse } from '../../src/protocol/lonelyps/responses.ts'
import { strongEtag } from '../../src/protocol/lonelyps/strong-etag.ts'
import type { SchemeName } from '../task.ts'
import { letGo, openMany, openSocket } from './connect.ts'

/** The same in every run, because nothing is kept secret here. */
const SECRETS = { broadcasters: Buffer.alloc(64, 1).toString('base64url'), subscribers: Buffer.alloc(64, 2).toString('base64url') }
const NONE: Buffer = Buffer.alloc(0)
const AT_ONCE = 16

/** The hub's options for a scheme, the same both ways. */
export function hubOptions(name: SchemeName): Record<string, string> {
  if (name === 'none') return { toBroadcastersAuth: 'none', toSubscribersAuth: 'none' }
  return { toBroadcastersAuth: name, toBroadcastersSecret: SECRETS.broadcasters, toSubscribersAuth: name, toSubscribersSecret: SECRETS.subscribers }
}

/** @param side whom the secret proves something to */
export function schemeOf(name: SchemeName, side: keyof typeof SECRETS): Scheme {
  const scheme = readScheme(name, name === 'none' ? undefined : SECRETS[side])
  if (typeof scheme === 'string') throw new Error(scheme)
  return scheme
}

/** A keep-alive connection for one request after the other. */
export interface Requester {
  /** Writes a request; `then` gets the body of its answer, which must be a 200. */
  ask(request: Buffer, then: (body: Buffer) => void): void
  readonly socket: Socket
}

/** The server must not end it: then the figures are worth nothing. */
export async function openRequester(port: number): Promise<Requester> {
  let answer: Buffer = NONE
  let waits: ((body: Buffer) => void) | undefined
  const socket = await openSocket(port, (bytes, length) => {
    answer = Buffer.concat([answer, bytes.subarray(0, length)])
    const end = answer.indexOf('\r\n\r\n')
    if (end === -1) return
    const head = answer.toString('latin1', 0, end)
    if (!head.startsWith('HTTP/1.1 200 ')) throw new Error(`the server answered ${head.slice(0, head.indexOf('\r\n'))}`)
    const size = end + 4 + Number(/\r\ncontent-length: (\d+)/i.exec(head)?.[1])
    if (answer.length < size) return
    const body = answer.subarray(end + 4, size)
    const then = waits
    waits = undefined
    answer = NONE
    then?.(body)
  })
  socket.on('close', () => {
    throw new Error('the server closed a connection')
  })
  return {
    socket,
    ask(request, then) {
      waits = then
      socket.write(request)
    },
  }
}

function head(path: string, length: number, authorization: string | undefined): Buffer {
  const proof = authorization === undefined ? '' : `Authorization: ${authorization}\r\n`
  return Buffer.from(`POST ${path} HTTP/1.1\r\nHost: bench\r\nContent-Type: application/octet-stream\r\n${proof}Content-Length: ${length}\r\n\r\n`)
}

/** Proves what subscribers and publishers say. */
export function signer(name: SchemeName): (claim: Claim) => string | undefined {
  const scheme = schemeOf(name, 'broadcasters')
  return (claim) => prove(scheme, claim, { now: Date.now() / 1000, nonce: randomBytes(6).toString('base64url') })
}

/** Registers every url for all topics, and settles when the hub has them. */
export async function subscribe(port: number, name: SchemeName, urls: readonly string[], topics: readonly string[]): Promise<void> {
  const sign = signer(name)
  const entries = topics.map((topic) => ({ target: Buffer.from(topic), recovery: undefined })).toSorted((a, b) => a.target.compare(b.target))
  const left = [...urls]
  const requesters = await openMany(Math.min(AT_ONCE, urls.length), () => openRequester(port))
  await Promise.all(requesters.map((requester) => new Promise<void>((resolve) => {
    const next = (): void => {
      const url = left.pop()
      if (url === undefined) return resolve()
      const etag = strongEtag(url, entries, [])
      const body = encodeSet({ tracing: NONE, url, etag, topics: entries, globs: [] })
      requester.ask(Buffer.concat([head('/v1/set_subscriptions', body.length, sign(claims.setSubscriptions({ url, etag, tracing: NONE }))), body]), next)
    }
    next()
  })))
  letGo(requesters.map(({ socket }) => socket))
}

/** Makes notifies of one topic. A signature is good once, so each is made when it is needed. */
export function createNotifier(name: SchemeName, topicText: string): { whole(body: Buffer, sha512?: Buffer): Buffer; begin(length: number, sha512: Buffer): Buffer } {
  const sign = signer(name)
  const topic = Buffer.from(topicText)
  function begin(length: number, sha512: Buffer): Buffer {
    const identifier = randomBytes(6)
    const prefix = encodeNotifyPrefix({ topic, sha512, tracing: NONE, identifier, length: BigInt(length) })
    return Buffer.concat([head('/v1/notify', prefix.length + length, sign(claims.notify({ topic, identifier, sha512, tracing: NONE }))), prefix])
  }
  return {
    begin,
    whole: (body, sha512 = createHash('sha512').update(body).digest()) => Buffer.concat([begin(body.length, sha512), body]),
  }
}

/** @throws {Error} when a notify reached another number of subscribers than there are */
export function checkNotified(answer: Buffer, subscribers: number): void {
  const found = parseNotifyResponse(answer)?.subscribers
  if (found !== subscribers) throw new Error(`a notify reached ${found} subscribers instead of ${subscribers}`)
}
