import type { Registration } from '../../core/registry.ts'

/**
 * Registrations as bytes, for the way between the threads: a buffer changes hands at no cost, where objects are copied one
 * by one in a single turn. Nothing here is kept or leaves the process.
 */
export interface PackedRow {
  readonly id: number
  /** `undefined`: there is no such registration. */
  readonly kind: Registration['kind'] | undefined
  readonly target: Uint8Array
  readonly url: string
  readonly recovery: string | undefined
  /** Where the next one begins. */
  readonly end: number
}

/** Rows of one buffer, one statement, one transaction: what is done without a look at what else there is to do. */
export const PIECE = 2_000

const HEAD = 21
const GLOB = 1
const EXACT = 2
const RECOVERY = 4

export interface Packer {
  readonly rows: number
  put(row: Omit<PackedRow, 'end'>): void
  /** What was put in since the last time, in memory of its own. */
  take(): Uint8Array<ArrayBuffer>
}

export function packer(): Packer {
  let buffer = Buffer.alloc(0)
  let end = 0
  let rows = 0

  function reserve(size: number): void {
    if (end + size <= buffer.length) return
    // Not from Node's pool: the memory is given away.
    const larger = Buffer.allocUnsafeSlow(Math.max(end + size, 2 * buffer.length, 512))
    buffer.copy(larger, 0, 0, end)
    buffer = larger
  }

  return {
    get rows() {
      return rows
    },
    put({ id, kind, target, url, recovery }) {
      const [urlLength, recoveryLength] = [Buffer.byteLength(url), recovery === undefined ? 0 : Buffer.byteLength(recovery)]
      reserve(HEAD + target.length + urlLength + recoveryLength)
      buffer[end] = (kind === 'glob' ? GLOB : kind === 'exact' ? EXACT : 0) | (recovery === undefined ? 0 : RECOVERY)
      buffer.writeDoubleLE(id, end + 1)
      buffer.writeUInt32LE(target.length, end + 9)
      buffer.writeUInt32LE(urlLength, end + 13)
      buffer.writeUInt32LE(recoveryLength, end + 17)
      buffer.set(target, end + HEAD)
      buffer.write(url, end + HEAD + target.length)
      if (recovery !== undefined) buffer.write(recovery, end + HEAD + target.length + urlLength)
      end += HEAD + target.length + urlLength + recoveryLength
      rows++
    },
    take() {
      const taken = new Uint8Array(buffer.buffer as ArrayBuffer, 0, end)
      buffer = Buffer.alloc(0)
      end = rows = 0
      return taken
    },
  }
}

/** Reads rows, and gives urls that follow upon themselves as one string: most rows have the url of the row before. */
export function unpacker(): (bytes: Uint8Array, offset: number) => PackedRow {
  const urlBefore = repeated()
  const recoveryBefore = repeated()
  return (bytes, offset) => {
    const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
    const flags = buffer[offset] ?? 0
    const target = offset + HEAD
    const url = target + buffer.readUInt32LE(offset + 9)
    const recovery = url + buffer.readUInt32LE(offset + 13)
    const end = recovery + buffer.readUInt32LE(offset + 17)
    return {
      id: buffer.readDoubleLE(offset + 1),
      kind: (flags & GLOB) !== 0 ? 'glob' : (flags & EXACT) !== 0 ? 'exact' : undefined,
      target: buffer.subarray(target, url),
      url: urlBefore(buffer.toString('utf8', url, recovery)),
      recovery: (flags & RECOVERY) === 0 ? undefined : recoveryBefore(buffer.toString('utf8', recovery, end)),
      end,
    }
  }
}

/** All rows of a buffer, in their order. */
export function* unpacked(bytes: Uint8Array, read = unpacker()): Generator<PackedRow> {
  for (let offset = 0; offset < bytes.length;) {
    const row = read(bytes, offset)
    yield row
    offset = row.end
  }
}

function repeated(): (text: string) => string {
  let before = ''
  return (text) => (text === before ? before : (before = text))
}
