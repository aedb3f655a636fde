import { WaystationError } from '../core/errors.ts'
import type { Limits } from '../core/limits.ts'
import type { Clock, Random } from '../core/ports.ts'
import { createCallAccount } from './call-account.ts'
import type { ClientState, ServiceClient } from './client.ts'
import type { Policy } from './policy.ts'
import { createPool } from './pool.ts'
import type { CastWish, Member, Wish } from './pool-ports.ts'
import type { Outcome } from './ports.ts'
import { failure, failureOf, type Failure, type Result } from './result.ts'

/** What goes to one server, or to one of several. */
export interface Way {
  /** Of several servers that of the one that is best off. */
  readonly state: ClientState
  /** Casts that waited for a server in vain. */
  readonly dropped: number
  /** As `Pool.call`. Without any connection it fails with `disconnected`. */
  call(wish: Wish, settle: (result: Result) => void): () => void
  /** Gives whether it was sent, or waits to be. */
  cast(wish: CastWish): boolean
  /** The state of a client is another. */
  changed(): void
}

export interface WayParts {
  readonly name: string
  /** `id`: the same for the same server, always. */
  readonly members: readonly { readonly id: string; readonly client: ServiceClient }[]
  readonly policy: Policy
  readonly clock: Clock
  readonly random: Random
  readonly limits: Limits
}

export function createWay(parts: WayParts): Way {
  const [only, ...others] = parts.members
  return only !== undefined && others.length === 0 ? oneWay(only.client) : severalWays(parts)
}

function oneWay(client: ServiceClient): Way {
  return {
    get state() { return client.state },
    dropped: 0,
    call: ({ request, deadline, times, identifier, key }, settle) =>
      client.call({ request, deadline, times, ...(identifier !== undefined && { identifier }), ...(key !== undefined && { key }) }, (outcome) => settle(resultOf(outcome, client.state, deadline))),
    cast: ({ request, identifier, key }) => client.cast(request, identifier, key),
    changed() {},
  }
}

function resultOf(outcome: Outcome, state: ClientState, deadline: number): Result {
  switch (outcome.kind) {
    case 'answer': return { kind: 'answer', term: outcome.term }
    case 'failed': return explained(failureOf(outcome.reason), state)
    case 'lost': return failure('worker_lost', outcome.detail, 'perhaps')
    case 'unsent': return failure(outcome.code, outcome.detail, 'no')
    case 'deadline': return failure('deadline', `${deadline} ms`, 'perhaps')
    default: return outcome satisfies never
  }
}

/** Who is refused is told why: the state knows. */
function explained(failed: Failure, state: ClientState): Failure {
  return failed.error.code === 'service_refused' && state.state === 'down' ? failure('service_refused', state.why, failed.done) : failed
}

const RANKS: readonly ClientState['state'][] = ['up', 'connecting', 'down', 'disconnected', 'closed']

/**
 * Several servers are a pool whose members are here while they are connected. Before the first of them is, those that are
 * being connected count as well: calls wait for that.
 */
function severalWays({ name, members, policy, clock, random, limits }: WayParts): Way {
  const pool = createPool({ name, policy, clock, random, limits, account: createCallAccount(limits) })
  const joined = new Map<ServiceClient, Member>()

  function changed(): void {
    const isAnyUp = members.some(({ client }) => client.state.state === 'up')
    // Those that come join first: calls of those that go find somebody.
    for (const { id, client } of members) {
      const isHere = client.state.state === 'up' || (client.state.state === 'connecting' && !isAnyUp)
      if (isHere && !joined.has(client)) joined.set(client, pool.join({ id, slots: limits.maxCallsPerConnection, callee: client }))
    }
    for (const [client, member] of joined) {
      if (client.state.state === 'up' || (client.state.state === 'connecting' && !isAnyUp)) continue
      joined.delete(client)
      member.gone()
    }
  }

  function best(): ClientState {
    const states = members.map(({ client }) => client.state)
    return states.reduce((one, other) => (RANKS.indexOf(other.state) < RANKS.indexOf(one.state) ? other : one))
  }

  /** A pool says that nobody is there: here that is a connection which is missing. */
  function told(result: Result): Result {
    if (result.kind === 'answer' || result.error.code !== 'no_worker' || joined.size > 0) return result
    const state = best()
    return state.state === 'closed' ? failure('stopped', '', 'no') : failure('disconnected', 'why' in state ? state.why : '', result.done)
  }

  return {
    get state() { return best() },
    get dropped() { return pool.view.dropped },
    call: (wish, settle) => pool.call(wish, (result) => settle(told(result))),
    cast: (wish) => !(pool.cast(wish) instanceof WaystationError),
    changed,
  }
}
