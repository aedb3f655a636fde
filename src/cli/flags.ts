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
  readonly positionals: readonly string[]
}

/**
 * Reads a command line. Every mistake is found, not only the first.
 * @param withOptions whether the hub's options are flags of this command
 * @throws {WaystationError} `config_invalid`
 */
export function parseFlags(args: readonly string[], own: Readonly<Record<string, OwnFlag>>, withOptions: boolean): ParsedFlags {
  const names = withOptions ? new Map(Object.keys(OPTIONS).map((name) => [flagName(name), name])) : new Map<string, string>()
  const known = [...Object.keys(own), ...names.keys(), 'help']
  const config = Object.fromEntries([
    ...[...names.keys()].map((flag) => [flag, { type: 'string' as const, multiple: true }]),
    ...Object.entries(own).map(([flag, { value, short }]) => [flag, { type: value === undefined ? 'boolean' as const : 'string' as const, ...(short === undefined ? {} : { short }) }]),
    ['help', { type: 'boolean' as const, short: 'h' }],
  ])
  const { tokens } = parseArgs({ args: [...args], options: config, strict: false, tokens: true, allowPositionals: true })
  const options: Record<string, unknown> = {}
  const mine: Record<string, string | true> = {}
  const positionals: string[] = []
  const problems: string[] = []
  for (const token of tokens) {
    if (token.kind === 'positional') positionals.push(token.value)
    if (token.kind !== 'option') continue
    const option = names.get(token.name)
    const takesNone = token.name === 'help' || (own[token.name] !== undefined && own[token.name]?.value === undefined)
    if (!known.includes(token.name)) {
      problems.push(`${token.rawName} is no option${hint(token.name, known, (flag) => `--${flag}`)}`)
    } else if (takesNone) mine[token.name] = true
    else if (token.value === undefined) problems.push(`${token.rawName} wants a value`)
    else if (option === undefined) mine[token.name] = token.value
    else if ((OPTIONS[option as keyof typeof OPTIONS] as Option).kind === 'texts') options[option] = [...((options[option] as string[]) ?? []), token.value]
    else options[option] = token.value
  }
  if (problems.length > 0) throw new WaystationError('config_invalid', problems.join('; '))
  return { options, own: mine, positionals }
}
