import { ERRORS, WaystationError, type ErrorCode } from '../core/errors.ts'
import type { Clock } from '../core/ports.ts'
import { errorText } from '../protocol/erps/payload.ts'
import type { Bare } from './ports.ts'

/** What a call through a pool has come to. */
export type Result =
  | { readonly kind: 'answer'; readonly term: Bare }
  /** `done`: `no` where it is certain that nobody has done what was asked, so that it can be asked again. */
  | { readonly kind: 'failed'; readonly error: WaystationError; readonly done: 'no' | 'perhaps' }

export type Failure = Extract<Result, { kind: 'failed' }>

export function failure(code: ErrorCode, detail: string, done: Failure['done']): Failure {
  return { kind: 'failed', error: new WaystationError(code, detail), done }
}

/** Codes by which a service says that it has not begun. Of all others nobody knows: `deadline` among them. */
const UNDONE: ReadonlySet<ErrorCode> = new Set<ErrorCode>([
  'bad_request', 'forbidden', 'message_too_large', 'too_many_connections', 'too_many_from_address', 'overloaded', 'stopped', 'no_service', 'no_worker',
  'disconnected', 'service_refused', 'too_many_calls', 'idempotency_conflict',
])

/** A text of somebody else's stands in logs and answers: it is not repeated without end. */
const MOST_DETAIL = 200

/**
 * Why a service did not answer (`erps.md`, section 3: `{reason, ref}`), as an error. A reason that is none of the codes of
 * `errors.md` is `call_failed`, with the text as its detail where it is one.
 * @param reason a term in external term format without its 131
 */
export function failureOf(reason: Bare): Failure {
  const text = errorText(reason) ?? ''
  if (!Object.hasOwn(ERRORS, text)) return failure('call_failed', text.slice(0, MOST_DETAIL), 'perhaps')
  const code = text as ErrorCode
  // That it has failed says enough.
  return failure(code, code === 'call_failed' ? '' : 'the service says so', UNDONE.has(code) ? 'no' : 'perhaps')
}

/** Tells it at the end of the turn. Gives what takes that back. */
export function settleLater(clock: Clock, result: Result, settle: (result: Result) => void): () => void {
  let isOver = false
  clock.endOfTurn(() => {
    if (!isOver) settle(result)
    isOver = true
  })
  return () => {
    isOver = true
  }
}
