import { hash } from 'node:crypto'
import type { IncomingMessage } from 'node:http'
import { expectLargeBody } from '../http/body-watch.ts'
import type { BodySource } from '../http/body-source.ts'
import { createGatherer } from '../http/body.ts'
import { spoolBody } from '../http/spool-body.ts'
import { SpoolFull, type Spool } from '../http/spool.ts'
import type { Content } from './received.ts'

/** Why a message was not taken in: `length` and `digest` are the sender's, `full` is ours. */
export type Flaw = 'length' | 'digest' | 'full'

/** Takes in the messages of webhooks: into memory, or on disk when they are large. */
export interface Intake {
  /** Bytes of messages in memory that are not let go. */
  readonly bytes: number
  /** All that is left of the body. Whoever gets content calls `done` once, and lets go of `large`. Rejects when the request breaks off. */
  take(message: IncomingMessage, source: BodySource, length: bigint, sha512: Buffer): Promise<Flaw | { content: Content; done(): void }>
}

const NOTHING = Buffer.alloc(0)

/** @param bounds bytes: `spoolAbove` of one message in memory, `waitingBytes` of all of them */
export function createIntake(spool: Spool, bounds: { spoolAbove: number; waitingBytes: number; spoolBytes: number }): Intake {
  let bytes = 0

  async function gather(source: BodySource, length: number, sha512: Buffer): Promise<Buffer | Flaw> {
    const body = createGatherer()
    for (let piece = await source.next(); piece !== undefined; piece = await source.next()) {
      if (body.size + piece.length > length) return 'length'
      body.add(piece)
    }
    if (body.size !== length) return 'length'
    return hash('sha512', body.bytes(), 'buffer').equals(sha512) ? body.bytes() : 'digest'
  }

  async function store(source: BodySource, length: bigint, sha512: Buffer): Promise<Content | Flaw> {
    if (length > BigInt(bounds.spoolBytes - spool.bytes)) return 'full'
    const large = await spoolBody(spool, source, length, sha512)
    return typeof large === 'string' ? large : { body: NOTHING, large }
  }

  return {
    get bytes() { return bytes },
    async take(message, source, length, sha512) {
      if (length > BigInt(bounds.spoolAbove)) {
        expectLargeBody(message)
        const stored = await store(source, length, sha512).catch((error: unknown) => {
          if (error instanceof SpoolFull) return 'full' as const
          throw error
        })
        return typeof stored === 'string' ? stored : { content: stored, done() {} }
      }
      // Set aside before it comes: many that come at once must not fill the memory.
      const size = Number(length)
      if (bytes + size > bounds.waitingBytes) return 'full'
      bytes += size
      let kept = false
      try {
        const body = await gather(source, size, sha512)
        if (typeof body === 'string') return body
        kept = true
        return { content: { body }, done: () => void (bytes -= size) }
      } finally {
        if (!kept) bytes -= size
      }
    },
  }
}
