import type { Limits } from '../core/limits.ts'
import type { Clock, Random } from '../core/ports.ts'
import { TERM } from '../protocol/erps/payload.ts'
import { scan } from '../protocol/etf/scan.ts'
import { createCaller } from '../services/caller.ts'
import { createServiceClient, type ClientState, type ServiceClient } from '../services/client.ts'
import { unsent } from '../services/held.ts'
import type { Member } from '../services/pool.ts'
import type { Pools } from '../services/pools.ts'
import type { Bare, Callee } from '../services/ports.ts'
import type { SigningOptions } from '../services/signing.ts'
import { GAP_TO_SERVERS, KEEPALIVE } from '../services/originals.ts'
import type { Logger } from './log.ts'
import { openDialing, placeName, senderOf, type Dialing } from './service-dialing.ts'
import type { ServiceAddress, ServiceConfig } from './service-options.ts'

/** A daemon of Erps that the hub calls, as metrics and status see it. */
export interface OutboundView {
  readonly service: string
  /** `host:port`. */
  readonly name: string
  readonly current: ClientState
}

/** The hub's own connections to daemons: each is a worker of its service while it is up. */
export interface ServiceLinks {
  readonly views: readonly OutboundView[]
  stop(deadline: AbortSignal): Promise<void>
}

/** Calls of one daemon at once, where its service does not say. */
const SLOTS = 64

export interface ServiceLinksParts {
  readonly services: readonly ServiceConfig[]
  readonly pools: Pools
  readonly clock: Clock
  readonly random: Random
  readonly limits: Limits
  readonly signing: SigningOptions['keys'] | undefined
  /** Those that daemons know. */
  readonly atoms: ReadonlySet<string>
  readonly logger: Logger
}

/** @throws {WaystationError} `config_invalid` for files that cannot be used; nothing is open then */
export async function openServiceLinks(parts: ServiceLinksParts): Promise<ServiceLinks> {
  const { services, signing, limits, logger } = parts
  const opened: { readonly tools: Dialing; readonly config: ServiceConfig }[] = []
  try {
    for (const config of services.filter(({ servers = [] }) => servers.length > 0)) {
      const { name, tls, transport = 'tls' } = config
      if (transport === 'tcp') logger.warn({ service: name }, 'a service is called over plain TCP: without encryption')
      const keys = transport === 'tcp' && signing !== undefined ? { signing: { keys: signing } } : {}
      opened.push({ config, tools: await openDialing({ transport, limits, logger, ...(tls !== undefined && { tls }), ...keys }, `the client of the service ${name}`) })
    }
  } catch (error) {
    for (const { tools } of opened) tools.stop()
    throw error
  }
  const links = opened.flatMap(({ config, tools }) => (config.servers ?? []).map((place) => ({ service: config.name, name: placeName(place), client: linkOf(place, config, tools, parts) })))
  for (const { client } of links) client.connect()
  return {
    get views() { return links.map(({ service, name, client }) => ({ service, name, current: client.state })) },
    async stop(deadline) {
      await Promise.all(links.map(({ client }) => client.close(deadline)))
      for (const { tools } of opened) tools.stop()
    },
  }
}

function linkOf(place: ServiceAddress, config: ServiceConfig, tools: Dialing, { pools, clock, random, limits, atoms, logger }: ServiceLinksParts): ServiceClient {
  const { name, slots = SLOTS, packetGap = GAP_TO_SERVERS, transport = 'tls' } = config
  const about = { service: name, server: placeName(place) }
  const sender = senderOf(config)
  let member: Member | undefined

  function changed(state: ClientState): void {
    if (state.state === 'up') {
      // It is up for what it was taken for first, and may then turn out to be a Waystation.
      if (member !== undefined) return
      logger.info(about, 'a service is up')
      member = pools.join(name, { id: about.server, slots: Math.min(slots, limits.maxCallsPerConnection), callee, fault })
      return
    }
    if (state.state === 'down') logger.warn({ ...about, why: state.why }, 'a service is down')
    member?.gone()
    member = undefined
  }

  const client: ServiceClient = createServiceClient({
    clock, random, limits, changed,
    dial: tools.dial(place),
    open: (dialled, events) => tools.open(dialled, events, { sender, opaque: 'refused', brake: { gap: packetGap, calls: transport === 'tcp' ? 'one' : 'many' } }),
    // What such a daemon pushes is for nobody: a service answers.
    caller: (connection) => createCaller(connection, { clock, limits }),
    keepalive: KEEPALIVE,
    reconnect: limits.maxServiceRetry,
  })
  /**
   * One atom that the daemon does not know would end the connection that all callers share. A Waystation ends it as an
   * original does, and is not known to be one before its first answer.
   */
  function fault(request: Bare): string | undefined {
    try {
      scan(Buffer.concat([TERM, request]), { atoms, maxDepth: limits.maxTermDepth, maxBytes: limits.maxPacketBytes })
      return undefined
    } catch (error) {
      return `${(error as Error).message}; the option serviceAtoms says which ones the daemons of services know`
    }
  }

  const callee: Callee = {
    call(wish, settle) {
      const why = fault(wish.request)
      return why === undefined ? client.call(wish, settle) : unsent(clock, 'bad_request', why, settle)
    },
    cast: (request, identifier, key) => fault(request) === undefined && client.cast(request, identifier, key),
  }
  return client
}
