import { createHash } from 'node:crypto'
import { checkLedger } from './check-ledger.ts'
import * as sound from './parts.ts'
import { leaveAll, play } from './play.ts'
import type { Breach } from './promises.ts'
import { createWorld, type Parts, type World } from './world.ts'

export interface Outcome {
  readonly seed: number
  /** The first promise that was not kept. */
  readonly breach: Breach | undefined
  /** Everything that happened, a line for each. */
  readonly trace: readonly string[]
  /** The same for the same trace. */
  readonly hash: string
  readonly published: number
  readonly heard: number
}

/** Plays the world of one seed to its end and checks it. The same seed gives the same outcome. */
export async function simulate(seed: number, parts: Parts = sound): Promise<Outcome> {
  const world = createWorld(seed, parts)
  const onRejection = (error: unknown): void => {
    world.breaches.push({ promise: 'no rejection is left alone', detail: String(error), about: [], step: Infinity })
  }
  process.on('unhandledRejection', onRejection)
  try {
    await run(world, seed)
  } finally {
    process.off('unhandledRejection', onRejection)
  }
  return {
    seed,
    breach: world.breaches[0],
    trace: world.trace,
    hash: createHash('sha256').update(world.trace.join('\n')).digest('hex'),
    published: world.ledger.publications.length,
    heard: world.ledger.sessions.reduce((sum, { got }) => sum + got.length, 0),
  }
}

async function run(world: World, seed: number): Promise<void> {
  const { breaches, plan, ledger, sites } = world
  try {
    await play(world, seed)
    const breach = checkLedger(ledger, plan)
    if (breach !== undefined) breaches.push(breach)
    await leaveAll(world)
  } catch (error) {
    breaches.push({ promise: 'nothing throws', detail: error instanceof Error ? (error.stack ?? error.message) : String(error), about: [], step: Infinity })
  }
  for (const { held } of sites) {
    const { topics, patterns, fanOuts } = held
    if (topics + patterns + fanOuts > 0) breaches.push({ promise: 'when everyone has left, nothing is held', detail: `${topics} topics, ${patterns} patterns, ${fanOuts} fan-outs`, about: [], step: Infinity })
  }
}

const LAST_LINES = 40

/**
 * What to print of a failure: the seed that repeats it, what was broken, and what led to it.
 * @param options what else the command needs to repeat it
 */
export function report({ seed, breach, trace }: Outcome, options = ''): string {
  if (breach === undefined) return `seed ${seed}: everything holds`
  const { promise, detail, about, step } = breach
  const names = new RegExp(`\\b(${[...about, 'the hub has'].join('|')})\\b`)
  const before = trace.filter((line) => Number.parseInt(line) <= step)
  const lines = about.length === 0 ? before : before.filter((line) => names.test(line))
  return [
    `seed ${seed} breaks: ${promise}`,
    `  ${detail}`,
    `  what led to it, step by step (@milliseconds)${about.length === 0 ? '' : `, as far as it is about ${about.join(' and ')}`}:`,
    ...(lines.length > LAST_LINES ? ['    …'] : []),
    ...lines.slice(-LAST_LINES).map((line) => `    ${line}`),
    `  repeat it: npm run simulate -- --seed ${seed}${options}`,
  ].join('\n')
}
