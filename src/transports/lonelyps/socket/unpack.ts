import { createHash, hash } from 'node:crypto'
import type { Transform } from 'node:stream'
import type { LargeBody } from '../../../core/message.ts'
import type { Spool } from '../../../http/spool.ts'
import type { MessageHead } from '../../../protocol/lonelyps/stateful/messages.ts'
import { decompress, decompressing, decompressLater } from '../../../protocol/lonelyps/zstd.ts'
import type { Taken } from '../intake.ts'
import { Fault } from './fault.ts'
import type { Later } from './later.ts'

/** A message as it came, whole, its hash checked. Whoever has it lets go of `large`. */
export interface Packed extends Taken {
  readonly head: MessageHead
}

/** A message as it was before it was compressed. Whoever has it lets go of `large`. */
export interface Unpacked extends Taken {
  readonly sha512: Buffer
  readonly size: number
}

export interface UnpackParts {
  readonly spool: Spool
  readonly bounds: { readonly spoolAbove: number; readonly maxSpoolBytes: number; readonly maxWindowBytes: number }
  /** The dictionary of a compressor that was announced, 'none' when it has none; `undefined` when it was not. */
  readonly dictionaryOf: (compressor: number) => Buffer | 'none' | undefined
  /** Books memory. False when there is too little. */
  readonly take: (bytes: number) => boolean
  readonly give: (bytes: number) => void
}

/** What is longer, before or after, is decompressed off the event loop. */
const AT_ONCE = 65_536
/** What goes to disk, or through zstd, goes in such pieces: each is looked at on the event loop. */
const PIECE = 131_072
const NOTHING = Buffer.alloc(0)

/**
 * Gives what a message held before it was compressed (lonelyps, sections 4.9 and 4.13). It costs at most what is announced.
 * @throws {Fault} when it holds something else, or there is no room
 */
export function unpack(packed: Packed, parts: UnpackParts): Later<Unpacked> {
  const { head, body, large } = packed
  const { compressor, sha512 } = head
  if (compressor === 0) {
    if (large !== undefined) return { body, large, sha512, size: large.size }
    return body.length > parts.bounds.spoolAbove ? toSpool(packed, body.length, parts, undefined) : { body, sha512, size: body.length }
  }
  const known = parts.dictionaryOf(compressor)
  if (known === undefined) return refuse(large, `compressed with ${compressor}, which was not announced`)
  const dictionary = known === 'none' ? undefined : known
  if (head.decompressedLength > BigInt(parts.bounds.maxSpoolBytes - parts.spool.bytes)) return refuse(large, `no room for ${head.decompressedLength} bytes`)
  const size = Number(head.decompressedLength)
  const length = large?.size ?? body.length
  if (length > longestOf(size)) return refuse(large, `${length} bytes where ${size} are compressed`)
  const { maxWindowBytes, spoolAbove } = parts.bounds
  const window = Math.min(size, maxWindowBytes === 0 ? Infinity : maxWindowBytes)
  if (large !== undefined || size > spoolAbove) return booked(packed, window, parts, () => toSpool(packed, size, parts, () => decompressing(maxWindowBytes, dictionary)))
  if (Math.max(size, length) <= AT_ONCE) return unpacked(decompress(body, size, maxWindowBytes, dictionary))
  return booked(packed, size + window, parts, () => decompressLater(body, size, maxWindowBytes, dictionary).then(unpacked))
}

/** The longest frame that so many bytes have: zstd adds little to what it cannot make shorter. More is there to cost time. */
function longestOf(size: number): number {
  return size + size / 16 + 65_536
}

function booked({ large }: Packed, bytes: number, { take, give }: UnpackParts, go: () => Promise<Unpacked>): Promise<Unpacked> {
  if (!take(bytes)) return refuse(large, 'too much is on its way')
  return go().finally(() => give(bytes))
}

function refuse(large: LargeBody | undefined, why: string): never {
  large?.letGo()
  throw new Fault(why)
}

function unpacked(body: Buffer | undefined): Unpacked {
  if (body === undefined) throw new Fault('it is not what was announced, decompressed')
  return { body, sha512: hash('sha512', body, 'buffer'), size: body.length }
}

async function toSpool({ body, large }: Packed, size: number, { spool }: UnpackParts, open: (() => Transform) | undefined): Promise<Unpacked> {
  const file = await spool.create().catch((error: Error) => refuse(large, error.message))
  const digest = createHash('sha512')
  try {
    const source = large === undefined ? pieces(body) : large.read()
    for await (const piece of open === undefined ? source : through(source, open())) {
      if (file.size + piece.length > size) throw new Fault('it is longer than announced, decompressed')
      const written = file.write(piece)
      digest.update(piece)
      await written
    }
    if (file.size !== size) throw new Fault('it is shorter than announced, decompressed')
    return { body: NOTHING, large: file.finish(), sha512: digest.digest(), size }
  } catch (error) {
    throw error instanceof Fault ? error : new Fault((error as Error).message)
  } finally {
    file.discard()
    large?.letGo()
  }
}

function* pieces(body: Buffer): Generator<Buffer> {
  for (let at = 0; at < body.length; at += PIECE) yield body.subarray(at, at + PIECE)
}

/** What comes out of a transform. The source is read as it takes it; leaving the loop ends both. */
async function* through(source: Iterable<Buffer> | AsyncIterable<Buffer>, transform: Transform): AsyncGenerator<Buffer> {
  // Not waited for: what is written to a transform that was destroyed may never be told of.
  feed(source, transform).catch((error: Error) => void transform.destroy(error))
  try {
    for await (const piece of transform) yield piece as Buffer
  } finally {
    transform.destroy()
  }
}

async function feed(source: Iterable<Buffer> | AsyncIterable<Buffer>, transform: Transform): Promise<void> {
  for await (const piece of source) {
    if (transform.destroyed) return
    // The next piece is read into the same memory.
    await new Promise<void>((resolve) => void transform.write(piece, () => resolve()))
  }
  transform.end()
}

