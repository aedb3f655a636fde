import { execFile } from 'node:child_process'
import type { Contender } from './contenders.ts'
import type { Pinning } from './machine.ts'
import { observe } from './measure.ts'
import { common, type Found } from './place.ts'
import { pinnedTo, type Running } from './processes.ts'
import type { Timed } from './task.ts'

/** Subscribers spread evenly over channels; one more connection publishes to each, and gets nothing. */
export interface FanOut extends Timed {
  readonly subscribers: number
  readonly channels: number
  readonly size: number
  /** At full rate: messages under way. */
  readonly inFlight?: number
  /** At a fixed rate: messages per second over all channels. */
  readonly rate?: number
}

/** WebSockets that say nothing. */
export interface Idle {
  readonly connections: number
  readonly channels: 'one' | 'own'
  /** Seconds between the last handshake and the look at the server's memory. */
  readonly settle: number
}

/** What makes the load of WebSockets, and counts what comes. */
export interface Generator {
  readonly name: 'wsload' | 'bench'
  /** The least that a message can have. */
  readonly leastSize: number
  speaks(contender: Contender): boolean
  /** @throws {Error} when anything is missing, or came twice */
  fanOut(to: Running, contender: Contender, load: FanOut): Promise<Found>
  idle(to: Running, contender: Contender, load: Idle): Promise<Found>
}

/** Opened before anything counts, so that what a server sets up once is not charged to the connections. */
const EARLY = 100
const PATIENCE_MS = 240_000
/** Of other protocols it looks for a mark in the bytes, and now and then the length in a frame's header is one. */
const MISTAKEN = 1e-4

/** What wsload prints of a run; times in microseconds, CPU in cores, CPU for each delivery in seconds for a million. */
interface Printed {
  /** Messages per second; 0 at full rate. */
  readonly rate: number
  readonly deliv_s: number
  readonly cpu_per_M: number
  readonly p50_us: number
  readonly p99_us: number
  readonly srv_cpu: number
  readonly gen_cpu: number
  readonly foreign: number
  readonly published: number
  readonly delivered: number
  readonly complete: boolean
  readonly stalled: number
}

/** The figures of one run. @throws {Error} when it is not complete: then they are worth nothing */
export function figuresOf(printed: string, perMessage: number, pinning: Pinning | undefined, speaks: Contender['speaks'] = 'ws'): Found {
  const seen = JSON.parse(printed) as Printed
  const expected = Math.round(seen.published * perMessage)
  if (!seen.complete || seen.stalled !== 0) throw new Error(`${expected - seen.delivered} deliveries never came`)
  if (seen.delivered > expected * (speaks === 'ws' ? 1 : 1 + MISTAKEN)) throw new Error(`${seen.delivered - expected} deliveries came twice`)
  if (seen.deliv_s === 0) throw new Error('nothing came in the time that is measured')
  // Then nothing that was sent in that time came in it. At a fixed rate the server is seconds behind, and its figures are those of a queue.
  if (seen.p50_us === 0 && seen.rate > 0) throw new Error('the server did not keep up')
  return {
    serverLoad: seen.srv_cpu, generatorLoad: seen.gen_cpu,
    // It looks at the first two cores alone.
    ...(pinning !== undefined && Math.max(pinning.server, pinning.load) < 2 ? { elsewhere: Math.max(0, seen.foreign) } : {}),
    perSecond: seen.deliv_s, cpu: seen.cpu_per_M,
    ...(seen.p50_us === 0 ? {} : { p50: seen.p50_us / 1000, p99: seen.p99_us / 1000 }),
  }
}

/** wsload: C, a fraction of what any server costs. */
export function wsload(program: string, pinning: Pinning | undefined): Generator {
  function run({ port, pids }: Running, { speaks, paths }: Contender, args: readonly (string | number)[]): Promise<string> {
    const where = ['--port', port, ...pids.flatMap((pid) => ['--pid', pid]), '--proto', speaks, '--sub', paths.subscriber, '--pub', paths.publisher]
    const [command = '', ...rest] = pinnedTo(pinning?.load, [program, ...[...where, ...args].map(String)])
    return new Promise((resolve, reject) => {
      execFile(command, rest, { timeout: PATIENCE_MS }, (error, stdout, stderr) => {
        if (error === null) resolve(stdout)
        else reject(new Error(stderr.trim().split('\n').at(-1) || error.message))
      })
    })
  }
  return {
    name: 'wsload',
    leastSize: 25,
    speaks: () => true,
    async fanOut(to, contender, { subscribers, channels, size, inFlight, rate, warmup, seconds }) {
      const pace = rate === undefined ? ['--window', inFlight ?? 1] : ['--rate', rate]
      const printed = await run(to, contender, ['--subs', subscribers, '--chans', channels, '--size', size, ...pace, '--warm', warmup, '--dur', seconds, ...channels > 1 ? ['--pub-per-chan'] : []])
      return figuresOf(printed, subscribers / channels, pinning, contender.speaks)
    },
    async idle(to, contender, { connections, channels, settle }) {
      const hold = (count: number) => run(to, contender, ['--subs', count, '--chans', channels === 'one' ? 1 : count, '--nopub', '--hold', settle])
      await hold(Math.min(EARLY, connections))
      return { kib: (JSON.parse(await hold(connections)) as { kb_per_conn: number }).kb_per_conn }
    },
  }
}

/** The bench's own, for machines without the tools in C; it costs more than some servers. */
export function ownGenerator(pinning: Pinning | undefined): Generator {
  return {
    name: 'bench',
    leastSize: 4,
    speaks: ({ speaks }) => speaks === 'ws',
    async fanOut(to, { paths }, load) {
      const keyed = { publisher: paths.publisher, subscribers: paths.subscriber, hears: true as const }
      const { cpuMicroseconds, ...found } = common(await observe(to, { kind: 'fan-out', ...load, keyed }, pinning))
      return { ...found, cpu: cpuMicroseconds ?? NaN }
    },
    async idle(to, { paths }, { connections, channels, settle }) {
      const before = Math.min(EARLY, connections)
      const on = { path: paths.subscriber, channels: channels === 'one' ? 1 : connections + before }
      const { seen, before: first, after } = await observe(to, { kind: 'idle', connections, before, settle, on }, pinning)
      return { kib: (after.rss - first.rss) / 1024 / seen.count }
    },
  }
}
