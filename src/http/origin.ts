import type { IncomingMessage } from 'node:http'

/** Which pages elsewhere may use the hub from a browser. */
export interface Origins {
  /** Whether any was stated. Without one, every origin may open a WebSocket, and no CORS header is sent. */
  readonly stated: boolean
  allows(origin: string): boolean
}

type Matcher = (origin: URL) => boolean

/**
 * Reads origins: `scheme://host[:port]`, `scheme://*.host`, `*.host` (https only), or `*` (all). A star stands for one
 * or more labels. Host case and a scheme's own port make no difference.
 * @throws {RangeError} naming the text that is none of these: an origin without a scheme would match nothing real
 */
export function createOrigins(texts: readonly string[]): Origins {
  const everyone = texts.includes('*')
  const matchers = texts.filter((text) => text !== '*').map(parseOrigin)
  return {
    stated: texts.length > 0,
    allows(origin) {
      if (everyone) return true
      // A scheme with its slashes must really stand there: URL would repair `https:example.com`.
      if (!/^[a-z][a-z0-9+.-]*:\/\/[^/]/i.test(origin) || !URL.canParse(origin)) return false
      const url = new URL(origin)
      return matchers.some((matches) => matches(url))
    },
  }
}

function parseOrigin(text: string): Matcher {
  const full = text.startsWith('*.') ? `https://${text}` : text
  const match = /^([a-z][a-z0-9+.-]*):\/\/(\*\.)?([^/*?#\s]+)(?:\/.*)?$/i.exec(full)
  const plain = match === null ? '' : `${match[1]}://${match[3]}`
  if (match === null || !URL.canParse(plain) || new URL(plain).host === '') {
    throw new RangeError(`"${text}" is no origin: write scheme://host, for example https://app.example.com or https://*.example.com`)
  }
  const wanted = new URL(plain)
  if (match[2] === undefined) return (origin) => origin.protocol === wanted.protocol && origin.host === wanted.host
  return (origin) =>
    origin.protocol === wanted.protocol && origin.port === wanted.port && origin.hostname.endsWith('.' + wanted.hostname)
}

/**
 * The CORS headers for a response to this origin. Where any origin was stated, the answer depends on who asks, and says
 * so also to those who ask without one: a cache must not give theirs to a page.
 */
export function corsHeaders(origins: Origins, origin: string | undefined): Record<string, string> {
  if (!origins.stated) return {}
  if (origin === undefined || !origins.allows(origin)) return { Vary: 'Origin' }
  return {
    'Access-Control-Allow-Origin': origin,
    'Access-Control-Expose-Headers': 'Waystation-Epoch, Waystation-Offset, Waystation-Subscribers',
    Vary: 'Origin',
  }
}

/** Whether this is a preflight of an origin that may go on. To others there is nothing to say. */
export function isPreflight(origins: Origins, { method, headers }: Pick<IncomingMessage, 'method' | 'headers'>): boolean {
  if (method !== 'OPTIONS' || headers['access-control-request-method'] === undefined) return false
  return origins.stated && headers.origin !== undefined && origins.allows(headers.origin)
}

/** The further headers that answer a preflight. */
export const PREFLIGHT: Readonly<Record<string, string>> = {
  'Access-Control-Allow-Methods': 'GET, POST',
  'Access-Control-Allow-Headers': 'Authorization, Content-Type, Last-Event-ID',
  'Access-Control-Max-Age': '600',
}
