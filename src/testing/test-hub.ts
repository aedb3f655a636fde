import { createHub, type Hub } from '../core/hub.ts'
import { createMemoryLog } from '../core/log.ts'
import { draft, type Message } from '../core/message.ts'
import type { Identity, Log } from '../core/ports.ts'
import { createRouter, type Router } from '../core/router.ts'
import { createRules, type Rule, type Rules } from '../core/rules.ts'
import { topicFromText } from '../core/topic.ts'
import { createManualClock, type ManualClock } from './manual-clock.ts'
import { createSeededRandom } from './seeded-random.ts'

/** Somebody of whom nothing is known, on another machine. */
export const STRANGER: Identity = { kind: 'anonymous', local: false, address: '192.0.2.1' }
/** The process itself. */
export const OURSELVES: Identity = { kind: 'embedded', local: true, address: 'process' }

/** A whole hub that runs on a made-up clock. */
export interface TestHub {
  readonly hub: Hub
  readonly log: Log
  readonly router: Router
  readonly rules: Rules
  readonly clock: ManualClock
  /** Publishes a text, and gives the message it became. */
  publish(topic: string, text: string): Promise<Message>
}

export function createTestHub(options: {
  rules?: readonly Rule[]
  seed?: number
  maxLogBytes?: number
  maxHeldBytes?: number
  /** Another log than the one in memory. */
  log?: (rules: Rules, clock: ManualClock) => Log
} = {}): TestHub {
  const clock = createManualClock()
  const rules = createRules(options.rules ?? [])
  const log = options.log?.(rules, clock) ?? createMemoryLog({
    rules,
    clock,
    random: createSeededRandom(options.seed ?? 1),
    maxBytes: options.maxLogBytes ?? 1_000_000,
  })
  const router = createRouter()
  const hub = createHub({ log, router, rules, maxHeldBytes: options.maxHeldBytes ?? 1_000_000 })
  return {
    hub,
    log,
    router,
    rules,
    clock,
    async publish(topic, text) {
      const receipt = await hub.publish(draft(topicFromText(topic), Buffer.from(text), 'text/plain'), OURSELVES)
      return receipt.message
    },
  }
}
