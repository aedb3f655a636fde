import { BINARY, CLOSE, PONG } from './frame.ts'

const FIRST_CONTROL = 0x8
const MOST_CONTROL_BYTES = 125

export const FIN = 0x80
const RESERVED = 0x70
export const OPCODE = 0x0f
export const MASKED = 0x80
const LENGTH = 0x7f

/** Bytes of what every header begins with. */
export const HEADER_START = 2
export const KEY_BYTES = 4
export const LONGEST_CLIENT_HEADER = 14

/** Whether what begins with this byte is a Close, a ping or a pong, or one of the kinds that do not exist yet. */
export function isControl(first: number): boolean {
  return (first & FIRST_CONTROL) !== 0
}

/** How far behind the start of a header its mask stands, by its second byte. */
export function keyPlace(second: number): number {
  const code = second & LENGTH
  return code < 126 ? 2 : code === 126 ? 4 : 10
}

/** Bytes of payload, by the header that begins at `at` and has come as far as its mask. Inexact above 2^53, which is above every bound. */
export function payloadLength(bytes: Buffer, at: number): number {
  const code = (bytes[at + 1] as number) & LENGTH
  if (code < 126) return code
  return code === 126 ? ((bytes[at + 2] as number) << 8) | (bytes[at + 3] as number) : bytes.readUInt32BE(at + 2) * 0x1_0000_0000 + bytes.readUInt32BE(at + 6)
}

/**
 * What a client must not send (RFC 6455, sections 5.1 to 5.5), by the first two bytes of a header; `undefined` when it may.
 * @param open the opcode of the message whose fragments these come between; 0 when there is none
 */
export function headerFault(first: number, second: number, open: number): string | undefined {
  const opcode = first & OPCODE
  if ((first & RESERVED) !== 0) return 'a reserved bit is set'
  if (isControl(first)) {
    if (opcode > PONG) return `the opcode ${opcode} is reserved`
    if ((first & FIN) === 0) return 'a control frame in fragments'
    const code = second & LENGTH
    if (code > MOST_CONTROL_BYTES) return 'a control frame of more than 125 bytes'
    if (opcode === CLOSE && code === 1) return 'a Close of one byte'
  } else if (opcode > BINARY) return `the opcode ${opcode} is reserved`
  else if (opcode === 0 && open === 0) return 'a continuation of no message'
  else if (opcode !== 0 && open !== 0) return 'a new message between the fragments of another'
  return (second & MASKED) === 0 ? 'a frame without a mask' : undefined
}

/** Whether a Close may carry this code (RFC 6455, section 7.4, and those registered since). */
export function maySay(code: number): boolean {
  return (code >= 1000 && code <= 1014 && code !== 1004 && code !== 1005 && code !== 1006) || (code >= 3000 && code <= 4999)
}
