import { HEADER_BYTES, writeHeader } from './frame.ts'
import type { Extended } from './messages.ts'
import { binarySize, countSize, listSize, tupleHead, writeBinary, writeBinaryHead, writeCount, writeList, type Binary } from './write-term.ts'

/*
 * What a giver writes (`pony-express.md`, section 3, and `docs/protocols/pony-express.md`, "Between two Waystations").
 * Broadcasts and messages are asked for their size first and then written where the caller wants them, so that many go
 * into one buffer and no body is copied twice.
 */

const PUBSUB = tupleHead(2, 'pubsub')
const MESSAGE = tupleHead(7, 'message')
const READY = tupleHead(4, 'ready')
const GAP = tupleHead(6, 'gap')
const ALIVE = tupleHead(3, 'alive')
const REFUSED = tupleHead(2, 'refused')
/** Cookie, length, and the beginning of `{:pubsub, _}`, the length to be filled in. */
const PUBSUB_FRAME = framed(PUBSUB, 0)
const MESSAGE_FRAME = framed(MESSAGE, 0)

function framed(head: Buffer, rest: number): Buffer {
  const frame = Buffer.alloc(HEADER_BYTES + head.length + rest)
  head.copy(frame, writeHeader(frame, 0, head.length + rest))
  return frame
}

function begin(frame: Buffer, size: number, into: Buffer, at: number): number {
  into.set(frame, at)
  writeHeader(into, at, size - HEADER_BYTES)
  return at + frame.length
}

/** Bytes of the frame `{:pubsub, term}`. @param term in external term format, uncompressed, with its 131 */
export function pubsubSize(term: Buffer): number {
  return PUBSUB_FRAME.length + term.length - 1
}

export function writePubsub(term: Buffer, into: Buffer, at: number): number {
  const from = begin(PUBSUB_FRAME, pubsubSize(term), into, at)
  term.copy(into, from, 1)
  return from + term.length - 1
}

/** Bytes of the frame `{:pubsub, binary}`. */
export function pubsubBinarySize(body: Buffer): number {
  return PUBSUB_FRAME.length + binarySize(body)
}

export function writePubsubBinary(body: Buffer, into: Buffer, at: number): number {
  return writeBinary(body, into, begin(PUBSUB_FRAME, pubsubBinarySize(body), into, at))
}

/** A `RemoteMessage` as it is written. */
export interface MessageParts {
  readonly offset: number
  /** Topic and type: see `messageNames`. */
  readonly names: Buffer
  /** Whole milliseconds since 1970. */
  readonly time: number
  readonly via: readonly string[]
  readonly body: Buffer
}

/** Topic and type as they stand in the frame: the same for many messages, so that they need not be written for each. */
export function messageNames(topic: Binary, contentType: string): Buffer {
  const names = Buffer.allocUnsafeSlow(binarySize(topic) + binarySize(contentType))
  writeBinary(contentType, names, writeBinary(topic, names, 0))
  return names
}

/** Bytes of the frame `{:message, offset, topic, type, time, via, body}`. */
export function messageSize({ offset, names, time, via, body }: MessageParts): number {
  return MESSAGE_FRAME.length + countSize(offset) + names.length + countSize(time) + listSize(via) + binarySize(body)
}

/** @param size what `messageSize` said */
export function writeMessage(message: MessageParts, size: number, into: Buffer, from: number): number {
  let at = begin(MESSAGE_FRAME, size, into, from)
  at = writeCount(message.offset, into, at)
  into.set(message.names, at)
  at += message.names.length
  at = writeCount(message.time, into, at)
  at = writeList(message.via, into, at)
  at = writeBinaryHead(message.body.length, into, at)
  into.set(message.body, at)
  return at + message.body.length
}

/** A whole frame of whatever is said beside messages. */
export function extendedFrame(said: Exclude<Extended, { kind: 'message' }>): Buffer {
  switch (said.kind) {
    case 'ready': {
      const frame = framed(READY, binarySize(said.at.epoch) + countSize(said.at.offset) + binarySize(said.hub))
      writeBinary(said.hub, frame, writePlace(said.at, frame, HEADER_BYTES + READY.length))
      return frame
    }
    case 'gap': {
      const frame = framed(GAP, binarySize(said.to.epoch) + countSize(said.to.offset) + listSize(said.topics) + listSize(said.patterns) + listSize(said.via))
      const at = writePlace(said.to, frame, HEADER_BYTES + GAP.length)
      writeList(said.via, frame, writeList(said.patterns, frame, writeList(said.topics, frame, at)))
      return frame
    }
    case 'alive': {
      const frame = framed(ALIVE, binarySize(said.at.epoch) + countSize(said.at.offset))
      writePlace(said.at, frame, HEADER_BYTES + ALIVE.length)
      return frame
    }
    case 'refused': {
      const frame = framed(REFUSED, binarySize(said.why))
      writeBinary(said.why, frame, HEADER_BYTES + REFUSED.length)
      return frame
    }
    default: return said satisfies never
  }
}

function writePlace(place: { readonly epoch: string; readonly offset: number }, into: Buffer, at: number): number {
  return writeCount(place.offset, into, writeBinary(place.epoch, into, at))
}
