import { WaystationError } from '../../core/errors.ts'
import type { RandomBytes } from '../../core/ports.ts'
import type { Body } from '../publisher.ts'
import { createQueue } from './queue.ts'
import { send } from './sending.ts'
import type { Session } from './session.ts'

/** Messages on their way to a broadcaster, in the order of their coming; what is not confirmed is sent again on the next connection. */
export interface Outbox {
  readonly size: number
  /** @throws {WaystationError} what `fail` is told, or what is wrong with the body */
  add(topic: Buffer, body: Body, sha512: Buffer): Promise<{ subscribers: number }>
  /** There is a connection: everything goes out by it, the unconfirmed first. */
  attach(session: Session): void
  /** Nothing more is sent by it. */
  detach(): void
  /** All come to nothing. */
  fail(error: WaystationError): void
}

export interface OutboxBounds {
  /** Sent and unconfirmed messages, and their bytes in memory. */
  readonly notifies: number
  readonly notifyBytes: number
  /** Bytes of a frame. */
  readonly maxMessageSize: number
}

interface Entry {
  readonly topic: Buffer
  readonly body: Body
  readonly sha512: Buffer
  readonly bytes: number
  readonly settled: PromiseWithResolvers<{ subscribers: number }>
  /** Its body failed: it has its answer, and is not sent again. */
  isOver: boolean
}

const IDENTIFIER_BYTES = 4

export function createOutbox(bounds: OutboxBounds, randomBytes: RandomBytes): Outbox {
  let waiting = createQueue<Entry>()
  const sent = createQueue<Entry>()
  let bytes = 0
  let pump = (): void => {}

  function fits(entry: Entry): boolean {
    return sent.size === 0 || (sent.size < bounds.notifies && bytes + entry.bytes <= bounds.notifyBytes)
  }

  function confirmed(entry: Entry, subscribers: number): void {
    // Answers come in order: it is the first of those that were sent.
    sent.shift()
    bytes -= entry.bytes
    entry.settled.resolve({ subscribers })
    pump()
  }

  /** The source failed in the middle: what was begun cannot be ended but with the connection. */
  function failed(session: Session, entry: Entry, error: Error): void {
    if (session.over.aborted) return
    entry.isOver = true
    entry.settled.reject(error instanceof WaystationError ? error : new WaystationError('bad_request', `the body cannot be sent: ${error.message}`, error))
    session.drop('a message could not be sent to its end')
  }

  function out(session: Session, entry: Entry): Promise<void> | undefined {
    const { topic, body, sha512 } = entry
    const message = { topic, body, sha512, identifier: randomBytes(IDENTIFIER_BYTES), confirmed: (subscribers: number) => confirmed(entry, subscribers) }
    try {
      return send(session, message, bounds.maxMessageSize)?.catch((error: Error) => failed(session, entry, error))
    } catch (error) {
      failed(session, entry, error as Error)
      return undefined
    }
  }

  function createPump(session: Session): () => void {
    let isBusy = false
    return function run() {
      if (isBusy || session.over.aborted) return
      isBusy = true
      for (let next = waiting.peek(); next !== undefined && fits(next) && !session.over.aborted; next = waiting.peek()) {
        waiting.shift()
        sent.push(next)
        bytes += next.bytes
        const waits = out(session, next)
        if (waits === undefined) continue
        void waits.then(() => {
          isBusy = false
          run()
        })
        return
      }
      isBusy = false
    }
  }

  /** What was sent comes before what was not. */
  function again(): void {
    const later = waiting.drain()
    waiting = createQueue()
    for (const entry of [...sent.drain(), ...later]) if (!entry.isOver) waiting.push(entry)
    bytes = 0
  }

  return {
    get size() { return sent.size + waiting.size },
    add(topic, body, sha512) {
      const entry: Entry = { topic, body, sha512, bytes: body.whole?.length ?? 0, settled: Promise.withResolvers(), isOver: false }
      waiting.push(entry)
      pump()
      return entry.settled.promise
    },
    attach(session) {
      again()
      pump = createPump(session)
      pump()
    },
    detach() {
      pump = () => {}
      again()
    },
    fail(error) {
      again()
      for (const { settled } of waiting.drain()) settled.reject(error)
    },
  }
}
