import { randomUUID } from 'node:crypto'
import { uptime } from 'node:os'
import { resolve } from 'node:path'
import { setImmediate as turn } from 'node:timers/promises'
import { Worker } from 'node:worker_threads'
import { WaystationError } from '../../core/errors.ts'
import type { Clock } from '../../core/ports.ts'
import type { DomainNews, KeyRow, Registry, RegistryChange, Wanted } from '../../core/registry.ts'
import type { Answer, Answers, Call, News, Outcome, Report, WorkerOptions } from './calls.ts'
import { createCurrent } from './current.ts'
import { packWanted, unpackList } from './lists.ts'
import { bufferOf, moves } from './moves.ts'
import { createSignatureLane } from './signature-lane.ts'
import { teller, TOLD_AT_ONCE } from './told.ts'

export interface SqliteRegistryOptions {
  /** A path, or `:memory:`. The file and its folder are made when there is something to write. */
  readonly file: string
  readonly clock: Clock
  /** Milliseconds that a lock of another program is waited for; 2,000 unless stated. */
  readonly busyTimeout?: number
  /** Milliseconds between two looks for changes that others made; 500 unless stated. */
  readonly pollInterval?: number
  /** When the machine was started, in ms since 1970; what the operating system says unless stated. */
  readonly bootTime?: number
}

interface Open {
  resolve(answer: Answer): void
  reject(error: WaystationError): void
}

/** The extension that this very file has: the package runs from its source and from what is built of it. */
const WORKER = new URL(import.meta.url.endsWith('.ts') ? './worker.ts' : './worker.js', import.meta.url)

/** Milliseconds before a thread that died is followed by another; twice as long each time, until one has answered. */
const [FIRST_PAUSE, LONGEST_PAUSE] = [500, 30_000]

/**
 * The registry in one SQLite file, shared by all processes that open it. All SQL runs in a thread of its own, so that no
 * write to the disk holds up the hub, but for signatures, which wait for no disk; what is asked for meanwhile shares the
 * next transaction. The thread keeps the
 * process alive only while an answer is owed. One that dies is followed by another after a pause; a database in memory is
 * gone with its thread, and stays so.
 */
export function createSqliteRegistry(options: SqliteRegistryOptions): Registry {
  const file = options.file === ':memory:' ? options.file : resolve(options.file)
  const { clock } = options
  const bootTime = options.bootTime ?? clock.now() - uptime() * 1_000
  const settings = { file, busyTimeout: options.busyTimeout ?? 2_000, pollInterval: options.pollInterval ?? 500, bootTime }
  const lane = createSignatureLane({ file, clock, bootTime })
  const { current, close: endCurrent } = createCurrent(file, () => ask({ do: 'look' }))
  const name = randomUUID()
  const open = new Map<number, Open>()
  /** What the thread has said and was not told yet, in its order. */
  const said: (Report | { readonly died: WaystationError })[] = []
  /** The last set of each url that has one under way. */
  const sets = new Map<string, Promise<void>>()
  const compared = teller()
  let telling = false
  let asked = 0
  let claims = 0
  let worker: Worker | undefined
  let exited: Promise<void> | undefined
  let down: WaystationError | undefined
  let pause = FIRST_PAUSE
  let stopWaiting = (): void => {}
  let closed: WaystationError | undefined
  let closing: Promise<void> | undefined
  let available = true
  let told: ((changes: readonly RegistryChange[]) => void) | undefined
  let domainsTold: ((news: DomainNews) => void) | undefined

  function begin(): Worker {
    const workerData: WorkerOptions = { ...settings, listening: [...(told === undefined ? [] : ['registrations'] as const), ...(domainsTold === undefined ? [] : ['domains'] as const)] }
    // None of the process's own flags: some of them are about its main program, and would keep a thread from starting.
    const thread = new Worker(WORKER, { workerData, name: 'waystation-registry', execArgv: [] })
    let cause: unknown
    thread.on('message', take)
    thread.on('error', (error) => (cause = error))
    exited = new Promise((done) => {
      thread.on('exit', () => {
        const error = new WaystationError('registry_unavailable', `${file}: its thread has ended`, cause)
        down = error
        worker = undefined
        take({ died: error })
        if (closing === undefined && file !== ':memory:') stopWaiting = clock.after(pause, again)
        done()
      })
    })
    if (open.size === 0) thread.unref()
    return thread
  }

  function again(): void {
    down = undefined
    pause = Math.min(2 * pause, LONGEST_PAUSE)
    worker = begin()
  }

  function take(one: Report | { readonly died: WaystationError }): void {
    said.push(one)
    if (!telling) void tell()
  }

  /** What was said is told in its order, so that an answer comes after its changes. */
  async function tell(): Promise<void> {
    telling = true
    try {
      for (let one = said.shift(); one !== undefined; one = said.shift()) {
        if ('died' in one) fail(one.died)
        else if ('outcomes' in one) for (const outcome of one.outcomes) settle(outcome)
        else if ('available' in one) available = one.available
        else {
          const rest = tellNews(one.news)
          if (rest !== undefined) await rest
        }
      }
    } finally {
      telling = false
      // A listener that threw must not keep others from their answers.
      if (said.length > 0) void tell()
      if (open.size === 0) worker?.unref()
    }
  }

  function tellNews(news: News): Promise<unknown> | undefined {
    if (!('domains' in news)) return compared.tell(news, told ?? (() => {}))
    domainsTold?.(news.domains)
    // As many in one turn as come in one piece.
    return news.domains.domains.length < TOLD_AT_ONCE ? undefined : turn()
  }

  function settle(outcome: Outcome): void {
    const one = open.get(outcome.id)
    open.delete(outcome.id)
    if (!outcome.ok) return one?.reject(new WaystationError('registry_unavailable', outcome.detail, outcome.cause))
    pause = FIRST_PAUSE
    one?.resolve(outcome.answer)
  }

  function fail(error: WaystationError): void {
    available = false
    for (const one of open.values()) one.reject(error)
    open.clear()
  }

  function ask<C extends Call>(call: C): Promise<Answers[C['do']]> {
    return closed === undefined ? send(call, []) : Promise.reject(closed)
  }

  function send<C extends Call>(call: C, given: readonly ArrayBuffer[]): Promise<Answers[C['do']]> {
    if (down !== undefined) return Promise.reject(down)
    const thread = (worker ??= begin())
    return new Promise((done, reject) => {
      const id = ++asked
      open.set(id, { resolve: (answer) => done(answer as Answers[C['do']]), reject })
      thread.ref()
      thread.postMessage({ id, call }, given)
    })
  }

  function remember(signature: Uint8Array, expiresAt: number, signedAt: number): Promise<boolean> {
    if (closed !== undefined) return Promise.reject(closed)
    const byThread = (): Promise<boolean> => ask({ do: 'remember', signature, expiresAt, signedAt, now: clock.now() }).then((isNew) => {
      lane.ready()
      return isNew
    })
    return lane.remember(signature, expiresAt, signedAt)?.then((isNew) => isNew ?? byThread()) ?? byThread()
  }

  function set(url: string, wanted: readonly Wanted[]): Promise<void> {
    if (closed !== undefined) return Promise.reject(closed)
    const before = sets.get(url)
    const now = (before === undefined ? setNow(url, wanted) : before.then(() => setNow(url, wanted), () => setNow(url, wanted))).finally(() => {
      if (sets.get(url) === now) sets.delete(url)
    })
    sets.set(url, now)
    return now
  }

  function setNow(url: string, wanted: readonly Wanted[]): Promise<void> {
    const give = (parts: Uint8Array<ArrayBuffer>[]): Promise<void> => send({ do: 'set', url, wanted: parts, now: clock.now() }, parts.map((part) => part.buffer))
    const packed = packWanted(wanted)
    return packed instanceof Promise ? packed.then(give) : give(packed)
  }

  async function close(): Promise<void> {
    closed = new WaystationError('registry_unavailable', `${file}: it was closed`)
    stopWaiting()
    lane.close()
    // Before the thread's: the last connection that writes is to be the last of all, and tidies up.
    endCurrent()
    while (sets.size > 0) await Promise.allSettled(sets.values())
    if (worker !== undefined) await send({ do: 'close' }, []).catch(() => undefined)
    worker?.ref()
    await exited
  }

  return {
    get available() {
      return available && closed === undefined
    },
    start(listener) {
      told = listener
      return ask({ do: 'start' })
    },
    current,
    watchDomains(listener) {
      domainsTold = listener
      return ask({ do: 'watchDomains' })
    },
    keysOf: async (domains) => (await ask({ do: 'keysOf', domains })).map(withBuffer),
    keysAfter: async (after, most) => (await ask({ do: 'keysAfter', after, most })).map(withBuffer),
    addKey: (key) => ask({ do: 'addKey', key, now: clock.now() }),
    changeKey: (domain, change) => ask({ do: 'changeKey', domain, change }),
    removeKey: (domain) => ask({ do: 'removeKey', domain }),
    ...moves(ask, clock.now),
    add: (url, wanted) => ask({ do: 'add', url, wanted, now: clock.now() }),
    remove: (url, wanted) => ask({ do: 'remove', url, wanted }),
    removeId: (id) => ask({ do: 'removeId', id }),
    set,
    list: async (url) => unpackList(await ask({ do: 'list', url })),
    remember,
    forget: (signature) => ask({ do: 'forget', signature, now: clock.now() }),
    postpone: (notice) => ask({ do: 'postpone', notice }),
    // Each claim a lock of its own: one that ran out must not end the claim that came after it.
    claim: (now, lockMs, most) => ask({ do: 'claim', lock: `${name}:${++claims}`, now, lockMs, most }),
    settle: ({ id, lock }, next) => ask({ do: 'settle', id, lock, next }),
    hubSecret: (fresh) => ask({ do: 'hubSecret', fresh }),
    close: () => (closing ??= close()),
  }
}

function withBuffer(row: KeyRow): KeyRow {
  return { ...row, sha256: bufferOf(row.sha256) }
}
