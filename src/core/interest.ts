import type { Pattern } from './pattern.ts'
import { compilePattern } from './pattern.ts'
import type { Topic } from './topic.ts'

/** What one subscriber wants: topics by name and topics by pattern. A message that several of them match comes once. */
export interface Interest {
  readonly topics: readonly Topic[]
  readonly patterns: readonly Pattern[]
}

const NO_PATTERNS: readonly Pattern[] = []

export function exactly(topic: Topic): Interest {
  return { topics: [topic], patterns: NO_PATTERNS }
}

/**
 * The interest that a list of names and globs states. A glob without a special sign counts as a name; repeats fall away.
 * @throws {WaystationError} `bad_pattern`
 */
export function interestIn(sources: readonly string[]): Interest {
  const topics = new Set<Topic>()
  const patterns = new Map<string, Pattern>()
  for (const source of sources) {
    const pattern = compilePattern(source)
    if (pattern.literal) topics.add(source as Topic)
    else patterns.set(source, pattern)
  }
  return { topics: [...topics].sort(), patterns: [...patterns.keys()].sort().map((key) => patterns.get(key) as Pattern) }
}

/** The same text for the same interest: a key for what may be shared among those who want the same. */
export function interestKey(interest: Interest): string {
  return JSON.stringify([interest.topics, interest.patterns.map((pattern) => pattern.source)])
}

export function wants(interest: Interest, topic: Topic): boolean {
  return interest.topics.includes(topic) || interest.patterns.some((pattern) => pattern.matches(topic))
}
