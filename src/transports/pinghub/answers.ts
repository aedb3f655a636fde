import { isUtf8 } from 'node:buffer'
import type { IncomingMessage, ServerResponse } from 'node:http'
import { WaystationError } from '../../core/errors.ts'
import type { Keys } from '../../core/keys.ts'
import type { Limits } from '../../core/limits.ts'
import { own } from '../../core/own-bytes.ts'
import type { HubPort, Identity, Meter, Receipt } from '../../core/ports.ts'
import type { Topic } from '../../core/topic.ts'
import { clientOf, type BodyAccount } from '../../http/body-account.ts'
import { createBodyReader } from '../../http/body.ts'
import { corsHeaders, isPreflight, PREFLIGHT, type Origins } from '../../http/origin.ts'
import { replyEmpty, replyText, replyUnread } from '../../http/reply.ts'
import type { QuickAnswer } from '../../http/quick-lane.ts'
import { onBadBody, type Asked, type Request, type Route } from '../../http/server.ts'
import { checkHandshake } from '../../http/handshake.ts'
import { channelTopic } from './channel-path.ts'
import type { PinghubStats } from './metrics-port.ts'
import { keyed } from './bearer.ts'
import { renderPage } from './page.ts'
import { verbOf } from './role.ts'

const CONTENT_TYPE = 'text/plain; charset=utf-8'
/** A read of so many bytes may be kept with a body that came in it: a longer one would weigh more than whoever keeps the body counts. */
const SMALL_READ = 2_048
const BODY_ERRORS = {
  unreadable: 'Error: bad request. Unable to read POST body.\n',
  notText: 'Error: bad request. POST body must be valid Unicode (UTF-8).\n',
} as const

interface Parts {
  readonly limits: Limits
  readonly bodies: BodyAccount
  readonly origins: Origins
  readonly stats: PinghubStats
  readonly meter: Meter
  identify(request: Asked): Identity
  readonly keys: Keys
  readonly hub: () => HubPort | undefined
  readonly hasChannel: (topic: Topic) => boolean
}

/** What a channel path answers without a WebSocket: pinghub, sections 2 to 5. */
export function createAnswers(parts: Parts): Required<Pick<Route, 'answer' | 'quick'>> {
  const { limits, origins, stats, identify } = parts
  const bodies = createBodyReader(limits.maxMessageBytes, parts.bodies)

  function answer(request: Request, response: ServerResponse): void {
    const { message, path } = request
    if (path.canonical !== undefined) {
      return replyEmpty(response, 301, { Location: request.base + path.canonical + request.query })
    }
    const handshake = checkHandshake(message, (origin) => !origins.stated || origins.allows(origin))
    if (handshake === 0 && isPreflight(origins, message)) return preflight(message, response)
    if (handshake === 0 && message.method !== 'GET' && message.method !== 'POST') return replyEmpty(response, 405)
    const channel = channelTopic(path, limits.maxPathLength)
    if ('error' in channel) return replyText(response, 400, channel.error, corsHeaders(origins, message.headers.origin))
    if (handshake !== 0) return refuseHandshake(request, response, channel.topic, handshake)
    if (message.method === 'GET') return page(request, response)
    post(request, response, channel.topic).catch(() => response.destroy())
  }

  function refuseHandshake(request: Request, response: ServerResponse, topic: Topic, status: number | undefined): void {
    const hub = parts.hub()
    if (status !== undefined) {
      const phrase = { 400: 'Bad Request', 403: 'Forbidden', 405: 'Method Not Allowed' }[status] ?? ''
      return replyText(response, status, `${phrase}\n`, { 'Sec-Websocket-Version': '13' })
    }
    if (hub === undefined) return refuse(response, new WaystationError('stopped'))
    if (!hub.may(verbOf(request), topic, identify(request))) return refuse(response, new WaystationError('forbidden'))
    refuse(response, new WaystationError('bad_cursor', 'in ?since='))
  }

  function preflight(message: IncomingMessage, response: ServerResponse): void {
    replyEmpty(response, 204, { ...corsHeaders(origins, message.headers.origin), ...PREFLIGHT })
  }

  function page(request: Request, response: ServerResponse): void {
    const { html, headers } = renderPage(request.path.text ?? '')
    response.writeHead(200, headers)
    response.end(html)
  }

  async function post(request: Request, response: ServerResponse, topic: Topic): Promise<void> {
    const cors = corsHeaders(origins, request.message.headers.origin)
    const hub = parts.hub()
    if (hub === undefined) return refuse(response, new WaystationError('stopped'), cors)
    const speaker = identify(request)
    const { authorization } = request.message.headers
    let by = speaker
    try {
      if (parts.keys.owns(topic)) by = await keyed(parts.keys, topic, authorization, speaker)
    } catch (error) {
      return refuse(response, error, cors)
    }
    if (!hub.may('publish', topic, by)) return refuse(response, new WaystationError('forbidden'), cors)
    onBadBody(request.message, BODY_ERRORS.unreadable)
    const body = await bodies.read(request.message, response, clientOf(request.peer.address))
    if (body === 'aborted') return
    if (body === 'too_large') {
      const error = new WaystationError('message_too_large', `a POST body may have ${limits.maxMessageBytes} bytes`)
      return replyUnread(request.message, response, error.status, textOf(error), cors)
    }
    if (body === 'overloaded') {
      const error = new WaystationError('overloaded')
      return replyUnread(request.message, response, error.status, textOf(error), { ...cors, 'Retry-After': '1' })
    }
    if (!isUtf8(body)) return replyText(response, 400, BODY_ERRORS.notText, cors)
    stats.count('postmsgs', 1)
    if (!parts.hasChannel(topic)) stats.count('drops', 1)
    // An empty body is taken, and goes to nobody.
    if (body.length === 0) return replyText(response, 200, 'OK\n', cors)
    try {
      // The body may have taken long.
      if (by.kind === 'keyed') by = parts.keys.owns(topic) ? await keyed(parts.keys, topic, authorization, speaker) : speaker
      const published = hub.publish({ topic, body, contentType: CONTENT_TYPE, text: true }, by)
      const receipt = published instanceof Promise ? await published : published
      parts.meter.published('pinghub', body.length)
      replyText(response, 200, 'OK\n', { ...cors, ...receiptHeaders(receipt) })
    } catch (error) {
      refuse(response, error, cors)
    }
  }

  /** What `post` does when nothing has to be waited for, proved or refused. */
  function quick(asked: Asked, body: Buffer): QuickAnswer | undefined {
    const hub = parts.hub()
    const channel = channelTopic(asked.path, limits.maxPathLength)
    if (hub?.prompt !== true || 'error' in channel || body.length > limits.maxMessageBytes) return undefined
    const { topic } = channel
    const by = identify(asked)
    if (parts.keys.owns(topic) || !hub.may('publish', topic, by) || !isUtf8(body)) return undefined
    // It is here whole, but where others' bodies leave no room it is refused like them.
    const client = clientOf(asked.peer.address)
    if (!parts.bodies.take(client, body.length)) return undefined
    parts.bodies.give(client, body.length)
    const cors = corsHeaders(origins, asked.message.headers.origin)
    stats.count('postmsgs', 1)
    if (!parts.hasChannel(topic)) stats.count('drops', 1)
    try {
      const receipt = hub.publish({ topic, body: body.buffer.byteLength > SMALL_READ ? own(body) : body, contentType: CONTENT_TYPE, text: true }, by) as Receipt
      parts.meter.published('pinghub', body.length)
      return { status: 200, text: 'OK\n', headers: { ...cors, ...receiptHeaders(receipt) } }
    } catch (error) {
      const { status, text } = refusalOf(error)
      return { status, text, headers: cors }
    }
  }

  return { answer, quick }
}

/** What a publisher is told beside pinghub's `OK`. */
function receiptHeaders({ message, subscribers }: Receipt): Record<string, string | number> {
  return { 'Waystation-Epoch': message.epoch, 'Waystation-Offset': message.offset, 'Waystation-Subscribers': subscribers }
}

/** The one place where an error of the hub becomes an answer of this transport. */
function refuse(response: ServerResponse, error: unknown, headers: Record<string, string> = {}): void {
  const { status, text } = refusalOf(error)
  replyText(response, status, text, headers)
}

function refusalOf(error: unknown): { status: number; text: string } {
  if (!(error instanceof WaystationError)) return { status: 500, text: 'Error: the message could not be handled.\n' }
  return { status: error.status, text: textOf(error) }
}

function textOf(error: WaystationError): string {
  return `Error: ${error.code}. ${error.message}.\n`
}
