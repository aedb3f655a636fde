import type { HubPort, Identity, Random, Transport } from '../core/ports.ts'
import { topicToBytes, type Topic } from '../core/topic.ts'
import type { TransportKit } from '../core/transport-kit.ts'
import { subscribeFrame } from '../protocol/pony-express/from-taker.ts'
import { createAsked } from './asked.ts'
import type { Connection } from './connection.ts'
import { createBroadcasts, type Broadcasts } from './from-ponyexpress.ts'
import { createGiven } from './from-waystation.ts'
import { createIntake, type Dropped } from './intake.ts'
import { createLead } from './lead.ts'
import { createLine, type Line, type LineEvents } from './line.ts'
import type { LinkView } from './ports.ts'
import type { Dial } from '../zones/ports.ts'
import { createSlots } from '../zones/slots.ts'
import { createStatus } from './status.ts'

export interface LinkClient extends Transport {
  view(): LinkView
}

export interface LinkClientParts {
  readonly kit: TransportKit
  readonly random: Random
  /** The identity of this hub: the epoch of its log. Asked when the hub has started. */
  readonly hubId: () => string
  readonly link: {
    readonly server: string
    readonly port: number
    /** Names and globs, as text. */
    readonly topics: readonly string[]
    /** Stands before them here. */
    readonly prefix: string
  }
  readonly dial: Dial
  readonly events: {
    /** The state, its reason, or what the other end cannot be asked for, is another. */
    changed(view: LinkView): void
    /** Something that came was not published. Called for each. */
    dropped(why: Dropped): void
    /** The hub did not take something: the first, and one a minute. */
    failed?(error: unknown): void
  }
}

/** Handshakes at once: a daemon of PonyExpress has 200 ms for each (`pony-express.md`, section 9). */
const HANDSHAKES = 8

/**
 * The taking end of a link (`pony-express.md`, sections 4, 7 and 8): what it asks for is published into the local hub. It
 * connects in the background, and again after every failure, for ever. From a Waystation all comes over one connection,
 * which goes on where the one before ended; from a daemon of PonyExpress each topic comes over one of its own, and what was
 * published between two of them is announced as lost.
 *
 * It settles at once when it is started.
 * @throws {WaystationError} `bad_pattern`
 */
export function createLinkClient(parts: LinkClientParts): LinkClient {
  const { kit, random, hubId, link, dial, events } = parts
  const { clock, limits, meter } = kit
  const asked = createAsked(link)
  const name = `${link.server.includes(':') ? `[${link.server}]` : link.server}:${link.port}`
  const status = createStatus({ name, topics: link.topics, clock, changed: events.changed })
  const slots = createSlots(HANDSHAKES)
  const lines = new Set<Line>()
  const by: Identity = { kind: 'link', local: false, address: name }
  let isStopped = false

  function begin(hub: HubPort): void {
    const intake = createIntake({
      hub, by, clock, meter,
      full: () => forEachConnection((connection) => connection.pause()),
      roomy: () => forEachConnection((connection) => connection.resume()),
      dropped: events.dropped,
      failed: (error) => events.failed?.(error),
    })
    const given = createGiven({ asked, intake, hubId, clock, dropped: events.dropped })
    const [first, ...others] = asked.names
    let broadcasts: Broadcasts | undefined

    const lead = createLead({ probe: first ?? NO_TOPIC, asked, given, hubId, clock, limits }, {
      peer(peer, why) {
        for (const line of lines) if (line !== leading) letGo(line)
        if (peer === 'waystation') {
          broadcasts = undefined
          return status.peer(peer, 1, [], why)
        }
        const globs = asked.patterns.map(({ source }) => source)
        if (given.hasBegun) intake.lose(asked.globs)
        broadcasts = first === undefined ? undefined : broadcastsOf(first)
        status.peer(peer, asked.names.length, globs, first === undefined ? NO_GLOBS : why)
        for (const topic of others) open(plainLine(topic))
      },
      up(names) {
        if (broadcasts !== undefined) {
          broadcasts.up(names)
          given.begun()
        }
        status.up(leading)
      },
      down: (why) => status.down(leading, why),
      broadcast(term, names) {
        if (broadcasts === undefined) events.dropped('unasked')
        else broadcasts.take(term, names)
      },
    })
    const leading = line(lead)

    function line(told: LineEvents): Line {
      return createLine({ dial, slots, clock, random, limits }, {
        ...told,
        opened(connection) {
          if (intake.isFull) connection.pause()
          told.opened(connection)
        },
      })
    }

    function broadcastsOf(topic: Topic): Broadcasts {
      return createBroadcasts({ here: asked.here(topic), hasBegun: given.hasBegun, intake })
    }

    /** One topic of a daemon of PonyExpress beside the first. */
    function plainLine(topic: Topic): Line {
      const own = broadcastsOf(topic)
      const frame = subscribeFrame(topicToBytes(topic))
      const plain = line({
        opened: (connection) => connection.send(frame),
        up(connection) {
          own.up(connection.names)
          given.begun()
          status.up(plain)
        },
        said(said, connection) {
          if (said.kind === 'pubsub') own.take(said.term, connection.names)
          else connection.drop('failed', 'it sent what it was not asked for')
        },
        down: (_ending, why) => status.down(plain, why),
      })
      return plain
    }

    open(leading)
  }

  function open(line: Line): void {
    lines.add(line)
    line.start()
  }

  function letGo(line: Line): void {
    lines.delete(line)
    void line.stop(AbortSignal.abort())
  }

  function forEachConnection(tell: (connection: Connection) => void): void {
    for (const { connection } of lines) if (connection !== undefined) tell(connection)
  }

  return {
    name: 'link',
    view: () => status.view,
    async start(hub) {
      if (!isStopped) begin(hub)
    },
    async stop(deadline) {
      isStopped = true
      const all = [...lines]
      lines.clear()
      await Promise.all(all.map((line) => line.stop(deadline)))
    },
  }
}

const NO_TOPIC = '' as Topic
const NO_GLOBS = 'the daemon is one of PonyExpress, which has no globs, and only globs were asked for'
