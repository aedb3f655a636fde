import { prove, type Scheme } from './authorization.ts'
import type { Claim } from './claims.ts'

/** Proves who we are, for one direction. Gives the value of `Authorization`, or `undefined` when the scheme has none. */
export type Prover = (claim: Claim) => string | undefined

const NONCE_BYTES = 4

/**
 * Section 3.2: the time in whole seconds, and four random bytes as the nonce.
 * @param clock milliseconds since 1970
 * @param randomBytes that nobody can foresee
 */
export function createProver(scheme: Scheme, clock: { now(): number }, randomBytes: (size: number) => Buffer): Prover {
  if (scheme.type === 'none') return () => undefined
  return (claim) => prove(scheme, claim, { now: Math.floor(clock.now() / 1_000), nonce: randomBytes(NONCE_BYTES).toString('base64url') })
}
