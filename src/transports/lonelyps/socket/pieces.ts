import type { LargeBody } from '../../../core/message.ts'
import type { Later } from './later.ts'

/** A long body, bit by bit. */
export interface Pieces {
  /** The next bytes, at least one and at most `most`. Rejects when there are none left, or the disk fails. */
  next(most: number): Later<Buffer>
}

const PIECE = 131_072

/** @param body of a message in memory; empty when it lies on disk */
export function piecesOf({ body, large }: { readonly body: Buffer; readonly large?: LargeBody | undefined }): Pieces {
  return large === undefined ? fromMemory(body) : fromDisk(large)
}

function fromMemory(body: Buffer): Pieces {
  let at = 0
  return {
    next(most) {
      const piece = body.subarray(at, at + Math.min(most, PIECE))
      at += piece.length
      return piece
    },
  }
}

function fromDisk(large: LargeBody): Pieces {
  const source = large.read()[Symbol.asyncIterator]()
  let rest = Buffer.alloc(0)
  return {
    async next(most) {
      if (rest.length === 0) {
        const { value, done } = await source.next()
        if (done === true) throw new Error('the message is shorter than it was')
        // The source fills the same memory again.
        rest = Buffer.from(value)
      }
      const piece = rest.subarray(0, most)
      rest = rest.subarray(piece.length)
      return piece
    },
  }
}
