/** Cookie and length (`pony-express.md`, section 2). */
export const HEADER_BYTES = 8
const COOKIE = [0x07, 0x44, 0x07, 0x45] as const
const COOKIE_NUMBER = 0x07440745

/** Why bytes are no frame that is taken. The connection cannot go on: where the next frame begins is not known. */
export class FrameError extends Error {
  override readonly name = 'FrameError'
  readonly code: 'bad_cookie' | 'too_large'
  constructor(code: FrameError['code'], detail: string) {
    super(detail)
    this.code = code
  }
}

export interface FrameReader {
  /** Bytes of a frame that has begun and is not whole yet; 0 between frames. */
  readonly buffered: number
  /**
   * Takes what came and gives the payloads that are whole now. To be run to its end, or not asked again. A payload that
   * lies in one chunk is a slice of it; others are put together once.
   * @throws {FrameError} now and at each further call
   */
  push(chunk: Buffer): Generator<Buffer, void, undefined>
}

/** The least that is reserved for a frame that comes in pieces. */
const FIRST_PIECE = 4_096

/**
 * Frames out of a stream that may be cut and glued anywhere (`pony-express.md`, section 5, as a port should). A wrong
 * cookie is found at its first wrong byte, a length above `maxBytes` before anything is kept. What is kept is never more
 * than twice what came.
 * @param bounds `maxBytes`: the largest payload that is taken
 */
export function createFrameReader({ maxBytes }: { maxBytes: number }): FrameReader {
  let headerBytes = 0
  let size = 0
  /** The beginning of a payload that did not come whole. */
  let kept: Buffer | undefined
  let keptBytes = 0
  let broken: FrameError | undefined

  function fail(code: FrameError['code'], detail: string): never {
    broken = new FrameError(code, detail)
    kept = undefined
    throw broken
  }

  /** Reads on in the header. Gives the place behind what it took. */
  function header(chunk: Buffer, from: number): number {
    let at = from
    for (; headerBytes < HEADER_BYTES && at < chunk.length; at++, headerBytes++) {
      const byte = chunk[at] as number
      if (headerBytes >= COOKIE.length) size = size * 256 + byte
      else if (byte !== COOKIE[headerBytes]) fail('bad_cookie', `byte ${headerBytes} of a frame is ${byte}`)
    }
    if (headerBytes === HEADER_BYTES && size > maxBytes) fail('too_large', `a payload of ${size} bytes, ${maxBytes} at most`)
    return at
  }

  /** Doubles what is reserved, so that a frame in a thousand pieces is copied twice and not a thousand times. */
  function keep(piece: Buffer): void {
    const needed = keptBytes + piece.length
    if (kept === undefined || kept.length < needed) {
      const room = Buffer.allocUnsafeSlow(Math.min(size, Math.max(FIRST_PIECE, 2 * needed)))
      kept?.copy(room, 0, 0, keptBytes)
      kept = room
    }
    piece.copy(kept, keptBytes)
    keptBytes = needed
  }

  /** The payload, when its end is in the chunk; then all is as before the first byte. */
  function take(chunk: Buffer, at: number, missing: number): Buffer {
    const end = chunk.subarray(at, at + missing)
    if (kept !== undefined) keep(end)
    const whole = kept === undefined ? end : kept.subarray(0, size)
    headerBytes = size = keptBytes = 0
    kept = undefined
    return whole
  }

  return {
    get buffered() { return headerBytes + keptBytes },
    *push(chunk) {
      if (broken !== undefined) throw broken
      let at = 0
      for (;;) {
        at = header(chunk, at)
        if (headerBytes < HEADER_BYTES) return
        const missing = size - keptBytes
        if (chunk.length - at < missing) {
          if (at < chunk.length) keep(chunk.subarray(at))
          return
        }
        const whole = take(chunk, at, missing)
        at += missing
        yield whole
      }
    },
  }
}

/** Writes cookie and length. Gives the place behind them. */
export function writeHeader(into: Buffer, at: number, payloadBytes: number): number {
  into.writeUInt32BE(COOKIE_NUMBER, at)
  return into.writeUInt32BE(payloadBytes, at + COOKIE.length)
}
