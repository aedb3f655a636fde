import { exactly, interestIn, type Interest } from '../../src/core/interest.ts'
import type { Keep, Rule } from '../../src/core/rules.ts'
import { topicFromBytes, topicFromText, type Topic } from '../../src/core/topic.ts'
import { createChance, type Chance } from './chance.ts'
import type { LogPace } from './slow-log.ts'

/** What a world is like, all of it drawn from its seed. */
export interface Plan {
  readonly topics: readonly Topic[]
  /** Few, so that several clients want the same and stand in one fan-out. */
  readonly interests: readonly Interest[]
  readonly rules: readonly Rule[]
  readonly pace: LogPace
  readonly maxPendingBytes: number
  readonly maxHeldBytes: number
  readonly maxLogBytes: number
  readonly clients: number
  readonly turns: number
  readonly body: { readonly usual: number; readonly large: number; readonly largeOdds: number }
  readonly restartOdds: number
  /** What a link may lose on its way here, and how often it does; none in most worlds. */
  readonly lossOdds: number
  readonly losses: readonly Interest[]
}

export const PLENTY = 2 ** 40
const NAMES = ['a', 'b', 'a/1', 'a/2', 'b/1', 'c/x/1', 'é/☃', 'locked', 'secret'] as const
const GLOBS = ['*', 'a*', 'a/*', '**/1', '?', '[ab]/*', 'b/[!2]', 'c/?/*', 'é/?'] as const
/** The last kind is heavy: a history longer than one batch of a catch-up. */
const BODIES: readonly Plan['body'][] = [
  { usual: 40, large: 40, largeOdds: 0 },
  { usual: 16, large: 1_500, largeOdds: 0.1 },
  { usual: 300, large: 6_000, largeOdds: 0.1 },
  { usual: 40, large: 50_000, largeOdds: 0.4 },
]
const RAW = topicFromBytes(Uint8Array.of(0xff, 0x41))

export function drawPlan(seed: number): Plan {
  const chance = createChance(seed, 'plan')
  const names = NAMES.filter(() => chance.odds(0.7))
  if (names.length === 0) names.push('a')
  const topics = [...names.map(topicFromText), ...(chance.odds(0.3) ? [RAW] : [])]
  return {
    topics,
    interests: Array.from({ length: chance.int(1, 3) }, () => drawInterest(chance, names, topics)),
    rules: drawRules(chance),
    pace: drawPace(chance),
    maxPendingBytes: chance.pick([1_024, 2_048, 8_192, 65_536]),
    maxHeldBytes: chance.pick([1_024, 4_096, 65_536]),
    maxLogBytes: chance.odds(0.2) ? chance.int(2_000, 20_000) : PLENTY,
    clients: chance.int(2, 8),
    turns: chance.int(15, 60),
    body: chance.pick(BODIES),
    restartOdds: chance.pick([0, 0, 0.02, 0.05]),
    lossOdds: chance.pick([0, 0, 0.03, 0.1]),
    losses: Array.from({ length: 3 }, () => drawInterest(chance, names, topics)),
  }
}

function drawInterest(chance: Chance, names: readonly string[], topics: readonly Topic[]): Interest {
  if (chance.odds(0.35)) return exactly(chance.pick(topics))
  const sources = Array.from({ length: chance.int(1, 3) }, () => (chance.odds(0.5) ? chance.pick(names) : chance.pick(GLOBS)))
  return interestIn(sources)
}

function drawRules(chance: Chance): Rule[] {
  const keep = (): Keep => ({ messages: chance.pick([1, 3, 10, 50, 1_000]), ms: chance.pick([150, 1_000, 60_000, PLENTY]) })
  const rules: Rule[] = [{ topics: 'locked', publish: 'nobody' }]
  if (chance.odds(0.2)) rules.push({ topics: 'secret', subscribe: 'nobody' })
  for (const topics of ['a*', 'b*', '**/1', 'é/*']) if (chance.odds(0.5)) rules.push({ topics, keep: keep() })
  // Everything kept, and kept well, in every other world: there a resume has to be exact, for globs too.
  if (chance.odds(0.5)) rules.push({ topics: '*', keep: chance.odds(0.6) ? { messages: 1_000, ms: PLENTY } : keep() })
  return rules
}

function drawPace(chance: Chance): LogPace {
  return {
    append: chance.pick(['at once', 'at once', 'numbered', 'numbered', 'queued']),
    shows: chance.pick(['numbered', 'settled']),
    read: chance.pick(['whole', 'in pieces']),
  }
}
