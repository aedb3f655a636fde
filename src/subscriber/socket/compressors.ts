import { compress, type Dictionary } from '../../protocol/lonelyps/zstd.ts'
import type { DisableCustom, EnableCustom, EnablePreset } from '../../protocol/lonelyps/stateful/messages.ts'

/** What one side may compress with once the broadcaster has announced it (lonelyps, section 4.13). */
export interface Compressor {
  readonly id: number
  /** To compress with: the one that was announced, or a lower one. */
  readonly level: number
  readonly dictionary: Buffer | undefined
  readonly minSize: number
  readonly maxSize: bigint
}

/** The compressors of one connection. What takes something in says what is wrong with it: that ends the connection. */
export interface Compressors {
  enablePreset(message: EnablePreset): string | undefined
  enableCustom(message: EnableCustom): string | undefined
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
/** Bytes of a dictionary that is announced: 16 times what is trained (section 4.13). */
const LARGEST_DICTIONARY = 1_048_576
/** Two are alive by the protocol; one more where the new one is announced before the oldest is taken back. */
const MOST_CUSTOM = 3
/** Bytes of those that are alive, and of those that messages still need which came before DISABLE. */
const MOST_CUSTOM_BYTES = 8_388_608
/** The highest that zstd has. The lowest is far below what two bytes can say. */
const HIGHEST_LEVEL = 22
/** A frame says nothing of its level, so ours is our own choice: above this one it costs far more than it saves. */
const HIGHEST_USED = 9
const LOWEST_LEVEL = 1
const NONE = Buffer.alloc(0)

/** @param inTurn calls back when all messages that have come so far are done with */
export function createCompressors(offer: CompressionOffer, inTurn: (fn: () => void) => void): Compressors {
  const byId = new Map<number, Compressor>()
  let sorted: readonly Compressor[] = []
  let customs = 0
  let customBytes = 0

  function sort(): void {
    sorted = [...byId.values()].sort((a, b) => a.minSize - b.minSize)
  }

  function enable({ compressor: id, level, minSize, maxSize }: Omit<EnablePreset, 'type'>, dictionary: Buffer | undefined): string | undefined {
    if (byId.has(id)) return 'a compressor is enabled twice'
    if (level > HIGHEST_LEVEL) return `a compressor has level ${level}, and zstd has none above ${HIGHEST_LEVEL}`
    if (dictionary !== undefined && !isUsable(dictionary)) return 'a dictionary cannot be used'
    byId.set(id, { id, level: Math.min(level, HIGHEST_USED), dictionary, minSize, maxSize })
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
    enableCustom(message) {
      const { length } = message.body
      if (!offer.zstd || !offer.training) return 'a dictionary is enabled that was not asked for'
      if (message.compressor < FIRST_CUSTOM) return 'a dictionary has an id of the presets'
      if (length > LARGEST_DICTIONARY) return `a dictionary of ${length} bytes is too large: ${LARGEST_DICTIONARY} are the most`
      if (customs === MOST_CUSTOM) return `more than ${MOST_CUSTOM} dictionaries are enabled at once`
      if (customBytes + length > MOST_CUSTOM_BYTES) return `dictionaries have more than ${MOST_CUSTOM_BYTES} bytes together, with those that are still needed`
      // A copy: the frame may be a part of something larger.
      const wrong = enable(message, Buffer.from(message.body))
      if (wrong !== undefined) return wrong
      customs++
      customBytes += length
      return undefined
    },
    disable({ compressor }) {
      const gone = byId.get(compressor)
      if (gone === undefined) return 'a compressor is disabled that is not there'
      byId.delete(compressor)
      sort()
      if (compressor < FIRST_CUSTOM) return undefined
      customs--
      inTurn(() => (customBytes -= gone.dictionary?.length ?? 0))
      return undefined
    },
    get: (id) => byId.get(id),
    choose: (size) => sorted.find(({ minSize, maxSize }) => minSize <= size && BigInt(size) < maxSize),
  }
}

/** One that claims to be trained, and is damaged, is found out when it is used, at any level. */
function isUsable(dictionary: Buffer): boolean {
  try {
    compress(NONE, LOWEST_LEVEL, dictionary)
    return true
  } catch {
    return false
  }
}
