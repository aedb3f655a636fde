import { digest, DIGEST_SIZE, pack, s16, s8, tryRead, u64 } from './bytes.ts'
import { isTarget, type Kind } from './set-request.ts'

export * from './set-request.ts'
export * from './webhooks.ts'

/** Section 2.3, subscribe. */
export interface SubscribeRequest {
  readonly url: string
  /** The topic's bytes, or the glob's UTF-8 bytes. */
  readonly target: Buffer
  readonly recovery: string | undefined
  readonly tracing: Buffer
}

/** Section 2.3, unsubscribe: there is no recovery url in it. */
export type UnsubscribeRequest = Omit<SubscribeRequest, 'recovery'>

/** Section 2.3, check_subscriptions. */
export interface CheckRequest {
  readonly tracing: Buffer
  readonly url: string
}

/** Section 2.3, notify: all that comes before the message. */
export interface NotifyHead {
  readonly topic: Buffer
  /** As the publisher claims it, 64 bytes. */
  readonly sha512: Buffer
  readonly tracing: Buffer
  /** At most 255 bytes. */
  readonly identifier: Buffer
  /** Bytes of the message, as claimed. */
  readonly length: bigint
}

export interface NotifyPrefix extends NotifyHead {
  /** Bytes of the prefix: the message begins here. */
  readonly size: number
}

/** The largest prefix of a notify body in bytes; with that many bytes `parseNotifyPrefix` never asks for more. */
export const NOTIFY_PREFIX_MAX = 2 + 65_535 + 64 + 2 + 65_535 + 1 + 255 + 8

/** A subscribe body (section 2.3). `undefined` when it is truncated, or the url, the recovery url or a glob is not UTF-8. */
export function parseSubscribe(body: Buffer, kind: Kind): SubscribeRequest | undefined {
  const request = tryRead(body, (reader) => ({
    url: reader.text16(),
    target: reader.s16(),
    recovery: reader.text16() || undefined,
    tracing: reader.s16(),
  }))
  return request === undefined || !isTarget(request.target, kind) ? undefined : request
}

/** @throws {RangeError} when a field is longer than 65,535 bytes */
export function encodeSubscribe({ url, target, recovery, tracing }: SubscribeRequest): Buffer {
  return pack(s16(url), s16(target), s16(recovery ?? ''), s16(tracing))
}

/** An unsubscribe body (section 2.3). `undefined` when it is truncated, or the url or a glob is not UTF-8. */
export function parseUnsubscribe(body: Buffer, kind: Kind): UnsubscribeRequest | undefined {
  const request = tryRead(body, (reader) => ({ url: reader.text16(), target: reader.s16(), tracing: reader.s16() }))
  return request === undefined || !isTarget(request.target, kind) ? undefined : request
}

/** @throws {RangeError} when a field is longer than 65,535 bytes */
export function encodeUnsubscribe({ url, target, tracing }: UnsubscribeRequest): Buffer {
  return pack(s16(url), s16(target), s16(tracing))
}

/** A check_subscriptions body (section 2.3); the tracing comes first here. */
export function parseCheck(body: Buffer): CheckRequest | undefined {
  return tryRead(body, (reader) => ({ tracing: reader.s16(), url: reader.text16() }))
}

/** @throws {RangeError} when a field is longer than 65,535 bytes */
export function encodeCheck({ tracing, url }: CheckRequest): Buffer {
  return pack(s16(tracing), s16(url))
}

/**
 * What stands before the message of a notify body (section 2.3); 'more' while the bytes do not hold all of it. The parts
 * are views of `bytes`.
 */
export function parseNotifyPrefix(bytes: Buffer): NotifyPrefix | 'more' {
  return tryRead(bytes, (reader) => ({
    topic: reader.s16(),
    sha512: reader.take(DIGEST_SIZE),
    tracing: reader.s16(),
    identifier: reader.s8(),
    length: reader.u64(),
    size: reader.at,
  })) ?? 'more'
}

/** @throws {RangeError} when a field does not fit */
export function encodeNotifyPrefix({ topic, sha512, tracing, identifier, length }: NotifyHead): Buffer {
  return pack(s16(topic), digest(sha512), s16(tracing), s8(identifier), u64(length))
}
