import type { ServerResponse } from 'node:http'
import type { HubPort, Identity, Transport } from '../../core/ports.ts'
import type { Topic } from '../../core/topic.ts'
import { clientOf } from '../../http/body-account.ts'
import { createBodyReader } from '../../http/body.ts'
import { createBodySource } from '../../http/body-source.ts'
import { rawReply } from '../../http/reply.ts'
import type { Request, Route } from '../../http/server.ts'
import { answerEmpty, createAnswers, send } from './answers.ts'
import { forgetSignature } from './authorize.ts'
import { createIntake } from './intake.ts'
import { createNotify } from './notify.ts'
import type { Call, Endpoint, EndpointParts, LetsIn, LonelypsOptions } from './parts.ts'
import { createPeerEndpoints } from './peers.ts'
import { Refusal, statusOf } from './refusals.ts'
import { createSockets } from './socket/sockets.ts'
import { createSubscriptionEndpoints } from './subscriptions.ts'

export interface Lonelyps extends Transport {
  readonly route: Route
  /** WebSockets that are open. */
  readonly sockets: number
  /** Tells sockets that something on a topic that they want may have been missed. */
  missed(topic: Topic): void
}

const ROOT = '/v1/'
const WEBSOCKET = '/v1/websocket'
/** The longest body but for messages and set lists: four fields. */
const SHORT_BODY = 4 * (2 + 65_535)

/**
 * The lonelyps protocol: subscriptions that are urls, notify, and what broadcasters say to each other, over HTTP (section
 * 2); and subscribers that keep a WebSocket (section 4).
 */
export function createLonelyps(options: LonelypsOptions): Lonelyps {
  const { kit, letsIn } = options
  const reader = createBodyReader(SHORT_BODY, options.bodies)
  const intake = createIntake(options.spool, kit.limits)
  let hub: HubPort | undefined
  let open = false
  const calls = new Set<Promise<void>>()
  const sockets = createSockets({ ...options, ...options.sockets, ...options.answers, clock: kit.clock, checker: options.fromSubscribers })

  const parts: EndpointParts = {
    ...options,
    clock: kit.clock,
    reply: createAnswers({ ...options.answers, clock: kit.clock, randomBytes: options.randomBytes }),
    intake,
    missedBySockets: sockets.missed,
    source: ({ message, response, identity }) => createBodySource(message, response, options.bodies, clientOf(identity.address)),
    async body({ message, response, identity }) {
      const body = await reader.read(message, response, clientOf(identity.address))
      if (Buffer.isBuffer(body)) return body
      throw new Refusal(body === 'too_large' ? 413 : 503)
    },
  }
  const peers = createPeerEndpoints(parts)
  const endpoints: Readonly<Record<string, Endpoint>> = {
    ...createSubscriptionEndpoints(parts),
    '/v1/notify': createNotify(parts),
    ...peers,
  }

  function identify({ peer }: Request, lets: LetsIn): Identity {
    return { kind: lets === 'signed' ? 'signed' : 'anonymous', local: peer.local, address: peer.address }
  }

  function answer(request: Request, response: ServerResponse): void {
    const { message, peer } = request
    const path = request.path.text ?? ''
    // Without asking for an upgrade there is nothing there, as with the original.
    const handshake = path === WEBSOCKET ? sockets.refusal(request) : 0
    if (handshake !== 0) return answerEmpty(response, handshake ?? 503, message)
    const endpoint = Object.hasOwn(endpoints, path) ? endpoints[path] : undefined
    if (endpoint === undefined) return answerEmpty(response, 404, message)
    if (message.method !== 'POST') {
      response.setHeader('Allow', 'POST')
      return answerEmpty(response, 405, message)
    }
    if (!open || hub === undefined) return answerEmpty(response, 503, message)
    const lets = Object.hasOwn(peers, path) ? letsIn.broadcasters : letsIn.subscribers
    if (lets === 'local' && !peer.local) return answerEmpty(response, 401, message)
    const identity = identify(request, lets)
    const { authorization } = message.headers
    const call: Call = { request, message, response, authorization, accepted: undefined, identity, hub }
    const answered = endpoint(call).catch((error: unknown) => refuse(error, call)).finally(() => calls.delete(answered))
    calls.add(answered)
  }

  async function refuse(error: unknown, call: Call): Promise<void> {
    const { message, response } = call
    // Who has gone in the middle of a request is not waiting for an answer, and will send it again as it was.
    if (message.destroyed && !message.complete) return forgetSignature(options.registry, call)
    const status = statusOf(error)
    if (status === undefined) options.failed(error)
    if (status === 503) await forgetSignature(options.registry, call)
    if (error instanceof Refusal && error.body !== undefined) send(response, error.body, error.status, error.contentType)
    else answerEmpty(response, status ?? 500, message)
  }

  return {
    name: 'lonelyps',
    get sockets() { return sockets.size },
    missed: sockets.missed,
    route: {
      takes: ({ path }) => path.canonical === undefined && path.text?.startsWith(ROOT) === true,
      answer,
      upgrades: (request) => open && request.path.text === WEBSOCKET && sockets.refusal(request) === undefined,
      upgrade(request, socket, head) {
        const lets = letsIn.subscribers
        if (lets === 'local' && !request.peer.local) return rawReply(socket, 401)
        sockets.upgrade(request, socket, head, identify(request, lets))
      },
    },
    async start(port) {
      hub = port
      sockets.start(port)
      open = true
    },
    async stop(deadline) {
      open = false
      await sockets.stop(deadline)
      const over = Promise.withResolvers<void>()
      if (deadline.aborted) over.resolve()
      else deadline.addEventListener('abort', () => over.resolve(), { once: true })
      // Who was let in has an answer to come, within the time that there is.
      await Promise.race([Promise.allSettled(calls), over.promise])
    },
  }
}
