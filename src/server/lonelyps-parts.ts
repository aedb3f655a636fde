import { networkInterfaces } from 'node:os'
import { join } from 'node:path'
import type { TransportKit } from '../core/transport-kit.ts'
import type { BodyAccount } from '../http/body-account.ts'
import { createSpool, type Spool } from '../http/spool.ts'
import { createChecker, type Checker, type Scheme } from '../protocol/lonelyps/authorization.ts'
import { createSqliteRegistry } from '../registry/sqlite/registry.ts'
import { createLonelyps, type Lonelyps } from '../transports/lonelyps/lonelyps.ts'
import { createGuardedConnector } from '../webhooks/connector.ts'
import { createGuard, type OwnListener } from '../webhooks/guard.ts'
import { NOTICE_POLICY } from '../webhooks/notices.ts'
import { parseTarget } from '../webhooks/target.ts'
import { createWebhooks, type Webhooks } from '../webhooks/webhooks.ts'
import { createFailureLog, cut } from './failure-log.ts'
import type { Logger } from './log.ts'
import type { Options } from './options.ts'
import { HUB_HEADER } from './no-loops.ts'
import { randomBytes, realRandom } from './real-world.ts'
import { schemesOf } from './schemes.ts'

/** All that lonelyps needs beside the hub: the registry, the spool, the webhooks, and its endpoints. */
export interface LonelypsParts {
  readonly transport: Lonelyps
  readonly webhooks: Webhooks
  readonly spool: Spool
  /** To be called when both have stopped. */
  close(): Promise<void>
}

/**
 * @param epoch what webhooks are marked with, so that one that comes back is known
 * @param listeners where the hub itself listens: no webhook may go there
 * @throws {WaystationError} `config_invalid` when the secrets file cannot be used
 */
export function composeLonelyps(options: Options, kit: TransportKit, bodies: BodyAccount, logger: Logger, epoch: string, listeners: () => readonly OwnListener[]): LonelypsParts {
  const { limits, clock } = kit
  const schemes = schemesOf(options)
  const registry = createSqliteRegistry({ file: options.database === '' ? join(options.dataDir, 'waystation.db') : options.database, clock })
  const spool = createSpool(join(options.dataDir, 'spool'), limits.maxSpoolBytes)
  const guard = createGuard({
    allow: options.allowWebhooks,
    allowPrivate: options.allowPrivate ? 'yes' : 'no',
    own: listeners,
    publicly: publicly(options.publicUrl),
    machine: () => Object.values(networkInterfaces()).flatMap((all) => all ?? []).map(({ address }) => address),
  })
  const checker = (scheme: Scheme): Checker => createChecker(scheme, {
    now: clock.now,
    lifetime: limits.signatureLifetime,
    remember: (mac, expiresAt) => registry.remember(mac, expiresAt),
  })
  const fromSubscribers = checker(schemes.toBroadcasters)

  const webhooks = createWebhooks({
    kit, registry, randomBytes, random: realRandom, policy: NOTICE_POLICY,
    mark: { [HUB_HEADER]: epoch },
    connector: createGuardedConnector({ guard, connectTimeout: limits.webhookConnectTimeout }),
    toSubscribers: schemes.toSubscribers,
    checker: fromSubscribers,
    events: {
      failed: createFailureLog(clock, (line) => logger.info(line, 'a webhook was in vain')).failed,
      registry: (error) => logger.error({ err: error }, 'the registry did not do its work'),
      unusable: ({ id, target }, error) => logger.error({ err: error, id, target: cut(target) }, 'a registration cannot be matched'),
    },
  })
  const transport = createLonelyps({
    kit, registry, spool, bodies, randomBytes,
    confirmations: webhooks,
    fromSubscribers,
    fromBroadcasters: checker(schemes.toSubscribers),
    answers: { toSubscribers: schemes.toSubscribers, toBroadcasters: schemes.toBroadcasters },
    letsIn: schemes.letsIn,
    registrations: () => webhooks.gauges().registrations,
    refusesUrl(url) {
      const target = parseTarget(url)
      // What cannot be called is a key like any other, and goes nowhere.
      return typeof target === 'string' ? undefined : guard.forbidsTarget(target)
    },
    publicUrl: options.publicUrl.replace(/\/$/, ''),
    failed: (error) => logger.error({ err: error }, 'a lonelyps request failed'),
  })
  return { transport, webhooks, spool, close: () => registry.close() }
}

/** The public url as a host and port. */
function publicly(url: string): { hostname: string; port: number } | undefined {
  const target = url === '' ? '' : parseTarget(url)
  return typeof target === 'string' ? undefined : target
}
