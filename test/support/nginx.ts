import { spawnSync } from 'node:child_process'
import { readFileSync, writeFileSync } from 'node:fs'
import { createServer, type AddressInfo } from 'node:net'
import { join } from 'node:path'
import type { TestContext } from 'node:test'
import { fileURLToPath } from 'node:url'
import { temporaryFolder } from './certificates.ts'
import { NGINX } from './parts.ts'
import { run } from './process.ts'

/** The configuration that operators copy. */
export const NGINX_CONF = fileURLToPath(new URL('../../examples/nginx/nginx.conf', import.meta.url))

export interface TestNginx {
  readonly port: number
  readonly url: string
  readonly ws: string
  /** Its error log. */
  log(): string
}

export interface NginxPlaces {
  /** The ports of the hubs. */
  readonly hubs: readonly number[]
  /** The port of the auth server. */
  readonly auth: number
  /** Times and sizes to be other ones: what stands in the file, and what is to stand there. */
  readonly change?: Readonly<Record<string, string>>
  /** Further lines of the http block. */
  readonly extra?: string
}

/**
 * Starts the real nginx with the example's configuration, ports and folders filled in: a child in the foreground, with
 * everything that it writes in a folder of its own.
 */
export async function startNginx(t: TestContext, places: NginxPlaces): Promise<TestNginx> {
  const folder = temporaryFolder(t)
  // Between looking for a free port and taking it, somebody else may; then nginx ends, and others are looked for.
  for (let attempt = 1; ; attempt++) {
    const ports = await freePorts(2)
    const file = join(folder, 'nginx.conf')
    writeFileSync(file, filled(folder, ports as [number, number], places))
    const started = await launch(t, folder, file, ports[0] as number)
    if (typeof started !== 'string') return started
    if (attempt === 5 || !started.includes('Address already in use')) throw new Error(`nginx does not start:\n${started}`)
  }
}

async function launch(t: TestContext, folder: string, file: string, port: number): Promise<TestNginx | string> {
  let end = (): Promise<unknown> => Promise.resolve()
  // Registered before the child's own end, which is without mercy: the master has to see its workers off.
  t.after(() => end())
  const user = process.getuid?.() === 0 ? ' user root;' : ''
  const child = run(t, NGINX.path as string, ['-p', folder, '-c', file, '-g', `daemon off; pid ${join(folder, 'nginx.pid')};${user}`])
  let gone = false
  const exited = child.exited.then(() => (gone = true))
  end = () => {
    if (!gone) child.child.kill('SIGTERM')
    return exited
  }
  while (!gone && !(await answers(port))) await new Promise((resolve) => setTimeout(resolve, 20))
  if (gone) return child.stderr()
  return { port, url: `http://127.0.0.1:${port}`, ws: `ws://127.0.0.1:${port}`, log: child.stderr }
}

/** Whether what answers on the port is nginx: it refuses this by itself, without asking anybody. */
async function answers(port: number): Promise<boolean> {
  const response = await fetch(`http://127.0.0.1:${port}/_/`).catch(() => undefined)
  return response?.status === 404 && (response.headers.get('server') ?? '').startsWith('nginx')
}

/** The example's configuration in these places. A place that it does not name exactly once is a mistake here or there. */
function filled(folder: string, [front, decode]: readonly [number, number], places: NginxPlaces): string {
  const temp = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map((name) => `${name}_temp_path ${join(folder, name)};`)
  const swaps: [from: string | RegExp, to: string][] = [
    ['worker_processes auto;', 'worker_processes 2;'],
    ['worker_rlimit_nofile 65536;', ''],
    ['worker_connections 16384;', 'worker_connections 512;'],
    [/^http \{$/m, ['http {', 'access_log off;', ...temp, places.extra ?? ''].join('\n')],
    ['listen 8080;', `listen 127.0.0.1:${front};`],
    ['listen 127.0.0.1:8109;', `listen 127.0.0.1:${decode};`],
    ['server 127.0.0.1:8109;', `server 127.0.0.1:${decode};`],
    ['server 127.0.0.1:8100;', `server 127.0.0.1:${places.auth};`],
    [/^ +server 127\.0\.0\.1:8101(.*)\n +server 127\.0\.0\.1:8102.*$/m, places.hubs.map((port) => `server 127.0.0.1:${port}$1`).join('\n')],
    ...Object.entries(places.change ?? {}),
  ]
  return swaps.reduce((text, [from, to]) => {
    const times = text.split(typeof from === 'string' ? from : new RegExp(from.source.replace('(.*)', '.*'), 'm')).length - 1
    if (times !== 1) throw new Error(`nginx.conf has ${String(from)} ${times} times`)
    return text.replace(from, to)
  }, readFileSync(NGINX_CONF, 'utf8'))
}

async function freePorts(n: number): Promise<number[]> {
  const servers = await Promise.all(Array.from({ length: n }, () => new Promise<ReturnType<typeof createServer>>((resolve) => {
    const server = createServer().listen(0, '127.0.0.1', () => resolve(server))
  })))
  const ports = servers.map((server) => (server.address() as AddressInfo).port)
  await Promise.all(servers.map((server) => new Promise((resolve) => server.close(resolve))))
  return ports
}

/** What `nginx -t` says of the file as it stands. */
export function checkNginxConf(t: TestContext): string {
  const folder = temporaryFolder(t)
  const { stderr } = spawnSync(NGINX.path as string, ['-t', '-p', folder, '-c', NGINX_CONF, '-g', `pid ${join(folder, 'nginx.pid')};`], { encoding: 'utf8' })
  return stderr
}
