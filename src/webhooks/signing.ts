import type { Clock, RandomBytes } from '../core/ports.ts'
import { prove, type Scheme } from '../protocol/lonelyps/authorization.ts'
import type { Claim } from '../protocol/lonelyps/claims.ts'

/** Proves who we are, for one direction. Gives the value of `Authorization`, or `undefined` when the scheme has none. */
export type Prover = (claim: Claim) => string | undefined

const NONCE_BYTES = 4

/** lonelyps, section 3.2: the time in whole seconds, and four random bytes as the nonce. */
export function createProver(scheme: Scheme, clock: Clock, randomBytes: RandomBytes): Prover {
  if (scheme.type === 'none') return () => undefined
  return (claim) => prove(scheme, claim, { now: Math.floor(clock.now() / 1_000), nonce: randomBytes(NONCE_BYTES).toString('base64url') })
}
