import { hint } from '../src/server/nearest.ts'
import { CONTENDERS, type ContenderName } from './contenders.ts'
import { parseFlags, type Flags, type NumberName } from './flags.ts'
import { COMMON_FLAGS, scenarioHelp, type ScenarioOptions } from './scenario-options.ts'

/** What is measured beside others. */
export const PEER_SCENARIOS = {
  one: 'one channel, one message in flight: the price of a single delivery',
  many: 'one channel, 64 messages in flight: what a burst costs',
  channels: 'as many channels as subscribers, one in each, 64 messages in flight',
  ten: 'one channel with 10 subscribers, 256 messages in flight',
  rate: 'one channel at a fixed rate: the latency when the server is not at its limit',
  post: 'publishing by POST on 64 keep-alive connections, to nobody',
  idle: 'connections that say nothing, all on one channel and each on its own: the memory of each',
  two: 'with --two: two hubs behind nginx that share 64 channels, beside one',
  subscribers: 'with --sweep: the price of a delivery to 10, 100, 1,000 and 10,000 subscribers',
  sizes: 'with --sweep: the price of a delivery of 16 B to 64 KiB',
} as const

export type PeerScenario = keyof typeof PEER_SCENARIOS
const NAMES = Object.keys(PEER_SCENARIOS) as PeerScenario[]
/** Beside what `--only` names, or everything else. */
const ASKED = { two: ['two'], sweep: ['subscribers', 'sizes'] } as const satisfies Record<string, readonly PeerScenario[]>

/** The table is the truth: parsing and `--help` come from it. */
const FLAGS = {
  rounds: COMMON_FLAGS.rounds,
  seconds: { value: 'S', default: 3, quick: 1, min: 0.05, help: 'how long one measurement lasts' },
  warmup: COMMON_FLAGS.warmup,
  subscribers: { value: 'N', default: 1_000, min: 1, whole: true, help: 'WebSockets of the fan-out, and channels of the row with one each' },
  size: { value: 'BYTES', default: 128, min: 4, whole: true, help: 'size of a message' },
  rate: { value: 'N', default: 200, min: 1, help: 'messages per second of the row at a fixed rate; fewer where the floor itself would be busy for more than 60 % of its core' },
  idle: { value: 'N', default: 10_000, quick: 2_000, min: 1, whole: true, help: 'idle connections, and the most subscribers of --sweep; fewer where the system does not allow as many open files' },
  only: { value: 'ROW', help: `only this, may be given again: ${NAMES.join(', ')}` },
  servers: { value: 'LIST', help: `only these, with commas between: ${Object.keys(CONTENDERS).join(', ')}` },
  two: { help: 'also two hubs behind nginx beside one' },
  sweep: { help: 'also the price of a delivery against subscribers and size, with a plot (SVG) beside the figures' },
  docs: { help: 'write the tables, and the plot where there is one, to docs/' },
  tools: { value: 'DIR', help: 'the folder with wsload.c and floor.c (../shared/bench beside the folder of the clone)' },
  results: COMMON_FLAGS.results,
  profile: COMMON_FLAGS.profile,
  quick: { help: 'one short round and fewer idle connections: a look, not a measurement' },
  help: COMMON_FLAGS.help,
} as const satisfies Flags

export type PeerOptions = Readonly<Record<NumberName<typeof FLAGS>, number>> & ScenarioOptions<PeerScenario> & {
  readonly servers: readonly ContenderName[]
  readonly tools: string | undefined
  readonly docs: 'written' | 'left'
}

const ABOUT = { name: 'peers', help: 'Measures the fan-out beside what the kernel alone costs and beside other servers, in turns, each on a core of its own.' }

/** @returns the options, or what to print instead: the help, or every mistake */
export function parsePeerOptions(args: readonly string[]): PeerOptions | { help: string } | { problems: string[] } {
  if (args.includes('--help')) return { help: scenarioHelp(ABOUT, FLAGS, PEER_SCENARIOS) }
  const parsed = parseFlags(args, FLAGS, NAMES)
  if ('problems' in parsed) return parsed
  const { numbers, given, only } = parsed
  const asked = new Set<string>(Object.values(ASKED).flat())
  const also = new Set<string>(Object.entries(ASKED).flatMap(([flag, names]) => given.has(flag) ? names : []))
  const all = Object.keys(CONTENDERS)
  const servers = given.get('servers')?.split(',') ?? all
  const problems = servers.filter((name) => !all.includes(name)).map((name) => `--servers ${name} is none${hint(name, all)}; there are ${all.join(', ')}`)
  if (problems.length > 0) return { problems }
  return {
    ...numbers,
    only: NAMES.filter((name) => also.has(name) || (only.length > 0 ? only.includes(name) : !asked.has(name))),
    servers: servers as ContenderName[],
    tools: given.get('tools'),
    docs: given.has('docs') ? 'written' : 'left',
    dir: undefined,
    results: given.get('results'),
    profile: given.get('profile'),
    rows: 'all',
  }
}
