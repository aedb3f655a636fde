import { ERRORS, WaystationError } from '../../core/errors.ts'
import type { Registry } from '../../core/registry.ts'
import { macOf, type Checker, type Verdict } from '../../protocol/lonelyps/authorization.ts'
import type { Claim } from '../../protocol/lonelyps/claims.ts'
import type { Call } from './parts.ts'

/** A request that is not done, with the status that says so. Thrown by what an endpoint is made of, answered in one place. */
export class Refusal extends Error {
  override readonly name = 'Refusal'
  readonly status: number
  /** What stands in the body; nothing for nearly all. */
  readonly body: Buffer | undefined
  readonly contentType: string

  constructor(status: number, body?: Buffer, contentType = 'application/octet-stream') {
    super(`refused with ${status}`)
    this.status = status
    this.body = body
    this.contentType = contentType
  }
}

const STATUS: Readonly<Record<Exclude<Verdict, 'ok'>, number>> = { unauthorized: 401, forbidden: 403, unavailable: 503 }

/** Lonelyps, section 3.1. @throws {Refusal} 401, 403 or 503 */
export async function authorize(call: Call, checker: Checker, claim: Claim, body?: Buffer): Promise<void> {
  const verdict = await checker.check(call.authorization, claim)
  if (verdict !== 'ok') throw new Refusal(STATUS[verdict], verdict === 'unavailable' ? undefined : body)
  // Where nothing is to be proved, a header is somebody's text, and says nothing of what was remembered.
  if (call.identity.kind === 'signed') call.accepted = macOf(call.authorization)
}

/** The status for what went wrong; `undefined` for what nobody expected. */
export function statusOf(error: unknown): number | undefined {
  if (error instanceof Refusal) return error.status
  return error instanceof WaystationError ? ERRORS[error.code].status : undefined
}

/**
 * Whoever was told 503 tries again with the same signature (Q7): it is forgotten then, because the request had no effect.
 * Only what this request itself was let in by is: else anyone could make a replay good by being refused. What made it a
 * 503 may stand in the way of forgetting, too; then the next try is refused, as it is with the original.
 */
export async function forgetSignature(registry: Registry, { accepted }: Call): Promise<void> {
  if (accepted !== undefined) await registry.forget(accepted).catch(() => {})
}
