import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { LimitName } from '../core/limits.ts'
import { connectService, type ConnectedService, type ConnectServiceOptions } from '../server/connect-service.ts'
import { createServer, type WaystationServer } from '../server/create-server.ts'
import { connectLink, type Link, type LinkOptions } from '../server/link.ts'
import { createLogger } from '../server/log.ts'
import type { Config } from '../server/options.ts'
import type { PublicHub } from '../server/public-hub.ts'
import { serveService, type Handlers, type HandlersOf, type ServeServiceOptions, type Service, type ServiceHandlers, type Shown, type ValueOf } from '../server/serve-service.ts'
import { workService, type RunningWorker, type WorkerState, type WorkServiceOptions } from '../server/work-service.ts'

/** What stands in every universe by itself: where a service is, and how it is reached. */
type Reached = 'server' | 'port' | 'servers' | 'policy' | 'tls' | 'transport' | 'insecure' | 'identifier'

type ServedHere<As extends Shown> = Omit<ServeServiceOptions<As>, 'port' | 'host' | 'tls' | 'transport' | 'insecure'>
type WorkingHere<As extends Shown> = Omit<WorkServiceOptions<As>, 'hub' | 'name' | 'tls' | 'transport' | 'insecure'>

/**
 * A world for one test: a hub with its own topics, names of services, registry and folder, and everything that was opened in
 * it. Any number of them may be in one process; they meet only where one is handed to another, as a link to it.
 */
export interface Universe extends AsyncDisposable {
  readonly server: WaystationServer
  readonly hub: PublicHub
  /** Where its port is. */
  readonly url: string
  /** A service of this universe that listens for itself. The same name in another universe is another service. */
  serveService<As extends Shown = 'terms'>(name: string, options: ServedHere<As>, handlers: HandlersOf<ValueOf<As>>): Promise<Service<ValueOf<As>>>
  serveService<As extends Shown = 'terms'>(name: string, options: ServedHere<As>, handlers: ServiceHandlers<ValueOf<As>>): Promise<Service<ValueOf<As>>>
  /** A worker of its hub, at work when this settles. */
  workService<As extends Shown = 'terms'>(name: string, options: WorkingHere<As>, handlers: HandlersOf<ValueOf<As>>): Promise<RunningWorker>
  workService<As extends Shown = 'terms'>(name: string, options: WorkingHere<As>, handlers: ServiceHandlers<ValueOf<As>>): Promise<RunningWorker>
  /** A client of the service of this name: of one that listens for itself where there is one, else by way of the hub. */
  connectService<As extends Shown = 'terms'>(name: string, options?: Omit<ConnectServiceOptions<As>, Reached>): Promise<ConnectedService<ValueOf<As>>>
  /** Topics of another universe come into this one. */
  takeFrom(other: Universe, topics: readonly string[], options?: Pick<LinkOptions, 'prefix'>): Promise<Link>
  /** Ends everything that was opened in it, the last first. */
  close(): Promise<void>
}

/** Whatever the configuration states, nothing of it is outside this machine. */
const LOCAL = { addr: '127.0.0.1:0', logLevel: 'silent', linkPort: 0, linkTransport: 'tcp', servicePort: 0, serviceTransport: 'tcp', drainTime: 100 } as const satisfies Config

/** Nobody waits long for those who are to go. */
function quick(limits: Partial<Record<LimitName, number>> = {}): Partial<Record<LimitName, number>> {
  return { drainTime: LOCAL.drainTime, ...limits }
}

/**
 * Makes a universe, on free ports of 127.0.0.1 and in a folder of its own that goes with it.
 * @param config options of its hub
 * @throws {WaystationError} `config_invalid`
 */
export async function universe(config: Config = {}): Promise<Universe> {
  const all = new AsyncDisposableStack()
  const folder = await mkdtemp(join(tmpdir(), 'waystation-universe-'))
  all.defer(() => rm(folder, { recursive: true, force: true }))
  const logger = createLogger('silent')
  const services = new Map<string, { readonly port: number; readonly identifier?: string }>()
  let server: WaystationServer
  try {
    server = all.use(createServer({ ...LOCAL, dataDir: folder, ...config }, { logger }))
    await server.listen()
  } catch (error) {
    await all.disposeAsync()
    throw error
  }
  let closing: Promise<void> | undefined
  const close = (): Promise<void> => (closing ??= all.disposeAsync())

  return {
    server,
    hub: server.hub,
    get url() { return server.url },
    async serveService<As extends Shown>(name: string, options: ServedHere<As>, handlers: Handlers<ValueOf<As>>): Promise<Service<ValueOf<As>>> {
      const service = all.use(await serveService({ logger, ...options, limits: quick(options.limits), transport: 'tcp', port: 0 }, handlers as ServiceHandlers<ValueOf<As>>))
      services.set(name, { port: service.port, ...(options.identifier !== undefined && { identifier: options.identifier }) })
      return service
    },
    async workService<As extends Shown>(name: string, options: WorkingHere<As>, handlers: Handlers<ValueOf<As>>): Promise<RunningWorker> {
      const works = Promise.withResolvers<void>()
      const onState = (state: WorkerState): void => {
        if (state.state === 'working') works.resolve()
        options.onState?.(state)
      }
      const worker = all.use(await workService({ logger, ...options, limits: quick(options.limits), onState, hub: { server: '127.0.0.1', port: server.servicePort as number }, name, transport: 'tcp' }, handlers as ServiceHandlers<ValueOf<As>>))
      await works.promise
      return worker
    },
    async connectService(name, options) {
      const place = services.get(name) ?? { port: server.servicePort as number, identifier: name }
      return all.use(await connectService({ logger, ...options, server: '127.0.0.1', transport: 'tcp', ...place }))
    },
    takeFrom: async (other, topics, options) => all.use(await connectLink({ ...options, hub: server.hub, server: '127.0.0.1', port: other.server.linkPort as number, topics, transport: 'tcp' })),
    close,
    [Symbol.asyncDispose]: close,
  }
}
