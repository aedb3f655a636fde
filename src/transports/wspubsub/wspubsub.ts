import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Duplex } from 'node:stream'
import { createFanOuts } from '../../core/fan-outs.ts'
import { exactly } from '../../core/interest.ts'
import type { Keys, KeyVerdict } from '../../core/keys.ts'
import type { Pattern } from '../../core/pattern.ts'
import type { HubPort, Identity, Transport } from '../../core/ports.ts'
import { topicToUrl, type Topic } from '../../core/topic.ts'
import type { TransportKit } from '../../core/transport-kit.ts'
import { clientOf, type BodyAccount } from '../../http/body-account.ts'
import { sayGoodbye } from '../../http/goodbye.ts'
import type { Origins } from '../../http/origin.ts'
import { splitTarget } from '../../http/path.ts'
import { rawReply } from '../../http/reply.ts'
import type { Asked, Request, Route } from '../../http/server.ts'
import { createWebSocketAcceptor } from '../../http/websocket.ts'
import { CLOSE, type WebSocketConnection } from '../../http/websocket-connection.ts'
import { plain } from './encoder.ts'
import { createPublisher, type Publisher } from './publisher.ts'
import { handshakeRefusal, refuse, refuseRaw, type Refusal } from './refusals.ts'
import { parseTarget, type Target } from './target.ts'
import { createTopics } from './topics.ts'
import { keepWaiting, verdictWithin, type Waiting } from './waiting.ts'

export interface WspubsubOptions {
  readonly kit: TransportKit
  readonly origins: Origins
  /** What messages on their way keep in memory, shared with the other protocols. */
  readonly bodies: BodyAccount
  /** Asks for a place for one long-lived connection; gives what returns it, or the status that refuses. */
  readonly admit: (request: Request) => (() => void) | number
  readonly identify: (request: Request) => Identity
  readonly keys: Pick<Keys, 'check' | 'hold'>
  /** Topics that subscribers find though nobody publishes there with a key. */
  readonly standing: readonly Pattern[]
  /** Told of every key that was checked. */
  readonly checked: (verdict: KeyVerdict) => void
  readonly log: { info(line: object, text: string): void }
}

export interface Wspubsub extends Transport {
  readonly route: Route
  gauges(): { publishers: number; subscribers: number; topics: number }
}

type OfRole<Role extends Target['role']> = Extract<Target, { role: Role }>

/** Milliseconds for the check of a key. */
const CHECK_TIME = 5_000
/** The longest control frame; of messages nothing is read. */
const CONTROL_BYTES = 125

/** The wspubsub protocol: publishers with an API key, each alone on its topic, and subscribers, each on one topic. */
export function createWspubsub(options: WspubsubOptions): Wspubsub {
  const { kit, origins, bodies, admit, identify, keys, standing, checked, log } = options
  const { limits, clock } = kit
  const keyedKit = { ...kit, limits: { ...limits, maxPendingBytes: limits.maxKeyedPendingBytes } }
  const fromPublishers = createWebSocketAcceptor({ ...keyedKit.limits, maxFrameBytes: limits.maxKeyedMessageBytes }, kit.wheel)
  const fromSubscribers = createWebSocketAcceptor({ ...keyedKit.limits, maxFrameBytes: CONTROL_BYTES }, kit.wheel, 'unwanted')
  const fanOuts = createFanOuts(keyedKit, 'wspubsub')
  const connections = new Set<WebSocketConnection>()
  /** Those whose key is being checked, and what refuses them. */
  const waiting = new Map<Waiting, () => void>()
  const topics = createTopics({
    clock,
    graceTime: limits.graceTime,
    isStanding: (topic) => standing.some((pattern) => pattern.matches(topic)),
    told(topic, news) {
      // What was published until now goes out before the goodbyes.
      if (news === 'ended') kit.turn.flush()
      log.info({ topic: topicToUrl(topic) }, `a wspubsub topic was ${news}`)
    },
  })
  let subscribers = 0
  let hub: HubPort | undefined
  let open = false

  function target({ message, base }: Asked): ReturnType<typeof parseTarget> {
    // As it was sent: empty segments and dots are names here.
    return parseTarget(splitTarget(message.url ?? '/').raw.slice(base.length))
  }

  /** What refuses a request before its key is looked at. */
  function refusal(request: Request): Refusal | undefined {
    const flaw = handshakeRefusal(request.message, origins)
    if (flaw !== undefined) return flaw
    const wanted = target(request)
    if (wanted === 400) return 'path'
    if (wanted === 404 || wanted === undefined) return 'segments'
    if (hub === undefined || !open) return 'stopped'
    if (wanted.role === 'publisher') return undefined
    if (!hub.may('subscribe', wanted.topic, identify(request))) return 'rule'
    return topics.has(wanted.topic) ? undefined : 'unknown'
  }

  function upgrade(request: Request, socket: Duplex, head: Buffer): void {
    const wanted = target(request)
    const place = admit(request)
    if (typeof place === 'number') return rawReply(socket, place)
    if (typeof wanted !== 'object' || hub === undefined) {
      place()
      return refuseRaw(socket, 'stopped')
    }
    if (wanted.role === 'subscriber') subscribe(hub, request.message, socket, head, wanted.topic, place)
    else check(request, socket, head, wanted, place)
  }

  /** The place stays taken until the check is over, so that nobody asks for more of them than he may have connections. */
  function check(request: Request, socket: Duplex, head: Buffer, wanted: OfRole<'publisher'>, place: () => void): void {
    const identity: Identity = { ...identify(request), kind: 'keyed', domain: wanted.domain }
    const verdict = keys.check(wanted.key, wanted.domain)
    if (!(verdict instanceof Promise)) return decide(verdict, head)
    const client = clientOf(identity.address)
    const wait = keepWaiting(socket, head, { take: (bytes) => bodies.take(client, bytes), give: (bytes) => bodies.give(client, bytes) })
    waiting.set(wait, () => refuseRaw(socket, 'stopped'))
    void verdictWithin(verdict, CHECK_TIME, clock).then((known) => {
      waiting.delete(wait)
      decide(known, wait.over())
    })

    function decide(known: KeyVerdict, early: Buffer | undefined): void {
      checked(known)
      if (early === undefined) return place()
      const flaw = keyRefusal(known, wanted.topic, identity)
      if (flaw === undefined) return publish(request.message, socket, early, wanted, identity, place)
      place()
      refuseRaw(socket, flaw)
    }
  }

  /** wspubsub, section 11, decisions 7, 9 and 17. */
  function keyRefusal(verdict: KeyVerdict, topic: Topic, identity: Identity): Refusal | undefined {
    if (verdict === 'unavailable') return 'database'
    if (verdict === 'bad') return 'key'
    if (hub === undefined || !open) return 'stopped'
    if (!hub.may('publish', topic, identity)) return 'rule'
    return topics.hasPublisher(topic) ? 'taken' : undefined
  }

  /** Nothing else happens between the look at the topic, the 101 and the claim: it is one step for the event loop. */
  function publish(message: IncomingMessage, socket: Duplex, head: Buffer, wanted: OfRole<'publisher'>, identity: Identity, place: () => void): void {
    const { key, domain, topic } = wanted
    let letKeyGo = (): void => {}
    const connection = fromPublishers.accept(message, socket, head, {
      message: (data, binary) => publisher.receive(data, binary),
      arrived: (unfinished) => publisher.arrived(unfinished),
      broken: () => publisher.gone(),
      closed() {
        connections.delete(connection as WebSocketConnection)
        publisher.gone()
        place()
      },
    })
    if (connection === undefined) return place()
    connections.add(connection)
    // It may have been paused while it waited.
    socket.resume()
    const giveUp = topics.claim(topic)
    const publisher: Publisher = createPublisher({
      kit, hub: hub as HubPort, bodies, connection, topic, identity,
      leave() {
        letKeyGo()
        giveUp?.()
      },
    })
    letKeyGo = keys.hold(key, domain, () => publisher.end(CLOSE.forbidden, 'the key was taken away'))
  }

  function subscribe(port: HubPort, message: IncomingMessage, socket: Duplex, head: Buffer, topic: Topic, place: () => void): void {
    const connection = fromSubscribers.accept(message, socket, head, {
      message() {},
      closed() {
        connections.delete(connection as WebSocketConnection)
        leave()
        subscribers--
        place()
      },
    })
    if (connection === undefined) return place()
    connections.add(connection)
    subscribers++
    // Everything from the 101 to here is one step for the event loop, so no message can come in between.
    const leaveFanOut = fanOuts.join(port, exactly(topic), plain, connection)
    const leaveTopic = topics.join(topic, () => {
      leaveFanOut()
      connection.close(CLOSE.normal, '')
    })
    const leave = (): void => {
      leaveFanOut()
      leaveTopic?.()
    }
  }

  return {
    name: 'wspubsub',
    route: {
      takes: (request) => target(request) !== undefined,
      answer: (request: Request, response: ServerResponse) => refuse(response, refusal(request) ?? 'plain'),
      upgrades: (request) => refusal(request) === undefined,
      upgrade,
    },
    gauges: () => ({ publishers: topics.publishers, subscribers, topics: topics.size }),
    async start(port) {
      hub = port
      open = true
    },
    async stop(deadline) {
      if (open) topics.stop()
      open = false
      for (const [wait, turnAway] of waiting) if (wait.over() !== undefined) turnAway()
      await sayGoodbye(connections, limits.drainTime * 0.8, deadline, clock.after)
    },
  }
}
