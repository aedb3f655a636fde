import type { WaystationError } from '../core/errors.ts'
import type { Limits } from '../core/limits.ts'
import type { Clock, Random } from '../core/ports.ts'
import { createCallAccount } from './call-account.ts'
import type { Policy } from './policy.ts'
import { createPool } from './pool.ts'
import type { CastWish, Member, Offer, Pool, PoolView, Wish } from './pool-ports.ts'
import { failure, settleLater, type Failure, type Result } from './result.ts'

/**
 * All pools by the names of their services. One that is stated is always here. Any other comes with its first worker and
 * goes with its last; for a minute after that it is a service without a worker (503), and then none (404): while its only
 * worker starts again nobody is told that it never was.
 */
export interface Pools {
  readonly views: readonly PoolView[]
  /** Calls that are not answered yet and casts that wait, and the bytes of their requests. */
  readonly calls: number
  readonly bytes: number
  has(service: string): boolean
  /** A worker offers itself. */
  join(service: string, offer: Offer): Member
  /** As `Pool.call`. Fails also with `no_service`, and with `stopped` once it stops. */
  call(service: string, wish: Wish, settle: (result: Result) => void): () => void
  /** As `Pool.cast`, with the same two codes. */
  cast(service: string, wish: CastWish): WaystationError | undefined
  /**
   * Takes no more calls. Settles when all that are here have ended; when the deadline aborts, they are ended: `stopped` where
   * they were not sent, `worker_lost` where they were.
   */
  stop(deadline: AbortSignal): Promise<void>
}

export interface PoolsParts {
  readonly clock: Clock
  readonly random: Random
  readonly limits: Pick<Limits, 'maxCalls' | 'maxCallBytes' | 'maxPoolQueue' | 'callTimeout'>
  /** Services of the configuration. All others go by `least`. */
  readonly stated?: ReadonlyMap<string, Policy>
}

/** ms that a service is remembered without a worker: a restart, with some patience for slow machines. */
const REMEMBERED = 60_000
/** Names that are remembered so, lest workers with ever other names fill the memory. */
const MOST_REMEMBERED = 1_000

export function createPools(parts: PoolsParts): Pools {
  const { clock, limits, stated = new Map<string, Policy>() } = parts
  const account = createCallAccount(limits)
  const pools = new Map<string, Pool>()
  /** When each was last here, the longest ago first. */
  const remembered = new Map<string, number>()
  let rested = (): void => {}
  let isStopped = false

  for (const name of stated.keys()) open(name)

  function open(name: string): Pool {
    const pool = createPool({ name, policy: stated.get(name) ?? 'least', clock, random: parts.random, limits, account, quiet: () => quiet(name, pool) })
    pools.set(name, pool)
    remembered.delete(name)
    return pool
  }

  function quiet(name: string, pool: Pool): void {
    if (pool.members === 0 && pool.isIdle && !stated.has(name) && pools.get(name) === pool) forget(name)
    if (account.calls === 0) rested()
  }

  function forget(name: string): void {
    pools.delete(name)
    remembered.set(name, clock.monotonic())
    const now = clock.monotonic()
    for (const [one, since] of remembered) {
      if (remembered.size <= MOST_REMEMBERED && now - since < REMEMBERED) break
      remembered.delete(one)
    }
  }

  function isRemembered(name: string): boolean {
    const since = remembered.get(name)
    return since !== undefined && clock.monotonic() - since < REMEMBERED
  }

  function refusal(name: string): Failure {
    if (isStopped) return failure('stopped', '', 'no')
    return failure(isRemembered(name) ? 'no_worker' : 'no_service', name, 'no')
  }

  return {
    get views() { return [...pools.values()].map(({ view }) => view) },
    get calls() { return account.calls },
    get bytes() { return account.bytes },
    has: (service) => pools.has(service),
    join: (service, offer) => (pools.get(service) ?? open(service)).join(offer),
    call(service, wish, settle) {
      const pool = isStopped ? undefined : pools.get(service)
      return pool === undefined ? settleLater(clock, refusal(service), settle) : pool.call(wish, settle)
    },
    cast(service, wish) {
      const pool = isStopped ? undefined : pools.get(service)
      return pool === undefined ? refusal(service).error : pool.cast(wish)
    },
    async stop(deadline) {
      isStopped = true
      if (account.calls === 0) return
      const all = Promise.withResolvers<void>()
      const before = rested
      rested = () => {
        before()
        all.resolve()
      }
      const end = (): void => {
        // Pools that have ended their last call go from the map.
        for (const pool of Array.from(pools.values())) pool.end()
      }
      if (deadline.aborted) end()
      else deadline.addEventListener('abort', end, { once: true })
      await all.promise
      deadline.removeEventListener('abort', end)
    },
  }
}
