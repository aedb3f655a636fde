import * as v from 'valibot'
import { WaystationError } from '../core/errors.ts'
import { createCaller } from '../services/caller.ts'
import { createServiceClient, type ClientCounters, type ClientState, type ServiceClient } from '../services/client.ts'
import { compressing, type Level } from '../services/compress.ts'
import { written as writtenBy } from '../services/local-caller.ts'
import { POLICIES, type Policy } from '../services/policy.ts'
import type { Wish } from '../services/pool-ports.ts'
import type { Bare } from '../services/ports.ts'
import { createValues, type Shown, type ValueOf, type Values } from '../services/values.ts'
import { createWay, type Way } from '../services/way.ts'
import { AROUND_VALUE, GAP_TO_SERVERS, KEEPALIVE } from '../services/originals.ts'
import { contextFor } from './callers-context.ts'
import { holdProcess, realClock, realRandom } from './real-world.ts'
import { address, called, checkDialing, dialing, milliseconds, openDialing, placeName, senderOf, timeOf, type Dialing, type DialingOptions } from './service-dialing.ts'
import { gap, identifier, version, type ServiceAddress } from './service-options.ts'

export type { ClientCounters, ClientState } from '../services/client.ts'
export type { Policy } from '../services/policy.ts'
export type { ServiceAddress } from './service-options.ts'

export interface ConnectServiceOptions<As extends Shown = 'terms'> extends DialingOptions {
  /** Host name or IP address of the daemon, and its port. */
  readonly server?: string
  readonly port?: number
  /** Or several daemons that answer alike. */
  readonly servers?: readonly ServiceAddress[]
  /** Which of several gets a call: the one with the fewest, the one that the call's `key` belongs to, or one after the other. `least` when not stated. */
  readonly policy?: Policy
  /** What this client says of itself in each packet: at most 36 bytes, of which a daemon of Erps can ask for 11, and a version. */
  readonly identifier?: string
  readonly version?: string
  /** ms that a call waits for its answer where it does not say; 5,000. */
  readonly timeout?: number
  /** ms between two keepalives to an original; 60,000. */
  readonly keepalive?: number
  /** ms: the longest wait before the next try to connect; 60,000. */
  readonly reconnect?: number
  /** ms between two packets to an original, 0: none, and no other brake; 20 when not stated, and over TCP one call at a time (`erps.md`, 5.2). */
  readonly packetGap?: number
  readonly as?: As
  /** Compress what is sent where that makes it shorter: as zlib likes, or at a level. Not when not stated. */
  readonly compressed?: boolean | number
  /** Something was pushed. What it throws is logged. */
  readonly onPush?: (value: ValueOf<As>, from: ServiceAddress) => void
  readonly onState?: (state: ClientState, of: ServiceAddress) => void
  /** These two run in the asynchronous context of this call; outside of any when not stated (`erps.md`, section 13). */
  readonly forwardCallers?: boolean
}

export interface CallOptions {
  /** ms until nobody waits any more. */
  readonly timeout?: number
  /** The call rejects with its reason, and the other end is told where it is a Waystation. */
  readonly signal?: AbortSignal
  /** It may be done twice: it goes to another server where the connection to the first is lost. */
  readonly idempotent?: boolean
  /** What `hash` chooses by: calls of one key go to one server. */
  readonly key?: string | Uint8Array
}

/** A service that can be called. */
export interface ConnectedService<V> extends AsyncDisposable {
  /**
   * Gives the answer. While there is no connection it fails at once, but for the first try, which it waits for.
   * @throws {WaystationError} `disconnected`, `deadline`, `worker_lost` where nobody knows whether it was done, `call_failed` and what
   *   else the service says, `service_refused`, `too_many_calls`, `bad_request` for what no term can be made of, `stopped`
   */
  call(value: V, options?: CallOptions): Promise<V>
  /** Gives whether it was sent or waits to be; without a connection it is dropped. @throws {WaystationError} `bad_request`, `stopped` */
  cast(value: V, options?: Pick<CallOptions, 'key'>): boolean
  /** Of several servers that of the one that is best off. */
  readonly state: ClientState
  readonly servers: readonly (ServiceAddress & { readonly state: ClientState })[]
  readonly counters: ClientCounters
  /** Connects now, where it does not already. */
  connect(): void
  /** Fails what is not answered, and stays without a connection until `connect` is called. */
  disconnect(): void
  /** The same for good. */
  close(): Promise<void>
}

const level = v.union([v.boolean(), v.pipe(v.number(), v.integer(), v.minValue(0), v.maxValue(9))])
const OPTIONS = {
  ...dialing,
  server: v.optional(address.entries.server),
  port: v.optional(address.entries.port),
  servers: v.optional(v.pipe(v.array(address), v.check((list) => list.length > 0, 'must name a server'))),
  policy: v.optional(v.picklist(POLICIES)),
  identifier: v.optional(identifier),
  version: v.optional(version),
  timeout: v.optional(milliseconds),
  keepalive: v.optional(milliseconds),
  reconnect: v.optional(milliseconds),
  packetGap: v.optional(gap),
  compressed: v.optional(level),
  onPush: called,
  onState: called,
  forwardCallers: v.optional(v.boolean()),
}

const CALL_TIMEOUT = 5_000
const RECONNECT = 60_000
/** ms that what waits has to go out when it is closed. */
const CLOSE_MS = 1_000

/**
 * Connects to a service of Erps or of another Waystation (`erps.md`, sections 9 and 12.1). It gives at once what can be called;
 * the connection is made in the background, and made again whenever it is lost. The process goes on until it is closed.
 * @throws {WaystationError} `config_invalid` for options or files that cannot be used
 */
export async function connectService<As extends Shown = 'terms'>(options: ConnectServiceOptions<As>): Promise<ConnectedService<ValueOf<As>>> {
  const places = checkDialing(OPTIONS, options, 'connectService', placesOf)
  const run = contextFor(options.forwardCallers)
  const name = places.map(placeName).join(', ')
  const tools = await openDialing(options, `the client of ${name}`)
  const { limits, logger } = tools
  const shown = { as: options.as ?? 'terms' as As, atoms: new Set(options.atoms), maxDepth: limits.maxTermDepth, maxBytes: limits.maxPacketBytes - AROUND_VALUE }
  const incoming = createValues({ ...shown, safety: 'any', maxBytes: limits.maxPacketBytes })
  // A program that states no vocabulary knows for itself which atoms the service has.
  const outgoing = createValues({ ...shown, safety: options.atoms === undefined ? 'any' : 'strict' })

  function tell(fn: () => void): void {
    try {
      run(fn)
    } catch (error) {
      logger.error({ err: error, service: name }, 'a function that was to be told of a service has failed')
    }
  }

  const clients = places.map((place) => clientOf(place, options, tools, {
    pushed: (term) => tell(() => options.onPush?.(incoming.read(term), place)),
    changed(state) {
      if (state.state === 'down') logger.warn({ service: placeName(place), why: state.why }, 'a service is down')
      if (state.state === 'up') logger.info({ service: placeName(place), peer: state.peer }, 'a service is up')
      way.changed()
      tell(() => options.onState?.(state, place))
    },
  }))
  const members = places.map((place, i) => ({ id: placeName(place), client: clients[i] as ServiceClient }))
  const way = createWay({ name, members, policy: options.policy ?? 'least', clock: realClock, random: realRandom, limits })
  const letGo = holdProcess()
  let closing: Promise<void> | undefined

  function written(value: ValueOf<As>): Bare {
    if (closing !== undefined) throw new WaystationError('stopped')
    return writtenBy(outgoing, value)
  }

  function close(): Promise<void> {
    return (closing ??= Promise.all(clients.map((client) => client.close(AbortSignal.timeout(CLOSE_MS)))).then(() => {
      tools.stop()
      letGo()
    }))
  }

  for (const client of clients) client.connect()
  return {
    async call(value, { timeout, signal, idempotent, key } = {}) {
      const deadline = timeOf(timeout ?? options.timeout, CALL_TIMEOUT, limits.maxCallTimeout)
      const wish: Wish = { request: written(value), deadline, times: idempotent === true ? 'repeatable' : 'once', ...keyOf(key) }
      signal?.throwIfAborted()
      return readBy(incoming, await answered(way, wish, signal))
    },
    cast: (value, { key } = {}) => way.cast({ request: written(value), ...keyOf(key) }),
    get state() { return way.state },
    get servers() { return places.map((place, i) => ({ ...place, state: (clients[i] as ServiceClient).state })) },
    get counters() { return countersOf(clients, way) },
    connect: () => clients.forEach((client) => client.connect()),
    disconnect: () => clients.forEach((client) => client.disconnect()),
    close,
    [Symbol.asyncDispose]: close,
  }
}

function answered(way: Way, wish: Wish, signal: AbortSignal | undefined): Promise<Bare> {
  return new Promise((resolve, reject) => {
    const abandon = way.call(wish, (result) => {
      signal?.removeEventListener('abort', giveUp)
      if (result.kind === 'answer') resolve(result.term)
      else reject(result.error)
    })
    function giveUp(): void {
      abandon()
      reject(signal?.reason as Error)
    }
    signal?.addEventListener('abort', giveUp, { once: true })
  })
}

/** @throws {WaystationError} `call_failed` for an answer that is no JSON */
function readBy<V>(values: Values<V>, answer: Bare): V {
  try {
    return values.read(answer)
  } catch (error) {
    throw new WaystationError('call_failed', `its answer cannot be read: ${(error as Error).message}`, error)
  }
}

function keyOf(key: string | Uint8Array | undefined): { readonly key?: Buffer } {
  return key === undefined ? {} : { key: Buffer.from(key as string) }
}

function countersOf(clients: readonly ServiceClient[], way: Way): ClientCounters {
  const sum = (of: keyof ClientCounters): number => clients.reduce((all, { counters }) => all + counters[of], 0)
  return { late: sum('late'), dropped: sum('dropped') + way.dropped, unusable: sum('unusable') }
}

function placesOf({ server, port, servers, policy }: ConnectServiceOptions<Shown>): readonly ServiceAddress[] | string {
  if (servers !== undefined) return server === undefined && port === undefined ? servers : 'servers is stated, and server or port as well: state one or the other'
  if (server === undefined) return 'server is missing'
  if (port === undefined) return 'port is missing'
  return policy === undefined ? [{ server, port }] : 'policy is stated, but there is only one server: state servers'
}

function clientOf(place: ServiceAddress, options: ConnectServiceOptions<Shown>, tools: Dialing, events: { pushed(term: Bare): void; changed(state: ClientState): void }): ServiceClient {
  const { keepalive = KEEPALIVE, reconnect = RECONNECT, packetGap, transport = 'tls' } = options
  const { limits } = tools
  const sender = senderOf(options)
  const brake = { gap: packetGap ?? GAP_TO_SERVERS, calls: transport === 'tcp' ? 'one' : 'many' } as const
  const hardness = levelOf(options.compressed)
  return createServiceClient({
    dial: tools.dial(place),
    open: (dialled, told) => tools.open(dialled, told, { sender, brake, opaque: 'refused' }),
    caller: (connection) => createCaller(hardness === undefined ? connection : compressing(connection, hardness), { clock: realClock, limits, pushed: events.pushed }),
    clock: realClock, random: realRandom,
    limits, keepalive, reconnect,
    changed: events.changed,
  })
}

function levelOf(stated: boolean | number | undefined): Level | undefined {
  if (stated === undefined || stated === false) return undefined
  return stated === true ? 'default' : stated
}
