import { WaystationError } from '../../core/errors.ts'
import { compilePattern } from '../../core/pattern.ts'
import type { Clock, Subscriber } from '../../core/ports.ts'
import type { Registry, RegistryChange, Wanted } from '../../core/registry.ts'
import { createRouter } from '../../core/router.ts'
import type { Topic } from '../../core/topic.ts'

export interface RelayOptions {
  readonly registry: Registry
  readonly clock: Clock
  /** This hub's own `/v1/receive_for_websockets`, as the other hubs reach it. */
  readonly url: string
  /** This hub's own `/v1/missed_for_websockets`. */
  readonly recovery: string | undefined
  /** The registry did not do what nobody waits for; it is tried again. */
  failed(error: unknown): void
  /** Rows come under our url that we did not add: another hub goes by it, and they take messages from each other. Called once. */
  shared(): void
}

/**
 * Keeps this hub registered for what its sockets want, so that the hubs that share the registry send it on (lonelyps,
 * sections 2.6 and 4.8). What is asked for one target is done strictly one after the other.
 */
export interface Relay {
  /** To be called when the registry has told all that there is: what a killed process left under our url is taken away. Settles when it is. */
  start(): Promise<void>
  /**
   * Settles when the row is on disk; the first one makes it. Whatever is published at any hub from then on finds it there.
   * @throws {WaystationError} `registry_unavailable`, `stopped`; then it does not count
   */
  want(kind: Wanted['kind'], target: Topic): Promise<void>
  /** Whether anybody wants what is published to this topic, or waits until that is on disk. */
  wants(topic: Topic): boolean
  /** Once for each `want` that has settled well. The last one takes the row away. */
  leave(kind: Wanted['kind'], target: Topic): void
  /** What the registry tells, from the beginning. A row that somebody took away although it is wanted is added again. */
  apply(changes: readonly RegistryChange[]): void
  /** Takes away all rows of ours. Nothing is added afterwards. */
  stop(): Promise<void>
}

interface Entry {
  readonly key: string
  readonly kind: Wanted['kind']
  readonly target: Topic
  /** How many want it, beside those who wait. */
  count: number
  waiting: PromiseWithResolvers<void>[]
  /** Whether its row is in the registry. */
  isThere: boolean
  /** How often a row was seen to go. */
  removals: number
  /** Stops asking for it; `undefined` while it is not asked for. */
  unask: (() => void) | undefined
  working: Promise<void> | undefined
}

/** Milliseconds before what the registry did not do is tried again. */
const AGAIN_MS = 1_000
/** Rows that are taken away at a time at the start. */
const AT_ONCE = 1_000
/** Stands for whoever wants a topic: only whether there is one is asked. */
const SOMEBODY: Subscriber = { count: 1, deliver() {}, gap() {} }

export function createRelay({ registry, clock, url, recovery, failed, shared }: RelayOptions): Relay {
  /** What is wanted, or still has work to be done. */
  const entries = new Map<string, Entry>()
  /** The rows of our url. */
  const rows = new Map<number, { readonly key: string; readonly kind: Wanted['kind']; readonly target: Topic }>()
  const unfinished = new Set<Entry>()
  /** What is wanted or waited for. */
  const asked = createRouter()
  let started = false
  let toldShared = false
  let stopTimer: (() => void) | undefined
  let stopping: Promise<void> | undefined

  function entryOf(kind: Wanted['kind'], target: Topic): Entry {
    const key = keyOf(kind, target)
    let entry = entries.get(key)
    if (entry === undefined) entries.set(key, (entry = { key, kind, target, count: 0, waiting: [], isThere: false, removals: 0, unask: undefined, working: undefined }))
    return entry
  }

  /** To be called when somebody wants it, or does no more. */
  function ask(entry: Entry): void {
    const { kind, target, count, waiting } = entry
    if (count === 0 && waiting.length === 0) {
      entry.unask?.()
      entry.unask = undefined
    } else entry.unask ??= asked.join(kind === 'exact' ? { topics: [target], patterns: [] } : { topics: [], patterns: [compilePattern(target)] }, SOMEBODY)
  }

  /** Goes on until the registry has what is wanted. */
  function work(entry: Entry): Promise<void> {
    return (entry.working ??= workOn(entry).finally(() => {
      entry.working = undefined
      if (stopping !== undefined) return
      // What came since the last look is done now.
      if (entry.waiting.length > 0) void work(entry)
      else if (!unfinished.has(entry) && (entry.count > 0) !== entry.isThere) void work(entry)
      else if (!unfinished.has(entry) && entry.count === 0) entries.delete(entry.key)
    }))
  }

  async function workOn(entry: Entry): Promise<void> {
    unfinished.delete(entry)
    while (stopping === undefined) {
      const isWanted = entry.count > 0 || entry.waiting.length > 0
      if (isWanted && entry.isThere) granted(entry)
      if (isWanted === entry.isThere) return
      try {
        await (isWanted ? add(entry) : remove(entry))
      } catch (error) {
        const waiting = entry.waiting.splice(0)
        for (const one of waiting) one.reject(error)
        ask(entry)
        if ((entry.count > 0) === entry.isThere) return
        if (waiting.length === 0) failed(error)
        return later(entry)
      }
    }
  }

  async function add(entry: Entry): Promise<void> {
    const { kind, target, removals } = entry
    await registry.add(url, { kind, target, recovery })
    // A row that went meanwhile may be this one, or one of before: what was told last counts.
    if (entry.removals === removals) entry.isThere = true
  }

  async function remove(entry: Entry): Promise<void> {
    await registry.remove(url, entry)
    entry.isThere = false
  }

  function granted(entry: Entry): void {
    for (const one of entry.waiting.splice(0)) {
      entry.count++
      one.resolve()
    }
  }

  function later(entry: Entry): void {
    if (stopping !== undefined) return
    unfinished.add(entry)
    stopTimer ??= clock.after(AGAIN_MS, () => {
      stopTimer = undefined
      for (const one of unfinished) void work(one)
    })
  }

  function added(id: number, kind: Wanted['kind'], target: Topic): void {
    const key = keyOf(kind, target)
    rows.set(id, { key, kind, target })
    const entry = entries.get(key)
    if (entry !== undefined) entry.isThere = true
    else if (started && !toldShared) {
      toldShared = true
      shared()
    }
  }

  async function stop(): Promise<void> {
    stopTimer?.()
    const refusal = new WaystationError('stopped')
    for (const entry of entries.values()) for (const one of entry.waiting.splice(0)) one.reject(refusal)
    await Promise.all([...entries.values()].map((entry) => entry.working))
    entries.clear()
    rows.clear()
    unfinished.clear()
    await registry.set(url, []).catch(failed)
  }

  return {
    async start() {
      started = true
      const left = [...rows.values()].filter(({ key }) => !entries.has(key))
      for (let from = 0; from < left.length && stopping === undefined; from += AT_ONCE) {
        await Promise.all(left.slice(from, from + AT_ONCE).map(({ kind, target }) => {
          const entry = entryOf(kind, target)
          // Somebody may want it by now.
          if (entry.count === 0 && entry.working === undefined) entry.isThere = true
          return work(entry)
        }))
      }
    },
    want(kind, target) {
      if (stopping !== undefined) return Promise.reject(new WaystationError('stopped'))
      const entry = entryOf(kind, target)
      const one = Promise.withResolvers<void>()
      entry.waiting.push(one)
      ask(entry)
      void work(entry)
      return one.promise
    },
    wants: (topic) => asked.match(topic).length > 0,
    leave(kind, target) {
      const entry = entries.get(keyOf(kind, target))
      if (entry === undefined || entry.count === 0) return
      entry.count--
      ask(entry)
      if (entry.count === 0) void work(entry)
    },
    apply(changes) {
      if (stopping !== undefined) return
      for (const change of changes) {
        if (change.type === 'added') {
          const { id, kind, target } = change.registration
          if (change.registration.url === url) added(id, kind, target)
          continue
        }
        const row = rows.get(change.id)
        if (row === undefined) continue
        rows.delete(change.id)
        const entry = entries.get(row.key)
        if (entry === undefined) continue
        entry.removals++
        entry.isThere = false
        if (entry.count > 0 || entry.waiting.length > 0) void work(entry)
      }
    },
    stop: () => (stopping ??= Promise.resolve().then(stop)),
  }
}

function keyOf(kind: Wanted['kind'], target: Topic): string {
  return `${kind} ${target}`
}
