import { compress, type Dictionary } from '../../protocol/lonelyps/zstd.ts'
import type { DisableCustom, EnableCustom, EnablePreset } from '../../protocol/lonelyps/stateful/messages.ts'

/** What one side may compress with once the broadcaster has announced it (lonelyps, section 4.13). */
export interface Compressor {
  readonly id: number
  readonly level: number
  readonly dictionary: Buffer | undefined
  readonly minSize: number
  readonly maxSize: bigint
}

/** The compressors of one connection. What takes something in says what is wrong with it: that ends the connection. */
export interface Compressors {
  enablePreset(message: EnablePreset): string | undefined
  /** @param size bytes of its frame */
  enableCustom(message: EnableCustom, size: number): string | undefined
  disable(message: DisableCustom): string | undefined
  /** For reading: whatever the size. */
  get(id: number): Compressor | undefined
  /** For a message of so many bytes: the first by least size that takes it. */
  choose(size: number): Compressor | undefined
}

export interface CompressionOffer {
  readonly zstd: boolean
  readonly training: boolean
  /** Known to both sides beforehand, by their ids from 2 to 65,535. */
  readonly dictionaries: ReadonlyMap<number, Dictionary>
  readonly initialDictionary: number
}

const PLAIN = 1
export const FIRST_PRESET = 2
export const FIRST_CUSTOM = 65_536
/** Bytes of a frame that announces a dictionary: more than any client takes (section 4.15). */
const MAX_ANNOUNCEMENT = 4_194_304
const NONE = Buffer.alloc(0)

export function createCompressors(offer: CompressionOffer): Compressors {
  const byId = new Map<number, Compressor>()
  let sorted: readonly Compressor[] = []

  function sort(): void {
    sorted = [...byId.values()].sort((a, b) => a.minSize - b.minSize)
  }

  function enable({ compressor: id, level, minSize, maxSize }: Omit<EnablePreset, 'type'>, dictionary: Buffer | undefined): string | undefined {
    if (byId.has(id)) return 'a compressor is enabled twice'
    if (dictionary !== undefined && !isUsable(dictionary, level)) return 'a dictionary cannot be used'
    byId.set(id, { id, level, dictionary, minSize, maxSize })
    sort()
    return undefined
  }

  return {
    enablePreset(message) {
      if (!offer.zstd) return 'a compressor is enabled that was not asked for'
      const preset = offer.dictionaries.get(message.compressor)
      if (message.compressor !== PLAIN && preset === undefined) return 'a preset dictionary is not known'
      return enable(message, preset?.bytes)
    },
    enableCustom(message, size) {
      if (!offer.zstd || !offer.training) return 'a dictionary is enabled that was not asked for'
      if (message.compressor < FIRST_CUSTOM) return 'a dictionary has an id of the presets'
      if (size > MAX_ANNOUNCEMENT) return 'a dictionary is too large'
      // A copy: the frame may be a part of something larger.
      return enable(message, Buffer.from(message.body))
    },
    disable({ compressor }) {
      if (!byId.delete(compressor)) return 'a compressor is disabled that is not there'
      sort()
      return undefined
    },
    get: (id) => byId.get(id),
    choose: (size) => sorted.find(({ minSize, maxSize }) => minSize <= size && BigInt(size) < maxSize),
  }
}

/** One that claims to be trained, and is damaged, is found out when it is used. */
function isUsable(dictionary: Buffer, level: number): boolean {
  try {
    compress(NONE, level, dictionary)
    return true
  } catch {
    return false
  }
}
