import { isUtf8 } from 'node:buffer'

/** Bytes of a SHA-512, of a strong etag, of an HMAC and of its key. */
export const DIGEST_SIZE = 64

// Thrown from deep inside a parser and caught by `tryRead`; made once, because a stack trace per bad body is what an attacker would want.
const TRUNCATED = new Error('truncated')
const NOT_TEXT = new Error('not UTF-8')

/** Reads big-endian values one after the other (section 0). What it gives are views of the bytes, never copies. */
export interface Reader {
  /** The place of the next byte. */
  readonly at: number
  u8(): number
  u16(): number
  u32(): number
  u64(): bigint
  f64(): number
  take(size: number): Buffer
  s8(): Buffer
  s16(): Buffer
  /** An s16 that must be UTF-8. */
  text16(): string
}

/** A reader from `at` on. Reading past the end, or text that is none, throws a marker that `tryRead` turns into `undefined`. */
export function createReader(bytes: Buffer, at = 0): Reader {
  let next = at
  function skip(size: number): number {
    const from = next
    if (size > bytes.length - from) throw TRUNCATED
    next = from + size
    return from
  }
  function take(size: number): Buffer {
    const from = skip(size)
    return bytes.subarray(from, from + size)
  }
  const u8 = (): number => bytes.readUInt8(skip(1))
  const u16 = (): number => bytes.readUInt16BE(skip(2))
  const s16 = (): Buffer => take(u16())
  return {
    get at() {
      return next
    },
    u8,
    u16,
    u32: () => bytes.readUInt32BE(skip(4)),
    u64: () => bytes.readBigUInt64BE(skip(8)),
    f64: () => bytes.readDoubleBE(skip(8)),
    take,
    s8: () => take(u8()),
    s16,
    text16() {
      const view = s16()
      if (!isUtf8(view)) throw NOT_TEXT
      return view.toString()
    },
  }
}

/** What `parse` gives, or `undefined` when the bytes end too early or a text is not UTF-8. */
export function tryRead<T>(bytes: Buffer, parse: (reader: Reader) => T, at = 0): T | undefined {
  try {
    return parse(createReader(bytes, at))
  } catch (error) {
    if (error === TRUNCATED || error === NOT_TEXT) return undefined
    throw error
  }
}

/** A number of so many bytes, and the bytes behind it: both may be nothing. */
export interface Field {
  readonly width: 0 | 1 | 2 | 4 | 8
  readonly value: number | bigint
  readonly bytes: Uint8Array | string
  readonly size: number
}

const NONE = Buffer.alloc(0)

export const u8 = (value: number): Field => ({ width: 1, value, bytes: NONE, size: 0 })
export const u16 = (value: number): Field => ({ width: 2, value, bytes: NONE, size: 0 })
export const u32 = (value: number): Field => ({ width: 4, value, bytes: NONE, size: 0 })
export const u64 = (value: bigint): Field => ({ width: 8, value, bytes: NONE, size: 0 })

/** The bytes as they are. */
export function raw(bytes: Uint8Array): Field {
  return { width: 0, value: 0, bytes, size: bytes.length }
}

/** Exactly 64 bytes. @throws {RangeError} */
export function digest(bytes: Uint8Array): Field {
  if (bytes.length !== DIGEST_SIZE) throw new RangeError(`a digest has ${DIGEST_SIZE} bytes, this one ${bytes.length}`)
  return raw(bytes)
}

/** At most 255 bytes behind their number. @throws {RangeError} */
export function s8(bytes: Uint8Array | string): Field {
  return counted(1, bytes, 255)
}

/** At most 65,535 bytes behind their number; a string is written as UTF-8. @throws {RangeError} */
export function s16(bytes: Uint8Array | string): Field {
  return counted(2, bytes, 65_535)
}

function counted(width: 1 | 2, bytes: Uint8Array | string, most: number): Field {
  const size = byteLength(bytes)
  if (size > most) throw new RangeError(`${size} bytes are more than the ${most} that fit here`)
  return { width, value: size, bytes, size }
}

export function byteLength(bytes: Uint8Array | string): number {
  return typeof bytes === 'string' ? Buffer.byteLength(bytes) : bytes.length
}

/** The fields one behind the other, in one new buffer. @throws {RangeError} when a number does not fit its width */
export function pack(...fields: readonly Field[]): Buffer {
  let size = 0
  for (const field of fields) size += field.width + field.size
  const into = Buffer.allocUnsafe(size)
  let at = 0
  for (const { width, value, bytes, size: length } of fields) {
    if (width === 8) at = into.writeBigUInt64BE(BigInt(value), at)
    else if (width !== 0) at = into.writeUIntBE(Number(value), at, width)
    if (length === 0) continue
    if (typeof bytes === 'string') into.write(bytes, at)
    else into.set(bytes, at)
    at += length
  }
  return into
}
