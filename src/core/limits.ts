/**
 * Every bound that the hub holds, with its default, its unit and the reason for it. Each is an option of the same name
 * (`--max-message-bytes`, `WAYSTATION_MAX_MESSAGE_BYTES`), has a row in `docs/reference/limits.md` and a test in
 * `test/hostile/`.
 */
export const LIMITS = {
  maxMessageBytes: { default: 1_048_576, min: 65_536, unit: 'bytes', reason: 'one POST body; without it a single request fills the memory of the hub' },
  maxUnfinishedBytes: { default: 268_435_456, min: 65_536, unit: 'bytes', reason: 'request bodies, and messages of lonelyps WebSockets and wspubsub publishers, that are still on their way, all together, an eighth of it for one client address, loopback exempt; past it a further request is answered 503, and a socket closed. As much again for Erps packets, of which one address may always have one' },
  spoolAbove: { default: 10_485_760, min: 0, unit: 'bytes', reason: 'a lonelyps message larger than this goes to disk on its way; what is smaller is in memory' },
  maxSpoolBytes: { default: 17_179_869_184, min: 0, unit: 'bytes', reason: 'all messages that lie on disk; past it a further one is answered 507' },
  maxSetBytes: { default: 16_777_216, min: 65_536, unit: 'bytes', reason: 'the body of one set_subscriptions: some 200,000 topics with a recovery url' },
  maxRegistrations: { default: 1_000_000, min: 1, unit: 'registrations', reason: 'all webhook registrations, and as many subscriptions of lonelyps WebSockets; each costs about a kilobyte of memory' },
  maxGlobBytes: { default: 1_024, min: 1, unit: 'bytes', reason: 'a registered glob; asking a longer one whether it matches may take many milliseconds' },
  maxWebhooks: { default: 4_096, min: 1, unit: 'calls', reason: 'webhooks that run at once; each has a connection' },
  maxWebhooksPerHost: { default: 512, min: 1, unit: 'calls', reason: 'the same to one host; calls that take longer than a quarter of a second do not count' },
  maxWebhookQueue: { default: 1_000, min: 1, unit: 'messages', reason: 'messages of one topic that wait for one registration; past it they count as missed' },
  maxWebhookBytes: { default: 268_435_456, min: 65_536, unit: 'bytes', reason: 'messages in memory that webhooks still need, 512 bytes more for each delivery; past it further ones count as missed; one registration gets an eighth at most, one host half of what is left free, and hosts with little go a quarter past it' },
  maxSocketMessageBytes: { default: 16_777_216, min: 65_536, unit: 'bytes', reason: 'one message that comes in over a lonelyps WebSocket; what is larger comes in parts' },
  maxPartBytes: { default: 3_670_016, min: 512, unit: 'bytes', reason: 'one message that goes out over a lonelyps WebSocket, headers included; what is larger goes in parts; clients of the original take 4 MiB' },
  maxUnacknowledged: { default: 3, min: 0, unit: 'parts', reason: 'parts sent over one lonelyps WebSocket that the client has not acknowledged; then it gets no more; 0 is no bound' },
  maxUnanswered: { default: 4_096, min: 1, unit: 'messages', reason: 'requests of one lonelyps WebSocket that are not answered yet; then nothing more is read from it' },
  maxSocketQueue: { default: 16_384, min: 1, unit: 'messages', reason: 'messages that wait for one lonelyps WebSocket; past it the socket is closed' },
  maxSocketBytes: { default: 268_435_456, min: 65_536, unit: 'bytes', reason: 'messages in memory that wait for lonelyps WebSockets, each twice, its topic where that is long, and 256 bytes more; past it those with much are closed; one gets an eighth at most' },
  maxSocketSubscriptions: { default: 10_000, min: 1, unit: 'subscriptions', reason: 'topics and globs of one lonelyps WebSocket; each counts once more for each KiB that it is long' },
  maxSocketGlobs: { default: 5_000, min: 1, unit: 'patterns', reason: 'different globs of all lonelyps WebSockets; each that the index cannot rule out is looked at for every message' },
  compressionMinSize: { default: 32, min: 1, unit: 'bytes', reason: 'a message that is compressed with a dictionary; what is shorter gains nothing' },
  compressionTrainedMaxSize: { default: 16_384, min: 64, unit: 'bytes', reason: 'a message that is compressed with a trained dictionary is shorter; from here on zstd without one does as well' },
  trainingLowWatermark: { default: 102_400, min: 1_024, unit: 'bytes', reason: 'messages seen on a lonelyps WebSocket before its first dictionary is trained' },
  trainingHighWatermark: { default: 10_485_760, min: 2_048, unit: 'bytes', reason: 'the same for the second, larger one' },
  retrainInterval: { default: 216_000_000, min: 1_000, unit: 'ms', reason: 'between two later dictionaries of one lonelyps WebSocket' },
  maxTrainingBytes: { default: 67_108_864, min: 0, unit: 'bytes', reason: 'samples and dictionaries that all lonelyps WebSockets keep, 150 to 600 KiB each; past it a further one trains none' },
  maxWindowBytes: { default: 8_388_608, min: 0, unit: 'bytes', reason: 'the zstd window of a message that comes in compressed: what it may cost beside its own size; 0 is no bound' },
  maxKeyedMessageBytes: { default: 16_777_216, min: 125, unit: 'bytes', reason: 'one message of a wspubsub publisher, summed over its fragments' },
  maxKeyedPendingBytes: { default: 16_777_216, min: 1_024, unit: 'bytes', reason: 'bytes that wait for one wspubsub subscriber when the next turn writes; past it the subscriber is let go' },
  maxKeyChecks: { default: 10_000, min: 1, unit: 'calls', reason: 'API keys that wait to be looked up; past it further publishers are answered 503' },
  maxCachedKeys: { default: 10_000, min: 0, unit: 'keys', reason: 'API keys that are remembered as good, so that the database is not asked again' },
  keyCacheTime: { default: 60_000, min: 0, unit: 'ms', reason: 'for how long; a key that is changed or revoked is forgotten at once' },
  graceTime: { default: 10_000, min: 0, unit: 'ms', reason: 'a wspubsub topic without its publisher; then its subscribers are sent away' },
  maxLinks: { default: 10_000, min: 1, unit: 'connections', reason: 'takers of links, those included whose handshake is still on its way' },
  maxLinkHandshakes: { default: 1_000, min: 1, unit: 'connections', reason: 'takers whose handshake is on its way: until it is done they may be anybody, and each holds an open file' },
  maxLinkTopics: { default: 10_000, min: 1, unit: 'topics', reason: 'topics and globs that one link asks for' },
  maxLinkRequestBytes: { default: 1_048_576, min: 1_024, unit: 'bytes', reason: 'one frame from a taker of a link: what it asks for' },
  maxLinkFrameBytes: { default: 67_108_864, min: 65_536, unit: 'bytes', reason: 'one frame from the daemon of a link, and the same decompressed; past it the connection is closed' },
  maxLinkPendingBytes: { default: 16_777_216, min: 1_024, unit: 'bytes', reason: 'bytes that wait for one taker of a link when the next turn writes; past it the link is closed, and comes back by itself' },
  maxLinkKeepalives: { default: 1_000, min: 1, unit: 'messages', reason: 'keepalives of one taker within a minute; one that sends more is doing something else' },
  maxTermDepth: { default: 1_000, min: 16, unit: 'levels', reason: 'lists, tuples and maps within one another in an Erlang term' },
  linkHandshakeTimeout: { default: 5_000, min: 100, unit: 'ms', reason: 'time for connecting and the TLS handshake of a link, on either side' },
  linkRequestTimeout: { default: 30_000, min: 100, unit: 'ms', reason: 'time for a taker to send what it asks for, and to end a frame that it has begun' },
  linkAnswerTimeout: { default: 2_000, min: 10, unit: 'ms', reason: 'how long a taker that asks for several topics waits for the answer of a Waystation, before it takes the daemon for one of PonyExpress' },
  linkKeepalive: { default: 15_000, min: 50, unit: 'ms', reason: 'between two keepalives of a taker' },
  linkDeadline: { default: 45_000, min: 100, unit: 'ms', reason: 'a Waystation at the other end of a link that sends nothing for so long is gone' },
  linkRetry: { default: 1_000, min: 10, unit: 'ms', reason: 'before a link that could not be made is tried again; twice as long after each further failure, within half as much more or less' },
  maxLinkRetry: { default: 15_000, min: 10, unit: 'ms', reason: 'the longest such wait' },
  maxServiceConnections: { default: 10_000, min: 1, unit: 'connections', reason: 'callers and workers of services, those included whose handshake is still on its way' },
  maxServiceHandshakes: { default: 1_000, min: 1, unit: 'connections', reason: 'callers and workers whose handshake is on its way: until it is done they may be anybody, and each holds an open file' },
  maxPacketBytes: { default: 67_108_768, min: 1_024, unit: 'bytes', reason: 'the payload of one Erps packet, and the same decompressed; with its header it is the 64 MiB that an original can read' },
  maxServicePendingBytes: { default: 16_777_216, min: 1_024, unit: 'bytes', reason: 'bytes that wait for one caller or worker of a service; past it the connection is closed; one packet may always wait' },
  maxCalls: { default: 100_000, min: 1, unit: 'calls', reason: 'calls of the hub that are not answered yet, those that wait for a worker included' },
  maxCallBytes: { default: 268_435_456, min: 65_536, unit: 'bytes', reason: 'the requests of those calls together; past it a further one is refused. One Erps caller may have an eighth of it, and always one request' },
  maxCallsPerConnection: { default: 10_000, min: 1, unit: 'calls', reason: 'calls of one connection that are not answered yet; further ones are refused; past as many casts whose handlers take their time nothing more is read' },
  maxPoolQueue: { default: 1_000, min: 0, unit: 'calls', reason: 'calls that wait until a worker of their service is free; past it a further one is refused' },
  serviceHandshakeTimeout: { default: 5_000, min: 100, unit: 'ms', reason: 'time for connecting and the TLS handshake of a service connection, on either side' },
  packetTimeout: { default: 30_000, min: 100, unit: 'ms', reason: 'time for the rest of an Erps packet that has begun; a large one has it for each MiB' },
  callTimeout: { default: 5_000, min: 10, unit: 'ms', reason: 'how long a call waits for its answer where the caller does not say' },
  maxCallTimeout: { default: 600_000, min: 10, unit: 'ms', reason: 'the longest that a caller may ask for' },
  serviceKeepalive: { default: 15_000, min: 50, unit: 'ms', reason: 'between two keepalives of two Waystations on a service connection' },
  serviceDeadline: { default: 45_000, min: 100, unit: 'ms', reason: 'a Waystation at the other end of a service connection that sends nothing for so long is gone' },
  serviceRetry: { default: 1_000, min: 10, unit: 'ms', reason: 'before a service connection that could not be made is tried again; twice as long after each further failure, within half as much more or less' },
  maxServiceRetry: { default: 15_000, min: 10, unit: 'ms', reason: 'the longest such wait' },
  idempotencyTime: { default: 600_000, min: 0, unit: 'ms', reason: 'how long the answer to a call with an idempotency key is kept' },
  maxIdempotentBytes: { default: 67_108_864, min: 0, unit: 'bytes', reason: 'all answers that are kept so; past it the oldest are let go' },
  maxFrameBytes: { default: 65_536, min: 125, unit: 'bytes', reason: 'one WebSocket message, summed over its fragments; the bound that pinghub clients know' },
  maxPathLength: { default: 256, min: 1, unit: 'code points', reason: 'a channel path, leading slash included; topics are map keys and stand in logs' },
  maxConnections: { default: 50_000, min: 1, unit: 'connections', reason: 'all connections together; past the file descriptors of the process nobody could connect, operators included' },
  maxConnectionsPerAddress: { default: 1_000, min: 1, unit: 'connections', reason: 'one client address (IPv6: one /64), loopback exempt; one machine must not use up maxConnections' },
  maxPendingBytes: { default: 1_048_576, min: 1_024, unit: 'bytes', reason: 'bytes that wait in one connection when the next turn writes; a slow reader costs no more than this' },
  maxHeldBytes: { default: 1_048_576, min: 1_024, unit: 'bytes', reason: 'live messages held for one subscriber that is being caught up; past it the log is read again' },
  maxLogBytes: { default: 67_108_864, min: 0, unit: 'bytes', reason: 'all messages that the rules keep; past it the topic that was quiet longest loses its oldest first' },
  maxTopicsPerStream: { default: 100, min: 1, unit: 'topics', reason: 'topics and patterns of one event stream; each costs work when it joins' },
  maxPatterns: { default: 500, min: 1, unit: 'patterns', reason: 'different patterns of all event streams together; each that the index cannot rule out is looked at for every message' },
  maxPatternsPerAddress: { default: 50, min: 1, unit: 'patterns', reason: 'the same for one client address, loopback exempt; one machine must not make every message dear' },
  maxHeaderBytes: { default: 16_384, min: 1_024, unit: 'bytes', reason: 'request line and headers of one request' },
  headerTimeout: { default: 10_000, min: 100, unit: 'ms', reason: 'time to send the whole header block; a slow header holds a connection for nothing' },
  requestTimeout: { default: 30_000, min: 100, unit: 'ms', reason: 'time to send a whole request, body included, or a whole message over a lonelyps WebSocket or of a wspubsub publisher; a large body, and a message, has it for each MiB' },
  keepAliveTimeout: { default: 75_000, min: 100, unit: 'ms', reason: 'an idle HTTP connection; longer than the minute that proxies keep theirs' },
  writeTimeout: { default: 10_000, min: 100, unit: 'ms', reason: 'a write that the peer has not taken by then ends the connection' },
  webhookConnectTimeout: { default: 5_000, min: 10, unit: 'ms', reason: 'time to look up a webhook\'s name and connect' },
  webhookReadTimeout: { default: 5_000, min: 10, unit: 'ms', reason: 'time for the whole answer of a webhook, after which its publisher waits no longer and its place goes to others who need it; a large message has it for each MiB' },
  webhookTotalTimeout: { default: 30_000, min: 10, unit: 'ms', reason: 'a whole webhook, and a second more for each MiB of a message on disk; past it the message counts as missed' },
  missedInterval: { default: 10_000, min: 10, unit: 'ms', reason: 'between two looks at which recovery urls are to be told of something missed' },
  signatureLifetime: { default: 120_000, min: 1_000, unit: 'ms', reason: 'how far a signature may be from now, either way; as long as it is good it is remembered' },
  configureTimeout: { default: 10_000, min: 100, unit: 'ms', reason: 'time for the first message of a lonelyps WebSocket, which says who it is' },
  acknowledgeTimeout: { default: 30_000, min: 100, unit: 'ms', reason: 'a lonelyps WebSocket that neither takes nor acknowledges anything for so long, though it should, is gone' },
  pingInterval: { default: 27_000, min: 100, unit: 'ms', reason: 'WebSocket pings, counted from the connect' },
  pongDeadline: { default: 30_000, min: 200, unit: 'ms', reason: 'a WebSocket that sent nothing at all for so long is gone' },
  heartbeat: { default: 15_000, min: 100, unit: 'ms', reason: 'comment lines on event streams, so that proxies keep them open and dead ones are found' },
  retry: { default: 2_000, min: 0, unit: 'ms', reason: 'how long a browser waits before it opens an event stream again' },
  drainTime: { default: 5_000, min: 0, unit: 'ms', reason: 'goodbyes at shutdown are spread over this, so that not all come back at once' },
} as const satisfies Record<string, Limit>

export interface Limit {
  readonly default: number
  readonly min: number
  readonly unit: 'bytes' | 'ms' | 'connections' | 'topics' | 'patterns' | 'registrations' | 'calls' | 'messages' | 'parts' | 'subscriptions' | 'keys' | 'levels' | 'code points'
  readonly reason: string
}

export type LimitName = keyof typeof LIMITS
/** The bounds in force. */
export type Limits = Readonly<Record<LimitName, number>>

/** The defaults, with what the caller states put over them. Values are taken as they are: options are checked earlier. */
export function limitsWith(stated: Partial<Record<LimitName, number>> = {}): Limits {
  const limits = Object.fromEntries(Object.entries(LIMITS).map(([name, limit]) => [name, limit.default]))
  return { ...limits, ...stated } as Limits
}
