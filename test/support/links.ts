import { readFileSync } from 'node:fs'
import { connect as connectTcp, type Socket } from 'node:net'
import type { TestContext } from 'node:test'
import { connect as connectTls, type ConnectionOptions } from 'node:tls'
import type { LimitName } from '../../src/core/limits.ts'
import { draft, type Draft } from '../../src/core/message.ts'
import type { Rule } from '../../src/core/rules.ts'
import { createTurn } from '../../src/core/turn.ts'
import { topicFromText } from '../../src/core/topic.ts'
import { createAdmission } from '../../src/http/admission.ts'
import { createLinkDaemon, type LinkDaemonParts } from '../../src/links/daemon.ts'
import type { TlsFiles } from '../../src/zones/ports.ts'
import { COMMON_ATOMS } from '../../src/protocol/etf/term.ts'
import { createFrameReader } from '../../src/protocol/pony-express/frame.ts'
import { readFromGiver } from '../../src/protocol/pony-express/from-giver.ts'
import { keepaliveFrame, subscribeFrame } from '../../src/protocol/pony-express/from-taker.ts'
import type { FromGiver, Place, Wish } from '../../src/protocol/pony-express/messages.ts'
import { createTestHub, OURSELVES, type TestHub } from '../../src/testing/test-hub.ts'
import { createInbox, until } from './events.ts'
import { transportKit } from './transport-port.ts'

/** A daemon on a free loopback port, with a hub behind it. */
export interface LinkDaemon extends TestHub {
  readonly daemon: ReturnType<typeof createLinkDaemon>
  readonly port: number
  /** Why takers were refused or sent away, in order. */
  readonly refusals: string[]
  /** Why takers got nothing more, in order. */
  readonly ends: string[]
  /** Everything that was counted: the meter's calls. */
  readonly counted: { slow: string[]; gaps: number; delivered: number }
  /** Publishes whatever it is. */
  put(one: Omit<Partial<Draft>, 'topic'> & { readonly topic: string }): void
  /** Waits until so many takers' subscriptions are in the hub: PonyExpress' protocol does not say. */
  subscribed(topics: number): Promise<void>
}

export interface LinkDaemonOptions {
  readonly limits?: Partial<Record<LimitName, number>>
  readonly rules?: readonly Rule[]
  readonly security?: LinkDaemonParts['security']
  readonly grants?: LinkDaemonParts['grants']
  readonly atoms?: readonly string[]
  readonly perAddress?: number
  /** How the end of a turn comes about: the machine's own where this is not stated. */
  readonly endOfTurn?: (fn: () => void) => void
  readonly hub?: Parameters<typeof createTestHub>[0]
}

export async function startLinkDaemon(t: TestContext, options: LinkDaemonOptions = {}): Promise<LinkDaemon> {
  const { limits = {}, rules = [], security = { kind: 'tcp' }, grants, atoms = [], perAddress = 1_000, hub, endOfTurn } = options
  const world = createTestHub({ rules, ...hub })
  const refusals: string[] = []
  const ends: string[] = []
  const counted = { slow: [] as string[], gaps: 0, delivered: 0 }
  const own = transportKit({ drainTime: 50, ...limits })
  const clock = endOfTurn === undefined ? own.clock : { ...own.clock, endOfTurn }
  const kit = {
    ...own,
    clock,
    turn: createTurn(clock),
    meter: {
      published() {}, failed() {},
      slow: (_transport: string, topic: string) => void counted.slow.push(topic),
      gap: (_transport: string, receivers = 1) => void (counted.gaps += receivers),
      delivered: (_transport: string, deliveries: number) => void (counted.delivered += deliveries),
    },
  }
  const daemon = createLinkDaemon({
    kit, security, grants,
    hubId: () => world.log.epoch,
    listen: { port: 0, host: '127.0.0.1' },
    atoms: new Set([...COMMON_ATOMS, ...atoms]),
    admission: createAdmission({ total: kit.limits.maxLinks, perAddress }),
    events: { refused: (why) => void refusals.push(why), ended: (_address, why) => void ends.push(why) },
  })
  await daemon.start(world.hub)
  t.after(() => daemon.stop(AbortSignal.abort()))
  return {
    ...world, daemon, refusals, ends, counted,
    get port() { return daemon.port },
    put({ topic, body = Buffer.alloc(0), contentType, ...more }) {
      void world.hub.publish({ ...draft(topicFromText(topic), body, contentType ?? 'text/plain'), ...more, topic: topicFromText(topic) }, OURSELVES)
    },
    subscribed: (topics) => until(() => world.hub.topics + world.hub.patterns === topics, `${topics} topics in the hub`),
  }
}

/** A taker that does only what a test says. */
export interface LinkTaker {
  readonly socket: Socket
  send(bytes: Uint8Array): void
  /** As PonyExpress does. */
  subscribe(topic: string | Buffer): void
  /** As a Waystation does; gives the answer. */
  wish(wish: Partial<Omit<Wish, 'topics'>> & { topics?: readonly (string | Buffer)[]; after?: Place }): Promise<FromGiver>
  keepalive(): void
  /** The next thing that the daemon says. */
  next(): Promise<FromGiver>
  /** The next message, as text: what is behind a `pubsub` of a binary, or the body of a message. */
  body(): Promise<string>
  bodies(count: number): Promise<string[]>
  /** All that has come and was not asked for yet. */
  taken(): FromGiver[]
  /** Settles when the connection is over, with how: in order, or broken off. */
  readonly ended: Promise<'orderly' | 'broken'>
}

/** @param tls the files of the taker; without them plain TCP */
export async function connectTaker(t: TestContext, port: number, tls?: TlsFiles, more: ConnectionOptions = {}): Promise<LinkTaker> {
  const socket = tls === undefined
    ? connectTcp({ port, host: '127.0.0.1' })
    : connectTls({ port, host: '127.0.0.1', ca: readFileSync(tls.cacertfile), cert: readFileSync(tls.certfile), key: readFileSync(tls.keyfile), ...more })
  t.after(() => socket.destroy())
  const inbox = createInbox<FromGiver>('word of the daemon')
  const reader = createFrameReader({ maxBytes: 64 << 20 })
  let isOrderly = false
  socket.on('data', (chunk: Buffer) => {
    for (const payload of reader.push(chunk)) inbox.push(readFromGiver(payload, { maxBytes: 64 << 20, maxTopics: 10_000, maxDepth: 1_000 }) as FromGiver)
  })
  socket.on('error', () => {})
  socket.on('end', () => {
    isOrderly = true
  })
  const ended = new Promise<'orderly' | 'broken'>((resolve) => socket.on('close', () => {
    inbox.end(new Error('the connection is over'))
    resolve(isOrderly ? 'orderly' : 'broken')
  }))
  await new Promise<void>((resolve, reject) => {
    socket.once('error', reject)
    socket.once(tls === undefined ? 'connect' : 'secureConnect', resolve)
  })

  const taker: LinkTaker = {
    socket, ended,
    send: (bytes) => void socket.write(bytes),
    subscribe: (topic) => void socket.write(subscribeFrame(Buffer.from(topic))),
    wish({ hub = 'takerlog', topics = [], patterns = [], after }) {
      const bytes = topics.map((topic) => Buffer.from(topic))
      socket.write(subscribeFrame(bytes[0] ?? Buffer.from(patterns[0] ?? ''), { hub, topics: bytes, patterns, after }))
      return inbox.next()
    },
    keepalive: () => void socket.write(keepaliveFrame),
    next: () => inbox.next(),
    body: async () => textOf(await inbox.next()),
    bodies: async (count) => (await inbox.take(count)).map(textOf),
    taken: () => inbox.taken(),
  }
  return taker
}

/** @throws where it is no text */
export function textOf(said: FromGiver): string {
  if (said.kind === 'message') return said.body.toString()
  if (said.kind === 'pubsub' && said.term[1] === 109) return said.term.subarray(6).toString()
  throw new Error(`no text: ${JSON.stringify(said)}`)
}

