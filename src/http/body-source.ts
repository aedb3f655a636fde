import type { IncomingMessage, ServerResponse } from 'node:http'

/** A request body, piece by piece, as fast as it is asked for. */
export interface BodySource {
  /** The next piece; `undefined` at the end. Rejects when the request breaks off. */
  next(): Promise<Buffer | undefined>
  /** The body's beginning, up to where `isEnough` says so of all that has come, or its end. */
  head(isEnough: (bytes: Buffer) => boolean): Promise<Buffer>
  /** Gives bytes back that were read too far. */
  unread(bytes: Buffer): void
}

/** Begins to read a body; a client that asked (`Expect: 100-continue`) is told to go on. */
export function createBodySource(request: IncomingMessage, response: ServerResponse): BodySource {
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

  return {
    next,
    async head(isEnough) {
      let bytes: Buffer = Buffer.alloc(0)
      for (;;) {
        const piece = await next()
        if (piece === undefined) return bytes
        bytes = bytes.length === 0 ? piece : Buffer.concat([bytes, piece])
        if (isEnough(bytes)) return bytes
      }
    },
    unread(bytes) {
      if (bytes.length > 0) pushed = bytes
    },
  }
}
