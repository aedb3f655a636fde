import assert from 'node:assert/strict'
import { test } from 'node:test'
import { draft, type LargeBody, type Message } from '../../src/core/message.ts'
import { topicFromText } from '../../src/core/topic.ts'
import { createBatches, DELIVERY_BYTES, type Batch, type Batches } from '../../src/webhooks/batches.ts'

const message = (size: number, large?: LargeBody): Message => ({ ...draft(topicFromText('a'), Buffer.alloc(size)), offset: 1, epoch: 'e', time: 0, ...(large !== undefined && { large }) })

test('what the deliveries of a message came to is told when all of them are counted, also to whoever asks later', async () => {
  const batches = createBatches(1e6)
  const one = message(10)
  assert.equal(batches.confirmed(one), 0)
  const batch = batches.of(one, 'h') as Batch
  for (let i = 0; i < 3; i++) batch.begin('h')
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
  const batch = batches.of(first, 'h') as Batch
  batch.begin('h')
  ;(batches.of(first, 'h') as Batch).begin('h')
  assert.equal(batches.bytes, 5_000 + 2 * DELIVERY_BYTES)
  assert.equal(batches.of(message(5_000), 'i'), 'too much is on its way')
  const small = batches.of(message(2_000), 'i') as Batch
  small.begin('i')
  assert.ok(batches.bytes <= 10_000)
  for (const [one, host] of [[batch, 'h'], [batch, 'h'], [small, 'i']] as const) {
    one.count(1)
    one.end(host)
  }
  assert.equal(batches.bytes, 0)
})

test('tiny messages to very many registrations are bounded too', () => {
  const batches = createBatches(100 * DELIVERY_BYTES)
  const one = message(0)
  let begun = 0
  for (; begun < 1_000; begun++) {
    const batch = batches.of(one, `h${begun % 25}`)
    if (typeof batch === 'string') break
    batch.begin(`h${begun % 25}`)
  }
  assert.ok(begun >= 75 && begun <= 125, `${begun}`)
})

/** Begins deliveries of messages of this size to a host until one is refused. */
function fill(batches: Batches, host: string, size: number): { ends: (() => void)[]; why: string } {
  const ends: (() => void)[] = []
  for (;;) {
    const batch = batches.of(message(size), host)
    if (typeof batch === 'string') return { ends, why: batch }
    batch.begin(host)
    ends.push(() => {
      batch.count(0)
      batch.end(host)
    })
  }
}

test('one host keeps a third of the memory at most, whatever it is sent, and gets it again when it is free', () => {
  const batches = createBatches(1e6)
  for (const size of [10_000, 0]) {
    const { ends, why } = fill(batches, 'hangs', size)
    assert.equal(why, 'too much waits for this host')
    assert.ok(batches.bytes > 310_000 && batches.bytes <= 334_000, `${batches.bytes}`)
    for (const end of ends) end()
    assert.equal(batches.bytes, 0)
  }
})

test('however much forty hosts are sent, one that keeps nothing gets its messages, and the memory stays bounded', () => {
  const batches = createBatches(1e7)
  for (const size of [10_000, 0]) for (let i = 0; i < 40; i++) fill(batches, `hangs${i}`, size)
  assert.ok(batches.bytes > 9_500_000 && batches.bytes <= 12_500_000, `${batches.bytes}`)
  const batch = batches.of(message(30_000), 'healthy')
  assert.ok(typeof batch !== 'string', `${batch as string}, ${batches.bytes}`)
  for (let i = 0; i < 1_000; i++) fill(batches, `more${i}`, 1_000)
  assert.ok(batches.bytes > 12_000_000 && batches.bytes <= 12_500_000, `${batches.bytes}`)
})

test('a message that goes to one host a hundred times counts once there, and one larger than a third of all goes if it is the first', () => {
  const batches = createBatches(1e6)
  const one = message(300_000)
  for (let i = 0; i < 100; i++) (batches.of(one, 'h') as Batch).begin('h')
  assert.equal(batches.bytes, 300_000 + 100 * DELIVERY_BYTES)
  for (let i = 0; i < 100; i++) (batches.of(one, 'h') as Batch).end('h')
  assert.equal(typeof batches.of(message(800_000), 'h'), 'object')
  assert.equal(batches.of(message(950_000), 'h'), 'too much is on its way')
})

test('a body on disk is held from the first delivery to the end of the last', () => {
  let holders = 1
  const large: LargeBody = { size: 1e9, hold: () => void holders++, letGo: () => void holders--, read: () => { throw new Error('nobody reads') } }
  const batches = createBatches(10_000)
  const batch = batches.of(message(0, large), 'h') as Batch
  batch.begin('h')
  batch.begin('h')
  assert.equal(holders, 2)
  batch.end('h')
  assert.equal(holders, 2)
  batch.end('h')
  assert.equal(holders, 1)
})
