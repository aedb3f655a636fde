/** Bytes that a header's number may have, zeros in front included (section 4.5). */
export const MOST_NUMBER_BYTES = 8

const LARGEST = 2n ** 64n - 1n
const LARGEST_EXACT = BigInt(Number.MAX_SAFE_INTEGER)
const LOW_32_BITS = 0xffff_ffffn

/**
 * Bytes of a number without leading zeros (section 4.5, minimal unsigned): 0 to 8, none for 0.
 * @throws {RangeError} when it is negative, no integer, a `number` that is not exact, or does not fit 64 bits
 */
export function minimalSize(value: number | bigint): number {
  if (typeof value === 'number') {
    if (!Number.isSafeInteger(value) || value < 0) throw new RangeError(`${value} is no whole number from 0 on`)
    return value > 0xffff_ffff ? 4 + wordSize(Math.floor(value / 2 ** 32)) : wordSize(value)
  }
  if (value < 0n || value > LARGEST) throw new RangeError(`${value} does not fit 64 unsigned bits`)
  if (value <= LARGEST_EXACT) return minimalSize(Number(value))
  return value >> 56n === 0n ? 7 : 8
}

/** Writes a number that fits in exactly so many bytes, 0 to 8, big-endian. Gives the place behind it. */
export function writeUnsigned(value: number | bigint, size: number, into: Buffer, at: number): number {
  if (size === 0) return at
  if (size <= 6) return into.writeUIntBE(Number(value), at, size)
  const whole = BigInt(value)
  const low = into.writeUIntBE(Number(whole >> 32n), at, size - 4)
  return into.writeUInt32BE(Number(whole & LOW_32_BITS), low)
}

/** The number in 0 to 8 bytes, big-endian; zeros in front count for nothing. */
export function readUnsigned(bytes: Buffer, from: number, to: number): bigint {
  const size = to - from
  if (size <= 6) return BigInt(readWord(bytes, from, size))
  return (BigInt(readWord(bytes, from, size - 4)) << 32n) | BigInt(bytes.readUInt32BE(to - 4))
}

/** The same as a `number`; `undefined` when it is too large to be exact. */
export function readNumber(bytes: Buffer, from: number, to: number): number | undefined {
  const size = to - from
  if (size <= 6) return readWord(bytes, from, size)
  const whole = readUnsigned(bytes, from, to)
  return whole <= LARGEST_EXACT ? Number(whole) : undefined
}

function readWord(bytes: Buffer, from: number, size: number): number {
  if (size === 0) return 0
  return size === 1 ? bytes.readUInt8(from) : bytes.readUIntBE(from, size)
}

function wordSize(value: number): number {
  return (39 - Math.clz32(value)) >> 3
}
