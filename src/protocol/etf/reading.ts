import { EtfError } from './term.ts'
import type { Keys } from './keys.ts'

/** The state of one reading. */
export interface Reading {
  readonly bytes: Buffer
  at: number
  /** Terms that open containers still announce. Each takes a byte at least, so nothing is made for a claim beyond what is left. */
  awaited: number
  readonly purpose: 'build' | 'check'
  readonly binaries: 'bytes' | 'text'
  /** Names that are taken; all, where it is `undefined`. */
  readonly atoms: ReadonlySet<string> | undefined
  readonly opaque: 'refused' | 'kept'
  readonly keys: Keys
  /** Whether the term that is read now stands in a key, and goes to `keys` as well. */
  keyed: boolean
  /** Bytes of the heap that what was made takes, estimated. */
  memory: number
  readonly maxMemory: number
}

/*
 * Bytes of the heap that values take in V8 with pointers of eight bytes.
 */
export const SLOT = 8
export const OBJECT = 24
/** An array and the head of its store. */
export const ARRAY = 48
/** A whole number beyond 31 bits, or a float. */
export const HEAP_NUMBER = 16
export const BIGINT = 24
export const STRING_HEAD = 24
/** What sorting the pairs of a map that stands in a key is worth, in bytes: it takes a microsecond or two. */
export const KEYED_MAP = 512
/** A view of bytes. */
export const VIEW = 104

/** Steps over `size` bytes and gives the place of the first. */
export function take(reading: Reading, size: number): number {
  const from = reading.at
  if (size > reading.bytes.length - from) throw cut()
  reading.at = from + size
  return from
}

export function take8(reading: Reading): number {
  return reading.bytes[take(reading, 1)] as number
}

export function take16(reading: Reading): number {
  const { bytes } = reading
  const at = take(reading, 2)
  return (bytes[at] as number) * 256 + (bytes[at + 1] as number)
}

export function take32(reading: Reading): number {
  const { bytes } = reading
  const at = take(reading, 4)
  return (bytes[at] as number) * 16_777_216 + (((bytes[at + 1] as number) << 16) | ((bytes[at + 2] as number) << 8) | (bytes[at + 3] as number))
}

/** Says that `count` terms are to come. */
export function announce(reading: Reading, count: number): void {
  if (reading.awaited + count > reading.bytes.length - reading.at) throw cut()
  reading.awaited += count
}

/** Accounts for memory before it is taken. */
export function charge(reading: Reading, size: number): void {
  reading.memory += size
  if (reading.memory > reading.maxMemory) throw new EtfError('too_large', `more than ${reading.maxMemory} bytes of memory`)
}

export function cut(): EtfError {
  return new EtfError('badarg', 'ends before its end, or claims more than is there')
}

export function badarg(detail: string): EtfError {
  return new EtfError('badarg', detail)
}
