import type { ErrorCode } from '../../src/core/errors.ts'
import type { Clock } from '../../src/core/ports.ts'

/* What is asked for in a whole world, and what must be true of it. */

/** Something that is asked for, by one call or by several of one idempotency key. */
export interface Job {
  readonly text: string
  readonly service: string
  readonly kind: 'once' | 'repeatable' | 'cast'
  readonly isKeyed: boolean
  executed: number
  /** Somebody was told that nobody has done it, nor will. */
  undone: string | undefined
  /** What those who asked were answered. */
  answered: string | undefined
}

/** One call, as its caller sees it. */
export interface Call {
  readonly job: Job
  readonly until: number
  /** It has returned: it may be settled. */
  made(): void
  answer(text: string): void
  fail(code: string): void
  /** Nobody waits any more. */
  abandon(): void
}

export class Breach extends Error {}

export interface Model {
  readonly jobs: ReadonlyMap<string, Job>
  readonly counts: Readonly<Record<'answered' | 'failed' | 'abandoned' | 'executed' | 'twice' | 'lost' | 'casts', number>>
  readonly unsettled: number
  demand(isKept: boolean, promise: string): void
  job(service: string, kind: Job['kind'], key?: string): Job
  call(job: Job, deadline: number): Call
  /** A handler is asked. Gives what it is to answer. */
  execute(text: string, service: string, mode: 'call' | 'cast'): string
  /** A cast was not taken. */
  refused(job: Job, why: string): void
  /** Calls that should have ended. */
  overdue(): void
}

/** ms after its deadline by which a call has ended. */
const SLACK = 100
/** Of these it is certain that nothing was done. */
const UNDONE: ReadonlySet<string> = new Set<ErrorCode>(['no_worker', 'no_service', 'too_many_calls', 'disconnected', 'stopped', 'forbidden', 'idempotency_conflict'])
const MOST = { once: 1, cast: 1, repeatable: 3 } as const

export function createModel(clock: Clock): Model {
  const jobs = new Map<string, Job>()
  const open = new Set<{ readonly job: Job; readonly until: number }>()
  const counts = { answered: 0, failed: 0, abandoned: 0, executed: 0, twice: 0, lost: 0, casts: 0 }

  function demand(isKept: boolean, promise: string): void {
    if (!isKept) throw new Breach(`${promise}, at ${clock.monotonic()}`)
  }

  return {
    jobs, counts, demand,
    get unsettled() { return open.size },
    job(service, kind, key) {
      const text = `${service} ${kind} ${key ?? jobs.size}`
      const job = jobs.get(text) ?? { text, service, kind, isKeyed: key !== undefined, executed: 0, undone: undefined, answered: undefined }
      jobs.set(text, job)
      return job
    },
    call(job, deadline) {
      const until = clock.monotonic() + deadline
      let state: 'made' | 'waits' | 'abandoned' | 'answered' | `failed ${string}` = 'made'
      function end(next: 'answered' | `failed ${string}`): void {
        demand(state === 'waits', `${job.text} was ${state} and is ${next}`)
        demand(clock.monotonic() <= until + SLACK, `${job.text} is ${next} ${clock.monotonic() - until} ms after its deadline`)
        state = next
        open.delete(call)
      }
      const call: Call = {
        job, until,
        made() {
          if (state === 'made') state = 'waits'
        },
        answer(text) {
          end('answered')
          counts.answered++
          demand(text.startsWith(`re ${job.text} #`), `${job.text} was answered by ${text}`)
          demand(job.executed > 0, `${job.text} was answered by nobody`)
          demand(!job.isKeyed || job.answered === undefined || job.answered === text, `${job.text} was answered by ${text} and by ${job.answered}`)
          job.answered = text
        },
        fail(code) {
          end(`failed ${code}`)
          counts.failed++
          if (code === 'worker_lost' || code === 'lost') counts.lost++
          if (code === 'call_failed') demand(job.executed > 0, `${job.text} failed and nobody has tried`)
          if (!UNDONE.has(code)) return
          // Whoever asks by the same key again may have it done.
          demand(job.executed === 0, `${job.text} is ${code} and was done ${job.executed} times`)
          if (!job.isKeyed) job.undone = code
        },
        abandon() {
          if (state !== 'waits') return
          state = 'abandoned'
          counts.abandoned++
          open.delete(call)
        },
      }
      open.add(call)
      return call
    },
    execute(text, service, mode) {
      const job = jobs.get(text)
      if (job === undefined) throw new Breach(`nobody has asked for ${text}`)
      demand(job.service === service, `${text} came to a worker of ${service}`)
      demand((job.kind === 'cast') === (mode === 'cast'), `${text} came as a ${mode}`)
      demand(job.undone === undefined, `${text} is done, and was said to be undone: ${job.undone}`)
      job.executed++
      if (mode === 'cast') counts.casts++
      else counts.executed++
      if (job.executed > 1) counts.twice++
      demand(job.executed <= MOST[job.kind], `${text} is done ${job.executed} times`)
      return `re ${text} #${job.executed}`
    },
    refused(job, why) {
      demand(job.executed === 0, `${job.text} was done and refused: ${why}`)
      job.undone = why
    },
    overdue() {
      for (const { job, until } of open) demand(clock.monotonic() <= until + SLACK, `${job.text} has not ended ${clock.monotonic() - until} ms after its deadline`)
    },
  }
}
