import { createWriteStream } from 'node:fs'
import { open } from 'node:fs/promises'
import type { AddressInfo } from 'node:net'
import { WaystationError } from '../core/errors.ts'
import { effective, fromProgram } from '../server/config.ts'
import { helpOf, type Command, type Io } from './command.ts'
import { parseFlags } from './flags.ts'
import { stopped } from './serve.ts'

/** pinghub, section 1.1: its flags, its defaults, and its exit statuses. */
export const pinghub: Command = {
  name: 'pinghub',
  usage: '[-addr=:8081] [-origin=https://ws.example.com] [-mport=8082] [-log=/path]',
  summary: 'Runs as a drop-in for pinghub: its flags, its whole path space, its metrics port, and nothing else.',
  flags: {
    addr: { value: 'ADDRESS', help: 'host:port, :port or the path of a UNIX socket (:8081)' },
    origin: { value: 'ORIGIN', help: 'the page origin that may connect, scheme://host[:port]' },
    mport: { value: 'PORT', help: 'the port of the metrics on 127.0.0.1 (8082)' },
    log: { value: 'FILE', help: 'absolute path of a log file' },
  },
  takesOptions: false,
  async run(args, io) {
    const own = flagsOf(args, io)
    if (own === undefined) return 2
    try {
      await run(settings(own), io)
      return 0
    } catch (error) {
      // With the original, 2 is for flags that it does not know, 1 for values that it cannot use.
      if (!(error instanceof WaystationError)) throw error
      io.err.write(`waystation pinghub: ${error.message}\n`)
      return 1
    }
  },
}

async function run({ addr, origin, mport, log: file }: ReturnType<typeof settings>, io: Io): Promise<void> {
  const log = file === undefined ? undefined : await openLog(file)
  const { options } = effective([fromProgram({ addr, origin, sse: false, lonelyps: false, wspubsub: false, operations: false, logLevel: 'silent' })])
  const [{ compose }, { listenPinghubMetrics }] = await Promise.all([import('../server/create-server.ts'), import('../server/pinghub-metrics.ts')])
  const server = compose(options)
  await server.listen()
  const metrics = await listenPinghubMetrics(mport, () => server.pinghubReport()).catch(async (error: WaystationError) => {
    await server.close(AbortSignal.abort())
    throw new WaystationError('listen_failed', error.detail.replace('--addr', '-mport'), error)
  })
  log?.(`pinghub protocol on ${server.url}, metrics on 127.0.0.1:${(metrics.address() as AddressInfo).port}, pid ${process.pid}`)
  await stopped(io.stop)
  metrics.close()
  await server.close()
  log?.(`stopped, pid ${process.pid}`)
}

/** What pinghub's flags state, with its defaults. A relative log file counts as none, as with the original. */
export function settings(own: Readonly<Record<string, string>>): { addr: string; origin: string[]; mport: number; log: string | undefined } {
  const { addr = ':8081', origin = '', mport = '8082', log } = own
  if (origin !== '' && !/^[a-z][a-z0-9+.-]*:\/\/[^*]/i.test(origin)) {
    throw new WaystationError('config_invalid', `-origin=${origin}: write scheme://host[:port], for example -origin=https://ws.example.com`)
  }
  if (!/^\d{1,5}$/.test(mport) || Number(mport) > 65_535) throw new WaystationError('config_invalid', `-mport=${mport}: must be a port`)
  return { addr, origin: origin === '' ? [] : [origin], mport: Number(mport), log: log?.startsWith('/') === true ? log : undefined }
}

function flagsOf(args: readonly string[], io: Io): Record<string, string> | undefined {
  try {
    // One dash before a long name is how the flags of the original are written.
    return parseFlags(args, pinghub.flags, { oneDash: true }).own as Record<string, string>
  } catch (error) {
    io.err.write(`${(error as WaystationError).detail}\n${helpOf(pinghub)}`)
    return undefined
  }
}

/** Everything the process prints goes into the file from now on, as with the original. */
async function openLog(path: string): Promise<(line: string) => void> {
  const handle = await open(path, 'a+', 0o666).catch((error: Error) => {
    throw new WaystationError('config_invalid', `-log=${path}: ${error.message}`, error)
  })
  await handle.close()
  const file = createWriteStream(path, { flags: 'a' })
  const { stdout, stderr } = process
  const [toOut, toErr] = [stdout.write.bind(stdout), stderr.write.bind(stderr)]
  file.on('error', (error) => {
    // A full disk is no reason to end a hub. What it has to say from now on it says where it would without a log.
    Object.assign(stdout, { write: toOut })
    Object.assign(stderr, { write: toErr })
    toErr(`waystation pinghub: -log=${path}: ${error.message}\n`)
  })
  process.stdout.write = file.write.bind(file) as typeof process.stdout.write
  process.stderr.write = file.write.bind(file) as typeof process.stderr.write
  return (line) => void file.write(`${stamp()} ${line}\n`)
}

/** `YYYY/MM/DD HH:MM:SS.ffffff` in UTC. */
function stamp(): string {
  const micros = Math.floor((performance.timeOrigin + performance.now()) * 1000)
  const iso = new Date(Math.floor(micros / 1000)).toISOString()
  return `${iso.slice(0, 10).replaceAll('-', '/')} ${iso.slice(11, 19)}.${String(micros % 1_000_000).padStart(6, '0')}`
}
