import { createHash } from 'node:crypto'
import type { BodySource } from './body-source.ts'
import type { Spool, SpooledBody } from './spool.ts'

/**
 * Writes what is left of a body to the spool while it is hashed.
 * @returns the body, or what is wrong: its length is another, or its SHA-512; then nothing of it is left on disk
 * @throws {SpoolFull}; rejects when the request breaks off
 */
export async function spoolBody(spool: Spool, source: BodySource, length: bigint, sha512: Buffer): Promise<SpooledBody | 'length' | 'digest'> {
  const file = await spool.create()
  try {
    const digest = createHash('sha512')
    for (let piece = await source.next(); piece !== undefined; piece = await source.next()) {
      if (BigInt(file.size + piece.length) > length) return 'length'
      const written = file.write(piece)
      // The disk is at work meanwhile.
      digest.update(piece)
      await written
    }
    if (BigInt(file.size) !== length) return 'length'
    return digest.digest().equals(sha512) ? file.finish() : 'digest'
  } finally {
    file.discard()
  }
}
