import type { DomainNews, KeyRow, Registry, RegistryChange, Stored } from '../../../src/core/registry.ts'
import { topicFromBytes, topicToBytes } from '../../../src/core/topic.ts'
import { registryContract, type RegistryParts } from '../../../src/testing/index.ts'
import { createMemoryRegistry, createRegistryStore, type RegistryStore } from '../../support/memory-registry.ts'

/** A sound registry with something about it changed. */
type Change = (registry: Registry, store: RegistryStore, parts: RegistryParts) => Partial<Registry>

/** What is told goes through `change` first. */
function telling(change: (changes: readonly RegistryChange[], told: (changes: readonly RegistryChange[]) => void) => void): Change {
  return (registry) => ({ start: (told) => registry.start((changes) => change(changes, told)) })
}

/** What is told of domains goes through `change` first. */
function tellingDomains(change: (news: DomainNews, told: (news: DomainNews) => void) => void): Change {
  return (registry) => ({ watchDomains: (told) => registry.watchDomains((news) => change(news, told)) })
}

/** Tells who made a change that is told in the same turn. */
function ownActs(): { readonly own: () => boolean; readonly ours: <A extends unknown[], R>(act: (...args: A) => Promise<R>) => (...args: A) => Promise<R> } {
  let own = 0
  return {
    own: () => own > 0,
    ours: (act) => (...args) => {
      own++
      const done = act(...args)
      own--
      return done
    },
  }
}

/** What comes out goes through `change` first. */
function givingOut(change: (things: Stored[]) => readonly Stored[]): Change {
  return (registry) => ({
    async *everything() {
      yield* change(await Array.fromAsync(registry.everything()))
    },
  })
}

/** What is put in goes through `change` first. */
function puttingIn(change: (thing: Stored, registry: Registry, store: RegistryStore) => readonly Stored[]): Change {
  return (registry, store) => ({ restore: (things) => registry.restore(things.flatMap((thing) => change(thing, registry, store))) })
}

function isOf<T extends Stored['type']>(type: T) {
  return (thing: Stored): thing is Extract<Stored, { type: T }> => thing.type === type
}

const faults: Record<string, Change> = {
  'changes are told one by one': telling((changes, told) => changes.forEach((one) => told([one]))),
  'changes are told late': telling((changes, told) => setTimeout(() => told(changes), 20)),
  'ends are not told': telling((changes, told) => told(changes.filter((one) => one.type === 'added'))),
  'ends are told twice': telling((changes, told) => told(changes.flatMap((one): RegistryChange[] => (one.type === 'removed' ? [one, one] : [one])))),
  'nothing is told': telling(() => {}),
  'what is there at the start is not told': (registry, store) => ({
    async start(told) {
      const rows = new Map(store.rows)
      store.rows.clear()
      await registry.start(told)
      for (const [id, row] of rows) store.rows.set(id, row)
    },
  }),
  'only its own changes are told': (registry) => {
    const { own, ours } = ownActs()
    return { add: ours(registry.add), remove: ours(registry.remove), removeId: ours(registry.removeId), set: ours(registry.set), restore: ours(registry.restore), start: (told) => registry.start((changes) => own() && told(changes)) }
  },
  'what was changed elsewhere is told soon, but not to those who ask to be current': (registry) => {
    const { own, ours } = ownActs()
    return { add: ours(registry.add), remove: ours(registry.remove), removeId: ours(registry.removeId), set: ours(registry.set), restore: ours(registry.restore), start: (told) => registry.start((changes) => void (own() ? told(changes) : setTimeout(() => told(changes), 5))) }
  },
  'to be current tells everything again': (registry) => {
    let again = (): void => {}
    return {
      start: (told) => (again = () => told([{ type: 'removed', id: 1 }]), registry.start(told)),
      current: () => (again(), undefined),
    }
  },
  'a database that has answered is not available': () => ({ available: false }),
  'what is there is added again': (registry) => ({ add: async (url, wanted) => (await registry.add(url, wanted), true) }),
  'an addition changes the recovery url': (registry) => ({
    async add(url, wanted) {
      const before = await registry.list(url)
      const added = await registry.add(url, wanted)
      if (!added) await registry.set(url, before.map((one) => (one.target === wanted.target ? wanted : one)))
      return added
    },
  }),
  'a removal does not look at the kind': (registry) => ({ remove: async (url, wanted) => (await registry.remove(url, wanted)) || registry.remove(url, { ...wanted, kind: wanted.kind === 'exact' ? 'glob' : 'exact' }) }),
  'numbers are given again': (registry, store) => ({
    add(url, wanted) {
      store.last = Math.max(0, ...store.rows.keys())
      return registry.add(url, wanted)
    },
  }),
  'topics are taken for text': (registry) => ({ add: (url, wanted) => registry.add(url, { ...wanted, target: topicFromBytes(Buffer.from(topicToBytes(wanted.target).toString())) }) }),
  'urls end at a NUL': (registry) => ({ add: (url, wanted) => registry.add(url.replace(/\0.*$/, ''), wanted) }),
  'a set takes everything away first': (registry) => ({ set: async (url, wanted) => (await registry.set(url, []), registry.set(url, wanted)) }),
  'a set only adds': (registry) => ({ set: async (url, wanted) => void (await Promise.all(wanted.map((one) => registry.add(url, one)))) }),
  'a set stops at sixteen': (registry) => ({ set: (url, wanted) => registry.set(url, wanted.slice(0, 16)) }),
  'a set leaves recovery urls as they were': (registry) => ({
    async set(url, wanted) {
      const before = await registry.list(url)
      return registry.set(url, wanted.map((one) => before.find((has) => has.kind === one.kind && has.target === one.target) ?? one))
    },
  }),
  'every signature is new': (registry) => ({ remember: async (...args) => (await registry.remember(...args), true) }),
  'signatures are never forgotten': () => ({ forget: async () => {} }),
  'a signature that is dated ahead is new when its time has come': (registry, _, { clock }) => ({ remember: async (signature, expiresAt, signedAt) => (await registry.remember(signature, expiresAt, signedAt)) || clock.now() > signedAt }),
  'signatures run out too early': (registry) => ({ remember: (signature, expiresAt, signedAt) => registry.remember(signature, expiresAt - 1, signedAt) }),
  'signatures are kept for ever': (registry) => ({ remember: (signature, _, signedAt) => registry.remember(signature, Infinity, signedAt) }),
  'it looks for a signature first and writes it then': (registry, store, { clock }) => ({
    async remember(signature, expiresAt, signedAt) {
      const known = (store.signatures.get(Buffer.from(signature).toString('base64')) ?? -1) >= clock.now()
      await new Promise((resolve) => setImmediate(resolve))
      await registry.remember(signature, expiresAt, signedAt)
      return !known
    },
  }),
  'notices are taken before they are due': (registry) => ({ claim: (now, lockMs, most) => registry.claim(now + 1, lockMs, most) }),
  'more notices are taken than asked for': (registry) => ({ claim: (now, lockMs, most) => registry.claim(now, lockMs, most + 1) }),
  'notices are not locked': (registry) => ({ claim: (now, _, most) => registry.claim(now, 0, most) }),
  'locks never run out': (registry) => ({ claim: (now, _, most) => registry.claim(now, 1e12, most) }),
  'globs come first': (registry) => ({ claim: async (now, lockMs, most) => (await registry.claim(now, lockMs, most)).toReversed() }),
  'a claim ends whatever is there': (registry, store) => ({ settle: (claim, next) => registry.settle({ ...claim, lock: store.notices.get(claim.id)?.lock ?? '' }, next) }),
  'a claim never ends': () => ({ settle: async () => {} }),
  'attempts are not kept': (registry) => ({ postpone: (notice) => registry.postpone({ ...notice, attempts: 0 }) }),
  'the older notice counts': (registry, store) => ({ postpone: async (notice) => (store.notices.has(notice.id) ? undefined : registry.postpone(notice)) }),
  'notices outlive their registration': (registry, store) => ({
    async removeId(id) {
      const notice = store.notices.get(id)
      const removed = await registry.removeId(id)
      if (notice !== undefined) store.notices.set([...store.rows.keys()].at(-1) ?? store.last + 1, notice)
      return removed
    },
  }),
  'each hub has a secret of its own': () => ({ hubSecret: async (fresh) => fresh }),
  'domains are told late': tellingDomains((news, told) => setTimeout(() => told(news), 20)),
  'domains that are there at the start are not told': tellingDomains((news, told) => told({ ...news, domains: news.all ? [] : news.domains })),
  'the ends of domains are not told': tellingDomains(({ all, domains }, told) => told({ all, domains: domains.filter(([, isThere]) => isThere) })),
  'a domain whose key changed is told of as gone': tellingDomains(({ all, domains }, told) => told({ all, domains: domains.map(([domain, isThere]) => [domain, isThere && domain !== 'a']) })),
  'a domain whose key does not count is not told': (registry, store) => ({ watchDomains: (told) => registry.watchDomains(({ all, domains }) => told({ all, domains: domains.filter(([domain]) => store.keys.get(domain)?.active !== false) })) }),
  'a change of a key is not told': (registry) => {
    const known = new Set<string>()
    return { watchDomains: (told) => registry.watchDomains((news) => told({ all: news.all, domains: news.domains.filter(([domain, isThere]) => (isThere ? !known.has(domain) && known.add(domain) : known.delete(domain))) })) }
  },
  'only its own changes of keys are told': (registry) => {
    const { own, ours } = ownActs()
    return { addKey: ours(registry.addKey), changeKey: ours(registry.changeKey), removeKey: ours(registry.removeKey), restore: ours(registry.restore), watchDomains: ours((told) => registry.watchDomains((news) => own() && told(news))) }
  },
  'a domain gets a new key by adding': (registry) => ({ addKey: async (key) => (await registry.removeKey(key.domain), registry.addKey(key)) }),
  'an addition that is refused says that it was made': (registry) => ({ addKey: async (key) => (await registry.addKey(key), true) }),
  'two domains may have one key': (registry, store) => ({
    async addKey(key) {
      const made = await registry.addKey({ ...key, apikey: undefined, sha256: undefined })
      if (made) store.keys.set(key.domain, { ...(store.keys.get(key.domain) as KeyRow), apikey: key.apikey, sha256: key.sha256 })
      return made
    },
  }),
  'it looks for a domain first and adds it then': (registry, store) => ({
    async addKey(key) {
      const free = !store.keys.has(key.domain)
      await new Promise((resolve) => setImmediate(resolve))
      return (await registry.addKey(key)) || free
    },
  }),
  'new keys do not count': (registry) => ({ addKey: (key) => registry.addKey({ active: false, ...key }) }),
  'when a key was made is not kept': (registry, _, { clock }) => ({ addKey: (key) => registry.addKey({ ...key, insertedAt: clock.now() }) }),
  'a key as it is outlives its change': (registry, store) => ({
    async changeKey(domain, change) {
      const apikey = store.keys.get(domain)?.apikey
      const changed = await registry.changeKey(domain, change)
      if (changed) store.keys.set(domain, { ...(store.keys.get(domain) as KeyRow), apikey })
      return changed
    },
  }),
  'a new hash makes a key count': (registry) => ({ changeKey: (domain, change) => registry.changeKey(domain, change.sha256 === undefined ? change : { active: true, ...change }) }),
  'a domain can take the key of another': (registry, store) => ({
    async changeKey(domain, change) {
      const row = store.keys.get(domain)
      if ((await registry.changeKey(domain, change)) || row === undefined) return row !== undefined
      store.keys.set(domain, { ...row, sha256: change.sha256 })
      return true
    },
  }),
  'a change of what is not there is made': (registry) => ({ changeKey: async (domain, change) => (await registry.changeKey(domain, change)) || domain === 'c' }),
  'keys are removed whatever the letter case': (registry) => ({ removeKey: (domain) => registry.removeKey(domain.toLowerCase()) }),
  'keys are found whatever the letter case': (registry, store) => ({ keysOf: (domains) => registry.keysOf([...store.keys.keys()].filter((domain) => domains.some((one) => one.toLowerCase() === domain.toLowerCase()))) }),
  'domains are kept without spaces': (registry) => ({ addKey: (key) => registry.addKey({ ...key, domain: key.domain.trim() }) }),
  'domains are composed': (registry) => ({ addKey: (key) => registry.addKey({ ...key, domain: key.domain.normalize() }) }),
  'long domains are cut off': (registry) => ({ addKey: (key) => registry.addKey({ ...key, domain: key.domain.slice(0, 63) }) }),
  'user names are not kept': (registry) => ({ addKey: (key) => registry.addKey({ ...key, username: 'u' }) }),
  'some domains are looked up at most': (registry) => ({ keysOf: (domains) => registry.keysOf(domains.slice(0, 30)) }),
  'a page is larger than asked for': (registry) => ({ keysAfter: (after, most) => registry.keysAfter(after, most + 1) }),
  'each page begins with the last row of the one before': (registry) => ({ keysAfter: async (after, most) => (await registry.keysAfter(after - 1, most)).slice(0, after > 50 ? 0 : most) }),
  'recovery urls do not come out': givingOut((things) => things.map((thing) => (isOf('registration')(thing) ? { ...thing, recovery: undefined } : thing))),
  'notices come out before their registrations': givingOut((things) => things.toSorted((a, b) => Number(isOf('notice')(b)) - Number(isOf('notice')(a)))),
  'keys do not come out': givingOut((things) => things.filter((thing) => !isOf('key')(thing))),
  'the secret does not come out': givingOut((things) => things.filter((thing) => !isOf('hubSecret')(thing))),
  'something comes out twice': givingOut((things) => things.flatMap((thing): Stored[] => (isOf('signature')(thing) ? [thing, thing] : [thing]))),
  'whole signatures come out': givingOut((things) => things.map((thing) => (isOf('signature')(thing) ? { ...thing, code: Buffer.alloc(64, thing.code[0]) } : thing))),
  'what has run out comes out': (registry, store) => ({
    async *everything() {
      yield* (await Array.fromAsync(registry.everything())).filter((thing) => !isOf('signature')(thing))
      for (const [code, expiresAt] of store.signatures) yield { type: 'signature', code: Buffer.from(code, 'base64'), expiresAt }
    },
  }),
  'locked notices do not come out': (registry, store) => ({
    async *everything() {
      const locked = new Set([...store.notices.values()].filter((notice) => notice.lock !== undefined).map(({ id }) => store.rows.get(id)?.url))
      for await (const thing of registry.everything()) if (!isOf('notice')(thing) || !locked.has(thing.url)) yield thing
    },
  }),
  'much does not come out': givingOut((things) => things.slice(0, 2_000)),
  'much does not go in': (registry) => ({ restore: (things) => registry.restore(things.slice(0, 1_000)) }),
  'all that is offered is counted': (registry) => ({ restore: async (things) => (await registry.restore(things), things.length) }),
  'what goes in takes the place of what is there': puttingIn((thing, registry) => {
    if (isOf('registration')(thing)) void registry.remove(thing.url, thing)
    return [thing]
  }),
  'a notice that goes in takes the place of what is there': puttingIn((thing, _, store) => {
    if (isOf('notice')(thing)) for (const [id, row] of store.rows) if (row.url === thing.url && row.target === thing.target) store.notices.delete(id)
    return [thing]
  }),
  'a secret that goes in takes the place of what is there': puttingIn((thing, _, store) => {
    if (isOf('hubSecret')(thing)) delete store.secret
    return [thing]
  }),
  'a key that goes in takes the place of what is there': puttingIn((thing, _, store) => {
    if (isOf('key')(thing)) store.keys.delete(thing.domain)
    return [thing]
  }),
  'notices do not go in': puttingIn((thing) => (isOf('notice')(thing) ? [] : [thing])),
  'what goes in loses its attempts': puttingIn((thing) => [isOf('notice')(thing) ? { ...thing, attempts: 0 } : thing]),
  'keys that go in count': puttingIn((thing) => [isOf('key')(thing) ? { ...thing, active: true } : thing]),
  'signatures that go in are new': puttingIn((thing) => [isOf('signature')(thing) ? { ...thing, code: Buffer.from(thing.code).reverse().fill(7, 0, 1) } : thing]),
  'signatures that have run out go in': puttingIn((thing) => [isOf('signature')(thing) ? { ...thing, expiresAt: thing.expiresAt + 10 } : thing]),
  'the earlier end of a signature counts': puttingIn((thing, _, store) => (isOf('signature')(thing) && store.signatures.has(Buffer.from(thing.code).toString('base64')) ? [] : [thing])),
  'what goes in is not told': (registry, store) => ({
    async restore(things) {
      const listeners = [...store.listeners]
      store.listeners.clear()
      const count = registry.restore(things)
      for (const one of listeners) store.listeners.add(one)
      return count
    },
  }),
  'what goes in of keys is not told': (registry, store) => ({
    async restore(things) {
      const listeners = [...store.keyListeners]
      store.keyListeners.clear()
      const count = registry.restore(things)
      for (const one of listeners) store.keyListeners.add(one)
      return count
    },
  }),
  'it gives everything when it is closed': (registry) => {
    let last: Stored[] = []
    return {
      async *everything() {
        yield* (last = await Array.fromAsync(registry.everything()).catch(() => last))
      },
    }
  },
  'it goes on when it is closed': () => ({ close: async () => {} }),
}

function contract(name: string, change: Change): void {
  registryContract(name, (parts) => {
    const store = createRegistryStore()
    const another = (): Registry => {
      const registry = createMemoryRegistry(store, parts.clock)
      return { ...registry, ...change(registry, store, parts) }
    }
    return { registry: another(), another }
  }, { patience: 100 })
}

contract('sound', () => ({}))
for (const [name, change] of Object.entries(faults)) contract(name, change)
