import { headerSize } from '../protocol/websocket/frame.ts'
import type { Message } from './message.ts'
import { fills } from './own-bytes.ts'

/**
 * The WebSocket frames of these messages, where they lie ready in memory one behind the other, as a burst that came over a
 * WebSocket does: nothing has to be copied then. `undefined` where they do not, or where they would keep much alive that
 * is not theirs.
 */
export function readyFrames(messages: readonly Message[]): Buffer | undefined {
  const [first] = messages
  if (first?.framed !== true) return undefined
  const { body } = first
  const memory = body.buffer
  const start = body.byteOffset - headerSize(body.length)
  let end = body.byteOffset + body.length
  for (let i = 1; i < messages.length; i++) {
    const { body: next, framed } = messages[i] as Message
    if (framed !== true || next.buffer !== memory || next.byteOffset !== end + headerSize(next.length)) return undefined
    end = next.byteOffset + next.length
  }
  const frames = Buffer.from(memory, start, end - start)
  return fills(frames) ? frames : undefined
}
