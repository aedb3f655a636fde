import { HEAD_BYTES, PREAMBLE_BYTES, TYPES, type Packet, type PacketType } from './messages.ts'
import { IDENTIFIER_AT, KEEPALIVE, KEY_AT, SIGNATURE_AT, TYPE_AT, VERSION_AT } from './packet.ts'

/** Why bytes are no packet that is taken. The connection cannot go on: where the next packet begins is not known. */
export class PacketError extends Error {
  override readonly name = 'PacketError'
  readonly code: 'bad_cookie' | 'too_large' | 'bad_type'
  constructor(code: PacketError['code'], detail: string) {
    super(detail)
    this.code = code
  }
}

export interface PacketReader {
  /** Bytes of a packet that has begun and is not whole yet; 0 between packets. */
  readonly buffered: number
  /**
   * Takes what came and gives the packets that are whole now. To be run to its end, or not asked again. A packet that lies
   * in one chunk is a view of it; others are put together once.
   * @throws {PacketError} now and at each further call
   */
  push(chunk: Buffer): Generator<Packet, void, undefined>
}

const COOKIE_BYTES = KEEPALIVE.subarray(0, 4)
const NAMES: readonly (PacketType | undefined)[] = namesByCode()
const ZEROS = Buffer.alloc(HEAD_BYTES - IDENTIFIER_AT)
const NO_BYTES = Buffer.alloc(0)
const NO_KEY = ZEROS.subarray(0, SIGNATURE_AT - KEY_AT)
const NO_SIGNATURE = ZEROS.subarray(0, HEAD_BYTES - SIGNATURE_AT)
/** What is read before the rest is reserved: cookie, size and type. */
const JUDGED_BYTES = PREAMBLE_BYTES + 1
/** The least that is reserved for a packet that comes in pieces. */
const FIRST_PIECE = 4_096

const SHORT_KEEPALIVE: Packet = {
  type: 'keepalive', version: { major: 0, minor: 0, patch: 0 }, identifier: NO_BYTES, key: NO_KEY, signature: NO_SIGNATURE, payload: NO_BYTES, bytes: KEEPALIVE,
}

/**
 * Packets out of a stream that may be cut and glued anywhere (`erps.md`, 4.2). A wrong cookie is found at its first wrong
 * byte, a payload above `maxBytes` and an unknown type before anything of it is kept. Linear in what comes, however it is
 * cut; what is kept is never more than twice what came, or 4 KiB. The short keepalive is a packet of type `keepalive` without a payload.
 * @param bounds `maxBytes`: the largest payload that is taken
 */
export function createPacketReader({ maxBytes }: { maxBytes: number }): PacketReader {
  /** The beginning of a packet that did not come whole. */
  let kept: Buffer = NO_BYTES
  let keptBytes = 0
  /** Bytes of the whole packet, once its size and type are good. */
  let needed = 0
  let broken: PacketError | undefined

  function fail(code: PacketError['code'], detail: string): never {
    broken = new PacketError(code, detail)
    kept = NO_BYTES
    keptBytes = 0
    throw broken
  }

  /** Looks at the first bytes of a packet, as many as are there. Gives the bytes of the whole packet, 0 while that is open. */
  function sizeOf(bytes: Buffer, at: number, end: number): number {
    const there = Math.min(end - at, JUDGED_BYTES)
    for (let index = 0; index < there && index < COOKIE_BYTES.length; index++) {
      if (bytes[at + index] !== COOKIE_BYTES[index]) fail('bad_cookie', `byte ${index} of a packet is ${bytes[at + index]}`)
    }
    if (there < PREAMBLE_BYTES) return 0
    const size = bytes.readUInt32BE(at + COOKIE_BYTES.length)
    if (size > maxBytes) fail('too_large', `a payload of ${size} bytes, ${maxBytes} at most`)
    if (there < JUDGED_BYTES) return 0
    const code = bytes[at + TYPE_AT] as number
    if (NAMES[code] === undefined) fail('bad_type', `a packet of type ${code}`)
    return size === 0 && code === TYPES.keepalive ? JUDGED_BYTES : HEAD_BYTES + size
  }

  /** Doubles what is reserved, so that a packet in a thousand pieces is copied twice and not a thousand times. */
  function keep(chunk: Buffer, from: number, to: number): void {
    const bytes = keptBytes + to - from
    if (kept.length < bytes) {
      const most = needed === 0 ? JUDGED_BYTES : needed
      const room = Buffer.allocUnsafeSlow(Math.min(most, Math.max(FIRST_PIECE, 2 * bytes)))
      kept.copy(room, 0, 0, keptBytes)
      kept = room
    }
    chunk.copy(kept, keptBytes, from, to)
    keptBytes = bytes
  }

  /** Goes on with what is kept. Gives the place behind what was taken of the chunk. */
  function resume(chunk: Buffer): number {
    let at = 0
    if (needed === 0) {
      at = Math.min(chunk.length, JUDGED_BYTES - keptBytes)
      keep(chunk, 0, at)
      needed = sizeOf(kept, 0, keptBytes)
      if (needed === 0) return at
    }
    const to = Math.min(chunk.length, at + needed - keptBytes)
    keep(chunk, at, to)
    return to
  }

  return {
    get buffered() { return keptBytes },
    *push(chunk) {
      if (broken !== undefined) throw broken
      let at = 0
      if (keptBytes > 0) {
        at = resume(chunk)
        if (keptBytes !== needed) return
        const whole = kept.subarray(0, needed)
        kept = NO_BYTES
        keptBytes = needed = 0
        yield packetOf(whole)
      }
      while (at < chunk.length) {
        const size = sizeOf(chunk, at, chunk.length)
        if (size === 0 || size > chunk.length - at) {
          needed = size
          keep(chunk, at, chunk.length)
          return
        }
        at += size
        yield packetOf(chunk.subarray(at - size, at))
      }
    },
  }
}

function packetOf(bytes: Buffer): Packet {
  if (bytes.length < HEAD_BYTES) return SHORT_KEEPALIVE
  // One comparison for what nearly every packet holds: nothing.
  const isPlain = bytes.compare(ZEROS, 0, ZEROS.length, IDENTIFIER_AT, HEAD_BYTES) === 0
  return {
    type: NAMES[bytes[TYPE_AT] as number] as PacketType,
    version: { major: bytes[VERSION_AT] as number, minor: bytes[VERSION_AT + 1] as number, patch: bytes[VERSION_AT + 2] as number },
    identifier: isPlain ? NO_BYTES : identifierOf(bytes),
    key: isPlain ? NO_KEY : bytes.subarray(KEY_AT, SIGNATURE_AT),
    signature: isPlain ? NO_SIGNATURE : bytes.subarray(SIGNATURE_AT, HEAD_BYTES),
    payload: bytes.subarray(HEAD_BYTES),
    bytes,
  }
}

function identifierOf(bytes: Buffer): Buffer {
  let end = KEY_AT
  while (end > IDENTIFIER_AT && bytes[end - 1] === 0) end--
  return bytes.subarray(IDENTIFIER_AT, end)
}

function namesByCode(): (PacketType | undefined)[] {
  const names: (PacketType | undefined)[] = []
  for (const [name, code] of Object.entries(TYPES)) names[code] = name as PacketType
  return names
}
