import { createHash } from 'node:crypto'
import type { Limits } from '../core/limits.ts'
import type { Clock } from '../core/ports.ts'
import type { Bare } from './ports.ts'
import { failure, settleLater, type Result } from './result.ts'

/** A call with an idempotency key. */
export interface Keyed {
  /** Whose key it is: the keys of one caller mean nothing to another. */
  readonly who: string
  readonly service: string
  readonly key: string
  readonly request: Bare
  /** ms from now until nobody waits any more. */
  readonly deadline: number
}

/**
 * Calls that are done once however often they are asked for. Calls of the same caller, service and key are one: the first
 * runs, those that come while it runs get its result as well, and those that come within `idempotencyTime` after its end get
 * the same again. Kept are answers and all failures after which the call may have been done; where it certainly was not, the
 * next runs it again.
 */
export interface Idempotency {
  /** Results that are kept, and what they take, with what their bookkeeping takes. */
  readonly kept: number
  readonly bytes: number
  readonly running: number
  /**
   * @param start runs the call; it settles once, later, by its deadline
   * @param settle is called once, never before this has returned, by the deadline of this one. Fails with
   * `idempotency_conflict` where the key belongs to another request
   * @returns what says that this one waits no more. The call itself goes on, for whoever asks again
   */
  run(keyed: Keyed, start: (settle: (result: Result) => void) => void, settle: (result: Result) => void): () => void
}

interface Running {
  readonly request: string
  readonly waiting: Set<(result: Result) => void>
}

interface Kept {
  readonly id: string
  readonly request: string
  readonly result: Result
  readonly bytes: number
  readonly until: number
}

/** Bytes that an entry takes beside its answer: two digests, three objects, and its share of a map. */
const ENTRY_BYTES = 512
/** Results that are kept at most: a map of more makes the process wait when it grows. */
const MOST_KEPT = 100_000
/** Of those that have gone, how many stay in the order before it is written anew. */
const MOST_GONE = 10_000

export interface IdempotencyParts {
  readonly clock: Clock
  readonly limits: Pick<Limits, 'idempotencyTime' | 'maxIdempotentBytes'>
  /** Results that are kept at most, however small they are. */
  readonly mostKept?: number
}

export function createIdempotency({ clock, limits, mostKept = MOST_KEPT }: IdempotencyParts): Idempotency {
  const running = new Map<string, Running>()
  const kept = new Map<string, Kept>()
  /** The same in the order in which they go: a map whose oldest go is slow to find its first. */
  let order: (Kept | undefined)[] = []
  /** How many of them have gone. */
  let gone = 0
  let bytes = 0
  let isTimed = false

  function keep(id: string, request: string, result: Result): void {
    if (limits.idempotencyTime === 0 || (result.kind === 'failed' && result.done === 'no')) return
    const own = result.kind === 'answer' ? { ...result, term: copy(result.term) } : result
    const size = ENTRY_BYTES + (own.kind === 'answer' ? own.term.length : Buffer.byteLength(own.error.detail))
    // One that never fits must not cost all others theirs.
    if (size > limits.maxIdempotentBytes) return
    const entry = { id, request, result: own, bytes: size, until: clock.monotonic() + limits.idempotencyTime }
    kept.set(id, entry)
    order.push(entry)
    bytes += size
    while (bytes > limits.maxIdempotentBytes || kept.size > mostKept) dropOldest()
    time()
  }

  function dropOldest(): void {
    const oldest = order[gone] as Kept
    order[gone++] = undefined
    kept.delete(oldest.id)
    bytes -= oldest.bytes
    if (gone < MOST_GONE && gone < order.length) return
    order = order.slice(gone)
    gone = 0
  }

  function dropOld(): void {
    const now = clock.monotonic()
    while ((order[gone]?.until ?? Infinity) <= now) dropOldest()
  }

  /** One timer, for the oldest. */
  function time(): void {
    const oldest = order[gone]
    if (isTimed || oldest === undefined) return
    isTimed = true
    clock.after(oldest.until - clock.monotonic(), () => {
      isTimed = false
      dropOld()
      time()
    })
  }

  function begin(id: string, request: string, start: (settle: (result: Result) => void) => void, settle: (result: Result) => void): () => void {
    const waiting = new Set([settle])
    running.set(id, { request, waiting })
    start((result) => {
      running.delete(id)
      keep(id, request, result)
      for (const one of waiting) {
        waiting.delete(one)
        one(result)
      }
    })
    return () => void waiting.delete(settle)
  }

  /** Waits for the result of another, no longer than it wanted to. */
  function join({ waiting }: Running, deadline: number, settle: (result: Result) => void): () => void {
    const mine = (result: Result): void => {
      untime()
      settle(result)
    }
    const untime = clock.after(deadline, () => {
      if (waiting.delete(mine)) settle(failure('deadline', '', 'perhaps'))
    })
    waiting.add(mine)
    return () => {
      untime()
      waiting.delete(mine)
    }
  }

  return {
    get kept() { return kept.size },
    get bytes() { return bytes },
    get running() { return running.size },
    run(keyed, start, settle) {
      const id = digest(JSON.stringify([keyed.who, keyed.service, keyed.key]))
      const request = digest(keyed.request)
      dropOld()
      const known = running.get(id) ?? kept.get(id)
      if (known === undefined) return begin(id, request, start, settle)
      if (known.request !== request) return settleLater(clock, failure('idempotency_conflict', '', 'no'), settle)
      return 'waiting' in known ? join(known, keyed.deadline, settle) : settleLater(clock, known.result, settle)
    },
  }
}

function digest(what: string | Buffer): string {
  return createHash('sha256').update(what).digest('latin1')
}

/** The answer alone: a view would keep all that came in with it. */
function copy(term: Bare): Bare {
  const own = Buffer.allocUnsafeSlow(term.length)
  term.copy(own)
  return own
}
