import { createReadStream } from 'node:fs'
import { open, rm } from 'node:fs/promises'
import { resolve } from 'node:path'
import { pipeline } from 'node:stream/promises'
import { WaystationError } from '../core/errors.ts'
import { readDatabase, withoutPassword } from '../server/database.ts'
import { copy, exportLines, importLines, type MoveParts, type Moved, type Tally } from '../server/moves.ts'
import type { Command, Io } from './command.ts'
import { CONFIG_FLAG, missingFile, readWish, REGISTRY_OPTIONS, withRegistry, type DatabaseOptions } from './registry-options.ts'

const flags = {
  out: { value: 'FILE', help: 'export: a new file, readable by you alone (standard output)' },
  from: { value: 'FILE|URL', help: 'migrate: the database that is read, as the option database is written' },
  to: { value: 'FILE|URL', help: 'migrate: the database that is written' },
  ...CONFIG_FLAG,
} as const

const TAKES = { export: ['out'], import: [], migrate: ['from', 'to'] } as const

/** The status of a command that a signal ended before it was done. */
const INTERRUPTED = 130
/** Between two words of how far it is: things where nobody watches, milliseconds where somebody does. */
const [EVERY, EVERY_MS] = [10_000, 1_000]

/** Everything that a registry keeps, from one database to another. The hubs may run meanwhile. */
export const registry: Command = {
  name: 'registry',
  usage: 'export [--out FILE] | import [FILE|-] | migrate --from DATABASE --to DATABASE',
  summary: 'Moves webhook registrations, API keys and all else that the database keeps: into a file, out of it, or into another database.',
  words: {
    export: 'writes everything as JSON, one thing to a line; the file holds secrets',
    import: 'puts in what is missing, from such a file or from standard input; what is there stays as it is',
    migrate: 'does both at once, without a file',
  },
  flags,
  takesOptions: true,
  shows: REGISTRY_OPTIONS,
  async run(args, io) {
    const { what, words, own, options } = await readWish(args, flags, TAKES, io)
    const most = what === 'import' ? 1 : 0
    if (words.length > most) throw new WaystationError('bad_request', `${JSON.stringify(words[most])} is one word too many`)
    try {
      switch (what) {
        case 'export': return await exportTo(typeof own['out'] === 'string' ? resolve(io.cwd, own['out']) : undefined, options, io)
        case 'import': return await importFrom(words[0] ?? '-', options, io)
        case 'migrate': return await migrate(own['from'], own['to'], options, io)
        default: throw new Error(`nothing does ${JSON.stringify(what satisfies never)}`)
      }
    } catch (error) {
      if (io.stop.aborted) {
        io.err.write('waystation registry: it was stopped before the end; it may be done again\n')
        return INTERRUPTED
      }
      const { code, syscall, message } = error as NodeJS.ErrnoException
      if (error instanceof WaystationError || code === undefined || syscall === undefined) throw error
      io.err.write(`waystation registry: ${code === 'EEXIST' ? `${String(own['out'])} is there already; choose another --out, or move it away` : message}\n`)
      return 1
    }
  },
}

async function exportTo(file: string | undefined, options: DatabaseOptions, io: Io): Promise<number> {
  const missing = missingFile(options)
  if (missing !== undefined) return failed(missing, io)
  const tally: Tally = new Map()
  await withRegistry(options, async (from) => {
    const lines = exportLines(from.everything(), tally, partsOf(io))
    if (file === undefined) await pipeline(lines, io.out, { end: false, signal: io.stop })
    else await writeNew(file, lines, io.stop)
  })
  io.err.write(`exported ${summary(tally)}${file === undefined ? '' : ` to ${file}`}\n`)
  return 0
}

/** A file of its own, for its owner alone, or none: it holds secrets, and half of it is of no use. */
async function writeNew(file: string, lines: AsyncIterable<string>, signal: AbortSignal): Promise<void> {
  const handle = await open(file, 'wx', 0o600)
  try {
    await handle.writeFile(lines, { signal })
    await handle.sync()
    await handle.close()
  } catch (error) {
    await handle.close().catch(() => undefined)
    await rm(file, { force: true })
    throw error
  }
}

async function importFrom(name: string, options: DatabaseOptions, io: Io): Promise<number> {
  if (name === '-' && io.in.isTTY === true) io.err.write('reads JSON lines from the terminal until Ctrl-D\n')
  const bytes = name === '-' ? io.in : createReadStream(resolve(io.cwd, name))
  try {
    // Closed at once when it is time to stop, though nothing comes.
    io.stop.addEventListener('abort', () => bytes.destroy(), { once: true })
    const moved = await withRegistry(options, (to) => importLines(bytes, to, partsOf(io)))
    io.out.write(`read ${summary(moved.tally)}; ${putInOf(moved, 'in')}\n`)
    return 0
  } catch (error) {
    // What is wrong with the file is no misuse of the command.
    if (error instanceof WaystationError && error.code === 'bad_request' && !io.stop.aborted) return failed(`${name === '-' ? 'standard input' : name}: ${error.detail}`, io)
    throw error
  }
}

async function migrate(from: string | true | undefined, to: string | true | undefined, options: DatabaseOptions, io: Io): Promise<number> {
  const source = databaseOf('from', from, options)
  const target = databaseOf('to', to, options)
  if (sameText(source.database) === sameText(target.database)) throw new WaystationError('bad_request', '--from and --to are the same database')
  const missing = missingFile(source)
  if (missing !== undefined) return failed(missing, io)
  const moved = await withRegistry(source, (one) => withRegistry(target, (other) => copy(one, other, partsOf(io))))
  io.out.write(`read ${summary(moved.tally)} of ${withoutPassword(source.database)}; ${putInOf(moved, `into ${withoutPassword(target.database)}`)}\n`)
  return 0
}

/** @throws {WaystationError} `bad_request` */
function databaseOf(flag: 'from' | 'to', stated: string | true | undefined, { dataDir }: DatabaseOptions): DatabaseOptions {
  if (typeof stated !== 'string' || stated === '') throw new WaystationError('bad_request', `say which database: --${flag} FILE|URL`)
  const read = readDatabase(stated)
  if (typeof read === 'string') throw new WaystationError('bad_request', `--${flag} ${read}`)
  return { database: stated, dataDir }
}

function sameText(database: string): string {
  const read = readDatabase(database)
  return JSON.stringify(typeof read !== 'string' && read.kind === 'sqlite' ? resolve(read.file) : read)
}

function partsOf(io: Io): MoveParts {
  const watched = (io.err as { isTTY?: boolean }).isTTY === true
  let [saidAt, said] = [performance.now(), 0]
  return {
    signal: io.stop,
    progress(count) {
      const now = performance.now()
      if (watched ? now - saidAt < EVERY_MS : Math.floor(count / EVERY) === Math.floor(said / EVERY)) return
      io.err.write(`${count} so far\n`)
      saidAt = now
      said = count
    },
  }
}

const NAMES: Readonly<Record<string, string>> = { registration: 'registrations', notice: 'notices', key: 'API keys', hubSecret: 'hub secrets', signature: 'used signatures' }

function summary(tally: Tally): string {
  const total = [...tally.values()].reduce((sum, n) => sum + n, 0)
  const each = [...tally].map(([type, n]) => `${n} ${n === 1 ? (NAMES[type] ?? type).replace(/s$/, '') : NAMES[type]}`)
  return each.length === 0 ? 'nothing' : `${total} ${total === 1 ? 'thing' : 'things'} (${each.join(', ')})`
}

function putInOf({ tally, put }: Moved, where: string): string {
  const total = [...tally.values()].reduce((sum, n) => sum + n, 0)
  return put === total ? `all of it was put ${where}` : `${put} were put ${where}, and ${total - put} were there already, or have run out`
}

function failed(problem: string, io: Io): number {
  io.err.write(`waystation registry: ${problem}\n`)
  return 1
}
