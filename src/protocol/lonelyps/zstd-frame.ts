/**
 * Finds the end of the first Zstandard frame (RFC 8878, section 3.1.1) without decompressing anything: readers stop there
 * (section 4.13), but node:zlib goes on with whatever stands behind it, and what it does then depends on its version.
 */
export interface FrameWalk {
  /** Whether the whole frame has been seen. */
  readonly ended: boolean
  /**
   * How many of the bytes that come next belong to the frame; `undefined` when it is none.
   * @param mostBlocks after which it stops, though more belong to it: each costs a little time
   */
  take(chunk: Buffer, mostBlocks?: number): number | undefined
}

const MAGIC = 0xfd2fb528
/** The magic and the frame's descriptor. */
const START = 5
const BLOCK_HEADER = 3
const RUN = 1
const RESERVED = 3
const CHECKSUM = 4

/** At the beginning of a frame. */
export function createFrameWalk(): FrameWalk {
  const header = Buffer.alloc(START)
  let have = 0
  let wanted = START
  let skip = 0
  let last = false
  let checksum = 0
  let ended = false
  let blocks = 0

  /** A whole header has come. False when the frame is none. */
  function understand(): boolean {
    have = 0
    if (wanted === START) {
      if (header.readUInt32LE(0) !== MAGIC) return false
      const descriptor = header.readUInt8(4)
      skip = restOfHeader(descriptor)
      checksum = (descriptor & 4) === 0 ? 0 : CHECKSUM
      wanted = BLOCK_HEADER
      return true
    }
    blocks++
    const block = header.readUIntLE(0, BLOCK_HEADER)
    const kind = (block >> 1) & 3
    last = (block & 1) === 1
    skip = (kind === RUN ? 1 : block >> 3) + (last ? checksum : 0)
    return kind !== RESERVED
  }

  return {
    get ended() {
      return ended
    },
    take(chunk, mostBlocks = Infinity) {
      let at = 0
      const most = blocks + mostBlocks
      while (at < chunk.length && !ended && blocks < most) {
        if (skip > 0) {
          const step = Math.min(skip, chunk.length - at)
          at += step
          skip -= step
        } else {
          header[have++] = chunk[at++] as number
          if (have === wanted && !understand()) return undefined
        }
        ended = last && skip === 0
      }
      return at
    },
  }
}

/** Bytes between the descriptor and the first block: window, dictionary id, content size. */
function restOfHeader(descriptor: number): number {
  const single = (descriptor >> 5) & 1
  const contentSize = [single, 2, 4, 8][descriptor >> 6] as number
  const dictionaryId = [0, 1, 2, 4][descriptor & 3] as number
  return 1 - single + dictionaryId + contentSize
}
