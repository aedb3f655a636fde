import type { Cursor } from './cursor.ts'
import type { Interest } from './interest.ts'
import { createLosses } from './losses.ts'
import { baggageOf, type Lost, type LostInterest, type Message } from './message.ts'
import { overlapOf } from './overlap.ts'
import { own } from './own-bytes.ts'
import type { Clock, Log, Random } from './ports.ts'
import type { Keep, Rules } from './rules.ts'
import type { Topic } from './topic.ts'

/** What one topic has kept. Rings stand in a chain by their last append, the latest first. */
interface Ring {
  readonly topic: Topic
  /** What its rule says; the same object for all topics of one rule. */
  readonly keep: Keep
  readonly messages: Message[]
  /** The first of `messages` that is still held; the slots before it are cleared now and then. */
  first: number
  /** The highest offset of this topic that is no longer held; 0 when none ever went. */
  floor: number
  last: number
  newer: Ring | undefined
  older: Ring | undefined
}

/** What a kept message weighs beside its body: the objects around it. */
const OVERHEAD = 256
const SWEEP_AT_ONCE = 256

/**
 * The log in memory. It numbers everything and keeps what the rules say, within `maxBytes` over all topics: past that the
 * topic that has been quiet longest loses its oldest first. Its epoch is drawn at the start: a restart is another log, and
 * a cursor of before answers 'lost'.
 */
export function createMemoryLog(parts: { rules: Rules; clock: Pick<Clock, 'now'>; random: Random; maxBytes: number }): Log & { readonly bytes: number } {
  const { rules, clock, maxBytes } = parts
  const epoch = drawEpoch(parts.random)
  const rings = new Map<Topic, Ring>()
  let newest: Ring | undefined
  let oldest: Ring | undefined
  let sweeping: IterableIterator<Ring> | undefined
  let head = 0
  let bytes = 0
  /** The last message that no rule wanted kept, whichever its topic. */
  let passed = 0
  /** The highest floor of the rings that are gone, for each rule: what is known of its topics that have no ring. */
  const forgotten = new Map<Keep, number>()
  let mostForgotten = 0
  const losses = createLosses()

  function append(draft: Parameters<Log['append']>[0]): Message {
    const keep = rules.for(draft.topic).keep
    const { topic, contentType, text } = draft
    const body = keep === undefined ? draft.body : own(draft.body)
    const message: Message = draft.framed === true && body === draft.body
      ? { topic, body, contentType, text, offset: ++head, epoch, time: clock.now(), framed: true }
      : { topic, body, contentType, text, offset: ++head, epoch, time: clock.now() }
    // Set only where there is something, so that all other messages are alike, and small.
    if (draft.sha512 !== undefined) Object.assign(message, { sha512: draft.sha512 })
    if (draft.relayed !== undefined) Object.assign(message, { relayed: true })
    if (draft.large !== undefined) Object.assign(message, { large: draft.large })
    if (draft.term !== undefined) Object.assign(message, { term: keep === undefined ? draft.term : own(draft.term) })
    if (draft.via !== undefined) Object.assign(message, { via: draft.via })
    if (keep === undefined) {
      passed = head
      return message
    }
    const ring = rings.get(draft.topic) ?? open(draft.topic, keep)
    ring.messages.push(message)
    ring.last = head
    bytes += weight(message)
    toFront(ring)
    while (ring.messages.length - ring.first > keep.messages) drop(ring)
    // What is too large for memory is not kept, and nothing before it could be read without a hole.
    while (message.large !== undefined && rings.get(topic) === ring) drop(ring)
    // The end of the chain is the topic that has been quiet longest.
    while (bytes > maxBytes && oldest !== undefined) drop(oldest)
    return message
  }

  function lose(lost: LostInterest): Lost {
    const loss = { offset: ++head, epoch, time: clock.now(), lost }
    losses.add(loss)
    return loss
  }

  function open(topic: Topic, keep: Keep): Ring {
    const ring: Ring = { topic, keep, messages: [], first: 0, floor: 0, last: 0, newer: undefined, older: undefined }
    // Whatever went before under this name went with an earlier ring.
    ring.floor = forgotten.get(keep) ?? 0
    rings.set(topic, ring)
    bytes += OVERHEAD
    return ring
  }

  function drop(ring: Ring): void {
    const message = ring.messages[ring.first] as Message
    ring.messages[ring.first] = undefined as never
    ring.first++
    ring.floor = message.offset
    bytes -= weight(message)
    if (ring.first === ring.messages.length) close(ring)
    else if (ring.first > 32 && ring.first * 2 > ring.messages.length) {
      ring.messages.splice(0, ring.first)
      ring.first = 0
    }
  }

  function close(ring: Ring): void {
    unlink(ring)
    rings.delete(ring.topic)
    bytes -= OVERHEAD
    forgotten.set(ring.keep, Math.max(forgotten.get(ring.keep) ?? 0, ring.floor))
    mostForgotten = Math.max(mostForgotten, ring.floor)
  }

  function unlink(ring: Ring): void {
    if (ring.newer !== undefined) ring.newer.older = ring.older
    else if (newest === ring) newest = ring.older
    if (ring.older !== undefined) ring.older.newer = ring.newer
    else if (oldest === ring) oldest = ring.newer
    ring.newer = ring.older = undefined
  }

  function toFront(ring: Ring): void {
    if (newest === ring) return
    unlink(ring)
    ring.older = newest
    if (newest !== undefined) newest.newer = ring
    newest = ring
    oldest ??= ring
  }

  function expire(ring: Ring): void {
    const since = clock.now() - ring.keep.ms
    while (rings.get(ring.topic) === ring && (ring.messages[ring.first] as Message).time < since) drop(ring)
  }

  function read(interest: Interest, after: Cursor): (Message | Lost)[] | 'lost' {
    const kept = wholeRings(interest, after)
    if (kept === undefined) return 'lost'
    if (after.offset === head) return []
    const found: (Message | Lost)[] = losses.since(interest, after.offset)
    for (const ring of kept) collect(ring, after.offset, found)
    return found.sort((a, b) => a.offset - b.offset)
  }

  /** The rings that have all that is wanted; `undefined` where something of it may be gone. */
  function wholeRings(interest: Interest, after: Cursor): readonly Ring[] | undefined {
    if (after.epoch !== epoch || after.offset > head || after.offset < losses.floor) return undefined
    if (after.offset === head) return []
    const found = ringsSince(interest, after.offset)
    for (const ring of found) {
      expire(ring)
      if (ring.floor > after.offset) return undefined
    }
    return mayHaveMissed(interest, after.offset, new Set(found.map(({ topic }) => topic))) ? undefined : found
  }

  /** The rings that are wanted and have something newer. Names are looked up; only patterns have to look around. */
  function ringsSince(interest: Interest, after: number): Ring[] {
    if (interest.patterns.length === 0) {
      return interest.topics.flatMap((topic) => rings.get(topic) ?? []).filter((ring) => ring.last > after)
    }
    const found: Ring[] = []
    const { wants } = overlapOf(interest)
    // The chain is in order of last appends: behind the first ring that has nothing newer, no ring has.
    for (let ring = newest; ring !== undefined && ring.last > after; ring = ring.older) {
      if (wants(ring.topic)) found.push(ring)
    }
    return found
  }

  /**
   * Of topics without a ring only this is known: nothing went after what their rule has forgotten, if they are kept, or
   * after `passed`, if not. Of a pattern that no single rule speaks for, only both together.
   */
  function mayHaveMissed(interest: Interest, after: number, seen: Set<Topic>): boolean {
    if (after >= mostForgotten && after >= passed) return false
    const missedByName = interest.topics.some((topic) => {
      const { keep } = rules.for(topic)
      if (keep === undefined) return after < passed
      return !seen.has(topic) && !rings.has(topic) && after < (forgotten.get(keep) ?? 0)
    })
    return missedByName || interest.patterns.some((pattern) => {
      const keep = rules.keepOfAll(pattern)
      return after < (keep === undefined ? Math.max(passed, mostForgotten) : (forgotten.get(keep) ?? 0))
    })
  }

  return {
    epoch,
    get head() { return head },
    get bytes() { return bytes },
    append,
    prompt: true,
    lose,
    read,
    has: (interest, after) => wholeRings(interest, after) !== undefined,
    sweep() {
      sweeping ??= rings.values()
      for (let i = 0; i < SWEEP_AT_ONCE; i++) {
        const { done, value } = sweeping.next()
        if (done === true) {
          sweeping = undefined
          return
        }
        expire(value)
      }
    },
  }
}

function collect(ring: Ring, after: number, into: (Message | Lost)[]): void {
  for (let i = ring.messages.length - 1; i >= ring.first; i--) {
    const message = ring.messages[i] as Message
    if (message.offset <= after) return
    into.push(message)
  }
}

function weight(message: Message): number {
  return message.body.length + message.topic.length + message.contentType.length + baggageOf(message) + OVERHEAD
}

function drawEpoch(random: Random): string {
  let epoch = ''
  while (epoch.length < 12) epoch += Math.floor(random.next() * 36).toString(36)
  return epoch
}
