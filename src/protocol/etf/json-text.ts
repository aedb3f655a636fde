import { Float, type Term } from './term.ts'

/** An integer with more digits is none here: reading and writing it takes time that grows with their square. */
export const MAX_DIGITS = 20_000

/** The text is no JSON, or holds what no term can be. */
export class UnusableJson extends Error {
  override readonly name = 'UnusableJson'
}

export type Members = readonly (readonly [name: string, value: Term])[]

/** An array or object that has begun and not ended, and where in `values` what it holds begins. */
interface Open {
  readonly kind: 'array' | 'object'
  readonly start: number
}

const [QUOTE, COMMA, COLON, BACKSLASH] = [0x22, 0x2c, 0x3a, 0x5c]
const [BRACKET, END_BRACKET, BRACE, END_BRACE] = [0x5b, 0x5d, 0x7b, 0x7d]
const NUMBER = /-?(?:0|[1-9]\d*)(\.\d+)?([eE][+-]?\d+)?/y
const LITERALS = [['true', true], ['false', false], ['null', null]] as const
const SAFE_LENGTH = 15

/**
 * Reads JSON (RFC 8259) as a term: arrays are lists, strings are text, a number is a float when it has a point or an
 * exponent, else an integer. `JSON.parse` would lose which it was, and the digits of long ones.
 * @param maxDepth arrays and objects within one another
 * @param object makes the term of an object, its members in the order of the text, names that stand twice among them
 * @throws {UnusableJson} also for text that has no UTF-8, and for integers of more than `MAX_DIGITS`. A float that is too
 *   large is infinite
 */
export function readJson(text: string, maxDepth: number, object: (members: Members) => Term): Term {
  const open: Open[] = []
  /** What open containers hold so far; in objects each behind its name. An array of its own for each would be made too long. */
  const values: Term[] = []
  let count = 0
  let at = 0

  /** The next character that is no space. */
  function peek(): number {
    for (;;) {
      const code = text.charCodeAt(at)
      if (code !== 0x20 && code !== 0x0a && code !== 0x0d && code !== 0x09) return code
      at++
    }
  }
  function take(code: number): boolean {
    if (peek() !== code) return false
    at++
    return true
  }
  function expect(code: number): void {
    if (!take(code)) throw new UnusableJson(`at ${at}`)
  }

  function string(): string {
    expect(QUOTE)
    const start = at
    let isPlain = true
    for (;; at++) {
      const code = text.charCodeAt(at)
      if (code === QUOTE) break
      // Also at the end of the text, where there is no code.
      if (!(code >= 0x20)) throw new UnusableJson(`at ${at}`)
      if (code !== BACKSLASH) continue
      isPlain = false
      at++
    }
    const value = isPlain ? text.slice(start, at) : unescaped(text.slice(start - 1, at + 1))
    if (!value.isWellFormed()) throw new UnusableJson('a lone surrogate')
    at++
    return value
  }
  function name(): void {
    values[count++] = string()
    expect(COLON)
  }
  function scalar(): Term {
    if (peek() === QUOTE) return string()
    NUMBER.lastIndex = at
    const number = NUMBER.exec(text)
    if (number !== null) {
      at = NUMBER.lastIndex
      return number[1] === undefined && number[2] === undefined ? integer(number[0]) : new Float(Number(number[0]))
    }
    for (const [word, value] of LITERALS) {
      if (!text.startsWith(word, at)) continue
      at += word.length
      return value
    }
    throw new UnusableJson(`at ${at}`)
  }
  function begin(kind: Open['kind']): void {
    if (open.push({ kind, start: count }) > maxDepth) throw new UnusableJson('too deep')
  }
  function end(): Term {
    const { kind, start } = open.pop() as Open
    const held = values.slice(start, count)
    count = start
    if (kind === 'array') return held
    const members: [string, Term][] = []
    for (let i = 0; i < held.length; i += 2) members.push([held[i] as string, held[i + 1] as Term])
    return object(members)
  }

  for (;;) {
    let value: Term
    if (take(BRACKET)) {
      begin('array')
      if (!take(END_BRACKET)) continue
      value = end()
    } else if (take(BRACE)) {
      begin('object')
      if (!take(END_BRACE)) {
        name()
        continue
      }
      value = end()
    } else value = scalar()
    // What ends may be the last of what it is in, and so on outwards.
    for (;;) {
      const container = open.at(-1)
      if (container === undefined) {
        if (!Number.isNaN(peek())) throw new UnusableJson(`at ${at}`)
        return value
      }
      values[count++] = value
      if (take(COMMA)) {
        if (container.kind === 'object') name()
        break
      }
      expect(container.kind === 'array' ? END_BRACKET : END_BRACE)
      value = end()
    }
  }
}

function unescaped(quoted: string): string {
  try {
    return JSON.parse(quoted) as string
  } catch (error) {
    throw new UnusableJson('a string', { cause: error })
  }
}

/** @param text digits, perhaps behind a minus sign. Gives nothing when there are more than `MAX_DIGITS`. */
export function integerFrom(text: string): number | bigint | undefined {
  if (text.length <= SAFE_LENGTH) return Number(text)
  if (text.length > MAX_DIGITS + (text.startsWith('-') ? 1 : 0)) return undefined
  return BigInt(text)
}

function integer(text: string): number | bigint {
  const value = integerFrom(text)
  if (value === undefined) throw new UnusableJson('a long integer')
  return value
}
