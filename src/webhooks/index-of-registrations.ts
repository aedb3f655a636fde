import type { Interest } from '../core/interest.ts'
import { overlapOf } from '../core/overlap.ts'
import { compilePattern, type Pattern } from '../core/pattern.ts'
import { createPatternIndex, type Texts } from '../core/pattern-index.ts'
import type { Registration, RegistryChange } from '../core/registry.ts'
import { topicIsText, type Topic } from '../core/topic.ts'

/** Registrations bit by bit, for whoever has no time for all at once: `undefined` wherever something was done in vain. */
export type Found = Iterator<Registration | undefined, void>

/**
 * The registrations in memory: nothing asks the database when a message comes. What is found is found while the caller goes
 * on, however long that takes: a registration that is taken away before it was reached does not come, and one whose id is
 * above `newest` does not either. Ids rise, so with the `newest` of a moment nothing comes that was added after it.
 */
export interface RegistrationIndex {
  readonly size: number
  /** The highest id that was ever here; 0 before the first. */
  readonly newest: number
  has(id: number): boolean
  apply(changes: readonly RegistryChange[]): void
  /** Those of the topic's own name, in the order added; `undefined` when there are none. */
  named(topic: Topic, newest: number): Found | undefined
  /** Whether a topic has no more by its own name than can be told at once. */
  isFew(topic: Topic): boolean
  /** Those whose glob matches. Each glob is asked once, and may take a millisecond; an `undefined` follows. */
  matching(topic: Topic, newest: number): Found | undefined
  /**
   * Those that a loss touches, each with one topic of those that it touches, step by step: by lost names, and by name where
   * a lost pattern matches it. A glob that only a lost pattern touches does not come: there is no topic to name.
   */
  touched(lost: Interest): Generator<{ readonly registration: Registration; readonly topic: Topic } | undefined, void>
}

/** One or several: most topics have one, and a map costs more than all the rest. */
type Some = Registration | Map<number, Registration>

interface Glob {
  readonly source: Topic
  /** `'none'` when it is no glob; `undefined` until a long one is asked. */
  pattern: Pattern | 'none' | undefined
  some: Some
  takeOut(): void
}

/** A glob may be so long that taking it apart takes milliseconds. From here on it waits until it is asked. */
const LONG = 1_024
const FEW = 32

/** @param unusable told of a registration that cannot match: its glob is none */
export function createRegistrationIndex(unusable: (registration: Registration, error: unknown) => void): RegistrationIndex {
  const byId = new Map<number, Registration>()
  const names = new Map<Topic, Some>()
  const globs = new Map<Topic, Glob>()
  const patterns = createPatternIndex<Glob>()
  let newest = 0

  function add(registration: Registration): void {
    const { id, kind, target } = registration
    newest = Math.max(newest, id)
    byId.set(id, registration)
    if (kind === 'glob') return addGlob(registration)
    const before = names.get(target)
    const after = withOne(before, registration)
    if (after !== before) names.set(target, after)
  }

  function addGlob(registration: Registration): void {
    const source = registration.target
    const there = globs.get(source)
    if (there !== undefined) {
      there.some = withOne(there.some, registration)
      return
    }
    const glob: Glob = { source, pattern: undefined, some: registration, takeOut: () => {} }
    globs.set(source, glob)
    const texts = source.length > LONG ? beginningOf(source) : compiled(glob)
    if (texts !== 'none') glob.takeOut = patterns.add(texts, glob)
  }

  function compiled(glob: Glob): Pattern | 'none' {
    try {
      return (glob.pattern ??= compilePattern(glob.source))
    } catch (error) {
      for (const registration of each(glob.some, Infinity)) unusable(registration, error)
      return (glob.pattern = 'none')
    }
  }

  function remove(id: number): void {
    const registration = byId.get(id)
    if (registration === undefined) return
    byId.delete(id)
    const { kind, target } = registration
    if (kind === 'exact') {
      if (isLeftEmpty(names.get(target), id)) names.delete(target)
      return
    }
    const glob = globs.get(target)
    if (glob === undefined || !isLeftEmpty(glob.some, id)) return
    // Whoever is just asking it finds nobody behind it.
    glob.some = new Map()
    globs.delete(target)
    glob.takeOut()
  }

  function* matchingGlobs(topic: Topic, upTo: number): Generator<Registration | undefined, void> {
    for (const found of patterns.bits(topic)) {
      if (found === undefined) yield undefined
      else for (const glob of found) {
        if (oldest(glob.some) > upTo) continue
        const pattern = compiled(glob)
        const matches = pattern !== 'none' && pattern.matches(topic)
        yield undefined
        if (matches) yield* each(glob.some, upTo)
      }
    }
  }

  /** Each glob once, with the first name that it matches: a notice names one. */
  function* touchedGlobs(topic: Topic, seen: Set<Glob>): Generator<Registration | undefined, void> {
    for (const found of patterns.bits(topic)) {
      for (const glob of found ?? []) {
        if (seen.has(glob)) continue
        const pattern = compiled(glob)
        if (pattern !== 'none' && pattern.matches(topic)) {
          seen.add(glob)
          yield* each(glob.some, Infinity)
        } else yield undefined
      }
    }
  }

  function* touched(lost: Interest): Generator<{ readonly registration: Registration; readonly topic: Topic } | undefined, void> {
    const seen = new Set<Glob>()
    for (const topic of lost.topics) {
      const some = names.get(topic)
      if (some !== undefined) for (const registration of each(some, Infinity)) yield { registration, topic }
      if (globs.size > 0 && topicIsText(topic)) {
        for (const registration of touchedGlobs(topic, seen)) yield registration && { registration, topic }
      }
      yield undefined
    }
    if (lost.patterns.length === 0) return
    const overlap = overlapOf(lost)
    for (const [topic, some] of names) {
      if (overlap.matches(topic)) for (const registration of each(some, Infinity)) yield { registration, topic }
      else yield undefined
    }
  }

  return {
    touched,
    get size() { return byId.size },
    get newest() { return newest },
    has: (id) => byId.has(id),
    apply(changes) {
      for (const change of changes) {
        if (change.type === 'removed') remove(change.id)
        else add(change.registration)
      }
    },
    named(topic, upTo) {
      const some = names.get(topic)
      return some === undefined ? undefined : each(some, upTo)
    },
    isFew(topic) {
      const some = names.get(topic)
      return !(some instanceof Map) || some.size <= FEW
    },
    matching: (topic, upTo) => (globs.size === 0 || !topicIsText(topic) ? undefined : matchingGlobs(topic, upTo)),
  }
}

/** Cheaply, and for a glob of any length. */
function beginningOf(source: Topic): Texts {
  const special = source.search(/[*?[]/)
  return { prefix: special === -1 ? source : source.slice(0, special), suffix: '', inside: '' }
}

function withOne(some: Some | undefined, registration: Registration): Some {
  if (some instanceof Map) return some.set(registration.id, registration)
  if (some === undefined || some.id === registration.id) return registration
  return new Map([[some.id, some], [registration.id, registration]])
}

/** Takes one away. */
function isLeftEmpty(some: Some | undefined, id: number): boolean {
  if (!(some instanceof Map)) return true
  some.delete(id)
  return some.size === 0
}

function oldest(some: Some): number {
  if (!(some instanceof Map)) return some.id
  for (const id of some.keys()) return id
  return Infinity
}

function* each(some: Some, upTo: number): Generator<Registration, void> {
  if (!(some instanceof Map)) {
    if (some.id <= upTo) yield some
    return
  }
  for (const registration of some.values()) if (registration.id <= upTo) yield registration
}
