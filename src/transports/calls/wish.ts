import { isUtf8 } from 'node:buffer'
import type { IncomingMessage } from 'node:http'
import { isServiceName, MAX_SERVICE_BYTES } from '../../core/calls.ts'
import { WaystationError } from '../../core/errors.ts'
import { splitTarget } from '../../http/path.ts'
import type { Asked } from '../../http/server.ts'

/** What a path asks for. */
export type Target =
  | { readonly kind: 'socket' }
  /** The name as it stands; nothing where it is no UTF-8. */
  | { readonly kind: 'call' | 'cast'; readonly name: string | undefined }

/** What a call asks for beside its request. */
export interface Terms {
  readonly deadline: number
  readonly key: Buffer | undefined
  readonly idempotencyKey: string | undefined
}

export interface DeadlineBounds {
  readonly callTimeout: number
  readonly maxCallTimeout: number
}

const SOCKET = '/_/call'
const PREFIXES = { call: '/_/call/', cast: '/_/cast/' } as const
const MAX_KEY_BYTES = 255
const UNITS: Readonly<Record<string, number>> = { ms: 1, s: 1_000, m: 60_000 }

/** Reads a path. Nothing for one of somebody else. Of a name, nothing is put right: `a//b` and `..` are names like any other. */
export function targetOf({ path, message, base }: Asked): Target | undefined {
  const text = path.text ?? splitTarget(message.url ?? '/').raw.slice(base.length)
  if (text === SOCKET) return { kind: 'socket' }
  for (const kind of ['call', 'cast'] as const) {
    const prefix = PREFIXES[kind]
    if (text.startsWith(prefix)) return { kind, name: path.text === undefined ? undefined : text.slice(prefix.length) }
  }
  return undefined
}

/** @throws {WaystationError} `bad_request` */
export function serviceOf(name: unknown): string {
  if (typeof name === 'string' && isServiceName(name)) return name
  throw new WaystationError('bad_request', `the name of a service has 1 to ${MAX_SERVICE_BYTES} bytes in UTF-8`)
}

/** What the headers ask for. @throws {WaystationError} `bad_request` */
export function termsOf(message: IncomingMessage, bounds: DeadlineBounds): Terms {
  const key = headerOf(message, 'waystation-key')
  const idempotencyKey = headerOf(message, 'idempotency-key')
  return {
    deadline: deadlineOf(headerOf(message, 'waystation-deadline'), bounds),
    key: key === undefined ? undefined : keyOf('Waystation-Key', Buffer.from(key, 'latin1')),
    idempotencyKey: idempotencyKey === undefined ? undefined : textOf('Idempotency-Key', Buffer.from(unquoted(idempotencyKey), 'latin1')),
  }
}

/**
 * @param stated milliseconds, or a text: `500`, `500ms`, `1.5s`, `2m`
 * @throws {WaystationError} `bad_request`
 */
export function deadlineOf(stated: unknown, { callTimeout, maxCallTimeout }: DeadlineBounds): number {
  if (stated === undefined) return callTimeout
  const match = typeof stated === 'number' || typeof stated === 'string' ? /^(\d{1,15}(?:\.\d{1,3})?)(ms|s|m)?$/.exec(String(stated)) : null
  const ms = match === null ? Number.NaN : Math.round(Number(match[1]) * (UNITS[match[2] ?? 'ms'] as number))
  if (!(ms >= 1)) throw new WaystationError('bad_request', 'a deadline is a number of milliseconds above 0, or a time such as 500ms, 5s or 1m')
  if (ms > maxCallTimeout) throw new WaystationError('bad_request', `a deadline may be ${maxCallTimeout} ms at most`)
  return ms
}

/** @throws {WaystationError} `bad_request` */
export function keyOf(name: string, bytes: Buffer): Buffer {
  if (bytes.length >= 1 && bytes.length <= MAX_KEY_BYTES) return bytes
  throw new WaystationError('bad_request', `${name} has 1 to ${MAX_KEY_BYTES} bytes`)
}

function textOf(name: string, bytes: Buffer): string {
  if (!isUtf8(bytes)) throw new WaystationError('bad_request', `${name} is UTF-8`)
  return keyOf(name, bytes).toString('utf8')
}

/** A header that may stand once: two readers of one that stands twice could each believe another. */
function headerOf(message: IncomingMessage, name: string): string | undefined {
  const values = message.headersDistinct[name]
  if (values !== undefined && values.length > 1) throw new WaystationError('bad_request', `${name} stands ${values.length} times`)
  return values?.[0]
}

/** What a string of RFC 9651 holds; all else as it stands, because most clients send it bare. */
function unquoted(text: string): string {
  return /^"(?:[^"\\]|\\["\\])*"$/.test(text) ? text.slice(1, -1).replace(/\\(["\\])/g, '$1') : text
}
