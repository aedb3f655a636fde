import { BodyOverload } from '../../http/body-source.ts'
import { ERRORS, WaystationError } from '../../core/errors.ts'

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

/** The status for what went wrong; `undefined` for what nobody expected. */
export function statusOf(error: unknown): number | undefined {
  if (error instanceof Refusal) return error.status
  if (error instanceof BodyOverload) return 503
  return error instanceof WaystationError ? ERRORS[error.code].status : undefined
}
