import { PATIENCE, type Connection, type Connections } from './connections.ts'

/** Does one kind of thing, to all of these in their order; answers in the same order. */
export type Operation<In, Out> = (connection: Connection, inputs: readonly In[]) => Promise<readonly Out[]>

/**
 * Where calls share transactions: what is asked for in one turn of the event loop, and while the transaction before it is
 * under way. Those of one kind that follow one another share a statement.
 */
export interface Lane {
  /** @throws {WaystationError} `registry_unavailable`; nothing was changed then, except where the connection broke while it was made lasting */
  ask<In, Out>(operation: Operation<In, Out>, input: In): Promise<Out>
  /** Settles when nothing is under way. */
  idle(): Promise<void>
}

interface Job {
  readonly operation: Operation<unknown, unknown>
  readonly input: unknown
  readonly since: number
  resolve(answer: unknown): void
  reject(error: unknown): void
}

export interface LaneParts {
  readonly connections: Connections
  /** Before anything else; what has failed is asked for again by the next call. */
  readonly ready: () => Promise<void>
  /** What begins a transaction. Without it, a single statement has none. */
  readonly begin?: string
  /** What has to be waited for before the answers, up to so many milliseconds. Never rejects. */
  readonly committed?: (ms: number) => Promise<void>
  readonly failed: (error: unknown) => void
  /** Calls that share one transaction at most; 1,000 unless stated. */
  readonly together?: number
}

/** Milliseconds that are left to those who have waited long for others. */
const LEAST_PATIENCE = 500

export function createLane({ connections, ready, begin, committed, failed, together = 1_000 }: LaneParts): Lane {
  const waiting: Job[] = []
  let running = false
  const finished: (() => void)[] = []

  async function work(): Promise<void> {
    while (waiting.length > 0) {
      const jobs = waiting.splice(0, together)
      const end = (jobs[0] as Job).since + PATIENCE
      try {
        await ready()
        const answers = await perform(jobs, Math.max(LEAST_PATIENCE, end - performance.now()))
        await committed?.(end - performance.now())
        for (const [i, job] of jobs.entries()) job.resolve(answers[i])
      } catch (error) {
        failed(error)
        for (const job of jobs) job.reject(error)
        // They have waited as long, and would wait for the same.
        if (!connections.available) for (const job of waiting.splice(0)) job.reject(error)
      }
    }
    running = false
    for (const done of finished.splice(0)) done()
  }

  function perform(jobs: readonly Job[], ms: number): Promise<unknown[]> {
    const runs = runsOf(jobs)
    const act = async (connection: Connection): Promise<unknown[]> => {
      const answers: unknown[] = []
      for (const run of runs) answers.push(...(await (run[0] as Job).operation(connection, run.map(({ input }) => input))))
      return answers
    }
    return begin === undefined && runs.length === 1 ? connections.use(act, ms) : connections.transact(begin ?? 'BEGIN', act, ms)
  }

  return {
    ask<In, Out>(operation: Operation<In, Out>, input: In) {
      return new Promise<Out>((resolve, reject) => {
        waiting.push({ operation: operation as Operation<unknown, unknown>, input, since: performance.now(), resolve: (answer) => resolve(answer as Out), reject })
        if (running) return
        running = true
        setImmediate(() => void work())
      })
    },
    idle: () => (running ? new Promise((done) => finished.push(done)) : Promise.resolve()),
  }
}

function runsOf(jobs: readonly Job[]): Job[][] {
  const runs: Job[][] = []
  for (const job of jobs) {
    const last = runs.at(-1)
    if (last?.[0]?.operation === job.operation) last.push(job)
    else runs.push([job])
  }
  return runs
}

/** An operation that takes them one at a time. */
export function oneByOne<In, Out>(act: (connection: Connection, input: In) => Promise<Out>): Operation<In, Out> {
  return async (connection, inputs) => {
    const outputs: Out[] = []
    for (const input of inputs) outputs.push(await act(connection, input))
    return outputs
  }
}
