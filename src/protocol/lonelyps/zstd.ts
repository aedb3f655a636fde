import type { Transform } from 'node:stream'
import { constants, createZstdCompress, createZstdDecompress, zstdCompress, zstdCompressSync, zstdDecompress, zstdDecompressSync, type ZstdOptions } from 'node:zlib'
import { createFrameWalk } from './zstd-frame.ts'

/** What both sides compress with, beside the level. */
export interface Dictionary {
  /** A trained dictionary or, where the magic of one does not stand in front, raw content. */
  readonly bytes: Buffer
  /** Of zstd; -1 cannot be said to node:zlib and counts as its default, 3. */
  readonly level: number
}

const NONE = Buffer.alloc(0)
/** What is filled piece by piece where more than this is announced, so that a lie of gigabytes costs no more. */
const LARGEST_PIECE = 1_048_576
const SMALLEST_PIECE = 64
const STREAM_PIECE = 131_072
/** An honest frame of 128 MiB has so many blocks. One that has more is long in counting. */
const MANY_BLOCKS = 1_024
const SMALLEST_WINDOW_LOG = 10
const LARGEST_WINDOW_LOG = 31

/**
 * One frame without content size, checksum and dictionary id (section 4.13). Takes 30 to 120 us for small bodies.
 * @throws when a trained dictionary is damaged
 */
export function compress(bytes: Buffer, level: number, dictionary?: Buffer): Buffer {
  return zstdCompressSync(bytes, forCompressing(level, dictionary))
}

/** The same off the event loop. The bytes must not be changed meanwhile. */
export function compressLater(bytes: Buffer, level: number, dictionary?: Buffer): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    zstdCompress(bytes, { ...forCompressing(level, dictionary), pledgedSrcSize: bytes.length }, (error, frame) => (error === null ? resolve(frame) : reject(error)))
  })
}

/**
 * What the first frame holds, whatever stands behind it (section 4.13). Takes memory for about `size` bytes at most (the
 * double of it above 1 MiB), and only as they come: a bomb and a lie cost nothing. The caller bounds `size`.
 * @param size bytes that it must hold, exactly
 * @param maxWindow bytes that the frame may ask to look back; rounded down to a power of two, 0 is no limit
 * @returns `undefined` when it is no frame, is cut off, needs another dictionary or window, or holds more or less
 */
export function decompress(bytes: Buffer, size: number, maxWindow: number, dictionary?: Buffer): Buffer | undefined {
  const frame = firstFrame(bytes)
  if (frame === undefined) return undefined
  try {
    return exactly(size, zstdDecompressSync(frame, forDecompressing(size, maxWindow, dictionary)))
  } catch {
    return undefined
  }
}

/** The same off the event loop; never rejects. The bytes must not be changed meanwhile. */
export function decompressLater(bytes: Buffer, size: number, maxWindow: number, dictionary?: Buffer): Promise<Buffer | undefined> {
  const frame = firstFrame(bytes, MANY_BLOCKS)
  if (frame === 'many blocks') return inPieces(bytes, size, maxWindow, dictionary)
  if (frame === undefined) return Promise.resolve(undefined)
  return new Promise((resolve) => {
    try {
      zstdDecompress(frame, forDecompressing(size, maxWindow, dictionary), (error, plain) => resolve(error === null ? exactly(size, plain) : undefined))
    } catch {
      // A trained dictionary that is damaged is found out at once.
      resolve(undefined)
    }
  })
}

/**
 * Makes one such frame of all that is written to it.
 * @param size bytes that will be written, exactly; where it is known, the reader's window need not be larger
 * @throws when a trained dictionary is damaged
 */
export function compressing(level: number, dictionary?: Buffer, size?: number): Transform {
  const options = forCompressing(level, dictionary)
  const stream = createZstdCompress(size === undefined ? options : { ...options, pledgedSrcSize: size })
  const walk = createFrameWalk()
  const push = stream.push.bind(stream)
  // When the last chunk has waited in line, Node ends the frame twice, and the second time makes an empty frame more.
  stream.push = (chunk: Buffer | null) => {
    if (chunk === null) return push(null)
    const taken = walk.take(chunk) ?? 0
    return taken === 0 || push(chunk.subarray(0, taken))
  }
  return stream
}

/**
 * Gives what the first frame holds that is written to it, and swallows whatever comes behind. Anything that is no frame,
 * or cut off, ends it with an error. It has no bound of its own: the caller counts what comes out, and destroys it.
 * @param maxWindow as for `decompress`
 * @throws when a trained dictionary is damaged
 */
export function decompressing(maxWindow: number, dictionary?: Buffer): Transform {
  const stream = createZstdDecompress(forDecompressing(STREAM_PIECE, maxWindow, dictionary))
  const walk = createFrameWalk()
  const decompressed = stream._transform.bind(stream)
  const flushed = stream._flush.bind(stream)
  stream._transform = (chunk: Buffer, encoding, done) => {
    // Without bytes it is a flush, which zlib marks in ways of its own.
    if (chunk.length === 0) return decompressed(chunk, encoding, done)
    const taken = walk.take(chunk)
    if (taken === undefined) return done(new Error('not a zstd frame'))
    if (taken === 0) return done()
    decompressed(taken === chunk.length ? chunk : chunk.subarray(0, taken), encoding, done)
  }
  stream._flush = (done) => (walk.ended ? flushed(done) : done(new Error('the zstd frame is cut off')))
  return stream
}

function forCompressing(level: number, dictionary: Buffer | undefined): ZstdOptions {
  const { ZSTD_c_compressionLevel, ZSTD_c_contentSizeFlag, ZSTD_c_checksumFlag, ZSTD_c_dictIDFlag } = constants
  const params = { [ZSTD_c_compressionLevel]: level, [ZSTD_c_contentSizeFlag]: 0, [ZSTD_c_checksumFlag]: 0, [ZSTD_c_dictIDFlag]: 0 }
  return dictionary === undefined ? { params } : { params, dictionary }
}

function forDecompressing(size: number, maxWindow: number, dictionary: Buffer | undefined): ZstdOptions {
  // One byte of room more than fits shows at once that there is more.
  const chunkSize = Math.max(SMALLEST_PIECE, Math.min(size + 1, LARGEST_PIECE))
  const options: ZstdOptions = { params: { [constants.ZSTD_d_windowLogMax]: windowLog(maxWindow) }, chunkSize, maxOutputLength: Math.max(1, size) }
  return dictionary === undefined ? options : { ...options, dictionary }
}

function windowLog(maxWindow: number): number {
  if (maxWindow === 0) return LARGEST_WINDOW_LOG
  return Math.min(LARGEST_WINDOW_LOG, Math.max(SMALLEST_WINDOW_LOG, Math.floor(Math.log2(maxWindow))))
}

/** Piece by piece: the event loop, which counts the blocks, does other things in between. */
async function inPieces(bytes: Buffer, size: number, maxWindow: number, dictionary: Buffer | undefined): Promise<Buffer | undefined> {
  const plain: Buffer[] = []
  let have = 0
  try {
    const stream = decompressing(maxWindow, dictionary)
    let at = 0
    const feed = (): void => {
      if (at >= bytes.length) return void stream.end()
      stream.write(bytes.subarray(at, at += STREAM_PIECE), (error) => (error ? undefined : feed()))
    }
    feed()
    for await (const piece of stream) {
      have += (piece as Buffer).length
      if (have > size) return undefined
      plain.push(piece as Buffer)
    }
  } catch {
    return undefined
  }
  return exactly(size, Buffer.concat(plain, have))
}

function firstFrame(bytes: Buffer): Buffer | undefined
function firstFrame(bytes: Buffer, mostBlocks: number): Buffer | 'many blocks' | undefined
function firstFrame(bytes: Buffer, mostBlocks = Infinity): Buffer | 'many blocks' | undefined {
  const walk = createFrameWalk()
  const size = walk.take(bytes, mostBlocks)
  if (size === undefined) return undefined
  if (walk.ended) return bytes.subarray(0, size)
  return size === bytes.length ? undefined : 'many blocks'
}

function exactly(size: number, plain: Buffer): Buffer | undefined {
  if (plain.length !== size) return undefined
  return size === 0 ? NONE : plain
}
