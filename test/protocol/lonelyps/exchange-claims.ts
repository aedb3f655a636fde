import assert from 'node:assert/strict'
import { type Claim, claims } from '../../../src/protocol/lonelyps/claims.ts'
import { type Kind, parseCheck, parseMissed, parseNotifyPrefix, parseReceivePrefix, parseReprDigest, parseSetHead, parseSetLists, parseSubscribe, parseUnsubscribe } from '../../../src/protocol/lonelyps/requests.ts'
import { parseCheckResponse, parseConfirmMissed, parseGeneric, parseNotifyResponse, parseReceiveAnswer } from '../../../src/protocol/lonelyps/responses.ts'
import { strongEtag } from '../../../src/protocol/lonelyps/strong-etag.ts'
import { parseTracing } from '../../../src/protocol/lonelyps/tracing.ts'
import { type Exchange, hex } from './vectors.ts'

/** What the request claims, and what the answer does: with the proof that is in the answer's body. */
export interface Claims {
  readonly request: Claim
  readonly answer: { readonly authorization: string; readonly claim: Claim } | undefined
}

export const must = <T>(value: T | undefined): T => value ?? assert.fail('it was not parsed')

function subscribing(kind: Kind, request: { url: string; target: Buffer; recovery?: string | undefined; tracing: Buffer }, body: Buffer): Claims {
  const generic = parseGeneric(body)
  const of = (tracing: Buffer) => ({ url: request.url, recovery: request.recovery, topic: request.target, glob: request.target, tracing })
  const [asked, answered] = kind === 'exact' ? [claims.subscribeExact, claims.confirmSubscribeExact] : [claims.subscribeGlob, claims.confirmSubscribeGlob]
  return { request: asked(of(request.tracing)), answer: generic && { authorization: generic.authorization, claim: answered(of(generic.tracing)) } }
}

/** What an exchange with this path is signed over, its request and its answer. */
export function claimsOf(path: string, { request_headers, request_body_hex, response_body_hex }: Pick<Exchange, 'request_headers' | 'request_body_hex' | 'response_body_hex'>): Claims {
  const [body, answer] = [hex(request_body_hex), hex(response_body_hex)]
  const kind = path.endsWith('glob') ? 'glob' : 'exact'
  const url = `http://${request_headers['Host']}${path}`
  switch (path) {
    case '/v1/subscribe/exact':
    case '/v1/subscribe/glob': return subscribing(kind, must(parseSubscribe(body, kind)), answer)
    case '/v1/unsubscribe/exact':
    case '/v1/unsubscribe/glob': return subscribing(kind, must(parseUnsubscribe(body, kind)), answer)
    case '/v1/check_subscriptions': {
      const { authorization, tracing, etag } = must(parseCheckResponse(answer))
      return { request: claims.checkSubscriptions(must(parseCheck(body))), answer: { authorization, claim: claims.checkResponse({ etag, tracing }) } }
    }
    case '/v1/set_subscriptions': {
      const head = must(parseSetHead(body))
      const lists = must(parseSetLists(body, head))
      assert.deepEqual(strongEtag(head.url, lists.topics, lists.globs), head.etag)
      const { authorization, tracing } = must(parseGeneric(answer))
      return { request: claims.setSubscriptions(head), answer: { authorization, claim: claims.setResponse({ etag: head.etag, tracing }) } }
    }
    case '/v1/notify': {
      const prefix = parseNotifyPrefix(body)
      assert.ok(prefix !== 'more')
      const { authorization, tracing, subscribers, identifier } = must(parseNotifyResponse(answer))
      assert.ok(must(parseTracing(tracing)).entries.length > 0)
      return { request: claims.notify(prefix), answer: { authorization, claim: claims.confirmNotify({ identifier, subscribers, topic: prefix.topic, sha512: prefix.sha512, tracing }) } }
    }
    case '/v1/receive': {
      const prefix = parseReceivePrefix(body)
      assert.ok(prefix !== 'more')
      const sha512 = must(parseReprDigest(request_headers['Repr-Digest']))
      const said = must(parseReceiveAnswer(answer))
      assert.ok(said.type === 'confirmed')
      return { request: claims.receive({ ...prefix, url, sha512 }), answer: { authorization: said.authorization, claim: claims.confirmReceive({ ...said, url }) } }
    }
    case '/v1/recover': {
      const missed = must(parseMissed(body))
      const { authorization, tracing } = must(parseConfirmMissed(answer))
      return { request: claims.missed({ ...missed, url }), answer: { authorization, claim: claims.confirmMissed({ topic: missed.topic, url, tracing }) } }
    }
    default: assert.fail(`nobody knows ${path}`)
  }
}
