import { closeSync, openSync, readSync } from 'node:fs'
import { DRAIN } from './chaos-worker.ts'

/** Calls and casts of a test by their numbers, and what became of each, at both ends. */
export interface CallLedger {
  /** What must never be, in words. */
  readonly faults: readonly string[]
  readonly counts: Readonly<Record<'calls' | 'casts' | 'answered' | 'executed' | 'twice' | 'waiting' | 'unjudged', number>>
  /** How often each code was the end. */
  readonly codes: ReadonlyMap<string, number>
  /** ms after their deadlines at which calls have ended, at worst, beside those for which this process did nothing at all. */
  readonly latest: number
  begin(kind: Kind): number
  /** @param times when it was made and its deadline, by `performance.now()`, where it had to end by then */
  answered(id: number, by: unknown, times?: Times): void
  failed(id: number, code: string, times?: Times): void
  /** What a worker writes. */
  follow(journal: string): void
  /** Reads what they have written, and compares. */
  check(): void
  close(): void
}

export interface Times {
  readonly made: number
  readonly due: number
  /** Whose call it is. */
  readonly who: string
}

export type Kind = 'once' | 'repeatable' | 'cast'

const MOST: Readonly<Record<Kind, number>> = { once: 1, repeatable: 3, cast: 1 }
const KINDS: readonly Kind[] = ['once', 'repeatable', 'cast']
/** Nothing was done, and nothing will be. */
const UNDONE: ReadonlySet<string> = new Set(['no_worker', 'no_service', 'too_many_calls', 'disconnected', 'stopped', 'forbidden'])
const SLACK = 100
const LOOK_MS = 10
/** ms without a turn, in the life of a call, past which its end is not judged. */
const MOST_LAG = 200
const CHUNK = 65_536
const [OPEN, ANSWERED, FAILED, NOT_DONE] = [0, 1, 2, 3]

export function createCallLedger(): CallLedger {
  let size = 1 << 12
  let [kinds, states, executions] = [new Uint8Array(size), new Uint8Array(size), new Uint8Array(size)]
  const counts = { calls: 0, casts: 0, answered: 0, executed: 0, twice: 0, waiting: 0, unjudged: 0 }
  const codes = new Map<string, number>()
  const faults: string[] = []
  const journals: { readonly path: string; readonly file: number; rest: string; drained: boolean }[] = []
  let unchecked: number[] = []
  let last = 0
  let latest = 0
  /** Nobody is to blame for the time in which this process had no turn. */
  let lookedAt = performance.now()
  let lags: { readonly at: number; readonly ms: number }[] = []
  const looking = setInterval(() => {
    const now = performance.now()
    if (now - lookedAt > LOOK_MS + 2) lags.push({ at: now, ms: now - lookedAt - LOOK_MS })
    if (lags.length > 1_000) lags = lags.filter(({ at }) => at > now - 5_000)
    lookedAt = now
  }, LOOK_MS)

  function fault(why: string): void {
    if (faults.length < 20) faults.push(why)
  }

  function grow(): void {
    size *= 2
    const [k, s, e] = [kinds, states, executions]
    kinds = new Uint8Array(size)
    states = new Uint8Array(size)
    executions = new Uint8Array(size)
    kinds.set(k)
    states.set(s)
    executions.set(e)
  }

  function end(id: number, state: number, times: Times | undefined): void {
    if (states[id] !== OPEN) fault(`${id} has ended twice`)
    states[id] = state
    counts.waiting--
    unchecked.push(id)
    if (times === undefined) return
    const now = performance.now()
    const lag = lags.filter(({ at }) => at > times.made).reduce((sum, { ms }) => sum + ms, 0) + Math.max(0, now - lookedAt - LOOK_MS)
    // Then this machine had other things to do, and says nothing of the hub.
    if (lag > MOST_LAG) return void counts.unjudged++
    const late = now - times.due - lag
    latest = Math.max(latest, late)
    if (late > SLACK) fault(`${id} of ${times.who} has ended ${late.toFixed(0)} ms after its deadline, and ${lag.toFixed(0)} in which nothing was done`)
  }

  function executed(line: string, journal: (typeof journals)[number]): void {
    if (line === DRAIN) {
      journal.drained = true
      return
    }
    const isCast = line.startsWith('cast ')
    const id = Number(isCast ? line.slice(5) : line)
    const kind = KINDS[kinds[id] as number] as Kind
    if (!(id > 0 && id <= last)) return fault(`nobody has asked for ${line}`)
    if ((kind === 'cast') !== isCast) fault(`${id} is ${kind} and came as ${line}`)
    if (journal.drained && !isCast) fault(`${id} came to a worker that drains`)
    const times = (executions[id] as number) + 1
    executions[id] = times
    counts.executed++
    if (times > 1) counts.twice++
    if (times > MOST[kind]) fault(`${id} was done ${times} times, and is ${kind}`)
    if (states[id] === NOT_DONE) fault(`${id} is ${kind} and was done, and was said not to be`)
  }

  function read(journal: (typeof journals)[number]): void {
    const chunk = Buffer.alloc(CHUNK)
    for (let bytes = readSync(journal.file, chunk); bytes > 0; bytes = readSync(journal.file, chunk)) {
      const lines = (journal.rest + chunk.toString('latin1', 0, bytes)).split('\n')
      journal.rest = lines.pop() as string
      for (const line of lines) executed(line, journal)
    }
  }

  return {
    faults, counts, codes,
    get latest() { return latest },
    begin(kind) {
      const id = ++last
      if (id >= size) grow()
      kinds[id] = KINDS.indexOf(kind)
      if (kind === 'cast') counts.casts++
      else {
        counts.calls++
        counts.waiting++
      }
      return id
    },
    answered(id, by, times) {
      const named = (by as { id?: unknown } | null)?.id
      if (named !== id) fault(`${id} was answered by ${JSON.stringify(by)}`)
      counts.answered++
      end(id, ANSWERED as number, times)
    },
    failed(id, code, times) {
      codes.set(code, (codes.get(code) ?? 0) + 1)
      end(id, (UNDONE.has(code) ? NOT_DONE : FAILED) as number, times)
    },
    follow(path) {
      journals.push({ path, file: openSync(path, 'a+'), rest: '', drained: false })
    },
    check() {
      for (const journal of journals) read(journal)
      for (const id of unchecked) {
        if (states[id] === ANSWERED && executions[id] === 0) fault(`${id} was answered, and nobody has done it`)
        if (states[id] === NOT_DONE && executions[id] !== 0) fault(`${id} was done, and was said not to be`)
      }
      unchecked = []
    },
    close() {
      clearInterval(looking)
      for (const { file } of journals) closeSync(file)
    },
  }
}
