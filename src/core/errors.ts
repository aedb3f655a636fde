/**
 * Every error that a caller, a client or an operator can meet. The table is the truth: types, the HTTP status and
 * `docs/reference/errors.md` come from it. Callers compare codes, never texts.
 */
export const ERRORS = {
  bad_cursor: { status: 400, text: 'the cursor is not of the form epoch:offset' },
  bad_pattern: { status: 400, text: 'the topic pattern cannot be used' },
  bad_request: { status: 400, text: 'the request cannot be understood' },
  forbidden: { status: 403, text: 'a rule does not allow this' },
  key_required: { status: 403, text: 'the domain has an API key, and only who has it publishes there' },
  key_refused: { status: 403, text: 'the API key does not let publish there' },
  gap: { status: 410, text: 'messages after the cursor are no longer there' },
  message_too_large: { status: 413, text: 'the message is larger than the limit' },
  too_many_topics: { status: 400, text: 'more topics than one stream may carry' },
  too_many_connections: { status: 503, text: 'the hub has all the connections it may have' },
  too_many_from_address: { status: 429, text: 'this address has all the connections it may have' },
  too_many_patterns: { status: 503, text: 'event streams have all the different patterns they may have' },
  overloaded: { status: 503, text: 'more is on its way than the hub takes at once' },
  registry_unavailable: { status: 503, text: 'the database of subscriptions and API keys cannot be used now' },
  too_many_registrations: { status: 507, text: 'there are all the webhook registrations that there may be' },
  spool_full: { status: 507, text: 'there is no room on disk for a message of this size' },
  refused_url: { status: 403, text: 'a webhook may not go there' },
  slow_consumer: { status: 503, text: 'the reader was too slow and was let go' },
  stopped: { status: 503, text: 'the hub is stopping' },
  config_invalid: { status: 500, text: 'the configuration has errors' },
  listen_failed: { status: 500, text: 'the address cannot be listened on' },
  no_service: { status: 404, text: 'there is no service of this name' },
  no_worker: { status: 503, text: 'no worker of the service can take this now' },
  deadline: { status: 504, text: 'the call was not answered in time' },
  call_failed: { status: 502, text: 'the service has failed to answer the call' },
  worker_lost: { status: 502, text: 'the connection to the service was lost before it answered; whether the call was done is not known' },
  disconnected: { status: 503, text: 'there is no connection to the service' },
  service_refused: { status: 502, text: 'the service refuses this caller' },
  too_many_calls: { status: 503, text: 'there are all the unanswered calls that there may be' },
  idempotency_conflict: { status: 422, text: 'the idempotency key belongs to another request' },
  unreachable: { status: 502, text: 'the hub cannot be reached' },
} as const satisfies Record<string, { status: number; text: string }>

export type ErrorCode = keyof typeof ERRORS

/** The one error class. `code` is stable; `message` is for people. */
export class WaystationError extends Error {
  override readonly name = 'WaystationError'
  readonly code: ErrorCode
  /** What is particular to this case: the offending value, the limit that was met. */
  readonly detail: string

  constructor(code: ErrorCode, detail = '', cause?: unknown) {
    super(detail === '' ? ERRORS[code].text : `${ERRORS[code].text}: ${detail}`, cause === undefined ? {} : { cause })
    this.code = code
    this.detail = detail
  }

  /** The HTTP status that says this to a client. */
  get status(): number {
    return ERRORS[this.code].status
  }
}
