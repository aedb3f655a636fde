import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createWaitingLine, type Waiter } from '../../src/services/waiting.ts'
import { createSeededRandom } from '../../src/testing/index.ts'

interface Worker {
  readonly serial: number
}

test('whoever comes, goes or was tried before, a worker gets the oldest that may go to it', () => {
  const random = createSeededRandom(5)
  const workers: Worker[] = Array.from({ length: 4 }, (_, serial) => ({ serial }))
  const line = createWaitingLine<Worker, Waiter<Worker>>()
  const model = new Set<Waiter<Worker>>()
  const sorted = (): Waiter<Worker>[] => [...model].sort((a, b) => a.arrival - b.arrival)
  let arrivals = 0
  let taken = 0
  for (let step = 0; step < 20_000; step++) {
    const worker = random.pick(workers)
    const chance = random.below(100)
    if (chance < 50) {
      // Those that were tried come back late.
      const tried = new Set(random.below(2) === 0 ? [] : [random.pick(workers), random.pick(workers)])
      const one = { arrival: ++arrivals - (tried.size > 0 ? random.below(20) + 0.5 : 0), tried, place: undefined }
      line.add(one)
      model.add(one)
    } else if (chance < 85) {
      const one = line.take(worker)
      assert.equal(one?.arrival, sorted().find(({ tried }) => !tried.has(worker))?.arrival)
      if (one !== undefined && model.delete(one)) taken++
    } else if (chance < 99) {
      const one = model.size === 0 ? undefined : random.pick([...model])
      if (one === undefined) continue
      line.remove(one)
      line.remove(one)
      model.delete(one)
    } else {
      const open = new Set(workers.filter(() => random.below(3) === 0))
      const stranded = open.size === 0 ? line.takeAll() : line.takeStranded(open)
      const expected = sorted().filter(({ tried }) => open.isSubsetOf(tried))
      assert.deepEqual(stranded.map(({ arrival }) => arrival).sort((a, b) => a - b), expected.map(({ arrival }) => arrival))
      for (const one of expected) model.delete(one)
    }
    assert.equal(line.size, model.size)
  }
  assert.ok(taken > 2_000)
})

test('what has waited costs those that come after nothing', () => {
  const line = createWaitingLine<Worker, Waiter<Worker>>()
  let looks = 0
  for (let serial = 0; serial < 1_000; serial++) {
    const tried = new Set([{ serial }])
    tried.has = () => ++looks < 0
    const one = { arrival: serial, tried, place: undefined }
    line.add(one)
    line.remove(one)
  }
  assert.deepEqual([line.takeStranded(new Set([{ serial: 1 }])), looks], [[], 0])
})
