import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type Checker, createChecker } from '../../../src/protocol/lonelyps/authorization.ts'
import { claimsOf, must } from './exchange-claims.ts'
import { hex, vectors } from './vectors.ts'

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
