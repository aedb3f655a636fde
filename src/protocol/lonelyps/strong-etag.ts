import { createHash } from 'node:crypto'
import { pack, s16 } from './bytes.ts'
import { type Entry, entryFields, inOrder, type Kind } from './set-request.ts'

/** A strong etag that is made from lists piece by piece (section 5.4). */
export interface StrongEtag {
  /** Entries in ascending order of their bytes, all exact ones before the first glob. @throws {RangeError} when a field is longer than 65,535 bytes */
  add(kind: Kind, entries: readonly Entry[]): void
  /** The 64 bytes. Once, at the end. */
  digest(): Buffer
}

export function createStrongEtag(url: string): StrongEtag {
  const hash = createHash('sha512').update('URL').update(pack(s16(url))).update('\nEXACT')
  let globs = false
  const beginGlobs = (): void => {
    if (!globs) hash.update('\nGLOB')
    globs = true
  }
  return {
    add(kind, entries) {
      if (kind === 'glob') beginGlobs()
      for (const entry of entries) hash.update(pack(...entryFields(entry)))
    },
    digest() {
      beginGlobs()
      return hash.update('\n').digest()
    },
  }
}

/**
 * The strong etag of what a url has (section 5.4): 64 bytes. The entries may come in any order.
 * @throws {RangeError} when a field is longer than 65,535 bytes
 */
export function strongEtag(url: string, topics: readonly Entry[], globs: readonly Entry[]): Buffer {
  const etag = createStrongEtag(url)
  etag.add('exact', inOrder(topics))
  etag.add('glob', inOrder(globs))
  return etag.digest()
}
