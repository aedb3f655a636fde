import type { IncomingMessage } from 'node:http'
import type { Duplex } from 'node:stream'
import type { ServerResponse } from 'node:http'
import type { Origins } from '../../http/origin.ts'
import { rawReply, replyText } from '../../http/reply.ts'
import { checkHandshake } from '../../http/handshake.ts'

/** Every refusal of a request (wspubsub, section 11, decisions 7 to 9), with the headers that go with it. */
export const REFUSALS = {
  plain: { status: 426, text: 'this is for WebSockets', headers: { Upgrade: 'websocket', Connection: 'Upgrade, close' } },
  handshake: { status: 400, text: 'the handshake is malformed', headers: { 'Sec-WebSocket-Version': '13, 8, 7' } },
  method: { status: 405, text: 'a handshake is a GET', headers: { Allow: 'GET' } },
  origin: { status: 403, text: 'pages of this origin may not connect', headers: {} },
  path: { status: 400, text: 'a domain holds no slash, and a percent sign begins two hex digits', headers: {} },
  segments: { status: 404, text: 'write /ws/pub/<key>/<domain>/<topic> or /ws/sub/<domain>/<topic>', headers: {} },
  key: { status: 403, text: 'the key does not let publish under this domain', headers: {} },
  rule: { status: 403, text: 'a rule does not allow this', headers: {} },
  taken: { status: 409, text: 'the topic has a publisher', headers: {} },
  unknown: { status: 404, text: 'nobody publishes to this topic', headers: {} },
  database: { status: 503, text: 'keys cannot be checked now', headers: { 'Retry-After': '1' } },
  stopped: { status: 503, text: 'the hub is stopping', headers: { 'Retry-After': '1' } },
} as const satisfies Record<string, { status: number; text: string; headers: Readonly<Record<string, string>> }>

export type Refusal = keyof typeof REFUSALS

/** While the connection is still HTTP. */
export function refuse(response: ServerResponse, refusal: Refusal): void {
  const { status, text, headers } = REFUSALS[refusal]
  replyText(response, status, `Error: ${text}.\n`, headers)
}

/** When it has left HTTP; it ends with this. */
export function refuseRaw(socket: Duplex, refusal: Refusal): void {
  const { status, text, headers } = REFUSALS[refusal]
  rawReply(socket, status, `Error: ${text}.\n`, headers)
}

/** 7 and 8 are drafts of the same protocol; their browsers name the origin in a header of their own. */
const VERSIONS = ['13', '8', '7']
const OLDER_ORIGIN = 'sec-websocket-origin'

/** What is wrong with a handshake (wspubsub, section 2.4). */
export function handshakeRefusal(message: IncomingMessage, origins: Origins): Refusal | undefined {
  const allowed = (origin: string): boolean => !origins.stated || origins.allows(origin)
  const older = message.headersDistinct[OLDER_ORIGIN]?.[0]
  switch (checkHandshake(message, allowed, VERSIONS)) {
    case undefined: return older === undefined || allowed(older) ? undefined : 'origin'
    case 0: return 'plain'
    case 403: return 'origin'
    case 405: return 'method'
    default: return 'handshake'
  }
}
