import type { Flags, NumberName } from './flags.ts'
import { COMMON_FLAGS, parseScenarioOptions, type ScenarioOptions } from './scenario-options.ts'

/** What can be measured of webhooks. */
export const SCENARIOS = {
  notify: 'notify to 0, 1, 10 and many webhooks, with no proof and with HMAC both ways, by one publisher and by several',
  hanging: 'how soon healthy subscribers have a message, alone and while as many others hang',
  huge: 'one message that is too large for memory, to three webhooks; and what is left of it after a kill',
} as const

export type ScenarioName = keyof typeof SCENARIOS

/** The table is the truth: parsing and `--help` come from it. */
const FLAGS = {
  rounds: COMMON_FLAGS.rounds,
  seconds: { value: 'S', default: 3, quick: 1, min: 0.05, help: 'how long one measurement lasts; those with hanging subscribers four times that, so that their time-outs fall into it' },
  warmup: COMMON_FLAGS.warmup,
  subscribers: { value: 'N', default: 1_000, min: 1, whole: true, help: 'the most webhooks of a notify' },
  publishers: { value: 'N', default: 16, min: 1, whole: true, help: 'the most publishers at once, each with a notify under way on a topic of its own' },
  size: { value: 'BYTES', default: 1_024, min: 8, whole: true, help: 'size of a message' },
  healthy: { value: 'N', default: 100, min: 1, whole: true, help: 'subscribers that answer, and as many that hang' },
  rate: { value: 'N', default: 10, min: 1, help: 'notifies per second to them' },
  huge: { value: 'BYTES', default: 268_435_456, quick: 67_108_864, min: 1_048_576, whole: true, help: 'size of the message that is too large for memory, for example 8GiB' },
  only: { value: 'ROW', help: `only this, may be given again: ${Object.keys(SCENARIOS).join(', ')}` },
  dir: { value: 'DIR', help: 'where the hub keeps its data while it is measured (the folder for temporary files); it needs room for the huge message' },
  results: COMMON_FLAGS.results,
  profile: COMMON_FLAGS.profile,
  quick: { help: 'one short round and a smaller message: a look, not a measurement' },
  ends: COMMON_FLAGS.ends,
  help: COMMON_FLAGS.help,
} as const satisfies Flags

export type WebhookOptions = Readonly<Record<NumberName<typeof FLAGS>, number>> & ScenarioOptions<ScenarioName>

const ABOUT = { name: 'webhooks', help: 'Measures webhooks: what a delivery costs the hub, what hanging subscribers do to others, and huge messages.' }

/** @returns the options, or what to print instead: the help, or every mistake */
export function parseWebhookOptions(args: readonly string[]): WebhookOptions | { help: string } | { problems: string[] } {
  return parseScenarioOptions(args, ABOUT, FLAGS, SCENARIOS)
}
