import { HEAD_BYTES, IDENTIFIER_BYTES, KEY_BYTES, PREAMBLE_BYTES, SIGNATURE_BYTES, TYPES, type PacketType, type Sender } from './messages.ts'
import { signatureOf } from './signature.ts'

/** What every packet begins with: "erps". */
export const COOKIE = 0x65_72_70_73
/** Where the fields of the header stand (`erps.md`, 2.2). */
export const TYPE_AT = PREAMBLE_BYTES
export const VERSION_AT = 9
export const IDENTIFIER_AT = 12
export const KEY_AT = IDENTIFIER_AT + IDENTIFIER_BYTES
export const SIGNATURE_AT = KEY_AT + KEY_BYTES

const COOKIE_BYTES = 4
const LARGEST_PAYLOAD = 0xffff_ffff

/** The short keepalive: cookie, size 0, type 0, and nothing else (2.1). */
export const KEEPALIVE: Buffer = Buffer.from('657270730000000000', 'hex')

/** A prepared header: everything but size, type, key and signature. */
export interface Head {
  readonly bytes: Buffer
}

/** What a packet is signed with. */
export interface Signing {
  /** The key field: see `keyField`. */
  readonly key: Buffer
  readonly secret: Buffer
  /** See `contextOf`. */
  readonly context: Buffer
}

/**
 * Prepares the header of all that a sender sends (`erps.md`, 2.2 and 2.4). Zeros at the end of an identifier are lost on
 * the way, those within it are not. Numbers of the version are cut to 8 bits.
 * @throws {RangeError} for an identifier of more than 36 bytes
 */
export function createHead({ version, identifier }: Sender): Head {
  if (identifier.length > IDENTIFIER_BYTES) throw new RangeError(`an identifier of ${identifier.length} bytes, ${IDENTIFIER_BYTES} at most`)
  const bytes = Buffer.alloc(HEAD_BYTES)
  bytes.writeUInt32BE(COOKIE)
  bytes[VERSION_AT] = version.major
  bytes[VERSION_AT + 1] = version.minor
  bytes[VERSION_AT + 2] = version.patch
  bytes.set(identifier, IDENTIFIER_AT)
  return { bytes }
}

/**
 * A whole long-form packet (`erps.md`, 2.2) in one buffer, so that it goes out with one write.
 * @param parts the payload: a term with its 131, and what stands behind it
 * @throws {RangeError} for a payload of 4 GiB or more
 */
export function writePacket(head: Head, type: PacketType, parts: readonly Buffer[], signing?: Signing): Buffer {
  let size = 0
  for (const part of parts) size += part.length
  if (size > LARGEST_PAYLOAD) throw new RangeError(`a payload of ${size} bytes`)
  const packet = Buffer.allocUnsafe(HEAD_BYTES + size)
  packet.set(head.bytes)
  packet.writeUInt32BE(size, COOKIE_BYTES)
  packet[TYPE_AT] = TYPES[type]
  let at = HEAD_BYTES
  for (const part of parts) {
    packet.set(part, at)
    at += part.length
  }
  if (signing !== undefined) sign(packet, signing)
  return packet
}

function sign(packet: Buffer, { key, secret, context }: Signing): void {
  if (key.length !== KEY_BYTES) throw new RangeError(`a key field of ${key.length} bytes`)
  packet.set(key, KEY_AT)
  const signature = signatureOf(secret, context, packet)
  packet.set(signature.subarray(0, SIGNATURE_BYTES), SIGNATURE_AT)
}
