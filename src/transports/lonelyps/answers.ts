import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Clock, RandomBytes } from '../../core/ports.ts'
import { replyEmptyUnread, replyUnread } from '../../http/reply.ts'
import type { Scheme } from '../../protocol/lonelyps/authorization.ts'
import { claims, type Claim } from '../../protocol/lonelyps/claims.ts'
import { createProver } from '../../protocol/lonelyps/prover.ts'
import { encodeCheckResponse, encodeConfirmMissed, encodeConfirmReceive, encodeGeneric, encodeNotifyResponse } from '../../protocol/lonelyps/responses.ts'
import { encodeTracing } from '../../protocol/lonelyps/tracing.ts'

/** The answers with a body (lonelyps, section 2.2), each signed. */
export interface Answers {
  generic(response: ServerResponse, claim: Claim): void
  checked(response: ServerResponse, etag: Buffer): void
  /** @param received when the request came, in ms since 1970 */
  notified(response: ServerResponse, notify: { topic: Buffer; identifier: Buffer; sha512: Buffer }, subscribers: number, received: number): void
  /** As a subscriber answers: what other broadcasters send us. */
  confirmedReceive(response: ServerResponse, receive: { identifier: Buffer; url: string }, subscribers: number): void
  confirmedMissed(response: ServerResponse, missed: { topic: Buffer; url: string }): void
}

export const NO_TRACING: Buffer = Buffer.alloc(0)
const NS_PER_MS = 1e6

/** How answers are proved. */
export interface AnswerSchemes {
  /** As a broadcaster. */
  readonly toSubscribers: Scheme
  /** Where we are another broadcaster's subscriber. */
  readonly toBroadcasters: Scheme
}

export function createAnswers(parts: AnswerSchemes & { clock: Clock; randomBytes: RandomBytes }): Answers {
  const { toSubscribers, toBroadcasters, clock, randomBytes } = parts

  const asBroadcaster = createProver(toSubscribers, clock, randomBytes)
  const asSubscriber = createProver(toBroadcasters, clock, randomBytes)

  return {
    generic: (response, claim) => send(response, encodeGeneric(asBroadcaster(claim) ?? '', NO_TRACING)),
    checked(response, etag) {
      const claim = claims.checkResponse({ etag, tracing: NO_TRACING })
      send(response, encodeCheckResponse({ authorization: asBroadcaster(claim) ?? '', tracing: NO_TRACING, etag }))
    },
    notified(response, { topic, identifier, sha512 }, subscribers, received) {
      const now = clock.now()
      // Tracing clients of the original fail on an answer without an entry (Q1).
      const entries = [{ name: 'no_more_subscribers', extra: '{}', at: now / 1_000 }]
      const tracing = encodeTracing({ entries, received: BigInt(Math.round(received * NS_PER_MS)), sent: BigInt(Math.round(now * NS_PER_MS)) })
      const claim = claims.confirmNotify({ identifier, subscribers, topic, sha512, tracing })
      send(response, encodeNotifyResponse({ authorization: asBroadcaster(claim) ?? '', tracing, subscribers, identifier }))
    },
    confirmedReceive(response, { identifier, url }, subscribers) {
      const claim = claims.confirmReceive({ identifier, subscribers, url, tracing: NO_TRACING })
      send(response, encodeConfirmReceive({ authorization: asSubscriber(claim) ?? '', tracing: NO_TRACING, identifier, subscribers }))
    },
    confirmedMissed(response, { topic, url }) {
      send(response, encodeConfirmMissed(asSubscriber(claims.confirmMissed({ topic, url, tracing: NO_TRACING })) ?? '', NO_TRACING))
    },
  }
}

/** An answer with a body. What is left of the request's is read away. */
export function send(response: ServerResponse, body: Buffer, status = 200, contentType = 'application/octet-stream'): void {
  if (response.headersSent || response.destroyed) return
  if (!response.req.complete) return replyUnread(response.req, response, status, body, { 'Content-Type': contentType })
  response.writeHead(status, { 'Content-Type': contentType, 'Content-Length': body.length })
  response.end(body)
}

/** An answer without a body or a type: every refusal. What is left of the request's body is read away. */
export function answerEmpty(response: ServerResponse, status: number, message: IncomingMessage): void {
  // A request that broke off has nobody left to answer.
  if (response.headersSent || response.destroyed) return
  replyEmptyUnread(message, response, status)
}
