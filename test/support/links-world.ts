import { once } from 'node:events'
import { get, type IncomingMessage } from 'node:http'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import type { TestContext } from 'node:test'
import type { Config, PublicHub } from '../../src/index.ts'
import { connectLink, serveLinks, type Link } from '../../src/server/link.ts'
import { temporaryFolder } from './certificates.ts'
import { startChaosProxy, type ChaosProxy } from './chaos-proxy.ts'
import { until } from './events.ts'
import { linkCertificates } from './link-certificates.ts'
import { startPlainDaemon } from './plain-daemon.ts'
import { startServer } from './server.ts'
import { connect } from './websocket.ts'

/*
 * Two hubs with a link between them through a proxy, and beside it a link of the second to a daemon that knows PonyExpress
 * only. Every message says its topic and its number there, so that each subscriber of the second hub can be asked whether
 * he has had everything in order, or been told.
 */

export const TOPICS = ['kept/a', 'kept/b', 'brief/a', 'loose/a', 'glob/a', 'glob/b'] as const
export const PLAIN = 'plain'
/** What a message counts that is kept of `brief/*`. */
export const BRIEF = 5

/** A subscriber downstream, and what he has found. */
export interface Witness {
  readonly name: string
  /** Messages that he has had. */
  readonly taken: number
  /** Messages that he has not had, all of them announced, and messages that were missing without a word. */
  readonly announced: number
  /** Announcements; and those behind which nothing was missing on any topic. */
  readonly gaps: number
  readonly needless: number
  /** What must never be: in words. */
  readonly faults: readonly string[]
  /** The last number that he has had of a topic. */
  last(topic: string): number
}

export interface LinksWorld {
  /** Between the hubs. */
  readonly proxy: ChaosProxy
  /** Between the second hub and the daemon of PonyExpress. */
  readonly plainProxy: ChaosProxy
  /** Between the hubs, of what is kept and of what is not; and to PonyExpress. */
  readonly links: readonly Link[]
  readonly witnesses: readonly Witness[]
  /** Witnesses of topics that are kept long enough for every outage. */
  readonly keptWitnesses: readonly Witness[]
  /** Messages that were published. */
  readonly published: number
  publish(topic: string): void
  /** Ends all mischief, and publishes until everyone has the last of every topic. */
  settle(): Promise<void>
}

interface Judge extends Witness {
  message(body: string): void
  gap(): void
  fail(why: string): void
}

function createWitness(name: string, topics: readonly string[]): Judge {
  const state = new Map(topics.map((topic) => [topic, { last: 0, told: false }]))
  const faults: string[] = []
  let taken = 0
  let announced = 0
  let gaps = 0
  let useful = 0
  const fail = (why: string): void => {
    if (faults.length < 20) faults.push(`${name}: ${why}`)
  }
  /** Whether something was missing behind the last announcement. */
  let isProved = true

  return {
    name, faults, fail,
    get taken() { return taken },
    get announced() { return announced },
    get gaps() { return gaps },
    get needless() { return gaps - useful },
    last: (topic) => state.get(topic)?.last ?? Infinity,
    message(body) {
      const { topic, n } = JSON.parse(body) as { topic: string; n: number }
      const one = state.get(topic)
      if (one === undefined) return fail(`got ${topic}`)
      taken++
      if (n <= one.last) fail(`${topic} ${n} came behind ${one.last}`)
      else if (n > one.last + 1) {
        if (!one.told) fail(`${topic} ${one.last + 1} to ${n - 1} are missing, and nobody has said so`)
        announced += n - one.last - 1
        if (!isProved) useful++
        isProved = true
      }
      one.last = Math.max(one.last, n)
      one.told = false
    },
    gap() {
      gaps++
      isProved = false
      for (const one of state.values()) one.told = true
    },
  }
}

/** Limits that find a dead connection within half a second. */
export const QUICK_LIMITS: Config = { linkKeepalive: 100, linkDeadline: 500, linkRetry: 20, maxLinkRetry: 200, linkHandshakeTimeout: 2_000 }

/** @param keptMessages of each topic of `kept/*`: more than any outage lets pass */
export async function startLinksWorld(t: TestContext, keptMessages: number): Promise<LinksWorld> {
  const certificates = linkCertificates(join(temporaryFolder(t), 'ca'))
  const [hubFiles, edgeFiles] = [await certificates.server('hub'), await certificates.client('edge')]
  const giver = await startServer(t, {
    ...QUICK_LIMITS,
    maxLogBytes: '256MiB',
    rules: [{ topics: 'kept/*', keep: { messages: keptMessages, age: '1h' } }, { topics: 'glob/*', keep: { messages: keptMessages, age: '1h' } }, { topics: 'brief/*', keep: { messages: BRIEF, age: '1h' } }],
  })
  const taker = await startServer(t, QUICK_LIMITS)
  const server = await serveLinks({ hub: giver.hub, port: 0, host: '127.0.0.1', tls: hubFiles })
  const plain = await startPlainDaemon(giver.hub, hubFiles)
  const proxy = await startChaosProxy(() => server.port)
  const plainProxy = await startChaosProxy(() => plain.port)
  t.after(() => {
    for (const one of [proxy, plainProxy, plain]) one.close()
  })

  const witnesses = await startWitnesses(t, taker)
  const to = { hub: taker.hub, server: '127.0.0.1', tls: edgeFiles }
  const links: Link[] = []
  for (const [port, topics] of [[proxy.port, ['kept/a', 'kept/b', 'glob/*', 'brief/a', 'loose/a']], [plainProxy.port, [PLAIN]]] as const) links.push(await connectLink({ ...to, port, topics, prefix: 'in/' }))
  const areUp = (): boolean => links.every(({ state }) => state.state === 'up')
  await until(() => links.slice(0, 1).every(({ state }) => state.state === 'up') && plain.asked.length > 0, 'the links give')

  const numbers = new Map<string, number>([...TOPICS, PLAIN].map((topic) => [topic, 0]))
  let published = 0
  const world: LinksWorld = {
    proxy, plainProxy, links, witnesses,
    keptWitnesses: witnesses.filter(({ name }) => /kept|glob\//.test(name)),
    get published() { return published },
    publish(topic) {
      const n = (numbers.get(topic) as number) + 1
      numbers.set(topic, n)
      published++
      void giver.hub.publish(topic, JSON.stringify({ topic, n }))
    },
    async settle() {
      proxy.calm()
      plainProxy.calm()
      await until(areUp, 'the links are up again', 60_000)
      const first = new Map(numbers)
      await until(() => {
        const late = [...first].filter(([topic, n]) => witnesses.some((witness) => witness.last(topic) <= n)).map(([topic]) => topic)
        for (const topic of late) world.publish(topic)
        return late.length === 0
      }, 'everyone has the last of every topic', 60_000)
    },
  }
  // Before its first broadcast nobody knows that it is PonyExpress, and nothing that is lost counts as lost.
  world.publish(PLAIN)
  await until(() => witnesses.every((witness) => witness.last(PLAIN) > 0), 'the link to PonyExpress brings something')
  return world
}

/** By each way to subscribe one of everything, and one of the topics alone that are kept. */
async function startWitnesses(t: TestContext, { url, ws, hub }: { url: string; ws: string; hub: PublicHub }): Promise<Witness[]> {
  const everything = [...TOPICS, PLAIN]
  const kept = everything.filter((topic) => /^(kept|glob)\//.test(topic))
  const witnesses: Judge[] = []
  const witness = (name: string, topics: readonly string[]): Judge => {
    const made = createWitness(name, topics)
    witnesses.push(made)
    return made
  }

  for (const [what, topics] of [['everything', everything], ['kept topics', kept]] as const) {
    const judge = witness(`event stream of ${what}`, topics)
    const query = topics.map((topic) => `topic=${encodeURIComponent(`in/${topic}`)}`).join('&')
    await watchStream(t, `${url}/_/sse?${query}`, judge)
  }
  for (const topic of everything) {
    const judge = witness(`WebSocket of ${topic}`, [topic])
    const socket = await connect(t, `${ws}/in/${topic}?format=json`)
    socket.ws.on('message', (data: Buffer) => {
      const said = JSON.parse(data.toString()) as { gap?: unknown; cursor?: string; data?: string }
      if (said.gap !== undefined) judge.gap()
      else if (said.data !== undefined) judge.message(said.data)
    })
    void socket.closed.then(({ code, reason }) => judge.fail(`closed with ${code} ${reason}`))
  }
  for (const [what, patterns, topics] of [['everything', ['in/*'], everything], ['kept topics', ['in/kept/*', 'in/glob/*'], kept]] as const) {
    const judge = witness(`program with a glob of ${what}`, topics)
    const messages = hub.subscribe(patterns, { onGap: () => judge.gap(), maxWaiting: 1_000_000 })
    t.after(() => messages[Symbol.asyncDispose]())
    void (async () => {
      for await (const message of messages) judge.message(message.text())
    })().catch((error: Error) => judge.fail(error.message))
  }
  return witnesses
}

/** Reads an event stream as long as the test takes, and keeps nothing of it: a soak takes long. */
async function watchStream(t: TestContext, url: string, judge: Judge): Promise<void> {
  const request = get(url, { headers: { Accept: 'text/event-stream' } })
  request.on('error', () => {})
  t.after(() => void request.destroy())
  const [response] = await once(request, 'response') as [IncomingMessage]
  const lines = createInterface({ input: response })
  // The end of the test ends it so.
  for (const one of [response, lines]) one.on('error', () => {})
  let isGap = false
  lines.on('line', (line) => {
    if (line.startsWith('event: ')) isGap = line === 'event: gap'
    else if (line === '') isGap = false
    else if (!line.startsWith('data: ')) return
    else if (isGap) judge.gap()
    else judge.message(line.slice('data: '.length))
  })
  lines.on('close', () => judge.fail('the stream ended'))
}
