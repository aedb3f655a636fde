import { hash } from 'node:crypto'
import { orderOf } from './distinct.ts'

/*
 * Two keys of a map are equal whatever form they came in: 5 may be written in four ways, a list in two, a map in any order.
 * So a key is written again in one form, beside the reading, while it is read. In that form no term is the beginning of
 * another. What is longer than a digest is replaced by one as soon as it is whole: so every byte is handled once, however
 * deep keys stand in keys.
 */
export interface Keys {
  /** Bytes written and not dropped. */
  length: number
  /** Ends of terms, in `length`s: of the keys of maps, and of the values of those maps that stand in a key themselves. */
  marks: number
  byte(value: number): void
  u32(value: number): void
  double(value: number): void
  copy(bytes: Uint8Array, from: number, to: number): void
  latin1(bytes: Uint8Array, from: number, to: number): void
  /** The term from `start` is whole. */
  whole(start: number): void
  /** What was written last ends here. */
  mark(): void
  /** Changes the last byte. */
  mask(bits: number): void
  /**
   * Ends a map whose pairs begin at `start`, and their marks at `marks`.
   * @param form `keys` when only those were written and nothing of it is needed any more, `pairs` to put them in order
   * @returns whether the keys are all different
   */
  close(start: number, marks: number, form: 'keys' | 'pairs'): boolean
}

const FIRST = 64
const LONGEST = 64
const DIGEST = 35

/** Most readings keep no key: what is shared is never written to. */
const [NO_BYTES, NO_ENDS]: [Buffer, Uint32Array] = [Buffer.alloc(0), new Uint32Array(0)]

/** @param grow told the bytes that are held from now on, before they are taken */
export function createKeys(grow: (size: number) => void): Keys {
  let buffer = NO_BYTES
  let ends = NO_ENDS

  function room(size: number): void {
    const needed = keys.length + size
    if (needed <= buffer.length) return
    const larger = Math.max(FIRST, buffer.length * 2, needed)
    grow(larger + ends.byteLength)
    const grown = Buffer.allocUnsafeSlow(larger)
    buffer.copy(grown, 0, 0, keys.length)
    buffer = grown
  }

  const keys: Keys = {
    length: 0,
    marks: 0,
    byte(value) {
      room(1)
      buffer[keys.length++] = value
    },
    u32(value) {
      room(4)
      keys.length = buffer.writeUInt32BE(value, keys.length)
    },
    double(value) {
      room(8)
      keys.length = buffer.writeDoubleBE(value, keys.length)
    },
    copy(bytes, from, to) {
      room(to - from)
      if (to - from > FIRST) buffer.set(bytes.subarray(from, to), keys.length)
      else for (let index = from; index < to; index++) buffer[keys.length + index - from] = bytes[index] as number
      keys.length += to - from
    },
    latin1(bytes, from, to) {
      room(2 * (to - from))
      for (let index = from; index < to; index++) {
        const byte = bytes[index] as number
        if (byte >= 0x80) buffer[keys.length++] = 0xc0 | (byte >> 6)
        buffer[keys.length++] = byte >= 0x80 ? 0x80 | (byte & 0x3f) : byte
      }
    },
    whole(start) {
      if (keys.length - start <= LONGEST) return
      const digest = hash('sha256', buffer.subarray(start, keys.length), 'buffer')
      keys.length = start
      keys.byte(DIGEST)
      keys.copy(digest, 0, digest.length)
    },
    mark() {
      if (keys.marks === ends.length) {
        const larger = Math.max(FIRST, ends.length * 2)
        grow(buffer.length + 4 * larger)
        const grown = new Uint32Array(larger)
        grown.set(ends)
        ends = grown
      }
      ends[keys.marks++] = keys.length
    },
    mask(bits) {
      buffer[keys.length - 1] = (buffer[keys.length - 1] as number) & bits
    },
    close(start, marks, form) {
      const step = form === 'keys' ? 1 : 2
      const count = (keys.marks - marks) / step
      grow(buffer.length + ends.byteLength + 16 * count)
      const starts = new Uint32Array(count)
      const stops = new Uint32Array(count)
      for (let index = 0; index < count; index++) {
        starts[index] = index === 0 ? start : (ends[marks + step * index - 1] as number)
        stops[index] = ends[marks + step * index] as number
      }
      const order = orderOf({ bytes: buffer, starts, ends: stops })
      if (order === undefined) return false
      if (form === 'pairs') {
        const sorted = Buffer.allocUnsafe(keys.length - start)
        let at = 0
        for (const which of order) at += buffer.copy(sorted, at, starts[which] as number, ends[marks + 2 * which + 1] as number)
        sorted.copy(buffer, start)
      } else {
        keys.length = start
      }
      keys.marks = marks
      return true
    },
  }
  return keys
}
