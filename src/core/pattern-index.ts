import type { Pattern } from './pattern.ts'
import { createPrefixTree, type PrefixTree } from './prefix-tree.ts'
import type { Topic } from './topic.ts'

/** What every topic that matches a pattern begins with, ends with, and has in it. Less may be said than is known. */
export type Texts = Pick<Pattern, 'prefix' | 'suffix' | 'inside'>

/** Values kept by patterns, found again for a topic without asking those whose literal text the topic does not have. */
export interface PatternIndex<V> {
  readonly size: number
  /** Gives what takes it out again: call it once. */
  add(pattern: Texts, value: V): () => void
  /** Calls `visit`, once each, for every value whose pattern may match the topic. */
  walk(topic: Topic, visit: (value: V) => void): void
  /**
   * The same bit by bit, for whoever has no time for all at once: sets of values, each once, and `undefined` now and then
   * where a long topic is still searched. The sets are those of the index: what is taken out before it was reached does
   * not come, and what is added while they are walked may come.
   */
  bits(topic: Topic): Generator<ReadonlySet<V> | undefined>
}

/** One literal text of a pattern, and the tree of such texts. */
interface Place<V> {
  readonly tree: PrefixTree<V>
  readonly key: string
}

/** A text that so many patterns share tells them apart no longer. */
const CROWD = 16
const LONGEST_SUFFIX = 256
/** Bounds what one position in a topic costs. */
const LONGEST_RUN = 16
const MOST_RUNS = 8
/** Places of a topic that are searched in one go. */
const PLACES_AT_ONCE = 256

/**
 * Each pattern stands in one of three trees: under its beginning, under its end, or under a part of its longest text in
 * between. It goes to the first of these that is not crowded, else to the least crowded: so neither a hundred thousand
 * `*` + `/x1`, nor as many `news/` + `*` + `/x1`, are all asked. A topic is walked through the first two trees once, and
 * through the third from each of its places, if there is anything in it.
 */
export function createPatternIndex<V>(): PatternIndex<V> {
  const beginnings = createPrefixTree<V>()
  const ends = createPrefixTree<V>()
  const runs = createPrefixTree<V>()
  /** Asked for every message. */
  let size = 0

  function placeFor(pattern: Texts): Place<V> {
    let best: Place<V> = { tree: beginnings, key: pattern.prefix }
    let fewest = pattern.prefix === '' ? Infinity : beginnings.count(pattern.prefix)
    if (fewest < CROWD) return best
    for (const place of otherPlaces(pattern)) {
      const count = place.tree.count(place.key)
      if (count >= fewest) continue
      best = place
      fewest = count
      if (count < CROWD) break
    }
    return best
  }

  function* otherPlaces({ suffix, inside }: Texts): Generator<Place<V>> {
    if (suffix !== '') yield { tree: ends, key: reversedEnd(suffix) }
    for (let i = 0, end = inside.length; i < MOST_RUNS && end > 0; i++, end -= LONGEST_RUN) {
      yield { tree: runs, key: inside.slice(Math.max(0, end - LONGEST_RUN), end) }
    }
  }

  return {
    get size() { return size },
    add(pattern, value) {
      const { tree, key } = placeFor(pattern)
      tree.add(key, value)
      size = beginnings.size + ends.size + runs.size
      return () => {
        tree.remove(key, value)
        size = beginnings.size + ends.size + runs.size
      }
    },
    walk(topic, visit) {
      beginnings.walk(topic, visit)
      if (ends.size > 0) ends.walk(reversedEnd(topic), visit)
      if (runs.size === 0) return
      const seen = new Set<ReadonlySet<V>>()
      for (let at = 0; at < topic.length; at++) {
        runs.walkSets(topic, at, (values) => {
          if (seen.has(values)) return
          seen.add(values)
          for (const value of values) visit(value)
        })
      }
    },
    *bits(topic) {
      const found: ReadonlySet<V>[] = []
      const keep = (values: ReadonlySet<V>): void => void found.push(values)
      beginnings.walkSets(topic, 0, keep)
      if (ends.size > 0) ends.walkSets(reversedEnd(topic), 0, keep)
      yield* found
      if (runs.size === 0) return
      const seen = new Set<ReadonlySet<V>>()
      for (let at = 0; at < topic.length; at++) {
        found.length = 0
        runs.walkSets(topic, at, keep)
        for (const values of found) {
          if (seen.has(values)) continue
          seen.add(values)
          yield values
        }
        if (at % PLACES_AT_ONCE === PLACES_AT_ONCE - 1) yield undefined
      }
    },
  }
}

/** The end of a text, back to front, so that it is the beginning of something. By UTF-16 units, as the trees are. */
function reversedEnd(text: string): string {
  const units: number[] = []
  for (let i = text.length - 1; i >= 0 && units.length < LONGEST_SUFFIX; i--) units.push(text.charCodeAt(i))
  return String.fromCharCode(...units)
}
