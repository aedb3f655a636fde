import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type Checker, createChecker, type Scheme } from '../../../src/protocol/lonelyps/authorization.ts'
import { connectionNonce, pseudoUrl } from '../../../src/protocol/lonelyps/stateful/connection.ts'
import { createClaims } from './stateful-claims.ts'
import { type Any, type Direction, encode, formOf, read, type RecordedFrame, vectors } from './stateful-vectors.ts'
import { hex, vectors as httpVectors } from './vectors.ts'

const { keys } = httpVectors
const transcripts = Object.entries(vectors.ws_transcripts).flatMap(([name, session]) => (typeof session === 'string' ? [] : [{ name, ...session }]))

/** How frames of that direction are signed in that session. */
function schemeOf(session: string, direction: Direction): Scheme {
  if (session.startsWith('ws_none')) return { type: 'none' }
  const [secret, key] = direction === 'S2B' ? [keys.to_broadcaster_secret, keys.to_broadcaster_key_hex] : [keys.to_subscriber_secret, keys.to_subscriber_key_hex]
  return session.startsWith('ws_token') ? { type: 'token', secret } : { type: 'hmac', key: hex(key) }
}

const checkerAt = (scheme: Scheme, { time_unix }: RecordedFrame): Checker => createChecker(scheme, { now: () => time_unix * 1_000, lifetime: 120_000, remember: () => true })

const messages = (frames: readonly RecordedFrame[]): Any[] => frames.map(({ direction, hex: frame }) => read(direction, hex(frame)))

test('the recorded sessions cover three schemes, both forms, and messages in parts', () => {
  assert.deepEqual(transcripts.map(({ name, frames }) => [name, frames.length]), [
    ['ws_hmac_minimal', 22], ['ws_none_minimal', 22], ['ws_token_minimal', 22], ['ws_none_multipart_expanded', 22], ['ws_hmac_multipart_minimal', 22],
  ])
})

for (const { name, frames, message_hex } of transcripts) {
  test(`${name}: every frame is of its type, and written again to the same bytes in the same form`, () => {
    for (const { direction, name: type, hex: frame } of frames) {
      const bytes = hex(frame)
      const message = read(direction, bytes)
      assert.equal(message.type.toUpperCase(), type)
      assert.equal(formOf(bytes), name.endsWith('expanded') ? 'expanded' : 'minimal')
      assert.equal(encode(direction, message, formOf(bytes)).toString('hex'), frame)
    }
  })

  test(`${name}: every authorization proves its frame, and no other`, () => {
    const [claimOf, wrongClaimOf] = [createClaims(), createClaims()]
    for (const recorded of frames) {
      const message = read(recorded.direction, hex(recorded.hex))
      const scheme = schemeOf(name, recorded.direction)
      const checker = checkerAt(scheme, recorded)
      assert.equal(message.authorization === undefined, scheme.type === 'none')
      assert.equal(checker.checkBound(message.authorization, claimOf(message, recorded.authorized_with_url)), 'ok', message.type)
      const wrong = wrongClaimOf({ ...message, tracing: Buffer.from('another') }, recorded.authorized_with_url)
      assert.equal(checker.checkBound(message.authorization, wrong), scheme.type === 'hmac' ? 'forbidden' : 'ok')
    }
  })

  // Q2: the original broadcaster counts the parts that it sends; its recorded frames are signed so.
  test(`${name}: the pseudo-URLs are those of the nonces and counters, with the original's count of parts`, () => {
    const [first, second] = messages(frames)
    assert.ok(first?.type === 'configure' && second?.type === 'confirm_configure')
    const nonce = connectionNonce(first.nonce, second.nonce)
    const counters = { S2B: -1, B2S: 1 }
    for (const { direction, authorized_with_url } of frames) {
      if (authorized_with_url === undefined) continue
      assert.equal(authorized_with_url, pseudoUrl(nonce, counters[direction]))
      counters[direction] += direction === 'S2B' ? -1 : 1
    }
    assert.deepEqual(counters, { S2B: -7, B2S: 5 })
  })

  if (message_hex === undefined) continue
  test(`${name}: the parts of both streams are the message`, () => {
    for (const type of ['notify_stream', 'receive_stream']) {
      const parts = messages(frames).filter((message) => message.type === type) as Extract<Any, { type: 'notify_stream' }>[]
      assert.deepEqual(parts.map(({ part, head }) => [part, head?.compressedLength]), [[0, 3000n], [1, undefined], [2, undefined], [3, undefined]])
      assert.equal(Buffer.concat(parts.map(({ body }) => body)).toString('hex'), message_hex)
    }
  })
}
