import type { Encoder } from '../../core/fan-out.ts'
import { readyFrames } from '../../core/ready.ts'
import { BINARY, headerSize, TEXT, writeHeader } from '../../protocol/websocket/frame.ts'

/** wspubsub, section 3.1: the body alone, one unfragmented frame, text or binary as it was published. */
export const plain: Encoder = {
  size: ({ body }) => headerSize(body.length) + body.length,
  write({ body, text }, into, at) {
    const behind = writeHeader(into, at, text ? TEXT : BINARY, body.length)
    into.set(body, behind)
    return behind + body.length
  },
  ready: readyFrames,
  // The protocol has no word for it.
  gap: () => undefined,
}
