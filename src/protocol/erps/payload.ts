import { inflateTerm, open, scanBare, type DecodeOptions } from '../etf/envelope.ts'
import { BINARY, COMPRESSED, INTEGER, LARGE_BIG, LARGE_TUPLE, SMALL_BIG, SMALL_INTEGER, SMALL_TUPLE, VERSION } from '../etf/tags.ts'
import { readExtension } from './extension.ts'
import type { Extension, Referred } from './messages.ts'
import { simpleEnd } from './simple.ts'
import { skip } from './skip.ts'

/** What a term begins with: the first part of a payload that is one bare term. */
export const TERM: Buffer = Buffer.of(VERSION)
const PAIR = Buffer.of(VERSION, SMALL_TUPLE, 2)
/** Bytes of an error's text that are read: it goes into logs and to callers. */
const LONGEST_TEXT = 1_000
const MAX_INTEGER = 0x7fff_ffff

export interface Opened {
  /** The term uncompressed, with its 131 and nothing behind it. */
  readonly term: Buffer
  /** The same without the 131. */
  readonly bare: Buffer
  /** What a Waystation has put behind the term. */
  readonly extension: Extension | undefined
}

/**
 * Checks the term of a payload without building it, uncompresses it, and reads what is behind it (`erps.md`, 3, 7 and A.4).
 * Bytes behind the term that are no extension are ignored.
 * @returns views of the payload, or of what was inflated
 * @throws {EtfError} `badarg` for what is no term or none that is taken, `too_deep`, `too_large`
 */
export function openPayload(payload: Buffer, options: DecodeOptions): Opened {
  if (payload[0] === VERSION && payload[1] === COMPRESSED) return uncompress(payload, options)
  const end = simpleEnd(payload, options) ?? open(payload, options, 'check').end
  const extension = end === payload.length ? undefined : readExtension(payload, end)
  return { term: end === payload.length ? payload : payload.subarray(0, end), bare: payload.subarray(1, end), extension }
}

/** A few bytes may hold millions of terms: where they are simple, looking at them is not dear. */
function uncompress(payload: Buffer, options: DecodeOptions): Opened {
  const { bytes, end } = inflateTerm(payload, options)
  const whole = Buffer.concat([TERM, bytes])
  const simple = bytes[0] === COMPRESSED ? undefined : simpleEnd(whole, options)
  const term = whole.subarray(0, simple ?? scanBare(bytes, options) + 1)
  return { term, bare: term.subarray(1), extension: end === payload.length ? undefined : readExtension(payload, end) }
}

/**
 * Takes `{ref, request}` apart (`erps.md`, 3). The ref may be any term.
 * @param bare what `openPayload` gave: it is not checked again
 * @returns views of it; `undefined` where it is no tuple of two
 */
export function splitCall(bare: Buffer): Referred | undefined {
  const parts = halves(bare)
  return parts === undefined ? undefined : { ref: parts[0], term: parts[1] }
}

/** Takes `{answer, ref}` apart: the other way round than a call. @returns `undefined` where it is no tuple of two */
export function splitReply(bare: Buffer): Referred | undefined {
  const parts = halves(bare)
  return parts === undefined ? undefined : { ref: parts[1], term: parts[0] }
}

/** Takes `{reason, ref}` apart, which fails one call. @returns `undefined` where it is no tuple of two, as an error that is a text */
export function splitError(bare: Buffer): Referred | undefined {
  return splitReply(bare)
}

function halves(bare: Buffer): [Buffer, Buffer] | undefined {
  const first = firstElement(bare)
  const second = first === undefined ? undefined : skip(bare, first)
  if (second === undefined || second === bare.length) return undefined
  return [bare.subarray(first, second), bare.subarray(second)]
}

/** Where the first of two elements begins. */
function firstElement(bare: Buffer): number | undefined {
  if (bare[0] === SMALL_TUPLE) return bare[1] === 2 ? 2 : undefined
  return bare[0] === LARGE_TUPLE && bare.length > 5 && bare.readUInt32BE(1) === 2 ? 5 : undefined
}

/** The text of a term that is a binary, its first 1,000 bytes; what is no UTF-8 becomes U+FFFD. */
export function errorText(bare: Buffer): string | undefined {
  if (bare[0] !== BINARY || bare.length < 5 || bare.readUInt32BE(1) !== bare.length - 5) return undefined
  return bare.toString('utf8', 5, 5 + LONGEST_TEXT)
}

/** The parts of a payload that is a tuple of two bare terms, its 131 among them. */
export function tuple2(first: Buffer, second: Buffer): Buffer[] {
  return [PAIR, first, second]
}

/** A bare whole number. @throws {RangeError} for what is none from 0 to 2^31-1 */
export function writeRef(ref: number): Buffer {
  if (!Number.isInteger(ref) || ref < 0 || ref > MAX_INTEGER) throw new RangeError(`a ref of ${ref}`)
  if (ref < 256) return Buffer.of(SMALL_INTEGER, ref)
  const bytes = Buffer.allocUnsafe(5)
  bytes[0] = INTEGER
  bytes.writeUInt32BE(ref, 1)
  return bytes
}

/**
 * The value of a bare whole number in whichever encoding (`erps.md`, A.2).
 * @returns `undefined` for any other term, and for what is below 0 or above 2^53-1
 */
export function readRef(bare: Buffer): number | undefined {
  switch (bare[0]) {
    case SMALL_INTEGER: return bare.length === 2 ? bare[1] : undefined
    case INTEGER: {
      const value = bare.length === 5 ? bare.readInt32BE(1) : -1
      return value < 0 ? undefined : value
    }
    case SMALL_BIG: return bare.length >= 3 && bare.length - 3 === bare[1] ? readBig(bare, 2) : undefined
    case LARGE_BIG: return bare.length >= 6 && bare.length - 6 === bare.readUInt32BE(1) ? readBig(bare, 5) : undefined
    default: return undefined
  }
}

/** @param signAt where the sign is, and behind it the number, its lowest byte first */
function readBig(bare: Buffer, signAt: number): number | undefined {
  let value = 0
  for (let at = bare.length - 1; at > signAt; at--) {
    value = value * 256 + (bare[at] as number)
    if (value > Number.MAX_SAFE_INTEGER) return undefined
  }
  return bare[signAt] === 0 || value === 0 ? value : undefined
}

/** A bare binary: a text in UTF-8. */
export function writeText(text: string): Buffer {
  const size = Buffer.byteLength(text, 'utf8')
  const bytes = Buffer.allocUnsafe(5 + size)
  bytes[0] = BINARY
  bytes.writeUInt32BE(size, 1)
  bytes.write(text, 5, size, 'utf8')
  return bytes
}
