import { randomUUID } from 'node:crypto'
import { resolve } from 'node:path'
import { Worker } from 'node:worker_threads'
import { WaystationError } from '../../core/errors.ts'
import type { Clock } from '../../core/ports.ts'
import type { Registry, RegistryChange } from '../../core/registry.ts'
import type { Answer, Answers, Call, Report, WorkerOptions } from './calls.ts'

export interface SqliteRegistryOptions {
  /** A path, or `:memory:`. The file and its folder are made when there is something to write. */
  readonly file: string
  readonly clock: Clock
  /** Milliseconds that a lock of another program is waited for; 2,000 unless stated. */
  readonly busyTimeout?: number
  /** Milliseconds between two looks for changes that others made; 500 unless stated. */
  readonly pollInterval?: number
}

interface Open {
  resolve(answer: Answer): void
  reject(error: WaystationError): void
}

/** The extension that this very file has: the package runs from its source and from what is built of it. */
const WORKER = new URL(import.meta.url.endsWith('.ts') ? './worker.ts' : './worker.js', import.meta.url)

/**
 * The registry in one SQLite file, shared by all processes that open it. All SQL runs in a thread of its own, so that no
 * write to the disk holds up the hub; what is asked for meanwhile shares the next transaction. The thread keeps the
 * process alive only while an answer is owed.
 */
export function createSqliteRegistry(options: SqliteRegistryOptions): Registry {
  const file = options.file === ':memory:' ? options.file : resolve(options.file)
  const settings: WorkerOptions = { file, busyTimeout: options.busyTimeout ?? 2_000, pollInterval: options.pollInterval ?? 500 }
  const { clock } = options
  const name = randomUUID()
  const open = new Map<number, Open>()
  let asked = 0
  let claims = 0
  let worker: Worker | undefined
  let exited: Promise<void> | undefined
  let over: WaystationError | undefined
  let closing: Promise<void> | undefined
  let told: (changes: readonly RegistryChange[]) => void = () => {}

  function begin(): Worker {
    // None of the process's own flags: some of them are about its main program, and would keep a thread from starting.
    const thread = new Worker(WORKER, { workerData: settings, name: 'waystation-registry', execArgv: [] })
    let cause: unknown
    thread.on('message', take)
    thread.on('error', (error) => (cause = error))
    exited = new Promise((done) => {
      thread.on('exit', () => {
        fail(new WaystationError('registry_unavailable', `${file}: its thread has ended`, cause))
        done()
      })
    })
    return thread
  }

  function take({ changes, outcomes }: Report): void {
    try {
      if (changes.length > 0) told(changes)
    } finally {
      for (const outcome of outcomes) {
        const one = open.get(outcome.id)
        open.delete(outcome.id)
        if (outcome.ok) one?.resolve(outcome.answer)
        else one?.reject(new WaystationError('registry_unavailable', outcome.detail, outcome.cause))
      }
      if (open.size === 0) worker?.unref()
    }
  }

  function fail(error: WaystationError): void {
    over ??= error
    for (const one of open.values()) one.reject(error)
    open.clear()
  }

  function ask<C extends Call>(call: C): Promise<Answers[C['do']]> {
    if (over !== undefined) return Promise.reject(over)
    const thread = (worker ??= begin())
    return new Promise((done, reject) => {
      const id = ++asked
      open.set(id, { resolve: (answer) => done(answer as Answers[C['do']]), reject })
      thread.ref()
      thread.postMessage({ id, call })
    })
  }

  async function close(): Promise<void> {
    const last = worker === undefined ? undefined : ask({ do: 'close' }).catch(() => undefined)
    over ??= new WaystationError('registry_unavailable', `${file}: it was closed`)
    await last
    worker?.ref()
    await exited
  }

  return {
    start(listener) {
      told = listener
      return ask({ do: 'start' })
    },
    add: (url, wanted) => ask({ do: 'add', url, wanted, now: clock.now() }),
    remove: (url, wanted) => ask({ do: 'remove', url, wanted }),
    removeId: (id) => ask({ do: 'removeId', id }),
    set: (url, wanted) => ask({ do: 'set', url, wanted, now: clock.now() }),
    list: (url) => ask({ do: 'list', url }),
    remember: (signature, expiresAt) => ask({ do: 'remember', signature, expiresAt, now: clock.now() }),
    forget: (signature) => ask({ do: 'forget', signature }),
    postpone: (notice) => ask({ do: 'postpone', notice }),
    // Each claim a lock of its own: one that ran out must not end the claim that came after it.
    claim: (now, lockMs, most) => ask({ do: 'claim', lock: `${name}:${++claims}`, now, lockMs, most }),
    settle: ({ id, lock }, next) => ask({ do: 'settle', id, lock, next }),
    close: () => (closing ??= close()),
  }
}
