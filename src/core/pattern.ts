import { WaystationError } from './errors.ts'
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
  /** True when nothing in the pattern is special, so that it names one topic only. */
  readonly literal: boolean
  /** Whether the topic matches. Cost is bounded by the product of both lengths. A topic that is no UTF-8 never does. */
  matches(topic: Topic): boolean
  /**
   * The same, but a topic that is no UTF-8 is covered too, each of its raw bytes counting as one code point: for rules,
   * which must not be got round by a byte that is no text.
   */
  covers(topic: Topic): boolean
}

interface SetToken {
  readonly negated: boolean
  readonly ranges: readonly (readonly [number, number])[]
}
type Token = number | typeof ONE | typeof ANY | typeof SEGMENTS | SetToken
const ONE = '?'
const ANY = '*'
const SEGMENTS = '**/'

/**
 * Compiles a glob.
 * @param source the glob, at most 65,535 UTF-16 units, well-formed
 * @throws {WaystationError} `bad_pattern`
 */
export function compilePattern(source: string): Pattern {
  if (!source.isWellFormed()) throw new WaystationError('bad_pattern', 'it is not well-formed Unicode')
  if (source.length > 65_535) throw new WaystationError('bad_pattern', 'it is longer than 65,535 characters')
  const tokens = parse(source)
  let plain = 0
  while (plain < tokens.length && typeof tokens[plain] === 'number') plain++
  const prefix = String.fromCodePoint(...(tokens.slice(0, Math.min(plain, 1_000)) as number[]))
  const literal = plain === tokens.length
  if (literal) {
    const same = (topic: Topic): boolean => topic === source
    return { source, prefix, literal, matches: same, covers: same }
  }
  return {
    source,
    prefix,
    literal,
    matches: (topic) => topic.startsWith(prefix) && topicIsText(topic) && run(tokens, topic),
    covers: (topic) => topic.startsWith(prefix) && run(tokens, topic),
  }
}

function parse(source: string): Token[] {
  const tokens: Token[] = []
  for (let i = 0; i < source.length; ) {
    const point = source.codePointAt(i) as number
    if (point === 0x2a) {
      let end = i
      while (source[end] === '*') end++
      const opensSegment = i === 0 || source[i - 1] === '/'
      if (end - i === 2 && opensSegment && source[end] === '/') {
        tokens.push(SEGMENTS)
        i = end + 1
      } else {
        tokens.push(ANY)
        i = end
      }
      continue
    }
    const set = point === 0x5b ? parseSet(source, i) : undefined
    if (set !== undefined) {
      tokens.push(set.token)
      i = set.end
      continue
    }
    tokens.push(point === 0x3f ? ONE : point)
    i += point > 0xffff ? 2 : 1
  }
  return tokens
}

function parseSet(source: string, open: number): { token: SetToken; end: number } | undefined {
  const negated = source[open + 1] === '!'
  const start = open + (negated ? 2 : 1)
  const close = source.indexOf(']', start + 1)
  if (close === -1) return undefined
  const members = Array.from(source.slice(start, close), (char) => char.codePointAt(0) as number)
  const ranges: [number, number][] = []
  for (let i = 0; i < members.length; i++) {
    const low = members[i] as number
    const isRange = members[i + 1] === 0x2d && i + 2 < members.length
    if (isRange) i += 2
    ranges.push([low, members[i] as number])
  }
  return { token: { negated, ranges }, end: close + 1 }
}

/**
 * Greedy matching that goes back only to the last star. That is enough, also for `**` + `/`: whatever an earlier star
 * could reach by taking more, the last one reaches too. So no input takes more than pattern length times topic length.
 */
function run(tokens: readonly Token[], topic: string): boolean {
  let at = 0
  let t = 0
  let star = -1
  let starAt = 0
  for (;;) {
    const token = tokens[t]
    if (token === ANY || token === SEGMENTS) {
      star = t++
      starAt = at
      continue
    }
    if (token === undefined && at === topic.length) return true
    if (token !== undefined && at < topic.length) {
      const point = topic.codePointAt(at) as number
      if (accepts(token, point)) {
        at += point > 0xffff ? 2 : 1
        t++
        continue
      }
    }
    if (star === -1) return false
    starAt = widen(tokens[star] as Token, topic, starAt)
    if (starAt === -1) return false
    at = starAt
    t = star + 1
  }
}

/** The next place where what follows the star may begin, or -1 when the topic has no more. */
function widen(star: Token, topic: string, from: number): number {
  if (from >= topic.length) return -1
  if (star === SEGMENTS) {
    const slash = topic.indexOf('/', from)
    return slash === -1 ? -1 : slash + 1
  }
  return from + ((topic.codePointAt(from) as number) > 0xffff ? 2 : 1)
}

function accepts(token: Token, point: number): boolean {
  if (typeof token === 'number') return token === point
  if (token === ONE) return true
  if (typeof token === 'string') return false
  for (const [low, high] of token.ranges) if (point >= low && point <= high) return !token.negated
  return token.negated
}
