import assert from 'node:assert/strict'
import { test } from 'node:test'
import { realClock } from '../../src/http/real-world.ts'
import { createAttempts } from '../../src/subscriber/socket/attempts.ts'
import { createKeeper } from '../../src/subscriber/socket/keeper.ts'
import { openFakeBroadcaster, openSocketSubscriber } from '../support/lonelyps-broadcaster.ts'
import { nextOf } from '../support/subscriber.ts'

const pair = ['hmac', 'hmac'] as const

/** Before each round, in ms. */
const WAITS = Array.from({ length: 10 }, (_, k) => 2 ** k * 1_000)

/** The sleeps between rounds are noted, and over at once; `ahead` is what has passed beside. */
function hastyClock() {
  const slept: number[] = []
  const clock = {
    ...realClock, slept, ahead: 0,
    monotonic: () => realClock.monotonic() + clock.ahead,
    after(ms: number, fn: () => void) {
      if (!WAITS.includes(ms)) return realClock.after(ms, fn)
      slept.push(ms)
      return realClock.after(0, fn)
    },
  }
  return clock
}
const random = { next: () => 0 }

test('after a lost connection it subscribes to everything again, then sends what was not confirmed, in order', async (t) => {
  const fake = await openFakeBroadcaster(t, { pair })
  const one = await openSocketSubscriber(t, [fake, fake], { pair, bounds: { notifies: 2 } })
  const feeds = [one.subscribe(['a', 'g/*']), one.subscribe('b')]
  await Promise.all(feeds.map(({ ready }) => ready))
  const gone = one.subscribe('gone')
  await gone.ready
  await gone.close()
  const line = await fake.lines.next()
  await line.inbox.take(5)
  const counts = ['1', '2', '3', '4'].map((body) => one.notify('n', body))
  const sent = await line.inbox.take(2)
  line.confirmNotify(sent[0] as never, 1)
  await counts[0]
  await line.next('notify')
  line.ws.terminate()
  const next = await fake.lines.next()
  const asked = await next.inbox.take(5)
  assert.deepEqual(asked.map(({ type }) => type), ['subscribe_exact', 'subscribe_glob', 'subscribe_exact', 'notify', 'notify'])
  assert.deepEqual(asked.slice(3).map((message) => 'body' in message && message.body.toString()), ['2', '3'])
  assert.notDeepEqual(asked[3], sent[1])
  for (const [i, message] of asked.slice(3).entries()) next.confirmNotify(message as never, 10 + i)
  const last = await next.next('notify')
  next.confirmNotify(last, 12)
  assert.equal(last.body.toString(), '4')
  assert.deepEqual((await Promise.all(counts)).map(({ subscribers }) => subscribers), [1, 10, 11, 12])
})

test('feeds hear of the gap once the connection is back: by onMissed for each target, else by one error', async (t) => {
  const fake = await openFakeBroadcaster(t, { manual: true })
  const one = await openSocketSubscriber(t, [fake, fake])
  const told: string[] = []
  const feed = one.subscribe(['a', 'g/*'], { onMissed: (topic) => told.push(topic) })
  const other = one.subscribe(['a', 'b'])
  const line = await fake.lines.next()
  for (const message of await line.inbox.take(3)) line.confirm(message)
  await Promise.all([feed.ready, other.ready])
  const late = one.subscribe('late', { onMissed: () => told.push('wrong') })
  await line.next('subscribe_exact')
  line.ws.terminate()
  const next = await fake.lines.next()
  const asked = await next.inbox.take(4)
  assert.equal(await one.check(), false)
  const waiting = other.next()
  next.confirm(asked[0] as never)
  next.deliver('b', [Buffer.from('early')])
  await next.next('confirm_receive')
  // The message came before all of it stood again.
  assert.deepEqual([told, (await waiting).value?.topic], [[], 'b'])
  for (const message of asked.slice(1)) next.confirm(message)
  await late.ready
  assert.deepEqual(told, ['a', 'g/*'])
  await assert.rejects(other.next(), { code: 'gap', detail: 'something on "a", or on 1 more, was missed' })
  next.deliver('a', [Buffer.from('1')])
  assert.equal(await (await nextOf(other)).text(), '1')
  assert.equal(await one.check(), true)
})

test('the next broadcaster is tried at once, a round waits, and when all are used up everything ends as unreachable', async (t) => {
  const fake = await openFakeBroadcaster(t)
  const refusing = await openFakeBroadcaster(t)
  const clock = hastyClock()
  const one = await openSocketSubscriber(t, [fake, refusing], { clock, random, retries: 3 })
  const feed = one.subscribe('a')
  await feed.ready
  const line = await fake.lines.next()
  const count = one.notify('a', '')
  count.catch(() => {})
  await line.inbox.take(2)
  fake.refuse = 'http'
  refusing.refuse = 'configure'
  const waiting = feed.next()
  waiting.catch(() => {})
  line.ws.terminate()
  await assert.rejects(count, { code: 'unreachable', detail: 'it was closed with 1000, before it was confirmed' })
  await assert.rejects(waiting, { code: 'unreachable' })
  assert.deepEqual([clock.slept, refusing.count, (await feed.next()).done], [[1_000, 2_000], 3, true])
  // A later call tries anew.
  fake.refuse = 'nobody'
  const again = one.notify('a', 'again')
  const next = await fake.lines.next()
  next.confirmNotify(await next.next('notify'), 1)
  assert.deepEqual(await again, { subscribers: 1 })
})

test('a feed that was never confirmed rejects its ready, and a broadcaster that cannot prove itself is none', async (t) => {
  const fake = await openFakeBroadcaster(t, { pair })
  fake.refuse = 'badly signed'
  const one = await openSocketSubscriber(t, fake, { pair, retries: 1 })
  const feed = one.subscribe('a')
  const unreachable = { code: 'unreachable', detail: 'the authorization of confirm_configure is forbidden' }
  await assert.rejects(feed.ready, unreachable)
  await assert.rejects(feed.next(), unreachable)
})

test('retries begin anew after a connection that lasted, and only then', async (t) => {
  const fake = await openFakeBroadcaster(t)
  const clock = hastyClock()
  const one = await openSocketSubscriber(t, fake, { clock, random, retries: 2 })
  const feed = one.subscribe('a', { onMissed() {} })
  await feed.ready
  for (let i = 0; i < 3; i++) {
    const line = await fake.lines.next()
    await line.next('subscribe_exact')
    clock.ahead += 60_000
    line.ws.terminate()
  }
  const line = await fake.lines.next()
  await line.next('subscribe_exact')
  assert.deepEqual(clock.slept, [])
  line.ws.terminate()
  const last = await fake.lines.next()
  await last.next('subscribe_exact')
  assert.deepEqual(clock.slept, [1_000])
  last.ws.terminate()
  await assert.rejects(feed.next(), { code: 'unreachable' })
  assert.equal(fake.count, 5)
})

test('where no retries are stated, a first connection is tried for two rounds, and for a lost one eleven: 17 minutes', async (t) => {
  const fake = await openFakeBroadcaster(t)
  fake.refuse = 'http'
  const clock = hastyClock()
  const one = await openSocketSubscriber(t, fake, { clock, random })
  await assert.rejects(one.subscribe('a').ready, { code: 'unreachable' })
  assert.deepEqual(clock.slept.splice(0), [1_000])
  fake.refuse = 'nobody'
  const feed = one.subscribe('a', { onMissed() {} })
  await feed.ready
  const line = await fake.lines.next()
  fake.refuse = 'http'
  line.ws.terminate()
  await assert.rejects(feed.next(), { code: 'unreachable' })
  assert.deepEqual(clock.slept.splice(0), WAITS)
  // It has given up: whoever asks now hears soon that nobody is there.
  await assert.rejects(one.notify('a', ''), { code: 'unreachable' })
  assert.deepEqual(clock.slept, [1_000])
})

test('with nothing to keep a connection for, a lost one is not opened again before the next need', async (t) => {
  const fake = await openFakeBroadcaster(t)
  const noticed = Promise.withResolvers<void>()
  const clock = {
    ...realClock,
    after(ms: number, fn: () => void) {
      const cancel = realClock.after(ms, fn)
      // The next ping is called off when the connection is seen to be gone.
      return () => (ms > 5_000 && noticed.resolve(), cancel())
    },
  }
  const one = await openSocketSubscriber(t, [fake, fake], { clock })
  const feed = one.subscribe('a')
  await feed.ready
  await feed.close()
  const line = await fake.lines.next()
  line.ws.terminate()
  await noticed.promise
  // Whoever connects now comes behind a connection that was opened again at once.
  await (await openSocketSubscriber(t, fake)).subscribe('b').ready
  assert.equal(fake.count, 2)
  const count = one.notify('a', '')
  await fake.lines.next()
  const next = await fake.lines.next()
  next.confirmNotify(await next.next('notify'), 1)
  assert.deepEqual([await count, fake.count], [{ subscribers: 1 }, 3])
})

test('a closed subscriber does not sleep on, nor does it connect', async (t) => {
  const fake = await openFakeBroadcaster(t)
  fake.refuse = 'http'
  const slept = Promise.withResolvers<void>()
  const clock = { ...realClock, after: (ms: number, fn: () => void) => (ms < 2_000 && slept.resolve(), realClock.after(ms, fn)) }
  const one = await openSocketSubscriber(t, fake, { clock })
  const feed = one.subscribe('a')
  await slept.promise
  await one.close()
  await feed.ready
  assert.deepEqual([(await feed.next()).done, fake.count], [true, 0])
})

test('a keeper that is closed in its sleep holds the process no longer', async () => {
  let held = 0
  const keeper = createKeeper({
    attempts: { next: () => ({ url: 'a', wait: 1_000 }), opened() {}, renew() {} },
    clock: realClock, lasting: 60_000,
    hold: () => (held++, () => void held--),
    open: () => assert.fail('it connects'), opened() {}, lost() {}, isNeeded: () => true, gaveUp() {},
  })
  keeper.need()
  assert.equal(held, 1)
  await keeper.close()
  assert.equal(held, 0)
})

test('each broadcaster is tried once in a round, by priority, and the one that lasted comes last of the next', () => {
  const list = ['a', 'b', 'c'].map((url, i) => ({ url, priority: i }))
  const attempts = createAttempts(list, { first: 2, again: 2 }, { next: () => 0.5 })
  const next = (n: number) => Array.from({ length: n }, () => attempts.next()).map((one) => one && `${one.url} ${one.wait}`)
  assert.deepEqual(next(8), ['a 0', 'b 0', 'c 0', 'a 1500', 'b 0', 'c 0', undefined, 'a 0'])
  attempts.renew()
  assert.deepEqual(next(4), ['b 0', 'c 0', 'a 0', 'a 1500'])
})
