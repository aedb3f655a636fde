import { randomUUID } from 'node:crypto'
import { WaystationError } from '../../core/errors.ts'
import type { Clock } from '../../core/ports.ts'
import type { DomainNews, KeyRow, Registry, RegistryChange, Wanted } from '../../core/registry.ts'
import { createCluster, StatementError } from './cluster.ts'
import { follow, together } from './follow.ts'
import { domainSource, keyCalls, keyOf } from './keys.ts'
import { createLane, refusal } from './lane.ts'
import { migrate } from './migrate.ts'
import { everythingOf, restoreInto } from './moves.ts'
import { noticeCalls } from './notices.ts'
import { tablesOf } from './schema.ts'
import { listOf, setTo } from './setting.ts'
import { signatureCalls } from './signatures.ts'
import { registrationSource, subscriptionCalls } from './subscriptions.ts'

export interface RqliteRegistryOptions {
  /** Base urls of the cluster's nodes, such as `http://user:password@127.0.0.1:4001`; the first is asked first, and the next when it cannot answer. */
  readonly nodes: readonly string[]
  readonly clock: Clock
  /** Milliseconds between two looks for changes that others made; 400 unless stated. */
  readonly pollInterval?: number
  /** What the names of all tables begin with, so that several registries have room in one cluster; nothing unless stated. Letters, digits and `_`. */
  readonly prefix?: string
  /** Milliseconds that an answer is waited for, whichever nodes are asked meanwhile; 4,500 unless stated. */
  readonly patience?: number
}

/** Domains that one statement asks for. */
const DOMAINS = 500

/**
 * The registry in an rqlite cluster (8.26 or newer), shared by all hubs that name one. Whatever is asked for goes through
 * the Raft log, in one request at a time that all who ask meanwhile share, so that no hub is answered with less than what
 * another has answered before. Only two things ask for less: the look for changes that others made, and the check of a key.
 * @throws {RangeError} when a node is no url, or the prefix has other signs
 */
export function createRqliteRegistry({ nodes, clock, pollInterval = 400, prefix = '', patience = 4_500 }: RqliteRegistryOptions): Registry {
  const cluster = createCluster(nodes, patience)
  const tables = tablesOf(prefix)
  const name = randomUUID()
  const [subscriptions, notices, signatures, keys] = [subscriptionCalls(tables), noticeCalls(tables), signatureCalls(tables), keyCalls(tables)]
  let toldChanges: (changes: readonly RegistryChange[]) => void = () => {}
  let toldDomains: (news: DomainNews) => void = () => {}
  const registrations = follow(cluster, registrationSource(cluster, tables, (changes) => toldChanges(changes)), ready)
  const domains = follow(cluster, domainSource(cluster, tables, (news) => toldDomains(news)), ready)
  const look = () => together([registrations.look(), domains.look()])
  const lane = createLane({ cluster, tables, name, ready, unready: () => (made = undefined), look })
  /** The last set of each url that has one under way. */
  const sets = new Map<string, Promise<void>>()
  /** Settles when the tables are there. */
  let made: Promise<void> | undefined
  let polling: NodeJS.Timeout | undefined
  let closed: WaystationError | undefined
  let closing: Promise<void> | undefined
  let claims = 0

  function ready(): Promise<void> {
    if (made !== undefined) return made
    // By real time, as all that waits for the cluster: the clock is for the times that are written.
    polling ??= setTimeout(poll, pollInterval).unref()
    const now = migrate(cluster, tables)
    made = now
    now.catch(() => {
      if (made === now) made = undefined
    })
    return now
  }

  /** Near: it costs no other node anything, and who is behind tells the rest the next time. */
  async function poll(): Promise<void> {
    try {
      if (made === undefined) await cluster.probe('near', [['SELECT 1']])
      await ready()
      const news = look()
      const results = await cluster.probe('near', news.statements.length === 0 ? [['SELECT 1']] : news.statements)
      await news.take('near', results.map((one) => one.rows))
    } catch (error) {
      if (error instanceof StatementError) made = undefined
      // Whoever asks is told why. The next poll tries again.
    } finally {
      polling = closed === undefined ? setTimeout(poll, pollInterval).unref() : undefined
    }
  }

  function open(): Promise<void> {
    return closed === undefined ? Promise.resolve() : Promise.reject(closed)
  }

  function set(url: string, wanted: readonly Wanted[]): Promise<void> {
    if (closed !== undefined) return Promise.reject(closed)
    const act = (): Promise<void> => setTo(lane, subscriptions, url, wanted, clock.now())
    const before = sets.get(url)
    const now = (before === undefined ? act() : before.then(act, act)).finally(() => {
      if (sets.get(url) === now) sets.delete(url)
    })
    sets.set(url, now)
    return now
  }

  /**
   * Weak: whoever tries keys that are none must not write to every node's disk. A leader that was just deposed may give a
   * row as it was: that is put right by the change that is told. Once it has been told, no such answer counts.
   */
  async function keysOf(wanted: readonly string[]): Promise<readonly KeyRow[]> {
    await open()
    await ready()
    const all: KeyRow[] = []
    for (let i = 0; i < wanted.length; i += DOMAINS) {
      const statements = [keys.of(wanted.slice(i, i + DOMAINS)), domains.head]
      const known = domains.told
      const weak = await cluster.ask('weak', statements)
      const isOlder = Number(weak[1]?.rows[0]?.[0]) < known
      const [result] = isOlder ? await cluster.ask('agreed', statements) : weak
      for (const row of result?.rows ?? []) all.push(keyOf(row))
    }
    return all
  }

  /** What goes no way of the lane is refused in the same words. */
  function refused<T>(answer: Promise<T>): Promise<T> {
    return answer.catch((error: unknown) => {
      throw refusal(error)
    })
  }

  async function close(): Promise<void> {
    closed = new WaystationError('registry_unavailable', 'rqlite: it was closed')
    while (sets.size > 0) await Promise.allSettled(sets.values())
    await lane.end(closed)
    clearTimeout(polling)
    await cluster.close()
  }

  return {
    get available() {
      return cluster.available
    },
    async start(told) {
      await open()
      toldChanges = told
      await refused(registrations.start())
    },
    current: () => lane.current(),
    add: (url, wanted) => lane.perform(subscriptions.add(url, wanted, clock.now())),
    remove: (url, wanted) => lane.perform(subscriptions.remove(url, wanted)),
    removeId: (id) => lane.perform(subscriptions.removeId(id)),
    set,
    list: (url) => listOf(lane, subscriptions, url),
    remember: (signature, expiresAt) => lane.perform(signatures.remember(signature, expiresAt, clock.now())),
    forget: (signature) => lane.perform(signatures.forget(signature)),
    postpone: (notice) => lane.perform(notices.postpone(notice)),
    // Each claim a lock of its own: one that ran out must not end the claim that came after it.
    claim: (now, lockMs, most) => lane.perform(notices.claim(`${name}:${++claims}`, now, lockMs, most)),
    settle: (claim, next) => lane.perform(notices.settle(claim, next)),
    hubSecret: (fresh) => lane.perform(signatures.hubSecret(fresh)),
    async watchDomains(told) {
      await open()
      toldDomains = told
      await refused(domains.start())
    },
    keysOf: (domains) => refused(keysOf(domains)),
    keysAfter: (after, most) => lane.perform(keys.after(after, most)),
    addKey: (key) => lane.perform(keys.add(key, clock.now())),
    changeKey: (domain, change) => lane.perform(keys.change(domain, change)),
    removeKey: (domain) => lane.perform(keys.remove(domain)),
    everything: () => everythingOf(lane, tables, clock.now()),
    restore: (things) => restoreInto(lane, tables, things, clock.now()),
    close: () => (closing ??= close()),
  }
}
