import { digest, DIGEST_SIZE, pack, s16, s8, tryRead, u64 } from './bytes.ts'

/** Section 2.4: all that comes before the message in the body of a receive webhook. */
export interface ReceiveHead {
  readonly tracing: Buffer
  readonly topic: Buffer
  /** At most 255 bytes, unique for each delivery. */
  readonly identifier: Buffer
  /** Bytes of the message. */
  readonly length: bigint
}

export interface ReceivePrefix extends ReceiveHead {
  /** Bytes of the prefix: the message begins here. */
  readonly size: number
}

/** Section 2.5. */
export interface Missed {
  readonly tracing: Buffer
  readonly topic: Buffer
}

/** The largest prefix of a receive webhook's body in bytes; with that many bytes `parseReceivePrefix` never asks for more. */
export const RECEIVE_PREFIX_MAX = 2 + 65_535 + 2 + 65_535 + 1 + 255 + 8

/** What stands before the message of a receive webhook (section 2.4); 'more' while the bytes do not hold all of it. Views of `bytes`. */
export function parseReceivePrefix(bytes: Buffer): ReceivePrefix | 'more' {
  return tryRead(bytes, (reader) => ({
    tracing: reader.s16(),
    topic: reader.s16(),
    identifier: reader.s8(),
    length: reader.u64(),
    size: reader.at,
  })) ?? 'more'
}

/** @throws {RangeError} when a field does not fit */
export function encodeReceivePrefix({ tracing, topic, identifier, length }: ReceiveHead): Buffer {
  return pack(s16(tracing), s16(topic), s8(identifier), u64(length))
}

/** The body of a missed webhook (section 2.5), `undefined` when it is truncated. */
export function parseMissed(body: Buffer): Missed | undefined {
  return tryRead(body, (reader) => ({ tracing: reader.s16(), topic: reader.s16() }))
}

/** @throws {RangeError} when a field is longer than 65,535 bytes */
export function encodeMissed({ tracing, topic }: Missed): Buffer {
  return pack(s16(tracing), s16(topic))
}

/** The value of `Repr-Digest` (section 2.4). @param sha512 of the message, 64 bytes. @throws {RangeError} */
export function reprDigest(sha512: Buffer): string {
  return `sha-512=${pack(digest(sha512)).toString('base64')}`
}

// 64 bytes are 86 characters, of which the last carries two bits.
const DIGEST_TEXT = /^[A-Za-z0-9+/]{85}[AQgw](?:==)?$/

/**
 * The SHA-512 that a `Repr-Digest` names (section 2.4): members between commas, nothing trimmed, the last `sha-512` counts.
 * `undefined` without one, and when it is not the base64 of 64 bytes.
 */
export function parseReprDigest(header: string | undefined): Buffer | undefined {
  const text = header?.split(',').findLast((member) => member.startsWith('sha-512='))?.slice('sha-512='.length)
  if (text === undefined || !DIGEST_TEXT.test(text)) return undefined
  return Buffer.from(text, 'base64').subarray(0, DIGEST_SIZE)
}
