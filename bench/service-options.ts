import type { Flags, NumberName } from './flags.ts'
import { COMMON_FLAGS, parseScenarioOptions, type ScenarioOptions } from './scenario-options.ts'

/** What can be measured of services. */
export const SERVICE_SCENARIOS = {
  direct: 'a service that is called without a hub, by TLS and by TCP, beside gRPC over TLS and HTTP/1.1 without',
  hub: 'the same call through a hub to one worker, by Erps over TLS and by POST',
} as const

export type ServiceScenario = keyof typeof SERVICE_SCENARIOS

/** The table is the truth: parsing and `--help` come from it. */
const FLAGS = {
  rounds: COMMON_FLAGS.rounds,
  seconds: { value: 'S', default: 3, quick: 1, min: 0.05, help: 'how long one measurement lasts' },
  warmup: COMMON_FLAGS.warmup,
  size: { value: 'BYTES', default: 64, min: 1, whole: true, help: 'bytes of the binary that is sent and echoed' },
  concurrent: { value: 'N', default: 64, min: 1, whole: true, help: 'calls under way in the second group of rows; in the first it is one' },
  pipelined: { value: 'N', default: 1_024, min: 1, whole: true, help: 'calls under way in the third' },
  only: { value: 'ROW', help: `only this, may be given again: ${Object.keys(SERVICE_SCENARIOS).join(', ')}` },
  results: COMMON_FLAGS.results,
  profile: { value: 'DIR', help: 'write CPU profiles of all processes there; the figures suffer a little' },
  quick: { help: 'one short round: a look, not a measurement' },
  ends: COMMON_FLAGS.ends,
  help: COMMON_FLAGS.help,
} as const satisfies Flags

export type ServiceOptions = Readonly<Record<NumberName<typeof FLAGS>, number>> & ScenarioOptions<ServiceScenario>

const ABOUT = { name: 'services', help: 'Measures calls of services: how many a second, how long they take, and what they cost both ends.' }

/** @returns the options, or what to print instead: the help, or every mistake */
export function parseServiceOptions(args: readonly string[]): ServiceOptions | { help: string } | { problems: string[] } {
  return parseScenarioOptions(args, ABOUT, FLAGS, SERVICE_SCENARIOS)
}
