import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type Checker, createChecker } from '../../../src/protocol/lonelyps/authorization.ts'
import { type Claim, claims } from '../../../src/protocol/lonelyps/claims.ts'
import { type Kind, parseCheck, parseMissed, parseNotifyPrefix, parseReceivePrefix, parseReprDigest, parseSetHead, parseSetLists, parseSubscribe, parseUnsubscribe } from '../../../src/protocol/lonelyps/requests.ts'
import { parseCheckResponse, parseConfirmMissed, parseGeneric, parseNotifyResponse, parseReceiveAnswer } from '../../../src/protocol/lonelyps/responses.ts'
import { strongEtag } from '../../../src/protocol/lonelyps/strong-etag.ts'
import { parseTracing } from '../../../src/protocol/lonelyps/tracing.ts'
import { type Exchange, hex, vectors } from './vectors.ts'

/** One memory for a whole session, as both of its ends have. */
const remembered = new Set<string>()

function checker(keyHex: string, recordedAt: number): Checker {
  return createChecker({ type: 'hmac', key: hex(keyHex) }, {
    now: () => recordedAt * 1_000,
    lifetime: 120_000,
    remember: (mac) => {
      const isNew = !remembered.has(mac.toString('hex'))
      remembered.add(mac.toString('hex'))
      return isNew
    },
  })
}

/** What the request claims, and what the answer does: with the proof that is in the answer's body. */
interface Claims {
  readonly request: Claim
  readonly answer: { readonly authorization: string; readonly claim: Claim } | undefined
}

const must = <T>(value: T | undefined): T => value ?? assert.fail('it was not parsed')

function subscribing(kind: Kind, request: { url: string; target: Buffer; recovery?: string | undefined; tracing: Buffer }, body: Buffer): Claims {
  const generic = parseGeneric(body)
  const of = (tracing: Buffer) => ({ url: request.url, recovery: request.recovery, topic: request.target, glob: request.target, tracing })
  const [asked, answered] = kind === 'exact' ? [claims.subscribeExact, claims.confirmSubscribeExact] : [claims.subscribeGlob, claims.confirmSubscribeGlob]
  return { request: asked(of(request.tracing)), answer: generic && { authorization: generic.authorization, claim: answered(of(generic.tracing)) } }
}

function claimsOf(path: string, { request_headers, request_body_hex, response_body_hex }: Exchange): Claims {
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

const { to_broadcaster_key_hex, to_subscriber_key_hex } = vectors.keys
const signed = vectors.http_transcripts.hmac.filter(({ request_headers }) => request_headers['Authorization'] !== undefined)

test('nearly every exchange of the recorded session is signed', () => {
  assert.equal(vectors.http_transcripts.hmac.length - signed.length, 2)
  assert.equal(signed.length, 15)
})

for (const [index, exchange] of signed.entries()) {
  test(`recorded exchange ${index}, ${exchange.step}: request and answer are signed, and never again`, async () => {
    const { direction, recorded_at_unix, request_line, request_headers, response_body_hex } = exchange
    const { request, answer } = claimsOf(must(request_line.split(' ')[1]), exchange)
    const keys = direction === 'client->broadcaster' ? [to_broadcaster_key_hex, to_subscriber_key_hex] as const : [to_subscriber_key_hex, to_broadcaster_key_hex] as const
    const [asking, answering] = keys.map((key) => checker(key, recorded_at_unix)) as [Checker, Checker]
    assert.equal(await asking.check(request_headers['Authorization'], request), 'ok')
    assert.equal(await asking.check(request_headers['Authorization'], request), 'forbidden')
    assert.equal(answer === undefined, response_body_hex === '')
    if (answer === undefined) return
    assert.equal(answering.checkBound(answer.authorization, answer.claim), 'ok')
    assert.equal(await answering.check(answer.authorization, answer.claim), 'ok')
    assert.equal(asking.checkBound(answer.authorization, answer.claim), 'forbidden')
  })
}
