import type { Message } from '../core/message.ts'
import type { Clock } from '../core/ports.ts'
import type { Registration } from '../core/registry.ts'
import type { Topic } from '../core/topic.ts'
import type { Batch, Batches } from './batches.ts'
import type { Found } from './index-of-registrations.ts'

/** Hands messages to the registrations that want them, a slice of time in each turn of the event loop. */
export interface Handover {
  /** Messages that have not been handed to all yet. */
  readonly open: number
  /** At once, as far as the slice of this turn lasts and nothing waits before it. */
  take(message: Message): void
  idle(): Promise<void>
  /** Lets go of what waits. */
  close(): void
}

interface Job {
  readonly topic: Topic
  /** `undefined` when there was no room: it is missed by all that it is not handed to. */
  readonly message: Message | undefined
  readonly batch: Batch | undefined
  newest: number
  found: Found | undefined
}

/** Milliseconds of each turn. */
const SLICE = 5
/** Registrations between two looks at the clock. After what was done in vain it is looked at always: that may take long. */
const BETWEEN_LOOKS = 32
/** Messages without room whose topics are remembered. */
const MOST_MISSED = 1_000

/**
 * Messages are handed over strictly in their order, each to those who were registered when it was published and still are.
 *
 * A message that is not handed over within its turn is held: it counts in the batches as one delivery on its way does, so
 * that whoever waits for its confirmations waits for this too. Where the batches have no room, its registrations are found
 * all the same, in its place in the order, and each of them misses it. Where one of its topic waits to be found already,
 * they are found once for both. Past `MOST_MISSED` topics nobody is found, and `lost` is told.
 *
 * @param parts.name what the batches know it by, beside the hosts
 * @param parts.find those who want a topic, of ids up to `newest`; `undefined` when it is nobody
 * @param parts.isFew whether so few want a topic, and no other topic, that they need no slice while none of it waits
 * @param parts.deliver must not throw
 */
export function createHandover(parts: {
  clock: Clock
  batches: Batches
  name: string
  newest: () => number
  find: (topic: Topic, newest: number) => Found | undefined
  isFew?: (topic: Topic) => boolean
  deliver: (registration: Registration, message: Message) => void
  missed: (registration: Registration, topic: Topic) => void
  lost: () => void
}): Handover {
  const { clock, batches, name, newest, find, isFew, deliver, missed, lost } = parts
  const jobs = new Set<Job>()
  /** How many jobs each topic has. */
  const waiting = new Map<Topic, number>()
  const missing = new Map<Topic, Job>()
  /** What is left of this turn's slice. */
  let left = SLICE
  let turnEnds = false
  let toldIdle: (() => void)[] = []

  /** Whether all were found before the slice was over. */
  function walk(found: Found, hand: (registration: Registration) => void): boolean {
    const began = clock.monotonic()
    let looked = 0
    for (;;) {
      const { done, value } = found.next()
      if (done === true) break
      if (value !== undefined) hand(value)
      if (value !== undefined && ++looked % BETWEEN_LOOKS !== 0) continue
      if (clock.monotonic() - began < left) continue
      left = 0
      askForTurn()
      return false
    }
    left -= clock.monotonic() - began
    askForTurn()
    return true
  }

  function askForTurn(): void {
    if (turnEnds) return
    turnEnds = true
    clock.endOfTurn(nextTurn)
  }

  function nextTurn(): void {
    turnEnds = false
    left = SLICE
    for (const job of jobs) {
      if (left <= 0 || !goOn(job)) return askForTurn()
    }
  }

  function goOn(job: Job): boolean {
    const { message, topic } = job
    // From here on it cannot stand for another: those that it has passed are not found again.
    if (missing.get(topic) === job) missing.delete(topic)
    job.found ??= find(topic, job.newest)
    const hand = (registration: Registration): void => (message === undefined ? missed(registration, topic) : deliver(registration, message))
    if (job.found !== undefined && !walk(job.found, hand)) return false
    end(job)
    return true
  }

  function end(job: Job): void {
    jobs.delete(job)
    const more = (waiting.get(job.topic) ?? 1) - 1
    if (more > 0) waiting.set(job.topic, more)
    else waiting.delete(job.topic)
    if (missing.get(job.topic) === job) missing.delete(job.topic)
    job.batch?.count(0)
    job.batch?.end(name)
    if (jobs.size > 0) return
    for (const tell of toldIdle) tell()
    toldIdle = []
  }

  function add(job: Job): void {
    jobs.add(job)
    waiting.set(job.topic, (waiting.get(job.topic) ?? 0) + 1)
  }

  function wait(message: Message, found: Found | undefined): void {
    const { topic } = message
    const batch = batches.of(message, name)
    if (typeof batch !== 'string') {
      batch.begin(name)
      add({ topic, message, batch, newest: newest(), found })
      return askForTurn()
    }
    const before = missing.get(topic)
    if (before !== undefined) before.newest = newest()
    else if (missing.size >= MOST_MISSED) lost()
    else {
      const job: Job = { topic, message: undefined, batch: undefined, newest: newest(), found }
      add(job)
      // One that has begun cannot stand for another.
      if (found === undefined) missing.set(topic, job)
      askForTurn()
    }
  }

  return {
    get open() { return jobs.size },
    take(message) {
      const found = find(message.topic, newest())
      if (found === undefined) return
      if (isFew?.(message.topic) === true && !waiting.has(message.topic)) {
        for (let one = found.next(); one.done !== true; one = found.next()) if (one.value !== undefined) deliver(one.value, message)
        return
      }
      if (jobs.size > 0 || left <= 0) return wait(message, undefined)
      if (!walk(found, (registration) => deliver(registration, message))) wait(message, found)
    },
    idle: () => (jobs.size === 0 ? Promise.resolve() : new Promise((resolve) => void toldIdle.push(resolve))),
    close() {
      for (const job of jobs) {
        lost()
        end(job)
      }
    },
  }
}
