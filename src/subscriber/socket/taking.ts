import { createHash, hash } from 'node:crypto'
import type { MessageHead } from '../../protocol/lonelyps/stateful/messages.ts'
import { decompress, decompressLater } from '../../protocol/lonelyps/zstd.ts'
import type { Spool } from '../../http/spool.ts'
import type { Content } from '../received.ts'
import type { Compressor } from './compressors.ts'
import { spoolPieces } from './spooling.ts'

/** Why a message was not taken in: `full` is our own lack of room, all else ends the connection. */
export type Flaw = 'digest' | 'compression' | 'full'

/** A message that was taken in. Whoever gets it calls `done` once; a large content is held once. */
export interface Taken {
  readonly content: Content
  done(): void
}

/** A message whose parts are coming. */
export interface Assembly {
  add(part: Buffer): Promise<void> | undefined
  finish(): Promise<Taken | Flaw>
  /** Nothing more comes. Does nothing after `finish`. */
  discard(): void
}

/** Takes in messages by parts: into memory, or on disk when they are large. What is not let go of is counted. */
export interface Taking {
  /** Messages that are coming or waiting for a feed, and their bytes in memory. */
  readonly waiting: number
  readonly bytes: number
  /** A small message of one part, at once; `later` when that is not possible. */
  now(head: MessageHead, body: Buffer, compressor: Compressor | undefined): Taken | Flaw | 'later'
  /** Waits for room; `undefined` when the connection ended meanwhile. */
  begin(head: MessageHead, compressor: Compressor | undefined, over: AbortSignal): Promise<Assembly | undefined>
}

export interface TakingBounds {
  /** Bytes of one message in memory; messages; their bytes in memory. */
  readonly spoolAbove: number
  readonly waiting: number
  readonly waitingBytes: number
  /** Bytes that a zstd frame may ask to look back. */
  readonly maxWindow: number
}

/** Bytes up to which hashing and decompressing are not worth a thread. */
const AT_ONCE = 65_536
const NOTHING = Buffer.alloc(0)

export function createTaking(spool: Spool, bounds: TakingBounds): Taking {
  let waiting = 0
  let bytes = 0
  const queue: { size: number; wake: () => void }[] = []

  function fits(size: number): boolean {
    return waiting === 0 || (waiting < bounds.waiting && bytes + size <= bounds.waitingBytes)
  }

  /** Counts it; gives what uncounts it, once. */
  function reserve(size: number): () => void {
    waiting++
    bytes += size
    let is = true
    return () => {
      if (!is) return
      is = false
      waiting--
      bytes -= size
      for (let first = queue[0]; first !== undefined && fits(first.size); first = queue[0]) {
        queue.shift()
        first.wake()
      }
    }
  }

  async function room(size: number, over: AbortSignal): Promise<(() => void) | undefined> {
    if (over.aborted) return undefined
    if (queue.length === 0 && fits(size)) return reserve(size)
    return new Promise((resolve) => {
      const one = { size, wake: () => (over.removeEventListener('abort', end), resolve(reserve(size))) }
      const end = (): void => {
        queue.splice(queue.indexOf(one), 1)
        resolve(undefined)
      }
      queue.push(one)
      over.addEventListener('abort', end, { once: true })
    })
  }

  function inMemory(head: MessageHead, compressor: Compressor | undefined, release: () => void): Assembly {
    const gathering = createGathering(Number(head.compressedLength))
    return {
      add: gathering.add,
      async finish() {
        const sent = gathering.bytes
        if (!hash('sha512', sent, 'buffer').equals(head.sha512)) return (release(), 'digest')
        const body = compressor === undefined ? sent : await decompressLater(sent, Number(head.decompressedLength), bounds.maxWindow, compressor.dictionary)
        return body === undefined ? (release(), 'compression') : { content: { body }, done: release }
      },
      discard: release,
    }
  }

  function onDisk(head: MessageHead, compressor: Compressor | undefined, release: () => void): Assembly {
    const digest = createHash('sha512')
    const spooling = spoolPieces(spool, head.decompressedLength, compressor, bounds.maxWindow)
    return {
      async add(part) {
        const written = spooling.write(part)
        // The disk is at work meanwhile.
        digest.update(part)
        await written
      },
      async finish() {
        const large = await spooling.finish()
        const flaw = digest.digest().equals(head.sha512) ? undefined : 'digest' as const
        if (typeof large !== 'string' && flaw === undefined) return { content: { body: NOTHING, large }, done: release }
        if (typeof large !== 'string') large.letGo()
        release()
        return flaw ?? large as Flaw
      },
      discard() {
        spooling.discard()
        release()
      },
    }
  }

  return {
    get waiting() { return waiting },
    get bytes() { return bytes },
    now(head, body, compressor) {
      const plainSize = Number(head.decompressedLength)
      const size = Math.max(plainSize, body.length)
      if (size > AT_ONCE || size > bounds.spoolAbove || queue.length > 0 || !fits(size)) return 'later'
      if (!hash('sha512', body, 'buffer').equals(head.sha512)) return 'digest'
      const plain = compressor === undefined ? ownBytes(body) : decompress(body, plainSize, bounds.maxWindow, compressor.dictionary)
      return plain === undefined ? 'compression' : { content: { body: plain }, done: reserve(plain.length) }
    },
    async begin(head, compressor, over) {
      const most = head.compressedLength > head.decompressedLength ? head.compressedLength : head.decompressedLength
      const isLarge = most > BigInt(bounds.spoolAbove)
      const release = await room(isLarge ? 0 : Number(most), over)
      if (release === undefined) return undefined
      return isLarge ? onDisk(head, compressor, release) : inMemory(head, compressor, release)
    },
  }
}

/**
 * Parts in one piece. They are copied, because a part of one byte may have come with headers of a hundred thousand; not
 * so one that is the whole message.
 */
function createGathering(length: number): { readonly bytes: Buffer; add(part: Buffer): undefined } {
  let room: Buffer = NOTHING
  let size = 0
  return {
    get bytes() { return room },
    add(part) {
      const needed = size + part.length
      if (size === 0 && needed === length) room = ownBytes(part)
      else {
        if (needed > room.length) {
          const larger = Buffer.allocUnsafeSlow(Math.min(length, Math.max(needed, 2 * room.length)))
          room.copy(larger, 0, 0, size)
          room = larger
        }
        part.copy(room, size)
      }
      size = needed
    },
  }
}

/** Without the rest of what it came in. */
function ownBytes(body: Buffer): Buffer {
  return body.buffer.byteLength > 2 * body.length ? Buffer.from(body) : body
}
