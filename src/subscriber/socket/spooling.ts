import type { Transform } from 'node:stream'
import { SpoolFull, type Spool, type SpooledBody, type SpoolFile } from '../../http/spool.ts'
import { decompressing } from '../../protocol/lonelyps/zstd.ts'
import type { Compressor } from './compressors.ts'

/** A large message on its way to disk, decompressed as it comes. */
export interface Spooling {
  /** Settles when there is room for more. What goes wrong is said at the end. */
  write(piece: Buffer): Promise<void>
  /** The body, or what was wrong: no room, or another length than announced. */
  finish(): Promise<SpooledBody | 'full' | 'compression'>
  discard(): void
}

/** @param length bytes that it must have, decompressed; no more than these are written */
export function spoolPieces(spool: Spool, length: bigint, compressor: Compressor | undefined, maxWindow: number): Spooling {
  let flaw: 'full' | 'compression' | undefined
  let file: SpoolFile | undefined
  const created = spool.create().then((made) => {
    if (flaw === undefined) file = made
    else made.discard()
  }, fail)

  function fail(error: unknown): void {
    flaw ??= error instanceof SpoolFull ? 'full' : 'compression'
    file?.discard()
  }

  async function store(piece: Buffer): Promise<void> {
    await created
    if (flaw !== undefined || file === undefined) return
    if (BigInt(file.size + piece.length) > length) return fail(undefined)
    await file.write(piece).catch(fail)
  }

  const stream = compressor === undefined ? undefined : open(compressor)
  const drained = stream === undefined ? Promise.resolve() : drain(stream)

  function open({ dictionary }: Compressor): Transform | undefined {
    try {
      return decompressing(maxWindow, dictionary)
    } catch (error) {
      fail(error)
      return undefined
    }
  }

  async function drain(from: Transform): Promise<void> {
    try {
      for await (const piece of from) {
        await store(piece as Buffer)
        // A bomb goes no further than what was announced.
        if (flaw !== undefined) return
      }
    } catch (error) {
      fail(error)
    }
  }

  async function write(piece: Buffer): Promise<void> {
    if (flaw !== undefined) return
    if (stream === undefined) return store(piece)
    await new Promise<void>((resolve) => {
      // Its end, too, is an answer: `drain` hears of what went wrong.
      stream.once('close', resolve)
      stream.write(piece, () => {
        stream.off('close', resolve)
        resolve()
      })
    })
  }

  return {
    write,
    async finish() {
      stream?.end()
      await created
      await drained
      if (flaw === undefined && BigInt(file?.size ?? -1) !== length) fail(undefined)
      return flaw ?? (file as SpoolFile).finish()
    },
    discard() {
      fail(undefined)
      stream?.destroy()
    },
  }
}
