/** A stretch of a glob that has no star in it, and what is allowed before it. */
export interface Piece {
  /** `start`: nothing. `any`: any text. `segments`: nothing, or any text that ends with a slash. */
  readonly after: 'start' | 'any' | 'segments'
  /** The least that it matches, in UTF-16 units. Where something in it is special, the code points that it matches. */
  readonly length: number
  /** The piece itself where nothing in it is special; else its tokens count. */
  readonly text: string | undefined
  /** Each a code point, `ONE`, or below that the complement of an index into `sets`. */
  readonly tokens: Int32Array
  readonly sets: readonly CodePointSet[]
}

export interface CodePointSet {
  readonly negated: boolean
  /** Pairs of first and last, in order, none touching the next. */
  readonly ranges: Int32Array
  /** Steps that a look into it counts as, beside the one of its own. */
  readonly cost: number
}

/** A glob taken apart. `pieces` has at least one; only its first and its last may be empty. */
export interface Glob {
  readonly pieces: readonly Piece[]
  /** The text before the first special sign. */
  readonly prefix: string
  /** The text after the last special sign; empty when there is none. */
  readonly suffix: string
  /** The longest text between two special signs. */
  readonly inside: string
}

/** The token for any one code point: no code point is negative. */
export const ONE = -1

/** The set that a token below `ONE` stands for. */
export function setOf(sets: readonly CodePointSet[], token: number): CodePointSet {
  return sets[-2 - token] as CodePointSet
}

/** Takes a well-formed glob apart. Time and memory grow with its length (its sets are sorted). Never fails. */
export function parseGlob(source: string): Glob {
  const pieces: Piece[] = []
  const lastClose = source.lastIndexOf(']')
  let after: Piece['after'] = 'start'
  let tokens: number[] = []
  let sets: CodePointSet[] = []
  let pieceAt = 0
  let runAt = 0
  let prefix: string | undefined
  let inside = ''
  let i = 0

  function endRun(next: number): string {
    const run = source.slice(runAt, i)
    if (prefix === undefined) prefix = run
    else if (run.length > inside.length) inside = run
    runAt = next
    return run
  }
  function addToken(token: number, end: number): void {
    addText(tokens, endRun(end))
    tokens.push(token)
    i = end
  }
  function endPiece(run: string): void {
    // Segments, and then a star or segments again: what comes second says it all.
    if (after === 'segments' && i === pieceAt && i < source.length) return
    if (tokens.length === 0) pieces.push({ after, length: run.length, text: run, tokens: NO_TOKENS, sets: NO_SETS })
    else {
      addText(tokens, run)
      pieces.push({ after, length: tokens.length, text: undefined, tokens: Int32Array.from(tokens), sets })
      tokens = []
      sets = []
    }
  }

  while (i < source.length) {
    const unit = source.charCodeAt(i)
    if (unit === 0x2a) {
      let end = i
      while (source.charCodeAt(end) === 0x2a) end++
      const wholeSegment = end - i === 2 && (i === 0 || source[i - 1] === '/') && source[end] === '/'
      if (wholeSegment) end++
      endPiece(endRun(end))
      after = wholeSegment ? 'segments' : 'any'
      pieceAt = i = end
      continue
    }
    const set = unit === 0x5b ? parseSet(source, i, lastClose) : undefined
    if (set !== undefined) addToken(-2 - (sets.push(set) - 1), set.end)
    else if (unit === 0x3f) addToken(ONE, i + 1)
    else i++
  }
  const rest = source.slice(runAt)
  endPiece(rest)
  return prefix === undefined ? { pieces, prefix: source, suffix: '', inside } : { pieces, prefix, suffix: rest, inside }
}

const NO_TOKENS = new Int32Array(0)
const NO_SETS: readonly CodePointSet[] = []

function addText(tokens: number[], text: string): void {
  for (let i = 0; i < text.length; i++) {
    const point = text.codePointAt(i) as number
    if (point > 0xffff) i++
    tokens.push(point)
  }
}

function parseSet(source: string, open: number, lastClose: number): (CodePointSet & { end: number }) | undefined {
  const negated = source[open + 1] === '!'
  const start = open + (negated ? 2 : 1)
  // Known beforehand, so that a row of unclosed brackets does not search to the end for each.
  if (start + 1 > lastClose) return undefined
  const close = source.indexOf(']', start + 1)
  const members: number[] = []
  addText(members, source.slice(start, close))
  const ranges: number[] = []
  for (let i = 0; i < members.length; i++) {
    const low = members[i] as number
    const isRange = members[i + 1] === 0x2d && i + 2 < members.length
    if (isRange) i += 2
    const high = members[i] as number
    if (low <= high) ranges.push(low * SHIFT + high)
  }
  const flat = joined(Float64Array.from(ranges).sort())
  // It is looked into by halves; one range costs no more than a single sign.
  return { negated, ranges: flat, cost: 31 - Math.clz32((flat.length >> 1) | 1), end: close + 1 }
}

/** Above every code point, so that a range is one number, and ranges sort by where they begin. */
const SHIFT = 2 ** 21

function joined(ranges: Float64Array): Int32Array {
  const flat: number[] = []
  for (const range of ranges) {
    const low = Math.floor(range / SHIFT)
    const high = range % SHIFT
    const last = flat.at(-1)
    if (last !== undefined && low <= last + 1) flat[flat.length - 1] = Math.max(last, high)
    else flat.push(low, high)
  }
  return Int32Array.from(flat)
}
