import type { Usage } from './child.ts'
import { busySeconds, type Pinning } from './machine.ts'
import { runLoad, startServer, type Running } from './processes.ts'
import type { Seen, Task } from './task.ts'

/** One measurement. What a row does not measure is undefined. */
export interface Figures {
  readonly perSecond?: number
  /** CPU seconds of the server for a million of what is counted. */
  readonly cpu?: number
  /** Milliseconds. */
  readonly p50?: number
  readonly p99?: number
  /** Memory of one connection. */
  readonly kib?: number
}

export interface Measurement extends Figures {
  /** CPU shares, in cores: the server's, the generator's, and whatever else ran on the machine meanwhile. */
  readonly serverLoad: number
  readonly generatorLoad: number
  readonly elsewhere: number
}

interface Look extends Usage {
  readonly busy: number
}

/** What one run of the load has shown: what the generator saw, and what the server used meanwhile. */
export interface Observed {
  readonly seen: Seen
  readonly before: Usage
  readonly after: Usage
  /** At the last look: that at the end, unless the load asked for one more. */
  readonly settled: Usage
  /** CPU seconds of the server, all its threads. */
  readonly used: number
  readonly loads: Pick<Measurement, 'serverLoad' | 'generatorLoad' | 'elsewhere'>
}

/** Loads a server that is there, and looks at it when the counting begins and when it ends. */
export async function observe(server: Pick<Running, 'port' | 'usage'>, task: Task, pinning: Pinning | undefined, loadFlags: readonly string[] = []): Promise<Observed> {
  const looks: Look[] = []
  const seen = await runLoad(server.port, task, pinning?.load, async () => {
    looks.push({ ...(await server.usage()), busy: busySeconds() })
  }, loadFlags)
  const [before, after] = looks as [Look, Look]
  const used = after.cpu - before.cpu
  const loads = {
    serverLoad: used / seen.seconds,
    generatorLoad: seen.cpu / seen.seconds,
    elsewhere: Math.max(0, (after.busy - before.busy - used - seen.cpu) / seen.seconds),
  }
  return { seen, before, after, settled: looks.at(-1) as Look, used, loads }
}

/** Starts a fresh server, loads it, and ends it. */
export async function measure(file: string, task: Task, pinning: Pinning | undefined, nodeFlags: readonly string[] = []): Promise<Measurement> {
  await using server = await startServer(file, pinning?.server, nodeFlags)
  const { seen, before, after, used, loads } = await observe(server, task, pinning)
  if (task.kind === 'idle') return { ...loads, kib: (after.rss - before.rss) / 1024 / seen.count }
  return {
    ...loads,
    perSecond: seen.count / seen.seconds,
    cpu: (used / seen.count) * 1e6,
    ...(seen.p50 === undefined || seen.p99 === undefined ? {} : { p50: seen.p50, p99: seen.p99 }),
  }
}
