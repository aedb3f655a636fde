import { describeFlags, parseFlags, type Flags, type NumberName } from './flags.ts'
import { ROWS, type RowName } from './rows.ts'

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
} as const satisfies Flags

export type BenchOptions = Readonly<Record<NumberName<typeof FLAGS>, number>> & {
  readonly rows: readonly RowName[]
  readonly results: string | undefined
  readonly profile: string | undefined
}

/** @returns the options, or what to print instead: the help, or every mistake */
export function parseOptions(args: readonly string[]): BenchOptions | { help: string } | { problems: string[] } {
  if (args.includes('--help')) return { help: helpText() }
  const parsed = parseFlags(args, FLAGS, Object.keys(ROWS))
  if ('problems' in parsed) return parsed
  const { numbers, given, only } = parsed
  return {
    ...numbers,
    rows: only.length > 0 ? (only as RowName[]) : (Object.keys(ROWS) as RowName[]),
    results: given.get('results'),
    profile: given.get('profile'),
  }
}

function helpText(): string {
  const rows = Object.entries(ROWS).map(([name, row]) => `  ${name.padEnd(12)}${row.help}\n`)
  return 'Measures Waystation beside a plain broadcast loop over the ws library, in turns, each in a process of its own.\n\n' +
    `Usage: npm run bench -- [options]\n       npm run bench -- --peers [options], see npm run bench -- --peers --help\n       npm run bench:gate -- [options], see npm run bench:gate -- --help\n       npm run bench -- webhooks [options], see npm run bench -- webhooks --help\n       npm run bench -- sockets [options], see npm run bench -- sockets --help\n       npm run bench -- keys [options], see npm run bench -- keys --help\n       npm run bench -- links [options], see npm run bench -- links --help\n       npm run bench -- services [options], see npm run bench -- services --help\n\n${describeFlags(FLAGS)}\nRows:\n${rows.join('')}`
}
