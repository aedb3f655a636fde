/* The little of RFC 6455 that a load generator needs. It must cost less than the server that it loads. */

/** Where one connection stands: bytes of a frame whose rest is still to come. */
export interface FrameState {
  rest: Buffer | undefined
}

const TEXT = 0x81
const MASK = [0x5a, 0xc3, 0x39, 0x96] as const
/** Six bits in each of four characters, all plain ASCII: a number up to 2^24 in the text of a message. */
const STAMP_CHARS = 4
const ZERO = 0x30
export const STAMPS = 2 ** 24

/**
 * Reads frames as a server sends them, unmasked and whole messages, and tells the stamp of each. Pings are passed over.
 * @throws {Error} when the server closes, or sends what no server sends here
 */
export function createFrameReader(onMessage: (stamp: number) => void): (state: FrameState, chunk: Buffer, length: number) => void {
  return function read(state, chunk, length) {
    let bytes = chunk
    let end = length
    if (state.rest !== undefined) {
      bytes = Buffer.concat([state.rest, chunk.subarray(0, length)])
      end = bytes.length
      state.rest = undefined
    }
    let at = 0
    while (end - at >= 2) {
      const first = bytes[at] as number
      let size = bytes[at + 1] as number
      let body = at + 2
      if (size >= 126) {
        if (size > 126) throw new Error('the server sent a frame of 64 KiB or more, or a masked one')
        if (end - at < 4) break
        size = ((bytes[at + 2] as number) << 8) | (bytes[at + 3] as number)
        body = at + 4
      }
      if (body + size > end) break
      if (first === TEXT) {
        onMessage(
          (((bytes[body] as number) - ZERO) << 18) | (((bytes[body + 1] as number) - ZERO) << 12) |
          (((bytes[body + 2] as number) - ZERO) << 6) | ((bytes[body + 3] as number) - ZERO),
        )
      } else if (first === 0x88) {
        throw new Error(`the server closed a connection with code ${size < 2 ? 'none' : bytes.readUInt16BE(body)}`)
      }
      at = body + size
    }
    if (at < end) state.rest = Buffer.from(bytes.subarray(at, end))
  }
}

/** Makes a masked text frame of `size` bytes of payload, again and again in the same place, each with another stamp. */
export function createFrameWriter(size: number): { readonly length: number; write(stamp: number, into: Buffer, at: number): void } {
  const header = size < 126 ? 2 : 4
  const frame = Buffer.alloc(header + MASK.length + size, 0x78)
  frame[0] = TEXT
  frame[1] = 0x80 | (size < 126 ? size : 126)
  if (size >= 126) frame.writeUInt16BE(size, 2)
  frame.set(MASK, header)
  const payload = header + MASK.length
  for (let i = 0; i < size; i++) frame[payload + i] = (frame[payload + i] as number) ^ (MASK[i % 4] as number)
  return {
    length: frame.length,
    write(stamp, into, at) {
      into.set(frame, at)
      for (let i = 0; i < STAMP_CHARS; i++) {
        const char = ZERO + ((stamp >> (18 - 6 * i)) & 63)
        into[at + payload + i] = char ^ (MASK[i] as number)
      }
    },
  }
}

/** A channel's name where a path has `%s` for it: as long for each, as the C tools name them. */
export function channelPath(path: string, channel: number): string {
  return path.replace('%s', `c${String(channel).padStart(7, '0')}`)
}
