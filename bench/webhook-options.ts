import { describeFlags, parseFlags, type Flags, type NumberName } from './flags.ts'

/** What can be measured of webhooks. */
export const SCENARIOS = {
  notify: 'notify to 0, 1, 10 and many webhooks, with no proof and with HMAC both ways, by one publisher and by several',
  hanging: 'how soon healthy subscribers have a message, alone and while as many others hang',
  huge: 'one message that is too large for memory, to three webhooks; and what is left of it after a kill',
} as const

export type ScenarioName = keyof typeof SCENARIOS

/** The table is the truth: parsing and `--help` come from it. */
const FLAGS = {
  rounds: { value: 'N', default: 3, quick: 1, min: 1, whole: true, help: 'how often each row is measured; the tables show medians' },
  seconds: { value: 'S', default: 3, quick: 1, min: 0.05, help: 'how long one measurement lasts; those with hanging subscribers four times that, so that their time-outs fall into it' },
  warmup: { value: 'S', default: 1.5, quick: 0.5, min: 0, help: 'load before each measurement that does not count' },
  subscribers: { value: 'N', default: 1_000, min: 1, whole: true, help: 'the most webhooks of a notify' },
  publishers: { value: 'N', default: 16, min: 1, whole: true, help: 'the most publishers at once, each with a notify under way on a topic of its own' },
  size: { value: 'BYTES', default: 1_024, min: 8, whole: true, help: 'size of a message' },
  healthy: { value: 'N', default: 100, min: 1, whole: true, help: 'subscribers that answer, and as many that hang' },
  rate: { value: 'N', default: 10, min: 1, help: 'notifies per second to them' },
  huge: { value: 'BYTES', default: 268_435_456, quick: 67_108_864, min: 1_048_576, whole: true, help: 'size of the message that is too large for memory, for example 8GiB' },
  only: { value: 'ROW', help: `only this, may be given again: ${Object.keys(SCENARIOS).join(', ')}` },
  dir: { value: 'DIR', help: 'where the hub keeps its data while it is measured (the folder for temporary files); it needs room for the huge message' },
  results: { value: 'DIR', help: 'where all figures are written as JSON (bench/results)' },
  profile: { value: 'DIR', help: 'write CPU profiles of the hub there; the figures suffer a little' },
  quick: { help: 'one short round and a smaller message: a look, not a measurement' },
  help: { help: 'this text' },
} as const satisfies Flags

export type WebhookOptions = Readonly<Record<NumberName<typeof FLAGS>, number>> & {
  readonly only: readonly ScenarioName[]
  readonly dir: string | undefined
  readonly results: string | undefined
  readonly profile: string | undefined
}

/** @returns the options, or what to print instead: the help, or every mistake */
export function parseWebhookOptions(args: readonly string[]): WebhookOptions | { help: string } | { problems: string[] } {
  const names = Object.keys(SCENARIOS) as ScenarioName[]
  if (args.includes('--help')) {
    const rows = Object.entries(SCENARIOS).map(([name, help]) => `  ${name.padEnd(12)}${help}\n`)
    return { help: `Measures webhooks: what a delivery costs the hub, what hanging subscribers do to others, and huge messages.\n\nUsage: npm run bench -- webhooks [options]\n\n${describeFlags(FLAGS)}\nRows:\n${rows.join('')}` }
  }
  const parsed = parseFlags(args, FLAGS, names)
  if ('problems' in parsed) return parsed
  const { numbers, given, only } = parsed
  return {
    ...numbers,
    only: only.length > 0 ? (only as ScenarioName[]) : names,
    dir: given.get('dir'),
    results: given.get('results'),
    profile: given.get('profile'),
  }
}
