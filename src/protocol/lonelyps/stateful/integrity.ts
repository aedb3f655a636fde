import { createHash } from 'node:crypto'

/** Whether these are the SHA-512 of the bytes. Nothing here is secret. */
export function isDigestOf(sha512: Buffer, bytes: Buffer): boolean {
  return createHash('sha512').update(bytes).digest().equals(sha512)
}
