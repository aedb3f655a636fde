import { constants, inflateSync, type Zlib } from 'node:zlib'
import { EtfError } from './term.ts'

/** What stands in a compressed term (`erps.md`, A.4), without a 131, and where its zlib stream ends. */
export interface Inflated {
  readonly bytes: Buffer
  readonly end: number
}

/** No deflate stream grows by more, so a claim beyond it is a lie that costs nothing. */
const STEEPEST = 1_032
const SMALLEST_STREAM = 8
/** What is filled at a time, so that a claim of megabytes costs no more than what comes of it. */
const LARGEST_PIECE = 262_144
const SMALLEST_PIECE = 64

/** Whether a stream of so many bytes could give `size`. */
export function canHold(stream: number, size: number): boolean {
  return stream >= SMALLEST_STREAM && size > 0 && size <= stream * STEEPEST
}

/**
 * Inflates exactly `size` bytes from a zlib stream at `at`; bytes behind the stream are ignored.
 * @throws EtfError `badarg` when it is no stream, is cut, is damaged, or holds more or less
 */
export function inflate(bytes: Buffer, at: number, size: number): Inflated {
  // One byte more than announced: what fits its piece is neither copied nor asked for again.
  const chunkSize = Math.max(SMALLEST_PIECE, Math.min(size + 1, LARGEST_PIECE))
  let result: { buffer: Buffer; engine: Zlib }
  try {
    result = inflateSync(bytes.subarray(at), { chunkSize, maxOutputLength: size, finishFlush: constants.Z_FINISH, info: true }) as unknown as typeof result
  } catch {
    throw new EtfError('badarg', 'what is compressed is damaged, cut or too long')
  }
  if (result.buffer.length !== size) throw new EtfError('badarg', 'what is compressed is shorter than it says')
  return { bytes: result.buffer, end: at + result.engine.bytesWritten }
}
