import { spawn, spawnSync, type ChildProcess } from 'node:child_process'
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { connect, createServer, type AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { delimiter, join } from 'node:path'
import type { Usage } from './child.ts'
import { read } from './machine.ts'
import { fromProc, pinnedTo, type Cores, type Running } from './processes.ts'

/* Servers that are no part of this program: started in a folder of their own, ended by their process id. */

const START_MS = 10_000
const END_MS = 10_000
/** Debian keeps servers where the search path of an ordinary user does not look. */
const ENV = { ...process.env, PATH: [process.env['PATH'] ?? '', '/usr/sbin', '/usr/local/sbin'].join(delimiter) }

/** What a program says of itself, on either output; nothing where it is not installed. */
export function says(name: string, flag: string): string | undefined {
  const { status, stdout, stderr } = spawnSync(name, [flag], { encoding: 'utf8', env: ENV })
  return status === 0 ? stdout + stderr : undefined
}

/** A port that nobody listens on at this moment. */
export async function freePort(): Promise<number> {
  const server = createServer()
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done))
  const { port } = server.address() as AddressInfo
  await new Promise((done) => server.close(done))
  return port
}

/**
 * Starts a program, with a file of settings where one is stated, and waits until it listens.
 * @param command given the folder in which it runs
 * @param workers processes that it starts, whose work counts, too; it may listen before they are there
 * @throws {Error} when it ends instead, with the last that it said
 */
export async function startProgram(port: number, cores: Cores, command: (folder: string) => readonly string[], settings?: string, workers = 0): Promise<Running> {
  const folder = mkdtempSync(join(tmpdir(), 'waystation-bench-peer-'))
  if (settings !== undefined) writeFileSync(join(folder, SETTINGS), settings)
  const [name = '', ...args] = pinnedTo(cores, command(folder))
  const child = spawn(name, args, { cwd: folder, env: ENV, stdio: ['ignore', 'ignore', 'pipe'] })
  const { pid } = child
  let said = ''
  child.stderr.on('data', (chunk: Buffer) => (said = (said + chunk.toString()).slice(-400)))
  child.on('error', (error) => (said = error.message))
  const stop = (): boolean => child.kill('SIGTERM')
  // Whatever way the bench ends.
  process.once('exit', stop)
  async function end(): Promise<void> {
    process.off('exit', stop)
    await ended(child)
    rmSync(folder, { recursive: true, force: true })
  }
  try {
    const there = async (): Promise<boolean> => await answers(port) && (!existsSync('/proc/thread-self/children') || childrenOf(pid as number).length >= workers)
    await holds(there, () => (child.exitCode ?? child.signalCode) !== null || pid === undefined ? said : undefined)
  } catch (error) {
    await end()
    throw error
  }
  const pids = [pid as number, ...childrenOf(pid as number)]
  return { port, pids, usage: async () => sum(pids), [Symbol.asyncDispose]: end }
}

/** The file of settings, in the folder of the program. */
export const SETTINGS = 'settings.conf'

async function ended(child: ChildProcess): Promise<void> {
  if (child.pid === undefined || child.exitCode !== null || child.signalCode !== null) return
  const gone = new Promise((done) => child.once('exit', done))
  child.kill('SIGTERM')
  const late = setTimeout(() => child.kill('SIGKILL'), END_MS)
  await gone
  clearTimeout(late)
}

/** Settles when the program is there. */
async function holds(there: () => Promise<boolean>, over: () => string | undefined): Promise<void> {
  const deadline = performance.now() + START_MS
  while (!(await there())) {
    const said = over()
    if (said !== undefined) throw new Error(`it ended at once: ${said.trim()}`)
    if (performance.now() > deadline) throw new Error(`it does not listen after ${START_MS / 1000} seconds`)
    await new Promise((done) => setTimeout(done, 20))
  }
}

function answers(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1')
    const done = (answer: boolean): void => {
      socket.destroy()
      resolve(answer)
    }
    socket.on('connect', () => done(true)).on('error', () => done(false))
  })
}

/** nginx works in children. */
function childrenOf(pid: number): number[] {
  return (read(`/proc/${pid}/task/${pid}/children`) ?? '').split(' ').filter((text) => text !== '').map(Number)
}

function sum(pids: readonly number[]): Usage {
  const all = pids.flatMap((pid) => fromProc(`/proc/${pid}`) ?? [])
  const total = (name: keyof Usage): number => all.length < pids.length ? NaN : all.reduce((so, usage) => so + usage[name], 0)
  return { cpu: total('cpu'), rss: total('rss'), peak: total('peak') }
}
