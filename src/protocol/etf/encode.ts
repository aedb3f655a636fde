import { Atom, BitString, EtfError, ExternalFunction, Float, ImproperList, LocalFunction, Pid, Port, Reference, TermMap, Tuple, type Term } from './term.ts'
import {
  BINARY, BIT_BINARY, DEFAULT_DEPTH, EXTERNAL_FUNCTION, FLOAT, INTEGER, LARGE_BIG, LARGE_TUPLE, LIST, LOCAL_FUNCTION, MAP, MOST_REFERENCE_WORDS, NIL, PID,
  PORT, PORT_V4, REFERENCE, SMALL_BIG, SMALL_INTEGER, SMALL_TUPLE, STRING, VERSION,
} from './tags.ts'
import { createWriter, type Writer } from './writer.ts'

export interface EncodeOptions {
  /** Containers within one another (1,000). What holds itself is too deep. */
  readonly maxDepth?: number
}

const U32 = 4_294_967_295
const U64 = 18_446_744_073_709_551_615n
const LONGEST_STRING = 65_535

/** A container whose terms are being written. */
interface Frame {
  readonly terms: readonly Term[] | undefined
  readonly entries: readonly (readonly [Term, Term])[] | undefined
  readonly count: number
  next: number
  /** What ends a list behind its items. */
  readonly tail: Term | undefined
}

/**
 * A term in external term format, 131 first (`erps.md`, A.1 and A.3): byte for byte what OTP 26 sends, map pairs in the
 * order of `entries`. Linear in time; takes no call stack however deep the term is.
 * @throws EtfError `badarg` for what is no term, `too_deep`
 */
export function encode(term: Term, options: EncodeOptions = {}): Buffer {
  const maxDepth = options.maxDepth ?? DEFAULT_DEPTH
  const out = createWriter()
  out.byte(VERSION)
  const stack: Frame[] = []
  let value: Term | undefined = term
  for (;;) {
    const frame = writeTerm(out, value as Term)
    if (frame !== undefined) {
      if (stack.length >= maxDepth) throw new EtfError('too_deep', `deeper than ${maxDepth} levels, or within itself`)
      stack.push(frame)
    }
    let top = stack.at(-1)
    while (top !== undefined && top.next === top.count) {
      stack.pop()
      top = stack.at(-1)
    }
    if (top === undefined) return out.finish()
    value = nextOf(top)
  }
}

function nextOf(frame: Frame): Term | undefined {
  const at = frame.next++
  if (frame.entries !== undefined) return pairAt(frame.entries, at >> 1)[at & 1]
  const terms = frame.terms as readonly Term[]
  return at < terms.length ? terms[at] : frame.tail
}

function pairAt(entries: readonly (readonly [Term, Term])[], index: number): readonly [Term, Term] {
  const pair: unknown = entries[index]
  if (!Array.isArray(pair) || pair.length !== 2) throw badarg('a pair of a map')
  return pair as unknown as readonly [Term, Term]
}

/** Writes a whole term, or the beginning of one whose terms are to follow. */
function writeTerm(out: Writer, term: Term): Frame | undefined {
  switch (typeof term) {
    case 'number': return void writeNumber(out, term)
    case 'string': return void out.text(BINARY, term)
    case 'boolean': return void out.atom(term ? 'true' : 'false')
    case 'bigint': return void writeBig(out, term)
    case 'object': return writeObject(out, term)
    default: throw badarg(typeof term)
  }
}

function writeObject(out: Writer, term: Exclude<Term, number | string | boolean | bigint>): Frame | undefined {
  if (term === null) return void out.atom('nil')
  if (term instanceof Tuple) return writeTuple(out, term.elements)
  if (term instanceof Uint8Array) return void out.bytes(BINARY, term)
  if (isList(term)) return writeList(out, term)
  if (term instanceof Atom) return void out.atom(term.name)
  if (term instanceof TermMap) {
    out.byte(MAP)
    out.u32(term.entries.length)
    return { terms: undefined, entries: term.entries, count: 2 * term.entries.length, next: 0, tail: undefined }
  }
  if (term instanceof Float) {
    if (!Number.isFinite(term.value)) throw badarg('a float that is no number')
    out.byte(FLOAT)
    return void out.double(term.value)
  }
  if (term instanceof ImproperList) {
    if (term.items.length === 0) throw badarg('an improper list without items')
    return openList(out, term.items, term.tail)
  }
  if (term instanceof BitString) return void writeBits(out, term)
  return void writeIdentifier(out, term)
}

/** `Array.isArray` says nothing of arrays that are read only. */
function isList(term: Term): term is readonly Term[] {
  return Array.isArray(term)
}

function writeNumber(out: Writer, value: number): void {
  // Beyond 2^53 a number does not say which integer it is.
  if (!Number.isSafeInteger(value)) throw badarg('a number that is no safe integer')
  if (value >= 0 && value <= 255) {
    out.byte(SMALL_INTEGER)
    return out.byte(value)
  }
  if (value === (value | 0)) {
    out.byte(INTEGER)
    return out.u32(value >>> 0)
  }
  writeMagnitude(out, value < 0, BigInt(Math.abs(value)))
}

function writeBig(out: Writer, value: bigint): void {
  if (value >= -2_147_483_648n && value <= 2_147_483_647n) return writeNumber(out, Number(value))
  writeMagnitude(out, value < 0n, value < 0n ? -value : value)
}

function writeMagnitude(out: Writer, negative: boolean, magnitude: bigint): void {
  // Base 16 is the one way out of a bigint that is linear.
  const hex = magnitude.toString(16)
  const bytes = Buffer.from(hex.length % 2 === 0 ? hex : `0${hex}`, 'hex').reverse()
  if (bytes.length <= 255) {
    out.byte(SMALL_BIG)
    out.byte(bytes.length)
  } else {
    out.byte(LARGE_BIG)
    out.u32(bytes.length)
  }
  out.byte(negative ? 1 : 0)
  out.raw(bytes)
}

function writeTuple(out: Writer, elements: readonly Term[]): Frame {
  if (elements.length <= 255) {
    out.byte(SMALL_TUPLE)
    out.byte(elements.length)
  } else {
    out.byte(LARGE_TUPLE)
    out.u32(elements.length)
  }
  return { terms: elements, entries: undefined, count: elements.length, next: 0, tail: undefined }
}

function writeList(out: Writer, items: readonly Term[]): Frame | undefined {
  if (items.length === 0) return void out.byte(NIL)
  if (items.length > LONGEST_STRING || !areBytes(items)) return openList(out, items, [])
  out.byte(STRING)
  out.u16(items.length)
  for (const item of items) out.byte(Number(item))
  return undefined
}

function areBytes(items: readonly Term[]): boolean {
  for (const item of items) {
    const byte = typeof item === 'number' ? Number.isInteger(item) && item >= 0 && item <= 255 : typeof item === 'bigint' && item >= 0n && item <= 255n
    if (!byte) return false
  }
  return true
}

function openList(out: Writer, items: readonly Term[], tail: Term): Frame {
  out.byte(LIST)
  out.u32(items.length)
  return { terms: items, entries: undefined, count: items.length + 1, next: 0, tail }
}

function writeBits(out: Writer, { bytes, lastBits }: BitString): void {
  if (!(bytes instanceof Uint8Array) || bytes.length === 0 || !Number.isInteger(lastBits) || lastBits < 1 || lastBits > 7) throw badarg('bits')
  out.byte(BIT_BINARY)
  out.u32(bytes.length)
  out.byte(lastBits)
  out.raw(bytes.subarray(0, -1))
  out.byte((bytes.at(-1) as number) & (0xff00 >> lastBits))
}

function writeIdentifier(out: Writer, term: Pid | Reference | Port | ExternalFunction | LocalFunction): void {
  if (term instanceof Pid) {
    out.byte(PID)
    out.atom(term.node)
    word(out, term.id)
    word(out, term.serial)
    return word(out, term.creation)
  }
  if (term instanceof Reference) {
    if (term.words.length > MOST_REFERENCE_WORDS) throw badarg('the words of a reference')
    out.byte(REFERENCE)
    out.u16(term.words.length)
    out.atom(term.node)
    word(out, term.creation)
    for (const each of term.words) word(out, each)
    return
  }
  if (term instanceof Port) return writePort(out, term)
  if (term instanceof ExternalFunction) {
    if (!Number.isInteger(term.arity) || term.arity < 0 || term.arity > 255) throw badarg('an arity')
    out.byte(EXTERNAL_FUNCTION)
    out.atom(term.module)
    out.atom(term.name)
    out.byte(SMALL_INTEGER)
    return out.byte(term.arity)
  }
  if (term instanceof LocalFunction) {
    out.byte(LOCAL_FUNCTION)
    out.u32(term.content.length + 4)
    return out.raw(term.content)
  }
  term satisfies never
  throw badarg('no term')
}

function writePort(out: Writer, { node, id, creation }: Port): void {
  if (typeof id === 'number' && !Number.isSafeInteger(id)) throw badarg('the number of a port')
  const number = BigInt(id)
  if (number < 0n || number > U64) throw badarg('the number of a port')
  const wide = number > BigInt(U32)
  out.byte(wide ? PORT_V4 : PORT)
  out.atom(node)
  if (wide) out.u32(Number(number >> 32n))
  out.u32(Number(number & 0xffffffffn))
  word(out, creation)
}

function word(out: Writer, value: number): void {
  if (!Number.isInteger(value) || value < 0 || value > U32) throw badarg('a number of 32 bits')
  out.u32(value)
}

function badarg(what: string): EtfError {
  return new EtfError('badarg', `cannot be written: ${what}`)
}
