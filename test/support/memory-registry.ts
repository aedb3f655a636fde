import { WaystationError } from '../../src/core/errors.ts'
import type { Clock } from '../../src/core/ports.ts'
import type { DomainNews, KeyRow, NewKey, Notice, Registration, Registry, RegistryChange, Stored, Wanted } from '../../src/core/registry.ts'

/** What registries in memory share, as others share a database. */
export interface RegistryStore {
  readonly rows: Map<number, Registration>
  /** The numbers of the rows, by what no two of them share. */
  readonly ids: Map<string, number>
  readonly notices: Map<number, Notice & { lock?: string; lockedUntil?: number }>
  /** By the first 16 bytes of the signature in Base64, until when. */
  readonly signatures: Map<string, number>
  readonly keys: Map<string, KeyRow>
  secret?: Uint8Array
  readonly listeners: Set<(changes: readonly RegistryChange[]) => void>
  readonly keyListeners: Set<(news: DomainNews) => void>
  last: number
  claims: number
}

export function createRegistryStore(): RegistryStore {
  return { rows: new Map(), ids: new Map(), notices: new Map(), signatures: new Map(), keys: new Map(), listeners: new Set(), keyListeners: new Set(), last: 0, claims: 0 }
}

/** A registry that keeps nothing when the process ends. */
export function createMemoryRegistry(store: RegistryStore, clock: Clock): Registry {
  let closed = false
  let own: ((changes: readonly RegistryChange[]) => void) | undefined
  let ownKeys: ((news: DomainNews) => void) | undefined

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

  function tellDomain(domain: string): true {
    for (const listener of store.keyListeners) listener({ all: false, domains: [[domain, store.keys.has(domain)]] })
    return true
  }

  function find(url: string, wanted: Pick<Wanted, 'kind' | 'target'>): Registration | undefined {
    return store.rows.get(store.ids.get(identityOf(url, wanted)) ?? 0)
  }

  function put(registration: Registration): RegistryChange {
    store.rows.set(registration.id, registration)
    store.ids.set(identityOf(registration.url, registration), registration.id)
    return { type: 'added', registration }
  }

  function add(url: string, wanted: Wanted): boolean {
    if (find(url, wanted) !== undefined) return false
    tell([put({ ...wanted, url, id: ++store.last })])
    return true
  }

  function drop(id: number): RegistryChange[] {
    const row = store.rows.get(id)
    if (row === undefined) return []
    store.notices.delete(id)
    store.rows.delete(id)
    store.ids.delete(identityOf(row.url, row))
    return [{ type: 'removed', id }]
  }

  function set(url: string, wanted: readonly Wanted[]): RegistryChange[] {
    const stays = new Set(wanted.map((one) => identityOf(url, one)))
    const gone = [...store.rows.values()].filter((row) => row.url === url && !stays.has(identityOf(url, row)))
    return [...gone.flatMap((row) => drop(row.id)), ...wanted.flatMap((one) => {
      const row = find(url, one)
      if (row === undefined) return [put({ ...one, url, id: ++store.last })]
      return row.recovery === one.recovery ? [] : [put({ ...row, recovery: one.recovery })]
    })]
  }

  function isTaken({ apikey, sha256 }: Pick<KeyRow, 'apikey' | 'sha256'>): boolean {
    return [...store.keys.values()].some((row) => (apikey !== undefined && row.apikey === apikey) || (sha256 !== undefined && row.sha256?.equals(sha256) === true))
  }

  function addKey({ domain, username, apikey, sha256, insertedAt = clock.now(), active = true }: NewKey): boolean {
    if (store.keys.has(domain) || isTaken({ apikey, sha256 })) return false
    store.keys.set(domain, { id: ++store.last, domain, username, apikey, sha256, insertedAt, active })
    return tellDomain(domain)
  }

  function* everything(): Iterable<Stored> {
    if (store.secret !== undefined) yield { type: 'hubSecret', secret: store.secret }
    for (const { id: _, ...row } of store.rows.values()) yield { type: 'registration', ...row }
    for (const { id, topic, attempts, dueAt } of store.notices.values()) {
      const { url, kind, target } = store.rows.get(id) as Registration
      yield { type: 'notice', url, kind, target, topic, attempts, dueAt }
    }
    for (const { id: _, ...row } of store.keys.values()) yield { type: 'key', ...row }
    for (const [code, expiresAt] of store.signatures) if (expiresAt >= clock.now()) yield { type: 'signature', code: Buffer.from(code, 'base64'), expiresAt }
  }

  function restore(thing: Stored): boolean {
    switch (thing.type) {
      case 'registration': return add(thing.url, { kind: thing.kind, target: thing.target, recovery: thing.recovery })
      case 'key': return addKey(thing)
      case 'hubSecret':
        if (store.secret !== undefined) return false
        store.secret = Uint8Array.from(thing.secret)
        return true
      case 'notice': {
        const id = find(thing.url, thing)?.id
        if (id === undefined || store.notices.has(id)) return false
        store.notices.set(id, { id, topic: thing.topic, attempts: thing.attempts, dueAt: thing.dueAt })
        return true
      }
      case 'signature': {
        const [code, before] = [codeOf(thing.code), store.signatures.get(codeOf(thing.code)) ?? -1]
        if (thing.expiresAt < clock.now()) return false
        store.signatures.set(code, Math.max(thing.expiresAt, before))
        return before < clock.now()
      }
      default: throw new Error(`what is ${JSON.stringify(thing satisfies never)}`)
    }
  }

  return {
    get available() {
      return !closed
    },
    current: () => undefined,
    start: (told) => answer(() => {
      own = told
      store.listeners.add(told)
      if (store.rows.size > 0) told([...store.rows.values()].map((registration) => ({ type: 'added', registration })))
    }),
    watchDomains: (told) => answer(() => {
      ownKeys = told
      store.keyListeners.add(told)
      told({ all: true, domains: [...store.keys.keys()].map((domain) => [domain, true]) })
    }),
    keysOf: (domains) => answer(() => domains.flatMap((domain) => store.keys.get(domain) ?? [])),
    keysAfter: (after, most) => answer(() => [...store.keys.values()].filter((row) => row.id > after).slice(0, most)),
    addKey: (key) => answer(() => addKey(key)),
    changeKey: (domain, { sha256, active }) => answer(() => {
      const row = store.keys.get(domain)
      if (row === undefined || (sha256 !== undefined && row.sha256?.equals(sha256) !== true && isTaken({ apikey: undefined, sha256 }))) return false
      store.keys.set(domain, { ...row, ...(sha256 === undefined ? {} : { sha256, apikey: undefined }), ...(active === undefined ? {} : { active }) })
      return tellDomain(domain)
    }),
    removeKey: (domain) => answer(() => store.keys.delete(domain) && tellDomain(domain)),
    async *everything() {
      for (const thing of await answer(() => [...everything()])) yield thing
    },
    restore: (things) => answer(() => things.filter(restore).length),
    add: (url, wanted) => answer(() => add(url, wanted)),
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
      const code = codeOf(signature)
      if ((store.signatures.get(code) ?? -1) >= clock.now()) return false
      store.signatures.set(code, expiresAt)
      return true
    }),
    forget: (signature) => answer(() => void store.signatures.delete(codeOf(signature))),
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
      if (ownKeys !== undefined) store.keyListeners.delete(ownKeys)
    },
  }
}

function identityOf(url: string, { kind, target }: Pick<Wanted, 'kind' | 'target'>): string {
  return `${kind} ${url.length} ${url} ${target}`
}

function codeOf(signature: Uint8Array): string {
  return Buffer.from(signature.subarray(0, 16)).toString('base64')
}
