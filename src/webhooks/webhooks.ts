import type { LostInterest, Message } from '../core/message.ts'
import type { Confirmations, HubPort, RandomBytes, Random, Subscriber, Transport } from '../core/ports.ts'
import type { Registration, Registry } from '../core/registry.ts'
import { createSlices } from '../core/slices.ts'
import type { Topic } from '../core/topic.ts'
import type { TransportKit } from '../core/transport-kit.ts'
import type { Checker, Scheme } from '../protocol/lonelyps/authorization.ts'
import type { Claim } from '../protocol/lonelyps/claims.ts'
import { createProver } from '../protocol/lonelyps/prover.ts'
import { createBatches } from './batches.ts'
import { createCaller, type CallTimes } from './caller.ts'
import { createDeliveries, type Outcome } from './deliveries.ts'
import { createFreshness } from './freshness.ts'
import { createHandover, type Handover } from './handover.ts'
import { createHubRegistrations, isHubUrl } from './hubs.ts'
import { createRegistrationIndex, type Found } from './index-of-registrations.ts'
import { createLanes } from './lanes.ts'
import { createNotices, type NoticePolicy, type OwnUrls } from './notices.ts'
import { createSlots } from './slots.ts'

export interface WebhooksOptions {
  readonly kit: TransportKit
  readonly registry: Registry
  readonly random: Random
  readonly randomBytes: RandomBytes
  /** Connects to what a webhook may reach, and to nothing else: see `createGuardedConnector`. */
  readonly connector: unknown
  /** Headers that go with every webhook. */
  readonly mark?: Readonly<Record<string, string>>
  /** How this hub registers itself for its sockets. They are reached in memory: nothing is sent there. */
  readonly own?: OwnUrls
  /** How we prove ourselves to subscribers, and they to us. */
  readonly toSubscribers: Scheme
  readonly checker: Checker
  /** How we prove to another hub that we are one on the same registry: the value of `Waystation-Relay`. */
  readonly proveHub?: (claim: Claim) => Promise<string | undefined>
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
  /** Registrations that count for the bound of this url: those of hubs are apart, or their sockets would take everybody's room. */
  registrations(url: string): number
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
  const caller = createCaller({ connector: options.connector, slots, wheel: kit.wheel, times, mark: options.mark ?? {} })
  const prover = createProver(options.toSubscribers, clock, randomBytes)
  const batches = createBatches(limits.maxWebhookBytes)
  const lanes = createLanes(limits.maxWebhookQueue)
  const tellings = createSlices(clock)
  /** What is lost, and nobody has been told yet. */
  const untold = new Set<LostInterest>()
  const notices = createNotices({
    registry, caller, prover, checker, clock, random, policy: options.policy,
    interval: limits.missedInterval, lock: limits.webhookTotalTimeout + 5_000, failed: events.registry, own: options.own,
  })
  const deliveries = createDeliveries({
    caller, lanes, batches, prover, checker, clock, randomBytes,
    proveHub: options.proveHub,
    share: limits.maxWebhookBytes / SHARES,
    // A hub that wants a message no more by one registration may want it by another, which was passed over for this one.
    isThere: ({ id, url }) => (index.has(id) && !leaving.has(id)) || isHubUrl(url),
    events: { settled },
  })
  /** Registrations that are being taken away: what waits for them is not sent, though the registry still has them. */
  const leaving = new Set<number>()
  const index = createRegistrationIndex(events.unusable)
  const hubs = createHubRegistrations(options.own?.receiveUrl)
  const handover = (name: string, find: (topic: Topic, newest: number) => Found | undefined, more: { isFew?: (topic: Topic) => boolean } = {}): Handover => createHandover({
    ...more, clock, batches, name, find, newest: () => index.newest, deliver, missed: deliveries.missed, lost: () => meter.failed(NAME),
  })
  // Apart: globs that take long to ask hold up no registration of a topic.
  const named = handover('named', index.named, { isFew: index.isFew })
  const matching = handover('matching', index.matching)
  const subscriber: Subscriber = {
    // They are not here: what became of them is confirmed later.
    count: 0,
    takesLarge: true,
    deliver: hear,
    gap(_from, _to, lost) {
      // One that waits says the same.
      if (lost === undefined || untold.has(lost)) return
      untold.add(lost)
      tellings.add(tell(lost))
    },
  }
  let leave: (() => void) | undefined
  let started = false
  let stopping: Promise<void> | undefined

  const freshness = createFreshness({
    clock,
    current: () => (started && registry.available ? registry.current() : undefined),
    maxBytes: limits.maxWebhookBytes / SHARES,
    pass(message) {
      if (index.size === 0) return
      named.take(message)
      matching.take(message)
    },
  })

  function hear(message: Message): void {
    // Whoever relayed it has sent the webhooks.
    if (message.relayed !== true) freshness.take(message)
  }

  function deliver(registration: Registration, message: Message): void {
    if (!hubs.isRepeated(registration, message)) deliveries.deliver(registration, message)
  }

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

  /** Step by step: a loss may touch any number of them. */
  function* tell(lost: LostInterest): Generator<void, void> {
    untold.delete(lost)
    for (const found of index.touched(lost)) {
      if (found !== undefined && found.registration.recovery !== undefined) {
        meter.gap(NAME)
        notices.missed(found.registration, found.topic)
      }
      yield
    }
  }

  function takeAway({ id }: Registration): void {
    if (leaving.has(id)) return
    leaving.add(id)
    void registry.removeId(id).catch(events.registry).then(() => leaving.delete(id))
  }

  async function stop(leave: () => void, deadline: AbortSignal): Promise<void> {
    const over = Promise.withResolvers<void>()
    if (deadline.aborted) over.resolve()
    else deadline.addEventListener('abort', () => over.resolve(), { once: true })
    await Promise.race([idle(), over.promise])
    // Asking globs may take for ever; whoever registered a name is told of what was missed.
    matching.close()
    tellings.close()
    await caller.close()
    await idle()
    await notices.stop()
    leave()
  }

  async function idle(): Promise<void> {
    await freshness.idle()
    await tellings.idle()
    await Promise.all([named.idle(), matching.idle()])
    await deliveries.idle()
  }

  return {
    name: NAME,
    confirmed(message) {
      const passed = freshness.passed(message)
      return passed === undefined ? batches.confirmed(message) : passed.then(() => batches.confirmed(message))
    },
    registrations: (url) => (isHubUrl(url) ? hubs.size : index.size - hubs.size),
    gauges: () => ({ registrations: index.size, running: slots.running, waiting: slots.waiting + lanes.waiting }),
    async start(hub: HubPort) {
      leave = hub.joinAll(subscriber)
      await registry.start((changes) => index.apply(hubs.withoutOwn(changes)))
      started = true
      notices.start()
    },
    async stop(deadline) {
      if (leave !== undefined) await (stopping ??= stop(leave, deadline))
    },
  }
}
