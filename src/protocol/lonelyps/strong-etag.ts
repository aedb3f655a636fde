import { createHash, type Hash } from 'node:crypto'
import { pack, s16 } from './bytes.ts'
import { type Entry, entryFields, inOrder } from './set-request.ts'

/**
 * The strong etag of what a url has (section 5.4): 64 bytes. The entries may come in any order.
 * @throws {RangeError} when a field is longer than 65,535 bytes
 */
export function strongEtag(url: string, topics: readonly Entry[], globs: readonly Entry[]): Buffer {
  const hash = createHash('sha512').update('URL').update(pack(s16(url)))
  add(hash.update('\nEXACT'), topics)
  add(hash.update('\nGLOB'), globs)
  return hash.update('\n').digest()
}

function add(hash: Hash, entries: readonly Entry[]): void {
  for (const entry of inOrder(entries)) hash.update(pack(...entryFields(entry)))
}
