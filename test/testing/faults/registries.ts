import type { Registry, RegistryChange } from '../../../src/core/registry.ts'
import { topicFromBytes, topicToBytes } from '../../../src/core/topic.ts'
import { registryContract, type RegistryParts } from '../../../src/testing/index.ts'
import { createMemoryRegistry, createRegistryStore, type RegistryStore } from '../../support/memory-registry.ts'

/** A sound registry with something about it changed. */
type Change = (registry: Registry, store: RegistryStore, parts: RegistryParts) => Partial<Registry>

/** What is told goes through `change` first. */
function telling(change: (changes: readonly RegistryChange[], told: (changes: readonly RegistryChange[]) => void) => void): Change {
  return (registry) => ({ start: (told) => registry.start((changes) => change(changes, told)) })
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
    let own = 0
    const ours = <A extends unknown[], R>(act: (...args: A) => Promise<R>) => (...args: A): Promise<R> => {
      own++
      const done = act(...args)
      own--
      return done
    }
    return { add: ours(registry.add), remove: ours(registry.remove), removeId: ours(registry.removeId), set: ours(registry.set), start: (told) => registry.start((changes) => own > 0 && told(changes)) }
  },
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
  }, { patience: 500 })
}

contract('sound', () => ({}))
for (const [name, change] of Object.entries(faults)) contract(name, change)
