import assert from 'node:assert/strict'
import { test } from 'node:test'
import { draft, type Message } from '../../src/core/message.ts'
import { topicFromText } from '../../src/core/topic.ts'
import { createManualClock } from '../../src/testing/index.ts'
import { createFreshness } from '../../src/webhooks/freshness.ts'

/** A database that is asked, and answers when it is let. */
function open(maxBytes = 1_000) {
  const clock = createManualClock()
  const passed: number[] = []
  const asked: PromiseWithResolvers<void>[] = []
  const world = { clock, passed, asked, knows: false }
  const freshness = createFreshness({
    clock, maxBytes,
    current() {
      if (world.knows) return undefined
      asked.push(Promise.withResolvers())
      return asked.at(-1)?.promise
    },
    pass: ({ offset }) => passed.push(offset),
  })
  return Object.assign(world, { freshness })
}

function message(offset: number, size = 1, large?: Message['large']): Message {
  return { ...draft(topicFromText('a'), Buffer.alloc(size)), offset, epoch: 'e', time: 0, ...(large !== undefined && { large }) }
}

test('messages of one turn share one look at the database, and go when it has answered', async () => {
  const { freshness, clock, passed, asked } = open()
  for (const offset of [1, 2, 3]) freshness.take(message(offset))
  assert.deepEqual([passed, asked.length], [[], 0])
  clock.endTurn()
  assert.deepEqual([passed, asked.length], [[], 1])
  const waited = freshness.passed(message(2))
  asked[0]?.resolve()
  await waited
  assert.deepEqual(passed, [1, 2, 3])
  assert.equal(freshness.passed(message(2)), undefined)
})

test('what comes while an answer is awaited waits for one that was asked for afterwards', async () => {
  const { freshness, clock, passed, asked } = open()
  freshness.take(message(1))
  clock.endTurn()
  freshness.take(message(2))
  freshness.take(message(3))
  clock.endTurn()
  assert.equal(asked.length, 1)
  asked[0]?.resolve()
  await freshness.passed(message(1))
  assert.deepEqual(passed, [1])
  assert.equal(asked.length, 2)
  freshness.take(message(4))
  let isIdle = false
  const idle = freshness.idle().then(() => (isIdle = true))
  asked[1]?.resolve()
  await freshness.passed(message(3))
  await clock.settle()
  assert.equal(isIdle, false)
  asked[2]?.resolve()
  await idle
  assert.deepEqual(passed, [1, 2, 3, 4])
})

test('where nothing has changed they go at the end of the turn', () => {
  const world = open()
  world.knows = true
  world.freshness.take(message(1))
  assert.deepEqual(world.passed, [])
  world.clock.endTurn()
  assert.deepEqual(world.passed, [1])
})

test('when the database refuses, or does not answer in two seconds, they go to whom we know', async () => {
  const { freshness, clock, passed, asked } = open()
  freshness.take(message(1))
  clock.endTurn()
  asked[0]?.reject(new Error('away'))
  await clock.settle()
  assert.deepEqual(passed, [1])
  freshness.take(message(2))
  clock.endTurn()
  freshness.take(message(3))
  clock.advance(1_999)
  assert.deepEqual(passed, [1])
  clock.advance(1)
  assert.deepEqual(passed, [1, 2])
  assert.equal(asked.length, 3)
  // The answer that comes too late is nobody's.
  asked[1]?.resolve()
  await clock.settle()
  assert.deepEqual(passed, [1, 2])
  asked[2]?.resolve()
  await clock.settle()
  assert.deepEqual(passed, [1, 2, 3])
  assert.equal(clock.timers, 0)
})

test('when too many bytes wait all go, in their order, and later answers change nothing', async () => {
  const { freshness, clock, passed, asked } = open(100)
  freshness.take(message(1, 40))
  clock.endTurn()
  freshness.take(message(2, 40))
  assert.deepEqual(passed, [])
  freshness.take(message(3, 40))
  assert.deepEqual(passed, [1, 2, 3])
  freshness.take(message(4, 40))
  clock.endTurn()
  asked[0]?.resolve()
  await clock.settle()
  assert.deepEqual(passed, [1, 2, 3])
  asked[1]?.resolve()
  await freshness.idle()
  assert.deepEqual(passed, [1, 2, 3, 4])
})

test('a message on disk is held as long as it waits', async () => {
  const { freshness, clock, asked } = open()
  let holds = 0
  const large = { size: 5, hold: () => void holds++, letGo: () => void holds--, async *read() {} }
  freshness.take(message(1, 0, large))
  clock.endTurn()
  assert.equal(holds, 1)
  asked[0]?.resolve()
  await clock.settle()
  assert.equal(holds, 0)
})
