import { spawn, type ChildProcess } from 'node:child_process'
import { readdirSync, readlinkSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import type { FromServer, Usage } from './child.ts'
import { read } from './machine.ts'
import type { FromLoad, Seen, Task } from './task.ts'

/** Long enough for a server that is a minute behind to catch up. */
const PATIENCE_MS = 180_000
/** `/proc` counts in hundredths of a second on every Linux that Node runs on. */
const TICKS_PER_SECOND = 100
const KIB = 1024

/** One core, or several as `taskset` reads them (`0,1`), or whichever the system gives. */
export type Cores = number | string | undefined

/** A command line that is held to these cores. */
export function pinnedTo(cores: Cores, command: readonly string[]): string[] {
  return cores === undefined ? [...command] : ['taskset', '-c', String(cores), ...command]
}

/** As `npm start` starts the hub; whatever else runs on Node gets the same. */
export const NODE_FLAGS = ['--max-semi-space-size=4'] as const

/** Starts a file of the bench as a process of its own, on one core if one is given. It ends when it is let go of. */
function start(file: string, core: Cores, nodeFlags: readonly string[] = [], args: readonly string[] = []): ChildProcess {
  const pinned = pinnedTo(core, [process.execPath, ...nodeFlags, fileURLToPath(new URL(file, import.meta.url)), ...args])
  return spawn(pinned[0] as string, pinned.slice(1), {
    stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
    env: { ...process.env, NODE_OPTIONS: '' },
  })
}

/** The next thing that a process says. Rejects when it ends instead. */
function hear<T>(child: ChildProcess, who: string): Promise<T> {
  return new Promise((resolve, reject) => {
    const late = setTimeout(() => done(() => reject(new Error(`the ${who} said nothing for ${PATIENCE_MS / 1000} seconds`))), PATIENCE_MS)
    const onMessage = (message: unknown): void => done(() => resolve(message as T))
    const onExit = (code: number | null, signal: string | null): void => done(() => reject(new Error(`the ${who} ended (${signal ?? code})`)))
    const onError = (error: Error): void => done(() => reject(error))
    child.on('message', onMessage).on('exit', onExit).on('error', onError)
    function done(then: () => void): void {
      clearTimeout(late)
      child.off('message', onMessage).off('exit', onExit).off('error', onError)
      then()
    }
  })
}

/** Lets go, and waits for the end. */
async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return
  const gone = new Promise((resolve) => child.once('exit', resolve))
  if (child.connected) child.disconnect()
  const late = setTimeout(() => child.kill('SIGKILL'), 10_000)
  await gone
  clearTimeout(late)
}

/** Something that is measured: where it listens, its processes, and what they have used. */
export interface Running extends AsyncDisposable {
  readonly port: number
  readonly pids: readonly number[]
  usage(): Promise<Usage>
}

export interface MeasuredServer extends Running {
  /** Where callers and workers of services connect; 0 where there is no such port. */
  readonly services: number
  /** Bodies that the server has open on disk though they have no name any more; nothing where the system does not tell. */
  openBodies(): number
  /** Ends it without a warning. */
  kill(): Promise<void>
}

/**
 * @param proc where the system shows its processes; where it does not, the server itself is asked
 * @throws {Error} when it does not start
 */
export async function startServer(file: string, core: Cores, nodeFlags: readonly string[], proc = '/proc', args: readonly string[] = []): Promise<MeasuredServer> {
  const child = start(file, core, nodeFlags, args)
  const heard = await hear<FromServer>(child, 'server')
  return {
    port: 'ready' in heard ? heard.ready : 0,
    pids: [child.pid as number],
    services: 'ready' in heard ? heard.services ?? 0 : 0,
    async usage() {
      const seen = fromProc(`${proc}/${child.pid}`)
      if (seen !== undefined) return seen
      child.send('usage')
      const answer = await hear<FromServer>(child, 'server')
      return 'usage' in answer ? answer.usage : { cpu: NaN, rss: NaN, peak: NaN }
    },
    openBodies: () => openFiles(`${proc}/${child.pid}/fd`).filter((path) => path.includes('.body')).length,
    async kill() {
      const gone = new Promise((resolve) => child.once('exit', resolve))
      child.kill('SIGKILL')
      await gone
    },
    [Symbol.asyncDispose]: () => end(child),
  }
}

function openFiles(folder: string): string[] {
  try {
    return readdirSync(folder).flatMap((name) => {
      try {
        return readlinkSync(`${folder}/${name}`)
      } catch {
        return []
      }
    })
  } catch {
    return []
  }
}

/** User and system time, and resident memory, as the system counts them; nothing where it does not show them. */
export function fromProc(folder: string): Usage | undefined {
  const stat = read(`${folder}/stat`)
  const status = read(`${folder}/status`) ?? ''
  const rss = /^VmRSS:\s*(\d+)/m.exec(status)?.[1]
  const peak = /^VmHWM:\s*(\d+)/m.exec(status)?.[1]
  if (stat === undefined || rss === undefined || peak === undefined) return undefined
  // Behind the name, which may hold anything, stand state (3), ..., utime (14), stime (15).
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
  return { cpu: (Number(fields[11]) + Number(fields[12])) / TICKS_PER_SECOND, rss: Number(rss) * KIB, peak: Number(peak) * KIB }
}

/**
 * Runs the generator once.
 * @param look called when the counting begins and when it ends
 * @throws {Error} when anything went wrong: the figures would be worth nothing
 */
export async function runLoad(port: number, task: Task, core: number | undefined, look: (phase: 'begin' | 'end') => Promise<void>, nodeFlags: readonly string[] = []): Promise<Seen> {
  const child = start('load.ts', core, nodeFlags)
  try {
    child.send({ port, task })
    let seen: Seen | undefined
    for (;;) {
      const heard = await hear<FromLoad>(child, 'load generator')
      if ('failed' in heard) throw new Error(heard.failed)
      if ('done' in heard) break
      await look('begin' in heard ? 'begin' : 'end')
      if ('end' in heard) seen = heard.end
      child.send('go on')
    }
    if (seen === undefined) throw new Error('the load generator saw nothing')
    return seen
  } finally {
    await end(child)
  }
}
