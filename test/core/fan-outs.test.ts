import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Encoder } from '../../src/core/fan-out.ts'
import { createFanOuts, type FanOuts } from '../../src/core/fan-outs.ts'
import { exactly, interestIn } from '../../src/core/interest.ts'
import { limitsWith } from '../../src/core/limits.ts'
import { topicFromText } from '../../src/core/topic.ts'
import { createTurn } from '../../src/core/turn.ts'
import { createWheel } from '../../src/core/wheel.ts'
import { createRecordingSink, createTestHub, type TestHub } from '../../src/testing/index.ts'

function encoder(prefix: string): Encoder {
  return {
    size: (message) => message.body.length + prefix.length,
    write: (message, into, at) => at + into.write(prefix + message.body.toString(), at),
    gap: () => undefined,
  }
}

const plain = encoder('')
const loud = encoder('!')

function createWorld(): TestHub & { fanOuts: FanOuts; meters: string[] } {
  const world = createTestHub()
  const meters: string[] = []
  const meter = {
    published: () => {},
    delivered: (transport: string, deliveries: number) => void meters.push(`${transport} delivered ${deliveries}`),
    slow: (transport: string, topic: string) => void meters.push(`${transport} slow on ${topic}`),
    gap: () => {}, failed: () => {},
  }
  const { clock } = world
  const kit = { limits: limitsWith({ maxPendingBytes: 1 }), clock, turn: createTurn(clock), wheel: createWheel(clock), meter }
  return { ...world, meters, fanOuts: createFanOuts(kit, 'test') }
}

const news = exactly(topicFromText('news'))

test('those who want the same in the same form share one place in the router, and a hub counts them all', async () => {
  const { hub, fanOuts, publish, clock } = createWorld()
  const sinks = Array.from({ length: 5 }, () => createRecordingSink())
  for (const sink of sinks) fanOuts.join(hub, interestIn(['news', 'a*']), plain, sink)
  assert.deepEqual([hub.topics, hub.patterns, fanOuts.size], [1, 1, 1])
  await publish('news', 'x')
  clock.endTurn()
  assert.deepEqual(sinks.map((sink) => sink.text()), Array(5).fill('x'))
})

test('another interest, or another form, is another fan-out', async () => {
  const { hub, fanOuts, publish, clock } = createWorld()
  const sinks = [createRecordingSink(), createRecordingSink(), createRecordingSink()]
  fanOuts.join(hub, news, plain, sinks[0] as never)
  fanOuts.join(hub, news, loud, sinks[1] as never)
  fanOuts.join(hub, interestIn(['n*']), plain, sinks[2] as never)
  assert.equal(fanOuts.size, 2)
  await publish('news', 'x')
  await publish('nothing', 'y')
  clock.endTurn()
  assert.deepEqual(sinks.map((sink) => sink.text()), ['x', '!x', 'xy'])
})

test('an interest is counted once, in whichever forms somebody is here for it', () => {
  const { hub, fanOuts } = createWorld()
  const [eu, us] = [exactly(topicFromText('eu')), exactly(topicFromText('us'))]
  fanOuts.join(hub, news, plain, createRecordingSink())
  fanOuts.join(hub, news, loud, createRecordingSink())
  const leave = fanOuts.join(hub, eu, loud, createRecordingSink())
  fanOuts.join(hub, us, loud, createRecordingSink())
  assert.equal(fanOuts.size, 3)
  assert.deepEqual([news, eu, us].map((interest) => fanOuts.has(interest)), [true, true, true])
  leave()
  assert.deepEqual([fanOuts.size, fanOuts.has(eu)], [2, false])
})

test('with the last that leaves, the hub is left too', () => {
  const { hub, fanOuts } = createWorld()
  const leaves = [plain, loud, plain].map((form) => fanOuts.join(hub, news, form, createRecordingSink()))
  for (const leave of leaves) {
    assert.equal(fanOuts.has(news), true)
    assert.equal(hub.topics, 1)
    leave()
  }
  for (const leave of leaves) leave()
  assert.deepEqual([hub.topics, fanOuts.size, fanOuts.has(news)], [0, 0, false])
})

test('one that comes after the last has left starts anew', async () => {
  const { hub, fanOuts, publish, clock } = createWorld()
  for (let round = 0; round < 3; round++) {
    const sink = createRecordingSink()
    const leave = fanOuts.join(hub, news, plain, sink)
    await publish('news', `${round}`)
    clock.endTurn()
    assert.equal(sink.text(), `${round}`)
    leave()
  }
})

test('one that comes in the very moment in which the last slow one is let go gets what is published then', async () => {
  const { hub, fanOuts, publish, clock, meters } = createWorld()
  const [slow, newcomer] = [createRecordingSink(), createRecordingSink()]
  fanOuts.join(hub, news, plain, slow)
  slow.stall()
  await publish('news', 'one')
  clock.endTurn()
  await publish('news', 'two')
  const leave = fanOuts.join(hub, news, plain, newcomer)
  assert.equal(slow.evicted, true)
  await publish('news', 'three')
  clock.endTurn()
  assert.equal(newcomer.text(), 'three')
  assert.deepEqual(meters, ['test delivered 1', 'test slow on news', 'test delivered 1'])
  leave()
  assert.deepEqual([hub.topics, fanOuts.size], [0, 0])
})
