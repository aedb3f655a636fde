import { randomUUID } from 'node:crypto'
import { WaystationError } from '../../core/errors.ts'
import type { Clock } from '../../core/ports.ts'
import type { KeyTable, NewKey, Registration, Registry, Stored, Wanted } from '../../core/registry.ts'
import { changeFeed } from './change-feed.ts'
import { createConnections, type Connection } from './connections.ts'
import { follow } from './follow.ts'
import { keyFeed } from './key-feed.ts'
import { addKeys, changeKey, keysAfter, keysOf, removeKey } from './keys.ts'
import { createLane, oneByOne, type LaneParts } from './lane.ts'
import { migrate, prepareKeys } from './migrate.ts'
import { putIn, snapshot, THINGS_AT_ONCE } from './moves.ts'
import { claim, hubSecret, postpone, settle } from './notices.ts'
import { isMissing } from './reasons.ts'
import { add, page, PIECE, remove, removeIds } from './registrations.ts'
import { setAll } from './set.ts'
import { forget, remember, sweep } from './signatures.ts'

export interface PostgresRegistryOptions {
  /** `postgres://user:password@host:port/name`, with the parameters that `pg` knows. */
  readonly url: string
  readonly clock: Clock
  /** Milliseconds between two looks for changes that were not heard of; 1,000 unless stated. */
  readonly pollInterval?: number
}

/** Whoever changes registrations waits here first, so that nobody waits for somebody who waits for him. */
const BEGIN_WRITING = "BEGIN; SELECT FROM waystation.feeds WHERE name = 'subscriptions' FOR UPDATE"
/** Signatures that come between two looks for expired ones, and how many of those go for each. */
const [SWEPT, GONE_FOR_EACH] = [64, 4]

/**
 * The registry in a PostgreSQL database, shared by all hubs that name it. Calls of one turn share a transaction; other hubs
 * hear of changes by NOTIFY, and look for them every second besides. When the database is away, calls are refused within
 * five seconds, and it is tried again every second.
 * @throws {WaystationError} `config_invalid` when the url cannot be understood
 */
export function createPostgresRegistry({ url, clock, pollInterval = 1_000 }: PostgresRegistryOptions): Registry {
  const connections = createConnections(url)
  const name = randomUUID()
  /** The last set of each url that has one under way. */
  const sets = new Map<string, Promise<void>>()
  let prepared: Promise<void> | undefined
  let closed: WaystationError | undefined
  let closing: Promise<void> | undefined
  let claims = 0
  let unswept = 0

  const registrations = changeFeed(connections)
  const domains = keyFeed(connections, () => connections.use(prepareKeys))
  const parts: LaneParts = { connections, ready, failed }
  const writing = createLane({ ...parts, begin: BEGIN_WRITING, committed: (ms) => told([registrations], ms) })
  const noticing = createLane({ ...parts, begin: 'BEGIN' })
  const remembering = createLane(parts)
  // What one of them is refused for is not the others' fault.
  const keying = createLane({ ...parts, begin: 'BEGIN', together: 1, committed: (ms) => told([domains], ms) })
  const moving = createLane({ ...parts, begin: BEGIN_WRITING, together: 1, committed: (ms) => told([registrations, domains], ms) })
  const following = follow({ connections, registrations, domains, lane: moving, ready, failed, pollInterval })

  const insertKey = oneByOne(async (connection: Connection, key: NewKey) => (await addKeys(connection, [key])) === 1)
  const updateKey = oneByOne((connection: Connection, [domain, change]: Parameters<KeyTable['changeKey']>) => changeKey(connection, domain, change))
  const deleteKey = oneByOne(removeKey)
  const put = oneByOne((connection: Connection, things: readonly Stored[]) => putIn(connection, things, clock.now()))

  /** Everything is there that the first call needs. What has failed is tried again by the next. */
  function ready(): Promise<void> {
    following.begin()
    return (prepared ??= connections.use(async (connection) => {
      await migrate(connection)
      await prepareKeys(connection)
    }).catch((error: unknown) => {
      prepared = undefined
      throw error
    }))
  }

  function failed(error: unknown): void {
    if (error instanceof WaystationError && isMissing(error)) prepared = undefined
  }

  /** What was done is done, whether or not it can be read again now: then the poll tells of it later. */
  async function told(feeds: readonly (typeof registrations | typeof domains)[], ms: number): Promise<void> {
    const reading = feeds.filter(({ listening }) => listening).map((feed) => feed.current().catch(failed))
    if (reading.length > 0) await soon(Promise.all(reading), ms)
  }

  /** Refuses what comes after the end, and what waits for a database that has gone. */
  async function opened<T>(act: () => Promise<T>): Promise<T> {
    if (closed !== undefined) throw closed
    return act()
  }

  async function read<T>(act: (connection: Connection) => Promise<T>): Promise<T> {
    try {
      await ready()
      return await connections.use(act)
    } catch (error) {
      failed(error)
      throw error
    }
  }

  async function list(ofUrl: string): Promise<Registration[]> {
    const all: Registration[] = []
    for (let full = true; full;) {
      const some = await read((connection) => page(connection, ofUrl, all.at(-1)?.id ?? Number.MIN_SAFE_INTEGER))
      all.push(...some)
      full = some.length === PIECE
    }
    return all
  }

  async function set(ofUrl: string, wanted: readonly Wanted[]): Promise<void> {
    const act = (): Promise<void> => setAll({ connections, writing, ready }, { url: ofUrl, wanted, now: clock.now() })
    const before = sets.get(ofUrl)
    const now = (before === undefined ? act() : before.then(act, act)).finally(() => {
      if (sets.get(ofUrl) === now) sets.delete(ofUrl)
    })
    sets.set(ofUrl, now)
    return now
  }

  async function rememberOne(signature: Uint8Array, expiresAt: number): Promise<boolean> {
    if (++unswept >= SWEPT) {
      remembering.ask(sweep, { now: clock.now(), most: GONE_FOR_EACH * unswept }).catch(() => {})
      unswept = 0
    }
    return remembering.ask(remember, { signature, expiresAt, now: clock.now() })
  }

  async function restore(things: readonly Stored[]): Promise<number> {
    let count = 0
    for (let i = 0; i < things.length; i += THINGS_AT_ONCE) count += await moving.ask(put, things.slice(i, i + THINGS_AT_ONCE))
    return count
  }

  async function* everything(): AsyncGenerator<Stored> {
    if (closed !== undefined) throw closed
    await ready()
    yield* snapshot(connections, clock.now())
  }

  async function close(): Promise<void> {
    closed = new WaystationError('registry_unavailable', 'the registry was closed')
    while (sets.size > 0) await Promise.allSettled(sets.values())
    await Promise.all([writing, noticing, remembering, keying, moving].map((lane) => lane.idle()))
    await Promise.all([following.end(), connections.close()])
  }

  return {
    get available() {
      return connections.available
    },
    start: (listener) => opened(() => following.from(() => registrations.listen(listener), registrations)),
    current: () => opened(() => following.current(registrations)),
    add: (ofUrl, wanted) => opened(() => writing.ask(add, { ...wanted, url: ofUrl, now: clock.now() })),
    remove: (ofUrl, wanted) => opened(() => writing.ask(remove, { ...wanted, url: ofUrl, recovery: undefined })),
    removeId: (id) => opened(() => writing.ask(removeIds, id)),
    set: (ofUrl, wanted) => opened(() => set(ofUrl, wanted)),
    list: (ofUrl) => opened(() => list(ofUrl)),
    remember: (signature, expiresAt) => opened(() => rememberOne(signature, expiresAt)),
    forget: (signature) => opened(() => remembering.ask(forget, signature)),
    postpone: (notice) => opened(() => noticing.ask(postpone, notice)),
    // Each claim a lock of its own: one that ran out must not end the claim that came after it.
    claim: (now, lockMs, most) => opened(() => noticing.ask(claim, { lock: `${name}:${++claims}`, now, lockMs, most })),
    settle: ({ id, lock }, next) => opened(() => noticing.ask(settle, { id, lock, next })),
    hubSecret: (fresh) => opened(() => noticing.ask(hubSecret, fresh)),
    watchDomains: (listener) => opened(() => following.from(() => domains.listen(listener), domains)),
    keysOf: (some) => opened(() => read((connection) => keysOf(connection, some))),
    keysAfter: (after, most) => opened(() => read((connection) => keysAfter(connection, after, most))),
    addKey: (key) => opened(() => keying.ask(insertKey, key)),
    changeKey: (domain, change) => opened(() => keying.ask(updateKey, [domain, change])),
    removeKey: (domain) => opened(() => keying.ask(deleteKey, domain)),
    everything,
    restore: (things) => opened(() => restore(things)),
    close: () => (closing ??= close()),
  }
}

/** Waits for it, but not for longer. Never rejects. */
async function soon(promise: Promise<unknown>, ms: number): Promise<void> {
  let timer: NodeJS.Timeout | undefined
  await Promise.race([promise.catch(() => {}), new Promise((done) => (timer = setTimeout(done, Math.max(0, ms))))])
  clearTimeout(timer)
}

