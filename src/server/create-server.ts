import type { Server as HttpServer } from 'node:http'
import type { Server as TlsServer } from 'node:https'
import type { AddressInfo } from 'node:net'
import { WaystationError } from '../core/errors.ts'
import { createHub } from '../core/hub.ts'
import { createKeys, NO_KEYS } from '../core/keys.ts'
import { LIMITS, type Limits } from '../core/limits.ts'
import { createMemoryLog } from '../core/log.ts'
import { compilePattern } from '../core/pattern.ts'
import type { Identity, Transport } from '../core/ports.ts'
import { createRouter } from '../core/router.ts'
import { createRules, openToAll } from '../core/rules.ts'
import type { TransportKit } from '../core/transport-kit.ts'
import { createTurn } from '../core/turn.ts'
import { createWheel } from '../core/wheel.ts'
import { addressSet, isLocalAddress, parseAddress, type ListenAddress } from '../http/address.ts'
import { createBodyAccount } from '../http/body-account.ts'
import { createOrigins } from '../http/origin.ts'
import { createDispatch, type Request, type Route } from '../http/server.ts'
import { createCalls } from '../transports/calls/calls.ts'
import { createPinghub } from '../transports/pinghub/pinghub.ts'
import { createPinghubStats } from '../transports/pinghub/metrics-port.ts'
import { createWspubsub } from '../transports/wspubsub/wspubsub.ts'
import { createSse } from '../transports/sse/sse.ts'
import type { OwnListener } from '../webhooks/guard.ts'
import { attachTo } from './attach.ts'
import { createAdmissions } from './admissions.ts'
import { effective, fromProgram } from './config.ts'
import { openRegistry } from './open-registry.ts'
import { hostsLinks } from './link-hosts.ts'
import { createLinks } from './links.ts'
import { createLogger, type Logger } from './log.ts'
import { createMetrics, type Gauges } from './metrics.ts'
import { createOperations } from './operations.ts'
import type { Config, Options } from './options.ts'
import { composeLonelyps } from './lonelyps-parts.ts'
import { createNoLoops } from './no-loops.ts'
import { createCallers } from './callers.ts'
import { createSlowLog } from './slow-log.ts'
import { createServices, serviceAtoms } from './services.ts'
import { createOwnPort } from './own-port.ts'
import { createPublicHub, type PublicHub } from './public-hub.ts'
import { holdProcess, randomBytes, realClock, realRandom } from './real-world.ts'
import type { Vitals } from './vitals.ts'

/** What one client may have of all unfinished bodies: an eighth, but always the largest there may be, with the room it grows in. */
function shareOfBodies({ maxUnfinishedBytes, maxMessageBytes, spoolAbove, maxSetBytes }: Limits): number {
  return Math.max(maxUnfinishedBytes / 8, 2 * Math.max(maxMessageBytes, spoolAbove, maxSetBytes))
}

export interface WaystationServer extends AsyncDisposable {
  readonly hub: PublicHub
  readonly options: Options
  /** Where it listens, as a client writes it: `http://127.0.0.1:8081`, or the path of a UNIX socket. */
  readonly url: string
  /** The port that takers of links connect to; undefined where there is none. */
  readonly linkPort: number | undefined
  /** The port that callers and workers of services connect to; undefined where there is none. */
  readonly servicePort: number | undefined
  /** Anyone who reaches the address may publish: it listens beyond this machine and no rule says otherwise. */
  readonly open: boolean
  /**
   * A second call opens nothing more: it waits for the first.
   * @throws {WaystationError} `listen_failed`; `stopped` when the server is closed before it listens
   */
  listen(): Promise<void>
  /**
   * Mounts the hub on a server of one's own, under a prefix. Gives what takes it off again; closing the hub does so too.
   * That server's own limits on headers, times and connections hold there.
   * @throws {WaystationError} `stopped`
   */
  attach(server: HttpServer | TlsServer, options?: { prefix?: string }): Promise<() => void>
  /** Goodbye to everyone within the drain time; at once when the signal aborts. A second call waits for the first. */
  close(now?: AbortSignal): Promise<void>
  /** pinghub's six lines. */
  pinghubReport(): string
}

/**
 * Makes a hub with every transport that the options switch on. Nothing listens yet.
 * @throws {WaystationError} `config_invalid`
 */
export function createServer(config: Config = {}, parts: { logger?: Logger; processMetrics?: boolean } = {}): WaystationServer {
  return compose(effective([fromProgram(config)]).options, parts)
}

/** The same from options that have been checked, with what the process itself may see of it. */
export function compose(options: Options, parts: { logger?: Logger; processMetrics?: boolean } = {}): WaystationServer & { readonly vitals: Vitals } {
  const logger = parts.logger ?? createLogger(options.logLevel)
  const limits = Object.fromEntries(Object.keys(LIMITS).map((name) => [name, options[name as keyof Limits]])) as Limits
  const address = parseAddress(options.addr) as ListenAddress
  const trusted = addressSet(options.trustedProxies)
  const origins = createOrigins(options.origin)
  const clock = realClock

  const registry = options.lonelyps || options.wspubsub ? openRegistry(options, clock) : undefined
  const keys = registry === undefined ? NO_KEYS : createKeys({ table: registry, clock, limits, failed: (error) => logger.error({ err: error }, 'the table of API keys cannot be used') })
  const rules = createRules(options.rules, keys.owns)
  const turn = createTurn(clock)
  const log = createMemoryLog({ rules, clock: turn, random: realRandom, maxBytes: limits.maxLogBytes })
  const router = createRouter()
  const hub = createHub({ log, router, rules, maxHeldBytes: limits.maxHeldBytes })
  const gauges: Gauges = {
    connections: () => ({ ...(lonelyps !== undefined && { lonelyps: lonelyps.transport.sockets }), ...(options.pinghub && { pinghub: pinghub.gauges().websockets }), ...(options.wspubsub && { wspubsub: wspubsub.gauges().publishers + wspubsub.gauges().subscribers }), ...(options.sse && { sse: sse.streams }), ...(links.ports.length > 0 && { link: links.takers }), ...(services.listens !== undefined && { service: services.connections }), ...(options.calls && { calls: calls.websockets }) }),
    // Several links to one place are one there: it is up when all of them are.
    links: () => Object.fromEntries(Map.groupBy(links.views(), ({ name }) => name).entries().map(([name, all]) => [name, all.every(({ current }) => current.state === 'up')])),
    calls: () => ({ running: sumOf(services.views(), ({ running }) => running), waiting: sumOf(services.views(), ({ waiting }) => waiting) }),
    workers: () => Object.fromEntries(services.views().map(({ name, members }) => [name, members.length])),
    webhooks: () => lonelyps?.webhooks.gauges() ?? { registrations: 0, running: 0, waiting: 0 },
    registry: () => registry?.available,
    spoolBytes: () => lonelyps?.spool.bytes ?? 0,
    topics: () => router.topics,
    patterns: () => router.patterns,
    logBytes: () => log.bytes,
  }
  const metrics = createMetrics(gauges, { process: parts.processMetrics === true })
  const slowLog = createSlowLog(clock, (line) => logger.warn(line, line.count === undefined ? 'a slow consumer was let go' : 'slow consumers were let go'))
  const meter = {
    ...metrics.meter,
    slow(transport: string, topic: string) {
      metrics.meter.slow(transport, topic)
      slowLog.slow(transport, topic)
    },
  }
  const kit: TransportKit = { limits, clock, turn, wheel: createWheel(clock), meter }

  function refused(reason: string): void {
    metrics.refused(reason)
    logger.debug({ reason }, 'a connection was refused')
  }
  const admissions = createAdmissions({ limits, trusted, refused })
  const identify = ({ peer }: Request): Identity => ({ kind: 'anonymous', local: peer.local, address: peer.address })
  const bodies = createBodyAccount(limits.maxUnfinishedBytes, shareOfBodies(limits))
  const stats = createPinghubStats(clock)
  const pinghub = createPinghub({ kit, origins, bodies, admit: admissions.admit, stats, keys, identify })
  const sse = createSse({ kit, origins, admit: admissions.admit, identify, path: '/_/sse' })
  const wspubsub = createWspubsub({
    kit, origins, bodies, admit: admissions.admit, identify, keys,
    standing: options.wspubsubTopics.map(compilePattern),
    checked: metrics.keyChecked,
    log: logger,
  })
  const services = createServices({ options, kit, random: realRandom, randomBytes, keys, logger, metrics })
  const calls = createCalls({
    kit, origins, bodies, admit: admissions.admit,
    port: services.port,
    ...createCallers({ keys, schemes: options, identify }),
    atoms: serviceAtoms(options),
    // Each end looks at what it gets.
    termAtoms: 'any',
    failed: (error) => logger.error({ err: error }, 'a call could not be handled'),
  })
  const operations = createOperations({ ready: () => !stopping && started, registry, links: () => links.views(), services: services.outbound, metrics })

  const lonelyps = options.lonelyps && registry !== undefined ? composeLonelyps(options, { kit, registry, bodies, logger, origins, admit: admissions.admit, epoch: log.epoch, listeners }) : undefined

  const transports: Transport[] = [...(lonelyps === undefined ? [] : [lonelyps.transport]), ...(options.wspubsub ? [wspubsub] : []), ...(options.pinghub ? [pinghub] : []), ...(options.sse ? [sse] : []), ...(options.calls ? [calls] : [])]
  const routes: Route[] = [
    createNoLoops(log.epoch),
    ...(lonelyps === undefined ? [] : [lonelyps.transport.route]),
    ...(options.wspubsub ? [wspubsub.route] : []),
    ...(options.sse ? [sse.route] : []),
    ...(options.calls ? [calls.route] : []),
    ...(options.operations ? [operations] : []),
    ...(options.pinghub ? [pinghub.route] : []),
  ]
  const embedded = createPublicHub(hub, meter)
  const links = createLinks({ kit, random: realRandom, hub, logger, metrics })
  hostsLinks(embedded.hub, links)
  const dispatch = createDispatch(routes, trusted, (error) => logger.error({ err: error }, 'a request failed'))

  const port = createOwnPort({
    address, dispatch, bounds: limits, admission: admissions.port, trusted, refused, logger,
    files: { cert: options.tlsCert, key: options.tlsKey },
  })
  const mounts = new Map<() => void, HttpServer | TlsServer>()

  let starting: Promise<void> | undefined
  let linking: Promise<void> | undefined
  let started = false
  let stopping = false
  let closing: Promise<void> | undefined
  let sweep = (): void => {}

  async function start(): Promise<void> {
    await keys.start()
    await lonelyps?.webhooks.start(hub)
    await lonelyps?.started()
    for (const transport of transports) await transport.start(hub)
    if (options.pinghub) stats.start()
    let isUp = true
    const again = (): void => {
      log.sweep()
      if (registry !== undefined && registry.available !== isUp) {
        isUp = registry.available
        if (isUp) logger.info('the registry is back')
        else logger.warn('the registry is unavailable: those who are known get their messages, and what needs the database is refused')
      }
      sweep = clock.after(1_000, again)
    }
    again()
    started = true
  }

  /** Where this hub can be reached, its own port and the servers that it is mounted on. */
  function listeners(): OwnListener[] {
    return [port.server, ...mounts.values()].flatMap((server) => {
      const bound = server?.address()
      return typeof bound === 'object' && bound !== null ? [{ address: bound.address, port: bound.port }] : []
    })
  }

  /** What may be closed while it waits must ask again afterwards. */
  async function running(): Promise<void> {
    if (!stopping) await (starting ??= start())
    // A port that is taken may be free the next time.
    if (!stopping) await (linking ??= startStated().catch((error: unknown) => {
      linking = undefined
      throw error
    }))
    if (stopping) throw new WaystationError('stopped')
  }

  /** What connects and listens beside the port: all of it, or nothing. */
  async function startStated(): Promise<void> {
    const undo = await links.startStated(options)
    try {
      await services.start()
    } catch (error) {
      await undo()
      throw error
    }
  }

  async function close(now?: AbortSignal): Promise<void> {
    stopping = true
    // No newcomers from here on; those who are here get their goodbyes, and what was published before goes out first.
    const gone = port.close()
    // What has not yet been started could not be stopped.
    // Whoever started it has been told why it could not be.
    if (!started) await starting?.catch(() => {})
    sweep()
    stats.stop()
    kit.turn.flush()
    const deadline = new AbortController()
    const abort = (): void => deadline.abort()
    const cancel = clock.after(limits.drainTime, abort)
    // With the last connection gone nothing else would, and whoever awaits this would never hear of it.
    const letGo = holdProcess()
    if (now?.aborted === true) abort()
    now?.addEventListener('abort', abort, { once: true })
    await Promise.all([...transports.map((transport) => transport.stop(deadline.signal)), links.stop(deadline.signal), services.stop(deadline.signal)])
    await lonelyps?.unregister()
    // Last, because what came in until now has webhooks to go out.
    await lonelyps?.webhooks.stop(deadline.signal)
    keys.stop()
    await registry?.close()
    hub.stop()
    embedded.stop()
    // Until here the hub was there to refuse newcomers; from here on its paths are the other server's again.
    for (const detach of [...mounts.keys()].reverse()) detach()
    port.server?.closeIdleConnections()
    // A request that is still on its way may end by itself until the deadline.
    if (deadline.signal.aborted) port.server?.closeAllConnections()
    else deadline.signal.addEventListener('abort', () => port.server?.closeAllConnections(), { once: true })
    await gone
    cancel()
    letGo()
  }

  return {
    hub: embedded.hub,
    options,
    get url() { return urlOf(port.server, address, options.tlsCert !== '') },
    get linkPort() { return links.ports[0] },
    get servicePort() { return services.listens },
    get open() { return !isLocalAddress(address) && openToAll(options.rules) },
    async listen() {
      await running()
      await port.open()
    },
    async attach(other, { prefix = '/' } = {}) {
      await running()
      const takeOff = attachTo(other as HttpServer, prefix, dispatch)
      const detach = (): void => {
        mounts.delete(detach)
        takeOff()
      }
      mounts.set(detach, other)
      return detach
    },
    close: (now) => (closing ??= close(now)),
    pinghubReport: () => stats.report(pinghub.gauges()),
    vitals: {
      hub,
      get stopping() { return stopping },
      get database() { return gauges.registry() },
      connections: gauges.connections,
      links: links.views,
      services: services.views,
      outbound: services.outbound,
      webhooks: gauges.webhooks,
      totals: metrics.totals,
    },
    [Symbol.asyncDispose]: () => (closing ??= close(AbortSignal.abort())),
  }
}

function sumOf<T>(all: readonly T[], of: (one: T) => number): number {
  return all.reduce((sum, one) => sum + of(one), 0)
}

function urlOf(server: HttpServer | TlsServer | undefined, address: ListenAddress, tls: boolean): string {
  if ('path' in address) return address.path
  const bound = server?.address() as AddressInfo | null | undefined
  const host = address.host ?? '127.0.0.1'
  return `${tls ? 'https' : 'http'}://${host.includes(':') ? `[${host}]` : host}:${bound?.port ?? address.port}`
}
