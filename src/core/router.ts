import type { Interest } from './interest.ts'
import { overlapOf } from './overlap.ts'
import type { Pattern } from './pattern.ts'
import type { Subscriber } from './ports.ts'
import { createPatternIndex } from './pattern-index.ts'
import { topicIsText, type Topic } from './topic.ts'

/** Who wants what: exact topics by map, patterns by an index over their literal texts. */
export interface Router {
  /** Topics that somebody subscribes to by name. */
  readonly topics: number
  /** Patterns that somebody subscribes to. */
  readonly patterns: number
  /** Gives what takes it back; taking back twice does nothing. */
  join(interest: Interest, subscriber: Subscriber): () => void
  /** Everyone who wants this topic, each once. The list is not changed by later joins: it may be walked at leisure. */
  match(topic: Topic): readonly Subscriber[]
  /**
   * Everyone who may want something that the interest wants, each once. Whoever is left out surely wants nothing of it; of
   * two patterns that only their inner parts keep apart it is not found out.
   */
  overlapping(interest: Interest): readonly Subscriber[]
  /** Those who hear of everything. They are in no `match`. */
  readonly everywhere: readonly Subscriber[]
  /** Adds one to those. Gives what takes it back; taking back twice does nothing. */
  joinAll(subscriber: Subscriber): () => void
}

/** Subscribers, and how many joins of each stand: whoever has joined twice stays until it has left twice. */
type Members = Map<Subscriber, number>

interface PatternEntry {
  readonly pattern: Pattern
  readonly members: Members
  /** Takes it out of the index. */
  takeOut(): void
}

/** Joins and leaves touch the members; the list is made again by the first match after them. */
interface Group {
  readonly members: Members
  list: readonly Subscriber[] | undefined
}

/** Nearly every topic has one subscriber, a fan-out, which has joined once: a list of it is all that is kept then. */
type Audience = Group | readonly [Subscriber]

const NOBODY: readonly Subscriber[] = []
/** Comparisons of two patterns for one overlap, some ten milliseconds; past them a pattern counts as overlapping. */
const MOST_COMPARISONS = 1_000_000
/** Questions for one overlap whether a pattern matches a name that begins and ends as it does; past them it counts so, too. */
const MOST_QUESTIONS = 100_000

export function createRouter(): Router {
  const exact = new Map<Topic, Audience>()
  const entries = new Map<string, PatternEntry>()
  const index = createPatternIndex<PatternEntry>()
  /** Made anew at each change, so that it may be walked while somebody leaves. */
  let everywhere: readonly Subscriber[] = NOBODY

  function addTopic(topic: Topic, subscriber: Subscriber): void {
    const audience = exact.get(topic)
    if (audience === undefined) {
      exact.set(topic, [subscriber])
      return
    }
    const group = isLone(audience) ? { members: new Map([[audience[0], 1]]), list: undefined } : audience
    if (group !== audience) exact.set(topic, group)
    addTo(group.members, subscriber)
    group.list = undefined
  }
  function removeTopic(topic: Topic, subscriber: Subscriber): void {
    const audience = exact.get(topic)
    if (audience === undefined) return
    if (isLone(audience)) {
      if (audience[0] === subscriber) exact.delete(topic)
      return
    }
    takeFrom(audience.members, subscriber)
    audience.list = undefined
    if (audience.members.size === 0) exact.delete(topic)
  }
  function named(topic: Topic): readonly Subscriber[] {
    const audience = exact.get(topic)
    if (audience === undefined) return NOBODY
    return isLone(audience) ? audience : (audience.list ??= [...audience.members.keys()])
  }
  function addPattern(pattern: Pattern, subscriber: Subscriber): void {
    let entry = entries.get(pattern.source)
    if (entry === undefined) {
      entry = { pattern, members: new Map(), takeOut: () => {} }
      entries.set(pattern.source, entry)
      entry.takeOut = index.add(pattern, entry)
    }
    addTo(entry.members, subscriber)
  }
  function removePattern(pattern: Pattern, subscriber: Subscriber): void {
    const entry = entries.get(pattern.source)
    if (entry === undefined) return
    takeFrom(entry.members, subscriber)
    if (entry.members.size > 0) return
    entries.delete(pattern.source)
    entry.takeOut()
  }

  function addMatching(topics: readonly Topic[], to: Set<Subscriber>): void {
    const added = new Set<PatternEntry>()
    let left = MOST_QUESTIONS
    for (const topic of topics) {
      for (const subscriber of named(topic)) to.add(subscriber)
      if (index.size === 0 || !topicIsText(topic)) continue
      index.walk(topic, (entry) => {
        const { pattern, members } = entry
        if (added.has(entry) || !topic.startsWith(pattern.prefix) || !topic.endsWith(pattern.suffix)) return
        if (--left >= 0 && !pattern.matches(topic)) return
        added.add(entry)
        addAll(members, to)
      })
    }
  }

  function addMeeting(interest: Interest, to: Set<Subscriber>): void {
    const sought = overlapOf(interest)
    for (const topic of exact.keys()) if (sought.matches(topic)) for (const subscriber of named(topic)) to.add(subscriber)
    let left = MOST_COMPARISONS
    for (const { pattern, members } of entries.values()) {
      left -= interest.patterns.length
      if (left < 0 || sought.patternsMayMeet(pattern)) addAll(members, to)
    }
  }

  return {
    get topics() { return exact.size },
    get patterns() { return entries.size },
    join(interest, subscriber) {
      for (const topic of interest.topics) addTopic(topic, subscriber)
      for (const pattern of interest.patterns) addPattern(pattern, subscriber)
      let joined = true
      return () => {
        if (!joined) return
        joined = false
        for (const topic of interest.topics) removeTopic(topic, subscriber)
        for (const pattern of interest.patterns) removePattern(pattern, subscriber)
      }
    },
    match(topic) {
      const byName = named(topic)
      if (index.size === 0 || !topicIsText(topic)) return byName
      let all: Set<Subscriber> | undefined
      index.walk(topic, (entry) => {
        if (!entry.pattern.matches(topic)) return
        all ??= new Set(byName)
        for (const subscriber of entry.members.keys()) all.add(subscriber)
      })
      return all === undefined ? byName : [...all]
    },
    overlapping(interest) {
      const found = new Set<Subscriber>()
      addMatching(interest.topics, found)
      if (interest.patterns.length > 0) addMeeting(interest, found)
      return [...found]
    },
    get everywhere() { return everywhere },
    joinAll(subscriber) {
      everywhere = [...everywhere, subscriber]
      let joined = true
      return () => {
        if (!joined) return
        joined = false
        const at = everywhere.indexOf(subscriber)
        everywhere = everywhere.toSpliced(at, 1)
      }
    },
  }
}

function isLone(audience: Audience): audience is readonly [Subscriber] {
  return Array.isArray(audience)
}

function addAll(members: Members, to: Set<Subscriber>): void {
  for (const subscriber of members.keys()) to.add(subscriber)
}

function addTo(members: Members, subscriber: Subscriber): void {
  members.set(subscriber, (members.get(subscriber) ?? 0) + 1)
}

function takeFrom(members: Members, subscriber: Subscriber): void {
  const left = (members.get(subscriber) ?? 1) - 1
  if (left === 0) members.delete(subscriber)
  else members.set(subscriber, left)
}
