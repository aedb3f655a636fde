import { parseArgs } from 'node:util'
import { hint } from '../src/server/nearest.ts'
import { ROWS, type RowName } from './rows.ts'

interface Flag {
  readonly value?: string
  readonly default?: number
  /** In quick mode, where that differs. */
  readonly quick?: number
  readonly min?: number
  readonly whole?: boolean
  readonly help: string
}

/** The table is the truth: parsing and `--help` come from it. */
const FLAGS = {
  rounds: { value: 'N', default: 3, quick: 1, min: 1, whole: true, help: 'how often each row is measured; the table shows medians' },
  seconds: { value: 'S', default: 3, quick: 1, min: 0.05, help: 'how long one measurement lasts' },
  warmup: { value: 'S', default: 1.5, quick: 0.5, min: 0, help: 'load before each measurement that does not count' },
  subscribers: { value: 'N', default: 1_000, min: 1, whole: true, help: 'WebSockets of the fan-out rows, and channels of the row with one each' },
  rate: { value: 'N', default: 200, min: 1, help: 'messages per second of the row at a fixed rate' },
  size: { value: 'BYTES', default: 128, min: 4, whole: true, help: 'size of a message' },
  idle: { value: 'N', default: 10_000, quick: 2_000, min: 1, whole: true, help: 'idle connections; fewer where the system does not allow as many open files' },
  only: { value: 'ROW', help: `only this row, may be given again: ${Object.keys(ROWS).join(', ')}` },
  results: { value: 'DIR', help: 'where all figures are written as JSON (bench/results)' },
  profile: { value: 'DIR', help: 'write a CPU profile of each of our servers there (for the developer tools of a browser); the figures suffer a little' },
  quick: { help: 'one short round and fewer idle connections: a look, not a measurement' },
  help: { help: 'this text' },
} as const satisfies Record<string, Flag>

type NumberName = { [K in keyof typeof FLAGS]: (typeof FLAGS)[K] extends { default: number } ? K : never }[keyof typeof FLAGS]

export type BenchOptions = Readonly<Record<NumberName, number>> & {
  readonly rows: readonly RowName[]
  readonly results: string | undefined
  readonly profile: string | undefined
}

/** @returns the options, or what to print instead: the help, or every mistake */
export function parseOptions(args: readonly string[]): BenchOptions | { help: string } | { problems: string[] } {
  const table: [string, Flag][] = Object.entries(FLAGS)
  const names = Object.keys(FLAGS)
  const options = Object.fromEntries(table.map(([name, flag]) => [name, { type: flag.value === undefined ? 'boolean' as const : 'string' as const }]))
  const { tokens } = parseArgs({ args: [...args], options, strict: false, tokens: true, allowPositionals: true })
  const given = new Map<string, string>()
  const rows: RowName[] = []
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
    else if (token.name !== 'only') given.set(token.name, token.value ?? '')
    else if (token.value !== undefined && token.value in ROWS) rows.push(token.value as RowName)
    else problems.push(`--only ${token.value} is no row${hint(token.value ?? '', Object.keys(ROWS))}; the rows are ${Object.keys(ROWS).join(', ')}`)
  }
  const numbers: Record<string, number> = {}
  for (const [name, flag] of table) {
    if (flag.default === undefined) continue
    const text = given.get(name)
    const value = text === undefined ? (given.has('quick') ? flag.quick : undefined) ?? flag.default : Number(text)
    numbers[name] = value
    if (!Number.isFinite(value) || value < (flag.min ?? 0) || (flag.whole === true && !Number.isInteger(value))) {
      problems.push(`--${name} ${text} must be a ${flag.whole === true ? 'whole ' : ''}number, ${flag.min} or more`)
    }
  }
  if (given.has('help')) return { help: helpText() }
  if (problems.length > 0) return { problems }
  return {
    ...(numbers as Record<NumberName, number>),
    rows: rows.length > 0 ? rows : (Object.keys(ROWS) as RowName[]),
    results: given.get('results'),
    profile: given.get('profile'),
  }
}

function helpText(): string {
  const lines = Object.entries(FLAGS).map(([name, flag]: [string, Flag]) => {
    const quick = flag.quick === undefined ? '' : `, with --quick ${flag.quick}`
    const value = flag.default === undefined ? '' : ` (${flag.default}${quick})`
    return `  --${name}${flag.value === undefined ? '' : ` ${flag.value}`}\n      ${flag.help}${value}\n`
  })
  const rows = Object.entries(ROWS).map(([name, row]) => `  ${name.padEnd(12)}${row.help}\n`)
  return `Measures Waystation beside a plain broadcast loop over the ws library, in turns, each in a process of its own.\n\nUsage: npm run bench -- [options]\n\nOptions:\n${lines.join('')}\nRows:\n${rows.join('')}`
}
