import type { Registry } from '../../core/registry.ts'
import { macOf, type Checker, type Verdict } from '../../protocol/lonelyps/authorization.ts'
import type { Claim } from '../../protocol/lonelyps/claims.ts'
import type { Call } from './parts.ts'
import { Refusal } from './refusals.ts'

const STATUS: Readonly<Record<Exclude<Verdict, 'ok'>, number>> = { unauthorized: 401, forbidden: 403, unavailable: 503 }

/** Lonelyps, section 3.1. @throws {Refusal} 401, 403 or 503 */
export async function authorize(call: Call, checker: Checker, claim: Claim, body?: Buffer): Promise<void> {
  const verdict = await checker.check(call.authorization, claim)
  if (verdict !== 'ok') throw new Refusal(STATUS[verdict], verdict === 'unavailable' ? undefined : body)
  // Where nothing is to be proved, a header is somebody's text, and says nothing of what was remembered.
  if (call.identity.kind === 'signed') call.accepted = macOf(call.authorization)
}

/**
 * Whoever was told 503 tries again with the same signature (Q7): it is forgotten then, because the request had no effect.
 * Only what this request itself was let in by is: else anyone could make a replay good by being refused. What made it a
 * 503 may stand in the way of forgetting, too; then the next try is refused, as it is with the original.
 */
export async function forgetSignature(registry: Registry, { accepted }: Call): Promise<void> {
  if (accepted !== undefined) await registry.forget(accepted).catch(() => {})
}
