import type { Duplex } from 'node:stream'
import { WaystationError } from '../../core/errors.ts'
import type { Identity, Transport } from '../../core/ports.ts'
import { sayGoodbye, type Leaving } from '../../http/goodbye.ts'
import { rawReply } from '../../http/reply.ts'
import type { Request, Route } from '../../http/server.ts'
import { checkHandshake } from '../../http/handshake.ts'
import { createWebSocketAcceptor } from '../../http/websocket.ts'
import { CLOSE } from '../../http/websocket-connection.ts'
import { createHttpCalls } from './http-calls.ts'
import { originRule, type CallsOptions, type CallsParts } from './parts.ts'
import { createSession, type Session } from './session.ts'
import { targetOf } from './wish.ts'

export interface Calls extends Transport {
  readonly route: Route
  /** Connected WebSockets. */
  readonly websockets: number
}

/**
 * Calls from anywhere: `POST /_/call/<service>` and `POST /_/cast/<service>`, and a WebSocket at `/_/call`. Its route comes before the one that answers the rest of `/_/`.
 */
export function createCalls(options: CallsOptions): Calls {
  const { kit, admit, identify } = options
  const { limits } = kit
  const acceptor = createWebSocketAcceptor({ ...limits, maxFrameBytes: limits.maxMessageBytes }, kit.wheel)
  const sessions = new Set<Session>()
  /** Everything that has to end before the hub does. */
  const here = new Set<Leaving>()
  let open = false
  const parts: CallsParts = {
    ...options,
    bounds: { atoms: options.atoms, termAtoms: options.termAtoms, maxDepth: limits.maxTermDepth, maxBytes: limits.maxMessageBytes },
    isOpen: () => open,
    allowsOrigin: originRule(options.origins),
  }
  const http = createHttpCalls(parts, here)

  function upgrades(request: Request): boolean {
    if (!open || targetOf(request)?.kind !== 'socket') return false
    return checkHandshake(request.message, (origin) => parts.allowsOrigin(origin, request)) === undefined
  }

  function upgrade(request: Request, socket: Duplex, head: Buffer): void {
    const place = admit(request)
    if (typeof place === 'number') return rawReply(socket, place)
    // Until somebody listens nothing is read, so nothing has to be kept; and a client that has gone shows by the first write.
    const ignore = (): void => {}
    socket.on('error', ignore)
    void proved(request).then((by) => {
      socket.off('error', ignore)
      if (by instanceof WaystationError || socket.destroyed) {
        place()
        if (by instanceof WaystationError) rawReply(socket, by.status, `Error: ${by.code}. ${by.message}.\n`)
        return
      }
      begin(request, socket, head, by, place)
    })
  }

  async function proved(request: Request): Promise<Identity | WaystationError> {
    try {
      const by = await identify(request)
      return open ? by : new WaystationError('stopped')
    } catch (error) {
      if (error instanceof WaystationError) return error
      options.failed(error)
      return new WaystationError('call_failed')
    }
  }

  function begin(request: Request, socket: Duplex, head: Buffer, by: Identity, place: () => void): void {
    const connection = acceptor.accept(request.message, socket, head, {
      // Nothing of this is called before there is a session.
      message: (data, binary) => session.receive(data, binary),
      arrived: (unfinished) => session.arrived(unfinished),
      closed() {
        sessions.delete(session)
        here.delete(session)
        unwatch()
        session.gone()
        place()
      },
    })
    if (connection === undefined) return place()
    const session = createSession(parts, connection, by)
    sessions.add(session)
    here.add(session)
    const unwatch = options.watch?.(request, by, () => connection.close(CLOSE.forbidden, 'the key was taken away')) ?? ((): void => {})
  }

  return {
    name: 'calls',
    get websockets() { return sessions.size },
    route: { takes: (request) => targetOf(request) !== undefined, answer: http.answer, upgrades, upgrade },
    async start() {
      open = true
    },
    async stop(deadline) {
      open = false
      await sayGoodbye(here, limits.drainTime * 0.8, deadline, kit.clock.after)
    },
  }
}
