import { isUtf8 } from 'node:buffer'
import { byteLength, DIGEST_SIZE, pack, s16 } from '../bytes.ts'
import { NONCE_SIZE } from './connection.ts'
import { minimalSize, MOST_NUMBER_BYTES, readNumber, readUnsigned, writeUnsigned } from './integers.ts'

/** Bytes of an identifier at most (section 4.15). */
export const IDENTIFIER_MAX = 64
/** Bytes of a header's value, of a name, and headers in a frame, at most: all are counted in 16 bits. */
const COUNT_MAX = 65_535

/** What decoding gives when a value is none. Not `undefined`, which is an authorization that is absent. */
export const WRONG: unique symbol = Symbol('wrong')

/** How a value is written, the same in both forms (section 4.5). */
interface Value<T> {
  /** What stands in the frame between these places: views, no copies. */
  decode(frame: Buffer, from: number, to: number): T | typeof WRONG
  /** Bytes that it will take. @throws {RangeError} when the value does not fit */
  size(value: T): number
  /** Writes what `size` was asked about. Gives the place behind it. */
  write(value: T, into: Buffer, at: number): number
}

/** One header of a message: `key` is the message's property. */
export interface Header<K extends string = string, T = unknown> extends Value<T> {
  readonly key: K
  /** In small letters. */
  readonly name: string
  /** The name as the expanded form has it: behind its length. */
  readonly label: Buffer
  /** Whether it may be missing in the expanded form, and then is as if empty. */
  readonly presence: 'required' | 'optional'
}

const EMPTY = Buffer.alloc(0)
const REPLACED = '\ufffd'

function sized(least: number, most: number): Value<Buffer> {
  return {
    decode: (frame, from, to) => (to - from < least || to - from > most ? WRONG : view(frame, from, to)),
    size({ length }) {
      if (length < least || length > most) throw new RangeError(`${length} bytes where ${least === most ? '' : `${least} to `}${most} fit`)
      return length
    },
    write(value, into, at) {
      into.set(value, at)
      return at + value.length
    },
  }
}

/** @param most bytes that are read; @param least bytes that are written */
function whole(most: number, least: number): Value<number> {
  return {
    decode: (frame, from, to) => (to - from > most ? WRONG : (readNumber(frame, from, to) ?? WRONG)),
    size(value) {
      const size = minimalSize(value)
      if (size > most) throw new RangeError(`${value} does not fit ${most} bytes`)
      return Math.max(size, least)
    },
    write: (value, into, at) => writeUnsigned(value, Math.max(minimalSize(value), least), into, at),
  }
}

const long: Value<bigint> = {
  decode: (frame, from, to) => (to - from > MOST_NUMBER_BYTES ? WRONG : readUnsigned(frame, from, to)),
  size: minimalSize,
  write: (value, into, at) => writeUnsigned(value, minimalSize(value), into, at),
}

const flag: Value<boolean> = {
  decode: (frame, from, to) => to - from === 1 && frame[from] === 1,
  size: () => 1,
  write: (value, into, at) => into.writeUInt8(Number(value), at),
}

const signed16: Value<number> = {
  decode: (frame, from, to) => (to - from === 2 ? frame.readInt16BE(from) : WRONG),
  size(value) {
    if (!Number.isInteger(value) || value < -0x8000 || value > 0x7fff) throw new RangeError(`${value} does not fit 16 signed bits`)
    return 2
  },
  write: (value, into, at) => into.writeInt16BE(value, at),
}

const anything = sized(0, COUNT_MAX)
const digest = sized(DIGEST_SIZE, DIGEST_SIZE)

const utf8: Value<Buffer> = {
  decode(frame, from, to) {
    const text = view(frame, from, to)
    return isUtf8(text) ? text : WRONG
  },
  size(value) {
    if (!isUtf8(value)) throw new RangeError('a glob is UTF-8')
    return anything.size(value)
  },
  write: anything.write,
}

const absentOrText: Value<string | undefined> = {
  decode(frame, from, to) {
    if (from === to) return undefined
    const text = frame.toString('utf8', from, to)
    // Only what is replaced can be wrong: this spares nearly every frame a view.
    return text.includes(REPLACED) && !isUtf8(frame.subarray(from, to)) ? WRONG : text
  },
  size(value) {
    const size = value === undefined ? 0 : byteLength(value)
    if (size > COUNT_MAX) throw new RangeError(`${size} bytes where ${COUNT_MAX} fit`)
    return size
  },
  write: (value, into, at) => (value === undefined ? at : at + into.write(value, at)),
}

function view(frame: Buffer, from: number, to: number): Buffer {
  return from === to ? EMPTY : frame.subarray(from, to)
}

function header<K extends string, T>(name: string, key: K, { decode, size, write }: Value<T>, presence: Header['presence'] = 'required'): Header<K, T> {
  return { key, name, label: pack(s16(name)), presence, decode, size, write }
}

export const authorization = header('authorization', 'authorization', absentOrText)
export const tracing = header('x-tracing', 'tracing', anything)
export const topic = header('x-topic', 'topic', anything)
export const glob = header('x-glob', 'glob', utf8)
export const identifier = header('x-identifier', 'identifier', sized(0, IDENTIFIER_MAX))
export const subscriberNonce = header('x-subscriber-nonce', 'nonce', sized(NONCE_SIZE, NONCE_SIZE))
export const broadcasterNonce = header('x-broadcaster-nonce', 'nonce', sized(NONCE_SIZE, NONCE_SIZE))
export const zstd = header('x-enable-zstd', 'zstd', flag)
export const training = header('x-enable-training', 'training', flag)
// Q13: the original takes a missing one for a preset that nobody has.
export const initialDictionary = header('x-initial-dict', 'initialDictionary', whole(2, 2), 'optional')
export const part = header('x-part-id', 'part', whole(MOST_NUMBER_BYTES, 0))
/** In NOTIFY_STREAM and RECEIVE_STREAM, where 0 has a byte. */
export const streamPart = header('x-part-id', 'part', whole(MOST_NUMBER_BYTES, 1))
export const receivedBy = header('x-num-subscribers', 'subscribers', whole(4, 4))
export const subscribers = header('x-subscribers', 'subscribers', whole(MOST_NUMBER_BYTES, 0))
/** In ENABLE and DISABLE; in a message's head it has another name. */
export const announcedCompressor = header('x-identifier', 'compressor', whole(MOST_NUMBER_BYTES, 0))
export const level = header('x-compression-level', 'level', signed16)
export const minSize = header('x-min-size', 'minSize', whole(4, 0))
export const maxSize = header('x-max-size', 'maxSize', long)
export const dictionarySha512 = header('x-sha512', 'sha512', digest)

/** The five headers of a message's head, always together and always last (section 4.4). */
export const HEAD = [
  topic,
  header('x-compressor', 'compressor', whole(MOST_NUMBER_BYTES, 1)),
  header('x-compressed-length', 'compressedLength', long),
  header('x-decompressed-length', 'decompressedLength', long),
  header('x-compressed-sha512', 'sha512', digest),
] as const
