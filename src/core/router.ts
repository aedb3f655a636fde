import type { Interest } from './interest.ts'
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

const NOBODY: readonly Subscriber[] = []

export function createRouter(): Router {
  const exact = new Map<Topic, Group>()
  const entries = new Map<string, PatternEntry>()
  const index = createPatternIndex<PatternEntry>()
  /** Made anew at each change, so that it may be walked while somebody leaves. */
  let everywhere: readonly Subscriber[] = NOBODY

  function addTopic(topic: Topic, subscriber: Subscriber): void {
    let group = exact.get(topic)
    if (group === undefined) exact.set(topic, (group = { members: new Map(), list: undefined }))
    addTo(group.members, subscriber)
    group.list = undefined
  }
  function removeTopic(topic: Topic, subscriber: Subscriber): void {
    const group = exact.get(topic)
    if (group === undefined) return
    takeFrom(group.members, subscriber)
    group.list = undefined
    if (group.members.size === 0) exact.delete(topic)
  }
  function named(topic: Topic): readonly Subscriber[] {
    const group = exact.get(topic)
    if (group === undefined) return NOBODY
    return (group.list ??= [...group.members.keys()])
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

function addTo(members: Members, subscriber: Subscriber): void {
  members.set(subscriber, (members.get(subscriber) ?? 0) + 1)
}

function takeFrom(members: Members, subscriber: Subscriber): void {
  const left = (members.get(subscriber) ?? 1) - 1
  if (left === 0) members.delete(subscriber)
  else members.set(subscriber, left)
}
