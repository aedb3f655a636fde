import type { DialError } from './ports.ts'

/** What a `Dial` rejects with. */
export class ZoneDialError extends Error implements DialError {
  override readonly name = 'ZoneDialError'
  readonly kind: DialError['kind']
  readonly detail: string

  constructor(kind: DialError['kind'], detail: string, cause?: unknown) {
    super(detail, cause === undefined ? {} : { cause })
    this.kind = kind
    this.detail = detail
  }
}
