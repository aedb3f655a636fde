import { lstatSync, readFileSync, readlinkSync, statSync } from 'node:fs'
import type { Socket } from 'node:net'
import { setTimeout as pause } from 'node:timers/promises'
import { WaystationError } from '../core/errors.ts'
import type { Snapshot, Status } from '../server/control-messages.ts'
import { connectControl } from '../server/control-socket.ts'
import type { Places } from './places.ts'

/** ms that a hub has for its answer. */
const PATIENCE = 5_000
/** Times that one is asked again that hangs up, and ms in between. */
const [AGAIN, PAUSE] = [20, 50]
/** Characters of one answer; a snapshot has some 100,000 at most. */
const MOST_CHARACTERS = 4_194_304

export type Found =
  | { readonly state: 'running'; readonly status: Status }
  /** It is there and does not answer. The process id is known when it is proved. */
  | { readonly state: 'silent'; readonly pid: number | undefined }
  /** With the process id that a killed hub has left in the pid file. */
  | { readonly state: 'gone'; readonly left: number | undefined }

/**
 * Finds the hub of a data folder. A number in a pid file proves nothing, because numbers are given again: what counts is
 * who answers on the control socket, and where nobody does, whether the process was started with this pid file.
 * @throws {WaystationError} `unreachable` when this user may not ask
 */
export async function findHub(places: Places): Promise<Found> {
  for (let again = 0; ; again++) {
    const found = await ask(places)
    if (found !== 'no answer') return found
    // Whoever hangs up without a word is about to be gone: some threads of a killed process outlive the first.
    if (again === AGAIN) return { state: 'silent', pid: undefined }
    await pause(PAUSE)
  }
}

async function ask(places: Places): Promise<Found | 'no answer'> {
  const written = readPid(places.pid)
  const proved = written !== undefined && isOurs(written, places.pid) ? written : undefined
  const socket = await open(places)
  if (socket === undefined) return proved === undefined ? { state: 'gone', left: written } : { state: 'silent', pid: proved }
  using _ = { [Symbol.dispose]: () => socket.destroy() }
  let isLate = false
  socket.setTimeout(PATIENCE, () => {
    isLate = true
    socket.destroy()
  })
  socket.write('{"ask":"status"}\n')
  for await (const line of answersOf(socket)) return { state: 'running', status: line as Status }
  return isLate || proved !== undefined ? { state: 'silent', pid: proved } : 'no answer'
}

/**
 * The snapshots of a hub, the first at once and then one each second, until it ends or the signal aborts.
 * @throws {WaystationError} `unreachable` when this user may not ask
 */
export async function watchHub(places: Places, signal: AbortSignal): Promise<AsyncIterable<Snapshot> | undefined> {
  const socket = await open(places)
  if (socket === undefined) return undefined
  if (signal.aborted) socket.destroy()
  signal.addEventListener('abort', () => socket.destroy(), { once: true })
  socket.setTimeout(PATIENCE, () => socket.destroy())
  socket.write('{"ask":"watch"}\n')
  return answersOf(socket) as AsyncIterable<Snapshot>
}

async function open(places: Places): Promise<Socket | undefined> {
  try {
    return await connectControl(places.folder)
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    if (code === 'ENOENT' || code === 'ECONNREFUSED' || code === 'ENOTDIR' || code === 'ENOTSOCK') return undefined
    const why = code === 'EACCES' || code === 'EPERM' ? 'this user may not ask it; only the user that it runs as and root may' : (error as Error).message
    throw new WaystationError('unreachable', `${places.folder}: ${why}`, error)
  }
}

/** What comes, line by line. Ends when the connection does. */
async function* answersOf(socket: Socket): AsyncGenerator<unknown> {
  let rest = ''
  socket.setEncoding('utf8')
  try {
    for await (const text of socket as AsyncIterable<string>) {
      rest += text
      if (rest.length > MOST_CHARACTERS) return
      const lines = rest.split('\n')
      rest = lines.pop() as string
      for (const line of lines) yield read(line)
    }
  } catch (error) {
    // Whoever ends a hub ends its connections, too.
    if (error instanceof WaystationError) throw error
  } finally {
    socket.destroy()
  }
}

function read(line: string): unknown {
  const answer = JSON.parse(line) as { error?: string }
  if (answer.error !== undefined) throw new WaystationError('unreachable', answer.error)
  return answer
}

/** The number in a pid file. */
export function readPid(file: string): number | undefined {
  try {
    const [, digits] = /^(\d{1,10})\s*$/.exec(readFileSync(file, 'utf8')) ?? []
    return digits === undefined || Number(digits) < 2 ? undefined : Number(digits)
  } catch {
    return undefined
  }
}

/**
 * Whether a process belongs to the user that a file belongs to: who answers on a socket may name any process, and root may
 * end any. Without /proc nobody can say, and it is so.
 */
export function haveOneOwner(pid: number, file: string): boolean {
  const process = statSync(`/proc/${pid}`, { throwIfNoEntry: false })
  const owner = lstatSync(file, { throwIfNoEntry: false })
  return process === undefined || owner === undefined || process.uid === owner.uid
}

/** Within which our process ids count. */
export function pidSpace(): string | null {
  try {
    return readlinkSync('/proc/self/ns/pid')
  } catch {
    return null
  }
}

/** Whether there is such a process, other than one that has ended and that nobody has buried. */
export function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0)
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM'
  }
  try {
    return !/^\d+ \([^]*\) [ZX] /.test(readFileSync(`/proc/${pid}/stat`, 'latin1'))
  } catch {
    return true
  }
}

/** Whether a process was started as the hub of this pid file. Without /proc nobody can say. */
function isOurs(pid: number, file: string): boolean {
  try {
    const words = readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0')
    return isAlive(pid) && words.includes('serve') && words[words.lastIndexOf('--pid-file') + 1] === file
  } catch {
    return false
  }
}
