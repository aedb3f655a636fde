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
  /** Two paths instead of a channel, with `%s` for the name of one of several; then one publisher more is there for each, which gets nothing, or what it gets does not count. */
  readonly keyed?: { readonly publisher: string; readonly subscribers: string; readonly hears?: true }
}

/** Keep-alive connections, each with one request under way, to a channel that nobody listens to. */
export interface PostTask extends Timed {
  readonly kind: 'post'
  readonly connections: number
  readonly size: number
  /** Where the connections post to, each to the next; one path without a key when nothing is stated. */
  readonly to?: readonly PostTarget[]
  /** What every answer must have; 200 when nothing is stated. */
  readonly status?: number
}

export interface PostTarget {
  readonly path: string
  /** Goes as a bearer token. */
  readonly key: string | undefined
}

/** Publishers of wspubsub, each with a key and a domain of its own; they say nothing. The seconds are those until the last 101. */
export interface PublishersTask {
  readonly kind: 'publishers'
  readonly count: number
  /** Opened before anything counts, as with idle connections. */
  readonly before: number
  /** Handshakes under way at once. */
  readonly together: number
  /** Seconds between the last handshake and the last look at the server's memory. */
  readonly settle: number
}

/** No server: checks of keys that are remembered, in the process of the load. */
export interface KeyChecksTask extends Timed {
  readonly kind: 'key-checks'
  readonly keys: number
}

/** WebSockets that say nothing, each on a channel of its own when nothing else is stated. */
export interface IdleTask {
  readonly kind: 'idle'
  readonly connections: number
  /** The path of each, with `%s` for a channel's name, and over how many channels they are spread. */
  readonly on?: { readonly path: string; readonly channels: number }
  /** Opened before anything counts, so that what a server sets up once is not charged to the connections. */
  readonly before: number
  /** Seconds between the last handshake and the look at the server's memory. */
  readonly settle: number
}

/** Webhooks, each to a url of its own, for notifies that are sent one after the other by each publisher on a topic of its own. */
export interface NotifyTask extends Timed {
  readonly kind: 'notify'
  readonly subscribers: number
  readonly hosts: Hosts
  readonly publishers: number
  readonly size: number
  /** How both directions are proved. */
  readonly scheme: SchemeName
}

/** One topic at a fixed rate, to subscribers that answer and to some that take the request and never do. */
export interface HangingTask extends Timed {
  readonly kind: 'hanging'
  readonly healthy: number
  readonly hanging: number
  readonly hosts: Hosts
  /** Notifies per second; their answers are not waited for. */
  readonly rate: number
  readonly size: number
  readonly scheme: SchemeName
}

/** One message that is too large for memory. */
export interface HugeTask {
  readonly kind: 'huge'
  readonly subscribers: number
  readonly size: number
  readonly scheme: SchemeName
  /** Where the measurement ends: when all is answered, or when half of it has been sent, or taken by the subscribers. */
  readonly until: 'answered' | 'half sent' | 'half taken'
}

/** Over lonelyps WebSockets: one publisher on one topic, which every subscriber has. */
export interface RelayTask extends Timed {
  readonly kind: 'relay'
  readonly subscribers: number
  readonly size: number
  readonly scheme: SchemeName
  /** Notifies that are not confirmed, at most. */
  readonly unconfirmed: number
  /** Notifies that are not confirmed or that some subscriber has not got, at most: what may wait in the hub. */
  readonly unfinished: number
}

/** Over lonelyps WebSockets: large messages one after the other, from a publisher to a subscriber. */
export interface LargeTask extends Timed {
  readonly kind: 'large'
  readonly size: number
  readonly scheme: SchemeName
  /** Whether both clients offer zstd, and so get compressor 1. */
  readonly zstd: boolean
}

/** Over lonelyps WebSockets: so many small JSON messages, from a publisher to a subscriber. Their bytes are counted, and no time. */
export interface BytesTask {
  readonly kind: 'bytes'
  readonly messages: number
  /** Whether both clients offer zstd and training; then the count begins when both have a dictionary. */
  readonly trained: boolean
}

/** Takers of links, over TLS; the giver sends as much as has come to all of them. Each message is counted once for each taker. */
export interface LinksTask extends Timed {
  readonly kind: 'links'
  /** The folder with ca.pem, edge.pem, edge.key. */
  readonly certificates: string
  readonly takers: number
  /** How they ask. */
  readonly form: 'ponyexpress' | 'waystation'
  /** What the giver says before the first message. */
  readonly answers: 'ready' | 'nothing'
  /** Seconds between the last subscription and the first message. */
  readonly settle: number
}

/** Calls that are echoed; as many as `together` are under way all the time. */
export interface CallsTask extends Timed {
  readonly kind: 'calls'
  readonly by: CallBy
  /** The folder with ca.pem, edge.pem, edge.key. */
  readonly certificates: string
  readonly together: number
  /** Bytes of the binary that goes to and fro. */
  readonly size: number
  /** The service of a hub that is called; where there is none, the other end answers itself. */
  readonly service: string | undefined
}

/** Erps and gRPC by one connection, over mutual TLS where the name does not say otherwise; HTTP by as many as calls are under way, unencrypted. */
export type CallBy = 'erps-tls' | 'erps-tcp' | 'grpc' | 'http'

export type SchemeName = 'none' | 'hmac'
/** Whether subscribers share one host and port, or have a port each. */
export type Hosts = 'one' | 'many'

export type Task = FanOutTask | PostTask | IdleTask | NotifyTask | HangingTask | HugeTask | RelayTask | LargeTask | BytesTask | PublishersTask | KeyChecksTask | LinksTask | CallsTask

/** Messages as they are, and as they went in and came out: the bytes of the body, and of the whole WebSocket frame. */
export interface Bytes {
  readonly plain: number
  readonly bodyIn: number
  readonly frameIn: number
  readonly bodyOut: number
  readonly frameOut: number
}

/** What the generator has seen between `begin` and `end`. */
export interface Seen {
  /** Deliveries, requests, connections or bytes. */
  readonly count: number
  readonly seconds: number
  /** Milliseconds from the publishing to the arrival, or of a request. */
  readonly p50?: number
  readonly p99?: number
  /** Of a huge message: seconds from the first byte to the last, going in and coming out. */
  readonly secondsIn?: number
  readonly secondsOut?: number
  /** Of small messages: bytes, all together. */
  readonly bytes?: Bytes
  /** CPU seconds of the generator itself. */
  readonly cpu: number
}

/** The bench looks at the server at `begin` and at `end`, and answers each with a word. */
export type FromLoad = { begin: true } | { end: Seen } | { done: true } | { failed: string }

/** Tells the bench, and settles when it has looked. */
export type Report = (phase: { begin: true } | { end: Seen }) => Promise<void>
