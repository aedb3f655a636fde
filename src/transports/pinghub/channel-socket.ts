import { isUtf8 } from 'node:buffer'
import { WaystationError } from '../../core/errors.ts'
import type { Keys } from '../../core/keys.ts'
import type { HubPort, Identity, Meter } from '../../core/ports.ts'
import type { Topic } from '../../core/topic.ts'
import { CLOSE, type WebSocketConnection, type WebSocketEvents } from '../../http/websocket-connection.ts'
import type { PinghubStats } from './metrics-port.ts'

/** What all sockets of the transport share. */
export interface ChannelParts {
  readonly stats: PinghubStats
  readonly meter: Meter
  readonly keys: Pick<Keys, 'owns'>
  readonly open: Set<WebSocketConnection>
  /** None before the transport has started. */
  readonly hub: () => HubPort | undefined
}

const CONTENT_TYPE = 'text/plain; charset=utf-8'

/** One WebSocket on a channel (pinghub, section 7). A class, since there are many of them and each says the same. */
export class ChannelSocket implements WebSocketEvents {
  readonly #parts: ChannelParts
  readonly #topic: Topic
  readonly #by: Identity
  readonly #place: () => void
  #connection: WebSocketConnection | undefined = undefined
  #leave: (() => void) | undefined = undefined
  /** Messages of the read that is on its way, and their bytes. */
  #taken = 0
  #takenBytes = 0

  /** @param place gives back its place among the connections */
  constructor(parts: ChannelParts, topic: Topic, by: Identity, place: () => void) {
    this.#parts = parts
    this.#topic = topic
    this.#by = by
    this.#place = place
  }

  /** To be called once, before anything can have come. */
  opened(connection: WebSocketConnection): void {
    this.#connection = connection
    this.#parts.open.add(connection)
  }

  /** @param leave ends its subscription */
  joined(leave: () => void): void {
    this.#leave = leave
  }

  message(data: Buffer, binary: boolean): void {
    const port = this.#parts.hub()
    // Text was checked by the receiver. An empty message is a keep-alive: it goes to nobody.
    if (data.length === 0 || port === undefined) return
    if (binary && !isUtf8(data)) return this.#close(CLOSE.notText, 'a message must be valid UTF-8')
    try {
      const published = port.publish({ topic: this.#topic, body: data, contentType: CONTENT_TYPE, text: true, framed: !binary }, this.#by)
      this.#taken++
      this.#takenBytes += data.length
      if (published instanceof Promise) published.catch((error: unknown) => this.#refused(error))
    } catch (error) {
      this.#refused(error)
    }
  }

  /** Counts what came in one read together. */
  arrived(): void {
    if (this.#taken === 0) return
    const { stats, meter } = this.#parts
    stats.count('websocketmsgs', this.#taken)
    meter.published('pinghub', this.#takenBytes, this.#taken)
    this.#taken = 0
    this.#takenBytes = 0
  }

  #refused(error: unknown): void {
    const isForbidden = error instanceof WaystationError && error.code === 'forbidden'
    if (!isForbidden) this.#close(CLOSE.tryLater, 'the message could not be taken')
    else this.#close(CLOSE.forbidden, this.#parts.keys.owns(this.#topic) ? 'the domain has an API key: POST with it' : 'a rule does not allow publishing here')
  }

  #close(code: number, reason: string): void {
    this.#connection?.close(code, reason)
  }

  closed(): void {
    if (this.#connection !== undefined) this.#parts.open.delete(this.#connection)
    this.#leave?.()
    this.#place()
  }
}
