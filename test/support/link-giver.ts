import { duplexPair, type Duplex } from 'node:stream'
import type { LimitName } from '../../src/core/limits.ts'
import { limitsWith } from '../../src/core/limits.ts'
import type { HubPort } from '../../src/core/ports.ts'
import { createTurn } from '../../src/core/turn.ts'
import { createWheel } from '../../src/core/wheel.ts'
import { createLinkClient, type LinkClient } from '../../src/links/client.ts'
import { ZoneDialError } from '../../src/zones/dial-error.ts'
import type { LinkView } from '../../src/links/ports.ts'
import type { Dial, DialError } from '../../src/zones/ports.ts'
import { encode } from '../../src/protocol/etf/encode.ts'
import type { Term } from '../../src/protocol/etf/term.ts'
import { createFrameReader } from '../../src/protocol/pony-express/frame.ts'
import { readFromTaker } from '../../src/protocol/pony-express/from-taker.ts'
import type { Extended, FromTaker, RemoteMessage } from '../../src/protocol/pony-express/messages.ts'
import { extendedFrame, messageNames, messageSize, pubsubSize, writeMessage, writePubsub } from '../../src/protocol/pony-express/to-taker.ts'
import { createManualClock, type ManualClock } from '../../src/testing/manual-clock.ts'
import { createSeededRandom } from '../../src/testing/seeded-random.ts'
import { silent } from './transport-port.ts'

/** One connection of a taker, as the daemon has it that a test plays. */
export interface PlayedConnection {
  readonly stream: Duplex
  /** What the taker has said, but for keepalives. */
  readonly said: readonly Exclude<FromTaker, { kind: 'keepalive' }>[]
  readonly keepalives: number
  readonly isClosed: boolean
  say(...all: Extended[]): void
  /** A message with what is not stated made up. */
  message(offset: number, topic: string, parts?: Partial<RemoteMessage>): void
  broadcast(term: Term): void
  raw(bytes: Buffer): void
  /** Closes it in an orderly way. */
  end(): void
  break(why: string): void
}

/** The daemon, without a network. */
export interface PlayedGiver {
  readonly dial: Dial
  /** Every connection so far. */
  readonly connections: readonly PlayedConnection[]
  readonly dials: number
  /** From now on, connecting fails so; `undefined`: it succeeds. */
  fail(kind: DialError['kind'] | undefined): void
}

/** @param played called with each new connection when it has subscribed */
export function createPlayedGiver(played: (connection: PlayedConnection) => void = () => {}): PlayedGiver {
  const connections: PlayedConnection[] = []
  let failing: DialError['kind'] | undefined
  let dials = 0
  return {
    connections,
    get dials() { return dials },
    fail(kind) {
      failing = kind
    },
    async dial(signal) {
      dials++
      if (failing !== undefined) throw new ZoneDialError(failing, `made up: ${failing}`)
      const [near, far] = duplexPair()
      // Both ends of a connection go together.
      near.once('close', () => far.destroy())
      far.on('error', () => {})
      signal.throwIfAborted()
      const connection = play(far, near, played)
      connections.push(connection)
      return { stream: near, names: ['cn:giver'], address: '127.0.0.1', certificateNames: ['giver'] }
    },
  }
}

function play(far: Duplex, near: Duplex, played: (connection: PlayedConnection) => void): PlayedConnection {
  const said: Exclude<FromTaker, { kind: 'keepalive' }>[] = []
  let keepalives = 0
  let isClosed = false
  const reader = createFrameReader({ maxBytes: 1_000_000 })
  far.on('data', (chunk: Buffer) => {
    for (const payload of reader.push(chunk)) {
      const one = readFromTaker(payload, { maxBytes: 1_000_000, maxTopics: 10_000 })
      if (one.kind === 'keepalive') keepalives++
      else if (said.push(one) === 1) played(connection)
    }
  })
  far.on('close', () => (isClosed = true))
  far.on('end', () => {
    isClosed = true
    far.end()
  })
  const raw = (bytes: Buffer): void => void far.write(bytes)
  const connection: PlayedConnection = {
    stream: far,
    said,
    get keepalives() { return keepalives },
    get isClosed() { return isClosed },
    raw,
    say: (...all) => raw(Buffer.concat(all.map(frameOf))),
    message: (offset, topic, parts = {}) => raw(frameOf({ kind: 'message', offset, topic: Buffer.from(topic), contentType: 'text/plain', time: 1, via: [], body: Buffer.from(`m${offset}`), ...parts })),
    broadcast: (term) => raw(broadcastFrame(encode(term))),
    end: () => void far.end(),
    break: (why) => void near.destroy(new Error(why)),
  }
  return connection
}

export function frameOf(said: Extended): Buffer {
  if (said.kind !== 'message') return extendedFrame(said)
  const parts = { ...said, names: messageNames(said.topic, said.contentType) }
  const size = messageSize(parts)
  const frame = Buffer.alloc(size)
  writeMessage(parts, size, frame, 0)
  return frame
}

export function broadcastFrame(term: Buffer): Buffer {
  const frame = Buffer.alloc(pubsubSize(term))
  writePubsub(term, frame, 0)
  return frame
}

/** A link on a made-up clock. */
export interface TestLink {
  readonly client: LinkClient
  readonly clock: ManualClock
  /** Every view that was told of. */
  readonly changes: readonly LinkView[]
  readonly dropped: readonly string[]
  readonly failures: readonly unknown[]
  /** The state as a text: `up waystation`, `down: why`. */
  state(): string
  start(): Promise<void>
  /** Lets time pass, and everything that comes of it. */
  pass(ms: number): Promise<void>
}

export function createTestLink(parts: {
  hub: HubPort
  clock?: ManualClock
  dial: Dial
  topics: readonly string[]
  prefix?: string
  seed?: number
  limits?: Partial<Record<LimitName, number>>
}): TestLink {
  const { hub, dial, topics, prefix = '', seed = 1, clock = createManualClock() } = parts
  const changes: LinkView[] = []
  const dropped: string[] = []
  const failures: unknown[] = []
  const kit = { limits: limitsWith(parts.limits), clock, turn: createTurn(clock), wheel: createWheel(clock), meter: silent }
  const client = createLinkClient({
    kit, dial,
    random: createSeededRandom(seed),
    hubId: () => hub.cursor.epoch,
    link: { server: 'giver.test', port: 5555, topics, prefix },
    events: { changed: (view) => void changes.push(view), dropped: (why) => void dropped.push(why), failed: (error) => void failures.push(error) },
  })
  return {
    client, clock, changes, dropped, failures,
    state() {
      const { current } = client.view()
      return current.state === 'up' ? `up ${current.peer}` : `down: ${current.why}`
    },
    async start() {
      await client.start(hub)
      await clock.settle()
    },
    async pass(ms) {
      await clock.settle()
      // What a timer begins may take promises, and then wait for another.
      const step = Math.max(25, ms / 40)
      for (let left = ms; left > 0; left -= step) {
        clock.advance(Math.min(step, left))
        for (let i = 0; i < 3; i++) await clock.settle()
      }
      clock.advance(0)
      for (let i = 0; i < 2; i++) await clock.settle()
    },
  }
}
