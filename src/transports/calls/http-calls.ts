import type { IncomingMessage, OutgoingHttpHeaders, ServerResponse } from 'node:http'
import type { CallOutcome } from '../../core/calls.ts'
import { WaystationError } from '../../core/errors.ts'
import type { Identity } from '../../core/ports.ts'
import { ERLANG_TERM } from '../../core/term.ts'
import { clientOf } from '../../http/body-account.ts'
import { createBodyReader } from '../../http/body.ts'
import type { Leaving } from '../../http/goodbye.ts'
import { corsHeaders, isPreflight, PREFLIGHT } from '../../http/origin.ts'
import { replyEmpty, replyText, replyUnread } from '../../http/reply.ts'
import type { Request } from '../../http/server.ts'
import { checkHandshake } from '../../http/handshake.ts'
import { wantsTerm } from './accept.ts'
import { createLines } from './line.ts'
import type { CallsParts } from './parts.ts'
import { problemOf, PROBLEM_JSON } from './problem.ts'
import { formatOf, jsonOfAnswer, termOfBody, whole } from './terms.ts'
import { serviceOf, targetOf, termsOf, type Target, type Terms } from './wish.ts'

type Named = Exclude<Target, { kind: 'socket' }>
type Headers = Record<string, string>

/** What a request wants, before its body has come. */
interface Wanted {
  readonly kind: Named['kind']
  readonly service: string
  readonly terms: Terms
  readonly format: 'json' | 'term'
  readonly by: Identity
}

const SECONDS_UNTIL_RETRY = '1'
/** No cache may keep what a call has answered, nor that it failed. */
const NOT_KEPT: Headers = { 'Cache-Control': 'no-store', 'X-Content-Type-Options': 'nosniff' }
const ASKED_BY_PAGES: Headers = {
  ...PREFLIGHT,
  'Access-Control-Allow-Methods': 'POST',
  'Access-Control-Allow-Headers': 'Authorization, Content-Type, Idempotency-Key, Waystation-Deadline, Waystation-Key',
}

/**
 * Calls and casts over HTTP: `POST /_/call/<service>` and `POST /_/cast/<service>`.
 * @param here the calls that are not answered yet, as those who must end before the hub does
 */
export function createHttpCalls(parts: CallsParts, here: Set<Leaving>): { answer(request: Request, response: ServerResponse): void } {
  const { kit, port, origins, bounds, failed } = parts
  const { limits } = kit
  const bodies = createBodyReader(limits.maxMessageBytes, parts.bodies)
  const lineOf = createLines(limits, kit.wheel)

  function answer(request: Request, response: ServerResponse): void {
    const { message } = request
    const cors = { ...NOT_KEPT, ...corsHeaders(origins, message.headers.origin) }
    const target = targetOf(request) as Target
    if (target.kind === 'socket') return refuseHandshake(request, response, cors)
    const origin = message.headers.origin
    if (origin !== undefined && !parts.allowsOrigin(origin, request)) return refuse(response, new WaystationError('forbidden', 'pages of this origin may not call'), cors)
    if (message.method === 'OPTIONS') return replyEmpty(response, 204, { ...cors, ...(isPreflight(origins, message) ? ASKED_BY_PAGES : { Allow: 'POST' }) })
    if (message.method !== 'POST') return refuse(response, new WaystationError('bad_request', 'a call is a POST'), { ...cors, Allow: 'POST' }, 405)
    take(request, response, target, cors).catch((error: unknown) => {
      if (!(error instanceof WaystationError)) failed(error)
      if (response.headersSent) response.destroy()
      else refuse(response, error, cors)
    })
  }

  function refuseHandshake(request: Request, response: ServerResponse, cors: Headers): void {
    const status = checkHandshake(request.message, (origin) => parts.allowsOrigin(origin, request))
    const bad = (detail: string): WaystationError => new WaystationError('bad_request', detail)
    switch (status) {
      case undefined: return refuse(response, new WaystationError('stopped'), cors)
      case 403: return refuse(response, new WaystationError('forbidden', 'pages of this origin may not call'), cors)
      case 0: return refuse(response, bad('this is for WebSockets; a call is a POST to /_/call/<service>'), { ...cors, Upgrade: 'websocket', Connection: 'Upgrade, close' }, 426)
      case 405: return refuse(response, bad('a handshake is a GET'), { ...cors, Allow: 'GET' }, 405)
      default: return refuse(response, bad('the handshake is malformed'), { ...cors, 'Sec-WebSocket-Version': '13' })
    }
  }

  async function take(request: Request, response: ServerResponse, target: Named, cors: Headers): Promise<void> {
    const { message } = request
    if (!parts.isOpen()) throw new WaystationError('stopped')
    const service = serviceOf(target.name)
    const terms = termsOf(message, limits)
    const format = formatOf(message.headers['content-type'])
    if (format === undefined) return refuse(response, new WaystationError('bad_request', `a body is application/json or ${ERLANG_TERM}`), cors, 415)
    const by = await parts.identify(request)
    if (!port.mayCall(service, by)) throw new WaystationError('forbidden')
    const body = await bodies.read(message, response, clientOf(request.peer.address))
    if (body === 'aborted') return
    if (body === 'too_large') return refuseUnread(message, response, new WaystationError('message_too_large', `a body may have ${limits.maxMessageBytes} bytes`), cors)
    if (body === 'overloaded') return refuseUnread(message, response, new WaystationError('overloaded'), cors)
    // The body may have taken long.
    if (!parts.isOpen()) throw new WaystationError('stopped')
    await hand({ kind: target.kind, service, terms, format, by }, body, message, response, cors)
  }

  async function hand({ kind, service, terms, format, by }: Wanted, body: Buffer, message: IncomingMessage, response: ServerResponse, cors: Headers): Promise<void> {
    const wish = { ...terms, request: termOfBody(format, body, bounds) }
    if (kind === 'call') {
      call(service, wish, by, message, response, cors)
      return
    }
    await port.cast(service, { request: wish.request, key: wish.key }, by)
    replyEmpty(response, 202, cors)
  }

  function call(service: string, wish: Parameters<typeof port.call>[1], by: Identity, message: IncomingMessage, response: ServerResponse, cors: Headers): void {
    const line = lineOf(message.socket)
    if (line.isFull) throw new WaystationError('too_many_calls', `${limits.maxUnanswered} of one connection`)
    const done = (): void => {
      leave()
      here.delete(one)
    }
    const abandon = port.call(service, wish, by, (outcome) => {
      done()
      settle(outcome)
    })
    const one: Leaving = {
      close() {},
      destroy() {
        done()
        abandon()
        refuse(response, new WaystationError('stopped'), cors)
      },
    }
    here.add(one)
    const leave = line.add(() => {
      here.delete(one)
      abandon()
    })

    function settle(outcome: CallOutcome): void {
      if (message.socket.destroyed) return
      try {
        if (outcome.kind === 'failed') return refuse(response, outcome.error, cors)
        const json = wantsTerm(message.headers.accept) ? undefined : jsonOfAnswer(outcome.term)
        // What has no JSON comes as it is, whatever was asked for: the call is done, and its answer would be lost.
        const bytes = json === undefined ? whole(outcome.term) : Buffer.from(json)
        response.writeHead(200, { 'Content-Type': json === undefined ? ERLANG_TERM : 'application/json', 'Content-Length': bytes.length, ...cors })
        if (!line.end(response, bytes)) kit.meter.slow('calls', '')
      } catch (error) {
        failed(error)
        response.destroy()
      }
    }
  }

  return { answer }
}

function textOf(error: unknown, status?: number): { status: number; text: string; headers: OutgoingHttpHeaders } {
  const problem = problemOf(error, status)
  return { status: problem.status, text: JSON.stringify(problem), headers: { 'Content-Type': PROBLEM_JSON, ...(problem.status === 503 && { 'Retry-After': SECONDS_UNTIL_RETRY }) } }
}

/** The one place where an error becomes an answer over HTTP. */
function refuse(response: ServerResponse, error: unknown, headers: Headers, status?: number): void {
  const said = textOf(error, status)
  replyText(response, said.status, said.text, { ...said.headers, ...headers })
}

function refuseUnread(message: IncomingMessage, response: ServerResponse, error: WaystationError, headers: Headers): void {
  const said = textOf(error)
  replyUnread(message, response, said.status, said.text, { ...said.headers, ...headers })
}
