import { createChecker, type Checker, type CheckerParts, type Verdict } from '../protocol/lonelyps/authorization.ts'
import type { Claim } from '../protocol/lonelyps/claims.ts'
import { createProver, type Prover } from '../protocol/lonelyps/prover.ts'
import type { RandomBytes } from './ports.ts'
import type { Registry } from './registry.ts'

/** The header in which a hub proves to another that it is one on the same registry. */
export const RELAY_HEADER = 'Waystation-Relay'

/**
 * How hubs that share a registry know each other: a signature like that of lonelyps with hmac (section 3.2), made with a key
 * that only the registry has. What proves a broadcaster to its subscribers cannot do: whoever can check it could make it.
 */
export interface HubProofs {
  /** The header's value; `undefined` when the registry does not give the key now, so that we are nobody in particular. */
  prove(claim: Claim): Promise<string | undefined>
  /** Whether a hub on our registry has made it, just now, and it was not used before. Never rejects. */
  check(header: string | undefined, claim: Claim): Promise<Verdict>
}

const KEY_BYTES = 64

export function createHubProofs(parts: CheckerParts & { readonly registry: Pick<Registry, 'hubSecret'>; readonly randomBytes: RandomBytes }): HubProofs {
  const { registry, randomBytes } = parts
  let asked: Promise<{ readonly prover: Prover; readonly checker: Checker }> | undefined

  function known(): Promise<{ readonly prover: Prover; readonly checker: Checker }> {
    return (asked ??= registry.hubSecret(randomBytes(KEY_BYTES)).then((secret) => {
      const scheme = { type: 'hmac', key: Buffer.from(secret) } as const
      return { prover: createProver(scheme, parts, randomBytes), checker: createChecker(scheme, parts) }
    }).catch((error: unknown) => {
      asked = undefined
      throw error
    }))
  }

  return {
    prove: (claim) => known().then(({ prover }) => prover(claim), () => undefined),
    check(header, claim) {
      if (header === undefined) return Promise.resolve('unauthorized')
      return known().then(({ checker }) => checker.check(header, claim), () => 'unavailable')
    },
  }
}
