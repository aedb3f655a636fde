import type { Limits } from '../core/limits.ts'
import type { Clock } from '../core/ports.ts'
import { topicToBytes, type Topic } from '../core/topic.ts'
import { subscribeFrame } from '../protocol/pony-express/from-taker.ts'
import type { Extended, FromGiver, Place } from '../protocol/pony-express/messages.ts'
import type { Asked } from './asked.ts'
import type { Ending } from '../zones/backoff.ts'
import type { Connection } from './connection.ts'
import type { Given } from './from-waystation.ts'
import type { LineEvents } from './line.ts'
import type { Peer } from './status.ts'

/** What the first connection of a link finds out, and brings. */
export interface LeadEvents {
  /** The other end has turned out to be something else than before. */
  peer(peer: Peer, why: string): void
  /** All that was asked for comes from now on, or the one topic of this line does. @param names by what the other end may be known again */
  up(names: readonly string[]): void
  down(why: string): void
  /** A broadcast of the one topic. */
  broadcast(term: Buffer, names: readonly string[]): void
}

/** Answers that a known Waystation may owe before it is taken for something else: a slow network must not cost the position. */
const MOST_UNANSWERED = 3
/** Connections that end by a fault at the same place, before the place is given up: what is there comes again each time. */
const MOST_FAULTS = 3
const AFTER_ALL = 'the other end is a Waystation after all'
/** Signs of what the other end says that stand in a log. */
const MOST_SIGNS = 200

/**
 * The first connection of a link, and whatever replaces it. It subscribes to one topic by name, as PonyExpress knows it,
 * with the wish for everything behind the term. A Waystation answers, and all comes over this connection; anybody else is
 * PonyExpress, and the connection brings that one topic. The wish stands behind each subscription, so that a daemon that
 * was replaced is known at the next connection.
 *
 * @param parts.probe the topic; the empty one where only globs were asked for, which does no harm
 */
export function createLead(parts: {
  probe: Topic
  asked: Asked
  given: Given
  hubId: () => string
  clock: Clock
  limits: Limits
}, events: LeadEvents): LineEvents {
  const { asked, given, hubId, clock, limits } = parts
  const probe = topicToBytes(parts.probe)
  let peer: Peer | undefined
  /** What the present connection is: `asked` until it is known. */
  let phase: 'none' | 'asked' | 'extended' | 'plain' = 'none'
  let isUp = false
  let wished: Place | undefined
  let unanswer = (): void => {}
  let unanswered = 0
  let faults = 0
  let faultAt: Place | undefined

  function turnsOutPlain(connection: Connection): void {
    unanswer()
    phase = 'plain'
    unanswered = 0
    if (peer !== 'ponyexpress') {
      peer = 'ponyexpress'
      given.forget()
      events.peer(peer, 'the daemon is one of PonyExpress')
    }
    if (isUp) events.up(connection.names)
  }

  function awaitAnswer(connection: Connection): void {
    // Whoever does not read hears no answer.
    unanswer = clock.after(limits.linkAnswerTimeout, () => (connection.isPaused ? awaitAnswer : owesAnswer)(connection))
  }

  function owesAnswer(connection: Connection): void {
    if (peer === 'waystation' && ++unanswered < MOST_UNANSWERED) connection.drop('failed', `no answer within ${limits.linkAnswerTimeout} ms`)
    else turnsOutPlain(connection)
  }

  function answered(said: Extended, connection: Connection): void {
    if (said.kind === 'refused') {
      turnsOutWaystation()
      return connection.drop('refused', `the other end refuses: ${said.why.slice(0, MOST_SIGNS)}`)
    }
    if (said.kind !== 'ready') return connection.drop('failed', 'it began before it was ready')
    // What it has given as if it was PonyExpress has no places: nobody knows what of it would come again.
    if (phase === 'plain') {
      turnsOutWaystation()
      return connection.drop('lost', AFTER_ALL)
    }
    const fault = given.begin(said, wished)
    if (fault !== undefined) return connection.drop('refused', fault)
    turnsOutWaystation()
    phase = 'extended'
    connection.expectSigns()
    events.up(connection.names)
  }

  function turnsOutWaystation(): void {
    unanswer()
    unanswered = 0
    if (peer === 'waystation') return
    peer = 'waystation'
    events.peer(peer, AFTER_ALL)
  }

  /** A connection has ended by what it brought. Where that is always the same, what is there is passed over. */
  function countFault(): void {
    const at = given.position
    faults = at?.epoch === faultAt?.epoch && at?.offset === faultAt?.offset ? faults + 1 : 1
    faultAt = at
    if (faults < MOST_FAULTS) return
    faults = 0
    given.forget()
  }

  return {
    opened(connection) {
      wished = given.position
      isUp = false
      phase = peer === 'ponyexpress' ? 'plain' : 'asked'
      connection.send(subscribeFrame(probe, asked.wish(hubId(), wished)))
      if (phase === 'asked') awaitAnswer(connection)
    },
    up(connection) {
      isUp = true
      if (phase === 'plain') events.up(connection.names)
    },
    said(said: FromGiver, connection) {
      if (said.kind === 'pubsub') {
        if (phase === 'extended') return connection.drop('failed', 'it sent a broadcast without a topic')
        if (phase === 'asked') turnsOutPlain(connection)
        return events.broadcast(said.term, connection.names)
      }
      if (phase !== 'extended') return answered(said, connection)
      if (said.kind === 'refused') return connection.drop('refused', `the other end refuses: ${said.why.slice(0, MOST_SIGNS)}`)
      const fault = given.take(said)
      if (fault !== undefined) connection.drop('failed', fault)
    },
    down(ending: Ending, why) {
      unanswer()
      if (phase === 'extended' && ending === 'failed') countFault()
      phase = 'none'
      events.down(why)
    },
  }
}
