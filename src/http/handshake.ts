import { createHash } from 'node:crypto'
import type { IncomingMessage } from 'node:http'

/**
 * Checks a handshake, as RFC 6455, section 4.2.1, asks, in the order that pinghub answers in.
 * @param versions of the protocol, for those whose clients have an older one: 7 and 8 have the same frames
 * @returns the status that refuses it, 0 when it asks for no WebSocket, or `undefined` when it is good
 */
export function checkHandshake(message: IncomingMessage, originAllowed: (origin: string) => boolean, versions: readonly string[] = ['13']): number | undefined {
  const { headers } = message
  // Most requests say nothing of it.
  if (headers.upgrade === undefined) return 0
  const asks = tokens(headers.connection).includes('upgrade') && tokens(headers.upgrade).includes('websocket')
  if (!asks) return 0
  if (message.method !== 'GET') return 405
  // A body before the frames: whoever sits between would have to agree where it ends.
  if (headers['transfer-encoding'] !== undefined || Number(headers['content-length'] ?? 0) > 0) return 400
  if (!tokens(headers['sec-websocket-version']).some((version) => versions.includes(version))) return 400
  const origin = message.headersDistinct['origin']?.[0]
  if (origin !== undefined && !originAllowed(origin)) return 403
  return /^[+/0-9A-Za-z]{22}==$/.test(headers['sec-websocket-key'] ?? '') ? undefined : 400
}

function tokens(header: string | string[] | undefined): string[] {
  return String(header ?? '').toLowerCase().split(',').map((token) => token.trim())
}

const MAGIC = '258EAFA5-E914-47DA-95CA-C5AB0DC85B11'

/** The answer to a good handshake (RFC 6455, section 4.2.2). No subprotocol and no extension is ever taken. */
export function acceptance(message: IncomingMessage): string {
  const proof = createHash('sha1').update(`${message.headers['sec-websocket-key']}${MAGIC}`).digest('base64')
  return `HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ${proof}\r\n\r\n`
}
