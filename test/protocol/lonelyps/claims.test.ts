import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createHmac } from 'node:crypto'
import { prove } from '../../../src/protocol/lonelyps/authorization.ts'
import { bytesToSign, type Claim, claims } from '../../../src/protocol/lonelyps/claims.ts'
import { hex, type HmacCase, vectors } from './vectors.ts'

const KEYS = { to_broadcaster: hex(vectors.keys.to_broadcaster_key_hex), to_subscriber: hex(vectors.keys.to_subscriber_key_hex) }

/** The claim that a case's inputs describe. */
function claimOf({ auth_type, inputs }: HmacCase): Claim {
  const bytes = (name: string): Buffer => hex((inputs[name] as { hex: string }).hex)
  const text = (name: string): string => inputs[name] as string
  const number = (name: string): number => inputs[name] as number
  const big = (name: string): bigint => BigInt(inputs[name] as string)
  const tracing = bytes('tracing')
  const recovery = (inputs['recovery'] as string | null | undefined) ?? undefined
  const exact = () => ({ url: text('url'), recovery, topic: bytes('exact'), tracing })
  const glob = () => ({ url: text('url'), recovery, glob: text('glob'), tracing })
  const etag = () => hex((inputs['strong_etag'] as { etag_hex: string }).etag_hex)
  const preset = () => ({ url: text('url'), compressor: number('compressor_identifier'), level: number('compression_level'), minSize: big('min_size'), maxSize: big('max_size'), tracing })
  switch (auth_type) {
    case 1: return claims.subscribeExact(exact())
    case 2: return claims.subscribeGlob(glob())
    case 3: return claims.notify({ topic: bytes('topic'), identifier: bytes('identifier'), sha512: bytes('message_sha512'), tracing })
    case 4: return claims.configure({
      nonce: bytes('subscriber_nonce'), zstd: inputs['enable_zstd'] === true, training: inputs['enable_training'] === true, initialDictionary: number('initial_dict'), tracing,
    })
    case 5: return claims.checkSubscriptions({ url: text('url'), tracing })
    case 6: return claims.setSubscriptions({ url: text('url'), etag: etag(), tracing })
    case 7: return claims.continueReceive({ identifier: bytes('identifier'), part: number('part_id'), url: text('url'), tracing })
    case 8: return claims.confirmReceive({ identifier: bytes('identifier'), subscribers: number('num_subscribers'), url: text('url'), tracing })
    case 9: return claims.confirmMissed({ topic: bytes('topic'), url: text('url'), tracing })
    case 10: return claims.receive({ url: text('url'), topic: bytes('topic'), identifier: bytes('identifier'), sha512: bytes('message_sha512'), tracing })
    case 11: return claims.missed({ url: text('recovery'), topic: bytes('topic'), tracing })
    case 12: return claims.confirmSubscribeExact(exact())
    case 13: return claims.confirmSubscribeGlob(glob())
    case 14: return claims.confirmNotify({ identifier: bytes('identifier'), subscribers: number('subscribers'), topic: bytes('topic'), sha512: bytes('message_sha512'), tracing })
    case 15: return claims.checkResponse({ etag: etag(), tracing })
    case 16: return claims.setResponse({ etag: etag(), tracing })
    case 17: return claims.confirmConfigure({ nonce: bytes('broadcaster_nonce'), tracing })
    case 18: return claims.enableZstdPreset(preset())
    case 19: return claims.enableZstdCustom({ ...preset(), sha512: bytes('sha512') })
    case 20: return claims.disableZstdCustom({ compressor: number('compressor_identifier'), url: text('url'), tracing })
    case 21: return claims.continueNotify({ identifier: bytes('identifier'), part: number('part_id'), tracing })
    default: assert.fail(`no claim for type ${auth_type}`)
  }
}

test('there is a signature for every auth type from 1 to 21', () => {
  assert.deepEqual([...new Set(vectors.hmac.cases.map((one) => one.auth_type))].toSorted((a, b) => a - b), Array.from({ length: 21 }, (_, index) => index + 1))
})

for (const one of vectors.hmac.cases) {
  test(`${one.id} is signed as the protocol document says`, () => {
    const claim = claimOf(one)
    assert.equal(claim.type, one.auth_type)
    const signed = bytesToSign(claim, one.timestamp, one.nonce)
    assert.equal(signed.toString('hex'), one.to_sign_hex)
    assert.equal(createHmac('sha512', KEYS[one.key]).update(signed).digest('hex'), one.hmac_sha512_hex)
    assert.equal(prove({ type: 'hmac', key: KEYS[one.key] }, claim, { now: one.timestamp + 0.9, nonce: one.nonce }), one.header)
  })
}

test('tracing and nonce are part of what is signed', () => {
  const claim = claims.checkSubscriptions({ url: 'u', tracing: Buffer.from([9, 8]) })
  assert.equal(bytesToSign(claim, 1, 'é').toString('hex'), `05${'0000000000000001'}02c3a9${'00020908'}${'000175'}`)
})

test('a part that no signature can name is refused under hmac, and only there', () => {
  const claim = claims.continueReceive({ identifier: Buffer.from([1]), part: 256, url: 'u', tracing: Buffer.alloc(0) })
  const at = { now: 1, nonce: 'n' }
  assert.throws(() => prove({ type: 'hmac', key: KEYS.to_subscriber }, claim, at), RangeError)
  assert.equal(prove({ type: 'token', secret: 's' }, claim, at), 'Bearer s')
  assert.equal(prove({ type: 'none' }, claim, at), undefined)
})
