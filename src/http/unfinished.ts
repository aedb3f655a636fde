/** What has come of a WebSocket message that has not come whole. */
export interface Unfinished {
  /** Which one it is, counted from 1: another one has another number. */
  readonly number: number
  /** Bytes of it that have come, headers included; 0 while none is on its way. */
  readonly bytes: number
  /** Bytes of payload that its frames have announced so far. */
  readonly announced: number
  /** Bytes of memory that it takes, about. */
  readonly kept: number
}

export interface UnfinishedWalk extends Unfinished {
  /** The next bytes of the connection, behind the handshake. */
  take(chunk: Buffer): void
}

/** What an object costs that stands for a piece, beside the bytes in it: each packet and each frame is one. */
const PIECE_BYTES = 128
const SHORTEST_HEADER = 2
const LONGEST_HEADER = 14
const MASK_BYTES = 4
const FIRST_CONTROL = 8

/**
 * Follows the frames of a client (RFC 6455, section 5.2) by their headers alone, beside the library that reads them: it
 * does not say what it keeps. A message is all its fragments, with the pings between them; a ping alone is one, too.
 */
export function createUnfinishedWalk(): UnfinishedWalk {
  const header = Buffer.alloc(LONGEST_HEADER)
  let [have, wanted, skip] = [0, SHORTEST_HEADER, 0]
  let [number, bytes, announced, kept] = [0, 0, 0, 0]
  let [inFragments, isControl, isLast] = [false, false, false]

  /** A whole header has come, or as much of it as says how long it is. */
  function understand(): void {
    const [first, second] = [header[0] as number, header[1] as number]
    const code = second & 0x7f
    const lengthBytes = code === 126 ? 2 : code === 127 ? 8 : 0
    const whole = SHORTEST_HEADER + lengthBytes + ((second & 0x80) === 0 ? 0 : MASK_BYTES)
    if (have < whole) {
      wanted = whole
      return
    }
    skip = code === 126 ? header.readUInt16BE(2) : code === 127 ? Number(header.readBigUInt64BE(2)) : code
    isControl = (first & 0xf) >= FIRST_CONTROL
    isLast = (first & 0x80) !== 0
    if (!isControl) announced += skip
    have = 0
    wanted = SHORTEST_HEADER
    if (skip === 0) frameEnded()
  }

  function frameEnded(): void {
    if (!isControl) inFragments = !isLast
    if (!inFragments) [bytes, announced, kept] = [0, 0, 0]
  }

  return {
    get number() { return number },
    get bytes() { return bytes },
    get announced() { return announced },
    get kept() { return kept },
    take(chunk) {
      const { length } = chunk
      // A piece of a packet holds on to all of it.
      if (bytes > 0) kept += length + PIECE_BYTES
      for (let at = 0; at < length;) {
        if (skip > 0) {
          const step = Math.min(skip, length - at)
          at += step
          bytes += step
          skip -= step
          if (skip === 0) frameEnded()
          continue
        }
        if (have === 0) {
          if (bytes === 0) {
            number++
            kept = length + PIECE_BYTES
          }
          kept += PIECE_BYTES
        }
        header[have++] = chunk[at++] as number
        bytes++
        if (have === wanted) understand()
      }
    },
  }
}
