import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { WaystationError } from '../../src/index.ts'
import { createPatience } from '../../src/subscriber/socket/patience.ts'
import { createManualClock } from '../../src/testing/manual-clock.ts'
import { createInbox } from '../support/events.ts'
import { acknowledged, openFakeBroadcaster, openSocketSubscriber, type Line } from '../support/lonelyps-broadcaster.ts'

const QUIET = { ping: 1_000_000_000 }
const answered = async (line: Line): Promise<unknown> => {
  line.deliver('nobody', [Buffer.alloc(0)])
  return acknowledged(line, 1)
}

test('a broadcaster that lives and answers neither SUBSCRIBE nor NOTIFY has a minute, and both go to the next', async (t) => {
  const mute = await openFakeBroadcaster(t, { manual: true })
  const good = await openFakeBroadcaster(t)
  const clock = createManualClock(Date.now())
  const failures = createInbox<unknown>('failure')
  const one = await openSocketSubscriber(t, [], { broadcasters: [mute.url, { url: good.url, priority: 1 }], clock, timeouts: QUIET, failed: failures.push })
  const feed = one.subscribe('a')
  const count = one.notify('a', 'hello')
  const line = await mute.lines.next()
  await line.inbox.take(2)
  clock.advance(59_999)
  await answered(line)
  clock.advance(1)
  assert.deepEqual(await line.closed, { code: 1000 })
  assert.equal((await failures.next() as WaystationError).detail, 'an answer did not come in time')
  const next = await good.lines.next()
  await next.next('subscribe_exact')
  next.confirmNotify(await next.next('notify'), 4)
  await feed.ready
  assert.deepEqual(await count, { subscribers: 4 })
  clock.advance(1_000_000)
  await answered(next)
})

test('each answer has its own time, from when the one before it came, as long as the option says', async (t) => {
  const fake = await openFakeBroadcaster(t)
  const clock = createManualClock(Date.now())
  const one = await openSocketSubscriber(t, fake, { clock, retries: 1, timeouts: { ...QUIET, answer: 3_000 } })
  const counts = ['1', '2'].map((body) => one.notify('a', body))
  counts[1]?.catch(() => {})
  const line = await fake.lines.next()
  const [first] = await line.inbox.take(2)
  clock.advance(2_000)
  line.confirmNotify(first as never, 1)
  await counts[0]
  clock.advance(2_999)
  await answered(line)
  clock.advance(1)
  await line.closed
  await assert.rejects(counts[1] as Promise<unknown>, { code: 'unreachable' })
})

test('one that never answers does not count as a connection that lasted: where there is no other, it comes to an end', async (t) => {
  const fake = await openFakeBroadcaster(t, { manual: true })
  const clock = createManualClock(Date.now())
  const one = await openSocketSubscriber(t, fake, { clock, retries: 1, timeouts: QUIET })
  const feed = one.subscribe('a')
  const line = await fake.lines.next()
  await line.next('subscribe_exact')
  clock.advance(60_000)
  await assert.rejects(feed.ready, { code: 'unreachable', detail: 'an answer did not come in time' })
  assert.equal(fake.count, 1)
})

function watched(size = 0) {
  const clock = createManualClock()
  const state = { taken: 0, isReading: true, over: [] as [string, number][] }
  const asked = { size, hasLeft: false }
  const patience = createPatience({
    clock, timeout: 1_000,
    next: () => asked,
    taken: () => state.taken,
    isReading: () => state.isReading,
    over: (...what) => state.over.push(what),
  })
  patience.asked()
  return { clock, state, asked, patience }
}

test('the time begins when all of the request has left, and what leaves slowly may go on leaving', () => {
  const { clock, state, asked, patience } = watched()
  for (let i = 1; i <= 5; i++) {
    state.taken = i
    clock.advance(1_000)
  }
  clock.advance(500)
  patience.left(asked)
  clock.advance(999)
  assert.deepEqual(state.over, [])
  clock.advance(1)
  assert.deepEqual([state.over, clock.timers], [[['an answer did not come in time', 1_000]], 0])
})

test('what is not taken for that long ends it as well', () => {
  const { clock, state } = watched()
  clock.advance(1_999)
  assert.deepEqual(state.over, [])
  clock.advance(1)
  assert.deepEqual(state.over, [['what was sent was not taken in time', 1_000]])
})

test('whoever waits for the network waits as long as it takes anything', async () => {
  for (const [does, overs] of [['nothing', 1], ['little', 0]] as const) {
    const { clock, state, asked, patience } = watched()
    patience.left(asked)
    state.isReading = false
    const room = Promise.withResolvers<void>()
    const waits = patience.bounded(room.promise)
    for (let i = 0; i < 3 && state.over.length === 0; i++) {
      if (does === 'little') state.taken++
      clock.advance(1_000)
    }
    assert.equal(state.over.length, overs)
    room.resolve()
    await waits
    patience.end()
    assert.equal(clock.timers, 0)
  }
  assert.equal(watched().patience.bounded(undefined), undefined)
})

test('a large message has as long again for each 16 MiB', () => {
  for (const [size, most] of [[16_777_215, 1_000], [16_777_216, 2_000], [50_331_648, 4_000]] as const) {
    const { clock, state, asked, patience } = watched(size)
    patience.left(asked)
    clock.advance(most - 1)
    assert.deepEqual(state.over, [])
    clock.advance(1)
    assert.equal(state.over.length, 1)
  }
})

test('nobody is blamed while nothing is read, nor before its own time has passed since', () => {
  const { clock, state, asked, patience } = watched()
  patience.left(asked)
  state.isReading = false
  clock.advance(10_500)
  state.isReading = true
  patience.renew()
  clock.advance(999)
  assert.deepEqual(state.over, [])
  clock.advance(1)
  assert.equal(state.over.length, 1)
})
