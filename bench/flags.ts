import { parseArgs } from 'node:util'
import { hint } from '../src/server/nearest.ts'

/** One option. A table of them is the truth: parsing and `--help` come from it. */
export interface Flag {
  /** What it takes. A `LIST` may be given in parts. */
  readonly value?: string
  readonly default?: number
  /** In quick mode, where that differs. */
  readonly quick?: number
  readonly min?: number
  readonly whole?: boolean
  readonly help: string
}

export type Flags = Readonly<Record<string, Flag>>
/** The options of a table that are numbers. */
export type NumberName<T extends Flags> = { [K in keyof T]: T[K] extends { default: number } ? K : never }[keyof T]

export interface Parsed<T extends Flags> {
  readonly numbers: Readonly<Record<NumberName<T>, number>>
  readonly given: ReadonlyMap<string, string>
  /** What `--only` named. */
  readonly only: readonly string[]
}

const SUFFIXES: Readonly<Record<string, number>> = { KiB: 2 ** 10, MiB: 2 ** 20, GiB: 2 ** 30 }

/** A number; where bytes are meant, also one like `8GiB`. */
function amount(text: string, flag: Flag): number {
  const [, digits, suffix] = (flag.value === 'BYTES' ? /^(\d+)(KiB|MiB|GiB)$/.exec(text) : null) ?? []
  return digits === undefined || suffix === undefined ? Number(text) : Number(digits) * (SUFFIXES[suffix] as number)
}

/**
 * @param rows the names that `--only` may take
 * @returns the options, or every mistake
 */
export function parseFlags<T extends Flags>(args: readonly string[], flags: T, rows: readonly string[]): Parsed<T> | { problems: string[] } {
  const table: [string, Flag][] = Object.entries(flags)
  const names = Object.keys(flags)
  const options = Object.fromEntries(table.map(([name, flag]) => [name, { type: flag.value === undefined ? 'boolean' as const : 'string' as const }]))
  const { tokens } = parseArgs({ args: [...args], options, strict: false, tokens: true, allowPositionals: true })
  const given = new Map<string, string>()
  const only: string[] = []
  const problems: string[] = []
  let unknown = -2
  for (const token of tokens) {
    // What stands behind an unknown option is most likely its value.
    if (token.kind === 'positional' && token.index !== unknown + 1) problems.push(`${token.value} is no option${hint(token.value, names, (name) => `--${name}`)}`)
    if (token.kind !== 'option') continue
    const flag = table.find(([name]) => name === token.name)?.[1]
    if (flag === undefined) {
      problems.push(`${token.rawName} is no option${hint(token.name, names, (name) => `--${name}`)}`)
      unknown = token.index
    } else if (flag.value !== undefined && (token.value === undefined || token.value === '')) problems.push(`${token.rawName} wants a value: ${token.rawName} ${flag.value}`)
    else if (flag.value === undefined && token.value !== undefined) problems.push(`${token.rawName} takes no value`)
    else if (token.name !== 'only') given.set(token.name, flag.value === 'LIST' && given.has(token.name) ? `${given.get(token.name)},${token.value}` : token.value ?? '')
    else if (token.value !== undefined && rows.includes(token.value)) only.push(token.value)
    else problems.push(`--only ${token.value} is no row${hint(token.value ?? '', rows)}; the rows are ${rows.join(', ')}`)
  }
  const numbers: Record<string, number> = {}
  for (const [name, flag] of table) {
    if (flag.default === undefined) continue
    const text = given.get(name)
    const value = text === undefined ? (given.has('quick') ? flag.quick : undefined) ?? flag.default : amount(text, flag)
    numbers[name] = value
    if (!Number.isFinite(value) || value < (flag.min ?? 0) || (flag.whole === true && !Number.isInteger(value))) {
      problems.push(`--${name} ${text} must be a ${flag.whole === true ? 'whole ' : ''}number, ${flag.min} or more`)
    }
  }
  return problems.length > 0 ? { problems } : { numbers: numbers as Record<NumberName<T>, number>, given, only }
}

/** What `--help` says of the options. */
export function describeFlags(flags: Flags): string {
  const lines = Object.entries(flags).map(([name, flag]) => {
    const quick = flag.quick === undefined ? '' : `, with --quick ${flag.quick}`
    const value = flag.default === undefined ? '' : ` (${flag.default}${quick})`
    return `  --${name}${flag.value === undefined ? '' : ` ${flag.value}`}\n      ${flag.help}${value}\n`
  })
  return `Options:\n${lines.join('')}`
}
