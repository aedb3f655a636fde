import type { Flags, NumberName } from './flags.ts'
import { COMMON_FLAGS, parseScenarioOptions, type ScenarioOptions } from './scenario-options.ts'

/** What can be measured of links. */
export const LINK_SCENARIOS = {
  one: 'one link, as PonyExpress and as a Waystation takes it, beside raw node:tls writing the same bytes',
  many: 'many links that take the same topic, beside a loop over as many raw connections',
} as const

export type LinkScenario = keyof typeof LINK_SCENARIOS

/** The table is the truth: parsing and `--help` come from it. */
const FLAGS = {
  rounds: COMMON_FLAGS.rounds,
  seconds: { value: 'S', default: 3, quick: 1, min: 0.05, help: 'how long one measurement lasts' },
  warmup: COMMON_FLAGS.warmup,
  size: { value: 'BYTES', default: 1_024, min: 1, whole: true, help: 'size of a message' },
  window: { value: 'BYTES', default: 524_288, min: 1_024, whole: true, help: 'bytes of messages that are under way at most, for example 512KiB' },
  links: { value: 'N', default: 1_000, quick: 100, min: 1, whole: true, help: 'links of the second table' },
  together: { value: 'N', default: 8, min: 1, whole: true, help: 'messages under way at most in the second table' },
  only: { value: 'ROW', help: `only this, may be given again: ${Object.keys(LINK_SCENARIOS).join(', ')}` },
  results: COMMON_FLAGS.results,
  profile: COMMON_FLAGS.profile,
  quick: { help: 'one short round: a look, not a measurement' },
  ends: COMMON_FLAGS.ends,
  help: COMMON_FLAGS.help,
} as const satisfies Flags

export type LinkOptions = Readonly<Record<NumberName<typeof FLAGS>, number>> & ScenarioOptions<LinkScenario>

const ABOUT = { name: 'links', help: 'Measures links over TLS 1.3: what the giving side moves, and what it costs beside bare TLS.' }

/** @returns the options, or what to print instead: the help, or every mistake */
export function parseLinkOptions(args: readonly string[]): LinkOptions | { help: string } | { problems: string[] } {
  return parseScenarioOptions(args, ABOUT, FLAGS, LINK_SCENARIOS)
}
