import type { Cursor } from '../core/cursor.ts'
import { formatCursor, parseCursor } from '../core/cursor.ts'
import { WaystationError } from '../core/errors.ts'
import type { Hub } from '../core/hub.ts'
import { interestIn } from '../core/interest.ts'
import { cursorOf, draft, type Draft, type Message } from '../core/message.ts'
import type { Identity, Meter, Subscriber } from '../core/ports.ts'
import { draftOfTerm, ERLANG_TERM } from '../core/term.ts'
import { topicFromBytes, topicFromText, topicIsText, topicToBytes, type Topic } from '../core/topic.ts'
import { plain } from '../protocol/etf/plain.ts'
import { EtfError } from '../protocol/etf/term.ts'

/** A message as an embedding program gets it. */
export interface ReceivedMessage {
  /** The topic as text; bytes that are no UTF-8 are in `topicBytes` only. */
  readonly topic: string
  readonly topicBytes: Buffer
  /** Bytes of the body. */
  readonly size: number
  /** Throws a RangeError when the body lies on disk, because it is too large for memory (`spoolAbove`): see `stream`. */
  readonly body: Buffer
  /** The body as text; throws when it is none. */
  text(): string
  /**
   * The body piece by piece, whatever its size; a piece is valid until the next is asked for. To be read before the next
   * message is asked for: a large body may be gone from disk then.
   */
  stream(): AsyncIterable<Buffer>
  readonly contentType: string
  /**
   * The Erlang term that the body shows, in external term format with its 131: of a message that came as a term, but for
   * binaries, which are their bytes.
   */
  readonly term?: Uint8Array
  /** `epoch:offset`; a later subscription resumes behind it. */
  readonly cursor: string
  readonly time: Date
}

export interface PublishReceipt {
  readonly epoch: string
  readonly offset: number
  readonly subscribers: number
}

export interface SubscribeOptions {
  /** `epoch:offset`: everything after it first, then live. */
  readonly since?: string
  /** Ends the iteration at once: what waits for the reader is let go. */
  readonly signal?: AbortSignal
  /** Messages that may wait for the reader, at least 1; past it the iteration throws `slow_consumer`. 10,000 by default. */
  readonly maxWaiting?: number
  /** Told of messages that are lost, at once. Without it the iteration throws `gap`. What it throws, the iteration throws. */
  readonly onGap?: (from: string, to: string) => void
}

/** The hub in one's own process. */
export interface PublicHub {
  /** The place behind everything published so far, as `epoch:offset`. */
  readonly cursor: string
  /**
   * Publishes to everyone. The body is taken as it is: it must not be changed afterwards. The limits on what clients send
   * do not hold for the program itself. A program that awaits each call publishes no faster than the hub writes.
   * With the content type `application/x-erlang-term` the body is an Erlang term in external term format. Erlang peers get
   * it as it is, everyone else as text, bytes or JSON (`docs/protocols/erlang-terms.md`).
   * @throws {WaystationError} `stopped`; `bad_request` for a term that is none, or holds functions or ports
   */
  publish(topic: string | Uint8Array, body: string | Uint8Array, contentType?: string): Promise<PublishReceipt>
  /**
   * Subscribes to topics and globs. Messages count from the call on, not from the first step of the iteration. When the
   * server is closed the iteration ends, behind the last message.
   * @throws {WaystationError} `bad_pattern`, `bad_cursor`, `stopped`; while iterating `slow_consumer`, `gap`
   */
  subscribe(topics: string | readonly string[], options?: SubscribeOptions): AsyncIterableIterator<ReceivedMessage> & AsyncDisposable
}

const EMBEDDED: Identity = { kind: 'embedded', local: true, address: 'process' }

const TURN_BYTES = 262_144
const MESSAGE_WEIGHT = 128

/** @returns the hub for the program, and what ends all its subscriptions, once nothing more is published */
export function createPublicHub(hub: Hub, meter: Meter): { hub: PublicHub; stop(): void } {
  const ends = new Set<() => void>()
  let stopped = false
  let inThisTurn = 0

  /** Lets the event loop write: a loop of awaited calls would otherwise never let it, and all would wait in memory. */
  async function turnOver(): Promise<void> {
    await new Promise<void>((resolve) => setImmediate(resolve))
    inThisTurn = 0
  }
  const publicHub: PublicHub = {
    get cursor() { return formatCursor(hub.cursor) },
    async publish(topic, body, contentType) {
      const bytes = typeof body === 'string' ? Buffer.from(body) : Buffer.from(body.buffer, body.byteOffset, body.byteLength)
      const name = typeof topic === 'string' ? topicFromText(topic) : topicFromBytes(topic)
      const type = contentType ?? (typeof body === 'string' ? 'text/plain; charset=utf-8' : undefined)
      const { message, subscribers } = await hub.publish(type === ERLANG_TERM ? draftFromTerm(name, bytes) : draft(name, bytes, type), EMBEDDED)
      meter.published('embedded', bytes.length)
      inThisTurn += bytes.length + MESSAGE_WEIGHT
      if (inThisTurn > TURN_BYTES) await turnOver()
      return { epoch: message.epoch, offset: message.offset, subscribers }
    },
    subscribe(topics, options = {}) {
      if (stopped) throw new WaystationError('stopped')
      return subscribe(hub, typeof topics === 'string' ? [topics] : topics, options, ends)
    },
  }
  return {
    hub: publicHub,
    stop() {
      stopped = true
      for (const end of ends) end()
    },
  }
}

interface Reader {
  resolve(result: IteratorResult<ReceivedMessage>): void
  reject(error: unknown): void
}

function subscribe(hub: Hub, topics: readonly string[], options: SubscribeOptions, ends: Set<() => void>): ReturnType<PublicHub['subscribe']> {
  const { signal, onGap, maxWaiting = 10_000 } = options
  if (!(maxWaiting >= 1)) throw new RangeError(`maxWaiting is ${maxWaiting}; it must be at least 1`)
  const interest = interestIn(topics)
  const after = options.since === undefined ? undefined : parseCursor(options.since)
  if (options.since !== undefined && after === undefined) throw new WaystationError('bad_cursor', options.since)
  let queue: Message[] = []
  /** Large bodies that the program may be reading. */
  const reading: Message[] = []
  /** Steps of the iteration that have been asked for, while the queue is empty. */
  const readers: Reader[] = []
  let failure: { readonly error: unknown } | undefined
  let roomy: (() => void) | undefined
  let done = false

  const subscriber: Subscriber = {
    count: 1,
    takesLarge: true,
    deliver(message) {
      message.large?.hold()
      const reader = readers.shift()
      if (reader !== undefined) reader.resolve({ done: false, value: hand(message) })
      else if (queue.length < maxWaiting) queue.push(message)
      else {
        message.large?.letGo()
        end({ error: new WaystationError('slow_consumer', `${maxWaiting} messages waited`) })
      }
    },
    gap(from: Cursor, to: Cursor) {
      if (onGap === undefined) return end({ error: new WaystationError('gap', `${formatCursor(from)} to ${formatCursor(to)}`) })
      try {
        onGap(formatCursor(from), formatCursor(to))
      } catch (error) {
        end({ error })
      }
    },
  }

  function hand(message: Message): ReceivedMessage {
    if (message.large !== undefined) reading.push(message)
    return received(message)
  }
  function letGo(messages: readonly Message[]): void {
    for (const message of messages) message.large?.letGo()
  }

  function end(why?: { readonly error: unknown }): void {
    if (done) return
    done = true
    ends.delete(end)
    leave()
    signal?.removeEventListener('abort', abort)
    roomy?.()
    // The first who waits is told why, the others only that it is over.
    if (why !== undefined && readers.length > 0) readers.shift()?.reject(why.error)
    else failure = why
    for (const reader of readers.splice(0)) reader.resolve({ done: true, value: undefined })
  }
  function abort(): void {
    letGo(queue)
    queue = []
    end()
  }

  let leave: () => void = () => {}
  leave = after === undefined ? hub.join(interest, subscriber) : hub.resume(interest, after, {
    ...subscriber,
    room() {
      if (done || queue.length < maxWaiting / 2) return undefined
      return new Promise((resolve) => (roomy = resolve))
    },
    live() {
      if (!done) leave = hub.join(interest, subscriber)
    },
  })
  // A gap may have ended it before there was anything to leave.
  if (done) leave()
  else {
    ends.add(end)
    if (signal?.aborted === true) abort()
    else signal?.addEventListener('abort', abort, { once: true })
  }

  const iterator = {
    async next(): Promise<IteratorResult<ReceivedMessage>> {
      letGo(reading.splice(0))
      const message = queue.shift()
      if (queue.length < maxWaiting / 2) roomy?.()
      if (message !== undefined) return { done: false, value: hand(message) }
      if (failure !== undefined) {
        const { error } = failure
        failure = undefined
        throw error
      }
      if (done) return { done: true, value: undefined }
      return new Promise((resolve, reject) => void readers.push({ resolve, reject }))
    },
    async return(): Promise<IteratorResult<ReceivedMessage>> {
      abort()
      letGo(reading.splice(0))
      failure = undefined
      return { done: true, value: undefined }
    },
    [Symbol.asyncIterator]: () => iterator,
    async [Symbol.asyncDispose]() {
      await iterator.return()
    },
  }
  return iterator
}

function draftFromTerm(topic: Topic, bytes: Buffer): Draft {
  try {
    return draftOfTerm(topic, plain(bytes))
  } catch (error) {
    if (error instanceof EtfError) throw new WaystationError('bad_request', `no Erlang term: ${error.message}`, error)
    throw error
  }
}

function received(message: Message): ReceivedMessage {
  return {
    topic: topicIsText(message.topic) ? message.topic : topicToBytes(message.topic).toString('utf8'),
    get topicBytes() { return topicToBytes(message.topic) },
    size: message.large?.size ?? message.body.length,
    get body() {
      if (message.large !== undefined) throw new RangeError('the body of this message is too large for memory; read its stream()')
      return message.body
    },
    text() {
      if (!message.text) throw new TypeError('the body of this message is no text')
      return message.body.toString('utf8')
    },
    async *stream() {
      if (message.large === undefined) yield message.body
      else yield* message.large.read()
    },
    contentType: message.contentType,
    ...(message.term === undefined ? {} : { term: message.term }),
    cursor: formatCursor(cursorOf(message)),
    time: new Date(message.time),
  }
}
