import assert from 'node:assert/strict'
import { test } from 'node:test'
import { draft, type LargeBody, type Message } from '../../src/core/message.ts'
import { topicFromText } from '../../src/core/topic.ts'
import { createBatches, DELIVERY_BYTES, type Batch } from '../../src/webhooks/batches.ts'

const message = (size: number, large?: LargeBody): Message => ({ ...draft(topicFromText('a'), Buffer.alloc(size)), offset: 1, epoch: 'e', time: 0, ...(large !== undefined && { large }) })

test('what the deliveries of a message came to is told when all of them are counted, also to whoever asks later', async () => {
  const batches = createBatches(1e6)
  const one = message(10)
  assert.equal(batches.confirmed(one), 0)
  const batch = batches.of(one) as Batch
  for (let i = 0; i < 3; i++) batch.begin()
  const asked = [batches.confirmed(one), batches.confirmed(one)]
  batch.count(5)
  batch.count(0)
  let told = false
  void Promise.all(asked).then(() => (told = true))
  await Promise.resolve()
  await Promise.resolve()
  assert.equal(told, false)
  batch.count(2)
  assert.deepEqual(await Promise.all(asked), [7, 7])
  assert.equal(batches.confirmed(one), 7)
})

test('a message counts once in memory and each delivery a little, until the last has ended', () => {
  const batches = createBatches(10_000)
  const first = message(5_000)
  const batch = batches.of(first) as Batch
  batch.begin()
  ;(batches.of(first) as Batch).begin()
  assert.equal(batches.bytes, 5_000 + 2 * DELIVERY_BYTES)
  assert.equal(batches.of(message(5_000)), undefined)
  const small = batches.of(message(2_000)) as Batch
  small.begin()
  assert.ok(batches.bytes <= 10_000)
  for (const one of [batch, batch, small]) {
    one.count(1)
    one.end()
  }
  assert.equal(batches.bytes, 0)
})

test('tiny messages to very many registrations are bounded too', () => {
  const batches = createBatches(100 * DELIVERY_BYTES)
  const one = message(0)
  let begun = 0
  for (; begun < 1_000; begun++) {
    const batch = batches.of(one)
    if (batch === undefined) break
    batch.begin()
  }
  assert.equal(begun, 100)
})

test('a body on disk is held from the first delivery to the end of the last', () => {
  let holders = 1
  const large: LargeBody = { size: 1e9, hold: () => void holders++, letGo: () => void holders--, read: () => { throw new Error('nobody reads') } }
  const batches = createBatches(10_000)
  const batch = batches.of(message(0, large)) as Batch
  batch.begin()
  batch.begin()
  assert.equal(holders, 2)
  batch.end()
  assert.equal(holders, 2)
  batch.end()
  assert.equal(holders, 1)
})
