import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Clock } from '../../src/core/ports.ts'
import { createWheel, type Tickable, type Wheel } from '../../src/core/wheel.ts'
import { createManualClock, createSeededRandom, type ManualClock } from '../../src/testing/index.ts'

const TICK = 250
/** The longest wait that is one look; anything longer is looked at on the way. */
const ROUND = 255 * TICK

/** Somebody who writes down when it was looked at, and then asks for what `next` says. */
function watcher(next: (now: number) => number = () => 0): Tickable & { readonly looks: number[] } {
  const looks: number[] = []
  return {
    looks,
    wheelSlot: undefined,
    tick(now) {
      looks.push(now)
      return next(now)
    },
  }
}

function assertWithinATick(looked: number | undefined, due: number, why: string): void {
  assert.ok(looked !== undefined, `${why}: no look at all`)
  assert.ok(looked >= due, `${why}: ${due - looked} ms early`)
  assert.ok(looked < due + TICK, `${why}: ${looked - due} ms late`)
}

test('a look comes never early, and less than one tick late, whenever it was asked for', () => {
  const random = createSeededRandom(1)
  const clock = createManualClock()
  const wheel = createWheel(clock)
  const asked: { one: ReturnType<typeof watcher>; due: number }[] = []
  // Somebody is always there, so that looks are asked for in the middle of a tick as well.
  wheel.add(watcher(() => 1), 1)
  for (let i = 0; i < 2_000; i++) {
    clock.advance(random.below(400))
    const ms = 1 + random.below(i % 2 === 0 ? 1_000 : ROUND - TICK)
    const one = watcher()
    asked.push({ one, due: wheel.now + ms })
    wheel.add(one, ms)
  }
  clock.advance(ROUND)
  for (const { one, due } of asked) {
    assert.equal(one.looks.length, 1)
    assertWithinATick(one.looks[0], due, `due at ${due}`)
  }
})

test('timers that come late do not add up', () => {
  const manual = createManualClock()
  // Each timer is 40 ms late, as on a machine with other things to do.
  const late: Clock = { ...manual, after: (ms, fn) => manual.after(ms + 40, fn) }
  const wheel = createWheel(late)
  const one = watcher()
  wheel.add(one, 60_000)
  manual.advance(61_000)
  assertWithinATick(one.looks[0], 60_000 + 40, 'after a minute of late timers')
})

test('after a standstill everyone who is due is looked at in one go, and nobody before their time', () => {
  const manual = createManualClock()
  let pending: (() => void) | undefined
  const stuck: Clock = { ...manual, after: (_, fn) => ((pending = fn), () => {}) }
  const wheel = createWheel(stuck)
  const ones = [1_000, 2_000, 5_000, 5_300, 60_000].map((ms) => {
    const one = watcher()
    wheel.add(one, ms)
    return one
  })
  manual.advance(5_200)
  pending?.()
  assert.deepEqual(ones.map((one) => one.looks), [[5_200], [5_200], [5_200], [], []])
})

test('a wait that is longer than a round is looked at on the way, and comes in the end', () => {
  const clock = createManualClock()
  const wheel = createWheel(clock)
  const due = 10 * ROUND + 777
  const one = watcher((now) => Math.max(0, due - now))
  wheel.add(one, due)
  clock.advance(12 * ROUND)
  assert.ok(one.looks.length <= 12, `${one.looks.length} looks`)
  assertWithinATick(one.looks.at(-1), due, 'a long wait')
})

test('one that was taken away is not looked at; taking away twice does nothing', () => {
  const clock = createManualClock()
  const wheel = createWheel(clock)
  const [one, other] = [watcher(), watcher()]
  wheel.add(one, 300)
  wheel.add(other, 300)
  wheel.remove(one)
  wheel.remove(one)
  wheel.remove(watcher())
  clock.advance(2_000)
  assert.deepEqual([one.looks.length, other.looks.length], [0, 1])
})

test('asking again replaces the earlier wish', () => {
  const clock = createManualClock()
  const wheel = createWheel(clock)
  const one = watcher()
  wheel.add(one, 300)
  wheel.add(one, 3_000)
  clock.advance(2_900)
  assert.deepEqual(one.looks, [])
  const due = wheel.now + 500
  wheel.add(one, 500)
  clock.advance(5_000)
  assert.equal(one.looks.length, 1)
  assertWithinATick(one.looks[0], due, 'the last wish')
})

test('a look may ask for the next one, by what it gives and by a wish of its own', () => {
  const clock = createManualClock()
  const wheel: Wheel = createWheel(clock)
  const giving = watcher(() => 1_000)
  const asking = watcher(() => {
    wheel.add(asking, 500)
    return 0
  })
  wheel.add(giving, 1_000)
  wheel.add(asking, 500)
  clock.advance(10_000)
  assert.deepEqual(giving.looks, Array.from({ length: 10 }, (_, i) => (i + 1) * 1_000))
  assert.deepEqual(asking.looks, Array.from({ length: 20 }, (_, i) => (i + 1) * 500))
})

test('a look may take others away that are due in the same tick', () => {
  const clock = createManualClock()
  const wheel = createWheel(clock)
  const victim = watcher()
  const killer = watcher(() => (wheel.remove(victim), 0))
  wheel.add(killer, 100)
  wheel.add(victim, 100)
  clock.advance(1_000)
  assert.deepEqual([killer.looks.length, victim.looks.length], [1, 0])
})

test('one timer serves all, and none runs while nobody waits', () => {
  const clock: ManualClock = createManualClock()
  const wheel = createWheel(clock)
  assert.equal(clock.timers, 0)
  const ones = Array.from({ length: 1_000 }, (_, i) => {
    const one = watcher()
    wheel.add(one, 100 + i)
    return one
  })
  assert.equal(clock.timers, 1)
  clock.advance(2_000)
  assert.ok(ones.every((one) => one.looks.length === 1))
  assert.equal(clock.timers, 0)
  wheel.add(ones[0] as Tickable, 100)
  assert.equal(clock.timers, 1)
  clock.advance(500)
  assert.equal(ones[0]?.looks.length, 2)
  assert.equal(clock.timers, 0)
})

test('its time is exact while nobody waits, and at most a tick old while somebody does', () => {
  const clock = createManualClock()
  const wheel = createWheel(clock)
  clock.advance(1_234)
  assert.equal(wheel.now, 1_234)
  wheel.add(watcher(), 10_000)
  for (let i = 0; i < 50; i++) {
    clock.advance(77)
    assert.ok(wheel.now <= clock.monotonic() && wheel.now > clock.monotonic() - TICK - 1)
  }
})
