import type { CallPort } from '../core/calls.ts'
import { WaystationError } from '../core/errors.ts'
import type { Limits } from '../core/limits.ts'
import type { Identity } from '../core/ports.ts'
import { topicFromText } from '../core/topic.ts'
import type { Access } from './access.ts'
import type { Idempotency } from './idempotency.ts'
import { own } from './own.ts'
import type { Pools } from './pools.ts'
import type { Answering, Asker, From } from './ports.ts'
import type { Result } from './result.ts'

/** Hands calls to the pools, whichever way they come in: checks who may, and sees that a key is used for one call. */
export interface Switchboard extends CallPort {
  /** What answers a caller who speaks Erps: the identifier of each packet names the service (`erps.md`, 2.4). */
  answering(): Answering
  /** Whether whoever has a certificate of these names may work for the service. */
  mayWork(service: string, names: readonly string[]): boolean
}

export interface SwitchboardParts {
  readonly pools: Pools
  readonly access: Access
  readonly idempotency: Idempotency
  readonly limits: Pick<Limits, 'callTimeout' | 'maxCallTimeout'>
  /** Whether callers prove who they are: by certificates, or by signing. */
  readonly callers: 'proved' | 'unproved'
  /** What became of a call, a code of `errors.md` or `ok`. */
  readonly counted: (service: string, outcome: string) => void
  /** Does it later: a failure that is known at once is told then. */
  readonly soon: (fn: () => void) => void
}

export function createSwitchboard(parts: SwitchboardParts): Switchboard {
  const { pools, access, idempotency, limits, counted } = parts

  function count(service: string, result: Result): void {
    counted(service, result.kind === 'answer' ? 'ok' : result.error.code)
  }

  function identityOf({ address, local }: { readonly address: string; readonly local: boolean }): Identity {
    return { kind: parts.callers === 'proved' ? 'signed' : 'anonymous', local, address }
  }

  /** The name of the service, where the caller may call it. */
  function serviceOf({ identifier, peer }: Asker): string | undefined {
    const service = identifier.toString('utf8')
    if (peer === undefined) return undefined
    return access.mayCall(topicFromText(service.toWellFormed()), identityOf(peer), peer.certificateNames) ? service : undefined
  }

  function answer(request: Buffer, from: From): void {
    const service = serviceOf(from)
    if (service === undefined) {
      counted('', 'forbidden')
      return void from.fail('forbidden')
    }
    const deadline = Math.min(from.deadline ?? limits.callTimeout, limits.maxCallTimeout)
    const abandon = pools.call(service, { request: own(request), deadline, times: from.times, ...(from.key !== undefined && { key: from.key }) }, (result) => {
      from.onLeave(undefined)
      count(service, result)
      if (result.kind === 'answer') from.reply(own(result.term))
      else from.fail(result.error.code)
    })
    from.onLeave(abandon)
  }

  return {
    call(service, wish, by, settle) {
      const { request, deadline, key, idempotencyKey } = wish
      const times = idempotencyKey === undefined ? 'once' : 'repeatable'
      const told = (result: Result): void => {
        count(service, result)
        settle(result.kind === 'answer' ? result : { kind: 'failed', error: result.error })
      }
      if (!access.mayCall(topicFromText(service), by, undefined)) {
        let isWanted = true
        parts.soon(() => {
          if (isWanted) told({ kind: 'failed', error: new WaystationError('forbidden', service), done: 'no' })
        })
        return () => void (isWanted = false)
      }
      const start = (settled: (result: Result) => void): (() => void) => pools.call(service, { request, deadline, times, ...(key !== undefined && { key }) }, settled)
      if (idempotencyKey === undefined) return start(told)
      return idempotency.run({ who: whoOf(by), service, key: idempotencyKey, request, deadline }, (settled) => void start(settled), told)
    },
    cast(service, { request, key }, by) {
      if (!access.mayCall(topicFromText(service), by, undefined)) throw new WaystationError('forbidden', service)
      const refused = pools.cast(service, { request, ...(key !== undefined && { key }) })
      if (refused !== undefined) throw refused
    },
    mayCall: (service, by) => access.mayCall(topicFromText(service), by, undefined),
    mayWork: (service, names) => access.mayWork(topicFromText(service), names),
    answering: () => ({
      call: answer,
      cast(request, from) {
        const service = serviceOf(from)
        // Nobody is told what becomes of a cast.
        if (service !== undefined) pools.cast(service, { request: own(request), ...(from.key !== undefined && { key: from.key }) })
      },
      // Its calls have been abandoned one by one.
      ended() {},
    }),
  }
}

/** Keys of one caller are not those of another: whoever has an API key is known by it, all others by where they come from. */
function whoOf(by: Identity): string {
  return by.kind === 'keyed' ? `domain ${by.domain ?? ''}` : `${by.kind} ${by.address}`
}
