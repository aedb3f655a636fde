import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Subscriber } from '../../src/core/ports.ts'
import type { Message } from '../../src/core/message.ts'
import { createTraffic, type Traffic } from '../../src/server/traffic.ts'
import { createManualClock } from '../../src/testing/manual-clock.ts'

function counted(): { traffic: Traffic; say(topic: string, times?: number): void; pass(ms: number): Promise<void> | void; readonly listeners: number } {
  const all = new Set<Subscriber>()
  const clock = createManualClock()
  return {
    traffic: createTraffic({ joinAll: (one) => (all.add(one), () => void all.delete(one)) }, clock),
    say(topic, times = 1) {
      for (let i = 0; i < times; i++) for (const one of all) one.deliver({ topic } as Message)
    },
    pass: (ms) => clock.advance(ms),
    get listeners() { return all.size },
  }
}

test('topics are told by their messages a second, the busiest first, and only while somebody looks', async () => {
  const world = counted()
  world.say('before')
  world.traffic.start()
  world.traffic.start()
  assert.equal(world.listeners, 1)
  world.say('slow')
  world.say('fast', 30)
  await world.pass(2_000)
  assert.deepEqual(world.traffic.take(20), [{ topic: 'fast', rate: 15 }, { topic: 'slow', rate: 0.5 }])
  world.traffic.stop()
  assert.equal(world.listeners, 0)
  world.traffic.start()
  await world.pass(1_000)
  assert.deepEqual(world.traffic.take(20), [])
})

test('a topic that grows quiet goes down slowly, and then out of sight', async () => {
  const world = counted()
  world.traffic.start()
  for (let i = 0; i < 3; i++) {
    world.say('steady', 10)
    await world.pass(1_000)
    assert.deepEqual(world.traffic.take(20), [{ topic: 'steady', rate: 10 }])
  }
  world.say('steady', 10)
  const seen: number[] = []
  for (let i = 0; i < 40; i++) {
    await world.pass(1_000)
    seen.push(world.traffic.take(20)[0]?.rate ?? 0)
  }
  assert.equal(seen[0], 10)
  assert.ok(seen.slice(1, 10).every((rate, i) => rate > 0 && rate < (seen[i] as number)))
  assert.equal(seen.at(-1), 0)
})

test('however many topics there are, a bounded number is counted, and what is truly busy is among them', async () => {
  const world = counted()
  world.traffic.start()
  for (let i = 0; i < 50_000; i++) {
    world.say(`rare-${i}`)
    // It comes when all places are taken.
    if (i > 5_000 && i % 20 === 0) world.say('busy')
  }
  await world.pass(1_000)
  const told = world.traffic.take(20)
  assert.equal(told[0]?.topic, 'busy')
  assert.ok((told[0]?.rate as number) > 1_000)
  for (let i = 0; i < 900; i++) world.say(`again-${i}`)
  await world.pass(1_000)
  assert.equal(world.traffic.take(10_000).length, 100)
})

test('long topics are counted as far as there is room for them', async () => {
  const world = counted()
  world.traffic.start()
  for (let i = 0; i < 500; i++) world.say(String(i).padEnd(65_535, 'x'))
  await world.pass(1_000)
  assert.ok(world.traffic.take(10_000).length <= 16)
})
