import { EtfError } from './term.ts'
import { ATOM, LONGEST_ATOM, SMALL_ATOM } from './tags.ts'

/** One growing buffer that a term is written into. */
export interface Writer {
  byte(value: number): void
  u16(value: number): void
  u32(value: number): void
  double(value: number): void
  raw(bytes: Uint8Array): void
  /** Tag, length in four bytes, the bytes. */
  bytes(tag: number, bytes: Uint8Array): void
  /** The same of a text in UTF-8. @throws EtfError `badarg` for half a surrogate pair, which UTF-8 has not */
  text(tag: number, text: string): void
  /** @throws EtfError `badarg` for a name that no atom can have */
  atom(name: string): void
  /** Everything written. */
  finish(): Buffer
}

const FIRST = 256
/** UTF-8 of a UTF-16 unit takes so many bytes at most. */
const WIDEST = 3

export function createWriter(): Writer {
  let buffer = Buffer.allocUnsafe(FIRST)
  let at = 0

  function room(size: number): void {
    if (at + size <= buffer.length) return
    const larger = Buffer.allocUnsafe(Math.max(buffer.length * 2, at + size))
    buffer.copy(larger, 0, 0, at)
    buffer = larger
  }

  return {
    byte(value) {
      room(1)
      buffer[at++] = value
    },
    u16(value) {
      room(2)
      at = buffer.writeUInt16BE(value, at)
    },
    u32(value) {
      room(4)
      at = buffer.writeUInt32BE(value, at)
    },
    double(value) {
      room(8)
      at = buffer.writeDoubleBE(value, at)
    },
    raw(bytes) {
      room(bytes.length)
      buffer.set(bytes, at)
      at += bytes.length
    },
    bytes(tag, bytes) {
      room(5 + bytes.length)
      buffer[at] = tag
      buffer.writeUInt32BE(bytes.length, at + 1)
      buffer.set(bytes, at + 5)
      at += 5 + bytes.length
    },
    text(tag, text) {
      if (!text.isWellFormed()) throw new EtfError('badarg', 'cannot be written: half a surrogate pair')
      room(5 + (text.length > FIRST ? Buffer.byteLength(text) : WIDEST * text.length))
      const size = buffer.write(text, at + 5)
      buffer[at] = tag
      buffer.writeUInt32BE(size, at + 1)
      at += 5 + size
    },
    atom(name) {
      if (typeof name !== 'string' || !isAtomName(name)) throw new EtfError('badarg', 'cannot be written: an atom of this name')
      const size = Buffer.byteLength(name)
      room(3 + size)
      if (size <= 255) {
        buffer[at++] = SMALL_ATOM
        buffer[at++] = size
      } else {
        buffer[at++] = ATOM
        at = buffer.writeUInt16BE(size, at)
      }
      at += buffer.write(name, at)
    },
    finish() {
      // What is kept keeps no room that it does not need.
      return Buffer.from(buffer.subarray(0, at))
    },
  }
}

function isAtomName(name: string): boolean {
  if (name.length > 2 * LONGEST_ATOM || !name.isWellFormed()) return false
  return name.length <= LONGEST_ATOM || [...name].length <= LONGEST_ATOM
}
