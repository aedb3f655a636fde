import { limitsWith, type LimitName } from '../../src/core/limits.ts'
import { createCallAccount } from '../../src/services/call-account.ts'
import type { Policy } from '../../src/services/policy.ts'
import { createPool } from '../../src/services/pool.ts'
import type { Member, Pool, Wish } from '../../src/services/pool-ports.ts'
import type { Bare, Callee, CallWish, Outcome } from '../../src/services/ports.ts'
import type { Result } from '../../src/services/result.ts'
import { createManualClock, createSeededRandom, type ManualClock } from '../../src/testing/index.ts'

/** A call that a worker has. */
export interface Held {
  readonly wish: CallWish
  readonly request: string
  settle(outcome: Outcome): void
}

/** A worker that does what the test says. */
export interface TestWorker extends Callee {
  readonly held: Held[]
  readonly casts: string[]
  /** Requests that nobody waits for any more. */
  readonly abandoned: string[]
  takesCasts: boolean
  /** Answers the oldest that it has. */
  answer(text?: string): void
  lose(): void
  refuse(code: Extract<Outcome, { kind: 'unsent' }>['code']): void
}

export function createTestWorker(): TestWorker {
  const held: Held[] = []
  const casts: string[] = []
  const abandoned: string[] = []
  const settle = (outcome: Outcome): void => held.shift()?.settle(outcome)
  return {
    held,
    casts,
    abandoned,
    takesCasts: true,
    answer: (text = held[0]?.request ?? '') => settle({ kind: 'answer', term: Buffer.from(text) }),
    lose: () => settle({ kind: 'lost', detail: 'cut' }),
    refuse: (code) => settle({ kind: 'unsent', code, detail: '' }),
    call(wish, told) {
      const one = { wish, request: `${wish.request}`, settle: told }
      held.push(one)
      return () => {
        abandoned.push(one.request)
        held.splice(held.indexOf(one), 1)
      }
    },
    cast(request) {
      if (this.takesCasts) casts.push(`${request}`)
      return this.takesCasts
    },
  }
}

export interface TestPool {
  readonly pool: Pool
  readonly clock: ManualClock
  readonly account: ReturnType<typeof createCallAccount>
  /** What each request has come to, in the order in which they were told. */
  readonly results: string[]
  join(id: string, slots?: number): TestWorker & Member
  /** Gives what abandons it. */
  call(request: string, more?: Partial<Wish>): () => void
  cast(request: string): string | undefined
}

export function createTestPool({ policy = 'least', seed = 1, ...limits }: { policy?: Policy; seed?: number } & Partial<Record<LimitName, number>> = {}): TestPool {
  const clock = createManualClock()
  const account = createCallAccount(limitsWith(limits))
  const pool = createPool({ name: 'sums', policy, clock, random: createSeededRandom(seed), limits: limitsWith(limits), account })
  const results: string[] = []
  return {
    pool,
    clock,
    account,
    results,
    join(id, slots = 1) {
      const worker = createTestWorker()
      return Object.assign(worker, pool.join({ id, slots, callee: worker }))
    },
    call: (request, more) => pool.call(wish(request, more), (result) => void results.push(`${request}: ${textOf(result)}`)),
    cast: (request) => pool.cast({ request: Buffer.from(request) })?.code,
  }
}

export function wish(request: string, more: Partial<Wish> = {}): Wish {
  return { request: Buffer.from(request), deadline: 1_000, times: 'once', ...more }
}

/** `answer`, or `code, done`. */
export function textOf(result: Result): string {
  return result.kind === 'answer' ? `${result.term}` : `${result.error.code}, ${result.done}`
}

/** A reason as it stands in an error packet. */
export function reasonOf(text: string): Bare {
  const bytes = Buffer.from(text)
  return Buffer.concat([Buffer.of(109, 0, 0, 0, bytes.length), bytes])
}
