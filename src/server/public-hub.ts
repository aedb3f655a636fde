import type { Cursor } from '../core/cursor.ts'
import { formatCursor, parseCursor } from '../core/cursor.ts'
import { WaystationError } from '../core/errors.ts'
import type { Hub } from '../core/hub.ts'
import { interestIn } from '../core/interest.ts'
import { cursorOf, draft, type Message } from '../core/message.ts'
import type { Identity, Meter, Subscriber } from '../core/ports.ts'
import { topicFromBytes, topicFromText, topicIsText, topicToBytes } from '../core/topic.ts'

/** A message as an embedding program gets it. */
export interface ReceivedMessage {
  /** The topic as text; bytes that are no UTF-8 are in `topicBytes` only. */
  readonly topic: string
  readonly topicBytes: Buffer
  readonly body: Buffer
  /** The body as text; throws when it is none. */
  text(): string
  readonly contentType: string
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
  readonly signal?: AbortSignal
  /** Messages that may wait for the reader; past it the iteration throws `slow_consumer`. 10,000 by default. */
  readonly maxWaiting?: number
  /** Told of messages that are lost. Without it the iteration throws `gap`. */
  readonly onGap?: (from: string, to: string) => void
}

/** The hub in one's own process. */
export interface PublicHub {
  /** The place behind everything published so far, as `epoch:offset`. */
  readonly cursor: string
  /**
   * Publishes to everyone. The body is taken as it is: it must not be changed afterwards.
   * @throws {WaystationError} `stopped`
   */
  publish(topic: string | Uint8Array, body: string | Uint8Array, contentType?: string): Promise<PublishReceipt>
  /**
   * Subscribes to topics and globs. Messages count from the call on, not from the first step of the iteration.
   * @throws {WaystationError} `bad_pattern`, `bad_cursor`; while iterating `slow_consumer`, `gap`
   */
  subscribe(topics: string | readonly string[], options?: SubscribeOptions): AsyncIterableIterator<ReceivedMessage> & AsyncDisposable
}

const EMBEDDED: Identity = { kind: 'embedded', local: true, address: 'process' }

export function createPublicHub(hub: Hub, meter: Meter): PublicHub {
  return {
    get cursor() { return formatCursor(hub.cursor) },
    async publish(topic, body, contentType) {
      const bytes = typeof body === 'string' ? Buffer.from(body) : Buffer.from(body.buffer, body.byteOffset, body.byteLength)
      const name = typeof topic === 'string' ? topicFromText(topic) : topicFromBytes(topic)
      const type = contentType ?? (typeof body === 'string' ? 'text/plain; charset=utf-8' : undefined)
      meter.published('embedded', bytes.length)
      const { message, subscribers } = await hub.publish(draft(name, bytes, type), EMBEDDED)
      return { epoch: message.epoch, offset: message.offset, subscribers }
    },
    subscribe: (topics, options = {}) => subscribe(hub, typeof topics === 'string' ? [topics] : topics, options),
  }
}

function subscribe(hub: Hub, topics: readonly string[], options: SubscribeOptions): ReturnType<PublicHub['subscribe']> {
  const { signal, onGap, maxWaiting = 10_000 } = options
  const interest = interestIn(topics)
  const after = options.since === undefined ? undefined : parseCursor(options.since)
  if (options.since !== undefined && after === undefined) throw new WaystationError('bad_cursor', options.since)
  let queue: Message[] = []
  let waiting: { resolve(result: IteratorResult<ReceivedMessage>): void; reject(error: unknown): void } | undefined
  let failure: WaystationError | undefined
  let roomy: (() => void) | undefined
  let done = false

  const subscriber: Subscriber = {
    count: 1,
    deliver(message) {
      if (waiting !== undefined) {
        const { resolve } = waiting
        waiting = undefined
        resolve({ done: false, value: received(message) })
      } else if (queue.push(message) > maxWaiting) end(new WaystationError('slow_consumer', `${maxWaiting} messages waited`))
    },
    gap(from: Cursor, to: Cursor) {
      if (onGap === undefined) end(new WaystationError('gap', `${formatCursor(from)} to ${formatCursor(to)}`))
      else onGap(formatCursor(from), formatCursor(to))
    },
  }

  function end(error?: WaystationError): void {
    if (done) return
    done = true
    failure = error
    leave()
    signal?.removeEventListener('abort', abort)
    roomy?.()
    if (waiting === undefined) return
    const { resolve, reject } = waiting
    waiting = undefined
    if (error === undefined) resolve({ done: true, value: undefined })
    else reject(error)
  }
  const abort = (): void => end()

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
  if (signal?.aborted === true) end()
  else signal?.addEventListener('abort', abort, { once: true })

  const iterator = {
    async next(): Promise<IteratorResult<ReceivedMessage>> {
      const message = queue.shift()
      if (queue.length < maxWaiting / 2) roomy?.()
      if (message !== undefined) return { done: false, value: received(message) }
      if (failure !== undefined) throw failure
      if (done) return { done: true, value: undefined }
      return new Promise((resolve, reject) => (waiting = { resolve, reject }))
    },
    async return(): Promise<IteratorResult<ReceivedMessage>> {
      queue = []
      end()
      return { done: true, value: undefined }
    },
    [Symbol.asyncIterator]: () => iterator,
    async [Symbol.asyncDispose]() {
      await iterator.return()
    },
  }
  return iterator
}

function received(message: Message): ReceivedMessage {
  return {
    topic: topicIsText(message.topic) ? message.topic : topicToBytes(message.topic).toString('utf8'),
    get topicBytes() { return topicToBytes(message.topic) },
    body: message.body,
    text() {
      if (!message.text) throw new TypeError('the body of this message is no text')
      return message.body.toString('utf8')
    },
    contentType: message.contentType,
    cursor: formatCursor(cursorOf(message)),
    time: new Date(message.time),
  }
}
