import assert from 'node:assert/strict'
import { test } from 'node:test'
import { topicFromText, type Topic } from '../../src/core/topic.ts'
import { createLanes } from '../../src/webhooks/lanes.ts'

const [a, b] = [topicFromText('a'), topicFromText('b')]

test('a lane does one thing at a time, in the order given, and lanes run beside each other', () => {
  const lanes = createLanes(10)
  const began: string[] = []
  const ends = new Map<string, () => void>()
  const enter = (topic: Topic, id: number, name: string): boolean => lanes.enter(topic, id, (next) => {
    began.push(name)
    ends.set(name, next)
  })
  for (const name of ['a1', 'a2', 'a3']) enter(a, 1, name)
  enter(b, 1, 'b1')
  enter(a, 2, 'c1')
  assert.deepEqual([began, lanes.waiting], [['a1', 'b1', 'c1'], 2])
  ends.get('a1')?.()
  ends.get('a1')?.()
  assert.deepEqual(began, ['a1', 'b1', 'c1', 'a2'], 'an end that is told twice counts once')
  ends.get('a2')?.()
  ends.get('a3')?.()
  ends.get('b1')?.()
  enter(a, 1, 'a4')
  assert.deepEqual([began, lanes.waiting], [['a1', 'b1', 'c1', 'a2', 'a3', 'a4'], 0])
})

test('past the bound of one lane nothing more is taken, and others are not touched by that', () => {
  const lanes = createLanes(2)
  let end = (): void => {}
  assert.ok(lanes.enter(a, 1, (next) => (end = next)))
  const done: number[] = []
  const quick = (n: number) => (next: () => void): void => {
    done.push(n)
    next()
  }
  assert.ok(lanes.enter(a, 1, quick(1)))
  assert.ok(lanes.enter(a, 1, quick(2)))
  assert.equal(lanes.enter(a, 1, quick(3)), false)
  assert.ok(lanes.enter(b, 1, quick(4)))
  end()
  assert.deepEqual([done, lanes.waiting], [[4, 1, 2], 0])
})
