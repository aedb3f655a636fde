import { wants, type Interest } from '../../src/core/interest.ts'
import type { Topic } from '../../src/core/topic.ts'

/** Whether a topic of this world is wanted by both: then whoever has the interest must be told. */
export function surelyTouches(lost: Interest, interest: Interest, topics: readonly Topic[]): boolean {
  return topics.some((topic) => wants(lost, topic) && wants(interest, topic))
}

/** Whether there may be such a topic anywhere: else nobody may be told. Of two globs nobody has to know. */
export function mayTouch(lost: Interest, interest: Interest): boolean {
  if (lost.patterns.length > 0 && interest.patterns.length > 0) return true
  return lost.topics.some((topic) => wants(interest, topic)) || interest.topics.some((topic) => wants(lost, topic))
}
