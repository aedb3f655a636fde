import { createHash } from 'node:crypto'
import { limitsWith, type Limits } from '../../../../src/core/limits.ts'
import type { Scheme } from '../../../../src/protocol/lonelyps/authorization.ts'
import type { HeaderForm } from '../../../../src/protocol/lonelyps/stateful/messages.ts'
import { createChance, type Chance } from '../../../simulation/chance.ts'

/** What the world of one sequence is like, all of it drawn from its seed. */
export interface Plan {
  readonly toBroadcasters: Scheme
  readonly toSubscribers: Scheme
  readonly form: HeaderForm
  readonly limits: Limits
  readonly sockets: number
  readonly steps: number
  /** How often something is said that must not be. */
  readonly illegal: number
  /** How often signatures take time to remember, or cannot be. */
  readonly moody: number
  readonly relaying: 'none' | 'there'
  readonly compression: 'no' | 'yes' | 'trained'
  /** What the rule for one topic forbids. */
  readonly locked: 'publish' | 'both'
  /** Messages of so many bytes at most. */
  readonly body: number
  /** What is unforeseeable elsewhere. */
  readonly bytes: (size: number) => Buffer
}

export const TOPICS = [Buffer.from('a'), Buffer.from('a/b'), Buffer.from('b'), Buffer.of(0x61, 0xff)] as const
export const GLOBS = ['a*', '*', '?', 'b'].map((glob) => Buffer.from(glob))
/** Nobody but the process may publish there. */
export const LOCKED = Buffer.from('locked')
/** A dictionary that both sides know. */
export const PRESET = { id: 2, level: 3, bytes: Buffer.from('{"temperature": 21.5, "humidity": 40, "where": "the kitchen"}'.repeat(4)) }
/** Of waiting messages, beside their bodies; one socket may have an eighth of the limit. */
export const ENTRY_BYTES = 256
export const SHARES = 8
/** Parts so large that every message here is one. */
export const WHOLE = 100_000
const LOTS = 2 ** 40

export function drawPlan(seed: number): Plan {
  const chance = createChance(seed, 'plan')
  // Where parts are sent, how many messages wait at a time is not foretold; so the queue is bounded only where none are.
  const shape = chance.pick(['plain', 'plain', 'queue', 'parts', 'parts', 'spool', 'compressed'] as const)
  const compression = shape === 'compressed' || (shape === 'parts' && chance.odds(0.1)) ? (chance.odds(0.04) ? 'trained' : 'yes') : 'no'
  return {
    toBroadcasters: drawScheme(chance, 1), toSubscribers: drawScheme(chance, 2),
    form: chance.odds(0.5) ? 'minimal' : 'expanded',
    limits: limitsWith({
      maxUnacknowledged: chance.pick([0, 1, 1, 2, 3]),
      maxPartBytes: shape === 'parts' || shape === 'spool' ? chance.pick([512, 800, 1_500]) : WHOLE,
      maxUnanswered: chance.pick([1, 2, 3, 1_024]),
      maxSocketQueue: shape === 'queue' ? chance.int(1, 4) : LOTS,
      maxSocketBytes: shape === 'queue' ? chance.pick([4_000, 16_000, LOTS]) : LOTS,
      maxSocketSubscriptions: chance.pick([2, 100]),
      maxSocketGlobs: chance.pick([1, 100]),
      maxGlobBytes: 8,
      spoolAbove: shape === 'spool' ? 300 : LOTS,
      maxSpoolBytes: LOTS,
      compressionMinSize: 32,
      compressionTrainedMaxSize: 200,
      trainingLowWatermark: 1_024,
      trainingHighWatermark: 2_048,
      retrainInterval: 1_000,
      configureTimeout: 1_000,
      acknowledgeTimeout: 3_000,
    }),
    sockets: chance.int(1, 3),
    steps: chance.int(6, 18),
    illegal: chance.pick([0, 0.03, 0.15]),
    moody: chance.pick([0, 0.3]),
    relaying: chance.odds(0.3) ? 'there' : 'none',
    locked: chance.odds(0.8) ? 'publish' : 'both',
    compression,
    body: shape === 'parts' || shape === 'spool' ? 3_000 : 400,
    bytes: drawBytes(seed),
  }
}

function drawScheme(chance: Chance, side: number): Scheme {
  return chance.pick<Scheme>([{ type: 'none' }, { type: 'token', secret: `secret ${side}` }, { type: 'hmac', key: Buffer.alloc(64, side) }])
}

function drawBytes(seed: number): (size: number) => Buffer {
  let drawn = 0
  return (size) => createHash('sha256').update(`${seed} ${drawn++}`).digest().subarray(0, size)
}
