import { spawn, type ChildProcess } from 'node:child_process'
import { mkdir, open, type FileHandle } from 'node:fs/promises'
import { dirname } from 'node:path'
import { fileURLToPath } from 'node:url'
import { WaystationError } from '../core/errors.ts'
import type { Command, Io } from './command.ts'
import { findHub } from './find-hub.ts'
import { readFlags } from './flags.ts'
import { placesIn, type Places } from './places.ts'
import { readConfiguration, serve, type Ready } from './serve.ts'

/** Bytes of the log that are shown when a hub did not start. */
const MOST_SHOWN = 65_536

const MAIN = fileURLToPath(new URL(import.meta.url.endsWith('.ts') ? './main.ts' : './main.js', import.meta.url))

export const start: Command = {
  name: 'start',
  usage: '[options]',
  summary: 'Starts the hub in the background, with a pid file and a log file in its data folder.',
  flags: serve.flags,
  takesOptions: true,
  async run(args, io) {
    const { options } = await readConfiguration(args, io)
    const places = placesIn(options.dataDir, readFlags(args, serve.flags, { withOptions: true }).own, io.cwd)
    const found = await findHub(places)
    if (found.state !== 'gone') {
      const where = found.state === 'running' ? `pid ${found.status.pid}, ${found.status.address}` : `${found.pid === undefined ? '' : `pid ${found.pid}, `}but it does not answer`
      io.err.write(`waystation start: it runs already: ${where}\n`)
      return 1
    }
    await using log = await openLog(places)
    const { size: before } = await log.stat()
    const child = spawn(process.execPath, [...process.execArgv, MAIN, 'serve', ...withPlaces(args, places)], {
      cwd: io.cwd, env: io.env, detached: true, stdio: ['ignore', log.fd, log.fd, 'ipc'],
    })
    const outcome = await settled(child, io)
    if ('ready' in outcome) {
      io.out.write(`${outcome.ready.greeting}  in the background: pid ${child.pid}, log ${places.log}\n`)
      io.err.write(outcome.ready.warning)
      return 0
    }
    io.err.write(await written(log, before))
    if (io.stop.aborted) return 1
    if (outcome.signal !== null) io.err.write(`waystation start: the hub was ended by ${outcome.signal}\n`)
    return outcome.code === null || outcome.code === 0 ? 1 : outcome.code
  },
}

/** Opened here already, so that what a hub says before it has read its options is not lost. */
async function openLog(places: Places): Promise<FileHandle> {
  try {
    await mkdir(places.folder, { recursive: true, mode: 0o700 })
    await mkdir(dirname(places.log), { recursive: true, mode: 0o700 })
    return await open(places.log, 'a+', 0o600)
  } catch (error) {
    throw new WaystationError('config_invalid', `${places.log}: ${(error as Error).message}`, error)
  }
}

/** The same command line, with the places behind it: the last ones count. */
function withPlaces(args: readonly string[], places: Places): string[] {
  const end = args.includes('--') ? args.indexOf('--') : args.length
  return args.toSpliced(end, 0, '--log-file', places.log, '--pid-file', places.pid)
}

type Outcome = { readonly ready: Ready } | { readonly code: number | null; readonly signal: NodeJS.Signals | null }

/** Waits until the hub listens or has ended. When it is time to stop first, the hub is told so, too. */
function settled(child: ChildProcess, io: Io): Promise<Outcome> {
  const stop = (): void => void child.kill('SIGTERM')
  io.stop.addEventListener('abort', stop, { once: true })
  return new Promise<Outcome>((done, failed) => {
    child.once('error', failed)
    child.once('message', (ready) => {
      child.disconnect()
      child.unref()
      done({ ready: ready as Ready })
    })
    child.once('exit', (code, signal) => done({ code, signal }))
  }).finally(() => io.stop.removeEventListener('abort', stop))
}

async function written(log: FileHandle, from: number): Promise<string> {
  const { size } = await log.stat()
  const bytes = Buffer.alloc(Math.min(size - from, MOST_SHOWN))
  const { bytesRead } = await log.read(bytes, 0, bytes.length, from)
  return bytes.toString('utf8', 0, bytesRead)
}
