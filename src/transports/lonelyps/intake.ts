import { hash } from 'node:crypto'
import type { IncomingMessage } from 'node:http'
import { WaystationError } from '../../core/errors.ts'
import type { LargeBody } from '../../core/message.ts'
import { expectLargeBody } from '../../http/body-watch.ts'
import type { BodySource } from '../../http/body-source.ts'
import { spoolBody } from '../../http/spool-body.ts'
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
   * @throws {Refusal} 400 when it is not
   * @throws {BodyOverload}
   * @throws {WaystationError} `spool_full`
   */
  take(message: IncomingMessage, source: BodySource, length: bigint, sha512: Buffer): Promise<Taken>
  /** Everything that is left, at most `limit` bytes. @throws {Refusal} 413. @throws {BodyOverload} */
  rest(message: IncomingMessage, source: BodySource, limit: number): Promise<Buffer>
}

const NOTHING = Buffer.alloc(0)

/** @param bounds.spoolAbove bytes of a message in memory; a larger one goes to the spool */
export function createIntake(spool: Spool, bounds: { spoolAbove: number; maxSpoolBytes: number }): Intake {
  async function gather(source: BodySource, limit: number, tooMuch: number): Promise<Buffer> {
    const body = await source.rest(limit)
    if (body === undefined) throw new Refusal(tooMuch)
    return body
  }

  async function store(source: BodySource, length: bigint, sha512: Buffer): Promise<Taken> {
    if (length > BigInt(bounds.maxSpoolBytes - spool.bytes)) throw new WaystationError('spool_full', `${length} bytes`)
    const large = await spoolBody(spool, source, length, sha512)
    if (typeof large === 'string') throw new Refusal(400)
    return { body: NOTHING, large }
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
