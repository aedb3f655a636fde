import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Candidate } from '../../src/services/chooser.ts'
import { createChooser, type Policy } from '../../src/services/policy.ts'
import { createSeededRandom } from '../../src/testing/index.ts'

interface Seat extends Candidate {
  running: number
  isOpen: boolean
}

const NONE: ReadonlySet<Candidate> = new Set()

function group(policy: Policy, slots: readonly number[], seed = 1): { chooser: ReturnType<typeof createChooser>; seats: Seat[]; choose(key?: string, not?: ReadonlySet<Candidate>): string | undefined } {
  const chooser = createChooser(policy, createSeededRandom(seed))
  const seats = slots.map((count, index): Seat => ({ id: `w${index}`, slots: count, running: 0, isOpen: true }))
  for (const seat of seats) chooser.join(seat)
  return { chooser, seats, choose: (key, not = NONE) => chooser.choose(key === undefined ? undefined : Buffer.from(key), not)?.id }
}

test('least: of thousands of members that come, go, fill and close, it is always one with the smallest share taken', () => {
  const random = createSeededRandom(3)
  const { chooser, seats } = group('least', Array.from({ length: 300 }, () => 1 + random.below(6)))
  const here = new Set(seats)
  for (let step = 0; step < 20_000; step++) {
    const seat = random.pick(seats)
    const chance = random.below(20)
    if (chance === 0) {
      if (here.delete(seat)) chooser.leave(seat)
      else {
        here.add(seat)
        chooser.join(seat)
      }
    } else {
      if (chance === 1) seat.isOpen = !seat.isOpen
      else seat.running = random.below(seat.slots + 1)
      chooser.changed(seat)
    }
    if (step % 20 !== 0) continue
    const not = new Set(random.below(2) === 0 ? [] : [random.pick(seats), random.pick(seats)])
    const free = [...here].filter((one) => one.isOpen && one.running < one.slots && !not.has(one))
    const chosen = chooser.choose(undefined, not) as Seat
    assert.ok(free.includes(chosen))
    assert.equal(chosen.running / chosen.slots, Math.min(...free.map((one) => one.running / one.slots)))
  }
})

test('least: of several that are alike each has the same chance, also when calls come one at a time', () => {
  const { chooser, seats } = group('least', [4, 4, 4, 4, 4])
  const counts = new Map<string, number>()
  for (let i = 0; i < 5_000; i++) {
    const chosen = chooser.choose(undefined, NONE) as Seat
    counts.set(chosen.id, (counts.get(chosen.id) ?? 0) + 1)
    chosen.running++
    chooser.changed(chosen)
    chosen.running--
    chooser.changed(chosen)
  }
  for (const seat of seats) assert.ok(Math.abs((counts.get(seat.id) ?? 0) - 1_000) < 150, `${seat.id} got ${counts.get(seat.id)}`)
})

test('least: nobody is chosen where all are full or closed', () => {
  const { chooser, seats, choose } = group('least', [1, 1])
  for (const seat of seats) seat.running = 1
  for (const seat of seats) chooser.changed(seat)
  assert.equal(choose(), undefined)
  assert.equal(group('least', []).choose(), undefined)
})

test('hash: a key stays with its member, keys are spread evenly, and one member more or less moves only its own', () => {
  const keys = Array.from({ length: 4_000 }, (_, index) => `customer-${index}`)
  const { chooser, seats, choose } = group('hash', [9, 9, 9, 9, 9, 9, 9, 9])
  const before = new Map(keys.map((key) => [key, choose(key)]))
  for (const seat of seats) {
    const own = keys.filter((key) => before.get(key) === seat.id).length
    assert.ok(Math.abs(own - 500) < 100, `${seat.id} has ${own} keys of 4000`)
  }
  const [gone] = seats as [Seat]
  chooser.leave(gone)
  const orphans = new Set<string | undefined>()
  for (const key of keys) {
    if (before.get(key) === gone.id) orphans.add(choose(key))
    else assert.equal(choose(key), before.get(key))
  }
  assert.equal(orphans.size, 7, 'the keys of one go to all others')
  // Another process, with members in another order, and the one that went.
  const again = createChooser('hash', createSeededRandom(2))
  for (const seat of seats.toReversed()) again.join({ ...seat })
  for (const key of keys) assert.equal(again.choose(Buffer.from(key), NONE)?.id, before.get(key))
})

test('hash: where the member of a key is full or closed, its calls go to the next of the key, and come back after', () => {
  const { chooser, seats, choose } = group('hash', [1, 1, 1])
  const order: string[] = []
  for (let i = 0; i < 3; i++) {
    const chosen = chooser.choose(Buffer.from('k'), NONE) as Seat
    order.push(chosen.id)
    if (i === 0) chosen.running = 1
    else chosen.isOpen = false
    chooser.changed(chosen)
  }
  assert.deepEqual([order.toSorted(), choose('k')], [['w0', 'w1', 'w2'], undefined])
  for (const seat of seats) {
    seat.running = 0
    seat.isOpen = true
    chooser.changed(seat)
  }
  assert.equal(choose('k'), order[0])
  assert.equal(choose('k', new Set(seats.filter((seat) => seat.id === order[0]))), order[1])
})

test('hash: a call without a key goes to the least loaded', () => {
  const { chooser, seats, choose } = group('hash', [4, 4])
  const [first] = seats as [Seat]
  first.running = 1
  chooser.changed(first)
  for (let i = 0; i < 10; i++) assert.equal(choose(), 'w1')
})

test('round robin: one after the other, past those that are full, whoever comes and goes meanwhile', () => {
  const { chooser, seats, choose } = group('round-robin', [1, 1, 1, 1])
  assert.deepEqual([choose(), choose(), choose()], ['w0', 'w1', 'w2'])
  const [first, second] = seats as [Seat, Seat]
  chooser.leave(second)
  assert.equal(choose(), 'w3')
  first.running = 1
  assert.deepEqual([choose(), choose(), choose()], ['w2', 'w3', 'w2'])
  first.running = 0
  assert.equal(choose(undefined, new Set(seats.slice(3))), 'w0')
  chooser.join({ id: 'w9', slots: 1, running: 0, isOpen: true })
  assert.deepEqual([choose(), choose(), choose(), choose()], ['w2', 'w3', 'w9', 'w0'])
})

test('choosing among 5,000 members looks at few of them', () => {
  let looks = 0
  const chooser = createChooser('least', createSeededRandom(1))
  const seats = Array.from({ length: 5_000 }, (_, index) => {
    const seat = { id: `${index}`, slots: 10, load: 0, isOpen: true, get running() { looks++; return this.load } }
    chooser.join(seat)
    return seat
  })
  looks = 0
  for (let i = 0; i < 20_000; i++) {
    const seat = chooser.choose(undefined, NONE) as (typeof seats)[number]
    seat.load++
    chooser.changed(seat)
  }
  assert.ok(looks < 20_000 * 4, `${looks} looks`)
  for (const seat of seats) assert.equal(seat.load, 4)
})
