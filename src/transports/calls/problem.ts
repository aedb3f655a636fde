import { STATUS_CODES } from 'node:http'
import { WaystationError } from '../../core/errors.ts'

/** The media type of an error (RFC 9457). */
export const PROBLEM_JSON = 'application/problem+json'

/** An error as a client sees it, over HTTP as over a WebSocket. */
export interface Problem {
  readonly type: 'about:blank'
  readonly title: string
  readonly status: number
  readonly detail: string
  /** Stable: one of `docs/reference/errors.md`. */
  readonly code: string
}

/**
 * The problem that an error is (RFC 9457, section 3). What is none of ours shows nothing of itself.
 * @param status where HTTP has a better one than the code's own
 */
export function problemOf(error: unknown, status?: number): Problem {
  const known = error instanceof WaystationError ? error : new WaystationError('call_failed')
  const shown = status ?? (error instanceof WaystationError ? known.status : 500)
  return { type: 'about:blank', title: STATUS_CODES[shown] ?? '', status: shown, detail: known.message, code: known.code }
}
