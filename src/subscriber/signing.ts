import type { Clock, RandomBytes } from '../core/ports.ts'
import { createChecker, type Checker } from '../protocol/lonelyps/authorization.ts'
import { createProver, type Prover } from '../protocol/lonelyps/prover.ts'
import type { Secrets } from '../protocol/lonelyps/secrets.ts'
import { createReplays } from './replays.ts'

/** Proves us to broadcasters and checks what proves them to us (lonelyps, section 3). */
export interface Signing {
  /** The value of `Authorization`; another one each time. */
  readonly prove: Prover
  readonly checker: Checker
}

export const NO_TRACING: Buffer = Buffer.alloc(0)
const LIFETIME = 120_000

/** @param most signatures that are remembered */
export function createSigning(secrets: Secrets, clock: Clock, randomBytes: RandomBytes, most: number): Signing {
  const replays = createReplays(clock.now, most)
  return {
    prove: createProver(secrets.toBroadcaster, clock, randomBytes),
    checker: createChecker(secrets.toSubscriber, { now: clock.now, lifetime: LIFETIME, remember: replays.remember }),
  }
}

/** An empty authorization in a body means that there is none. */
export function stated(authorization: string): string | undefined {
  return authorization === '' ? undefined : authorization
}
