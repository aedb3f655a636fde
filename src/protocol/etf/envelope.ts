import { EtfError, type Term } from './term.ts'
import { canHold, inflate, type Inflated } from './inflate.ts'
import { createKeys } from './keys.ts'
import { badarg, cut, type Reading } from './reading.ts'
import { COMPRESSED, DEFAULT_DEPTH, VERSION } from './tags.ts'
import { walk } from './walk.ts'

export interface DecodeOptions {
  /** `any`, or those that are taken beside `COMMON_ATOMS` (`erps.md`, A.6). A node may be `nonode@nohost` as well. */
  readonly atoms?: 'any' | ReadonlySet<string>
  /** Functions and ports: refused, unless they are asked for. */
  readonly opaque?: 'refused' | 'kept'
  /** Bytes that a compressed term may inflate to (16 MiB). */
  readonly maxBytes?: number
  /** Containers within one another (1,000). */
  readonly maxDepth?: number
  /** Bytes that what is made may take, estimated: the values, what is inflated, and work on the keys of maps (no bound). */
  readonly maxMemory?: number
  /** What binaries become: views of the input, or strings where they are UTF-8. */
  readonly binaries?: 'bytes' | 'text'
}

export interface Opened {
  readonly term: Term
  /** The place behind the term, or behind its zlib stream. */
  readonly end: number
  /** What was compressed, without 131, and the place behind the term there. */
  readonly inflated: { readonly bytes: Buffer; readonly end: number } | undefined
}

const DEFAULT_BYTES = 16_777_216
const COMPRESSED_HEAD = 6

/** Reads a term with what is before it: 131, and compression where there is any (`erps.md`, A.4). */
export function open(input: Buffer, options: DecodeOptions, purpose: Reading['purpose']): Opened {
  if (input[0] !== VERSION) throw badarg('a term begins with 131')
  const maxDepth = options.maxDepth ?? DEFAULT_DEPTH
  if (input[1] !== COMPRESSED) {
    const reading = begin(input, 1, 0, options, purpose)
    return { term: walk(reading, maxDepth), end: reading.at, inflated: undefined }
  }
  const { bytes, end } = inflateTerm(input, options)
  const reading = begin(bytes, 0, bytes.length, options, purpose)
  return { term: walk(reading, maxDepth), end, inflated: { bytes, end: reading.at } }
}

/** What stands behind 131 and 80, inflated and not looked at, and the place behind its zlib stream (`erps.md`, A.4). */
export function inflateTerm(input: Buffer, { maxBytes = DEFAULT_BYTES, maxMemory = Infinity }: DecodeOptions): Inflated {
  if (input.length < COMPRESSED_HEAD) throw cut()
  const size = input.readUInt32BE(2)
  if (!canHold(input.length - COMPRESSED_HEAD, size)) throw badarg('what is compressed cannot be of this size')
  if (size > maxBytes || size > maxMemory) throw new EtfError('too_large', `${size} bytes when inflated`)
  return inflate(input, COMPRESSED_HEAD, size)
}

/** The place behind a term that stands without its 131, checked as `scan` does it. */
export function scanBare(bytes: Buffer, options: DecodeOptions): number {
  const reading = begin(bytes, 0, bytes.length, options, 'check')
  walk(reading, options.maxDepth ?? DEFAULT_DEPTH)
  return reading.at
}

function begin(bytes: Buffer, at: number, memory: number, options: DecodeOptions, purpose: Reading['purpose']): Reading {
  const { atoms = 'any', opaque = 'refused', binaries = 'bytes', maxMemory = Infinity } = options
  const keys = createKeys((size) => {
    if (reading.memory + size > maxMemory) throw new EtfError('too_large', `more than ${maxMemory} bytes of memory`)
  })
  const reading: Reading = { bytes, at, awaited: 0, purpose, binaries, atoms: atoms === 'any' ? undefined : atoms, opaque, keys, keyed: false, memory, maxMemory }
  return reading
}

/** The same bytes with the methods of a Buffer. */
export function asBuffer(bytes: Uint8Array): Buffer {
  return Buffer.isBuffer(bytes) ? bytes : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
}
