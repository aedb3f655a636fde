import { createHmac, timingSafeEqual } from 'node:crypto'
import { HEAD_BYTES, KEY_BYTES, SIGNATURE_BYTES, type Packet } from './messages.ts'

const SIGNATURE_AT = HEAD_BYTES - SIGNATURE_BYTES
const ZEROS = Buffer.alloc(SIGNATURE_BYTES)
const LABEL = Buffer.from('waystation')
export const NONCE_BYTES = 16

/** Which end a packet comes from. */
export type Direction = 'connector' | 'acceptor'

/** Where in which conversation a packet stands: what keeps it from being replayed, reflected, reordered or left out. */
export interface Place {
  readonly direction: Direction
  /** 16 bytes of whoever has connected. */
  readonly connectorNonce: Buffer
  /** 16 bytes of whoever has accepted; `undefined` in the packet that says hello, before they are known. */
  readonly acceptorNonce: Buffer | undefined
  /** How many long-form packets have gone this direction before. */
  readonly counter: number
}

/**
 * What is signed before the packet.
 * @throws {RangeError} for a nonce that is not of 16 bytes, or a counter that is none
 */
export function contextOf({ direction, connectorNonce, acceptorNonce, counter }: Place): Buffer {
  if (connectorNonce.length !== NONCE_BYTES || (acceptorNonce !== undefined && acceptorNonce.length !== NONCE_BYTES)) throw new RangeError('a nonce that is not of 16 bytes')
  if (!Number.isSafeInteger(counter) || counter < 0) throw new RangeError(`a counter of ${counter}`)
  const context = Buffer.alloc(LABEL.length + 1 + 2 * NONCE_BYTES + 8)
  LABEL.copy(context)
  let at = LABEL.length
  context[at++] = direction === 'connector' ? 0 : 1
  context.set(connectorNonce, at)
  at += NONCE_BYTES
  if (acceptorNonce !== undefined) context.set(acceptorNonce, at)
  context.writeBigUInt64BE(BigInt(counter), at + NONCE_BYTES)
  return context
}

/**
 * HMAC-SHA-256 over the context and a whole long-form packet; whatever stands in its signature field counts as zeros.
 * @returns 32 bytes
 */
export function signatureOf(secret: Buffer, context: Buffer, packet: Buffer): Buffer {
  return createHmac('sha256', secret)
    .update(context)
    .update(packet.subarray(0, SIGNATURE_AT))
    .update(ZEROS)
    .update(packet.subarray(HEAD_BYTES))
    .digest()
}

/** Whether a packet bears the signature that it should. Takes the same time whichever bytes are wrong. */
export function isSignedWith(packet: Packet, secret: Buffer, context: Buffer): boolean {
  return packet.signature.length === SIGNATURE_BYTES && timingSafeEqual(packet.signature, signatureOf(secret, context, packet.bytes))
}

/**
 * The key field of packets that are signed with the key of this name: padded with zeros.
 * @throws {RangeError} for a name that is not of 1 to 16 bytes in UTF-8, or holds a zero
 */
export function keyField(id: string): Buffer {
  const name = Buffer.from(id, 'utf8')
  if (name.length === 0 || name.length > KEY_BYTES || name.includes(0)) throw new RangeError(`a key id is 1 to ${KEY_BYTES} bytes, none of them 0`)
  const field = Buffer.alloc(KEY_BYTES)
  field.set(name)
  return field
}
