import assert from 'node:assert/strict'
import { test } from 'node:test'
import { WaystationError } from '../../src/core/errors.ts'
import type { Topic } from '../../src/core/topic.ts'
import { createFeed } from '../../src/subscriber/feed.ts'

function open(onMissed?: (topic: string) => void) {
  const released: string[] = []
  let left = 0
  const { feed, inlet } = createFeed({ onMissed, leave: async () => void left++ })
  const push = (body: string): void => inlet.push({ topic: 't' as Topic, content: { body: Buffer.from(body) }, released: (outcome) => released.push(`${body} ${outcome}`) })
  const next = async (): Promise<string | undefined> => (await feed.next()).value?.text()
  return { feed, inlet, push, next, released, left: () => left }
}

test('a message is let go when the next is asked for, also where two are asked for at once', async () => {
  const { push, next, released } = open()
  const both = [next(), next()]
  push('1')
  assert.deepEqual(released, [])
  push('2')
  assert.deepEqual(released, ['1 taken'])
  assert.deepEqual(await Promise.all(both), ['1', '2'])
  push('3')
  assert.equal(await next(), '3')
  assert.deepEqual(released, ['1 taken', '2 taken'])
})

test('the end lets go of all: what was seen counts as taken, what waits and what still comes does not', async () => {
  const { feed, push, next, released, left } = open()
  for (const body of ['1', '2']) push(body)
  assert.equal(await next(), '1')
  await Promise.all([feed.close(), feed.return(), feed[Symbol.asyncDispose]()])
  push('3')
  assert.deepEqual([released, left()], [['1 taken', '2 unseen', '3 unseen'], 1])
  assert.deepEqual(await feed.next(), { done: true, value: undefined })
})

test('a gap is thrown once, to whoever waits or at the next step, before what came since', async () => {
  const { feed, inlet, push, next } = open()
  const waiting = next()
  inlet.missed('t' as Topic)
  await assert.rejects(waiting, { code: 'gap' })
  for (let i = 0; i < 2; i++) inlet.missed('t' as Topic)
  push('1')
  await assert.rejects(next(), { code: 'gap', detail: 'something on "t" was missed' })
  assert.equal(await next(), '1')
  const last = feed.next()
  inlet.end(new WaystationError('forbidden'))
  await assert.rejects(last, { code: 'forbidden' })
  assert.deepEqual(await feed.next(), { done: true, value: undefined })
})

test('with onMissed nothing is thrown', async () => {
  const told: string[] = []
  const { inlet, push, next } = open((topic) => told.push(topic))
  inlet.missed('t' as Topic)
  push('1')
  assert.equal(await next(), '1')
  assert.deepEqual(told, ['t'])
})
