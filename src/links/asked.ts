import type { Interest } from '../core/interest.ts'
import { interestIn } from '../core/interest.ts'
import { areApart, compilePattern, type Pattern } from '../core/pattern.ts'
import { createPatternIndex } from '../core/pattern-index.ts'
import { topicFromBytes, topicIsText, topicToBytes, type Topic } from '../core/topic.ts'
import type { Place, Wish } from '../protocol/pony-express/messages.ts'

/** What a link asks the other end for, and what that is called here: the same behind a prefix. */
export interface Asked {
  /** As they are called there. */
  readonly names: readonly Topic[]
  readonly patterns: readonly Pattern[]
  /** All of it, as it is called here. */
  readonly everything: Interest
  /** The same without the names. */
  readonly globs: Interest
  wish(hub: string, after: Place | undefined): Wish
  /** Whether a topic of there was asked for. Takes no longer for more names. */
  wants(topic: Topic): boolean
  /** What a topic of there is called here. */
  here(topic: Topic): Topic
  /**
   * What of all that was asked for may be among what the other end says is lost, as it is called here. It may be more than
   * was lost, and is never anything that was not asked for.
   */
  lostOf(topics: readonly Buffer[], patterns: readonly string[]): Interest
}

/** Comparisons that what is lost is worth; past it all counts as lost. */
const MOST_COMPARISONS = 1_000_000

/** @throws {WaystationError} `bad_pattern` */
export function createAsked({ topics, prefix }: { topics: readonly string[]; prefix: string }): Asked {
  const { topics: names, patterns } = interestIn(topics)
  const nameSet = new Set(names)
  const index = createPatternIndex<Pattern>()
  for (const pattern of patterns) index.add(pattern, pattern)
  const nameBytes = names.map(topicToBytes)
  const sources = patterns.map(({ source }) => source)
  const everything = interestHere(names, patterns)

  function interestHere(lostNames: readonly Topic[], lostPatterns: readonly Pattern[]): Interest {
    const globs = lostPatterns.flatMap(({ source }) => globsBehind(prefix, source)).map(compilePattern)
    const literal = globs.filter((glob) => glob.literal).map(({ source }) => source as Topic)
    return { topics: [...lostNames.map(here), ...literal], patterns: globs.filter((glob) => !glob.literal) }
  }

  function here(topic: Topic): Topic {
    if (prefix === '') return topic
    if (topicIsText(topic)) return (prefix + topic) as Topic
    // The prefix of a topic that is no text is kept byte by byte, as the rest of it.
    return topicFromBytes(Buffer.concat([Buffer.from(prefix), topicToBytes(topic)]))
  }

  function wants(topic: Topic): boolean {
    if (nameSet.has(topic)) return true
    let found = false
    if (index.size > 0) index.walk(topic, (pattern) => {
      found ||= pattern.matches(topic)
    })
    return found
  }

  return {
    names,
    patterns,
    everything,
    globs: interestHere([], patterns),
    wish: (hub, after) => ({ hub, topics: nameBytes, patterns: sources, after }),
    wants,
    here,
    lostOf(lostTopics, lostGlobs) {
      if ((names.length + patterns.length) * lostGlobs.length + lostTopics.length > MOST_COMPARISONS) return everything
      let globs: Pattern[]
      try {
        globs = lostGlobs.map(compilePattern)
      } catch {
        return everything
      }
      const lost = new Set(lostTopics.map(topicFromBytes).filter(wants))
      // Whether a name matches may take long to find out, and the other end has chosen the globs: less is asked.
      for (const name of names) if (globs.some(({ prefix, suffix }) => name.startsWith(prefix) && name.endsWith(suffix))) lost.add(name)
      return interestHere([...lost], patterns.filter((pattern) => globs.some((glob) => !areApart(glob, pattern))))
    },
  }
}

/** Globs for what `glob` matches, each topic with `prefix` before it, whatever signs are in that. */
export function globsBehind(prefix: string, glob: string): string[] {
  const escaped = prefix.replace(/[*?[]/g, '[$&]')
  // A `**/` that does not begin a segment no longer stands for none.
  const rest = glob.replace(/^(?:\*\*\/)+/, '')
  const isCutOff = prefix !== '' && !prefix.endsWith('/') && rest !== glob
  return isCutOff ? [escaped + glob, escaped + rest] : [escaped + glob]
}
