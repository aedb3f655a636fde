import type { IncomingMessage, ServerResponse } from 'node:http'

export type BodyResult = Buffer | 'too_large' | 'aborted'

/**
 * Reads a whole request body of at most `limit` bytes. A declared length above it is refused before a byte is read, and
 * before a client that asked (`Expect: 100-continue`) is told to go on.
 */
export function readBody(request: IncomingMessage, response: ServerResponse, limit: number): Promise<BodyResult> {
  const declared = request.headers['content-length']
  if (declared !== undefined && Number(declared) > limit) return Promise.resolve('too_large')
  if (request.headers.expect?.toLowerCase() === '100-continue') response.writeContinue()
  return new Promise((resolve) => {
    const chunks: Buffer[] = []
    let size = 0
    const onData = (chunk: Buffer): void => {
      size += chunk.length
      if (size <= limit) {
        chunks.push(chunk)
        return
      }
      request.off('data', onData)
      request.pause()
      resolve('too_large')
    }
    request.on('data', onData)
    request.on('end', () => resolve(chunks.length === 1 ? (chunks[0] as Buffer) : Buffer.concat(chunks, size)))
    request.on('error', () => resolve('aborted'))
    request.on('close', () => resolve('aborted'))
  })
}
