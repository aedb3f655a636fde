import { WaystationError } from '../../core/errors.ts'
import { StatementError, type Cluster } from './cluster.ts'
import type { Look } from './follow.ts'
import type { Tables } from './schema.ts'
import { LOST, type Call, type Result, type Statement } from './statements.ts'

/**
 * The way of all calls to the cluster: one request at a time, and whatever is asked for meanwhile shares the next, so that
 * hundreds of calls cost one entry of the Raft log. The request ends with a look at what has changed; it is told before
 * the calls are answered.
 *
 * A request whose answer is lost is repeated, and a node that was slow may do it later still. So each that writes begins
 * with a number of its own, put in where it can stand once: the second time nothing of it is done.
 */
export interface Lane {
  /** @throws {WaystationError} `registry_unavailable`; when the answer is lost, what was asked for may have been done */
  perform<T>(call: Call<T>): Promise<T>
  /** Settles when all that is known of the database now, and was not told, has been told. */
  current(): Promise<void>
  /** No more is taken; what was taken is answered. */
  end(why: WaystationError): Promise<void>
}

interface Waiting {
  readonly call: Call<unknown>
  /** Whether it is answered only when the news was told. */
  readonly needs: 'news' | 'nothing'
  readonly deadline: number
  resolve(value: unknown): void
  reject(error: unknown): void
}

/** Calls of one request, and signs of what they bring with them, but for the last. */
const [MOST_CALLS, MOST_SIGNS] = [500, 8_000_000]
/** Least milliseconds for a request, however long its calls have waited for the one before. */
const LEAST = 500
/** Rows that are changed between two times that old ones are let go of. */
const SWEEP_EVERY = 1_000
/** Rows of `changes` that stay; whoever is further behind reads everything. */
const KEPT_CHANGES = 10_000
/** Requests whose numbers stay. */
const KEPT_BATCHES = 100_000
const SWEPT_AT_ONCE = 5_000

export function createLane(parts: {
  readonly cluster: Cluster
  readonly tables: Tables
  /** Not used by any other hub, ever. */
  readonly name: string
  /** Settles when the tables are there. */
  readonly ready: () => Promise<void>
  /** The tables are not what they were. */
  readonly unready: () => void
  readonly look: () => Look
}): Lane {
  const { cluster, tables, name, ready, unready, look } = parts
  const waiting: Waiting[] = []
  let running: Promise<void> | undefined
  /** Settled but for what is still to be told. */
  const telling = new Set<Promise<void>>()
  let numbers = 0
  let unswept = 0
  let ended: WaystationError | undefined

  function push(call: Call<unknown>, needs: Waiting['needs']): Promise<unknown> {
    if (ended !== undefined) return Promise.reject(ended)
    return new Promise((resolve, reject) => {
      waiting.push({ call, needs, deadline: performance.now() + cluster.patience, resolve, reject })
      running ??= run()
    })
  }

  async function run(): Promise<void> {
    // Whatever else this turn asks for comes along.
    await new Promise((resolve) => void setImmediate(resolve))
    while (waiting.length > 0) await request(take())
    running = undefined
  }

  function take(): Waiting[] {
    let [calls, signs] = [0, 0]
    while (calls < MOST_CALLS && calls < waiting.length && signs < MOST_SIGNS) signs += signsOf((waiting[calls++] as Waiting).call)
    return waiting.splice(0, calls)
  }

  async function request(some: readonly Waiting[]): Promise<void> {
    try {
      await ready()
      const writes = some.flatMap(({ call }) => call.writes ?? [])
      const reads = some.flatMap(({ call }) => call.reads ?? [])
      const news = look()
      const deadline = Math.max((some[0] as Waiting).deadline, performance.now() + LEAST)
      const { affected, rows } = await perform(writes, [...reads, ...news.statements], deadline)
      answer(some, affected, rows, news.take('agreed', rows.slice(reads.length).map((one) => one.rows)))
    } catch (error) {
      // Somebody has dropped it. What else was in the request may have been done then (see `Level`).
      if (error instanceof StatementError && /no such table/.test(error.message)) unready()
      for (const one of some) one.reject(refusal(error))
    }
  }

  async function perform(writes: readonly Statement[], reads: readonly Statement[], deadline: number): Promise<{ affected: readonly number[] | undefined; rows: readonly Result[] }> {
    const asked = reads.length === 0 ? [['SELECT 1'] as const] : reads
    if (writes.length === 0) return { affected: [], rows: await cluster.ask('agreed', asked, deadline) }
    const sweeps = unswept >= SWEEP_EVERY ? sweepsOf(tables) : []
    try {
      const results = await cluster.ask('agreed', [[`INSERT INTO ${tables.batches} (id) VALUES (?)`, `${name}:${++numbers}`], ...writes, ...sweeps, ...asked], deadline)
      const affected = results.slice(1, 1 + writes.length).map((one) => one.affected)
      unswept = affected.reduce((sum, n) => sum + n, 1 + (sweeps.length > 0 ? 0 : unswept))
      return { affected, rows: results.slice(1 + writes.length + sweeps.length) }
    } catch (error) {
      if (!(error instanceof StatementError && error.at === 0 && error.message.includes('UNIQUE'))) throw error
      // Done the first time. What was read then is read again.
      unswept += writes.length
      return { affected: undefined, rows: await cluster.ask('agreed', asked, Math.max(deadline, performance.now() + LEAST)) }
    }
  }

  function answer(some: readonly Waiting[], affected: readonly number[] | undefined, rows: readonly Result[], told: Promise<void>): void {
    let [write, read] = [0, 0]
    const answers = some.map(({ call }) => call.answer(
      affected?.slice(write, (write += call.writes?.length ?? 0)),
      rows.slice(read, (read += call.reads?.length ?? 0)).map((one) => one.rows),
    ))
    const settle = (failed: unknown): void => {
      for (const [i, one] of some.entries()) {
        const value = answers[i]
        if (value === LOST) one.reject(new WaystationError('registry_unavailable', 'rqlite: the answer was lost on its way; it may have been done'))
        else if (failed !== undefined && one.needs === 'news') one.reject(refusal(failed))
        // What was done is done, whether or not it can be told now: the next look tells of it.
        else one.resolve(value)
      }
    }
    const all = told.then(() => settle(undefined), (error: unknown) => settle(error ?? 'unknown')).finally(() => telling.delete(all))
    telling.add(all)
  }

  return {
    perform: <T>(call: Call<T>) => push(call, 'nothing') as Promise<T>,
    current: () => push({ answer: () => undefined }, 'news') as Promise<void>,
    async end(why) {
      ended = why
      await running
      await Promise.allSettled(telling)
    },
  }
}

/** Lets go of what is old, some at a time. */
function sweepsOf(tables: Tables): Statement[] {
  return ([[tables.changes, KEPT_CHANGES], [tables.keyChanges, KEPT_CHANGES], [tables.batches, KEPT_BATCHES]] as const).map(([table, kept]) => [
    `DELETE FROM ${table} WHERE seq <= min((SELECT max(seq) FROM ${table}) - ?, (SELECT min(seq) FROM ${table}) + ?)`, kept, SWEPT_AT_ONCE,
  ])
}

function signsOf({ writes = [] }: Call<unknown>): number {
  return writes.reduce((sum, statement) => statement.reduce<number>((n, part) => n + (typeof part === 'string' ? part.length : 8), sum), 0)
}

export function refusal(error: unknown): WaystationError {
  if (error instanceof WaystationError) return error
  return new WaystationError('registry_unavailable', `rqlite: ${error instanceof Error ? error.message : String(error)}`, error)
}
