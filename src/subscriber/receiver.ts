import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Clock } from '../core/ports.ts'
import { topicFromBytes, type Topic } from '../core/topic.ts'
import { clientOf, createBodyAccount } from '../http/body-account.ts'
import { createBodyReader } from '../http/body.ts'
import { BodyOverload, createBodySource } from '../http/body-source.ts'
import { rawReply, replyEmpty, replyEmptyUnread, replyUnread } from '../http/reply.ts'
import type { Request, Route } from '../http/server.ts'
import { claims } from '../protocol/lonelyps/claims.ts'
import { parseMissed, parseReceivePrefix, parseReprDigest, RECEIVE_PREFIX_MAX } from '../protocol/lonelyps/requests.ts'
import { encodeConfirmMissed, encodeConfirmReceive, UNSUBSCRIBE_IMMEDIATE } from '../protocol/lonelyps/responses.ts'
import type { Intake } from './intake.ts'
import type { Content } from './received.ts'
import { NO_TRACING, type Signing } from './signing.ts'
import { createUnproved, type Newcomer } from './unproved.ts'

/** The webhooks (lonelyps, sections 2.4 and 2.5). */
export interface Receiver extends Route {
  /** Webhooks that have proved who sent them and are not answered yet. */
  readonly waiting: number
  /** From now on all are answered 503. */
  stop(): void
  /** Settles when none is waiting, and none is on its way to. */
  idle(): Promise<void>
}

export interface ReceiverParts {
  /** The base url as broadcasters know it: it is signed to the letter. */
  readonly base: string
  readonly signing: Signing
  readonly intake: Intake
  readonly clock: Clock
  /** Webhooks that may wait for their answer. */
  readonly most: number
  /** Settles with the number of receivers when all have let go of the message. */
  readonly deliver: (door: number, topic: Topic, content: Content) => Promise<number>
  readonly missed: (topic: Topic) => void
  readonly failed: (error: unknown) => void
}

const PATH = /^(.*)\/v1\/(?:(recover)|receive(?:\/([1-9]\d{0,3}))?)$/
const MAX_MISSED = 2 * (2 + 65_535)
/** Bytes of what comes before a proof: of all, and of one client. */
const MAX_UNFINISHED = 16_777_216
const MAX_UNFINISHED_OF_ONE = MAX_UNFINISHED / 8
/** Senders that have proved nothing yet; `time` in ms. What proves them is the beginning of a body: a moment's work. */
const UNPROVED = { total: 4_096, perClient: 256, time: 5_000 }
const TYPE = { 'Content-Type': 'application/octet-stream' }

/** The url that is registered for a door: all but the first have a number. */
export function receiveUrl(base: string, door: number): string {
  return `${base}/v1/receive${door === 0 ? '' : `/${door}`}`
}

export function recoveryUrl(base: string): string {
  return `${base}/v1/recover`
}

export function createReceiver(parts: ReceiverParts): Receiver {
  const { base, signing, intake, clock, most, deliver, missed, failed } = parts
  // A proxy may or may not take away what stands before the path.
  const prefixes: readonly string[] = ['', new URL(base).pathname.replace(/\/$/, '')]
  const account = createBodyAccount(MAX_UNFINISHED, MAX_UNFINISHED_OF_ONE)
  const notices = createBodyReader(MAX_MISSED, account)
  const unproved = createUnproved(UNPROVED, clock)
  let open = 0
  let waiting = 0
  let stopped = false
  const toldIdle: (() => void)[] = []

  async function receive({ message, peer }: Request, response: ServerResponse, door: number, newcomer: Newcomer): Promise<void> {
    const sha512 = parseReprDigest(message.headersDistinct['repr-digest']?.[0])
    if (sha512 === undefined) return unsubscribe(message, response, 400)
    const source = createBodySource(message, response, account, clientOf(peer.address))
    const begun = await source.head((bytes) => parseReceivePrefix(bytes) !== 'more' || bytes.length >= RECEIVE_PREFIX_MAX)
    if (newcomer.ended) return
    const prefix = parseReceivePrefix(begun)
    if (prefix === 'more') return replyEmptyUnread(message, response, 400)
    const { topic, identifier, tracing, length } = prefix
    const url = receiveUrl(base, door)
    // Asked before the signature is used up.
    if (waiting >= most) return replyEmptyUnread(message, response, 503)
    const verdict = await signing.checker.check(message.headers.authorization, claims.receive({ url, topic, identifier, sha512, tracing }))
    if (verdict === 'unavailable') return replyEmptyUnread(message, response, 503)
    if (verdict !== 'ok') return unsubscribe(message, response, 403)
    newcomer.proved()
    source.unread(begun.subarray(prefix.size))
    waiting++
    try {
      const taken = await intake.take(message, source, length, sha512)
      if (taken === 'full') return replyEmptyUnread(message, response, 503)
      if (typeof taken === 'string') return unsubscribe(message, response, taken === 'length' ? 400 : 403)
      const subscribers = await deliver(door, topicFromBytes(topic), taken.content)
      taken.content.large?.letGo()
      taken.done()
      const authorization = signing.prove(claims.confirmReceive({ identifier, subscribers, url, tracing: NO_TRACING })) ?? ''
      send(response, encodeConfirmReceive({ authorization, tracing: NO_TRACING, identifier, subscribers }))
    } finally {
      waiting--
    }
  }

  async function recover({ message, peer }: Request, response: ServerResponse, newcomer: Newcomer): Promise<void> {
    const body = await notices.read(message, response, clientOf(peer.address))
    if (newcomer.ended) return
    if (!Buffer.isBuffer(body)) return replyEmptyUnread(message, response, body === 'too_large' ? 413 : 503)
    const notice = parseMissed(body)
    if (notice === undefined) return replyEmpty(response, 400)
    const { topic, tracing } = notice
    const url = recoveryUrl(base)
    const verdict = await signing.checker.check(message.headers.authorization, claims.missed({ url, topic, tracing }))
    if (verdict !== 'ok') return replyEmpty(response, verdict === 'unavailable' ? 503 : 403)
    missed(topicFromBytes(topic))
    send(response, encodeConfirmMissed(signing.prove(claims.confirmMissed({ topic, url, tracing: NO_TRACING })) ?? '', NO_TRACING))
  }

  async function answer(request: Request, response: ServerResponse): Promise<void> {
    const { message } = request
    const [, , isRecovery, door] = PATH.exec(request.path.text ?? '') ?? []
    if (message.method !== 'POST') {
      response.setHeader('Allow', 'POST')
      return replyEmptyUnread(message, response, 405)
    }
    if (stopped) return replyEmptyUnread(message, response, 503)
    const newcomer = unproved.begin(clientOf(request.peer.address), (why) => rawReply(message.socket, why === 'late' ? 408 : 503))
    open++
    try {
      await (isRecovery === undefined ? receive(request, response, Number(door ?? 0), newcomer) : recover(request, response, newcomer))
    } finally {
      newcomer.proved()
      if (--open === 0) for (const tell of toldIdle.splice(0)) tell()
    }
  }

  return {
    get waiting() { return waiting },
    takes({ path }) {
      const found = PATH.exec(path.text ?? '')
      return found !== null && prefixes.includes(found[1] as string)
    },
    answer(request, response) {
      answer(request, response).catch((error: unknown) => {
        const { message } = request
        // Who has gone in the middle of a request is not waiting for an answer.
        if (message.destroyed && !message.complete) return
        if (error instanceof BodyOverload) return replyEmptyUnread(message, response, 503)
        failed(error)
        if (!response.headersSent) replyEmptyUnread(message, response, 500)
      })
    },
    stop() {
      stopped = true
    },
    idle: () => (open === 0 ? Promise.resolve() : new Promise((resolve) => void toldIdle.push(resolve))),
  }
}

function send(response: ServerResponse, body: Buffer, status = 200): void {
  // Whoever has gone does not hear it.
  if (response.destroyed) return
  response.writeHead(status, { ...TYPE, 'Content-Length': body.length })
  response.end(body)
}

/** With this body the broadcaster forgets the registration that made it call. */
function unsubscribe(message: IncomingMessage, response: ServerResponse, status: number): void {
  if (message.complete) return send(response, UNSUBSCRIBE_IMMEDIATE, status)
  replyUnread(message, response, status, UNSUBSCRIBE_IMMEDIATE.toString('latin1'), TYPE)
}
