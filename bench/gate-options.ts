import { fileURLToPath } from 'node:url'
import { parseFlags, type Flags, type NumberName } from './flags.ts'
import { COMMON_FLAGS, scenarioHelp } from './scenario-options.ts'

/** What the gate looks at. */
export const GATE_SCENARIOS = {
  one: 'one channel, one message in flight',
  many: 'one channel, 64 messages in flight',
  channels: 'as many channels as subscribers, one in each, 64 messages in flight',
  ten: 'one channel with 10 subscribers, 256 messages in flight',
} as const

export type GateScenario = keyof typeof GATE_SCENARIOS
const NAMES = Object.keys(GATE_SCENARIOS) as GateScenario[]

/** The table is the truth: parsing and `--help` come from it. */
const FLAGS = {
  rounds: { value: 'N', default: 5, min: 1, whole: true, help: 'how often both are measured, in turns; the median of the ratios counts' },
  seconds: { value: 'S', default: 1, min: 0.05, help: 'how long one measurement lasts' },
  warmup: { value: 'S', default: 0.7, min: 0, help: COMMON_FLAGS.warmup.help },
  subscribers: { value: 'N', default: 1_000, min: 1, whole: true, help: 'WebSockets of the fan-out, and channels of the row with one each' },
  size: { value: 'BYTES', default: 128, min: 4, whole: true, help: 'size of a message' },
  only: { value: 'ROW', help: `only this, may be given again: ${NAMES.join(', ')}` },
  record: { help: 'write the ratios that are found as those that hold from now on' },
  file: { value: 'FILE', help: 'where the ratios that hold are (bench/gate.json)' },
  tools: { value: 'DIR', help: 'the folder with wsload.c (../shared/bench beside the folder of the clone)' },
  help: COMMON_FLAGS.help,
} as const satisfies Flags

export type GateOptions = Readonly<Record<NumberName<typeof FLAGS>, number>> & {
  readonly only: readonly GateScenario[]
  readonly purpose: 'compare' | 'record'
  readonly file: string
  readonly tools: string | undefined
}

const ABOUT = { name: 'gate', help: 'Compares what a delivery costs, as a ratio to a plain loop over ws in the same run, with the ratios that were recorded, and fails when one got worse by a quarter.' }

/** @returns the options, or what to print instead: the help, or every mistake */
export function parseGateOptions(args: readonly string[]): GateOptions | { help: string } | { problems: string[] } {
  if (args.includes('--help')) return { help: scenarioHelp(ABOUT, FLAGS, GATE_SCENARIOS) }
  const parsed = parseFlags(args, FLAGS, NAMES)
  if ('problems' in parsed) return parsed
  const { numbers, given, only } = parsed
  return {
    ...numbers,
    only: only.length > 0 ? (only as GateScenario[]) : NAMES,
    purpose: given.has('record') ? 'record' : 'compare',
    file: given.get('file') ?? fileURLToPath(new URL('gate.json', import.meta.url)),
    tools: given.get('tools'),
  }
}
