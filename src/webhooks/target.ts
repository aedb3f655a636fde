/** A url that a webhook can go to, taken apart for sending. */
export interface Target {
  /** For the pool: `scheme://host[:port]` as WHATWG writes it. */
  readonly origin: string
  /** As WHATWG writes it, an IPv6 address without its brackets. */
  readonly hostname: string
  /** 1 to 65535. */
  readonly port: number
  /** The Host header: host and port as they stand in the url, so that the subscriber rebuilds what it registered. */
  readonly host: string
  /** Path and query for the request line, beginning with a slash; printable ASCII without blanks. */
  readonly path: string
  /** What signatures are made and checked over: the url without what the subscriber never gets to see. */
  readonly signed: string
}

// Node repairs `http:a`, `http:///a` and the like. Nothing that needs repair is called.
const SHAPE = /^(https?:\/\/)([^/?#\\]+)([^#]*)/i
const HOST = /^(?:[\w.-]+|\[[\da-f:.]+\])(?::\d*)?$/i
const PATH = /^(?:\/[\w.~!$&'()*+,;=:@%/-]*)?(?:\?[\w.~!$&'()*+,;=:@%/?-]*)?$/

/**
 * Reads a registered url (lonelyps section 2.4). Host and path are kept to the letter where they may stand in a request;
 * where not, both are as WHATWG encodes them. User name and password are neither sent nor signed, and the fragment neither
 * (Q5): the subscriber rebuilds the url from Host and path, where neither of them is.
 * @returns the target, or a sentence that says why the url cannot be called; the url itself, which may hold secrets, is not in it
 */
export function parseTarget(url: string): Target | string {
  if (/\p{Cc}|^ | $/u.test(url) || !url.isWellFormed()) return 'the url holds characters that no url may hold'
  const shape = SHAPE.exec(url)
  if (shape === null) return 'the url must begin with http:// or https:// and a host'
  if (!URL.canParse(url)) return 'the url cannot be read: its host or port is wrong'
  const parsed = new URL(url)
  const [, scheme, authority, tail] = shape as unknown as [string, string, string, string]
  const written = authority.slice(authority.lastIndexOf('@') + 1)
  const port = parsed.port === '' ? (parsed.protocol === 'https:' ? 443 : 80) : Number(parsed.port)
  if (port === 0) return 'the url has port 0, where nothing can listen'
  const path = PATH.test(tail) ? tail : parsed.pathname + parsed.search
  return {
    origin: parsed.origin,
    hostname: parsed.hostname.replace(/^\[|\]$/g, ''),
    port,
    host: HOST.test(written) ? written : parsed.host,
    path: path.startsWith('/') ? path : `/${path}`,
    signed: scheme + written + tail,
  }
}
