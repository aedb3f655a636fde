import { randomBytes } from 'node:crypto'
import { existsSync } from 'node:fs'
import { mkdir, open, rm } from 'node:fs/promises'
import { join, relative, resolve } from 'node:path'
import { WaystationError } from '../core/errors.ts'
import { readDatabase, withoutPassword } from '../server/database.ts'
import { hint } from '../server/nearest.ts'
import { AUTHORIZATIONS, commonJsPackage, setupFiles, stateScheme, type Authorization, type SetupFile, type SetupPlan } from '../server/setup.ts'
import type { Command } from './command.ts'
import { readFlags } from './flags.ts'

const DATABASES = ['sqlite', 'rqlite', 'postgres'] as const
/** What is meant when only the kind is stated. */
const DEFAULTS = { sqlite: '', rqlite: 'rqlite://127.0.0.1:4001', postgres: 'postgres://127.0.0.1:5432/waystation' } as const
const SECRET_BYTES = 64

const SCHEMES = AUTHORIZATIONS.join('|')
const flags = {
  dir: { value: 'DIR', help: 'the folder to write to, made if it is missing (this folder)' },
  db: { value: DATABASES.join('|'), help: 'where subscriptions and API keys are kept (sqlite)' },
  database: { value: 'FILE|URL', help: 'the database itself: a SQLite file, postgres://user:password@host/name, rqlite://host:4001,host:4001 (a file in the data folder, or the one on this machine)' },
  'to-broadcasters-auth': { value: SCHEMES, help: 'how subscribers and publishers prove who they are (hmac)' },
  'to-broadcasters-secret': { value: 'SECRET', help: 'the secret of that scheme, for hmac 64 bytes in URL-safe base64 (a new one)' },
  'to-subscribers-auth': { value: SCHEMES, help: 'how the hub proves itself to them (hmac)' },
  'to-subscribers-secret': { value: 'SECRET', help: 'the secret of that scheme, likewise (a new one)' },
} as const

/** Section 8 of the lonelyps protocol; the folder need not be empty, and what is there is never written over. */
export const setup: Command = {
  name: 'setup',
  usage: '[options]',
  summary: 'Writes a configuration and secrets for a hub with lonelyps subscribers.',
  flags,
  takesOptions: false,
  async run(args, io) {
    const { dir, plan, given } = readPlan(args, io.cwd)
    const folder = resolve(io.cwd, dir)
    const files = setupFiles(plan)
    const problem = whyNot(folder, files)
    if (problem !== undefined) {
      io.err.write(`waystation setup: ${problem}. Nothing was written.\n`)
      return 1
    }
    try {
      await mkdir(folder, { recursive: true })
      await writeAll(folder, files)
    } catch (error) {
      io.err.write(`waystation setup: ${(error as Error).message}. Nothing was left behind.\n`)
      return 1
    }
    io.out.write(summary(plan, given, folder, files))
    const there = relative(io.cwd, folder)
    io.out.write(`\nnext: ${there === '' ? '' : `cd ${there} && `}waystation serve\n      (with --allow-private when subscribers are on this machine or in a private network)\n`)
    return 0
  },
}

interface Wanted {
  readonly dir: string
  readonly plan: SetupPlan
  /** Whether the secret of a direction was given. */
  readonly given: { readonly toBroadcaster: boolean; readonly toSubscriber: boolean }
}

/** @throws {WaystationError} `config_invalid`, with every problem and no secret */
function readPlan(args: readonly string[], cwd: string): Wanted {
  const { own, positionals, problems: found } = readFlags(args, flags, {})
  const problems = [...found, ...positionals.map((word) => `"${word}" is no option; options begin with --`)]
  const text = (name: keyof typeof flags): string | undefined => own[name] as string | undefined
  const oneOf = <T extends string>(name: keyof typeof flags, known: readonly [T, ...T[]]): T => {
    const value = text(name) ?? known[0]
    const meant = known.find((one) => one === value)
    if (meant === undefined) problems.push(`--${name} must be one of ${known.join(', ')}, not "${value}"${hint(value, known)}`)
    return meant ?? known[0]
  }
  const direction = (side: 'broadcasters' | 'subscribers') => {
    const type = oneOf<Authorization>(`to-${side}-auth`, AUTHORIZATIONS)
    const stated = stateScheme(type, text(`to-${side}-secret`), () => randomBytes(SECRET_BYTES).toString('base64url'))
    if (typeof stated !== 'string') return stated
    problems.push(`--to-${side}-secret cannot be used: ${stated}`)
    return { type: 'none' } as const
  }
  const db = oneOf('db', DATABASES)
  const dir = text('dir') ?? '.'
  if (dir === '') problems.push('--dir must name a folder')
  const database = text('database') ?? DEFAULTS[db]
  const read = readDatabase(database)
  if (typeof read === 'string') problems.push(`--database ${read}`)
  else if (text('db') !== undefined && read.kind !== db) problems.push(`--database is ${read.kind}, and --db ${db}`)
  const plan = { database: typeof read !== 'string' && read.kind === 'sqlite' && database !== '' ? resolve(cwd, database) : database, toBroadcaster: direction('broadcasters'), toSubscriber: direction('subscribers') }
  if (problems.length > 0) throw new WaystationError('config_invalid', problems.join('; '))
  return { dir, plan, given: { toBroadcaster: text('to-broadcasters-secret') !== undefined, toSubscriber: text('to-subscribers-secret') !== undefined } }
}

function whyNot(folder: string, files: readonly SetupFile[]): string | undefined {
  const there = files.map(({ name }) => join(folder, name)).filter((file) => existsSync(file))
  if (there.length > 0) return `${there.join(' and ')} ${there.length === 1 ? 'is' : 'are'} there already; choose another --dir, or move ${there.length === 1 ? 'it' : 'them'} away`
  const owner = commonJsPackage(folder)
  return owner === undefined ? undefined : `${owner} has the type "commonjs", so that Node could not read the configuration; choose another --dir`
}

/** All of them or none: what was written before one could not be is taken away again. */
async function writeAll(folder: string, files: readonly SetupFile[]): Promise<void> {
  const written: string[] = []
  try {
    for (const { name, text } of files) {
      const file = join(folder, name)
      // Exclusive: whoever is faster than the look before keeps what is theirs.
      await using handle = await open(file, 'wx', 0o600)
      written.push(file)
      await handle.writeFile(text)
    }
  } catch (error) {
    await Promise.all(written.map((file) => rm(file, { force: true })))
    throw error
  }
}

function summary({ database, toBroadcaster, toSubscriber }: SetupPlan, given: Wanted['given'], folder: string, files: readonly SetupFile[]): string {
  const line = (type: Authorization, isGiven: boolean): string => (type === 'none' ? 'none' : `${type}, ${isGiven ? 'with the secret that was given' : 'with a new secret'}`)
  return [
    `database:         ${database === '' ? 'sqlite, in the data folder' : withoutPassword(database)}`,
    `to broadcasters:  ${line(toBroadcaster.type, given.toBroadcaster)}`,
    `to subscribers:   ${line(toSubscriber.type, given.toSubscriber)}`,
    '', 'written, readable by you alone:',
    ...files.map(({ name }) => `  ${join(folder, name)}`),
    ...(toBroadcaster.type === 'none' ? ['', 'warning: anyone who can reach the port may publish and subscribe'] : []),
    '',
  ].join('\n')
}
