import { topicFromText, type Topic } from '../../core/topic.ts'
import type { RequestPath } from '../../http/path.ts'

/** What a refused path is told: pinghub, section 2.3, word for word. */
export const PATH_ERRORS = {
  notText: 'Error: bad request. Path must be valid Unicode (UTF-8).\n',
  length: (max: number) => `Error: bad request. Path length must be 1-${max} Unicode characters (UTF-8).\n`,
} as const

/**
 * The topic of a channel path (design, section 6): the decoded path without its leading slash.
 * @param max code points, the slash counted (pinghub, section 2.3)
 * @returns the topic, or what is wrong in the protocol's words
 */
export function channelTopic(path: RequestPath, max: number): { topic: Topic } | { error: string } {
  if (path.text === undefined) return { error: PATH_ERRORS.notText }
  // A text has at most as many code points as units: nearly always the first comparison is enough.
  if (path.text.length > max && countPoints(path.text) > max) return { error: PATH_ERRORS.length(max) }
  return { topic: topicFromText(path.text.slice(1)) }
}

function countPoints(text: string): number {
  let count = 0
  for (const _ of text) count++
  return count
}
