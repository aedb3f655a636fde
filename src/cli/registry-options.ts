import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { WaystationError } from '../core/errors.ts'
import type { Registry } from '../core/registry.ts'
import { CLI_ENVIRONMENT, effective, fromEnvironment, fromFile, fromFlags } from '../server/config.ts'
import { readDatabase, withoutPassword } from '../server/database.ts'
import { hint } from '../server/nearest.ts'
import type { Options } from '../server/options.ts'
import { realClock } from '../server/real-world.ts'
import type { Io } from './command.ts'
import { readFlags, type OwnFlag } from './flags.ts'

/** The options that say which registry it is. All others are read, and make no difference. */
export const REGISTRY_OPTIONS = ['database', 'dataDir'] as const

export type DatabaseOptions = Pick<Options, (typeof REGISTRY_OPTIONS)[number]>

/** What somebody wants of a registry: the first word says what. */
export interface Wish<T extends string> {
  readonly what: T
  readonly words: readonly string[]
  readonly own: Readonly<Record<string, string | true>>
  readonly options: DatabaseOptions
}

export const CONFIG_FLAG = { config: { value: 'FILE', help: 'the configuration file (waystation.config.ts, .js or .json in this folder when not given)' } } as const

/**
 * Reads a command line that begins with one of these words, each with the flags that it takes.
 * @throws {WaystationError} `bad_request` or `config_invalid`
 */
export async function readWish<T extends string>(args: readonly string[], flags: Readonly<Record<string, OwnFlag>>, known: Readonly<Record<T, readonly string[]>>, io: Io): Promise<Wish<T>> {
  const { own, options: stated, positionals, problems } = readFlags(args, flags, { withOptions: true })
  const names = Object.keys(known) as T[]
  const [word, ...words] = positionals
  const what = names.find((name) => name === word)
  if (what === undefined) throw new WaystationError('bad_request', word === undefined ? `say what to do: ${names.join(', ')}` : `${JSON.stringify(word)} is none of ${names.join(', ')}${hint(word, names)}`)
  const misplaced = Object.keys(own).filter((name) => name !== 'config' && !known[what].includes(name))
  const found = [...problems, ...misplaced.map((name) => `--${name} is no option of ${what}`)].map((problem) => `command line: ${problem}`)
  const file = await fromFile(typeof own['config'] === 'string' ? own['config'] : io.env[CLI_ENVIRONMENT.config], io.cwd)
  const { options } = effective([...(file === undefined ? [] : [file]), fromEnvironment(io.env), fromFlags(stated)], found)
  return { what, words, own, options }
}

/** Opens the registry for as long as `use` takes. */
export async function withRegistry<T>(options: DatabaseOptions, use: (registry: Registry) => Promise<T>): Promise<T> {
  const { openRegistry } = await import('../server/open-registry.ts')
  const registry = openRegistry(options, realClock)
  try {
    return await use(registry)
  } finally {
    await registry.close()
  }
}

/** The registry's name for people, without a password. */
export function nameOf({ database, dataDir }: DatabaseOptions): string {
  return database === '' ? join(dataDir, 'waystation.db') : withoutPassword(database)
}

/** What to say of a database that is to be read and is a file that is not there: a slip of the pen would look like an empty one. */
export function missingFile({ database, dataDir }: DatabaseOptions): string | undefined {
  const read = readDatabase(database === '' ? join(dataDir, 'waystation.db') : database)
  return typeof read === 'string' || read.kind !== 'sqlite' || existsSync(read.file) ? undefined : `${read.file}: there is no such database`
}
