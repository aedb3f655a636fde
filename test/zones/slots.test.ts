import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createSlots } from '../../src/zones/slots.ts'

test('no more run at a time than there are slots, and all run, in the order in which they came', async () => {
  const slots = createSlots(2)
  const order: number[] = []
  let running = 0
  let most = 0
  await Promise.all(Array.from({ length: 7 }, (_, i) => slots.run(new AbortController().signal, async () => {
    order.push(i)
    most = Math.max(most, ++running)
    await Promise.resolve()
    running--
    if (i % 2 === 1) throw new Error('failed')
  }).catch(() => {})))
  assert.equal(most, 2)
  assert.deepEqual(order, [0, 1, 2, 3, 4, 5, 6])
})

test('one that gives up while it waits leaves its place to the next', async () => {
  const slots = createSlots(1)
  const first = Promise.withResolvers<void>()
  const running = slots.run(new AbortController().signal, () => first.promise)
  const impatient = new AbortController()
  const given = assert.rejects(slots.run(impatient.signal, async () => assert.fail('it ran')), /enough/)
  const third = slots.run(new AbortController().signal, async () => 'ran')
  impatient.abort(new Error('enough'))
  await given
  first.resolve()
  await running
  assert.equal(await third, 'ran')
  assert.equal(await slots.run(new AbortController().signal, async () => 'again'), 'again')
})
