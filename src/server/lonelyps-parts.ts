import { networkInterfaces } from 'node:os'
import { join } from 'node:path'
import { createHubProofs } from '../core/hub-proofs.ts'
import type { TransportKit } from '../core/transport-kit.ts'
import type { BodyAccount } from '../http/body-account.ts'
import type { Origins } from '../http/origin.ts'
import type { Request } from '../http/server.ts'
import { createSpool, type Spool } from '../http/spool.ts'
import { createChecker, type Checker, type CheckerParts, type Scheme } from '../protocol/lonelyps/authorization.ts'
import type { Registry } from '../core/registry.ts'
import type { Topic } from '../core/topic.ts'
import { createRelay } from '../transports/lonelyps/relay.ts'
import { MISSED_FOR_WEBSOCKETS, RECEIVE_FOR_WEBSOCKETS } from '../transports/lonelyps/peers.ts'
import { createLonelyps, type Lonelyps } from '../transports/lonelyps/lonelyps.ts'
import { createGuardedConnector } from '../webhooks/connector.ts'
import { createGuard, type OwnListener } from '../webhooks/guard.ts'
import { NOTICE_POLICY } from '../webhooks/notices.ts'
import { parseTarget } from '../webhooks/target.ts'
import { createWebhooks, type Webhooks } from '../webhooks/webhooks.ts'
import { dictionariesOf } from './dictionaries.ts'
import { createFailureLog, cut } from './failure-log.ts'
import type { Logger } from './log.ts'
import type { Options } from './options.ts'
import { HUB_HEADER } from './no-loops.ts'
import { randomBytes, realRandom } from './real-world.ts'
import { schemesOf } from './schemes.ts'

/** All that lonelyps needs beside the hub and the registry: the spool, the webhooks, and its endpoints. */
export interface LonelypsParts {
  readonly transport: Lonelyps
  readonly webhooks: Webhooks
  readonly spool: Spool
  /** To be called when the webhooks have started: takes away what a killed process left. */
  started(): Promise<void>
  /** To be called when the transport has stopped: other hubs send nothing here any more. */
  unregister(): Promise<void>
}

/** What is there already. */
export interface Surroundings {
  readonly kit: TransportKit
  readonly registry: Registry
  readonly bodies: BodyAccount
  readonly logger: Logger
  readonly origins: Origins
  /** Asks for a place for one long-lived connection. */
  readonly admit: (request: Request) => (() => void) | number
  /** What webhooks are marked with, so that one that comes back is known. */
  readonly epoch: string
  /** Where the hub itself listens: no webhook may go there. */
  readonly listeners: () => readonly OwnListener[]
}

/** @throws {WaystationError} `config_invalid` when the secrets file or a dictionary cannot be used */
export function composeLonelyps(options: Options, of: Surroundings): LonelypsParts {
  const { kit, bodies, logger, epoch, listeners, registry: own } = of
  const { limits, clock } = kit
  const schemes = schemesOf(options)
  const publicUrl = options.publicUrl.replace(/\/$/, '')
  const relay = publicUrl === '' ? undefined : createRelay({
    registry: own, clock, url: publicUrl + RECEIVE_FOR_WEBSOCKETS, recovery: publicUrl + MISSED_FOR_WEBSOCKETS,
    shared: () => logger.warn({ publicUrl }, 'another hub on the same database states the same publicUrl: what is for its WebSockets may come here, and the other way round'),
    failed: (error) => logger.error({ err: error }, 'this hub could not be registered for its WebSockets'),
  })
  const registry: Registry = relay === undefined ? own : {
    ...own,
    get available() { return own.available },
    start: (told) => own.start((changes) => {
      relay.apply(changes)
      told(changes)
    }),
  }
  const spool = createSpool(join(options.dataDir, 'spool'), limits.maxSpoolBytes)
  const guard = createGuard({
    allow: options.allowWebhooks,
    allowPrivate: options.allowPrivate ? 'yes' : 'no',
    own: listeners,
    publicly: publicly(options.publicUrl),
    machine: () => Object.values(networkInterfaces()).flatMap((all) => all ?? []).map(({ address }) => address),
  })
  const checking: CheckerParts = {
    now: clock.now,
    lifetime: limits.signatureLifetime,
    remember: (mac, expiresAt, signedAt) => registry.remember(mac, expiresAt, signedAt),
  }
  const checker = (scheme: Scheme): Checker => createChecker(scheme, checking)
  const proofs = createHubProofs({ ...checking, registry, randomBytes })
  const fromSubscribers = checker(schemes.toBroadcasters)

  const webhooks = createWebhooks({
    kit, registry, randomBytes, random: realRandom, policy: NOTICE_POLICY,
    mark: { [HUB_HEADER]: epoch },
    ...(publicUrl !== '' && {
      own: { receiveUrl: publicUrl + RECEIVE_FOR_WEBSOCKETS, recoveryUrl: publicUrl + MISSED_FOR_WEBSOCKETS, missed: (topic: Topic) => transport.missed(topic) },
    }),
    connector: createGuardedConnector({ guard, connectTimeout: limits.webhookConnectTimeout }),
    toSubscribers: schemes.toSubscribers,
    proveHub: proofs.prove,
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
    registrations: webhooks.registrations,
    refusesUrl(url) {
      const target = parseTarget(url)
      // What cannot be called is a key like any other, and goes nowhere.
      return typeof target === 'string' ? undefined : guard.forbidsTarget(target)
    },
    publicUrl,
    hubs: relay === undefined ? undefined : { check: proofs.check, wants: relay.wants },
    failed: (error) => logger.error({ err: error }, 'a lonelyps request failed'),
    sockets: {
      origins: of.origins,
      admit: of.admit,
      random: realRandom,
      form: options.minimalHeaders ? 'minimal' : 'expanded',
      compression: {
        allowed: options.compression ? 'yes' : 'no',
        training: options.training ? 'yes' : 'no',
        presets: dictionariesOf(options.compressionDictionaries),
      },
      relaying: relay,
      ended: (address, reason) => logger.info({ address, reason }, 'a lonelyps WebSocket was closed'),
    },
  })
  return {
    transport, webhooks, spool,
    started: async () => relay?.start(),
    unregister: async () => relay?.stop(),
  }
}

/** The public url as a host and port. */
function publicly(url: string): { hostname: string; port: number } | undefined {
  const target = url === '' ? '' : parseTarget(url)
  return typeof target === 'string' ? undefined : target
}
