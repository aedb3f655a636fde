import type { IncomingMessage, ServerResponse } from 'node:http'
import { createBodyAccount, NO_CLIENT, type BodyAccount } from './body-account.ts'
import { createGatherer } from './body.ts'

/** More is on its way than there may be. */
export class BodyOverload extends Error {
  override readonly name = 'BodyOverload'
}

/** A request body, piece by piece, as fast as it is asked for. */
export interface BodySource {
  /** The next piece; `undefined` at the end. Rejects when the request breaks off. */
  next(): Promise<Buffer | undefined>
  /**
   * The body's beginning, up to where `isEnough` says so of all that has come, or its end. Booked until it is there.
   * @throws {BodyOverload}
   */
  head(isEnough: (bytes: Buffer) => boolean): Promise<Buffer>
  /** Gives bytes back that were read too far. */
  unread(bytes: Buffer): void
  /** Everything that is left; `undefined` when it is more than `limit`. Booked until it is there. @throws {BodyOverload} */
  rest(limit: number): Promise<Buffer | undefined>
}

/** Begins to read a body; a client that asked (`Expect: 100-continue`) is told to go on. */
export function createBodySource(request: IncomingMessage, response: ServerResponse, account: BodyAccount = createBodyAccount(Infinity), client = NO_CLIENT): BodySource {
  if (request.headers.expect?.toLowerCase() === '100-continue') response.writeContinue()
  const pieces = request.iterator({ destroyOnReturn: false })
  let pushed: Buffer | undefined

  async function next(): Promise<Buffer | undefined> {
    if (pushed !== undefined) {
      const piece = pushed
      pushed = undefined
      return piece
    }
    const step = await pieces.next()
    return step.done === true ? undefined : (step.value as Buffer)
  }

  /** Gathers until `until` says what comes of it, or the body ends. */
  async function gather<T>(until: (bytes: Buffer) => T | undefined, atEnd: (bytes: Buffer) => T): Promise<T> {
    const gathered = createGatherer()
    let booked = 0
    try {
      for (;;) {
        const piece = await next()
        if (piece === undefined) return atEnd(gathered.bytes())
        gathered.add(piece)
        const more = gathered.held - booked
        if (more > 0 && !account.take(client, more)) throw new BodyOverload()
        booked = gathered.held
        const found = until(gathered.bytes())
        if (found !== undefined) return found
      }
    } finally {
      account.give(client, booked)
    }
  }

  return {
    next,
    head: (isEnough) => gather((bytes) => (isEnough(bytes) ? bytes : undefined), (bytes) => bytes),
    unread(bytes) {
      if (bytes.length > 0) pushed = bytes
    },
    async rest(limit) {
      const found = await gather<Buffer | 'too_much'>((bytes) => (bytes.length > limit ? 'too_much' : undefined), (bytes) => bytes)
      return found === 'too_much' ? undefined : found
    },
  }
}
