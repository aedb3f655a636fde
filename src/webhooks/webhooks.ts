import type { Confirmations, HubPort, RandomBytes, Random, Transport } from '../core/ports.ts'
import type { Registration, Registry } from '../core/registry.ts'
import type { Topic } from '../core/topic.ts'
import type { TransportKit } from '../core/transport-kit.ts'
import type { Checker, Scheme } from '../protocol/lonelyps/authorization.ts'
import { createBatches } from './batches.ts'
import { createCaller, type CallTimes } from './caller.ts'
import { createDeliveries, type Outcome } from './deliveries.ts'
import { createRegistrationIndex, type RegistrationIndex } from './index-of-registrations.ts'
import { createLanes } from './lanes.ts'
import { createNotices, type NoticePolicy } from './notices.ts'
import { createProver } from './signing.ts'
import { createSlots } from './slots.ts'

export interface WebhooksOptions {
  readonly kit: TransportKit
  readonly registry: Registry
  readonly random: Random
  readonly randomBytes: RandomBytes
  /** Connects to what a webhook may reach, and to nothing else: see `createGuardedConnector`. */
  readonly connector: unknown
  /** How we prove ourselves to subscribers, and they to us. */
  readonly toSubscribers: Scheme
  readonly checker: Checker
  readonly policy: NoticePolicy
  readonly events: {
    /** A delivery or a notice was in vain. */
    failed(registration: Registration, topic: Topic, why: string): void
    /** The registry did not do what it was asked for. */
    registry(error: unknown): void
    unusable(registration: Registration, error: unknown): void
  }
}

/** Subscribers that keep no connection open: their urls get the messages as lonelyps receive webhooks. */
export interface Webhooks extends Transport, Confirmations {
  gauges(): { registrations: number; running: number; waiting: number }
}

const NAME = 'webhooks'
/** One registration may keep so many-th a part of the memory for messages. */
const SHARES = 8

export function createWebhooks(options: WebhooksOptions): Webhooks {
  const { kit, registry, random, randomBytes, checker, events } = options
  const { limits, clock, meter } = kit
  const times: CallTimes = limits
  const slots = createSlots({ total: limits.maxWebhooks, perHost: limits.maxWebhooksPerHost })
  const caller = createCaller({ connector: options.connector, slots, wheel: kit.wheel, times })
  const prover = createProver(options.toSubscribers, clock, randomBytes)
  const batches = createBatches(limits.maxWebhookBytes)
  const lanes = createLanes(limits.maxWebhookQueue)
  const notices = createNotices({
    registry, caller, prover, checker, clock, random, policy: options.policy,
    interval: limits.missedInterval, lock: limits.webhookTotalTimeout + 5_000, failed: events.registry,
  })
  const deliveries = createDeliveries({
    caller, lanes, batches, prover, checker, clock, randomBytes,
    share: limits.maxWebhookBytes / SHARES,
    isThere: (id) => index?.has(id) === true && !leaving.has(id),
    events: { settled },
  })
  /** Registrations that are being taken away: what waits for them is not sent, though the registry still has them. */
  const leaving = new Set<number>()
  let index: RegistrationIndex | undefined
  let stopping: Promise<void> | undefined

  function settled(registration: Registration, topic: Topic, outcome: Outcome, seconds: number): void {
    switch (outcome.type) {
      case 'confirmed': return meter.delivered(NAME, 1, seconds)
      case 'gone': return
      case 'unsubscribe': return takeAway(registration)
      case 'failed':
        meter.failed(NAME)
        events.failed(registration, topic, outcome.why)
        return notices.missed(registration, topic)
      default: return outcome satisfies never
    }
  }

  function takeAway({ id }: Registration): void {
    if (leaving.has(id)) return
    leaving.add(id)
    void registry.removeId(id).catch(events.registry).then(() => leaving.delete(id))
  }

  async function stop(index: RegistrationIndex, deadline: AbortSignal): Promise<void> {
    const over = Promise.withResolvers<void>()
    if (deadline.aborted) over.resolve()
    else deadline.addEventListener('abort', () => over.resolve(), { once: true })
    await Promise.race([deliveries.idle(), over.promise])
    await caller.close()
    await deliveries.idle()
    await notices.stop()
    index.close()
  }

  return {
    name: NAME,
    confirmed: batches.confirmed,
    gauges: () => ({ registrations: index?.size ?? 0, running: slots.running, waiting: slots.waiting + lanes.waiting }),
    async start(hub: HubPort) {
      const opened = createRegistrationIndex(hub, deliveries.deliver, events.unusable)
      index = opened
      await registry.start(opened.apply)
      notices.start()
    },
    async stop(deadline) {
      if (index !== undefined) await (stopping ??= stop(index, deadline))
    },
  }
}
