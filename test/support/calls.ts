import { createInbox, type Inbox } from './events.ts'
import { anonymous, admitAll, listenWith, transportKit } from './transport-port.ts'
import type { TestContext } from 'node:test'
import type { CallOutcome, CallPort, CallWish, CastWish } from '../../src/core/calls.ts'
import { ERRORS, WaystationError, type ErrorCode } from '../../src/core/errors.ts'
import type { LimitName } from '../../src/core/limits.ts'
import type { HubPort, Identity } from '../../src/core/ports.ts'
import { createBodyAccount } from '../../src/http/body-account.ts'
import { createOrigins } from '../../src/http/origin.ts'
import { createCalls, type Calls } from '../../src/transports/calls/calls.ts'
import type { CallsOptions } from '../../src/transports/calls/parts.ts'

/** A call that a test answers. */
export interface HeldCall {
  readonly service: string
  readonly wish: CallWish
  readonly by: Identity
  readonly isAbandoned: boolean
  answer(term: Buffer): void
  fail(code: ErrorCode, detail?: string): void
}

/**
 * Services that a test makes up. `echo` answers with its request, `fail/<code>` fails, a code of the table; every other
 * service waits for the test to answer.
 */
export interface FakeServices extends CallPort {
  readonly calls: Inbox<HeldCall>
  readonly casts: Inbox<{ readonly service: string; readonly wish: CastWish }>
  readonly abandoned: Inbox<string>
  /** Services that nobody may call. */
  readonly forbidden: Set<string>
}

export function createFakeServices(): FakeServices {
  const [calls, casts, abandoned, forbidden] = [createInbox<HeldCall>('call'), createInbox<{ service: string; wish: CastWish }>('cast'), createInbox<string>('abandoned call'), new Set<string>()]

  function codeOf(service: string): ErrorCode | undefined {
    const code = service.startsWith('fail/') ? service.slice('fail/'.length) : ''
    return code in ERRORS ? (code as ErrorCode) : undefined
  }

  return {
    calls, casts, abandoned, forbidden,
    mayCall: (service) => !forbidden.has(service),
    call(service, wish, by, settle) {
      let state: 'waits' | 'settled' | 'abandoned' = 'waits'
      const end = (outcome: CallOutcome): void => {
        if (state !== 'waits') return
        state = 'settled'
        settle(outcome)
      }
      const code = forbidden.has(service) ? 'forbidden' : codeOf(service)
      const held: HeldCall = {
        service, wish, by,
        get isAbandoned() { return state === 'abandoned' },
        answer: (term) => end({ kind: 'answer', term }),
        fail: (failed, detail) => end({ kind: 'failed', error: new WaystationError(failed, detail) }),
      }
      if (code !== undefined) queueMicrotask(() => held.fail(code, 'for a test'))
      else if (service === 'echo') queueMicrotask(() => held.answer(wish.request))
      calls.push(held)
      return () => {
        if (state !== 'waits') return
        state = 'abandoned'
        abandoned.push(service)
      }
    },
    cast(service, wish) {
      const code = codeOf(service)
      if (forbidden.has(service)) throw new WaystationError('forbidden')
      if (code !== undefined) return Promise.reject(new WaystationError(code, 'for a test'))
      casts.push({ service, wish })
      return undefined
    },
  }
}

export interface CallsWorld {
  readonly port: number
  readonly transport: Calls
  readonly services: FakeServices
  /** What the transport was told that should not have been thrown. */
  readonly failures: unknown[]
  /** How often a slow one was let go. */
  readonly slow: string[]
  /** Bytes that the body account has booked. */
  readonly booked: number
  /** Places that are taken. */
  readonly places: number
}

export interface CallsWorldOptions {
  readonly limits?: Partial<Record<LimitName, number>>
  readonly origins?: readonly string[]
  readonly identify?: CallsOptions['identify']
  readonly atoms?: readonly string[]
  readonly termAtoms?: CallsOptions['termAtoms']
  readonly admit?: CallsOptions['admit']
}

/** What the transport is made of, without a socket. */
export function callsOptions(options: CallsWorldOptions = {}): { options: CallsOptions; services: FakeServices; failures: unknown[]; slow: string[]; readonly booked: number; readonly places: number } {
  const [services, failures, slow] = [createFakeServices(), [] as unknown[], [] as string[]]
  const kit = transportKit({ drainTime: 100, ...options.limits })
  const account = createBodyAccount(kit.limits.maxUnfinishedBytes)
  let [booked, places] = [0, 0]
  return {
    services, failures, slow,
    get booked() { return booked },
    get places() { return places },
    options: {
      kit: { ...kit, meter: { ...kit.meter, slow: (transport) => void slow.push(transport) } },
      port: services,
      origins: createOrigins(options.origins ?? []),
      bodies: {
        take(client, bytes) {
          const taken = account.take(client, bytes)
          if (taken) booked += bytes
          return taken
        },
        give(client, bytes) {
          booked -= bytes
          account.give(client, bytes)
        },
      },
      admit(request) {
        const place = (options.admit ?? admitAll)(request)
        if (typeof place === 'number') return place
        places++
        return () => void places--
      },
      identify: options.identify ?? anonymous,
      atoms: new Set(options.atoms),
      termAtoms: options.termAtoms ?? 'any',
      failed: (error) => void failures.push(error),
    },
  }
}

/** The transport on a port of its own, with made-up services behind it. */
export async function startCalls(t: TestContext, stated: CallsWorldOptions = {}): Promise<CallsWorld> {
  const world = callsOptions(stated)
  const transport = createCalls(world.options)
  const port = await listenWith(t, transport.route, world.options.kit)
  await transport.start({} as HubPort)
  t.after(() => transport.stop(AbortSignal.abort()))
  return {
    port, transport, services: world.services, failures: world.failures, slow: world.slow,
    get booked() { return world.booked },
    get places() { return world.places },
  }
}
