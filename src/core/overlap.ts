import type { Interest } from './interest.ts'
import { areApart, type Pattern } from './pattern.ts'
import { createPatternIndex, type PatternIndex } from './pattern-index.ts'
import type { Topic } from './topic.ts'

/** An interest made ready to be asked many times what it has in common with others. It never says nothing where there is something. */
export interface Overlap {
  /** Whether it wants the topic. */
  wants(topic: Topic): boolean
  /** Whether one of its patterns matches the topic. */
  matches(topic: Topic): boolean
  /** Its names that the pattern matches; `undefined` wherever one was asked in vain, which may take a millisecond. */
  namesIn(pattern: Pattern): Generator<Topic | undefined, void>
  /** Whether one of its patterns may match a topic that this one matches. */
  patternsMayMeet(pattern: Pattern): boolean
  /** Whether both may want the same topic. Past ten thousand questions to one pattern after the other it says so unasked. */
  touches(other: Interest): boolean
}

const known = new WeakMap<Interest, Overlap>()

/** The same for the same interest, made once: a loss is looked at by many. */
export function overlapOf(interest: Interest): Overlap {
  let overlap = known.get(interest)
  if (overlap === undefined) known.set(interest, (overlap = createOverlap(interest)))
  return overlap
}

/** A glob that takes long is asked so often by one interest, all its globs together. */
const MOST_QUESTIONS = 10_000

/** Patterns that are asked one by one. */
const FEW = 16

/** The work is put off until it is needed, and kept: at most a sorted list of the names and an index of the patterns. */
function createOverlap(interest: Interest): Overlap {
  const { topics, patterns } = interest
  let sorted: readonly Topic[] | undefined
  let index: PatternIndex<Pattern> | undefined

  /** The place of the first name that does not stand before this text. */
  function placeOf(names: readonly Topic[], text: string): number {
    let [low, high] = [0, names.length]
    while (low < high) {
      const middle = (low + high) >>> 1
      if ((names[middle] as Topic) < text) low = middle + 1
      else high = middle
    }
    return low
  }

  function names(): readonly Topic[] {
    return (sorted ??= [...topics].sort())
  }

  function named(topic: Topic): boolean {
    if (topics.length <= FEW) return topics.includes(topic)
    return names()[placeOf(names(), topic)] === topic
  }

  function matches(topic: Topic): boolean {
    if (patterns.length <= FEW) return patterns.some((pattern) => pattern.matches(topic))
    if (index === undefined) {
      index = createPatternIndex()
      for (const pattern of patterns) index.add(pattern, pattern)
    }
    let found = false
    index.walk(topic, (pattern) => {
      found ||= pattern.matches(topic)
    })
    return found
  }

  /** Only names that begin as the pattern does are asked. */
  function* namesIn(pattern: Pattern): Generator<Topic | undefined, void> {
    const all = names()
    for (let at = placeOf(all, pattern.prefix); at < all.length; at++) {
      const name = all[at] as Topic
      if (!name.startsWith(pattern.prefix)) return
      if (!name.endsWith(pattern.suffix)) continue
      yield pattern.matches(name) ? name : undefined
    }
  }

  function hasNameIn(globs: readonly Pattern[]): boolean {
    let left = MOST_QUESTIONS
    for (const pattern of globs) for (const name of namesIn(pattern)) if (name !== undefined || --left < 0) return true
    return false
  }

  const wants = (topic: Topic): boolean => named(topic) || matches(topic)
  const patternsMayMeet = (pattern: Pattern): boolean => patterns.some((own) => !areApart(own, pattern))
  return {
    wants,
    matches,
    namesIn,
    patternsMayMeet,
    touches: (other) => other.topics.some(wants) || other.patterns.some(patternsMayMeet) || hasNameIn(other.patterns),
  }
}
