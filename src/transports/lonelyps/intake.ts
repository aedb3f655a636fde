import { createHash, hash } from 'node:crypto'
import type { IncomingMessage } from 'node:http'
import { WaystationError } from '../../core/errors.ts'
import type { LargeBody } from '../../core/message.ts'
import { expectLargeBody } from '../../http/body-watch.ts'
import type { BodySource } from '../../http/body-source.ts'
import { createGatherer } from '../../http/body.ts'
import { SpoolFull, type Spool } from '../../http/spool.ts'
import { Refusal } from './refusals.ts'

/** A message as it came in, its hash checked. Whoever took it in lets go of `large` once. */
export interface Taken {
  readonly body: Buffer
  readonly large?: LargeBody
}

/** Takes in message bodies: into memory, or into the spool when they are large. */
export interface Intake {
  /**
   * Everything that is left of a body, which must be `length` bytes with this SHA-512.
   * @throws {Refusal} 400 when it is not; 503 when too much is on its way
   * @throws {WaystationError} `spool_full`
   */
  take(message: IncomingMessage, source: BodySource, length: bigint, sha512: Buffer): Promise<Taken>
  /** Everything that is left, at most `limit` bytes. @throws {Refusal} 413, 503 */
  rest(message: IncomingMessage, source: BodySource, limit: number): Promise<Buffer>
}

const NOTHING = Buffer.alloc(0)

/** @param bounds.spoolAbove bytes of a message in memory; `maxUnfinishedBytes` of all that are on their way into it */
export function createIntake(spool: Spool, bounds: { spoolAbove: number; maxSpoolBytes: number; maxUnfinishedBytes: number }): Intake {
  let onTheirWay = 0

  async function gather(source: BodySource, limit: number, tooMuch: number): Promise<Buffer> {
    const body = createGatherer()
    let held = 0
    try {
      for (;;) {
        const piece = await source.next()
        if (piece === undefined) return body.bytes()
        if (body.size + piece.length > limit) throw new Refusal(tooMuch)
        body.add(piece)
        onTheirWay += body.held - held
        held = body.held
        if (onTheirWay > bounds.maxUnfinishedBytes) throw new Refusal(503)
      }
    } finally {
      onTheirWay -= held
    }
  }

  async function store(source: BodySource, length: bigint, sha512: Buffer): Promise<Taken> {
    if (length > BigInt(bounds.maxSpoolBytes - spool.bytes)) throw new WaystationError('spool_full', `${length} bytes`)
    const file = await spool.create()
    try {
      const digest = createHash('sha512')
      for (let piece = await source.next(); piece !== undefined; piece = await source.next()) {
        if (BigInt(file.size + piece.length) > length) throw new Refusal(400)
        const written = file.write(piece)
        // The disk is at work meanwhile.
        digest.update(piece)
        await written
      }
      if (BigInt(file.size) !== length || !digest.digest().equals(sha512)) throw new Refusal(400)
      return { body: NOTHING, large: file.finish() }
    } finally {
      file.discard()
    }
  }

  return {
    async take(message, source, length, sha512) {
      if (length > BigInt(bounds.spoolAbove)) {
        expectLargeBody(message)
        return store(source, length, sha512).catch((error: unknown) => {
          throw error instanceof SpoolFull ? new WaystationError('spool_full', error.message, error) : error
        })
      }
      const body = await gather(source, Number(length), 400)
      if (body.length !== Number(length) || !hash('sha512', body, 'buffer').equals(sha512)) throw new Refusal(400)
      return { body }
    },
    rest(message, source, limit) {
      expectLargeBody(message)
      return gather(source, limit, 413)
    },
  }
}
