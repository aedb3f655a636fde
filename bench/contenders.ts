import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { nginx, startNchan } from './nginx.ts'
import { NODE_FLAGS, startServer, type Cores, type Running } from './processes.ts'
import { freePort, says, SETTINGS, startProgram } from './programs.ts'
import type { Tools } from './tools.ts'

/** What a contender needs to know to start. */
export interface Site {
  readonly tools: Pick<Tools, 'floor'>
  readonly cores: Cores
  /** Files that it may have open. */
  readonly files: number
  /** Whether the floor joins what is pending in a turn, as it does where the others can, too. */
  readonly floor: 'joins' | 'writes each'
  /** Where Waystation writes a CPU profile. */
  readonly profile: string | undefined
}

/** Where channels are; `%s` stands for the name of one. */
export interface Paths {
  readonly subscriber: string
  /** Of a connection that publishes and gets nothing. */
  readonly publisher: string
}

export interface Contender {
  readonly title: string
  /** What its WebSockets carry: messages as they are, or a protocol of its own, which only wsload speaks. */
  readonly speaks: 'ws' | 'nats' | 'sio'
  readonly paths: Paths
  /** Where a POST publishes to a channel that nobody listens to, and what it answers. */
  readonly post?: { readonly path: string; readonly status: number }
  /** In words, why it is not there; nothing where it is. */
  absent?(site: Pick<Site, 'tools'>): string | undefined
  /** Of a program that is no part of this one. */
  version?(): string | undefined
  start(site: Site): Promise<Running>
}

const NO_PATHS: Paths = { subscriber: '/', publisher: '/' }
const CHANNELS: Paths = { subscriber: '/%s', publisher: '/%s?role=publisher' }
const POST = { path: '/bench', status: 200 }
const node = (file: string) => ({ cores }: Site): Promise<Running> => startServer(file, cores, NODE_FLAGS)

/** By the name that `--servers` takes, in the order of the tables. */
export const CONTENDERS = {
  'floor': {
    title: 'floor (C, epoll)',
    speaks: 'ws',
    paths: { subscriber: '/s?c=%s', publisher: '/p' },
    absent: ({ tools }) => tools.floor === undefined ? 'it is not built' : undefined,
    async start({ tools, cores, floor }) {
      const port = await freePort()
      return startProgram(port, cores, () => [tools.floor as string, ...floor === 'joins' ? ['-b'] : [], String(port)])
    },
  },
  'waystation': { title: 'Waystation', speaks: 'ws', paths: CHANNELS, post: POST, start: startHub },
  'bare-node': { title: 'bare Node', speaks: 'ws', paths: CHANNELS, start: node('peers/bare-node.ts') },
  'ws-loop': { title: '`ws` loop', speaks: 'ws', paths: { subscriber: '/%s', publisher: '/%s?alone' }, start: node('peers/ws-loop.ts') },
  'socket.io': { title: 'Socket.IO', speaks: 'sio', paths: NO_PATHS, start: node('peers/socket-io.ts') },
  'nchan': {
    title: 'nchan (nginx)',
    speaks: 'ws',
    paths: { subscriber: '/sub/%s', publisher: '/pub/%s' },
    post: { path: '/pub/bench', status: 202 },
    absent: () => nginx()?.nchan === undefined ? 'nginx with its module nchan is not installed' : undefined,
    version: () => nginx()?.version,
    start: ({ cores, files }) => startNchan(cores, nginx()?.nchan as string, files),
  },
  'nats': {
    title: 'NATS server',
    speaks: 'nats',
    paths: NO_PATHS,
    absent: () => says('nats-server', '--version') === undefined ? 'nats-server is not installed' : undefined,
    version: () => says('nats-server', '--version')?.trim().replace(/^.*v/, ''),
    async start({ cores }) {
      const [port, plain] = [await freePort(), await freePort()]
      const settings = `listen: "127.0.0.1:${plain}"\nwebsocket { listen: "127.0.0.1:${port}", no_tls: true }\n`
      return startProgram(port, cores, (folder) => ['nats-server', '-c', join(folder, SETTINGS)], settings)
    },
  },
  'node-http': { title: 'bare `node:http` handler', speaks: 'ws', paths: NO_PATHS, post: POST, start: node('peers/http-post.ts') },
  'bare-post': { title: 'bare parser on `node:net`', speaks: 'ws', paths: NO_PATHS, post: POST, start: node('peers/bare-post.ts') },
} as const satisfies Record<string, Contender>

export type ContenderName = keyof typeof CONTENDERS

/** Those that carry WebSockets. */
export const FAN_OUT: readonly ContenderName[] = ['floor', 'waystation', 'bare-node', 'ws-loop', 'socket.io', 'nchan', 'nats']
/** Those that take a POST. */
export const POSTED: readonly ContenderName[] = ['waystation', 'node-http', 'bare-post', 'nchan']

/** Waystation with its defaults, in a folder of its own. */
export async function startHub({ cores, profile }: Pick<Site, 'cores' | 'profile'>): Promise<Running> {
  const folder = mkdtempSync(join(tmpdir(), 'waystation-bench-'))
  const flags = [...NODE_FLAGS, ...(profile === undefined ? [] : ['--cpu-prof', `--cpu-prof-dir=${profile}`])]
  const hub = await startServer('stated-hub.ts', cores, flags, '/proc', [JSON.stringify({ dataDir: folder })])
  return {
    port: hub.port,
    pids: hub.pids,
    usage: hub.usage,
    async [Symbol.asyncDispose]() {
      await hub[Symbol.asyncDispose]()
      rmSync(folder, { recursive: true, force: true })
    },
  }
}
