/** What throws away what a client says: messages come out empty, or not at all; all else as it was. */
export interface Hollow {
  /** What is left of the next bytes of the connection, behind the handshake. */
  take(chunk: Buffer): Buffer
}

const NOTHING = Buffer.alloc(0)
const SHORTEST_HEADER = 2
const MASK_BYTES = 4
const FIRST_CONTROL = 8
const [FIN, RESERVED, OPCODE, MASKED, LENGTH] = [0x80, 0x70, 0x0f, 0x80, 0x7f]

/**
 * Empties the messages of a client (RFC 6455, section 5.2), so that whoever reads the frames behind it has nothing to keep,
 * however much is sent. Control frames go through whole. What is wrong with a header goes through, too, for the reader
 * to refuse; of the fragments between the first and the last of a message nothing is left, or they would be counted.
 */
export function createHollow(): Hollow {
  /** The part of a header that has come. */
  let head = NOTHING
  /** Bytes of payload that are still to come, and whether they go through. */
  let [left, through] = [0, false]
  let inFragments = false
  /** From here on nothing is understood, and everything goes through. */
  let lost = false

  /** Reads the header that begins at `at`. Gives the place behind it, what it comes to written at `to`; -1 when more must come. */
  function header(bytes: Buffer, at: number, into: Buffer, to: number): { behind: number; written: number } | undefined {
    if (bytes.length - at < SHORTEST_HEADER) return undefined
    const [first, second] = [bytes[at] as number, bytes[at + 1] as number]
    const code = second & LENGTH
    const isMasked = (second & MASKED) !== 0
    const start = at + SHORTEST_HEADER
    const key = start + (code === 126 ? 2 : code === 127 ? 8 : 0)
    const behind = key + (isMasked ? MASK_BYTES : 0)
    if (bytes.length < behind) return undefined
    const length = code === 126 ? bytes.readUInt16BE(start) : code === 127 ? Number(bytes.readBigUInt64BE(start)) : code
    const opcode = first & OPCODE
    left = length
    through = opcode >= FIRST_CONTROL
    lost = length > Number.MAX_SAFE_INTEGER
    if (through || lost) return { behind, written: bytes.copy(into, to, at, behind) }
    const isLast = (first & FIN) !== 0
    const isBetween = inFragments && opcode === 0 && !isLast && isMasked && (first & RESERVED) === 0
    inFragments = !isLast
    if (isBetween) return { behind, written: 0 }
    into[to] = first
    into[to + 1] = second & MASKED
    return { behind, written: SHORTEST_HEADER + bytes.copy(into, to + SHORTEST_HEADER, key, behind) }
  }

  return {
    take(chunk) {
      if (lost) return chunk
      if (left >= chunk.length && !through) {
        left -= chunk.length
        return NOTHING
      }
      const bytes = head.length === 0 ? chunk : Buffer.concat([head, chunk])
      const into = Buffer.allocUnsafe(bytes.length)
      let to = 0
      for (let at = 0; at < bytes.length;) {
        if (left > 0 || lost) {
          const step = lost ? bytes.length - at : Math.min(left, bytes.length - at)
          if (through || lost) to += bytes.copy(into, to, at, at + step)
          at += step
          left -= step
          continue
        }
        const read = header(bytes, at, into, to)
        if (read === undefined) {
          head = Buffer.from(bytes.subarray(at))
          return into.subarray(0, to)
        }
        at = read.behind
        to += read.written
      }
      head = NOTHING
      return into.subarray(0, to)
    },
  }
}
