import type { Cursor } from '../core/cursor.ts'
import { WaystationError } from '../core/errors.ts'
import type { Encoder } from '../core/fan-out.ts'
import type { FanOuts } from '../core/fan-outs.ts'
import { exactly, interestIn, type Interest } from '../core/interest.ts'
import type { HubPort, Identity } from '../core/ports.ts'
import { createReplay } from '../core/replay.ts'
import { topicFromBytes, type Topic } from '../core/topic.ts'
import { cameThrough } from '../core/shares.ts'
import type { TransportKit } from '../core/transport-kit.ts'
import type { FromTaker, Wish } from '../protocol/pony-express/messages.ts'
import { extendedFrame } from '../protocol/pony-express/to-taker.ts'
import { createWaystationEncoder } from './encoders.ts'
import type { Grants } from './grants.ts'
import { createSeveralTopics, type SeveralTopics } from './several-topics.ts'
import type { Farewell, TakerConnection } from './taker-connection.ts'
import { isFitForLog } from './wish-bounds.ts'
import type { WishGroups } from './wish-groups.ts'

/** What all takers of a daemon share. */
export interface Giving {
  readonly hub: HubPort
  readonly hubId: () => string
  /** Its `maxPendingBytes` is what may wait for one taker. */
  readonly kit: TransportKit
  readonly transport: string
  readonly plain: Encoder
  readonly fanOuts: FanOuts
  readonly groups: WishGroups
  readonly grants: Grants
}

/** What one taker asks for, from its first word to its end. */
export interface Taker {
  said(said: FromTaker): void
  leave(): void
}

const MINUTE = 60_000

/**
 * The giving end of one connection (`pony-express.md`, section 6.2, and `docs/protocols/pony-express.md`, "Between two
 * Waystations"). Nothing that a taker says goes any further than here.
 * @param names what its certificate says of whose it is
 */
export function createTaker(giving: Giving, connection: TakerConnection, identity: Identity, names: readonly string[]): Taker {
  const { hub, hubId, kit, transport, plain, fanOuts, groups, grants } = giving
  const { limits, clock } = kit
  let leave = (): void => {}
  let giveBack = (): void => {}
  /** The topic of a first subscription without a wish. */
  let first: Topic | undefined
  let several: SeveralTopics | undefined
  /** Answers a keepalive: only a Waystation is answered. */
  let alive: (() => void) | undefined
  let keepalives = 0
  let minute = clock.monotonic()

  function isGranted(interest: Interest): boolean {
    return grants.covers(interest, names) && hub.maySubscribe(interest, identity)
  }

  function keepalive(): void {
    const now = clock.monotonic()
    if (now - minute >= MINUTE) {
      minute = now
      keepalives = 0
    }
    if (++keepalives > limits.maxLinkKeepalives) return connection.end('too_many_keepalives')
    alive?.()
  }

  function subscribe(topic: Topic): void {
    const interest = exactly(topic)
    if (!isGranted(interest)) return connection.end('forbidden')
    connection.asked()
    if (several !== undefined) return more(several, topic)
    if (first !== undefined) return becomeSeveral(first, topic)
    first = topic
    leave = fanOuts.join(hub, interest, plain, connection)
  }

  function becomeSeveral(one: Topic, another: Topic): void {
    // What was published before goes out by the old way; from there on nothing is published until it is on the new one.
    kit.turn.flush()
    if (connection.isOver) return
    leave()
    several = createSeveralTopics({ hub, kit, transport, encoder: plain, connection })
    leave = several.leave
    several.add(one)
    more(several, another)
  }

  function more(topics: SeveralTopics, topic: Topic): void {
    if (!topics.add(topic)) connection.end('too_many_topics')
  }

  function refuse(why: Farewell & WaystationError['code']): void {
    connection.write(extendedFrame({ kind: 'refused', why }))
    connection.end(why)
  }

  function grant(wish: Wish): void {
    const interest = interestOf(wish)
    if (interest === undefined) return refuse('bad_pattern')
    if (interest.topics.length + interest.patterns.length === 0) return refuse('bad_request')
    if (!isGranted(interest)) return refuse('forbidden')
    const taken = groups.bounds.take(interest)
    if (taken === undefined) return refuse('too_many_topics')
    giveBack = taken
    connection.asked()
    connection.names = new Set([wish.hub])
    const { cursor } = hub
    // It may have had more than was routed, by an earlier resumption.
    const after = wish.after !== undefined && wish.after.epoch === cursor.epoch && wish.after.offset <= hub.head && isFitForLog(interest) ? wish.after : undefined
    connection.write(extendedFrame({ kind: 'ready', at: after ?? cursor, hub: hubId() }))
    if (after === undefined) goLive(interest)
    else catchUp(interest, after)
  }

  function goLive(interest: Interest): void {
    leave = groups.join(hub, interest, connection)
    alive = () => {
      // So that what it says has been sent has been.
      kit.turn.flush()
      connection.write(extendedFrame({ kind: 'alive', at: hub.cursor }))
    }
  }

  function catchUp(interest: Interest, after: Cursor): void {
    const encoder = createWaystationEncoder(interest)
    const replay = createReplay({ member: connection, encoder, clock })
    let reached = after
    alive = () => {
      replay.flush()
      connection.write(extendedFrame({ kind: 'alive', at: reached }))
    }
    leave = hub.resume(interest, after, {
      count: 1,
      takesParts: true,
      deliver(message) {
        reached = { epoch: message.epoch, offset: message.offset }
        replay.deliver(message)
      },
      room: replay.room,
      gap(from, to, lost) {
        reached = to
        if (cameThrough(lost?.via, connection.names)) return
        kit.meter.gap(transport)
        replay.flush()
        connection.write(encoder.gap(from, to, lost) as Buffer)
      },
      live() {
        replay.flush()
        goLive(interest)
      },
    })
  }

  return {
    said(said) {
      switch (said.kind) {
        case 'keepalive': return keepalive()
        // Once a wish is granted there is nothing more to ask for, and a wish comes first.
        case 'too_many_topics': return alive === undefined && first === undefined ? refuse('too_many_topics') : connection.end('too_many_topics')
        case 'subscribe':
          if (alive !== undefined) return connection.end('bad_request')
          if (said.wish === undefined) return subscribe(topicFromBytes(said.topic))
          return first === undefined ? grant(said.wish) : connection.end('bad_request')
        default: return said satisfies never
      }
    },
    leave() {
      leave()
      giveBack()
    },
  }
}

/** What a wish names, each once, in an order; `undefined` where a glob cannot be used. */
function interestOf({ topics, patterns }: Wish): Interest | undefined {
  try {
    const { topics: literal, patterns: globs } = interestIn(patterns)
    return { topics: [...new Set([...topics.map(topicFromBytes), ...literal])].sort(), patterns: globs }
  } catch (error) {
    if (error instanceof WaystationError && error.code === 'bad_pattern') return undefined
    throw error
  }
}
