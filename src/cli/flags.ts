import { parseArgs } from 'node:util'
import { WaystationError } from '../core/errors.ts'
import { hint } from '../server/nearest.ts'
import { flagName, OPTIONS, type Option } from '../server/options.ts'

/** A flag of a command that is not one of the hub's options. */
export interface OwnFlag {
  readonly value?: string
  readonly short?: string
  readonly help: string
}

export interface ParsedFlags {
  readonly options: Readonly<Record<string, unknown>>
  readonly own: Readonly<Record<string, string | true>>
  /** All values of the own flags that were stated with one, in their order; in `own` is the last. */
  readonly lists: Readonly<Record<string, readonly string[]>>
  readonly positionals: readonly string[]
  /** What is wrong, a line each; every mistake is found, not only the first. */
  readonly problems: readonly string[]
}

export interface FlagHabits {
  /** Whether the hub's options are flags of this command. */
  readonly withOptions?: boolean
  /** Whether a long name may stand behind one dash. */
  readonly oneDash?: boolean
  /** What to tell somebody whose unknown flag may have been meant as a word. */
  readonly advice?: string
}

/** Reads a command line. @throws {WaystationError} `config_invalid`, with every problem */
export function parseFlags(args: readonly string[], own: Readonly<Record<string, OwnFlag>>, habits: FlagHabits = {}): ParsedFlags {
  const parsed = readFlags(args, own, habits)
  if (parsed.problems.length > 0) throw new WaystationError('config_invalid', parsed.problems.join('; '))
  return parsed
}

/** Reads a command line for somebody who has other problems to tell with those found here. */
export function readFlags(typed: readonly string[], own: Readonly<Record<string, OwnFlag>>, { withOptions = false, oneDash = false, advice = '' }: FlagHabits): ParsedFlags {
  const args = withSwitches(oneDash ? withTwoDashes(typed, own) : typed)
  const names = withOptions ? new Map(Object.keys(OPTIONS).map((name) => [flagName(name), name])) : new Map<string, string>()
  const known = [...Object.keys(own), ...names.keys(), 'help']
  const config = Object.fromEntries([
    ...[...names.keys()].map((flag) => [flag, { type: 'string' as const, multiple: true }]),
    ...Object.entries(own).map(([flag, { value, short }]) => [flag, { type: value === undefined ? 'boolean' as const : 'string' as const, ...(short === undefined ? {} : { short }) }]),
    ['help', { type: 'boolean' as const, short: 'h' }],
  ])
  const { tokens } = parseArgs({ args, options: config, strict: false, tokens: true, allowPositionals: true })
  const options: Record<string, unknown> = {}
  const mine: Record<string, string | true> = {}
  const lists: Record<string, string[]> = {}
  const positionals: string[] = []
  const problems: string[] = []
  let refused = -1
  /** Where the value of an unknown flag most likely stands. */
  let unknownValue = -1
  for (const token of tokens) {
    if (token.kind === 'positional' && token.index !== unknownValue) positionals.push(token.value)
    if (token.kind !== 'option') continue
    const option = names.get(token.name)
    const takesNone = token.name === 'help' || (own[token.name] !== undefined && own[token.name]?.value === undefined)
    const asTyped = (typed[token.index] as string).replace(/=.*$/s, '')
    if (!known.includes(token.name)) {
      // -foo is read as -f -o -o, but was typed as one.
      if (token.index === refused) continue
      refused = token.index
      unknownValue = token.value === undefined ? token.index + 1 : -1
      problems.push(`${asTyped} is no option${hint(asTyped.replace(/^-+/, ''), known, (flag) => `--${flag}`) || advice}`)
    } else if (takesNone) mine[token.name] = true
    else if (token.value === undefined) problems.push(`${asTyped} wants a value`)
    else if (option === undefined) {
      mine[token.name] = token.value
      ;(lists[token.name] ??= []).push(token.value)
    } else if (kindOf(option) === 'texts') options[option] = [...((options[option] as string[]) ?? []), token.value]
    else options[option] = token.value
  }
  return { options, own: mine, lists, positionals, problems }
}

function kindOf(option: string | undefined): Option['kind'] | undefined {
  return option === undefined ? undefined : (OPTIONS[option as keyof typeof OPTIONS] as Option).kind
}

const SWITCH_VALUES = ['on', 'off', 'true', 'false', 'yes', 'no', '1', '0']

/** The same words, with the value `on` for each switch that stands alone. */
function withSwitches(typed: readonly string[]): string[] {
  const switches = new Set(Object.entries(OPTIONS).filter(([, { kind }]) => kind === 'switch').map(([name]) => `--${flagName(name)}`))
  const end = typed.includes('--') ? typed.indexOf('--') : typed.length
  return typed.map((word, i) => (i < end && switches.has(word) && !SWITCH_VALUES.includes(typed[i + 1] ?? '') ? `${word}=on` : word))
}

/** The same words, with two dashes before the flags that had one. Values stay as they are, whatever they begin with. */
function withTwoDashes(typed: readonly string[], own: Readonly<Record<string, OwnFlag>>): string[] {
  let isValue = false
  let onlyWords = false
  return typed.map((word) => {
    const [, name = '', equals] = /^--?([a-z]+)(=|$)/.exec(word) ?? []
    const isFlag = !isValue && !onlyWords && Object.hasOwn(own, name)
    if (!isValue && word === '--') onlyWords = true
    isValue = isFlag && equals === '' && own[name]?.value !== undefined
    return isFlag ? word.replace(/^--?/, '--') : word
  })
}
