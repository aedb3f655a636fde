import { compilePattern, type Pattern } from '../core/pattern.ts'
import { topicFromBytes, topicFromText, topicToBytes, type Topic } from '../core/topic.ts'
import type { Kind } from '../protocol/lonelyps/requests.ts'
import { topicBytes } from './publisher.ts'

/** What can be subscribed to: one topic, or the topics that a glob matches. */
export interface Target {
  /** The same for the same target. */
  readonly key: string
  readonly kind: Kind
  /** The topic's bytes, or the glob's. */
  readonly bytes: Buffer
  /** The topic; of a glob its text. */
  readonly name: Topic
  readonly pattern: Pattern | undefined
}

/**
 * The targets that a list states, repeats left out. A text without a special sign is a topic, as are bytes, whatever they hold.
 * @throws {WaystationError} `bad_pattern`, `bad_request`
 */
export function targetsIn(stated: readonly (string | Uint8Array)[]): Target[] {
  const targets = new Map<string, Target>()
  for (const one of stated) {
    const target = targetOf(one)
    if (!targets.has(target.key)) targets.set(target.key, target)
  }
  return [...targets.values()]
}

function targetOf(stated: string | Uint8Array): Target {
  const bytes = topicBytes(stated)
  const pattern = typeof stated === 'string' ? compilePattern(stated) : undefined
  if (typeof stated !== 'string' || pattern === undefined || pattern.literal) {
    const name = topicFromBytes(bytes)
    return { key: `exact ${name}`, kind: 'exact', bytes: topicToBytes(name), name, pattern: undefined }
  }
  return { key: `glob ${stated}`, kind: 'glob', bytes, name: topicFromText(stated), pattern }
}

export function matches({ name, pattern }: Target, topic: Topic): boolean {
  return pattern === undefined ? name === topic : pattern.matches(topic)
}

/** Whether no topic can match both. May say no where that is hard to tell, never yes where it is wrong. */
export function areDisjoint(a: Target, b: Target): boolean {
  if (a.pattern === undefined && b.pattern === undefined) return a.name !== b.name
  if (a.pattern === undefined) return b.pattern?.covers(a.name) !== true
  if (b.pattern === undefined) return !a.pattern.covers(b.name)
  const meetsBefore = a.pattern.prefix.startsWith(b.pattern.prefix) || b.pattern.prefix.startsWith(a.pattern.prefix)
  const meetsBehind = a.pattern.suffix.endsWith(b.pattern.suffix) || b.pattern.suffix.endsWith(a.pattern.suffix)
  return !meetsBefore || !meetsBehind
}
