import type { ErrorCode } from '../../src/core/errors.ts'
import { limitsWith, type Limits } from '../../src/core/limits.ts'
import { createIdempotency } from '../../src/services/idempotency.ts'
import { POLICIES, type Policy } from '../../src/services/policy.ts'
import type { Member, PoolView, Wish } from '../../src/services/pool-ports.ts'
import { createPools } from '../../src/services/pools.ts'
import type { Callee, Outcome } from '../../src/services/ports.ts'
import type { Result } from '../../src/services/result.ts'
import { createManualClock, createSeededRandom } from '../../src/testing/index.ts'
import { reasonOf } from './pool-parts.ts'

/*
 * Workers of one service that join, answer, refuse, lose calls, drain and die, and callers of all kinds, in one process from
 * a seed. Promised is: each call ends once, never before it was made and never after its deadline; what it gets is its own
 * answer; one that is to be done once is not sent to a second worker that may do it, under whichever idempotency key it is
 * asked again; one that is said to be undone is; workers get no more than they have slots, in the order of arrival, by the
 * policy; no more wait than may; in the end nothing is left.
 */

export interface Played {
  readonly seed: number
  readonly policy: Policy
  /** What was promised and not kept. */
  readonly breach: string | undefined
  readonly answered: number
  readonly failed: number
  /** Times that a call went to a further worker. */
  readonly moved: number
  readonly waited: number
  readonly repeats: number
}

interface Call {
  readonly request: string
  readonly times: Wish['times']
  readonly key: string | undefined
  readonly arrival: number
  /** Workers that it was sent to. */
  readonly tried: Set<Worker>
  /** Sends after which a worker may have done it. */
  maybeDone: number
}

interface Worker {
  readonly id: string
  readonly slots: number
  readonly serial: number
  readonly held: Map<Call, (outcome: Outcome) => void>
  member: Member
  state: 'open' | 'draining' | 'gone'
  restUntil: number
}

const STEPS = 40
const SERVICE = 'sums'
const IDS = ['a', 'b', 'c', 'd', 'e']
const KEYS = ['red', 'green', 'blue', undefined]
const DEADLINES = [15, 60, 250, 1_000]
/** Past the deadline: calls that move have theirs rounded to whole ms. */
const SLACK = 1
const REST = 100
const REASONS: readonly ErrorCode[] = ['call_failed', 'too_many_calls', 'forbidden', 'deadline']
const LIMITS: readonly Limits[] = [
  { maxPoolQueue: 0 }, { maxPoolQueue: 2 }, { maxPoolQueue: 6 }, { maxPoolQueue: 6, maxCalls: 5 }, { maxPoolQueue: 100 }, { maxPoolQueue: 100, maxCallBytes: 40 },
].map(limitsWith)

class Breach extends Error {}

export function playPoolWorld(seed: number): Played {
  const random = createSeededRandom(seed)
  const policy = random.pick(POLICIES)
  const limits = random.pick(LIMITS)
  /** Nothing is lost or refused, nothing is cast: all about order is known. */
  const isCalm = random.below(4) === 0
  const clock = createManualClock()
  const pools = createPools({ clock, random, limits, stated: new Map([[SERVICE, policy]]) })
  const idempotency = createIdempotency({ clock, limits })
  const workers: Worker[] = []
  const unsettled = new Set<() => void>()
  /** Of each key who was preferred to whom. */
  const preferred = new Set<string>()
  const keyed = new Map<string, Call>()
  const counts = { answered: 0, failed: 0, moved: 0, waited: 0, repeats: 0 }
  let serials = 0
  let arrivals = 0
  let lastFirst = 0
  let lastChosen = 0
  let isCalling = false
  let depth = 0

  function demand(isKept: boolean, promise: string): void {
    if (!isKept) throw new Breach(promise)
  }

  const isFree = (worker: Worker, call: Call): boolean => worker.state === 'open' && worker.restUntil <= clock.monotonic() && worker.held.size < worker.slots && !call.tried.has(worker)

  /** A call comes to a worker. */
  function sent(worker: Worker, call: Call): void {
    demand(worker.state === 'open', `${call.request} went to a worker that is ${worker.state}`)
    demand(worker.restUntil <= clock.monotonic(), `${call.request} went to a worker that has just failed`)
    demand(!call.tried.has(worker), `${call.request} went twice to one worker`)
    demand(worker.held.size < worker.slots, `${worker.id} has more than ${worker.slots} calls`)
    demand(call.times === 'repeatable' ? call.maybeDone < 3 : call.maybeDone === 0, `${call.request} may be done ${call.maybeDone + 1} times`)
    if (call.tried.size === 0) {
      demand(call.arrival > lastFirst, `${call.request} was overtaken`)
      lastFirst = call.arrival
    } else counts.moved++
    if (!isCalling) counts.waited++
    const free = workers.filter((one) => isFree(one, call))
    if (free.every(({ restUntil }) => restUntil !== clock.monotonic())) followed(worker, call, free)
    call.tried.add(worker)
    call.maybeDone++
  }

  function followed(worker: Worker, call: Call, free: readonly Worker[]): void {
    if (policy === 'least' || (policy === 'hash' && call.key === undefined)) {
      for (const one of free) demand(worker.held.size / worker.slots <= one.held.size / one.slots, `${worker.id} was chosen, ${one.id} has less to do`)
    } else if (policy === 'hash') {
      for (const { id } of free) {
        if (id === worker.id) continue
        demand(!preferred.has(`${call.key} ${id} ${worker.id}`), `${call.key} went to ${worker.id}, and before to ${id} instead`)
        preferred.add(`${call.key} ${worker.id} ${id}`)
      }
    } else if (isCalm && isCalling) {
      const next = free.find(({ serial }) => serial > lastChosen) ?? free[0]
      demand(worker === next, `${worker.id} was chosen, the next is ${next?.id}`)
      lastChosen = worker.serial
    }
  }

  function join(): void {
    const held: Worker['held'] = new Map()
    const callee: Callee = {
      call({ request, deadline }, settle) {
        const call = known.get(request) as Call
        sent(worker, call)
        const untime = clock.after(deadline, () => void (held.delete(call) && settle({ kind: 'deadline' })))
        held.set(call, (outcome) => {
          untime()
          settle(outcome)
        })
        return () => {
          untime()
          held.delete(call)
        }
      },
      cast: () => random.below(4) > 0,
    }
    const worker: Worker = { id: random.pick(IDS), slots: 1 + random.below(3), serial: ++serials, held, member: { drain() {}, gone() {} }, state: 'open', restUntil: -1 }
    if (workers.some(({ id }) => id === worker.id)) return
    workers.push(worker)
    worker.member = pools.join(SERVICE, { id: worker.id, slots: worker.slots, callee })
  }

  /** Requests come back as the same buffers. */
  const known = new Map<Buffer, Call>()

  function ask(): void {
    const isKeyed = random.below(6) === 0
    const name = isKeyed ? random.pick(['k1', 'k2']) : `c${arrivals}`
    const request = isKeyed ? `${name}/${random.below(5) === 0 ? 'other' : 'same'}` : `${name}${'-'.repeat(random.below(8))}`
    const bytes = Buffer.from(request)
    const deadline = random.pick(DEADLINES)
    const key = random.pick(KEYS)
    const until = clock.monotonic() + deadline
    const before = keyed.get(name)
    const call: Call = { request, times: random.below(2) === 0 ? 'once' : 'repeatable', key, arrival: ++arrivals, tried: new Set(), maybeDone: 0 }
    const view = pools.views[0]
    const isFull = (view?.waiting ?? 0) >= limits.maxPoolQueue || pools.calls >= limits.maxCalls || pools.bytes + bytes.length > limits.maxCallBytes
    const hasOpen = workers.some(({ state, restUntil }) => state === 'open' && restUntil < clock.monotonic())
    let isReturned = false
    let isOver = false
    let own: Call | undefined

    const told = (result: Result): void => {
      demand(isReturned, `${request} was settled before it had returned`)
      demand(!isOver, `${request} was settled twice or after it was abandoned`)
      isOver = true
      unsettled.delete(abandon)
      demand(clock.monotonic() <= until + SLACK, `${request} was settled ${clock.monotonic() - until} ms after its deadline`)
      if (result.kind === 'answer') {
        counts.answered++
        demand(`${result.term}` === `${request}!`, `${request} got ${result.term}`)
      } else {
        counts.failed++
        const { code } = result.error
        if (result.done === 'no' && own !== undefined) demand(own.maybeDone === 0, `${request} is said to be undone: ${code}`)
        if (code === 'idempotency_conflict') demand(before !== undefined && before.request !== request, `${request} is no conflict`)
        if (own !== undefined && own.tried.size === 0) {
          if (code === 'too_many_calls') demand(isFull, `${request} was refused though there was room`)
          if (code === 'no_worker' && !isLater) demand(!hasOpen, `${request} was refused though somebody was here`)
        }
      }
      if (depth < 1 && random.below(4) === 0) {
        depth++
        ask()
        depth--
      }
    }
    let isLater = false
    const make = (settle: (result: Result) => void): (() => void) => {
      own = call
      known.set(bytes, call)
      const had = isCalling
      isCalling = true
      const leave = pools.call(SERVICE, { request: bytes, deadline, times: call.times, ...(key !== undefined && { key: Buffer.from(key) }) }, settle)
      isCalling = had
      isLater = (pools.views[0]?.waiting ?? 0) > 0
      return leave
    }
    let leave = (): void => {}
    const abandon = (): void => {
      isOver = true
      unsettled.delete(abandon)
      leave()
    }
    unsettled.add(abandon)
    if (!isKeyed) leave = make(told)
    else {
      leave = idempotency.run({ who: 'me', service: SERVICE, key: name, request: bytes, deadline }, (settle) => {
        demand((keyed.get(name)?.maybeDone ?? 0) === 0, `${name} runs again though it may have been done`)
        keyed.set(name, call)
        make(settle)
      }, told)
      if (own === undefined) counts.repeats++
    }
    isReturned = true
  }

  function rest(worker: Worker): void {
    if (worker.state === 'open' && worker.restUntil <= clock.monotonic()) worker.restUntil = clock.monotonic() + REST
  }

  /** A worker ends a call that it has. */
  function settle(worker: Worker, call: Call, outcome: Outcome): void {
    const told = worker.held.get(call)
    worker.held.delete(call)
    if (outcome.kind === 'unsent') call.maybeDone--
    if (outcome.kind === 'failed' && !outcome.reason.includes('call_failed') && !outcome.reason.includes('deadline')) call.maybeDone--
    if (outcome.kind === 'lost' || (outcome.kind === 'unsent' && outcome.code !== 'message_too_large')) rest(worker)
    told?.(outcome)
  }

  const lost = (): Outcome => (random.below(2) === 0 ? { kind: 'lost', detail: 'cut' } : { kind: 'unsent', code: 'disconnected', detail: 'cut' })

  function fail(): Outcome {
    if (isCalm || random.below(3) === 0) return { kind: 'failed', reason: reasonOf(random.pick(REASONS)) }
    return random.below(2) === 0 ? lost() : { kind: 'unsent', code: random.pick(['too_many_calls', 'overloaded', 'message_too_large']), detail: '' }
  }

  function end(worker: Worker): void {
    const isTold = isCalm || random.below(2) === 0
    if (isTold) leave(worker)
    // One after the other: what a call does to the pool is seen by the next.
    for (const call of Array.from(worker.held.keys())) if (worker.held.has(call)) settle(worker, call, isCalm ? { kind: 'answer', term: Buffer.from(`${call.request}!`) } : lost())
    if (!isTold && random.below(3) > 0) leave(worker)
  }

  function leave(worker: Worker): void {
    worker.state = 'gone'
    workers.splice(workers.indexOf(worker), 1)
    worker.member.gone()
  }

  function step(): void {
    const worker = workers.length > 0 ? random.pick(workers) : undefined
    const call = worker === undefined || worker.held.size === 0 ? undefined : random.pick([...worker.held.keys()])
    const chance = random.below(100)
    if (chance < 40) ask()
    else if (chance < 65) {
      if (worker !== undefined && call !== undefined) settle(worker, call, { kind: 'answer', term: Buffer.from(`${call.request}!`) })
    } else if (chance < 70) {
      if (worker !== undefined && call !== undefined) settle(worker, call, fail())
    } else if (chance < 78) join()
    else if (chance < 81) {
      if (worker !== undefined) end(worker)
    } else if (chance < 83) {
      if (worker?.state === 'open') {
        worker.state = 'draining'
        worker.member.drain()
      }
    } else if (chance < 87) {
      if (unsettled.size > 0) random.pick([...unsettled])()
    } else if (chance < 90) {
      if (!isCalm) pools.cast(SERVICE, { request: Buffer.from('cast') })
    } else clock.advance(random.pick([1, 5, 20, 120]))
    if (random.below(3) === 0) clock.endTurn()
  }

  function check(): void {
    const view = pools.views[0] as PoolView
    demand(view.waiting <= limits.maxPoolQueue, `${view.waiting} wait, ${limits.maxPoolQueue} may`)
    demand(pools.calls <= limits.maxCalls && pools.bytes <= limits.maxCallBytes, `${pools.calls} calls of ${pools.bytes} bytes`)
    demand(view.members.length === workers.length, `${view.members.length} workers, ${workers.length} are here`)
    for (const [index, { held, state }] of workers.entries()) {
      demand(view.members[index]?.running === held.size, 'a worker has other calls than the pool knows of')
      demand((state === 'draining') === (view.members[index]?.state === 'draining'), 'a worker drains and the pool does not know')
    }
    if (isCalm && view.waiting > 0) demand(workers.some(({ state }) => state === 'open') && workers.every(({ state, held, slots }) => state !== 'open' || held.size === slots), 'calls wait though a worker is free')
  }

  function finish(): void {
    if (random.below(3) === 0) {
      const deadline = new AbortController()
      if (random.below(2) === 0) deadline.abort()
      void pools.stop(deadline.signal)
      for (let i = 0; i < 3; i++) step()
      deadline.abort()
    }
    clock.advance(2 * Math.max(...DEADLINES) + limits.callTimeout)
    demand(unsettled.size === 0, `${unsettled.size} calls have never ended`)
    for (const worker of workers.slice()) leave(worker)
    clock.advance(limits.idempotencyTime)
    demand(pools.calls === 0 && pools.bytes === 0, `${pools.calls} calls of ${pools.bytes} bytes are still booked`)
    demand(clock.timers === 0, `${clock.timers} timers are left`)
    demand(idempotency.bytes === 0 && idempotency.running === 0, 'results are kept too long')
  }

  let breach: string | undefined
  try {
    for (let i = 1 + random.below(4); i > 0; i--) join()
    for (let i = 0; i < STEPS; i++) {
      step()
      check()
    }
    finish()
  } catch (error) {
    breach = error instanceof Breach ? error.message : (error as Error).stack
  }
  return { seed, policy, breach, ...counts }
}
