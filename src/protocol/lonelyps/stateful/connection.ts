import { createHash } from 'node:crypto'

/** Bytes of the nonce in CONFIGURE and in CONFIRM_CONFIGURE. */
export const NONCE_SIZE = 32

/**
 * The nonce of a connection in base64, padded, 44 characters (section 4.6).
 * @throws {RangeError} when either nonce has not 32 bytes
 */
export function connectionNonce(subscriber: Buffer, broadcaster: Buffer): string {
  for (const { length } of [subscriber, broadcaster]) {
    if (length !== NONCE_SIZE) throw new RangeError(`a nonce has ${NONCE_SIZE} bytes, this one ${length}`)
  }
  return createHash('sha256').update(subscriber).update(broadcaster).digest('base64')
}

/**
 * What a message is signed with in place of a url (section 4.6).
 * @param nonce as `connectionNonce` gives it
 * @param counter from 1 up for the broadcaster, from -1 down for the subscriber (section 4.7)
 */
export function pseudoUrl(nonce: string, counter: number): string {
  return `websocket:${nonce}:${counter.toString(16)}`
}
