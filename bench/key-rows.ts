import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { openRegistry } from '../src/server/open-registry.ts'
import { realClock } from '../src/server/real-world.ts'
import type { KeyOptions, KeyScenario } from './key-options.ts'
import { domainOf, keyOf, publisherPath, rowsOf as keyRows, subscriberPath, type Storage } from './load/bench-keys.ts'
import { measure as measureOnce, observe, type Observed } from './measure.ts'
import { common, withHub, type Found, type Place } from './place.ts'
import { runLoad } from './processes.ts'
import type { Row } from './scenarios.ts'
import type { FanOutTask, PostTask, Task } from './task.ts'

type KeyPlace = Place<KeyOptions>
type KeyRow = Row<KeyScenario, KeyOptions>

/** Gives the url of a fresh database. */
export type FreshDatabase = () => Promise<string>

export const POSTERS = 64
/** Keys that the bare check has in turn. */
export const REMEMBERED = 1_000
/** Publishers that are there before any counts. */
export const EARLY = 100
/** What a registry takes at once. */
const PIECE = 1_000

async function fill(database: string, keys: number, storage: Storage): Promise<void> {
  const registry = openRegistry({ database, dataDir: '' }, realClock)
  try {
    const rows = keyRows(keys, storage)
    let put = 0
    for (let at = 0; at < rows.length; at += PIECE) put += await registry.restore(rows.slice(at, at + PIECE))
    if (put !== keys) throw new Error(`${put} of ${keys} keys are in the database`)
  } finally {
    await registry.close()
  }
}

/** Each on a hub of its own, with keys in a SQLite file. Both are there from the beginning, so that little time passes between the two. */
async function bothWays(place: KeyPlace, keyedFirst: boolean, keyed: Task, other: Task): Promise<{ keyed: Observed; other: Observed }> {
  const folder = mkdtempSync(join(place.options.dir ?? tmpdir(), 'waystation-bench-keys-'))
  try {
    const database = join(folder, 'keys.db')
    await fill(database, POSTERS, 'hashed')
    return await withHub(place, 'none', (first) => withHub(place, 'none', (second) =>
      oneByOne(keyedFirst, () => observe(first, keyed, place.pinning), () => observe(second, other, place.pinning)), { database }), { database })
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

async function oneByOne<T>(keyedFirst: boolean, keyed: () => Promise<T>, other: () => Promise<T>): Promise<{ keyed: T; other: T }> {
  if (keyedFirst) return { keyed: await keyed(), other: await other() }
  const first = await other()
  return { keyed: await keyed(), other: first }
}

/** What both have found, and the ratio of the keyed one to the other. */
function beside(all: { keyed: Observed; other: Observed }): Found {
  const [keyed, other] = [common(all.keyed), common(all.other)]
  const of = (found: Found, name: string): number => found[name] ?? NaN
  return {
    keyedPerSecond: of(keyed, 'perSecond'), keyedCpu: of(keyed, 'cpuMicroseconds'),
    otherPerSecond: of(other, 'perSecond'), otherCpu: of(other, 'cpuMicroseconds'),
    rateRatio: of(keyed, 'perSecond') / of(other, 'perSecond'), cpuRatio: of(keyed, 'cpuMicroseconds') / of(other, 'cpuMicroseconds'),
    serverLoad: of(keyed, 'serverLoad'), generatorLoad: of(keyed, 'generatorLoad'),
    elsewhere: Math.max(of(keyed, 'elsewhere'), of(other, 'elsewhere')),
  }
}

async function checks(place: KeyPlace, keyedFirst: boolean): Promise<Found> {
  const { warmup, seconds, size } = place.options
  const task: PostTask = { kind: 'post', connections: POSTERS, warmup, seconds, size }
  const numbers = Array.from({ length: POSTERS }, (_, index) => index)
  const found = beside(await bothWays(place, keyedFirst,
    { ...task, to: numbers.map((index) => ({ path: `/${domainOf(index)}/post`, key: keyOf(index) })) },
    { ...task, to: numbers.map((index) => ({ path: `/other-${index}/post`, key: undefined })) },
  ))
  const bare = await runLoad(0, { kind: 'key-checks', keys: REMEMBERED, warmup: Math.min(warmup, 0.5), seconds: Math.min(seconds, 1) }, place.pinning?.server, async () => {})
  return { ...found, bare: bare.count / bare.seconds, bareMicroseconds: (bare.cpu / bare.count) * 1e6 }
}

async function opening(place: KeyPlace, storage: Storage, freshDatabase: FreshDatabase): Promise<Found> {
  const { publishers: count, together, seconds } = place.options
  const database = await freshDatabase()
  const before = Math.min(EARLY, count)
  await fill(database, before + count, storage)
  const task: Task = { kind: 'publishers', count, before, together, settle: Math.min(2, seconds) }
  return withHub(place, 'none', async (server) => {
    const { seen, used, before: empty, settled, loads } = await observe(server, task, place.pinning)
    return {
      opened: seen.seconds, perSecond: count / seen.seconds, p50: seen.p50 ?? NaN, p99: seen.p99 ?? NaN,
      cpuMicroseconds: (used / count) * 1e6, kib: (settled.rss - empty.rss) / 1024 / count,
      // PostgreSQL is not something else.
      serverLoad: loads.serverLoad, generatorLoad: loads.generatorLoad, others: loads.elsewhere,
    }
  }, { database })
}

async function fanOut(place: KeyPlace, keyedFirst: boolean, subscribers: number, pace: Pick<FanOutTask, 'inFlight' | 'rate'>): Promise<Found> {
  const { warmup, seconds, size } = place.options
  const task: FanOutTask = { kind: 'fan-out', channels: 1, subscribers, ...pace, warmup, seconds, size }
  // Among many, the publisher of the channel is a connection of its own, too: whoever is the pace-maker decides how many messages come together.
  const channel: FanOutTask = subscribers === 1 ? task : { ...task, keyed: { publisher: '/bench/0', subscribers: '/bench/0', hears: true } }
  const found = beside(await bothWays(place, keyedFirst, { ...task, keyed: { publisher: publisherPath(0), subscribers: subscriberPath(0) } }, channel))
  if (subscribers > 1) return found
  // On a channel the one subscriber is the publisher; what a second connection costs whichever the server is, a plain loop shows.
  const loop = (one: Task) => () => measureOnce('peers/ws-loop.ts', one, place.pinning)
  const { keyed, other } = await oneByOne(keyedFirst, loop({ ...task, keyed: { publisher: '/bench?alone', subscribers: '/bench' } }), loop(task))
  return { ...found, loopRatio: (keyed.cpu ?? NaN) / (other.cpu ?? NaN) }
}

/** Messages a second, where they come at a fixed rate. */
const RATE = 100

/** All rows of what was asked for, in the order of the tables. */
export function rowsOf({ only, subscribers: most, window }: KeyOptions, freshDatabase: FreshDatabase): KeyRow[] {
  /** Another one is first each round. */
  const inTurns = (measure: (place: KeyPlace, keyedFirst: boolean) => Promise<Found>): KeyRow['measure'] => {
    let keyedFirst = false
    return (place) => measure(place, (keyedFirst = !keyedFirst))
  }
  const rows: KeyRow[] = [{ scenario: 'checks', of: { connections: POSTERS }, measure: inTurns(checks) }]
  for (const storage of ['hashed', 'plain'] as const) rows.push({ scenario: 'opening', of: { keys: storage }, measure: (place) => opening(place, storage, freshDatabase) })
  for (const subscribers of new Set([1, most])) {
    for (const inFlight of new Set([1, window])) {
      rows.push({ scenario: 'fanout', of: { subscribers, 'in flight': inFlight }, measure: inTurns((place, keyedFirst) => fanOut(place, keyedFirst, subscribers, { inFlight })) })
    }
    // Nobody's speed decides how many messages come together.
    if (subscribers > 1) rows.push({ scenario: 'fanout', of: { subscribers, 'in flight': `${RATE} a second` }, measure: inTurns((place, keyedFirst) => fanOut(place, keyedFirst, subscribers, { rate: RATE })) })
  }
  return rows.filter(({ scenario }) => only.includes(scenario))
}
