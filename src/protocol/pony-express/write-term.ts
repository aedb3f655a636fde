const [SMALL_INTEGER, INTEGER, SMALL_BIG] = [97, 98, 110]
const [SMALL_TUPLE, NIL, LIST, BINARY, SMALL_ATOM] = [104, 106, 108, 109, 119]
const MAX_INTEGER = 0x7fff_ffff

/*
 * Terms of which the shape is known, written straight into a buffer of the right size, as `erps.md`, A.3 has it. For each
 * kind there is how many bytes it takes, and the writing, which gives the place behind it.
 */

/** Bytes, or a text that goes as its UTF-8. */
export type Binary = Buffer | string

export function binarySize(value: Binary): number {
  return 5 + byteLength(value)
}

export function writeBinary(value: Binary, into: Buffer, at: number): number {
  const length = byteLength(value)
  const from = writeBinaryHead(length, into, at)
  if (typeof value === 'string') into.write(value, from, length, 'utf8')
  else into.set(value, from)
  return from + length
}

/** Everything of a binary but its bytes. */
export function writeBinaryHead(length: number, into: Buffer, at: number): number {
  into[at] = BINARY
  return into.writeUInt32BE(length, at + 1)
}

function byteLength(value: Binary): number {
  return typeof value === 'string' ? Buffer.byteLength(value, 'utf8') : value.length
}

/** @param value a whole number from 0 to 2^53-1 */
export function countSize(value: number): number {
  if (value < 256) return 2
  return value <= MAX_INTEGER ? 5 : 3 + bigBytes(value)
}

export function writeCount(value: number, into: Buffer, at: number): number {
  if (value < 256) {
    into[at] = SMALL_INTEGER
    into[at + 1] = value
    return at + 2
  }
  if (value <= MAX_INTEGER) {
    into[at] = INTEGER
    return into.writeUInt32BE(value, at + 1)
  }
  const bytes = bigBytes(value)
  into[at] = SMALL_BIG
  into[at + 1] = bytes
  into[at + 2] = 0
  let next = into.writeUInt32LE(value % 0x1_0000_0000, at + 3)
  for (let rest = Math.floor(value / 0x1_0000_0000); rest > 0; rest >>>= 8) into[next++] = rest
  return next
}

/** Bytes of a number above 2^31-1, without zeros in front. */
function bigBytes(value: number): number {
  let bytes = 4
  for (let top = value / 0x1_0000_0000; top >= 1; top /= 256) bytes++
  return bytes
}

export function listSize(items: readonly Binary[]): number {
  return items.reduce((sum, item) => sum + binarySize(item), items.length === 0 ? 1 : 6)
}

/** A list of binaries. */
export function writeList(items: readonly Binary[], into: Buffer, at: number): number {
  if (items.length === 0) return writeByte(NIL, into, at)
  into[at] = LIST
  let next = into.writeUInt32BE(items.length, at + 1)
  for (const item of items) next = writeBinary(item, into, next)
  return writeByte(NIL, into, next)
}

function writeByte(byte: number, into: Buffer, at: number): number {
  into[at] = byte
  return at + 1
}

/** What every tuple here begins with: 131, the tuple, and the atom that says what it is. */
export function tupleHead(elements: number, name: string): Buffer {
  return Buffer.concat([Buffer.from([131, SMALL_TUPLE, elements]), atom(name)])
}

/** @param name ASCII, at most 255 signs */
export function atom(name: string): Buffer {
  return Buffer.from([SMALL_ATOM, name.length, ...Buffer.from(name)])
}
