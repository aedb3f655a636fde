import type { WaystationError } from '../core/errors.ts'
import type { Policy } from './policy.ts'
import type { Bare, Callee } from './ports.ts'
import type { Result } from './result.ts'

export interface Wish {
  readonly request: Bare
  /** ms from now until nobody waits any more. */
  readonly deadline: number
  /** `once`: never sent to a second worker where the first may have done it. */
  readonly times: 'once' | 'repeatable'
  /** Calls of one key go to one worker, where the pool's policy is `hash`. */
  readonly key?: Buffer
  readonly identifier?: Buffer
}

export type CastWish = Pick<Wish, 'request' | 'key' | 'identifier'>

/** A worker, from its joining to its end. */
export interface Member {
  /** It gets no new ones; what it has it answers. */
  drain(): void
  /** It is not here any more. What becomes of its calls their outcomes say. */
  gone(): void
}

export interface Offer {
  /** Of a worker that comes again it is the same, so that it gets the same keys. */
  readonly id: string
  readonly slots: number
  /** MUST settle each call by its deadline, and when it is lost. */
  readonly callee: Callee
  /** Why it never takes this request, where it does not: its callee has not sent it then, and another may. */
  readonly fault?: (request: Bare) => string | undefined
}

export interface PoolView {
  readonly name: string
  readonly policy: Policy
  readonly members: readonly { readonly id: string; readonly slots: number; readonly running: number; readonly state: MemberState }[]
  /** Calls and casts that wait for a free worker. */
  readonly waiting: number
  /** Calls that workers have. */
  readonly running: number
  /** Times that a call went to a further worker, since the pool is here. */
  readonly moved: number
  /** Casts that waited in vain, since the pool is here. */
  readonly dropped: number
}

/** `resting`: it has just failed to take a call, and gets none for a moment. */
export type MemberState = 'open' | 'resting' | 'draining'

export interface Pool {
  readonly view: PoolView
  readonly members: number
  /** Whether nothing waits and nothing is under way. */
  readonly isIdle: boolean
  join(offer: Offer): Member
  /**
   * Hands a call to a worker, or keeps it until one is free. What was surely not sent goes to another worker; what may have
   * been done, only where it is repeatable, to at most three. None goes twice to the same.
   *
   * `settle` is called once, never before `call` has returned. Fails with `no_worker` where nobody is here who takes calls,
   * `too_many_calls` past `maxPoolQueue`, `maxCalls` or `maxCallBytes`, `deadline`, `worker_lost`, and what the worker says.
   * Gives what says that nobody waits any more: `settle` is not called then.
   */
  call(wish: Wish, settle: (result: Result) => void): () => void
  /** Hands a cast to one worker, or keeps it until one is free, for `callTimeout` at most. Gives why it cannot be, where it cannot. */
  cast(wish: CastWish): WaystationError | undefined
  /** Ends all that waits or is under way now. */
  end(): void
}
