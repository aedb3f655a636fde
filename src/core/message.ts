import { isUtf8 } from 'node:buffer'
import type { Cursor } from './cursor.ts'
import type { Interest } from './interest.ts'
import type { Topic } from './topic.ts'

/**
 * A body that is too large for memory and lies on disk. Whoever needs it beyond the call in which it got it holds it,
 * and lets go once; the last to let go frees the disk.
 */
export interface LargeBody {
  /** Bytes. */
  readonly size: number
  hold(): void
  letGo(): void
  /** The bytes from the beginning, piece by piece; a piece is valid until the next is asked for. Rejects when the disk fails. */
  read(): AsyncIterable<Buffer>
}

/** What a publisher hands in. */
export interface Draft {
  readonly topic: Topic
  /** Empty when the body is large. */
  readonly body: Buffer
  readonly large?: LargeBody
  /** The SHA-512 of the body, where the publisher has stated it and it was checked. */
  readonly sha512?: Buffer
  /** It came from another hub that shares our registry, and has sent the webhooks. */
  readonly relayed?: true
  /** A media type; it travels with the message and is not interpreted here. */
  readonly contentType: string
  /** Whether the body is valid UTF-8, so that it may travel as text. Whoever parsed the body knows. */
  readonly text: boolean
  /** Whether the header of the body's WebSocket frame, text or binary as `text` says, stands right before it in memory, as a server sends it. */
  readonly framed?: boolean
  /** The Erlang term that the body shows, in external term format with the 131 before it. */
  readonly term?: Buffer
  /** Where it has come through: epochs of hubs, and names of peers such as `cn:NAME` and `ip:ADDRESS`. */
  readonly via?: readonly string[]
}

/** A draft that has its place in the one order. Immutable; `body` must not be written to by anyone. */
export interface Message extends Draft {
  readonly offset: number
  readonly epoch: string
  /** Milliseconds since 1970 by the hub's clock, at the time of the append. */
  readonly time: number
}

/** A draft of bytes, its text flag found out by looking. */
export function draft(topic: Topic, body: Buffer, contentType = 'application/octet-stream'): Draft {
  return { topic, body, contentType, text: isUtf8(body) }
}

/** Nobody knows what was lost on its way to this hub; it may have been of any topic that this wants. */
export interface LostInterest extends Interest {
  /** As that of a message: whoever goes by one of these names is not told, so that it does not go round. */
  readonly via?: readonly string[]
}

/** Stands in the one order where something was lost. */
export interface Lost {
  readonly offset: number
  readonly epoch: string
  /** As a message's. */
  readonly time: number
  readonly lost: LostInterest
}

export function cursorOf(message: Cursor): Cursor {
  return { epoch: message.epoch, offset: message.offset }
}

const encodings = new WeakMap<Message, Map<string, Buffer>>()

/**
 * The message in one encoding, made at most once however many fan-outs want it.
 * @param key names the encoding, the same for all who encode alike
 */
export function encodedOnce(message: Message, key: string, encode: (message: Message) => Buffer): Buffer {
  let forms = encodings.get(message)
  if (forms === undefined) encodings.set(message, (forms = new Map()))
  let form = forms.get(key)
  if (form === undefined) forms.set(key, (form = encode(message)))
  return form
}

/** A topic that is longer is worth counting. */
const SHORT_TOPIC = 64

/** What a message that waits somewhere keeps in memory, in bytes: its body, its term, its way, and its topic where that is long. */
export function memoryOf(message: Message): number {
  const { body, topic } = message
  return body.length + baggageOf(message) + (topic.length > SHORT_TOPIC ? 4 * topic.length : 0)
}

/** What an entry of `via` keeps in memory beside its text, in bytes. */
const NAME_OVERHEAD = 32

/** What the term of a message, and the way it has come, keep in memory, in bytes. */
export function baggageOf({ term, via }: Draft): number {
  const bytes = term?.length ?? 0
  return via === undefined ? bytes : via.reduce((sum, name) => sum + name.length + NAME_OVERHEAD, bytes)
}
