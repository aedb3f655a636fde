import { isUtf8 } from 'node:buffer'
import type { FrameHandler, ReaderBounds } from './frame-handler.ts'
import { BINARY, headerSize, TEXT, writeHeader } from './frame.ts'
import { FIN, KEY_BYTES, keyPlace, MASKED, payloadLength } from './header.ts'
import { notText, OVER, UnfinishedMessage } from './unfinished-message.ts'
import { unmaskBytes, unmaskWords, wordsOf, WORTH_A_VIEW } from './unmask.ts'

export type { FrameHandler, ReaderBounds } from './frame-handler.ts'
export { UnfinishedMessage } from './unfinished-message.ts'

const WHOLE_TEXT = FIN | TEXT
const WHOLE_BINARY = FIN | BINARY
const SHORTEST_CLIENT_HEADER = 6

/**
 * Reads the next bytes that a client has sent behind the handshake (RFC 6455, sections 5 and 7.4). Writes to the chunk: the
 * messages that it gives stand in it. After `closing` or `broken` it must not be called again.
 * @param unfinished what the chunk before has left
 * @returns what is left to be handed in with the next chunk: the same object as long as the same message is on its way,
 * `undefined` when the chunk ends between messages or nothing more is read
 */
export function readFrames(chunk: Buffer, unfinished: UnfinishedMessage | undefined, bounds: ReaderBounds, handler: FrameHandler): UnfinishedMessage | undefined {
  let at = 0
  let message = unfinished
  for (;;) {
    if (message === undefined) {
      if (bounds.messages !== 'discarded') at = readWhole(chunk, at, bounds.maxFrameBytes, handler)
      if (at === OVER || at === chunk.length) return undefined
      message = new UnfinishedMessage()
    }
    at = message.take(chunk, at, bounds, handler)
    if (at === OVER) return undefined
    if (!message.ended) return message
    message = undefined
  }
}

/**
 * The fast way, for messages of one frame that have come whole, as nearly all do. They are unmasked where they are; behind the
 * first one each moves down, so that its header as a server sends it ends the place of the one before. A client's header is
 * always longer than that.
 * @returns the place of what is anything else, or `OVER`
 */
function readWhole(chunk: Buffer, from: number, maxFrameBytes: number, handler: FrameHandler): number {
  const { length: end } = chunk
  const words = end - from < WORTH_A_VIEW ? undefined : wordsOf(chunk)
  let at = from
  /** Behind the message before. */
  let to = -1
  while (end - at >= SHORTEST_CLIENT_HEADER) {
    const first = chunk[at] as number
    const second = chunk[at + 1] as number
    if ((first !== WHOLE_TEXT && first !== WHOLE_BINARY) || second < MASKED) break
    const keyAt = at + keyPlace(second)
    const begin = keyAt + KEY_BYTES
    if (begin > end) break
    const length = payloadLength(chunk, at)
    const behind = begin + length
    if (behind > end || length > maxFrameBytes) break
    const key = (chunk[keyAt] as number) | ((chunk[keyAt + 1] as number) << 8) | ((chunk[keyAt + 2] as number) << 16) | ((chunk[keyAt + 3] as number) << 24)
    if (to < 0) to = begin - headerSize(length)
    to = writeHeader(chunk, to, first & 0x0f, length)
    const high = words === undefined ? unmaskBytes(chunk, begin, chunk, to, length, key) : unmaskWords(words, begin, words, to, length, key)
    const payload = chunk.subarray(to, to + length)
    if (high !== 0 && first === WHOLE_TEXT && !isUtf8(payload)) return notText(handler)
    handler.message(payload, first === WHOLE_BINARY)
    to += length
    at = behind
  }
  return at
}
