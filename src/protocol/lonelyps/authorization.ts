import { createHash, createHmac, timingSafeEqual } from 'node:crypto'
import { DIGEST_SIZE } from './bytes.ts'
import { bytesToSign, type Claim } from './claims.ts'
import { formatHmacHeader, type HmacProof, parseHmacHeader } from './hmac-header.ts'

/** How one direction proves who speaks (section 3.1). Holds the secret: never to be logged. */
export type Scheme =
  | { readonly type: 'none' }
  | { readonly type: 'token'; readonly secret: string }
  /** A key of 64 bytes. */
  | { readonly type: 'hmac'; readonly key: Buffer }

/** Nothing supplied is `unauthorized` (401), wrong is `forbidden` (403), cannot be checked now is `unavailable` (503). */
export type Verdict = 'ok' | 'unauthorized' | 'forbidden' | 'unavailable'

/** What a checker is given. */
export interface CheckerParts {
  /** Milliseconds since 1970. */
  now(): number
  /** For how many milliseconds before and after its timestamp a signature is good; 120,000 by default of the protocol (section 3.3). */
  readonly lifetime: number
  /** Remembers a MAC, made at `signedAtMs`, until `expiresAtMs` (milliseconds since 1970); false when it is known already. Called only for a MAC that is right. */
  remember(mac: Buffer, expiresAtMs: number, signedAtMs: number): Promise<boolean> | boolean
}

/** Neither method ever throws or rejects. In a binary body an empty authorization means that there was none: `undefined`. */
export interface Checker {
  /** Whether `header`, the value of `Authorization`, proves the claim. A signature that was accepted once is never accepted again. */
  check(header: string | undefined, claim: Claim): Promise<Verdict> | Verdict
  /**
   * The same without remembering anything: only for answers that something else binds to one request, as the identifier and
   * the connection it comes back on do for CONFIRM_RECEIVE.
   */
  checkBound(header: string | undefined, claim: Claim): Verdict
}

// Timestamps are whole seconds: a MAC is kept this much longer than it is good, lest rounding let it be used again.
const MARGIN_MS = 1_000
const KEY_TEXT = /^[A-Za-z0-9+/_-]*=*$/
// Whatever cannot stand in a header, or is trimmed from it, would be a secret that never fits.
const TOKEN_TEXT = /^[\x20-\x7e]*[\x21-\x7e]$/

/**
 * The scheme for a type and its secret (section 3.2): for `hmac` the URL-safe base64 of 64 bytes, padding optional; for `token`
 * printable ASCII. Else a sentence that says what is wrong, without the secret in it.
 */
export function readScheme(type: string, secret: string | undefined): Scheme | string {
  if (type === 'none') return secret === undefined ? { type } : 'The scheme none takes no secret.'
  if (type !== 'token' && type !== 'hmac') return 'The scheme must be none, token or hmac.'
  if (secret === undefined) return `The scheme ${type} needs a secret.`
  if (type === 'token') return TOKEN_TEXT.test(secret) ? { type, secret } : 'The secret of a token must be printable ASCII, not empty, and not end in a space.'
  const key = Buffer.from(secret, 'base64url')
  if (!KEY_TEXT.test(secret) || key.length !== DIGEST_SIZE) return `The secret of hmac must be ${DIGEST_SIZE} bytes in URL-safe base64.`
  return { type, key }
}

/**
 * The authorization of a claim, `undefined` when the scheme is none (sections 3.1 and 3.2).
 * @param at `now` in Unix seconds, its fraction dropped; `nonce` without `:`, at most 255 bytes, another for each message
 * @throws {RangeError} when the scheme is hmac and a value does not fit the bytes to sign
 */
export function prove(scheme: Scheme, claim: Claim, at: { readonly now: number; readonly nonce: string }): string | undefined {
  switch (scheme.type) {
    case 'none': return undefined
    case 'token': return bearer(scheme.secret)
    case 'hmac': {
      const timestamp = Math.floor(at.now)
      return formatHmacHeader({ timestamp, nonce: at.nonce, mac: sign(scheme.key, claim, timestamp, at.nonce) })
    }
    default: return scheme satisfies never
  }
}

/** What checks the authorizations of one direction (section 3.3). */
export function createChecker(scheme: Scheme, parts: CheckerParts): Checker {
  switch (scheme.type) {
    case 'none': return { check: () => 'ok', checkBound: () => 'ok' }
    case 'token': return tokenChecker(scheme.secret)
    case 'hmac': return hmacChecker(scheme.key, parts)
    default: return scheme satisfies never
  }
}

/** Whether a signature of that time is good now (section 3.3, rule 1); the very end still is. @param timestamp Unix seconds */
export function isFresh(timestamp: number, nowMs: number, lifetimeMs: number): boolean {
  return Math.abs(nowMs - timestamp * 1_000) <= lifetimeMs
}

/**
 * The MAC that an HMAC header carries. For forgetting it again when a request was answered 503 (section 3.3): only after the
 * verdict was `ok`, or anyone could make a hub forget.
 */
export function macOf(header: string | undefined): Buffer | undefined {
  return header === undefined ? undefined : parseHmacHeader(header)?.mac
}

function tokenChecker(secret: string): Checker {
  // Digests have one length whatever was supplied, so that the comparison tells nothing, and takes any text.
  const expected = sha512(bearer(secret))
  function check(header: string | undefined): Verdict {
    if (header === undefined) return 'unauthorized'
    return timingSafeEqual(sha512(header), expected) ? 'ok' : 'forbidden'
  }
  return { check, checkBound: check }
}

function hmacChecker(key: Buffer, { now, lifetime, remember }: CheckerParts): Checker {
  function proofIn(header: string | undefined, claim: Claim): HmacProof | Verdict {
    if (header === undefined) return 'unauthorized'
    const proof = parseHmacHeader(header)
    if (proof === undefined || !isFresh(proof.timestamp, now(), lifetime)) return 'forbidden'
    return isRight(key, claim, proof) ? proof : 'forbidden'
  }
  return {
    check(header, claim) {
      const proof = proofIn(header, claim)
      if (typeof proof === 'string') return proof
      // Counted from the timestamp: from now on it would be forgotten while a signature from the future is still good.
      const signedAt = proof.timestamp * 1_000
      return firstUse(() => remember(proof.mac, signedAt + lifetime + MARGIN_MS, signedAt))
    },
    checkBound(header, claim) {
      const proof = proofIn(header, claim)
      return typeof proof === 'string' ? proof : 'ok'
    },
  }
}

function isRight(key: Buffer, claim: Claim, { timestamp, nonce, mac }: HmacProof): boolean {
  try {
    return timingSafeEqual(sign(key, claim, timestamp, nonce), mac)
  } catch (error) {
    // A claim that does not fit the signed bytes has no signature.
    if (error instanceof RangeError) return false
    throw error
  }
}

function firstUse(remember: () => Promise<boolean> | boolean): Promise<Verdict> | Verdict {
  const verdict = (isNew: boolean): Verdict => (isNew ? 'ok' : 'forbidden')
  try {
    const isNew = remember()
    return typeof isNew === 'boolean' ? verdict(isNew) : isNew.then(verdict, () => 'unavailable' as const)
  } catch {
    return 'unavailable'
  }
}

function sign(key: Buffer, claim: Claim, timestamp: number, nonce: string): Buffer {
  return createHmac('sha512', key).update(bytesToSign(claim, timestamp, nonce)).digest()
}

function bearer(secret: string): string {
  return `Bearer ${secret}`
}

function sha512(text: string): Buffer {
  return createHash('sha512').update(text).digest()
}
