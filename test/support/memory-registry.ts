import { WaystationError } from '../../src/core/errors.ts'
import type { Clock } from '../../src/core/ports.ts'
import type { Notice, Registration, Registry, RegistryChange, Wanted } from '../../src/core/registry.ts'

/** What registries in memory share, as others share a database. */
export interface RegistryStore {
  readonly rows: Map<number, Registration>
  readonly notices: Map<number, Notice & { lock?: string; lockedUntil?: number }>
  /** By the signature in Base64, until when. */
  readonly signatures: Map<string, number>
  secret?: Uint8Array
  readonly listeners: Set<(changes: readonly RegistryChange[]) => void>
  last: number
  claims: number
}

export function createRegistryStore(): RegistryStore {
  return { rows: new Map(), notices: new Map(), signatures: new Map(), listeners: new Set(), last: 0, claims: 0 }
}

/** A registry that keeps nothing when the process ends. */
export function createMemoryRegistry(store: RegistryStore, clock: Clock): Registry {
  let closed = false
  let own: ((changes: readonly RegistryChange[]) => void) | undefined

  /** Everything is done at once, in the order of the calls; the answer comes later, as from a database. */
  async function answer<T>(act: () => T): Promise<T> {
    if (closed) throw new WaystationError('registry_unavailable', 'it was closed')
    const value = act()
    await new Promise((resolve) => setImmediate(resolve))
    return value
  }

  function tell(changes: readonly RegistryChange[]): void {
    if (changes.length > 0) for (const listener of store.listeners) listener(changes)
  }

  function find(url: string, { kind, target }: Pick<Wanted, 'kind' | 'target'>): Registration | undefined {
    return [...store.rows.values()].find((row) => row.url === url && row.kind === kind && row.target === target)
  }

  function put(registration: Registration): RegistryChange {
    store.rows.set(registration.id, registration)
    return { type: 'added', registration }
  }

  function drop(id: number): RegistryChange[] {
    store.notices.delete(id)
    return store.rows.delete(id) ? [{ type: 'removed', id }] : []
  }

  function set(url: string, wanted: readonly Wanted[]): RegistryChange[] {
    const gone = [...store.rows.values()].filter((row) => row.url === url && !wanted.some((one) => one.kind === row.kind && one.target === row.target))
    return [...gone.flatMap((row) => drop(row.id)), ...wanted.flatMap((one) => {
      const row = find(url, one)
      if (row === undefined) return [put({ ...one, url, id: ++store.last })]
      return row.recovery === one.recovery ? [] : [put({ ...row, recovery: one.recovery })]
    })]
  }

  return {
    start: (told) => answer(() => {
      own = told
      store.listeners.add(told)
      if (store.rows.size > 0) told([...store.rows.values()].map((registration) => ({ type: 'added', registration })))
    }),
    add: (url, wanted) => answer(() => {
      if (find(url, wanted) !== undefined) return false
      tell([put({ ...wanted, url, id: ++store.last })])
      return true
    }),
    remove: (url, wanted) => answer(() => {
      const changes = drop(find(url, wanted)?.id ?? 0)
      tell(changes)
      return changes.length === 1
    }),
    removeId: (id) => answer(() => {
      const changes = drop(id)
      tell(changes)
      return changes.length === 1
    }),
    set: (url, wanted) => answer(() => tell(set(url, wanted))),
    list: (url) => answer(() => [...store.rows.values()].filter((row) => row.url === url)),
    remember: (signature, expiresAt) => answer(() => {
      const code = Buffer.from(signature).toString('base64')
      if ((store.signatures.get(code) ?? -1) >= clock.now()) return false
      store.signatures.set(code, expiresAt)
      return true
    }),
    forget: (signature) => answer(() => void store.signatures.delete(Buffer.from(signature).toString('base64'))),
    postpone: ({ id, topic, attempts, dueAt }) => answer(() => {
      if (store.rows.has(id)) store.notices.set(id, { id, topic, attempts, dueAt })
    }),
    claim: (now, lockMs, most) => answer(() => {
      const globs = (id: number): number => (store.rows.get(id)?.kind === 'glob' ? 1 : 0)
      const due = [...store.notices.values()].filter((notice) => notice.dueAt <= now && (notice.lockedUntil ?? now) <= now)
      return due.sort((a, b) => globs(a.id) - globs(b.id) || a.dueAt - b.dueAt).slice(0, most).map((notice) => {
        const lock = String(++store.claims)
        store.notices.set(notice.id, { ...notice, lock, lockedUntil: now + lockMs })
        const { id, topic, attempts, dueAt } = notice
        return { id, topic, attempts, dueAt, registration: store.rows.get(id) as Registration, lock }
      })
    }),
    settle: ({ id, topic, lock }, next) => answer(() => {
      if (store.notices.get(id)?.lock !== lock) return
      if (next === undefined) store.notices.delete(id)
      else store.notices.set(id, { id, topic, ...next })
    }),
    hubSecret: (fresh) => answer(() => (store.secret ??= Uint8Array.from(fresh))),
    async close() {
      closed = true
      if (own !== undefined) store.listeners.delete(own)
    },
  }
}
