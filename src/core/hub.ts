import { catchUp } from './catch-up.ts'
import { WaystationError } from './errors.ts'
import { cursorOf, type Draft, type Lost, type LostInterest, type Message } from './message.ts'
import type { HubPort, Identity, Log, Receipt, Subscriber } from './ports.ts'
import type { Router } from './router.ts'
import type { Rules } from './rules.ts'

export interface Hub extends HubPort {
  readonly topics: number
  readonly patterns: number
  /** No publication is taken from now on. */
  stop(): void
}

/**
 * The routing core. What is published is allowed by the rules, numbered by the log, and handed to everyone who wants it,
 * in the order of offsets. It knows no socket, no file, no clock.
 */
export function createHub(parts: { log: Log; router: Router; rules: Rules; maxHeldBytes: number; resume?: typeof catchUp }): Hub {
  const { log, router, rules, maxHeldBytes } = parts
  let routed = log.head
  let stopped = false
  /** The last append that has not settled. While there is one, everything waits behind it: see docs/decisions. */
  let lane: Promise<unknown> | undefined

  function publish(draft: Draft, by: Identity): Receipt | Promise<Receipt> {
    if (stopped) throw new WaystationError('stopped')
    if (!rules.may('publish', draft.topic, by)) throw new WaystationError('forbidden', `publishing to ${JSON.stringify(draft.topic)}`)
    const appended = log.append(draft)
    if (lane === undefined && !(appended instanceof Promise)) return route(appended)
    return queue(appended, route)
  }

  function lose(interest: LostInterest): void {
    if (stopped) return
    const lost = log.lose(interest)
    if (lane === undefined && !(lost instanceof Promise)) announce(lost)
    else void queue(lost, announce)
  }

  function route(message: Message): Receipt {
    routed = message.offset
    let subscribers = 0
    for (const subscriber of router.match(message.topic)) {
      if (hand(subscriber, message)) subscribers += subscriber.count
    }
    for (const subscriber of router.everywhere) hand(subscriber, message)
    return { message, subscribers }
  }

  function announce({ epoch, offset, lost }: Lost): void {
    routed = offset
    const [from, to] = [{ epoch, offset: offset - 1 }, { epoch, offset }]
    for (const subscriber of router.overlapping(lost)) subscriber.gap(from, to, lost)
    for (const subscriber of router.everywhere) subscriber.gap(from, to, lost)
  }

  /** Whether it was delivered, and is no gap. */
  function hand(subscriber: Subscriber, message: Message): boolean {
    if (message.large !== undefined && subscriber.takesLarge !== true) {
      subscriber.gap({ epoch: message.epoch, offset: message.offset - 1 }, cursorOf(message))
      return false
    }
    subscriber.deliver(message)
    return true
  }

  /** Behind the appends before it, so that the order of routing is the order of offsets. A failed append fails alone. */
  function queue<N, R>(numbered: N | Promise<N>, handOn: (one: N) => R): Promise<R> {
    const before = lane
    const mine = (async () => {
      const outcome = Promise.resolve(numbered)
      outcome.catch(() => {})
      await before
      return handOn(await outcome)
    })()
    const settled = mine.then(() => {}, () => {})
    lane = settled
    void settled.then(() => {
      if (lane === settled) lane = undefined
    })
    return mine
  }

  return {
    get cursor() { return { epoch: log.epoch, offset: routed } },
    get head() { return log.head },
    prompt: log.prompt === true,
    get topics() { return router.topics },
    get patterns() { return router.patterns },
    publish,
    lose,
    audience: (topic) => router.match(topic).reduce((sum, subscriber) => sum + subscriber.count, 0),
    may: rules.may,
    maySubscribe: rules.maySubscribe,
    join: router.join,
    joinAll: router.joinAll,
    resume: (interest, after, late) =>
      (parts.resume ?? catchUp)({ interest, after, late, log, router, routed: () => routed, maxHeldBytes }),
    stop() {
      stopped = true
    },
  }
}
