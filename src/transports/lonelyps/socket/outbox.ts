import { encodedOnce, type Message } from '../../../core/message.ts'
import { topicToBytes } from '../../../core/topic.ts'
import { BINARY, frame } from '../../../protocol/websocket/frame.ts'
import { claims } from '../../../protocol/lonelyps/claims.ts'
import type { Prover } from '../../../protocol/lonelyps/prover.ts'
import type { HeaderForm, MessageHead, ToSubscriber } from '../../../protocol/lonelyps/stateful/messages.ts'
import { encodeToSubscriber } from '../../../protocol/lonelyps/stateful/to-subscriber.ts'
import { createAwaited, type Awaited } from './awaited.ts'
import type { Content } from './contents.ts'
import type { Counters } from './counters.ts'
import type { Later } from './later.ts'
import { sizeOf } from './memory.ts'
import { piecesOf } from './pieces.ts'
import type { Writer } from './writer.ts'

/**
 * Everything that goes to one subscriber unasked, in one order: messages in parts, and what is said in between. It is
 * sent as the subscriber acknowledges what it got (lonelyps, sections 4.11 and 4.14).
 */
export interface Outbox {
  /** Messages that wait, and their bytes in memory. */
  readonly waiting: number
  readonly bytes: number
  /** Parts that are not acknowledged. */
  readonly unacknowledged: number
  push(message: Message): void
  /** Something else, once all before it is out. @param size bytes of the sockets' memory that it has while it waits */
  say(write: (url: string) => void, size: number): void
  readonly awaited: Awaited
  /** Sends what may be sent. To be called when something was acknowledged. */
  pump(): void
  /** Lets go of everything. */
  close(): void
}

export interface OutboxParts {
  readonly writer: Writer
  readonly room: () => Promise<void> | undefined
  readonly counters: Counters
  readonly prover: Prover
  readonly form: HeaderForm
  readonly bounds: { readonly maxPartBytes: number; readonly maxUnacknowledged: number; readonly maxPendingBytes: number; readonly maxParts: number }
  /** A message as this socket is to get it. */
  readonly prepare: (message: Message) => Later<Content>
  /** The text of the authorization, where it is the same for all messages and all sockets. */
  readonly sameForAll: string | undefined
  /** Bytes of a message that no longer waits. */
  readonly left: (bytes: number) => void
  readonly sent: (message: Message) => void
  /** A message that cannot be sent at all. */
  readonly unsendable: (message: Message) => void
  /** It went wrong in the middle of a message. */
  readonly failed: (error: unknown) => void
}

type Item = { readonly message: Message; readonly size: number } | { readonly write: (url: string) => void; readonly size: number }

const NO_TRACING = Buffer.alloc(0)
/** What is not longer goes out as one frame. */
const SMALL = 65_536
/** More than all headers of a first part, but for its topic and a token. */
const HEADERS = 1_024
/** A part holds so many bytes of the message, however long its headers are. */
const LEAST_PART = 512
const IDENTIFIER_BYTES = 8

export function createOutbox(parts: OutboxParts): Outbox {
  const { writer, counters, prover, form, bounds } = parts
  const awaited = createAwaited()
  let row: Item[] = []
  let begun = 0
  let bytes = 0
  let busy = false
  let closed = false
  const most = bounds.maxUnacknowledged === 0 ? Infinity : bounds.maxUnacknowledged
  let toldRoom: (() => void) | undefined

  function push(item: Item): void {
    row.push(item)
    bytes += item.size
    pump()
  }

  function pump(): void {
    if (toldRoom !== undefined && awaited.size < most) toldRoom()
    while (!busy && !closed && begun < row.length) {
      const item = row[begun] as Item
      if ('message' in item && awaited.size >= most) return
      if (writer.pendingBytes > bounds.maxPendingBytes && !hasRoom()) return
      took()
      if ('write' in item) {
        item.write(counters.broadcaster())
        continue
      }
      try {
        const content = parts.prepare(item.message)
        if (content instanceof Promise || !fitsOnePart(item.message, content)) return later(item.message, content)
        whole(item.message, content)
      } catch (error) {
        return parts.failed(error)
      }
    }
  }

  function took(): void {
    const { size } = row[begun++] as Item
    bytes -= size
    parts.left(size)
    if (begun < 64 || begun < row.length / 2) return
    row = row.slice(begun)
    begun = 0
  }

  /** Where there is none, it goes on by itself when there is. */
  function hasRoom(): boolean {
    writer.flush()
    const room = parts.room()
    if (room === undefined) return true
    busy = true
    room.then(() => {
      busy = false
      pump()
    }, () => {})
    return false
  }

  function later(message: Message, prepared: Later<Content>): void {
    busy = true
    inParts(message, prepared).then(() => {
      busy = false
      pump()
    }, (error: unknown) => {
      if (!closed) parts.failed(error)
    })
  }

  function fitsOnePart({ topic }: Message, { body, large }: Content): boolean {
    const most = HEADERS + 3 * topic.length + (parts.sameForAll?.length ?? 0) + body.length
    return large === undefined && body.length <= SMALL && most <= bounds.maxPartBytes
  }

  function whole(message: Message, content: Content): void {
    const identifier = identifierOf(message)
    const { sameForAll } = parts
    const url = counters.broadcaster()
    if (sameForAll !== undefined && content.key !== undefined) {
      writer.raw(encodedOnce(message, `lonelyps ${form} ${content.key}`, () => {
        const head = encodeToSubscriber(first(identifier, content, headOf(message, content), sameForAll === '' ? undefined : sameForAll), form)
        return frame(BINARY, Buffer.concat([head, content.body]))
      }))
    } else {
      const head = headOf(message, content)
      writer.send(encodeToSubscriber(first(identifier, content, head, authorize(url, identifier, head)), form), content.body)
    }
    awaited.add({ identifier, part: 0, isLast: true })
    parts.sent(message)
  }

  async function inParts(message: Message, prepared: Later<Content>): Promise<void> {
    let content: Content | undefined
    try {
      content = await prepared
      const identifier = identifierOf(message)
      const head = headOf(message, content)
      const pieces = piecesOf(content)
      const url = counters.broadcaster()
      let left = content.size
      for (let part = 0; part === 0 || left > 0; part++) {
        await slot()
        if (closed) return
        const authorization = authorize(url, identifier, head)
        const spoken: ToSubscriber = part === 0
          ? first(identifier, content, head, authorization)
          : { type: 'receive_stream', authorization, tracing: NO_TRACING, identifier, part, head: undefined, body: NO_TRACING }
        const bytesBefore = encodeToSubscriber(spoken, form)
        const size = Math.min(left, Math.max(LEAST_PART, bounds.maxPartBytes - bytesBefore.length))
        left -= size
        awaited.add({ identifier, part, isLast: left === 0 })
        await writer.stream(bytesBefore, size, pieces)
      }
      parts.sent(message)
    } finally {
      content?.letGo()
      message.large?.letGo()
    }
  }

  /** Waits until another part may go out. */
  async function slot(): Promise<void> {
    while (awaited.size >= most && !closed) {
      await new Promise<void>((resolve) => (toldRoom = resolve))
      toldRoom = undefined
    }
  }

  function headOf(message: Message, { compressor, size, decompressed, sha512 }: Content): MessageHead {
    return { topic: topicToBytes(message.topic), compressor, compressedLength: BigInt(size), decompressedLength: BigInt(decompressed), sha512 }
  }

  function first(identifier: Buffer, content: Content, head: MessageHead, authorization: string | undefined): ToSubscriber {
    return { type: 'receive_stream', authorization, tracing: NO_TRACING, identifier, part: 0, head, body: content.body }
  }

  function authorize(url: string, identifier: Buffer, { topic, sha512 }: MessageHead): string | undefined {
    return prover(claims.receive({ url, topic, identifier, sha512, tracing: NO_TRACING }))
  }

  return {
    get waiting() { return row.length - begun },
    get bytes() { return bytes },
    get unacknowledged() { return awaited.size },
    awaited,
    push(message) {
      const size = sizeOf(message)
      if (closed) return parts.left(size)
      if ((message.large?.size ?? message.body.length) > bounds.maxParts * Math.max(LEAST_PART, bounds.maxPartBytes - HEADERS)) {
        parts.left(size)
        return parts.unsendable(message)
      }
      message.large?.hold()
      push({ message, size })
    },
    say(write, size) {
      if (closed) parts.left(size)
      else push({ write, size })
    },
    pump,
    close() {
      if (closed) return
      closed = true
      toldRoom?.()
      for (; begun < row.length; begun++) {
        const item = row[begun] as Item
        if ('message' in item) item.message.large?.letGo()
      }
      parts.left(bytes)
      row = []
      begun = 0
      bytes = 0
    },
  }
}

/** The place in the hub's order: it never comes twice on one connection. */
function identifierOf({ offset }: Message): Buffer {
  const identifier = Buffer.allocUnsafe(IDENTIFIER_BYTES)
  identifier.writeBigUInt64BE(BigInt(offset))
  return identifier
}
