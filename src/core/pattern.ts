import { WaystationError } from './errors.ts'
import { parseGlob } from './glob.ts'
import { createGlobMatcher, type GlobMatcher } from './glob-match.ts'
import { topicIsText, type Topic } from './topic.ts'

/**
 * A glob over topics. `*` is any run of code points, `/` included, also none; `?` is one code point; `[abc]`, `[a-c]`
 * and `[!a]` are sets (`]` first in a set is a member, an unclosed `[` is a plain `[`); a whole segment `**` before a
 * slash also matches no segment at all (`**` + `/b` matches `b`). There is no escape sign and `^` is a plain member.
 *
 * What a Python `fnmatch` or `glob` filter lets through is matched here too, so that a client may filter again by those.
 * Two oddities of theirs are left out: `glob` takes no `/` into a set, and `fnmatch` negates `[b-a!c]`, because the `!`
 * comes first once the empty range is gone.
 */
export interface Pattern {
  readonly source: string
  /** The text before the first special sign: every topic that matches begins with it. */
  readonly prefix: string
  /** The text after the last special sign: every topic that matches ends with it. Empty when nothing is special. */
  readonly suffix: string
  /** The longest text between two special signs: every topic that matches has it. */
  readonly inside: string
  /** True when nothing in the pattern is special, so that it names one topic only. */
  readonly literal: boolean
  /**
   * Whether the topic matches. A topic that is no UTF-8 never does. Takes linear time and at most `BUDGET` steps more:
   * where those are used up the answer is no. That needs a piece between two stars that has `?` or sets in it, and whose
   * length times that of the topic is above the budget (a set of n ranges counts as up to 1 + log2 n signs).
   */
  matches(topic: Topic): boolean
  /**
   * The same without a budget, and a topic that is no UTF-8 is covered too, each of its raw bytes counting as one code
   * point: for rules, which must not be got round by a byte that is no text, or by a topic that takes long.
   */
  covers(topic: Topic): boolean
}

/** Steps that one pair of pattern and topic may spend on what leads nowhere: about a millisecond. */
export const BUDGET = 200_000

/**
 * Compiles a glob, in time linear in its length. Until it is first asked about a topic that begins and ends as it does,
 * the pattern holds little more than its source.
 * @param source the glob, at most 65,535 UTF-16 units, well-formed
 * @throws {WaystationError} `bad_pattern`
 */
export function compilePattern(source: string): Pattern {
  if (source.length > 65_535) throw new WaystationError('bad_pattern', 'it is longer than 65,535 characters')
  if (!source.isWellFormed()) throw new WaystationError('bad_pattern', 'it is not well-formed Unicode')
  return new CompiledPattern(source)
}

class CompiledPattern implements Pattern {
  readonly source: string
  readonly prefix: string
  readonly suffix: string
  readonly inside: string
  #matcher: GlobMatcher | undefined

  constructor(source: string) {
    const { prefix, suffix, inside } = parseGlob(source)
    this.source = source
    this.prefix = prefix
    this.suffix = suffix
    this.inside = inside
  }

  get literal(): boolean {
    return this.prefix.length === this.source.length
  }

  matches(topic: Topic): boolean {
    return this.#mayMatch(topic) && topicIsText(topic) && this.#run(topic, BUDGET)
  }

  covers(topic: Topic): boolean {
    return this.#mayMatch(topic) && this.#run(topic, Infinity)
  }

  #mayMatch(topic: Topic): boolean {
    return topic.startsWith(this.prefix) && topic.endsWith(this.suffix)
  }

  #run(topic: Topic, budget: number): boolean {
    if (this.literal) return topic.length === this.source.length
    this.#matcher ??= createGlobMatcher(parseGlob(this.source))
    return this.#matcher(topic, budget)
  }
}

/** Whether surely no topic is matched by both. The answer no says little: they may be apart all the same. */
export function areApart(a: Pattern, b: Pattern): boolean {
  return (!a.prefix.startsWith(b.prefix) && !b.prefix.startsWith(a.prefix)) || (!a.suffix.endsWith(b.suffix) && !b.suffix.endsWith(a.suffix))
}

/** Whether every topic that `pattern` matches is surely matched by `wide`, too: one like `news/*` over `news/eu/*`. */
export function coversAll(wide: Pattern, pattern: Pattern): boolean {
  return /^\*+$/.test(wide.source.slice(wide.prefix.length)) && pattern.prefix.startsWith(wide.prefix)
}
