import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type Checker, createChecker, isFresh, macOf, prove, readScheme, type Scheme } from '../../../src/protocol/lonelyps/authorization.ts'
import { claims } from '../../../src/protocol/lonelyps/claims.ts'
import { formatHmacHeader, parseHmacHeader } from '../../../src/protocol/lonelyps/hmac-header.ts'
import { hex, vectors } from './vectors.ts'

const LIFETIME = 120_000
const NOW = 1_736_867_963
const HMAC: Scheme = { type: 'hmac', key: hex(vectors.keys.to_broadcaster_key_hex) }
const CLAIM = claims.checkSubscriptions({ url: 'http://a', tracing: Buffer.alloc(0) })
const OTHER = claims.checkSubscriptions({ url: 'http://b', tracing: Buffer.alloc(0) })

type Remember = Parameters<typeof createChecker>[1]['remember']

/** A checker whose clock stands, and that keeps what it was told to remember. */
function checkerAt(nowMs: number, remember?: Remember, scheme = HMAC): Checker & { remembered: Map<string, number> } {
  const remembered = new Map<string, number>()
  const keep: Remember = (mac, expiresAtMs) => {
    if (remembered.has(mac.toString('hex'))) return false
    remembered.set(mac.toString('hex'), expiresAtMs)
    return true
  }
  return { ...createChecker(scheme, { now: () => nowMs, lifetime: LIFETIME, remember: remember ?? keep }), remembered }
}

function proof(now = NOW, nonce = 'AbC-_9'): string {
  return prove(HMAC, CLAIM, { now, nonce }) ?? assert.fail()
}

for (const [index, { header, now, result, timestamp, nonce, mac_hex }] of vectors.hmac_header_parse_cases.cases.entries()) {
  test(`header case ${index} of the protocol document is ${result}`, async () => {
    const parsed = header === null ? undefined : parseHmacHeader(header)
    const found = parsed !== undefined && isFresh(parsed.timestamp, now * 1_000, LIFETIME)
    assert.equal(found, result === 'FOUND')
    if (found) assert.deepEqual(parsed, { timestamp, nonce, mac: hex(mac_hex) })
    const checker = checkerAt(now * 1_000)
    // None of their MACs is right for this claim.
    assert.equal(await checker.check(header ?? undefined, CLAIM), result === 'UNAUTHORIZED' ? 'unauthorized' : 'forbidden')
  })
}

for (const [index, { header, result }] of vectors.token.cases.entries()) {
  test(`token case ${index} of the protocol document is ${result}`, async () => {
    const checker = checkerAt(0, () => assert.fail(), { type: 'token', secret: 's3cret' })
    assert.equal(await checker.check(header ?? undefined, CLAIM), result.toLowerCase())
    assert.equal(checker.checkBound(header ?? undefined, CLAIM), result.toLowerCase())
  })
}

test('a token that is not ASCII is forbidden, and nothing fails (Q18)', async () => {
  const checker = checkerAt(0, undefined, { type: 'token', secret: 's3cret' })
  for (const header of ['Bearer s3cré', 'Bearer \ud800', 'é'.repeat(100_000)]) assert.equal(await checker.check(header, CLAIM), 'forbidden')
})

test('the scheme none proves nothing and accepts everything', async () => {
  const checker = checkerAt(0, () => assert.fail(), { type: 'none' })
  assert.equal(prove({ type: 'none' }, CLAIM, { now: 1, nonce: 'n' }), undefined)
  for (const header of [undefined, '', 'anything']) {
    assert.equal(await checker.check(header, CLAIM), 'ok')
    assert.equal(checker.checkBound(header, CLAIM), 'ok')
  }
})

test('nothing but a decimal time, a nonce and a MAC is an hmac authorization', () => {
  const mac = 'A'.repeat(86)
  const accepted = (header: string): boolean => parseHmacHeader(header) !== undefined
  assert.ok(accepted(`X-HMAC 1:n:${mac}==`))
  assert.ok(accepted(`X-HMAC 1:${'n'.repeat(255)}:${mac}==`))
  for (const header of [
    `X-HMAC   1:n:${mac}==`, ` X-HMAC 1:n:${mac}==`, `X-HMAC 1:n:${mac}== `, `X-HMAC 1:n:${mac}=`, `X-HMAC 1:n:${mac}===`, `X-HMAC 1:n:${mac}\n`, `X-HMAC 1:n: ${mac}==`,
    `X-HMAC -1:n:${mac}==`, `X-HMAC ++1:n:${mac}==`, `X-HMAC 1 :n:${mac}==`, `X-HMAC 0x1:n:${mac}==`, `X-HMAC 1e3:n:${mac}==`, `X-HMAC 1_0:n:${mac}==`, `X-HMAC \u0661:n:${mac}==`,
    `X-HMAC 9999999999999999:n:${mac}==`, `X-HMAC :n:${mac}==`, `X-HMAC 1:${'n'.repeat(256)}:${mac}==`, `X-HMAC 1:${'é'.repeat(128)}:${mac}==`, `X-HMAC 1:\ud800:${mac}==`,
    `X-HMAC 1:n:${mac.slice(1)}B==`, `X-HMAC 1:n:AAAA=${mac}`, `X-HMAC\t1:n:${mac}==`,
  ]) assert.ok(!accepted(header), JSON.stringify(header))
})

test('what is written as an hmac authorization is read back', () => {
  const proofs = [{ timestamp: 0, nonce: '', mac: Buffer.alloc(64) }, { timestamp: 999_999_999_999_999, nonce: 'é\u{1f600} ', mac: Buffer.alloc(64, 0xff) }]
  for (const one of proofs) assert.deepEqual(parseHmacHeader(formatHmacHeader(one)), one)
  assert.throws(() => formatHmacHeader({ timestamp: 1, nonce: 'a:b', mac: Buffer.alloc(64) }), RangeError)
})

test('a signature is accepted once, for its own claim only', async () => {
  const checker = checkerAt(NOW * 1_000)
  assert.equal(await checker.check(undefined, CLAIM), 'unauthorized')
  assert.equal(await checker.check('', CLAIM), 'forbidden')
  assert.equal(await checker.check(proof(), OTHER), 'forbidden')
  assert.equal(checker.remembered.size, 0)
  assert.equal(await checker.check(proof(), CLAIM), 'ok')
  assert.equal(await checker.check(proof(), CLAIM), 'forbidden')
  assert.equal(await checker.check(proof(NOW, 'another'), CLAIM), 'ok')
})

test('another way to write the same signature is the same signature', async () => {
  const checker = checkerAt(NOW * 1_000)
  assert.equal(await checker.check(proof(), CLAIM), 'ok')
  assert.equal(await checker.check(proof().replace('==', ''), CLAIM), 'forbidden')
  assert.equal(await checker.check(proof().replace('X-HMAC ', 'X-HMAC +'), CLAIM), 'forbidden')
})

test('a signature with another time, nonce or one bit changed is forbidden and not remembered', async () => {
  const checker = checkerAt(NOW * 1_000)
  const parsed = parseHmacHeader(proof()) ?? assert.fail()
  const flipped = Buffer.from(parsed.mac)
  flipped[63] = (flipped[63] ?? 0) ^ 1
  for (const one of [{ ...parsed, timestamp: NOW + 1 }, { ...parsed, nonce: 'AbC-_8' }, { ...parsed, mac: flipped }]) {
    assert.equal(await checker.check(formatHmacHeader(one), CLAIM), 'forbidden')
    assert.equal(checker.checkBound(formatHmacHeader(one), CLAIM), 'forbidden')
  }
  assert.equal(checker.remembered.size, 0)
})

test('a signature is good for exactly its lifetime, before and after its time', async () => {
  for (const [nowMs, verdict] of [[NOW * 1_000 + LIFETIME, 'ok'], [NOW * 1_000 + LIFETIME + 1, 'forbidden'], [NOW * 1_000 - LIFETIME, 'ok'], [NOW * 1_000 - LIFETIME - 1, 'forbidden']] as const) {
    assert.equal(await checkerAt(nowMs).check(proof(), CLAIM), verdict)
    assert.equal(checkerAt(nowMs).checkBound(proof(), CLAIM), verdict)
  }
})

test('a signature is remembered for as long as it could be accepted, also one from the future', async () => {
  for (const offset of [-LIFETIME, 0, LIFETIME]) {
    const checker = checkerAt(NOW * 1_000 + offset)
    assert.equal(await checker.check(proof(), CLAIM), 'ok')
    const [expiresAt] = checker.remembered.values()
    assert.equal(expiresAt, NOW * 1_000 + LIFETIME + 1_000)
    assert.equal(checkerAt(expiresAt).checkBound(proof(), CLAIM), 'forbidden')
  }
})

test('the answer to one request is checked without being remembered', () => {
  const checker = checkerAt(NOW * 1_000, () => assert.fail('it was remembered'))
  assert.equal(checker.checkBound(proof(), CLAIM), 'ok')
  assert.equal(checker.checkBound(proof(), CLAIM), 'ok')
  assert.equal(checker.checkBound(proof(), OTHER), 'forbidden')
  assert.equal(checker.checkBound(undefined, CLAIM), 'unauthorized')
})

test('when the memory fails, the verdict is that it cannot be checked now', async () => {
  const failing: Remember[] = [() => { throw new Error('closed') }, () => Promise.reject(new Error('locked'))]
  for (const remember of failing) assert.equal(await checkerAt(NOW * 1_000, remember).check(proof(), CLAIM), 'unavailable')
  assert.equal(await checkerAt(NOW * 1_000, () => Promise.resolve(true)).check(proof(), CLAIM), 'ok')
  assert.equal(await checkerAt(NOW * 1_000, () => Promise.resolve(false)).check(proof(), CLAIM), 'forbidden')
})

test('a claim that no signature can be about is forbidden, and nothing fails', async () => {
  const claim = claims.continueReceive({ identifier: Buffer.from([1]), part: 256, url: 'u', tracing: Buffer.alloc(0) })
  assert.equal(await checkerAt(NOW * 1_000).check(proof(), claim), 'forbidden')
  assert.equal(checkerAt(NOW * 1_000).checkBound(proof(), claim), 'forbidden')
})

test('the MAC of an authorization can be had, so that it can be forgotten', async () => {
  const checker = checkerAt(NOW * 1_000)
  await checker.check(proof(), CLAIM)
  assert.deepEqual([...checker.remembered.keys()], [macOf(proof())?.toString('hex')])
  for (const none of [undefined, '', 'Bearer x']) assert.equal(macOf(none), undefined)
})

test('an hmac secret is 64 bytes in base64, its padding optional', () => {
  const secret = vectors.keys.to_broadcaster_secret
  for (const text of [secret, `${secret}=`, `${secret}==`, `${secret}====`]) assert.deepEqual(readScheme('hmac', text), HMAC)
  assert.deepEqual(readScheme('hmac', `${'_'.repeat(85)}w`), { type: 'hmac', key: Buffer.alloc(64, 0xff) })
  for (const text of ['', 'x', secret.slice(1), `${secret}A`, `${secret}AA`, `${secret}\n`, `a b${secret}`, `${secret.slice(0, 40)}=${secret.slice(40)}`]) assert.equal(typeof readScheme('hmac', text), 'string', text)
})

test('a scheme that cannot work is told in a sentence without the secret', () => {
  assert.deepEqual(readScheme('none', undefined), { type: 'none' })
  assert.deepEqual(readScheme('token', 'not base64!'), { type: 'token', secret: 'not base64!' })
  for (const [type, secret] of [['none', 'QX7QX7'], ['hmac', undefined], ['token', undefined], ['token', ''], ['token', 'QX7QX7 '], ['token', 'QX7QX7\n'], ['token', 'QX7QX7é'], ['hmac', 'QX7QX7'], ['QX7QX7', 'x'], ['toString', 'x']] as const) {
    const said = readScheme(type, secret)
    assert.ok(typeof said === 'string', type)
    assert.match(said, /^The .*\.$/)
    assert.doesNotMatch(said, /QX7/)
  }
})
