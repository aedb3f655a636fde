import type { Flags, NumberName } from './flags.ts'
import { COMMON_FLAGS, parseScenarioOptions, type ScenarioOptions } from './scenario-options.ts'

/** What can be measured of API keys and wspubsub. */
export const KEY_SCENARIOS = {
  checks: 'POSTs with a key beside POSTs that need none, and the bare check of keys that are remembered',
  opening: 'publishers that come all at once, each with a key of its own, on PostgreSQL',
  fanout: 'a topic with a keyed publisher beside a pinghub channel',
} as const

export type KeyScenario = keyof typeof KEY_SCENARIOS

/** The table is the truth: parsing and `--help` come from it. */
const FLAGS = {
  rounds: { ...COMMON_FLAGS.rounds, default: 5 },
  seconds: { value: 'S', default: 2, quick: 1, min: 0.05, help: 'how long one measurement lasts, but for that of publishers that come' },
  warmup: COMMON_FLAGS.warmup,
  publishers: { value: 'N', default: 5_000, quick: 1_000, min: 1, whole: true, help: 'publishers that come at once; fewer where the system does not allow as many open files' },
  together: { value: 'N', default: 500, min: 1, whole: true, help: 'handshakes of theirs that are under way at once' },
  subscribers: { value: 'N', default: 1_000, min: 1, whole: true, help: 'the most subscribers of a topic' },
  window: { value: 'N', default: 64, min: 1, whole: true, help: 'the most messages of a topic that are under way' },
  size: { value: 'BYTES', default: 128, min: 4, whole: true, help: 'size of a message' },
  only: { value: 'ROW', help: `only this, may be given again: ${Object.keys(KEY_SCENARIOS).join(', ')}` },
  dir: { value: 'DIR', help: 'where the hub keeps its data while it is measured (the folder for temporary files)' },
  results: COMMON_FLAGS.results,
  profile: COMMON_FLAGS.profile,
  quick: { help: 'one short round and fewer publishers: a look, not a measurement' },
  ends: COMMON_FLAGS.ends,
  help: COMMON_FLAGS.help,
} as const satisfies Flags

export type KeyOptions = Readonly<Record<NumberName<typeof FLAGS>, number>> & ScenarioOptions<KeyScenario>

const ABOUT = { name: 'keys', help: 'Measures API keys: what a check costs, how fast publishers come in, and what a keyed topic costs beside a channel.' }

/** @returns the options, or what to print instead: the help, or every mistake */
export function parseKeyOptions(args: readonly string[]): KeyOptions | { help: string } | { problems: string[] } {
  return parseScenarioOptions(args, ABOUT, FLAGS, KEY_SCENARIOS)
}
