import type { Dictionary } from '../../../protocol/lonelyps/zstd.ts'
import { FIRST_CUSTOM, type Active } from './shared-compression.ts'

export { createSharedCompression, type Active, type Compressed, type CompressedBytes, type CompressedLarge, type SharedCompression } from './shared-compression.ts'

/** zstd without a dictionary (section 4.13). */
export const PLAIN_ZSTD = 1

/** What an ENABLE frame says of a compressor. */
export interface Announcement {
  /** Of a custom one. That of a preset is known to both sides. */
  readonly dictionary?: Buffer
  readonly level: number
  /** Messages of at least so many bytes, and of fewer than `maxSize`. */
  readonly minSize: number
  readonly maxSize: number | bigint
}

/** What one connection may compress and decompress with (section 4.13). */
export interface Compressors {
  /**
   * Its ENABLE frame was written: what follows on the wire may use it.
   * @throws {RangeError} when the id is there already, names no preset, or comes without its dictionary
   */
  announced(id: number, announcement: Announcement): void
  /**
   * The DISABLE frame of a custom one was written: it is not chosen again. What the peer sends may need it until the
   * next one is retired, because it may have been sent before the peer heard.
   */
  retired(id: number): void
  /** For a message of so many bytes: the newest that is meant for it. */
  choose(size: number): Active | undefined
  /** What to decompress with: 'none' is zstd without a dictionary. `undefined`: such an id closes the connection. */
  forIncoming(id: number): Dictionary | 'none' | undefined
}

interface Entry extends Active {
  readonly minSize: number
  readonly maxSize: number | bigint
}

/** @param presets the dictionaries of ids 2 to 65535, known to both sides */
export function createCompressors({ presets }: { readonly presets: ReadonlyMap<number, Dictionary> }): Compressors {
  /** The newest first. */
  let active: Entry[] = []
  let lastRetired: Entry | undefined

  function dictionaryOf(id: number, { dictionary }: Announcement): Buffer | undefined {
    if (id === PLAIN_ZSTD) return undefined
    const bytes = id < FIRST_CUSTOM ? presets.get(id)?.bytes : dictionary
    if (bytes === undefined) throw new RangeError(`compressor ${id} has no dictionary`)
    return bytes
  }

  return {
    announced(id, announcement) {
      if (active.some((entry) => entry.id === id)) throw new RangeError(`compressor ${id} is there already`)
      const { level, minSize, maxSize } = announcement
      active = [{ id, dictionary: dictionaryOf(id, announcement), level, minSize, maxSize }, ...active]
    },
    retired(id) {
      const entry = active.find((other) => other.id === id)
      if (entry === undefined) return
      active = active.filter((other) => other !== entry)
      lastRetired = entry
    },
    choose: (size) => active.find(({ minSize, maxSize }) => minSize <= size && size < maxSize),
    forIncoming(id) {
      const entry = active.find((other) => other.id === id) ?? (lastRetired?.id === id ? lastRetired : undefined)
      if (entry === undefined) return undefined
      return entry.dictionary === undefined ? 'none' : { bytes: entry.dictionary, level: entry.level }
    },
  }
}
