import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createSeededRandom } from '../../src/testing/seeded-random.ts'
import { createSlots, type Slot } from '../../src/webhooks/slots.ts'

/** Asks for places and notes who got one, in order. */
function open(bounds: { total: number; perHost: number }) {
  const slots = createSlots(bounds)
  const began: string[] = []
  const given = new Map<string, Slot>()
  return {
    slots, began,
    take: (host: string, name: string) => slots.take(host, (slot) => {
      began.push(name)
      given.set(name, slot)
    }),
    slot: (name: string) => given.get(name) as Slot,
  }
}

test('a host gets its places at once, and the rest in the order asked for as places are given back', () => {
  const { take, slot, began, slots } = open({ total: 10, perHost: 2 })
  for (const name of ['a1', 'a2', 'a3', 'a4']) take('a', name)
  assert.deepEqual([began, slots.running, slots.waiting], [['a1', 'a2'], 2, 2])
  slot('a2').release()
  slot('a1').release()
  assert.deepEqual([began, slots.running, slots.waiting], [['a1', 'a2', 'a3', 'a4'], 2, 0])
})

test('a call that takes long gives its place at its host to the next, but still counts in all', () => {
  const { take, slot, began, slots } = open({ total: 3, perHost: 1 })
  for (const name of ['a1', 'a2', 'a3', 'a4']) take('a', name)
  slot('a1').slow()
  assert.deepEqual(began, ['a1', 'a2'])
  slot('a1').slow()
  slot('a1').release()
  slot('a1').release()
  assert.deepEqual([began, slots.running], [['a1', 'a2'], 1])
  slot('a2').release()
  assert.deepEqual(began, ['a1', 'a2', 'a3'])
})

test('hosts take turns, so that one with many calls does not keep another from its first', () => {
  const { take, slot, began } = open({ total: 1, perHost: 1 })
  for (const name of ['a1', 'a2', 'a3']) take('a', name)
  for (const name of ['b1', 'b2']) take('b', name)
  take('c', 'c1')
  for (let i = 0; i < 5; i++) slot(began[i] as string).release()
  assert.deepEqual(began, ['a1', 'b1', 'c1', 'a2', 'b2', 'a3'])
})

test('who takes the wish back waits no more, and what has begun cannot be taken back', () => {
  const { take, slot, began, slots } = open({ total: 1, perHost: 1 })
  const first = take('a', 'a1')
  const second = take('a', 'a2')
  take('b', 'b1')
  second()
  second()
  first()
  assert.equal(slots.waiting, 1)
  slot('a1').release()
  assert.deepEqual([began, slots.running, slots.waiting], [['a1', 'b1'], 1, 0])
})

test('late calls keep no more than half of all places from those who wait: the oldest gives up first', () => {
  const { take, slot, began, slots } = open({ total: 4, perHost: 10 })
  const gaveUp: string[] = []
  const names = ['s1', 's2', 's3', 's4']
  for (const name of names) take('slow', name)
  for (const name of names) slot(name).late(() => {
    gaveUp.push(name)
    slot(name).release()
  })
  assert.deepEqual(gaveUp, [])
  for (const name of ['q1', 'q2', 'q3']) take('quick', name)
  assert.deepEqual([gaveUp, began.slice(4), slots.running, slots.waiting], [['s1', 's2'], ['q1', 'q2'], 4, 1])
  slot('q1').release()
  assert.deepEqual([gaveUp, began.slice(4)], [['s1', 's2'], ['q1', 'q2', 'q3']])
})

test('slow calls that somebody still waits for are not asked to give up, however many they are', () => {
  const { take, slot, began } = open({ total: 2, perHost: 1 })
  for (const name of ['s1', 's2', 'q1']) take('a', name)
  for (const name of ['s1', 's2']) slot(name).slow()
  assert.deepEqual(began, ['s1', 's2'])
})

test('a late call that is over is not asked to give up any more', () => {
  const { take, slot, began } = open({ total: 2, perHost: 9 })
  for (const name of ['s1', 's2']) {
    take('a', name)
    slot(name).late(() => assert.fail('it is over'))
    slot(name).release()
  }
  for (const name of ['q1', 'q2', 'q3']) take('a', name)
  assert.deepEqual(began.slice(2), ['q1', 'q2'])
})

test('a hundred thousand calls that end as they begin do not overflow the stack', () => {
  const slots = createSlots({ total: 1, perHost: 1 })
  let first: Slot | undefined
  slots.take('a', (slot) => (first = slot))
  let begun = 0
  for (let i = 0; i < 100_000; i++) slots.take('a', (slot) => {
    begun++
    slot.release()
  })
  first?.release()
  assert.deepEqual([begun, slots.running, slots.waiting], [100_000, 0, 0])
})

test('whatever comes in whatever order, no bound is passed, nobody is forgotten, and no place stays empty while somebody could have it', () => {
  for (let seed = 1; seed <= 200; seed++) {
    const random = createSeededRandom(seed)
    const bounds = { total: 1 + random.below(6), perHost: 1 + random.below(3) }
    const slots = createSlots(bounds)
    const running = new Map<number, { host: string; slot: Slot; slow: boolean }>()
    const waiting = new Map<number, { host: string; cancel: () => void }>()
    for (let id = 0; id < 300; id++) {
      const host = `h${random.below(4)}`
      const one = random.pick([...running.values()].length > 0 ? ['take', 'slow', 'late', 'release', 'cancel'] : ['take'])
      const [key, chosen] = random.pick([...running.entries(), [-1, undefined] as const])
      if (one === 'take') {
        let begun = false
        const cancel = slots.take(host, (slot) => {
          begun = true
          waiting.delete(id)
          running.set(id, { host, slot, slow: false })
        })
        if (!begun) waiting.set(id, { host, cancel })
      } else if (one === 'cancel') {
        const [wish, w] = random.pick([...waiting.entries(), [-1, undefined] as const])
        w?.cancel()
        waiting.delete(wish)
      } else if (chosen !== undefined && one === 'slow') {
        chosen.slow = true
        chosen.slot.slow()
      } else if (chosen !== undefined && one === 'late') {
        chosen.slot.late(() => {
          running.delete(key)
          chosen.slot.release()
        })
      } else if (chosen !== undefined) {
        running.delete(key)
        chosen.slot.release()
      }
      const quick = (name: string): number => [...running.values()].filter((r) => r.host === name && !r.slow).length
      assert.deepEqual([slots.running, slots.waiting], [running.size, waiting.size], `seed ${seed}`)
      assert.ok(running.size <= bounds.total, `seed ${seed}`)
      for (const name of ['h0', 'h1', 'h2', 'h3']) assert.ok(quick(name) <= bounds.perHost, `seed ${seed}`)
      const could = [...waiting.values()].some((w) => quick(w.host) < bounds.perHost)
      assert.ok(!could || running.size === bounds.total, `seed ${seed}: a place stays empty`)
    }
  }
})
