import { createAdmission } from '../http/admission.ts'
import { WaystationError } from '../core/errors.ts'
import { isServiceName, type CallPort } from '../core/calls.ts'
import type { Keys } from '../core/keys.ts'
import type { Random, RandomBytes } from '../core/ports.ts'
import type { TransportKit } from '../core/transport-kit.ts'
import type { Work } from '../protocol/erps/messages.ts'
import { COMMON_ATOMS } from '../protocol/etf/term.ts'
import { createAccess } from '../services/access.ts'
import { createServiceDaemon, type ServiceDaemon, type WorkerEvents } from '../services/daemon.ts'
import { createIdempotency } from '../services/idempotency.ts'
import type { PoolView } from '../services/pool.ts'
import { createPools } from '../services/pools.ts'
import type { Caller, Connection } from '../services/ports.ts'
import { createSwitchboard } from '../services/switchboard.ts'
import { createWorkerNames } from '../services/worker-names.ts'
import { openCredentials } from '../zones/credentials.ts'
import type { Credentials } from '../zones/ports.ts'
import type { Logger } from './log.ts'
import type { HubMetrics } from './metrics.ts'
import type { Options } from './options.ts'
import { createRefusalLog } from './refusal-log.ts'
import { openServiceLinks, type OutboundView, type ServiceLinks } from './service-links.ts'
import { readSigningKeys } from './service-signing.ts'

/** Everything of a hub that has to do with services. */
export interface Services {
  /** For HTTP, WebSockets and the program that the hub is embedded in. */
  readonly port: CallPort
  /** What the options state: all of it, or nothing, and then it can be tried again. @throws {WaystationError} `config_invalid`, `listen_failed` */
  start(): Promise<void>
  /** The port that callers and workers connect to; `undefined` where there is none. */
  readonly listens: number | undefined
  readonly connections: number
  views(): readonly PoolView[]
  /** Daemons that the hub calls. */
  outbound(): readonly OutboundView[]
  stop(deadline: AbortSignal): Promise<void>
}

export interface ServicesParts {
  readonly options: Options
  readonly kit: TransportKit
  readonly random: Random
  readonly randomBytes: RandomBytes
  readonly keys: Keys
  readonly logger: Logger
  readonly metrics: HubMetrics
}

/** @throws {WaystationError} `config_invalid` for a file of keys that cannot be used */
export function createServices(parts: ServicesParts): Services {
  const { options, kit: { limits, clock }, random, logger, metrics } = parts
  const signing = options.serviceKeys === '' ? undefined : readSigningKeys(options.serviceKeys)
  const pools = createPools({ clock, random, limits, stated: new Map(options.services.map(({ name, policy = 'least' }) => [name, policy])) })
  const switchboard = createSwitchboard({
    pools, limits,
    access: createAccess(options.serviceRules, parts.keys.owns),
    idempotency: createIdempotency({ clock, limits }),
    callers: options.serviceTransport === 'tls' || signing !== undefined ? 'proved' : 'unproved',
    counted(service, result) {
      metrics.called(result)
      // Names that anybody may make up are no labels.
      if (pools.has(service)) metrics.calledOf(service, result === 'ok' ? 'answered' : 'failed')
    },
    soon: clock.endOfTurn,
  })
  const refusals = createRefusalLog(clock, (line) => logger.warn(line, 'a caller or worker of services was turned away'))
  const admission = createAdmission({ total: limits.maxServiceConnections, perAddress: limits.maxConnectionsPerAddress })
  const names = createWorkerNames()
  let daemon: ServiceDaemon | undefined
  let credentials: Credentials | undefined
  let links: ServiceLinks | undefined
  let isStopped = false

  function employ(caller: Caller, { service, slots }: Work, { peer }: Connection): WorkerEvents | undefined {
    if (!isServiceName(service) || !switchboard.mayWork(service, peer.certificateNames)) return undefined
    const { name, release } = names.take(`${service} ${peer.names[0] ?? peer.address}`)
    const member = pools.join(service, { id: name, slots: Math.min(slots, limits.maxCallsPerConnection), callee: caller })
    let isDrained = false
    logger.info({ service, address: peer.address, names: peer.names, slots }, 'a worker is here')
    return {
      draining() {
        isDrained = true
        member.drain()
      },
      ended(why, detail) {
        release()
        member.gone()
        const about = { service, address: peer.address, names: peer.names }
        if (isDrained || why === 'stopped') logger.info({ ...about, why: isDrained ? 'drained' : why }, 'a worker has gone')
        else logger.warn({ ...about, why, detail }, 'a worker was lost')
      },
    }
  }

  async function listen(): Promise<void> {
    const { servicePort, serviceHost, serviceTransport, serviceCacertfile: cacertfile, serviceCertfile: certfile, serviceKeyfile: keyfile, serviceCrlfile } = options
    if (servicePort === '') return
    const host = serviceHost !== '' ? serviceHost : serviceTransport === 'tcp' ? '127.0.0.1' : undefined
    if (serviceTransport === 'tcp') logger.warn({ host, port: servicePort }, 'services are called over plain TCP: without encryption, by anyone who reaches the port')
    credentials = serviceTransport === 'tcp' ? undefined : await openCredentials({ cacertfile, certfile, keyfile, ...(serviceCrlfile !== '' && { crlfile: serviceCrlfile }) }, {
      side: 'daemon', clock,
      reloaded: () => logger.info('the certificates of the daemon of services were read again'),
      alarm: (error) => logger.error({ why: error.message }, 'the certificates of the daemon of services need a look'),
    })
    daemon = createServiceDaemon({
      clock, limits, admission, signing: signing === undefined ? undefined : { keys: signing },
      randomBytes: parts.randomBytes,
      listen: { port: servicePort, ...(host !== undefined && { host }) },
      security: credentials === undefined ? { kind: 'tcp' } : { kind: 'tls', credentials, matchAddress: options.serviceMatchAddress ? 'checked' : 'unchecked' },
      judgement: { identifier: undefined, requirement: undefined },
      // The hub hands on what it gets: which atoms it may hold is for whoever answers.
      decode: { atoms: 'any', opaque: 'refused', maxBytes: limits.maxPacketBytes, maxDepth: limits.maxTermDepth },
      packetGap: undefined,
      answering: () => switchboard.answering(),
      worked: employ,
      events: {
        refused(reason, who) {
          metrics.serviceRefused(reason)
          refusals.refused(reason, who)
        },
        failed: (error) => logger.error({ err: error }, 'a caller or worker of services could not be served'),
      },
    })
    await daemon.start()
  }

  async function undo(): Promise<void> {
    const now = AbortSignal.abort()
    await Promise.all([daemon?.stop(now), links?.stop(now)])
    credentials?.stop()
    daemon = links = credentials = undefined
  }

  return {
    port: switchboard,
    async start() {
      try {
        links = await openServiceLinks({ services: options.services, pools, clock, random, limits, signing, atoms: serviceAtoms(options), logger })
        await listen()
      } catch (error) {
        await undo()
        throw error
      }
      if (!isStopped) return
      await undo()
      throw new WaystationError('stopped')
    },
    get listens() { return daemon?.port },
    get connections() { return daemon?.connections ?? 0 },
    views: () => pools.views,
    outbound: () => links?.views ?? [],
    async stop(deadline) {
      isStopped = true
      // Calls that are here may still be answered by workers that are here.
      await pools.stop(deadline)
      await Promise.all([daemon?.stop(deadline), links?.stop(deadline)])
      credentials?.stop()
    },
  }
}

/** Atoms that JSON may become on its way to a service. */
export function serviceAtoms(options: Pick<Options, 'serviceAtoms'>): ReadonlySet<string> {
  return new Set([...COMMON_ATOMS, ...options.serviceAtoms])
}
