import type { ErrorCode } from '../core/errors.ts'
import type { Limits } from '../core/limits.ts'
import type { Clock, Random } from '../core/ports.ts'
import type { CallAccount } from './call-account.ts'
import type { Candidate } from './chooser.ts'
import { createChooser, type Policy } from './policy.ts'
import type { CastWish, MemberState, Offer, Pool, Wish } from './pool-ports.ts'
import type { Callee, Outcome } from './ports.ts'
import { failure, failureOf, settleLater, type Failure, type Result } from './result.ts'
import { createWaitingLine, type Waiter } from './waiting.ts'

export type { CastWish, Member, MemberState, Offer, Pool, PoolView, Wish } from './pool-ports.ts'

export interface PoolParts {
  readonly name: string
  readonly policy: Policy
  readonly clock: Clock
  readonly random: Random
  readonly limits: Pick<Limits, 'maxPoolQueue' | 'callTimeout'>
  readonly account: CallAccount
  /** Told when the pool has become idle, and when a member has gone. */
  readonly quiet?: () => void
}

/** Workers that may have done a call that is repeatable. */
const MOST_ATTEMPTS = 3
/** Workers that a cast is offered to at once. */
const MOST_OFFERS = 3
/** ms without calls for a worker that could not take one: each that is offered to it in vain costs time. */
const REST = 100
/** What is wrong with the request itself: no other worker would take it either. */
const FAULTS_OF_REQUEST: ReadonlySet<ErrorCode> = new Set<ErrorCode>(['bad_request', 'message_too_large', 'forbidden'])
/** What a worker says that drains, to calls that were under way to it: it does not begin them. */
const GOING: ErrorCode = 'stopped'
const NONE: ReadonlySet<Seat> = new Set()

interface Seat extends Candidate {
  readonly serial: number
  readonly callee: Callee
  readonly fault: Offer['fault']
  running: number
  isOpen: boolean
  state: MemberState | 'gone'
  wake: () => void
}

interface Job extends Waiter<Seat> {
  readonly kind: 'call' | 'cast'
  readonly wish: Wish
  /** By the clock's monotonic time. */
  readonly until: number
  readonly settle: (result: Result) => void
  tried: Set<Seat> | typeof NONE
  /** Workers that it was lost with: they may have done it. */
  losses: number
  /** Why it is not answered yet. */
  why: Failure | undefined
  isOver: boolean
  /** Whose it is now. */
  seat: Seat | undefined
  /** Takes back the timer of its waiting, or the call from its worker. */
  leave: () => void
}

export function createPool(parts: PoolParts): Pool {
  const { name, clock, limits, account } = parts
  const chooser = createChooser(parts.policy, parts.random)
  const seats = new Set<Seat>()
  /** Those that take calls, now or when they have one less. */
  const open = new Set<Seat>()
  const line = createWaitingLine<Seat, Job>()
  const running = new Set<Job>()
  let serial = 0
  let arrivals = 0
  let moved = 0
  let dropped = 0

  const isIdle = (): boolean => running.size === 0 && line.size === 0
  const done = (job: Job): Failure['done'] => (job.losses > 0 ? 'perhaps' : 'no')
  const nobody = (): Failure => failure('no_worker', name, 'no')

  /** Ends one for which nothing is under way any more. The last that is done in a turn of events: whoever is told may call again. */
  function finish(job: Job, result: Result): void {
    if (!retire(job)) return
    job.settle(result)
    rested()
  }

  function retire(job: Job): boolean {
    if (job.isOver) return false
    job.isOver = true
    account.give(job.wish.request.length)
    return true
  }

  function rested(): void {
    if (isIdle()) parts.quiet?.()
  }

  /** Books one, and gives why it cannot be taken on, where it cannot. */
  function refuse(wish: CastWish, hasTried: ReadonlySet<Seat>): Failure | undefined {
    if (open.isSubsetOf(hasTried)) return nobody()
    const limit = account.take(wish.request.length)
    return limit === undefined ? undefined : failure('too_many_calls', limit, 'no')
  }

  /** Why what is booked cannot wait, where it cannot. It is booked no more then. */
  function refuseWaiting(wish: CastWish): Failure | undefined {
    if (line.size < limits.maxPoolQueue) return undefined
    account.give(wish.request.length)
    return failure('too_many_calls', 'maxPoolQueue', 'no')
  }

  function take(kind: Job['kind'], wish: Wish, settle: Job['settle'], tried: Job['tried'] = NONE): Job {
    return { kind, wish, until: clock.monotonic() + wish.deadline, settle, tried, losses: 0, why: undefined, isOver: false, seat: undefined, leave() {}, arrival: ++arrivals, place: undefined }
  }

  function start(job: Job, seat: Seat): void {
    if (job.tried.size > 0) moved++
    seat.running++
    chooser.changed(seat)
    running.add(job)
    job.seat = seat
    const deadline = Math.max(1, Math.round(job.until - clock.monotonic()))
    const abandon = seat.callee.call({ ...job.wish, deadline }, (outcome) => ended(job, seat, outcome))
    job.leave = () => {
      abandon()
      release(job, seat)
    }
  }

  function release(job: Job, seat: Seat): void {
    running.delete(job)
    job.seat = undefined
    seat.running--
    chooser.changed(seat)
  }

  function ended(job: Job, seat: Seat, outcome: Outcome): void {
    if (job.seat !== seat) return
    release(job, seat)
    const result = judge(job, seat, outcome)
    // Those that wait go before whatever the caller does next.
    feed(seat)
    if (result !== undefined) finish(job, result)
    failStranded()
  }

  /** What to tell the caller, or `undefined` where the call goes on. */
  function judge(job: Job, seat: Seat, outcome: Outcome): Result | undefined {
    switch (outcome.kind) {
      case 'answer': return { kind: 'answer', term: outcome.term }
      case 'deadline': return failure('deadline', '', 'perhaps')
      case 'failed': {
        const failed = failureOf(outcome.reason)
        if (failed.error.code === GOING) {
          // It is the worker that stops, and not whoever is called here.
          job.why = job.losses > 0 ? job.why : nobody()
          rest(seat, 'absent')
          return again(job, seat)
        }
        return job.losses > 0 ? { ...failed, done: 'perhaps' } : failed
      }
      case 'lost':
        rest(seat, 'absent')
        job.losses++
        job.why = failure('worker_lost', outcome.detail, 'perhaps')
        return job.wish.times === 'repeatable' && job.losses < MOST_ATTEMPTS ? again(job, seat) : job.why
      case 'unsent': {
        const { code, detail } = outcome
        job.why = job.losses > 0 ? job.why : failure(code === 'disconnected' ? 'no_worker' : code, detail, 'no')
        if (FAULTS_OF_REQUEST.has(code)) return seat.fault === undefined ? job.why : again(job, seat)
        rest(seat, code === 'too_many_calls' || code === 'overloaded' || code === 'slow_consumer' ? 'busy' : 'absent')
        return again(job, seat)
      }
      default: return outcome satisfies never
    }
  }

  function again(job: Job, seat: Seat): Result | undefined {
    if (job.until <= clock.monotonic()) return failure('deadline', '', done(job))
    job.tried = new Set([...job.tried, seat])
    const next = chooser.choose(job.wish.key, job.tried) as Seat | undefined
    if (next !== undefined) start(job, next)
    else if (open.isSubsetOf(job.tried)) return job.why
    else if (line.size >= limits.maxPoolQueue) return job.losses > 0 ? job.why : failure('too_many_calls', 'maxPoolQueue', 'no')
    else wait(job)
    return undefined
  }

  function wait(job: Job): void {
    line.add(job)
    const unwait = clock.after(job.until - clock.monotonic(), () => {
      line.remove(job)
      if (job.kind === 'cast') dropped++
      finish(job, failure('deadline', 'no worker was free in time', done(job)))
    })
    job.leave = () => {
      line.remove(job)
      unwait()
    }
  }

  /** Gives this one what waits, until it is full. */
  function feed(seat: Seat): void {
    while (seat.isOpen && seat.running < seat.slots) {
      const job = line.take(seat)
      if (job === undefined) return
      job.leave()
      if (job.kind === 'call') start(job, seat)
      else handOn(job, seat)
    }
  }

  function handOn(job: Job, seat: Seat): void {
    if (offer(job.wish, seat)) return finish(job, { kind: 'answer', term: job.wish.request })
    job.tried = new Set([...job.tried, seat])
    const { seat: taker, tried } = offerAround(job.wish, job.tried)
    job.tried = tried
    if (taker === undefined && !open.isSubsetOf(tried)) return wait(job)
    if (taker === undefined) dropped++
    finish(job, nobody())
  }

  function offer({ request, identifier, key }: CastWish, seat: Seat): boolean {
    return seat.callee.cast(request, identifier, key)
  }

  /** What to tell of a cast that nobody has taken: what is wrong with it, where that is why. */
  function faultOf({ request }: CastWish, tried: ReadonlySet<Seat>): Failure | undefined {
    const fault = [...tried].map((seat) => seat.fault?.(request)).find((why) => why !== undefined)
    return fault === undefined || !open.isSubsetOf(tried) ? undefined : failure('bad_request', fault, 'no')
  }

  function offerAround(wish: CastWish, hasTried: ReadonlySet<Seat>): { seat: Seat | undefined; tried: ReadonlySet<Seat> } {
    let tried = hasTried
    for (let offers = 0; offers < MOST_OFFERS; offers++) {
      const seat = chooser.choose(wish.key, tried) as Seat | undefined
      if (seat === undefined || offer(wish, seat)) return { seat, tried }
      tried = new Set([...tried, seat])
    }
    return { seat: undefined, tried: open.union(tried) }
  }

  /** `absent`: nobody is to wait for it. `busy`: it is here, and can take nothing now. */
  function rest(seat: Seat, why: 'absent' | 'busy'): void {
    if (seat.state !== 'open') return
    seat.state = 'resting'
    seat.isOpen = false
    if (why === 'absent') open.delete(seat)
    chooser.changed(seat)
    seat.wake = clock.after(REST, () => {
      seat.state = 'open'
      seat.isOpen = true
      open.add(seat)
      chooser.changed(seat)
      feed(seat)
    })
  }

  function close(seat: Seat, state: 'draining' | 'gone'): void {
    if (seat.state === 'gone') return
    seat.state = state
    seat.isOpen = false
    seat.wake()
    open.delete(seat)
    chooser.changed(seat)
    if (state === 'gone') {
      seats.delete(seat)
      chooser.leave(seat)
    }
    failStranded()
    if (state === 'gone') parts.quiet?.()
  }

  /** Those for whom nobody is left to wait for. */
  function failStranded(): void {
    if (line.size === 0) return
    for (const job of line.takeStranded(open)) {
      job.leave()
      if (job.kind === 'cast') dropped++
      finish(job, job.why ?? nobody())
    }
  }

  return {
    get view() {
      const members = [...seats].map(({ id, slots, running: calls, state }) => ({ id, slots, running: calls, state: state as MemberState }))
      return { name, policy: parts.policy, members, waiting: line.size, running: running.size, moved, dropped }
    },
    get members() { return seats.size },
    get isIdle() { return isIdle() },
    join({ id, slots, callee, fault }) {
      const seat: Seat = { id, slots, callee, fault, serial: ++serial, running: 0, isOpen: true, state: 'open', wake() {} }
      seats.add(seat)
      open.add(seat)
      chooser.join(seat)
      feed(seat)
      return {
        drain: () => close(seat, 'draining'),
        gone: () => close(seat, 'gone'),
      }
    },
    call(wish, settle) {
      const refused = refuse(wish, NONE)
      if (refused !== undefined) return settleLater(clock, refused, settle)
      const seat = chooser.choose(wish.key, NONE) as Seat | undefined
      const full = seat === undefined ? refuseWaiting(wish) : undefined
      if (full !== undefined) return settleLater(clock, full, settle)
      const job = take('call', wish, settle)
      if (seat === undefined) wait(job)
      else start(job, seat)
      return () => {
        if (!retire(job)) return
        const had = job.seat
        job.leave()
        if (had !== undefined) feed(had)
        rested()
      }
    },
    cast(wish) {
      const { seat, tried } = offerAround(wish, NONE)
      if (seat !== undefined) return undefined
      const refused = faultOf(wish, tried) ?? refuse(wish, tried) ?? refuseWaiting(wish)
      if (refused !== undefined) return refused.error
      wait(take('cast', { ...wish, deadline: limits.callTimeout, times: 'once' }, () => {}, new Set(tried)))
      return undefined
    },
    end() {
      for (const job of [...line.takeAll(), ...running]) {
        if (job.isOver) continue
        const isSent = job.seat !== undefined
        job.leave()
        finish(job, isSent || job.losses > 0 ? failure('worker_lost', 'this end is stopping', 'perhaps') : failure('stopped', '', 'no'))
      }
    },
  }
}
