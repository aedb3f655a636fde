import { describeFlags, parseFlags, type Flags, type NumberName } from './flags.ts'

/** The options that every bench of scenarios has, but for `only`. */
export const COMMON_FLAGS = {
  rounds: { value: 'N', default: 3, quick: 1, min: 1, whole: true, help: 'how often each row is measured; the tables show medians' },
  warmup: { value: 'S', default: 1.5, quick: 0.5, min: 0, help: 'load before each measurement that does not count' },
  results: { value: 'DIR', help: 'where all figures are written as JSON (bench/results)' },
  profile: { value: 'DIR', help: 'write CPU profiles of the hub there; the figures suffer a little' },
  ends: { help: 'only the first and the last row of each table: to see whether all of it runs' },
  help: { help: 'this text' },
} as const satisfies Flags

/** What can be asked of any bench of scenarios, beside the numbers of its own. */
export interface ScenarioOptions<S extends string> {
  readonly rounds: number
  readonly seconds: number
  readonly warmup: number
  readonly only: readonly S[]
  readonly dir: string | undefined
  readonly results: string | undefined
  readonly profile: string | undefined
  readonly rows: 'all' | 'ends'
}

/**
 * @param about how it is called and what it says of itself
 * @param scenarios what can be measured, with a help text each
 * @returns the options, or what to print instead: the help, or every mistake
 */
export function parseScenarioOptions<T extends Flags, S extends string>(
  args: readonly string[],
  about: { readonly name: string; readonly help: string },
  flags: T,
  scenarios: Readonly<Record<S, string>>,
): (Readonly<Record<NumberName<T>, number>> & Pick<ScenarioOptions<S>, 'only' | 'dir' | 'results' | 'profile' | 'rows'>) | { help: string } | { problems: string[] } {
  const names = Object.keys(scenarios) as S[]
  if (args.includes('--help')) return { help: scenarioHelp(about, flags, scenarios) }
  const parsed = parseFlags(args, flags, names)
  if ('problems' in parsed) return parsed
  const { numbers, given, only } = parsed
  return {
    ...numbers,
    only: only.length > 0 ? (only as S[]) : names,
    dir: given.get('dir'),
    results: given.get('results'),
    profile: given.get('profile'),
    rows: given.has('ends') ? 'ends' as const : 'all' as const,
  }
}

/** What `--help` says of a bench of scenarios. */
export function scenarioHelp(about: { readonly name: string; readonly help: string }, flags: Flags, scenarios: Readonly<Record<string, string>>): string {
  const rows = Object.entries(scenarios).map(([name, help]) => `  ${name.padEnd(12)}${help}\n`)
  return `${about.help}\n\nUsage: npm run bench -- ${about.name} [options]\n\n${describeFlags(flags)}\nRows:\n${rows.join('')}`
}
