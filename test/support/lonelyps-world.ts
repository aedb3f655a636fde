import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { TestContext } from 'node:test'
import { createHub, type Hub } from '../../src/core/hub.ts'
import { limitsWith, type LimitName } from '../../src/core/limits.ts'
import { createMemoryLog } from '../../src/core/log.ts'
import type { RandomBytes } from '../../src/core/ports.ts'
import type { Registry } from '../../src/core/registry.ts'
import { createRouter } from '../../src/core/router.ts'
import { createRules } from '../../src/core/rules.ts'
import type { TransportKit } from '../../src/core/transport-kit.ts'
import { createTurn } from '../../src/core/turn.ts'
import { createWheel } from '../../src/core/wheel.ts'
import { addressSet } from '../../src/http/address.ts'
import { createDispatch } from '../../src/http/server.ts'
import { createOrigins } from '../../src/http/origin.ts'
import { createSpool } from '../../src/http/spool.ts'
import { createChecker, type Checker, type Scheme } from '../../src/protocol/lonelyps/authorization.ts'
import type { HeaderForm } from '../../src/protocol/lonelyps/stateful/messages.ts'
import { createSqliteRegistry } from '../../src/registry/sqlite/registry.ts'
import { randomBytes as realRandomBytes, realClock, realRandom } from '../../src/server/real-world.ts'
import { createManualClock, type ManualClock } from '../../src/testing/manual-clock.ts'
import { createLonelyps } from '../../src/transports/lonelyps/lonelyps.ts'
import type { CompressionSettings } from '../../src/transports/lonelyps/socket/parts.ts'
import { createWebhooks } from '../../src/webhooks/webhooks.ts'
import { temporaryFolder } from './certificates.ts'
import { createBodyAccount } from '../../src/http/body-account.ts'

export interface LonelypsWorld {
  readonly port: number
  readonly hub: Hub
  /** The time of day; everything else takes real time. */
  readonly clock: ManualClock
  readonly registry: Registry
  /** What a request failed with that nobody expected. */
  readonly failures: unknown[]
  /** Why WebSockets were closed from here. */
  readonly ended: readonly string[]
  stop(): Promise<void>
}

export interface WorldOptions {
  readonly toBroadcasters: Scheme
  readonly toSubscribers: Scheme
  readonly clock?: ManualClock
  /** The database; in memory when left out. */
  readonly file?: string
  /** Put before the registry, to fail where a test wants it. */
  readonly around?: (registry: Registry) => Registry
  readonly limits?: Partial<Record<LimitName, number>>
  /** An undici connector. */
  readonly connector?: unknown
  readonly publicUrl?: string
  readonly form?: HeaderForm
  readonly compression?: Partial<CompressionSettings>
  /** For signatures and for the nonces of WebSockets. */
  readonly randomBytes?: RandomBytes
}

/** A lonelyps broadcaster whose time of day is made up, with real sockets and a real database. */
export async function openWorld(t: TestContext, options: WorldOptions): Promise<LonelypsWorld> {
  const { toBroadcasters, toSubscribers, clock: day = createManualClock(), randomBytes = realRandomBytes } = options
  const clock = { ...realClock, now: day.now }
  const limits = limitsWith(options.limits)
  const rules = createRules([])
  const hub = createHub({ log: createMemoryLog({ rules, clock, random: realRandom, maxBytes: 0 }), router: createRouter(), rules, maxHeldBytes: 1_000_000 })
  const nothing = (): void => {}
  const kit: TransportKit = {
    limits, clock, turn: createTurn(clock), wheel: createWheel(clock),
    meter: { published: nothing, delivered: nothing, slow: nothing, failed: nothing, gap: nothing },
  }
  const sqlite = createSqliteRegistry({ file: options.file ?? ':memory:', clock })
  const registry = options.around?.(sqlite) ?? sqlite
  const checker = (scheme: Scheme): Checker => createChecker(scheme, {
    now: clock.now, lifetime: limits.signatureLifetime, remember: (mac, expiresAt, signedAt) => registry.remember(mac, expiresAt, signedAt),
  })
  const failures: unknown[] = []
  const ended: string[] = []
  const webhooks = createWebhooks({
    kit, registry, randomBytes, random: { next: () => 0 }, connector: options.connector, toSubscribers, checker: checker(toBroadcasters),
    policy: { factor: 1, base: 2, most: 10, constant: 1, jitter: 2, retries: 20 },
    events: { failed: nothing, registry: (error) => failures.push(error), unusable: (_, error) => failures.push(error) },
  })
  const lonelyps = createLonelyps({
    kit, registry, randomBytes, bodies: createBodyAccount(limits.maxUnfinishedBytes), confirmations: webhooks,
    spool: createSpool(temporaryFolder(t), limits.maxSpoolBytes),
    fromSubscribers: checker(toBroadcasters), fromBroadcasters: checker(toSubscribers),
    answers: { toSubscribers, toBroadcasters },
    letsIn: { subscribers: toBroadcasters.type === 'none' ? 'anyone' : 'signed', broadcasters: toSubscribers.type === 'none' ? 'anyone' : 'signed' },
    registrations: webhooks.registrations,
    refusesUrl: () => undefined, publicUrl: options.publicUrl ?? '', hubs: undefined,
    failed: (error) => failures.push(error),
    sockets: {
      origins: createOrigins([]), admit: () => nothing, random: realRandom,
      form: options.form ?? 'minimal', compression: { allowed: 'yes', training: 'yes', presets: new Map(), ...options.compression },
      relaying: undefined, ended: (_, reason) => void ended.push(reason),
    },
  })
  await webhooks.start(hub)
  await lonelyps.start(hub)
  const dispatch = createDispatch([lonelyps.route], addressSet([]), (error) => failures.push(error))
  const server = createServer({ shouldUpgradeCallback: (message) => dispatch.upgrades(message) }, (message, response) => dispatch.request(message, response))
  server.on('upgrade', (message, socket, head) => dispatch.upgrade(message, socket, head))
  server.on('checkContinue', (message, response) => dispatch.request(message, response))
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  let stopping: Promise<void> | undefined
  const stop = (): Promise<void> => (stopping ??= (async () => {
    server.close()
    server.closeAllConnections()
    await lonelyps.stop(AbortSignal.abort())
    await webhooks.stop(AbortSignal.abort())
    await sqlite.close()
  })())
  t.after(stop)
  return { port: (server.address() as AddressInfo).port, hub, clock: day, registry, failures, ended, stop }
}
