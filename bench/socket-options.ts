import type { Flags, NumberName } from './flags.ts'
import { COMMON_FLAGS, parseScenarioOptions, type ScenarioOptions } from './scenario-options.ts'

/** What can be measured of lonelyps WebSockets. */
export const SOCKET_SCENARIOS = {
  sequential: 'notify round trips one after the other, from a publisher\'s socket to a subscriber\'s, with no proof and with HMAC both ways',
  pipelined: '64 notifies under way, to one subscriber and to several, with few and with many unacknowledged parts',
  large: 'large random messages, in memory and through the spool, plain and compressed',
  bytes: 'small JSON messages: their bytes on the wire, plain and with a trained dictionary',
} as const

export type SocketScenario = keyof typeof SOCKET_SCENARIOS

/** The table is the truth: parsing and `--help` come from it. */
const FLAGS = {
  rounds: COMMON_FLAGS.rounds,
  seconds: { value: 'S', default: 3, quick: 1, min: 0.05, help: 'how long one measurement lasts' },
  warmup: COMMON_FLAGS.warmup,
  size: { value: 'BYTES', default: 200, min: 4, whole: true, help: 'size of a message that is sent one after the other, or pipelined' },
  subscribers: { value: 'N', default: 10, min: 1, whole: true, help: 'the most subscribers of a pipelined message' },
  large: { value: 'BYTES', default: 25_165_824, min: 65_536, whole: true, help: 'size of a large message, for example 24MiB' },
  messages: { value: 'N', default: 1_000, min: 1, whole: true, help: 'JSON messages whose bytes are counted' },
  only: { value: 'ROW', help: `only this, may be given again: ${Object.keys(SOCKET_SCENARIOS).join(', ')}` },
  dir: { value: 'DIR', help: 'where the hub keeps its data while it is measured (the folder for temporary files)' },
  results: COMMON_FLAGS.results,
  profile: COMMON_FLAGS.profile,
  quick: { help: 'one short round: a look, not a measurement' },
  ends: COMMON_FLAGS.ends,
  help: COMMON_FLAGS.help,
} as const satisfies Flags

export type SocketOptions = Readonly<Record<NumberName<typeof FLAGS>, number>> & ScenarioOptions<SocketScenario>

const ABOUT = { name: 'sockets', help: 'Measures lonelyps WebSockets: round trips, deliveries, large messages, and what compression saves.' }

/** @returns the options, or what to print instead: the help, or every mistake */
export function parseSocketOptions(args: readonly string[]): SocketOptions | { help: string } | { problems: string[] } {
  return parseScenarioOptions(args, ABOUT, FLAGS, SOCKET_SCENARIOS)
}
