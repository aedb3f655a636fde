import { isUtf8 } from 'node:buffer'
import type { Cursor } from './cursor.ts'
import type { Topic } from './topic.ts'

/** What a publisher hands in. */
export interface Draft {
  readonly topic: Topic
  readonly body: Buffer
  /** A media type; it travels with the message and is not interpreted here. */
  readonly contentType: string
  /** Whether the body is valid UTF-8, so that it may travel as text. Whoever parsed the body knows. */
  readonly text: boolean
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

export function cursorOf(message: Message): Cursor {
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
