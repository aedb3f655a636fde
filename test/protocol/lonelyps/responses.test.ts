import assert from 'node:assert/strict'
import { test } from 'node:test'
import {
  encodeCheckResponse, encodeConfirmMissed, encodeConfirmReceive, encodeGeneric, encodeNotifyResponse, parseCheckResponse, parseConfirmMissed, parseConfirmReceive,
  parseGeneric, parseNotifyResponse, parseReceiveAnswer, UNSUBSCRIBE_IMMEDIATE,
} from '../../../src/protocol/lonelyps/responses.ts'
import { hex, vectors } from './vectors.ts'

const EMPTY = Buffer.alloc(0)
const CONFIRMED = { authorization: 'Bearer é', tracing: Buffer.from('tr'), identifier: Buffer.from([1, 2]), subscribers: 0xffff_ffff }

for (const { id, fields, body_hex } of vectors.http_bodies.cases.filter((one) => one.id.startsWith('response_'))) {
  test(`the body ${id} of the protocol document is read and written`, () => {
    const body = hex(body_hex)
    const answer = { authorization: fields['authorization'] as string, tracing: hex(fields['tracing_hex'] ?? '') }
    const identifier = hex(fields['identifier_hex'] ?? '')
    switch (fields['type']) {
      case 3: return both(parseGeneric(body), answer, encodeGeneric(answer.authorization, answer.tracing), body)
      case 4: {
        const response = { ...answer, subscribers: fields['subscribers'] as number, identifier }
        return both(parseNotifyResponse(body), response, encodeNotifyResponse(response), body)
      }
      case 5: {
        const response = { ...answer, etag: hex(fields['etag_hex']) }
        return both(parseCheckResponse(body), response, encodeCheckResponse(response), body)
      }
      case 8: {
        const response = { ...answer, identifier, subscribers: fields['num_subscribers'] as number }
        assert.deepEqual(parseReceiveAnswer(body), { type: 'confirmed', ...response })
        return both(parseConfirmReceive(body), response, encodeConfirmReceive(response), body)
      }
      case 9: return both(parseConfirmMissed(body), answer, encodeConfirmMissed(answer.authorization, answer.tracing), body)
      case 10: return both(parseReceiveAnswer(body), { type: 'unsubscribe' }, UNSUBSCRIBE_IMMEDIATE, body)
      default: assert.fail('a type that is not known here')
    }
  })
}

function both(parsed: unknown, expected: unknown, encoded: Buffer, body: Buffer): void {
  assert.deepEqual(parsed, expected)
  assert.deepEqual(encoded, body)
}

test('whatever stands behind an answer to a delivery is ignored', () => {
  const more = Buffer.alloc(100, 0xff)
  assert.deepEqual(parseReceiveAnswer(Buffer.concat([encodeConfirmReceive(CONFIRMED), more])), { type: 'confirmed', ...CONFIRMED })
  assert.deepEqual(parseReceiveAnswer(Buffer.concat([UNSUBSCRIBE_IMMEDIATE, more])), { type: 'unsubscribe' })
})

test('any other answer to a delivery, a short one, and one that is not UTF-8 is a failed delivery', () => {
  const body = encodeConfirmReceive(CONFIRMED)
  for (let size = 0; size < body.length; size++) assert.equal(parseReceiveAnswer(body.subarray(0, size)), undefined)
  assert.equal(parseReceiveAnswer(encodeGeneric('', EMPTY)), undefined)
  assert.equal(parseReceiveAnswer(encodeConfirmMissed('', Buffer.alloc(50))), undefined)
  assert.equal(parseReceiveAnswer(Buffer.from('0008000180', 'hex')), undefined)
  body[4] = 0xff
  assert.equal(parseReceiveAnswer(body), undefined)
})

test('an answer is only read as what it is', () => {
  const all = [encodeGeneric('a', EMPTY), encodeNotifyResponse({ ...CONFIRMED }), encodeCheckResponse({ ...CONFIRMED, etag: Buffer.alloc(64) }), encodeConfirmReceive(CONFIRMED), encodeConfirmMissed('a', EMPTY)]
  const parsers = [parseGeneric, parseNotifyResponse, parseCheckResponse, parseConfirmReceive, parseConfirmMissed]
  assert.deepEqual(parsers.map((parse) => all.map((body) => parse(body) !== undefined)), parsers.map((_, row) => all.map((_body, column) => row === column)))
})

test('an etag of another format is not read', () => {
  const body = encodeCheckResponse({ authorization: '', tracing: EMPTY, etag: Buffer.alloc(64) })
  body[6] = 1
  assert.equal(parseCheckResponse(body), undefined)
})

test('what does not fit its length is not written', () => {
  assert.throws(() => encodeNotifyResponse({ ...CONFIRMED, subscribers: 2 ** 32 }), RangeError)
  assert.throws(() => encodeGeneric('a'.repeat(65_536), EMPTY), RangeError)
})
