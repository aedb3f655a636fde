import assert from 'node:assert/strict'
import { test } from 'node:test'
import { WaystationError } from '../../src/core/errors.ts'
import type { Registration, Registry } from '../../src/core/registry.ts'
import { topicFromText } from '../../src/core/topic.ts'
import type { Checker } from '../../src/protocol/lonelyps/authorization.ts'
import { encodeConfirmMissed } from '../../src/protocol/lonelyps/responses.ts'
import { createManualClock, type ManualClock } from '../../src/testing/manual-clock.ts'
import { createSeededRandom } from '../../src/testing/seeded-random.ts'
import type { Answer, Caller } from '../../src/webhooks/caller.ts'
import { createNotices, delayOf, NOTICE_POLICY, type NoticePolicy } from '../../src/webhooks/notices.ts'
import { createMemoryRegistry, createRegistryStore, type RegistryStore } from '../support/memory-registry.ts'

const TOPIC = topicFromText('foo/bar')
const GOOD: Answer = { status: 200, body: encodeConfirmMissed('', Buffer.alloc(0)) }
const BAD: Answer = { failure: 'refused' }

interface Sent {
  readonly at: number
  readonly url: string
  readonly late: () => void
}

/** A hub's notices on a made-up clock; `answer` says what a recovery url answers, `undefined` for never. */
function openHub(clock: ManualClock, store: RegistryStore, answer: (sent: Sent) => Answer | undefined, options: { policy?: NoticePolicy; checker?: Checker; wrap?: (registry: Registry) => Registry } = {}) {
  const memory = createMemoryRegistry(store, clock)
  const registry = options.wrap?.(memory) ?? memory
  const sent: Sent[] = []
  const errors: unknown[] = []
  const ends: ((answer: Answer) => void)[] = []
  const caller: Caller = {
    call({ target }, late = () => {}) {
      const one = { at: clock.now(), url: target.signed, late }
      sent.push(one)
      const given = answer(one)
      if (given !== undefined) return Promise.resolve(given)
      return new Promise((resolve) => void ends.push(resolve))
    },
    close: () => Promise.resolve(),
  }
  const checker = options.checker ?? { check: () => 'ok', checkBound: () => 'ok' }
  const notices = createNotices({
    own: undefined,
    registry, caller, checker, clock, prover: () => undefined, random: createSeededRandom(5),
    policy: options.policy ?? NOTICE_POLICY, interval: 1_000, lock: 35_000, failed: (error) => void errors.push(error),
  })
  notices.start()
  return { notices, sent, errors, ends, registry }
}

async function add(store: RegistryStore, recovery: string | undefined, url = 'http://a/'): Promise<Registration> {
  const registration: Registration = { id: ++store.last, url, kind: 'exact', target: TOPIC, recovery }
  store.rows.set(registration.id, registration)
  return registration
}

/** Lets seconds pass, one by one. */
async function pass(clock: ManualClock, seconds: number): Promise<void> {
  await clock.settle()
  for (let i = 0; i < seconds; i++) {
    clock.advance(1_000)
    await clock.settle()
  }
}

test('the delays of a notice are those of the policy, and after its retries there is none', () => {
  const random = createSeededRandom(1)
  for (let attempts = 0; attempts < 20; attempts++) {
    const least = (2 ** Math.min(10, attempts) + 1) * 1_000
    for (let i = 0; i < 100; i++) {
      const delay = delayOf(NOTICE_POLICY, attempts, random) as number
      assert.ok(Number.isInteger(delay) && delay >= least && delay <= least + 2_000, `${attempts}: ${delay}`)
    }
  }
  assert.equal(delayOf(NOTICE_POLICY, 20, random), undefined)
  assert.equal(delayOf({ ...NOTICE_POLICY, retries: 0 }, 0, random), undefined)
})

test('a notice is sent once after its delay, and a success clears it and keeps the subscription', async () => {
  const [clock, store] = [createManualClock(), createRegistryStore()]
  const { notices, sent } = openHub(clock, store, () => GOOD)
  notices.missed(await add(store, 'http://r/'), TOPIC)
  await pass(clock, 1)
  assert.equal(sent.length, 0)
  await pass(clock, 60)
  assert.deepEqual([sent.length, store.notices.size, store.rows.size], [1, 0, 1])
  await notices.stop()
  assert.equal(clock.timers, 0)
})

test('a recovery url that fails is told less and less often, so often as the policy says, and keeps its subscription', async () => {
  const [clock, store] = [createManualClock(), createRegistryStore()]
  const { notices, sent } = openHub(clock, store, () => BAD, { policy: { ...NOTICE_POLICY, retries: 6 } })
  notices.missed(await add(store, 'http://r/'), TOPIC)
  await pass(clock, 200)
  assert.deepEqual([sent.length, store.notices.size, store.rows.size], [6, 0, 1])
  const gaps = sent.slice(1).map(({ at }, i) => at - (sent[i] as Sent).at)
  for (const [i, gap] of gaps.entries()) assert.ok(gap >= (2 ** (i + 1) + 1) * 1_000 && gap <= (2 ** (i + 1) + 4) * 1_000, `${gaps}`)
  await notices.stop()
})

test('a hundred misses of one registration are one notice, and misses that go on do not put it off', async () => {
  const [clock, store] = [createManualClock(), createRegistryStore()]
  let writes = 0
  const { notices, sent } = openHub(clock, store, () => GOOD, { wrap: (registry) => ({ ...registry, postpone: (notice) => (writes++, registry.postpone(notice)) }) })
  const one = await add(store, 'http://r/')
  for (let i = 0; i < 100; i++) notices.missed(one, TOPIC)
  await clock.settle()
  assert.ok(writes <= 2, `${writes} writes`)
  for (let i = 0; i < 20; i++) {
    notices.missed(one, topicFromText(`t${i}`))
    await pass(clock, 1)
  }
  assert.ok(sent.length >= 3 && sent.length <= 7, `${sent.length} in 20 seconds`)
  await notices.stop()
})

test('without a recovery url there is no notice, and one that lost its url, or has one that cannot be called, is cleared', async () => {
  const [clock, store] = [createManualClock(), createRegistryStore()]
  const { notices, sent } = openHub(clock, store, () => GOOD)
  notices.missed(await add(store, undefined), TOPIC)
  const lost = await add(store, 'http://r/')
  notices.missed(lost, TOPIC)
  notices.missed(await add(store, 'no url at all'), TOPIC)
  await clock.settle()
  assert.equal(store.notices.size, 2)
  store.rows.set(lost.id, { ...lost, recovery: undefined })
  await pass(clock, 10)
  assert.deepEqual([sent.length, store.notices.size], [0, 0])
  await notices.stop()
})

test('an answer that is none, or whose authorization is wrong, is no success', async () => {
  for (const [answer, verdict] of [[{ status: 200, body: Buffer.from([0, 8]) }, 'ok'], [GOOD, 'forbidden'], [GOOD, 'unavailable']] as const) {
    const [clock, store] = [createManualClock(), createRegistryStore()]
    const { notices, sent } = openHub(clock, store, () => answer, { checker: { check: () => verdict, checkBound: () => verdict } })
    notices.missed(await add(store, 'http://r/'), TOPIC)
    await pass(clock, 12)
    assert.ok(sent.length >= 2)
    assert.equal(store.notices.size, 1)
    await notices.stop()
  }
})

test('two hubs on one database share the work: each notice goes out once each time it is due', async () => {
  const [clock, store] = [createManualClock(), createRegistryStore()]
  const hubs = [openHub(clock, store, () => BAD), openHub(clock, store, () => BAD)]
  for (let i = 0; i < 200; i++) (hubs[i % 2] as (typeof hubs)[0]).notices.missed(await add(store, `http://r/${i}`), TOPIC)
  await pass(clock, 11)
  const all = hubs.flatMap(({ sent }) => sent)
  for (let i = 0; i < 200; i++) {
    const times = all.filter(({ url }) => url === `http://r/${i}`).map(({ at }) => at).sort((a, b) => a - b)
    // 2 to 4 s, then 3 to 5 s after it, then 5 to 7 s.
    assert.ok(times.length === 2 || times.length === 3, `${times.length}`)
    times.slice(1).forEach((at, n) => assert.ok(at - (times[n] as number) >= 3_000))
  }
  for (const { notices } of hubs) await notices.stop()
})

test('a newer miss while the notice is being sent is told of as well', async () => {
  const [clock, store] = [createManualClock(), createRegistryStore()]
  const { notices, sent, ends } = openHub(clock, store, () => undefined)
  const one = await add(store, 'http://r/')
  notices.missed(one, TOPIC)
  await pass(clock, 5)
  assert.equal(sent.length, 1)
  notices.missed(one, topicFromText('newer'))
  await clock.settle()
  ends[0]?.(GOOD)
  await pass(clock, 5)
  assert.equal(sent.length, 2)
  ends[1]?.(GOOD)
  await clock.settle()
  assert.equal(store.notices.size, 0)
  await notices.stop()
})

test('a notice survives the hub, and one that the stop cut off is at once there for the next', async () => {
  const [clock, store] = [createManualClock(), createRegistryStore()]
  const first = openHub(clock, store, () => undefined)
  first.notices.missed(await add(store, 'http://cut/'), TOPIC)
  await pass(clock, 5)
  first.notices.missed(await add(store, 'http://later/'), TOPIC)
  assert.equal(first.sent.length, 1)
  const stopping = first.notices.stop()
  first.ends[0]?.({ failure: 'the hub is stopping' })
  await stopping
  assert.equal(clock.timers, 0)
  const second = openHub(clock, store, () => GOOD)
  await pass(clock, 5)
  assert.deepEqual(second.sent.map(({ url }) => url).sort(), ['http://cut/', 'http://later/'])
  assert.equal(store.notices.size, 0)
  await second.notices.stop()
})

test('what the registry cannot do now is tried again at the next look, and nothing is asked of it in between', async () => {
  const [clock, store] = [createManualClock(), createRegistryStore()]
  let down = true
  let asked = 0
  const away = (): Promise<never> => (asked++, Promise.reject(new WaystationError('registry_unavailable')))
  const { notices, sent, errors } = openHub(clock, store, () => GOOD, {
    wrap: (registry) => ({
      ...registry,
      postpone: (notice) => (down ? away() : registry.postpone(notice)),
      claim: (...args) => (down ? away() : registry.claim(...args)),
      settle: (...args) => (down ? away() : registry.settle(...args)),
    }),
  })
  const one = await add(store, 'http://r/')
  notices.missed(one, TOPIC)
  await clock.settle()
  for (let i = 0; i < 50; i++) {
    notices.missed(one, TOPIC)
    await clock.settle()
  }
  assert.deepEqual([asked, errors.length], [1, 1])
  await pass(clock, 3)
  assert.equal(sent.length, 0)
  down = false
  await pass(clock, 7)
  assert.equal(sent.length, 1)
  down = true
  notices.missed(one, TOPIC)
  await clock.settle()
  down = false
  await pass(clock, 2)
  assert.equal(store.notices.size, 1)
  await notices.stop()
})

test('a thousand recovery urls that hang do not keep another from its notice once they are late', async () => {
  const [clock, store] = [createManualClock(), createRegistryStore()]
  let over = false
  const { notices, sent, ends } = openHub(clock, store, ({ url }) => (url === 'http://good/' ? GOOD : over ? BAD : undefined))
  for (let i = 0; i < 1_000; i++) notices.missed(await add(store, `http://hangs/${i}`), TOPIC)
  await clock.settle()
  notices.missed(await add(store, 'http://good/'), TOPIC)
  await pass(clock, 6)
  for (let i = 0; i < 50; i++) await clock.settle()
  assert.equal(sent.length, 256)
  let told = 0
  for (let i = 0; i < 40 && !sent.some(({ url }) => url === 'http://good/'); i++) {
    for (const { late } of sent.slice(told, told + 256)) late()
    told = Math.min(sent.length, told + 256)
    await pass(clock, 1)
  }
  assert.ok(sent.some(({ url }) => url === 'http://good/'))
  over = true
  const stopping = notices.stop()
  for (const end of ends) end(BAD)
  await stopping
})

test('of many notices that are due some begin in each turn of the event loop, and all are sent', async () => {
  const [clock, store] = [createManualClock(), createRegistryStore()]
  let inTurn = 0
  let most = 0
  const { notices, sent } = openHub(clock, store, () => {
    if (inTurn++ === 0) clock.endOfTurn(() => (inTurn = 0))
    most = Math.max(most, inTurn)
    return GOOD
  })
  for (let i = 0; i < 300; i++) notices.missed(await add(store, `http://r/${i}`), TOPIC)
  await pass(clock, 6)
  assert.deepEqual([sent.length, store.notices.size], [300, 0])
  assert.ok(most <= 16, `${most} in one turn`)
  await notices.stop()
})

test('a hundred thousand misses at once are written one after the other, the last as fast as the first', async () => {
  const [clock, store] = [createManualClock(), createRegistryStore()]
  let written = 0
  const all = Promise.withResolvers<void>()
  const postpone = (): Promise<void> => {
    if (++written === 100_000) all.resolve()
    return Promise.resolve()
  }
  const { notices } = openHub(clock, store, () => GOOD, { wrap: (registry) => ({ ...registry, postpone }) })
  const [sample] = [await add(store, 'http://r/')]
  const began = process.cpuUsage()
  for (let id = 0; id < 100_000; id++) notices.missed({ ...sample, id }, TOPIC)
  await all.promise
  const { user } = process.cpuUsage(began)
  assert.ok(user < 2_500_000, `${user / 1_000} ms`)
  await notices.stop()
})
