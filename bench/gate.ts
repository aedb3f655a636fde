import { writeFileSync } from 'node:fs'
import { describeMachine, openFiles, read, versions, type Pinning } from './machine.ts'
import { GATE_SCENARIOS, type GateOptions, type GateScenario } from './gate-options.ts'
import type { FanOut, Generator } from './generator.ts'
import { measureFanOut } from './peer-rows.ts'
import { generatorOf } from './peers.ts'
import { median } from './table.ts'
import { buildTools } from './tools.ts'

/** CPU for each delivery, Waystation's divided by the ws loop's, by the name of what makes the load: it has a part in what joins. */
export type Recorded = Readonly<Partial<Record<Generator['name'], { readonly ratios: Readonly<Partial<Record<GateScenario, number>>> }>>>

/** A quarter worse. */
const WORST = 1.25
/** Once more, and once more: what is only the machine's noise does not come three times. */
const REPEATS = 2

export type Verdict = 'holds' | 'worse' | 'unknown'

/** @returns how a ratio stands beside what was recorded; better is always good */
export function verdictOf(recorded: number | undefined, found: number): Verdict {
  if (recorded === undefined || !Number.isFinite(found)) return 'unknown'
  return found > recorded * WORST ? 'worse' : 'holds'
}

/** What the gate says of one scenario. */
export function sentenceOf(scenario: GateScenario, recorded: number | undefined, found: number): string {
  const name = `${scenario} (${GATE_SCENARIOS[scenario]})`
  const so = `${name}: a delivery costs ${found.toPrecision(3)} of the ws loop's`
  if (recorded === undefined) return `${so}, and nothing is recorded: npm run bench:gate -- --record`
  const change = Math.round((found / recorded - 1) * 100)
  const was = `${so}; recorded is ${recorded.toPrecision(3)}`
  switch (verdictOf(recorded, found)) {
    case 'holds': return `${was}.`
    case 'worse': return `${was}: worse by ${change} %, and ${Math.round((WORST - 1) * 100)} % is the most.`
    case 'unknown': return `${name}: nothing was found that could be compared.`
  }
}

/** The ratios of the file that were found with this generator. @throws {Error} when the file is none of ours */
export function recordedIn(text: string | undefined): Recorded {
  if (text === undefined) return {}
  const parsed: unknown = JSON.parse(text)
  if (typeof parsed !== 'object' || parsed === null) throw new Error('the file of recorded ratios holds no object')
  return parsed as Recorded
}

/** Measures both in turns. @param noise gets the cores that something else used. @returns the ratio of each round */
async function ratiosOf(scenario: GateScenario, options: GateOptions, generator: Generator, pinning: Pinning | undefined, noise: number[]): Promise<number[]> {
  const { subscribers, size, warmup, seconds } = options
  const ratios: number[] = []
  const load = loadOf(scenario, subscribers, size)
  const place = { options: { warmup, seconds, profile: undefined }, pinning }
  for (let round = 1; round <= options.rounds; round++) {
    process.stderr.write(`${scenario}, round ${round} of ${options.rounds}\n`)
    const cpu: Record<string, number> = {}
    for (const name of round % 2 === 1 ? ['waystation', 'ws-loop'] as const : ['ws-loop', 'waystation'] as const) {
      const found = await measureFanOut({ tools: NO_TOOLS, generator, files: openFiles() }, name, load, 'writes each', place)
      cpu[name] = found['cpu'] ?? NaN
      noise.push(found['elsewhere'] ?? 0)
    }
    ratios.push((cpu['waystation'] as number) / (cpu['ws-loop'] as number))
  }
  return ratios
}

const NO_TOOLS = { wsload: undefined, floor: undefined, notes: [], [Symbol.dispose]() {} }

function loadOf(scenario: GateScenario, subscribers: number, size: number): Omit<FanOut, 'warmup' | 'seconds'> {
  switch (scenario) {
    case 'one': return { subscribers, channels: 1, size, inFlight: 1 }
    case 'many': return { subscribers, channels: 1, size, inFlight: 64 }
    case 'channels': return { subscribers, channels: subscribers, size, inFlight: 64 }
    case 'ten': return { subscribers: Math.min(10, subscribers), channels: 1, size, inFlight: 256 }
  }
}

export interface Judged {
  readonly found: Readonly<Partial<Record<GateScenario, number>>>
  readonly sentences: readonly string[]
  readonly gate: 'open' | 'closed'
}

/**
 * Takes the median of the ratios of each scenario; one that seems to be worse is measured again before it counts.
 * @param measure some rounds more
 */
export async function judge(only: readonly GateScenario[], recorded: Readonly<Partial<Record<GateScenario, number>>>, measure: (scenario: GateScenario) => Promise<readonly number[]>): Promise<Judged> {
  const found: Partial<Record<GateScenario, number>> = {}
  for (const scenario of only) {
    const ratios = [...await measure(scenario)]
    for (let again = 0; again < REPEATS && verdictOf(recorded[scenario], median(ratios)) === 'worse'; again++) ratios.push(...await measure(scenario))
    found[scenario] = median(ratios)
  }
  const held = only.every((scenario) => verdictOf(recorded[scenario], found[scenario] as number) === 'holds')
  return { found, sentences: only.map((scenario) => sentenceOf(scenario, recorded[scenario], found[scenario] as number)), gate: held ? 'open' : 'closed' }
}

/** Measures, says of each scenario how it stands, and sets the exit code; or writes what it found as what holds. */
export async function runGate(options: GateOptions, pinning: Pinning | undefined, notes: readonly string[]): Promise<void> {
  using tools = buildTools(options.tools)
  const generator = generatorOf(tools, pinning)
  const all = recordedIn(read(options.file))
  const recorded = all[generator.name]?.ratios ?? {}
  const noise: number[] = []
  const { found, sentences, gate } = await judge(options.only, options.purpose === 'record' ? {} : recorded, (scenario) => ratiosOf(scenario, options, generator, pinning, noise))
  process.stdout.write(`${[...notes, ...tools.notes, ...doubtsOf(noise)].join('\n')}\n\n`)
  if (options.purpose === 'record') return record(options.file, all, generator.name, { ...recorded, ...found })
  process.stdout.write(`${sentences.join('\n')}\nThe gate is ${gate}.\n`)
  if (gate === 'closed') process.exitCode = 1
}

/** What one has to know before one believes the gate. */
export function doubtsOf(noise: readonly number[]): string[] {
  const elsewhere = noise.length === 0 ? 0 : median(noise)
  return elsewhere < 0.1 ? [] : [`Something else used ${elsewhere.toFixed(1)} cores meanwhile: look again when the machine is quiet.`]
}

function record(file: string, all: Recorded, generator: Generator['name'], ratios: Readonly<Record<string, number>>): void {
  for (const [name, ratio] of Object.entries(ratios)) {
    if (!Number.isFinite(ratio)) throw new Error(`${name} took no CPU that the system has counted: longer measurements are needed (--seconds)`)
  }
  const rounded = Object.fromEntries(Object.entries(ratios).map(([name, ratio]) => [name, Number(ratio.toPrecision(3))]))
  const { waystation, node, ws } = versions()
  writeFileSync(file, `${JSON.stringify({ ...all, [generator]: { at: new Date().toISOString(), versions: { waystation, node, ws }, machine: describeMachine(), ratios: rounded } }, null, 2)}\n`)
  process.stdout.write(`Recorded for ${generator}: ${Object.entries(rounded).map((pair) => pair.join(' ')).join(', ')}\n`)
}
