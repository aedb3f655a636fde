/** Below this many bytes a view costs more than it saves. */
export const WORTH_A_VIEW = 128
/** The first bits of four bytes: none of them is set where all four are ASCII. */
const HIGH_BITS = 0x80808080

/** A view by which bytes are taken four at a time. */
export function wordsOf(bytes: Buffer): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
}

/**
 * Takes the mask off a payload (RFC 6455, section 5.3) and writes it to `to`; in the same memory that is not behind `at`.
 * @param key its four bytes, the first one lowest
 * @returns 0 when all of the payload is ASCII
 */
export function unmask(from: Buffer, at: number, into: Buffer, to: number, length: number, key: number): number {
  if (length < WORTH_A_VIEW) return unmaskBytes(from, at, into, to, length, key)
  const words = wordsOf(from)
  return unmaskWords(words, at, into === from ? words : wordsOf(into), to, length, key)
}

/** See `unmask`. */
export function unmaskBytes(from: Buffer, at: number, into: Buffer, to: number, length: number, key: number): number {
  const inWords = length & ~3
  let seen = 0
  for (let i = 0; i < inWords; i += 4) {
    const a = (from[at + i] as number) ^ (key & 0xff)
    const b = (from[at + i + 1] as number) ^ ((key >>> 8) & 0xff)
    const c = (from[at + i + 2] as number) ^ ((key >>> 16) & 0xff)
    const d = (from[at + i + 3] as number) ^ (key >>> 24)
    seen |= a | b | c | d
    into[to + i] = a
    into[to + i + 1] = b
    into[to + i + 2] = c
    into[to + i + 3] = d
  }
  for (let i = inWords; i < length; i++) {
    const byte = (from[at + i] as number) ^ ((key >>> ((i & 3) << 3)) & 0xff)
    seen |= byte
    into[to + i] = byte
  }
  return seen & 0x80
}

/** See `unmask`. */
export function unmaskWords(from: DataView, at: number, into: DataView, to: number, length: number, key: number): number {
  const inWords = length & ~3
  let seen = 0
  for (let i = 0; i < inWords; i += 4) {
    const word = from.getInt32(at + i, true) ^ key
    seen |= word
    into.setInt32(to + i, word, true)
  }
  for (let i = inWords; i < length; i++) {
    const byte = from.getUint8(at + i) ^ ((key >>> ((i & 3) << 3)) & 0xff)
    seen |= byte
    into.setUint8(to + i, byte)
  }
  return seen & HIGH_BITS
}

/** The key for what follows the first `taken` bytes of a payload. */
export function turnKey(key: number, taken: number): number {
  const bits = (taken & 3) << 3
  return bits === 0 ? key : (key >>> bits) | (key << (32 - bits))
}
