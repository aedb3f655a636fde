import { existsSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { resolve } from 'node:path'
import { pathToFileURL } from 'node:url'
import { WaystationError } from '../core/errors.ts'
import { NESTED_NAMES, spread } from './nested-options.ts'
import { invalid } from './invalid.ts'
import { hint } from './nearest.ts'
import { readValue } from './option-values.ts'
import { envName, flagName, OPTIONS, type Config, type Option, type OptionName, type Options } from './options.ts'
import { judgeTogether } from './option-checks.ts'

/** One place that states options, the later ones over the earlier. */
export interface Source {
  readonly name: string
  readonly values: Readonly<Record<string, unknown>>
  /** How this place writes the name of an option, for the messages. */
  readonly write: (name: string) => string
}

/** The options in force, and where each was stated. */
export interface Effective {
  readonly options: Options
  readonly from: Readonly<Record<OptionName, string>>
}

const NAMES = Object.keys(OPTIONS) as OptionName[]

/** What the CLI itself reads from the environment, beside the options. */
export const CLI_ENVIRONMENT = { config: 'WAYSTATION_CONFIG', url: 'WAYSTATION_URL' } as const

/**
 * Puts the sources over the defaults and each other.
 * @param found problems that were found before, to be told with the others
 * @throws {WaystationError} `config_invalid`; its detail has a line for every problem of every source
 */
export function effective(sources: readonly Source[], found: readonly string[] = []): Effective {
  const problems = [...found]
  const options: Record<string, unknown> = {}
  const from: Record<string, string> = {}
  for (const name of NAMES) {
    options[name] = OPTIONS[name].default
    from[name] = 'default'
  }
  for (const { name: source, values, write } of sources) {
    for (const { name, stated, as = write(name) } of statedBy(values, source, problems)) {
      if (stated === undefined) continue
      if (!Object.hasOwn(OPTIONS, name)) {
        problems.push(`${source}: ${as} is no option${hint(name, isNested(source) ? [...NAMES, ...NESTED_NAMES] : NAMES, write)}`)
        continue
      }
      const read = readValue(OPTIONS[name as OptionName] as Option, stated)
      if ('faults' in read) problems.push(...read.faults.map((fault) => `${source}: ${as} ${fault}`))
      else {
        options[name] = read.value
        from[name] = source
      }
    }
  }
  problems.push(...judgeTogether(options as Options, from as Effective['from']))
  if (problems.length > 0) throw invalid(problems)
  return { options: options as Options, from: from as Effective['from'] }
}

/** One option in a source. */
interface Stated {
  readonly name: string
  readonly stated: unknown
  /** How it is written there, where it is not by its name. */
  readonly as?: string
}

/** What a source states, with what stands for several options spread out where it may stand. */
function statedBy(values: Source['values'], source: string, problems: string[]): Stated[] {
  return Object.entries(values).flatMap(([name, stated]): Stated[] => {
    if (stated === undefined || !NESTED_NAMES.includes(name) || !isNested(source)) return [{ name, stated }]
    const within = spread(name, stated)
    problems.push(...within.problems.map((problem) => `${source}: ${problem}`))
    const twice = within.stated.filter((one) => values[one.name] !== undefined).map(({ name: option, as }) => `${source}: ${option} is stated twice: ${as} is the same`)
    problems.push(...twice)
    return [...within.stated]
  })
}

/** Whether options may stand in one another there. */
function isNested(source: string): boolean {
  return source !== 'environment' && source !== 'command line'
}

/** What an embedding program states. */
export function fromProgram(config: Config): Source {
  return { name: 'options', values: config, write: (name) => name }
}

/** What the environment states. Unknown names under the prefix are problems, like any unknown key. */
export function fromEnvironment(env: NodeJS.ProcessEnv): Source {
  const byEnv = new Map(NAMES.map((name) => [envName(name), name as string]))
  const others: readonly string[] = Object.values(CLI_ENVIRONMENT)
  const values: Record<string, unknown> = {}
  for (const [key, value] of Object.entries(env)) {
    if (!key.startsWith('WAYSTATION_') || others.includes(key)) continue
    values[byEnv.get(key) ?? camel(key.slice('WAYSTATION_'.length))] = value
  }
  return { name: 'environment', values, write: envName }
}

/** What flags state, by option name. */
export function fromFlags(values: Readonly<Record<string, unknown>>): Source {
  return { name: 'command line', values, write: (name) => '--' + flagName(name) }
}

function camel(upperSnake: string): string {
  return upperSnake.toLowerCase().replace(/_(.)/g, (_, letter: string) => letter.toUpperCase())
}

const FILES = ['waystation.config.ts', 'waystation.config.js', 'waystation.config.json']

/**
 * Reads the configuration file: the one that is named, or the first of `waystation.config.ts`, `.js`, `.json` that stands
 * in the working folder.
 * @throws {WaystationError} `config_invalid`
 */
export async function fromFile(named: string | undefined, folder = process.cwd()): Promise<Source | undefined> {
  const file = named ?? FILES.find((name) => existsSync(resolve(folder, name)))
  if (file === undefined) return undefined
  const path = resolve(folder, file)
  if (!existsSync(path)) throw new WaystationError('config_invalid', `${file}: there is no such file`)
  const config = await load(path).catch((cause: Error) => {
    throw new WaystationError('config_invalid', `${file}: ${cause.message}`, cause)
  })
  if (typeof config !== 'object' || config === null || Array.isArray(config)) {
    throw new WaystationError('config_invalid', `${file}: must export an object; write "export default defineConfig({ … })"`)
  }
  return { name: file, values: config as Record<string, unknown>, write: (name) => name }
}

async function load(path: string): Promise<unknown> {
  if (path.endsWith('.json')) return JSON.parse(await readFile(path, 'utf8'))
  const module = (await import(pathToFileURL(path).href)) as { default?: unknown }
  return module.default
}
