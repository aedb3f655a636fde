import { isUtf8 } from 'node:buffer'

/** The path of a request, percent-decoded. */
export interface RequestPath {
  /** The decoded path as text; `undefined` when its bytes are no UTF-8. */
  readonly text: string | undefined
  /** Where the canonical form of this path is, percent-encoded; `undefined` when it is canonical already. */
  readonly canonical: string | undefined
}

export interface Target {
  /** The path as it was sent. */
  readonly raw: string
  /** The query with its question mark, or nothing. */
  readonly query: string
}

/** Splits a request target. The absolute form counts as its path. */
export function splitTarget(target: string): Target {
  const path = target.startsWith('/') ? target : target.replace(/^[a-z][a-z0-9+.-]*:\/\/[^/?#]*/i, '')
  const at = path.indexOf('?')
  const raw = at === -1 ? path : path.slice(0, at)
  return { raw: raw === '' ? '/' : raw, query: at === -1 ? '' : path.slice(at) }
}

// What needs no decoding and cannot be other than canonical: nearly every path there is.
const PLAIN = /^(?:\/(?!\.{0,2}(?:\/|$))[\w.~-]+)+$/

/** Whether a path is canonical, and stands for itself: no percent signs, no dot segments, no query, no slash at its end. */
export function isPlainPath(raw: string): boolean {
  return PLAIN.test(raw)
}

/**
 * Decodes a path. Repeated slashes and dot segments make it non-canonical; one slash at the end is kept.
 * @param raw the path as sent, without the query
 * @returns `undefined` when a percent sign is not followed by two hex digits
 */
export function decodePath(raw: string): RequestPath | undefined {
  if (PLAIN.test(raw)) return { text: raw, canonical: undefined }
  if (/%(?![0-9a-fA-F]{2})/.test(raw)) return undefined
  const bytes = raw.replace(/%([0-9a-fA-F]{2})/g, (_, hex: string) => String.fromCharCode(Number.parseInt(hex, 16)))
  const clean = canonical(bytes)
  const buffer = Buffer.from(bytes, 'latin1')
  return {
    text: isUtf8(buffer) ? buffer.toString('utf8') : undefined,
    canonical: clean === bytes ? undefined : encode(clean),
  }
}

function canonical(path: string): string {
  const out: string[] = []
  const segments = path.split('/')
  for (const segment of segments) {
    if (segment === '' || segment === '.') continue
    if (segment === '..') out.pop()
    else out.push(segment)
  }
  const slash = out.length > 0 && path.endsWith('/') ? '/' : ''
  return '/' + out.join('/') + slash
}

function encode(bytes: string): string {
  return bytes.replace(/[^\w.~$&+,/:;=@-]/g, (byte) => '%' + byte.charCodeAt(0).toString(16).toUpperCase().padStart(2, '0'))
}
