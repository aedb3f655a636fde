import { ONE, setOf, type CodePointSet, type Glob, type Piece } from './glob.ts'
import { TextSearch } from './text-search.ts'

/** A glob made ready for asking. Steps that led nowhere are counted; more than `budget` of them, and the answer is no. */
export type GlobMatcher = (text: string, budget: number) => boolean

/**
 * The first and the last piece can match in one place only, and of those between, the leftmost match is as good as any:
 * what follows a star may begin wherever it might after a later match. So each piece is looked for once, from where the
 * one before ended. Pieces of plain text take linear time together; only pieces with `?` or sets may lead nowhere often.
 */
export function createGlobMatcher({ pieces }: Glob): GlobMatcher {
  const first = pieces[0] as Piece
  const last = pieces.at(-1) as Piece
  const searches = pieces.map((piece, i) => (i > 0 && i < pieces.length - 1 ? searchFor(piece) : undefined))

  return (text, budget) => {
    let at = matchAt(first, text, 0)
    if (at < 0 || pieces.length === 1) return at === text.length
    const end = startOfLast(last, text)
    if (end < at || matchAt(last, text, end) < 0) return false
    const work: Work = { left: budget }
    for (let i = 1; i < pieces.length - 1; i++) {
      const piece = pieces[i] as Piece
      const search = searches[i]
      at = search === undefined ? findTokens(piece, text, at, work) : findText(piece, search, text, at)
      if (at === -1 || at > end) return false
    }
    return last.after === 'any' || end === at || text[end - 1] === '/'
  }
}

interface Work {
  left: number
}

function searchFor(piece: Piece): TextSearch | undefined {
  if (piece.text === undefined) return undefined
  return new TextSearch(piece.after === 'segments' ? `/${piece.text}` : piece.text)
}

/** Where the piece must begin in order to end where the text does; -1 when the text is too short. */
function startOfLast(piece: Piece, text: string): number {
  if (piece.text !== undefined) return text.length - piece.text.length
  let at = text.length
  for (let left = piece.length; left > 0; left--) {
    if (at <= 0) return -1
    at -= at > 1 && (text.codePointAt(at - 2) as number) > 0xffff ? 2 : 1
  }
  return at
}

/** Where the leftmost match ends, or -1. */
function findText(piece: Piece, search: TextSearch, text: string, from: number): number {
  if (piece.after === 'any') {
    const found = search.find(text, from)
    return found === -1 ? -1 : found + piece.length
  }
  if (text.startsWith(piece.text as string, from)) return from + piece.length
  const slash = search.find(text, from)
  return slash === -1 ? -1 : slash + 1 + piece.length
}

function findTokens(piece: Piece, text: string, from: number, work: Work): number {
  let start = from
  while (start + piece.length <= text.length) {
    const end = matchAt(piece, text, start)
    if (end >= 0) return end
    work.left += end
    if (work.left < 0) return -1
    if (piece.after === 'segments') {
      const slash = text.indexOf('/', start)
      if (slash === -1) return -1
      start = slash + 1
    } else start += (text.codePointAt(start) as number) > 0xffff ? 2 : 1
  }
  return -1
}

/** Where the piece ends when it begins here; else the steps taken in vain, as a negative number. */
function matchAt(piece: Piece, text: string, start: number): number {
  if (piece.text !== undefined) return text.startsWith(piece.text, start) ? start + piece.text.length : -1
  const { tokens, sets } = piece
  let at = start
  let steps = 0
  for (let i = 0; i < tokens.length; i++) {
    if (at >= text.length) return -steps - 1
    const token = tokens[i] as number
    // Nearly every sign is one unit, and asking for that alone takes half the time.
    let point = text.charCodeAt(at)
    if (point >= 0xd800 && point < 0xdc00) point = text.codePointAt(at) as number
    steps++
    if (token < ONE) {
      const set = setOf(sets, token)
      // A set is asked by halving, which takes about twice the time of a comparison.
      steps += 2 * set.cost
      if (!has(set, point)) return -steps
    } else if (token !== point && token !== ONE) return -steps
    at += point > 0xffff ? 2 : 1
  }
  return at
}

function has({ negated, ranges }: CodePointSet, point: number): boolean {
  if (ranges.length === 2) return (point >= (ranges[0] as number) && point <= (ranges[1] as number)) !== negated
  let low = 0
  let high = ranges.length >> 1
  while (low < high) {
    const middle = (low + high) >> 1
    if (point < (ranges[2 * middle] as number)) high = middle
    else if (point > (ranges[2 * middle + 1] as number)) low = middle + 1
    else return !negated
  }
  return negated
}
