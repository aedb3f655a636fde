import type { IncomingMessage, ServerResponse } from 'node:http'
import { createBodyAccount, NO_CLIENT, type BodyAccount } from './body-account.ts'

export type BodyResult = Buffer | 'too_large' | 'aborted' | 'overloaded'

/** Reads request bodies, each bounded, and all that are on their way together. */
export interface BodyReader {
  /**
   * A whole body. A declared length above the limit is refused before a byte is read, and before a client that asked
   * (`Expect: 100-continue`) is told to go on.
   * @param client whose account it is booked on
   */
  read(request: IncomingMessage, response: ServerResponse, client?: string): Promise<BodyResult>
}

/**
 * @param limit bytes of one body
 * @param unfinished bytes of all bodies that have begun and not ended; or an account that is shared with others
 */
export function createBodyReader(limit: number, unfinished: number | BodyAccount): BodyReader {
  const account = typeof unfinished === 'number' ? createBodyAccount(unfinished) : unfinished

  return {
    read(request, response, client = NO_CLIENT) {
      // Whoever looked something up first may have missed that the client has gone.
      if (request.destroyed) return Promise.resolve('aborted')
      const declared = request.headers['content-length']
      if (declared !== undefined && Number(declared) > limit) return Promise.resolve('too_large')
      if (request.headers.expect?.toLowerCase() === '100-continue') response.writeContinue()
      return new Promise((resolve) => {
        const body = createGatherer()
        let booked = 0
        const end = (result: BodyResult): void => {
          if (booked > 0) account.give(client, booked)
          booked = 0
          body.clear()
          resolve(result)
        }
        const refuse = (why: 'too_large' | 'overloaded'): void => {
          request.off('data', onData)
          request.pause()
          end(why)
        }
        const onData = (chunk: Buffer): void => {
          if (body.size + chunk.length > limit) return refuse('too_large')
          body.add(chunk)
          const more = body.held - booked
          if (more > 0 && !account.take(client, more)) return refuse('overloaded')
          booked = body.held
        }
        request.on('data', onData)
        request.on('end', () => end(body.bytes()))
        request.on('error', () => end('aborted'))
        request.on('close', () => end('aborted'))
      })
    },
  }
}

const NOTHING: Buffer = Buffer.alloc(0)

/**
 * Puts pieces together in one buffer that grows by doubling. A list of pieces would do for honest clients; with HTTP chunks
 * of one byte each, the objects would weigh a hundred times what the limit on bytes allows.
 */
export function createGatherer(): { readonly size: number; readonly held: number; add(piece: Buffer): void; bytes(): Buffer; clear(): void } {
  let buffer = NOTHING
  let size = 0
  return {
    get size() { return size },
    get held() { return buffer.length },
    add(piece) {
      if (size === 0) {
        // Nearly every body comes in one piece, and is taken as it is.
        buffer = piece
        size = piece.length
        return
      }
      if (size + piece.length > buffer.length || buffer.length === size) {
        const grown = Buffer.allocUnsafeSlow(Math.max(1_024, 2 * (size + piece.length)))
        grown.set(buffer.subarray(0, size))
        buffer = grown
      }
      buffer.set(piece, size)
      size += piece.length
    },
    bytes: () => (buffer.length === size ? buffer : buffer.subarray(0, size)),
    clear() {
      buffer = NOTHING
      size = 0
    },
  }
}
