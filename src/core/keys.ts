import { hash, timingSafeEqual } from 'node:crypto'
import { WaystationError } from './errors.ts'
import type { Clock } from './ports.ts'
import type { DomainNews, KeyRow, KeyTable } from './registry.ts'
import { topicFromBytes, topicIsText, topicToBytes, type Topic } from './topic.ts'

/** What became of a check: `unavailable` when the database cannot be asked now. */
export type KeyVerdict = 'good' | 'bad' | 'unavailable'

/** Who may publish under which domain, by the API keys of the registry (wspubsub, section 7). */
export interface Keys {
  /** Follows the table. @throws {WaystationError} `registry_unavailable` */
  start(): Promise<void>
  /** Whether the domain that the topic is under has a key, active or not: then it takes a proof to publish there. */
  owns(topic: Topic): boolean
  /** Whether the key lets publish under the domain. Never rejects; at once when it is known from before. */
  check(key: string, domain: string): KeyVerdict | Promise<KeyVerdict>
  /**
   * Watches a key that is in use: `ended` is called once when it has been taken away, revoked or replaced. What the
   * database cannot say now is asked again until it can; what it does not tell of is found within a
   * minute. Gives what ends the watch.
   */
  hold(key: string, domain: string, ended: () => void): () => void
  stop(): void
}

export interface KeysParts {
  readonly table: Pick<KeyTable, 'watchDomains' | 'keysOf'>
  readonly clock: Clock
  readonly limits: { readonly maxCachedKeys: number; readonly keyCacheTime: number; readonly maxKeyChecks: number }
  /** The database did not answer, or has two keys that are the same. Told of each at most once in ten seconds: who asks is anybody. */
  readonly failed: (error: unknown) => void
}

interface Asked {
  readonly digest: Buffer
  readonly domain: string
  readonly answer: (verdict: KeyVerdict) => void
}

interface Outdated {
  all: boolean
  readonly domains: Set<string>
}

interface Held {
  readonly digest: Buffer
  readonly ended: () => void
}

/** Where there are no keys: nothing is owned. */
export const NO_KEYS: Keys = { start: async () => {}, owns: () => false, check: () => 'bad', hold: () => () => {}, stop() {} }

/** Domains that one query asks for, and queries that run at once. */
const [TOGETHER, AT_ONCE] = [500, 2]
/** No domain and no key is longer; the table of the original has room for 64 and 36. */
const MOST_SIGNS = 255
/** Milliseconds before a watched key is asked for again, and before the same trouble is told of again. */
const [AGAIN, TOLD_AGAIN] = [1_000, 10_000]
/** Milliseconds for an answer of the table. */
const PATIENCE = 5_000
/** Milliseconds at most after which keys in use are looked up again without news. */
const LOOKED_AGAIN = 60_000

/** The domain that a topic is under: what stands before its first slash. */
export function domainOf(topic: Topic): string {
  const at = topic.indexOf('/')
  const domain = (at === -1 ? topic : topic.slice(0, at)) as Topic
  // The domain may be text though what stands behind it is none.
  return topicIsText(domain) ? domain : topicFromBytes(topicToBytes(domain))
}

/**
 * Checks keys by their SHA-256, in constant time. Good ones are remembered for a while, at most so many; those of a domain
 * are forgotten when its row changes. Bad ones are not remembered, or whoever tries many would push out the good ones. What
 * is asked for in one turn shares a query; past `maxKeyChecks` that wait, nothing more is asked.
 */
export function createKeys({ table, clock, limits, failed }: KeysParts): Keys {
  const owned = new Set<string>()
  /** By domain and hash, until when; the oldest first. */
  const good = new Map<string, Map<string, number>>()
  let cached = 0
  const held = new Map<string, Set<Held>>()
  const suspects = new Set<string>()
  /** What queries that are on their way must not remember: their answers may be of before. */
  const outdated = new Set<Outdated>()
  const asked: Asked[] = []
  let [waiting, running] = [0, 0]
  let stopped = false
  let [asking, rechecking] = [false, false]
  let [stopAgain, stopLooking] = [(): void => {}, (): void => {}]
  const troubled = { unanswered: -Infinity, doubled: -Infinity }

  function complain(trouble: keyof typeof troubled, error: unknown): void {
    const now = clock.monotonic()
    if (now - troubled[trouble] < TOLD_AGAIN) return
    troubled[trouble] = now
    failed(error)
  }

  function told({ all, domains }: DomainNews): void {
    if (all) {
      owned.clear()
      good.clear()
      cached = 0
      for (const one of outdated) one.all = true
      for (const domain of held.keys()) suspects.add(domain)
    }
    for (const [domain, isThere] of domains) {
      if (isThere) owned.add(domain)
      else owned.delete(domain)
      forget(domain)
      for (const one of outdated) one.domains.add(domain)
      if (held.has(domain)) suspects.add(domain)
    }
    if (suspects.size > 0) void recheck()
  }

  function forget(domain: string): void {
    cached -= good.get(domain)?.size ?? 0
    good.delete(domain)
  }

  function remember(digest: Buffer, domain: string): void {
    const of = good.get(domain) ?? new Map<string, number>()
    const key = digest.toString('base64')
    if (!of.has(key)) cached++
    of.set(key, clock.monotonic() + limits.keyCacheTime)
    // Behind all others.
    good.delete(domain)
    good.set(domain, of)
    while (cached > limits.maxCachedKeys) forget(good.keys().next().value as string)
  }

  function isRemembered(digest: Buffer, domain: string): boolean {
    return (good.get(domain)?.get(digest.toString('base64')) ?? -Infinity) > clock.monotonic()
  }

  function check(key: string, domain: string): KeyVerdict | Promise<KeyVerdict> {
    if (!isName(key) || !isName(domain)) return 'bad'
    const digest = digestOf(key)
    if (isRemembered(digest, domain)) return 'good'
    if (stopped || waiting >= limits.maxKeyChecks) return 'unavailable'
    return new Promise((answer) => {
      waiting++
      asked.push({ digest, domain, answer })
      ask()
    })
  }

  /** At the end of the turn, with whatever else it brings. */
  function ask(): void {
    if (asking || asked.length === 0) return
    asking = true
    clock.endOfTurn(() => {
      asking = false
      while (asked.length > 0 && running < AT_ONCE) void askNow(asked.splice(0, TOGETHER))
    })
  }

  async function askNow(some: readonly Asked[]): Promise<void> {
    running++
    const verdicts = await verdictsOf(some)
    running--
    waiting -= some.length
    for (const [i, { answer }] of some.entries()) answer(verdicts[i] as KeyVerdict)
    ask()
  }

  /** In time, or never: one question that hangs must not hold up all that come behind it. */
  async function rowsOf(domains: readonly string[]): Promise<readonly KeyRow[]> {
    const late = Promise.withResolvers<never>()
    const cancel = clock.after(PATIENCE, () => late.reject(new WaystationError('registry_unavailable', 'the table of API keys does not answer in time')))
    try {
      return await Promise.race([table.keysOf(domains), late.promise])
    } finally {
      cancel()
    }
  }

  async function verdictsOf(some: readonly Pick<Asked, 'digest' | 'domain'>[]): Promise<KeyVerdict[]> {
    const news: Outdated = { all: false, domains: new Set() }
    outdated.add(news)
    try {
      const rows = Map.groupBy(await rowsOf([...new Set(some.map(({ domain }) => domain))]), ({ domain }) => domain)
      return some.map(({ digest, domain }) => {
        const fitting = (rows.get(domain) ?? []).filter((row) => row.active && fits(row, digest))
        if (fitting.length > 1) complain('doubled', new Error(`${fitting.length} rows of the domain ${JSON.stringify(domain)} have the same key: none of them counts`))
        if (fitting.length !== 1) return 'bad'
        if (!news.all && !news.domains.has(domain)) remember(digest, domain)
        return 'good'
      })
    } catch (error) {
      complain('unanswered', error)
      return some.map(() => 'unavailable')
    } finally {
      outdated.delete(news)
    }
  }

  /** Those whose rows have changed since they were let in. */
  async function recheck(): Promise<void> {
    if (rechecking || stopped) return
    rechecking = true
    while (suspects.size > 0 && !stopped) {
      const domains = [...suspects].slice(0, TOGETHER)
      for (const domain of domains) suspects.delete(domain)
      const here = domains.flatMap((domain) => [...(held.get(domain) ?? [])].map((one) => ({ ...one, one, domain })))
      const verdicts = await verdictsOf(here)
      for (const [i, { one, domain }] of here.entries()) {
        if (verdicts[i] === 'unavailable') suspects.add(domain)
        else if (verdicts[i] === 'bad' && held.get(domain)?.has(one) === true) {
          drop(domain, one)
          one.ended()
        }
      }
      if (verdicts.includes('unavailable')) break
    }
    rechecking = false
    stopAgain()
    if (suspects.size > 0 && !stopped) stopAgain = clock.after(AGAIN, () => void recheck())
  }

  /** Not every change is told: no trigger fires for some statements, nor for what a replica gets. */
  function lookNowAndThen(): void {
    stopLooking = clock.after(Math.min(Math.max(limits.keyCacheTime, AGAIN), LOOKED_AGAIN), () => {
      for (const domain of held.keys()) suspects.add(domain)
      void recheck()
      lookNowAndThen()
    })
  }

  function drop(domain: string, one: Held): void {
    const all = held.get(domain)
    all?.delete(one)
    if (all?.size === 0) held.delete(domain)
  }

  return {
    async start() {
      await table.watchDomains(told)
      if (!stopped) lookNowAndThen()
    },
    owns: (topic) => owned.size > 0 && owned.has(domainOf(topic)),
    check,
    hold(key, domain, ended) {
      const one: Held = { digest: digestOf(key), ended }
      const all = held.get(domain)
      if (all === undefined) held.set(domain, new Set([one]))
      else all.add(one)
      // Between the check and now its row may have changed.
      if (!isRemembered(one.digest, domain)) {
        suspects.add(domain)
        void recheck()
      }
      return () => drop(domain, one)
    },
    stop() {
      stopped = true
      stopAgain()
      stopLooking()
      for (const { answer } of asked.splice(0)) answer('unavailable')
    },
  }
}

/** What may stand in the table: databases have no text with a zero in it. */
function isName(text: string): boolean {
  return text.length <= MOST_SIGNS && text.isWellFormed() && !text.includes('\0')
}

function digestOf(key: string): Buffer {
  return hash('sha256', key, 'buffer')
}

function fits({ apikey, sha256 }: KeyRow, digest: Buffer): boolean {
  const stored = sha256 ?? (apikey === undefined ? undefined : digestOf(apikey))
  return stored !== undefined && stored.length === digest.length && timingSafeEqual(stored, digest)
}
