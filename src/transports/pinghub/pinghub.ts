import type { Cursor } from '../../core/cursor.ts'
import { parseCursor } from '../../core/cursor.ts'
import { placeEnvelope } from '../../core/envelope.ts'
import { gapReason, type Encoder } from '../../core/fan-out.ts'
import { createFanOuts } from '../../core/fan-outs.ts'
import { exactly } from '../../core/interest.ts'
import type { Keys } from '../../core/keys.ts'
import type { HubPort, Identity, Transport } from '../../core/ports.ts'
import { createReplay } from '../../core/replay.ts'
import type { Topic } from '../../core/topic.ts'
import type { TransportKit } from '../../core/transport-kit.ts'
import type { BodyAccount } from '../../http/body-account.ts'
import { sayGoodbye } from '../../http/goodbye.ts'
import type { Origins } from '../../http/origin.ts'
import type { Request, Route } from '../../http/server.ts'
import { rawReply } from '../../http/reply.ts'
import { checkHandshake } from '../../http/handshake.ts'
import { createWebSocketAcceptor } from '../../http/websocket.ts'
import type { WebSocketConnection } from '../../http/websocket-connection.ts'
import { frame, TEXT } from '../../protocol/websocket/frame.ts'
import { createAnswers } from './answers.ts'
import { channelTopic } from './channel-path.ts'
import { ChannelSocket } from './channel-socket.ts'
import { bare, json } from './encoders.ts'
import type { PinghubStats } from './metrics-port.ts'
import { onlyPublishes, verbOf } from './role.ts'

export interface PinghubOptions {
  readonly kit: TransportKit
  readonly origins: Origins
  /** What bodies on their way keep in memory, shared with the other protocols. */
  readonly bodies: BodyAccount
  /** Asks for a place for one long-lived connection; gives what returns it, or the status that refuses. */
  readonly admit: (request: Request) => (() => void) | number
  readonly stats: PinghubStats
  readonly keys: Keys
  readonly identify: (request: Request) => Identity
}

export interface Pinghub extends Transport {
  readonly route: Route
  /** Connected WebSockets, and channels that have any. */
  gauges(): { channels: number; websockets: number }
}

/** The pinghub protocol: the path is the channel, WebSocket both ways, POST to publish, a page for people. */
export function createPinghub(options: PinghubOptions): Pinghub {
  const { kit, origins, admit, stats, identify } = options
  const { limits, meter } = kit
  const acceptor = createWebSocketAcceptor(limits, kit.wheel)
  const connections = new Set<WebSocketConnection>()
  const fanOuts = createFanOuts(kit, 'pinghub', (deliveries) => stats.count('sends', deliveries))
  let hub: HubPort | undefined
  /** Newcomers are let in. Those who are here may go on publishing until they have had their goodbye. */
  let open = false

  const parts = { stats, meter, keys: options.keys, open: connections, hub: () => hub }
  const answers = createAnswers({ limits, bodies: options.bodies, origins, stats, meter, identify, keys: options.keys, hub: () => (open ? hub : undefined), hasChannel: (topic) => fanOuts.has(exactly(topic)) })

  function originAllowed(origin: string): boolean {
    return !origins.stated || origins.allows(origin)
  }

  function upgrades(request: Request): boolean {
    if (hub === undefined || !open || request.path.canonical !== undefined) return false
    const channel = channelTopic(request.path, limits.maxPathLength)
    if ('error' in channel) return false
    if (checkHandshake(request.message, originAllowed) !== undefined) return false
    return since(request) !== 'bad' && hub.may(verbOf(request), channel.topic, identify(request))
  }

  function upgrade(request: Request, socket: Parameters<NonNullable<Route['upgrade']>>[1], head: Buffer): void {
    const channel = channelTopic(request.path, limits.maxPathLength)
    const place = admit(request)
    if (typeof place === 'number' || 'error' in channel || hub === undefined) {
      rawReply(socket, typeof place === 'number' ? place : 503)
      return
    }
    const { topic } = channel
    const identity = identify(request)
    const from = since(request)
    const channelSocket = new ChannelSocket(parts, topic, identity, place)
    const connection = acceptor.accept(request.message, socket, head, channelSocket)
    if (connection === undefined) return place()
    channelSocket.opened(connection)
    const query = new URLSearchParams(request.query)
    if (onlyPublishes(query)) return
    const encoder = query.get('format') === 'json' ? json : bare
    // Everything from the 101 to here is one step for the event loop, so no message can come in between.
    channelSocket.joined(typeof from === 'object' ? catchUp(connection, topic, from, encoder) : fanOuts.join(hub, exactly(topic), encoder, connection))
    if (encoder === json && from === undefined) connection.write(frame(TEXT, placeEnvelope(hub.cursor)))
  }

  function catchUp(connection: WebSocketConnection, topic: Topic, after: Cursor, encoder: Encoder): () => void {
    const port = hub as HubPort
    const replay = createReplay({ member: connection, encoder, clock: kit.clock })
    let leave = port.resume(exactly(topic), after, {
      count: 1,
      deliver: replay.deliver,
      room: replay.room,
      gap(from, to) {
        meter.gap('pinghub')
        replay.flush()
        const form = encoder.gap(from, to)
        if (form !== undefined) connection.write(form)
        else connection.gone(gapReason(port.cursor))
      },
      live() {
        replay.flush()
        leave = fanOuts.join(port, exactly(topic), encoder, connection)
      },
    })
    return () => leave()
  }

  /** The cursor of `?since=`; `undefined` without one, 'bad' when it is none. */
  function since(request: Request): Cursor | 'bad' | undefined {
    const text = new URLSearchParams(request.query).get('since')
    return text === null ? undefined : (parseCursor(text) ?? 'bad')
  }

  return {
    name: 'pinghub',
    route: { takes: () => true, answer: answers.answer, quick: answers.quick, upgrades, upgrade },
    gauges: () => ({ channels: fanOuts.size, websockets: connections.size }),
    async start(port) {
      hub = port
      open = true
    },
    async stop(deadline) {
      open = false
      await sayGoodbye(connections, limits.drainTime * 0.8, deadline, kit.clock.after)
    },
  }
}
