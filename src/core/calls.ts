import type { WaystationError } from './errors.ts'
import type { Identity } from './ports.ts'

/**
 * Calls as the ways in see them: HTTP, WebSocket, the program that the hub is embedded in. What is behind it (workers, the
 * hub's own connections to services, rules, idempotency) they do not know.
 *
 * The codes that a caller can meet: `no_service`, `no_worker`, `deadline`, `forbidden`, `call_failed`, `worker_lost`,
 * `disconnected`, `service_refused`, `too_many_calls`, `idempotency_conflict`, `stopped`.
 */
export interface CallPort {
  /**
   * Calls a service. `settle` MUST be called exactly once, never before `call` has returned, and by the deadline at the
   * latest: the caller keeps no time of its own. It MUST NOT be called once the call was abandoned. `call` itself never
   * throws: what is wrong at once is settled too, also where the rules do not allow the call.
   * @returns what abandons the call: nobody waits for the answer any more. After the end it does nothing
   */
  call(service: string, wish: CallWish, by: Identity, settle: (outcome: CallOutcome) => void): () => void
  /**
   * Sends something that is not answered.
   * @throws {WaystationError} also as the promise: it was not taken. Returning says no more than that it was
   */
  cast(service: string, wish: CastWish, by: Identity): void | Promise<void>
  /** Whether the rules let this identity call the service, be it there or not: asked before a body is read. */
  mayCall(service: string, by: Identity): boolean
}

export interface CastWish {
  /** A term in external term format without its 131, not compressed, checked. */
  readonly request: Buffer
  /** What a pool that chooses by hash chooses by; 1 to 255 bytes. */
  readonly key: Buffer | undefined
}

export interface CallWish extends CastWish {
  /** ms from now until nobody waits any more; from 1 to `maxCallTimeout`. */
  readonly deadline: number
  /** Calls with the same one are one call; 1 to 255 bytes in UTF-8, well-formed. */
  readonly idempotencyKey: string | undefined
}

export type CallOutcome =
  /** `term` is in external term format without its 131, not compressed, checked. */
  | { readonly kind: 'answer'; readonly term: Buffer }
  | { readonly kind: 'failed'; readonly error: WaystationError }

/** Bytes of a service's name in UTF-8, at most; one at least. It may hold anything that is well-formed, slashes too. */
export const MAX_SERVICE_BYTES = 255

/** Whether this can be the name of a service. */
export function isServiceName(name: string): boolean {
  // A unit of UTF-16 takes a byte at least: what is far too long is not measured.
  return name !== '' && name.length <= MAX_SERVICE_BYTES && name.isWellFormed() && Buffer.byteLength(name) <= MAX_SERVICE_BYTES
}
