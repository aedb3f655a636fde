import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { test } from 'node:test'
import { createChecker, readScheme, type Scheme } from '../../../src/protocol/lonelyps/authorization.ts'
import { claims } from '../../../src/protocol/lonelyps/claims.ts'
import { createManualClock } from '../../../src/testing/manual-clock.ts'
import { createProver } from '../../../src/protocol/lonelyps/prover.ts'

const claim = claims.missed({ url: 'http://a/', topic: Buffer.from('t'), tracing: Buffer.alloc(0) })

test('a proof carries the time of the clock and is another each time, and the scheme none has none', () => {
  const clock = createManualClock()
  const scheme = readScheme('hmac', Buffer.alloc(64, 7).toString('base64url')) as Scheme
  const checker = createChecker(scheme, { now: clock.now, lifetime: 1_000, remember: () => true })
  const prove = createProver(scheme, clock, randomBytes)
  const [first, second] = [prove(claim), prove(claim)]
  assert.notEqual(first, second)
  assert.equal(checker.checkBound(first, claim), 'ok')
  clock.advance(3_000)
  assert.equal(checker.checkBound(first, claim), 'forbidden')
  assert.equal(checker.checkBound(prove(claim), claim), 'ok')
  assert.equal(createProver({ type: 'none' }, clock, randomBytes)(claim), undefined)
  assert.equal(createProver({ type: 'token', secret: 'x' }, clock, randomBytes)(claim), 'Bearer x')
})
