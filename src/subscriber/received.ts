import { Readable } from 'node:stream'
import { WaystationError } from '../core/errors.ts'
import type { LargeBody } from '../core/message.ts'
import { topicToBytes, type Topic } from '../core/topic.ts'

/** One message. Its body is there until the feed is asked for its next message, or ends; a reading that has begun goes on. */
export interface ReceivedMessage {
  /** The topic as text; bytes that are no UTF-8 stand in it as lone surrogates. */
  readonly topic: string
  readonly topicBytes: Buffer
  /** Bytes of the body. */
  readonly size: number
  /** The whole body in memory. @throws {WaystationError} `gap` when the message was let go */
  bytes(): Promise<Buffer>
  /** The same as UTF-8. */
  text(): Promise<string>
  /** The body piece by piece; a large one comes from disk. Fails with `gap` when the message was let go. */
  stream(): Readable
}

/** A message's body: in memory, or on disk when `large` is there. */
export interface Content {
  readonly body: Buffer
  readonly large?: LargeBody
}

/** What a feed hands out, and how it lets go of it, once. */
export function createReceived(topic: Topic, { body, large }: Content): { message: ReceivedMessage; letGo(): void } {
  let there = true
  large?.hold()

  async function* pieces(): AsyncGenerator<Buffer> {
    if (large === undefined) {
      if (body.length > 0) yield body
      return
    }
    if (!there) throw new WaystationError('gap', 'the message was let go; read it before asking for the next')
    large.hold()
    try {
      yield* large.read()
    } finally {
      large.letGo()
    }
  }

  async function bytes(): Promise<Buffer> {
    if (large === undefined) return body
    const whole = Buffer.allocUnsafeSlow(large.size)
    let at = 0
    for await (const piece of pieces()) at += piece.copy(whole, at)
    return whole
  }

  const message: ReceivedMessage = {
    topic,
    get topicBytes() { return topicToBytes(topic) },
    size: large?.size ?? body.length,
    bytes,
    text: async () => (await bytes()).toString(),
    // A stream reads ahead, and a piece is valid only until the next is asked for.
    stream: () => Readable.from(copies(pieces()), { objectMode: false }),
  }
  return {
    message,
    letGo() {
      there = false
      large?.letGo()
    },
  }
}

async function* copies(pieces: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
  for await (const piece of pieces) yield Buffer.from(piece)
}
