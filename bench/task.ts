/* What the bench asks of the load generator, and what it hears from it. */

export interface Timed {
  /** Seconds under load before anything counts, and seconds that count. */
  readonly warmup: number
  readonly seconds: number
  /** Seconds to wait at the end for what is still under way. */
  readonly patience?: number
}

/** Subscribers spread evenly over channels; the first of each channel publishes, and gets its own messages like all. */
export interface FanOutTask extends Timed {
  readonly kind: 'fan-out'
  readonly subscribers: number
  readonly channels: number
  /** Bytes of one message. */
  readonly size: number
  /** At full rate: as many messages as this are under way, on the average over all subscribers. */
  readonly inFlight?: number
  /** At a fixed rate: messages per second over all channels. */
  readonly rate?: number
}

/** Keep-alive connections, each with one request under way, to a channel that nobody listens to. */
export interface PostTask extends Timed {
  readonly kind: 'post'
  readonly connections: number
  readonly size: number
}

/** WebSockets that say nothing, each on a channel of its own. */
export interface IdleTask {
  readonly kind: 'idle'
  readonly connections: number
  /** Opened before anything counts, so that what a server sets up once is not charged to the connections. */
  readonly before: number
  /** Seconds between the last handshake and the look at the server's memory. */
  readonly settle: number
}

export type Task = FanOutTask | PostTask | IdleTask

/** What the generator has seen between `begin` and `end`. */
export interface Seen {
  /** Deliveries, requests or connections. */
  readonly count: number
  readonly seconds: number
  /** Milliseconds from the publishing to the arrival, or of a request. */
  readonly p50?: number
  readonly p99?: number
  /** CPU seconds of the generator itself. */
  readonly cpu: number
}

/** The bench looks at the server at `begin` and at `end`, and answers each with a word. */
export type FromLoad = { begin: true } | { end: Seen } | { done: true } | { failed: string }

/** Tells the bench, and settles when it has looked. */
export type Report = (phase: { begin: true } | { end: Seen }) => Promise<void>
