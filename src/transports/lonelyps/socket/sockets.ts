import type { Duplex } from 'node:stream'
import type { Clock, Confirmations, HubPort, Identity, Random, RandomBytes } from '../../../core/ports.ts'
import { createSlices } from '../../../core/slices.ts'
import type { Topic } from '../../../core/topic.ts'
import type { TransportKit } from '../../../core/transport-kit.ts'
import type { BodyAccount } from '../../../http/body-account.ts'
import { sayGoodbye } from '../../../http/goodbye.ts'
import type { Origins } from '../../../http/origin.ts'
import { rawReply } from '../../../http/reply.ts'
import type { Request } from '../../../http/server.ts'
import type { Spool } from '../../../http/spool.ts'
import { checkHandshake } from '../../../http/handshake.ts'
import { createWebSocketAcceptor } from '../../../http/websocket.ts'
import type { Checker, Scheme } from '../../../protocol/lonelyps/authorization.ts'
import { createProver } from '../../../protocol/lonelyps/prover.ts'
import type { HeaderForm } from '../../../protocol/lonelyps/stateful/messages.ts'
import type { Relaying } from './interests.ts'
import { createSocketMemory } from './memory.ts'
import type { CompressionSettings, SocketParts } from './parts.ts'
import { createSession, type Session } from './session.ts'
import { createSharedCompression } from './shared-compression.ts'
import { createTrainingBudget } from './training-budget.ts'
import { createWanted } from './wanted.ts'

export interface SocketsOptions {
  readonly kit: TransportKit
  readonly origins: Origins
  /** Asks for a place for one long-lived connection; gives what returns it, or the status that refuses. */
  readonly admit: (request: Request) => (() => void) | number
  readonly spool: Spool
  readonly bodies: BodyAccount
  readonly confirmations: Confirmations
  readonly clock: Clock
  readonly random: Random
  readonly randomBytes: RandomBytes
  readonly checker: Checker
  /** How we prove ourselves, and how they do. */
  readonly toSubscribers: Scheme
  readonly toBroadcasters: Scheme
  readonly form: HeaderForm
  readonly compression: CompressionSettings
  readonly relaying: Relaying | undefined
  readonly ended: (address: string, reason: string) => void
  readonly failed: (error: unknown) => void
}

/** All lonelyps WebSockets of a hub (lonelyps, section 4). */
export interface Sockets {
  readonly size: number
  /** The status that refuses this request; 0 when it asks for no WebSocket, `undefined` when it may become one. */
  refusal(request: Request): number | undefined
  upgrade(request: Request, socket: Duplex, head: Buffer, as: Identity): void
  start(hub: HubPort): void
  /** Tells everyone who wants a topic that something on it may have been missed. */
  missed(topic: Topic): void
  stop(deadline: AbortSignal): Promise<void>
}

export function createSockets(options: SocketsOptions): Sockets {
  const { kit, origins, admit, toSubscribers } = options
  const { limits } = kit
  const acceptor = createWebSocketAcceptor({ ...limits, maxFrameBytes: limits.maxSocketMessageBytes }, kit.wheel)
  const sessions = new Set<Session>()
  const wanted = createWanted()
  let parts: SocketParts | undefined
  let open = false

  function originAllowed(origin: string): boolean {
    return !origins.stated || origins.allows(origin)
  }

  return {
    get size() { return sessions.size },
    refusal: ({ message }) => checkHandshake(message, originAllowed) ?? (open ? undefined : 503),
    upgrade(request, socket, head, identity) {
      const place = admit(request)
      if (typeof place === 'number' || parts === undefined) return rawReply(socket, typeof place === 'number' ? place : 503)
      const connection = acceptor.accept(request.message, socket, head, {
        // Nothing of this is called before there is a session.
        message: (data, binary) => session.receive(data, binary),
        arrived: (unfinished) => session.arrived(unfinished),
        broken: (reason) => session.broken(reason),
        closed() {
          sessions.delete(session)
          session.gone()
          place()
        },
      })
      if (connection === undefined) return place()
      const session = createSession(parts, connection, identity)
      sessions.add(session)
    },
    start(hub) {
      parts = {
        ...options, hub, wanted,
        prover: createProver(toSubscribers, options.clock, options.randomBytes),
        sameForAll: toSubscribers.type === 'hmac' ? undefined : toSubscribers.type === 'token' ? `Bearer ${toSubscribers.secret}` : '',
        acknowledged: options.toBroadcasters.type === 'hmac' ? 'signed' : 'unsigned',
        shared: createSharedCompression(options.spool),
        budget: createTrainingBudget(limits.maxTrainingBytes),
        memory: createSocketMemory(limits.maxSocketBytes),
        tellings: createSlices(kit.clock),
      }
      open = true
    },
    missed(topic) {
      for (const socket of wanted.of(topic)) socket.missed(topic)
    },
    async stop(deadline) {
      open = false
      parts?.tellings.close()
      await sayGoodbye(sessions, limits.drainTime * 0.8, deadline, kit.clock.after)
    },
  }
}
