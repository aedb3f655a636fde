import { digest, DIGEST_SIZE, pack, type Reader, s16, s8, tryRead, u16, u32, u8 } from './bytes.ts'

/** What every answer carries (section 2.2). */
export interface Answer {
  /** The text that proves who answers; empty when the scheme is none. */
  readonly authorization: string
  readonly tracing: Buffer
}

export interface NotifyResponse extends Answer {
  /** How many subscribers were notified, below 2^32. */
  readonly subscribers: number
  /** The one of the request. */
  readonly identifier: Buffer
}

export interface CheckResponse extends Answer {
  /** The strong etag, 64 bytes. */
  readonly etag: Buffer
}

export interface ConfirmReceive extends Answer {
  readonly identifier: Buffer
  /** How many subscribers the receiver stands for, below 2^32. */
  readonly subscribers: number
}

/** What a subscriber said to a delivery (section 2.4). */
export type ReceiveAnswer = ({ readonly type: 'confirmed' } & ConfirmReceive) | { readonly type: 'unsubscribe' }

const GENERIC = 3
const NOTIFY = 4
const CHECK = 5
const CONFIRM_RECEIVE = 8
const CONFIRM_MISSED = 9
const UNSUBSCRIBE = 10

/** RESPONSE_UNSUBSCRIBE_IMMEDIATE, whole. MUST NOT be written to. */
export const UNSUBSCRIBE_IMMEDIATE: Buffer = pack(u16(UNSUBSCRIBE))

/** RESPONSE_GENERIC. @throws {RangeError} when a field does not fit; so do all the others here */
export function encodeGeneric(authorization: string, tracing: Buffer): Buffer {
  return pack(u16(GENERIC), s16(authorization), s16(tracing))
}

/** RESPONSE_NOTIFY. Its tracing must hold an entry, or the tracing client fails (section 0.1, rule 1). */
export function encodeNotifyResponse({ authorization, tracing, subscribers, identifier }: NotifyResponse): Buffer {
  return pack(u16(NOTIFY), s16(authorization), s16(tracing), u32(subscribers), s8(identifier))
}

/** RESPONSE_CHECK_SUBSCRIPTIONS. */
export function encodeCheckResponse({ authorization, tracing, etag }: CheckResponse): Buffer {
  return pack(u16(CHECK), s16(authorization), s16(tracing), u8(0), digest(etag))
}

/** RESPONSE_CONFIRM_RECEIVE. */
export function encodeConfirmReceive({ authorization, tracing, identifier, subscribers }: ConfirmReceive): Buffer {
  return pack(u16(CONFIRM_RECEIVE), s16(authorization), s16(tracing), s8(identifier), u32(subscribers))
}

/** RESPONSE_CONFIRM_MISSED. */
export function encodeConfirmMissed(authorization: string, tracing: Buffer): Buffer {
  return pack(u16(CONFIRM_MISSED), s16(authorization), s16(tracing))
}

/** RESPONSE_GENERIC; `undefined` for any other answer, for a short one and for one that is not UTF-8. So do all the others here; trailing bytes are ignored. */
export function parseGeneric(bytes: Buffer): Answer | undefined {
  return tryAnswer(bytes, GENERIC, (_reader, answer) => answer)
}

/** RESPONSE_NOTIFY. */
export function parseNotifyResponse(bytes: Buffer): NotifyResponse | undefined {
  return tryAnswer(bytes, NOTIFY, (reader, answer) => ({ ...answer, subscribers: reader.u32(), identifier: reader.s8() }))
}

/** RESPONSE_CHECK_SUBSCRIPTIONS; the format of the etag must be 0. */
export function parseCheckResponse(bytes: Buffer): CheckResponse | undefined {
  return tryAnswer(bytes, CHECK, (reader, answer) => (reader.u8() === 0 ? { ...answer, etag: reader.take(DIGEST_SIZE) } : undefined))
}

/** RESPONSE_CONFIRM_RECEIVE. */
export function parseConfirmReceive(bytes: Buffer): ConfirmReceive | undefined {
  return tryAnswer(bytes, CONFIRM_RECEIVE, (reader, answer) => ({ ...answer, identifier: reader.s8(), subscribers: reader.u32() }))
}

/** RESPONSE_CONFIRM_MISSED. */
export function parseConfirmMissed(bytes: Buffer): Answer | undefined {
  return tryAnswer(bytes, CONFIRM_MISSED, (_reader, answer) => answer)
}

/**
 * What a subscriber's answer to a receive webhook means (section 2.4, "how the broadcaster interprets the answer"): only the
 * body counts, whatever the status, and trailing bytes are ignored. `undefined` is a failed delivery. The authorization of a
 * confirmation is still to be checked.
 */
export function parseReceiveAnswer(bytes: Buffer): ReceiveAnswer | undefined {
  if (bytes.subarray(0, 2).equals(UNSUBSCRIBE_IMMEDIATE)) return { type: 'unsubscribe' }
  const confirmed = parseConfirmReceive(bytes)
  return confirmed && { type: 'confirmed', ...confirmed }
}

function tryAnswer<T>(bytes: Buffer, type: number, rest: (reader: Reader, answer: Answer) => T): T | undefined {
  return tryRead(bytes, (reader) => {
    if (reader.u16() !== type) return undefined
    return rest(reader, { authorization: reader.text16(), tracing: reader.s16() })
  })
}
