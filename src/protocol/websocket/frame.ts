/** Opcodes of RFC 6455, section 5.2. */
export const TEXT = 0x1
export const BINARY = 0x2
export const CLOSE = 0x8
export const PING = 0x9
export const PONG = 0xa

/** Bytes of the header of an unmasked frame with a payload of this many bytes (RFC 6455, section 5.2). */
export function headerSize(payload: number): number {
  return payload < 126 ? 2 : payload < 65_536 ? 4 : 10
}

/** Writes the header of one final, unmasked frame at `at`; gives the place behind it. */
export function writeHeader(into: Buffer, at: number, opcode: number, payload: number): number {
  into[at] = 0x80 | opcode
  if (payload < 126) {
    into[at + 1] = payload
    return at + 2
  }
  if (payload < 65_536) {
    into[at + 1] = 126
    into[at + 2] = payload >>> 8
    into[at + 3] = payload & 0xff
    return at + 4
  }
  into[at + 1] = 127
  into.writeBigUInt64BE(BigInt(payload), at + 2)
  return at + 10
}

/** One whole frame as a server sends it. */
export function frame(opcode: number, payload: Uint8Array): Buffer {
  const buffer = Buffer.allocUnsafe(headerSize(payload.length) + payload.length)
  buffer.set(payload, writeHeader(buffer, 0, opcode, payload.length))
  return buffer
}

/** Where a fragment stands in its message (RFC 6455, section 5.4). */
export type FragmentPlace = 'first' | 'middle' | 'last'

/** The header of one fragment of a binary message, unmasked. */
export function fragmentHeader(place: FragmentPlace, payload: number): Buffer {
  const header = Buffer.allocUnsafe(headerSize(payload))
  writeHeader(header, 0, place === 'first' ? BINARY : 0, payload)
  if (place !== 'last') header[0] = (header[0] as number) & 0x7f
  return header
}

/** The header of one whole message, unmasked. */
export function frameHeader(opcode: number, payload: number): Buffer {
  const header = Buffer.allocUnsafe(headerSize(payload))
  writeHeader(header, 0, opcode, payload)
  return header
}

/** Codes that no frame states (RFC 6455, section 7.4.1). */
export const CLOSE_STATUS = { none: 1005 } as const

/** A ping without a payload. */
export const PING_FRAME = frame(PING, Buffer.alloc(0))

/** The answer to a ping (RFC 6455, section 5.5.3). */
export function pongFrame(payload: Uint8Array): Buffer {
  return frame(PONG, payload)
}

const MOST_REASON = 123

/**
 * A goodbye (RFC 6455, section 5.5.1).
 * @param code none, and then no reason either: a frame without a payload
 * @throws {RangeError} where the reason does not fit into a control frame
 */
export function closeFrame(code?: number, reason: Uint8Array = Buffer.alloc(0)): Buffer {
  if (code === undefined) return frame(CLOSE, Buffer.alloc(0))
  if (reason.length > MOST_REASON) throw new RangeError(`the reason of a Close may have ${MOST_REASON} bytes`)
  const payload = Buffer.allocUnsafe(2 + reason.length)
  payload.writeUInt16BE(code, 0)
  payload.set(reason, 2)
  return frame(CLOSE, payload)
}
