import { createHash } from 'node:crypto'
import { pipeline } from 'node:stream/promises'
import type { LargeBody, Message } from '../../../core/message.ts'
import type { Spool } from '../../../http/spool.ts'
import { compress, compressing, compressLater } from '../../../protocol/lonelyps/zstd.ts'

/** Compressors from this id on have a dictionary that was made for one connection; those below are presets (section 4.13). */
export const FIRST_CUSTOM = 65_536

/** A compressor that may be used for sending. */
export interface Active {
  readonly id: number
  readonly dictionary: Buffer | undefined
  readonly level: number
}

/** A compressed body, with what is said of it on the wire. */
export interface CompressedBytes {
  readonly bytes: Buffer
  readonly large?: never
  readonly size: number
  /** Of the compressed bytes. */
  readonly sha512: Buffer
}

/** The same on disk, when the message lies there. It is held once for whoever asked, and he MUST let go of it once. */
export interface CompressedLarge {
  readonly bytes?: never
  readonly large: LargeBody
  readonly size: number
  readonly sha512: Buffer
}

export type Compressed = CompressedBytes | CompressedLarge

/** Compresses each message at most once per compressor, for all connections that share it. */
export interface SharedCompression {
  /**
   * The message's body. At once when it is at most 16 KiB, off the event loop when it is larger; a large one becomes
   * large again, held for the caller. The promise is the same for all who ask meanwhile.
   * A custom compressor belongs to one connection: its results are not kept, for kept messages would keep them too.
   * @throws what zstd throws when a dictionary is damaged
   * Rejects with what the disk says of a large one ({@link SpoolFull}, or that it cannot be read); asking again tries again.
   */
  compressed(message: Message, active: Active): Compressed | Promise<Compressed>
}

/** Bytes that the event loop compresses itself: sending them to another thread and back would take as long. */
const MOST_AT_ONCE = 16_384

/** @param spool where large ones go */
export function createSharedCompression(spool: Spool): SharedCompression {
  const made = new WeakMap<Message, Map<string, CompressedBytes | Promise<CompressedBytes>>>()
  const madeLarge = new WeakMap<Message, Map<string, SharedLarge>>()

  function small(message: Message, active: Active): CompressedBytes | Promise<CompressedBytes> {
    if (active.id >= FIRST_CUSTOM) return make(message.body, active)
    const forms = entry(made, message)
    const key = keyOf(active)
    const known = forms.get(key)
    if (known !== undefined) return known
    const form = make(message.body, active)
    forms.set(key, form)
    if (form instanceof Promise) {
      // What is there at once from now on need not be waited for.
      form.then((done) => forms.set(key, done), () => forms.delete(key))
    }
    return form
  }

  function large(message: Message, body: LargeBody, active: Active): Promise<CompressedLarge> {
    if (active.id >= FIRST_CUSTOM) return shareLarge(spool, body, active, () => {}).forOneMore()
    const forms = entry(madeLarge, message)
    const key = keyOf(active)
    let form = forms.get(key)
    if (form === undefined) forms.set(key, (form = shareLarge(spool, body, active, () => forms.delete(key))))
    return form.forOneMore()
  }

  return {
    compressed: (message, active) => (message.large === undefined ? small(message, active) : large(message, message.large, active)),
  }
}

/** Presets and what has none are the same for everyone: the id and the level tell them apart. */
function keyOf({ id, level }: Active): string {
  return `${id}:${level}`
}

function entry<T>(all: WeakMap<Message, Map<string, T>>, message: Message): Map<string, T> {
  let forms = all.get(message)
  if (forms === undefined) all.set(message, (forms = new Map()))
  return forms
}

function make(body: Buffer, { level, dictionary }: Active): CompressedBytes | Promise<CompressedBytes> {
  return body.length <= MOST_AT_ONCE ? described(compress(body, level, dictionary)) : compressLater(body, level, dictionary).then(described)
}

function described(bytes: Buffer): CompressedBytes {
  return { bytes, size: bytes.length, sha512: createHash('sha512').update(bytes).digest() }
}

interface SharedLarge {
  /** Held once more. */
  forOneMore(): Promise<CompressedLarge>
}

/** @param gone nobody holds it any more, or it could not be made */
function shareLarge(spool: Spool, body: LargeBody, active: Active, gone: () => void): SharedLarge {
  let holders = 0
  const making = spoolCompressed(spool, body, active).then(({ body: spooled, sha512 }) => ({
    large: {
      size: spooled.size,
      hold() {
        holders++
      },
      letGo() {
        if (--holders !== 0) return
        gone()
        spooled.letGo()
      },
      read: () => spooled.read(),
    },
    size: spooled.size,
    sha512,
  }))
  making.catch(gone)
  return {
    forOneMore() {
      // Counted before it is there: else the first to let go would free what another is about to get.
      holders++
      return making
    },
  }
}

async function spoolCompressed(spool: Spool, body: LargeBody, { level, dictionary }: Active): Promise<{ body: LargeBody; sha512: Buffer }> {
  body.hold()
  try {
    const file = await spool.create()
    const hash = createHash('sha512')
    try {
      await pipeline(copies(body), compressing(level, dictionary, body.size), async (frame: AsyncIterable<Buffer>) => {
        for await (const piece of frame) {
          hash.update(piece)
          await file.write(piece)
        }
      })
    } catch (error) {
      file.discard()
      throw error
    }
    return { body: file.finish(), sha512: hash.digest() }
  } finally {
    body.letGo()
  }
}

/** A piece is valid only until the next is asked for, and the pipeline asks while zstd is still at the last one. */
async function* copies(body: LargeBody): AsyncGenerator<Buffer> {
  for await (const piece of body.read()) yield Buffer.from(piece)
}
