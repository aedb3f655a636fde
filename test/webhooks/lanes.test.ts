import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createLanes } from '../../src/webhooks/lanes.ts'

test('a lane does one thing at a time, in the order given, and lanes run beside each other', () => {
  const lanes = createLanes(10)
  const began: string[] = []
  const ends = new Map<string, () => void>()
  const enter = (key: string, name: string): boolean => lanes.enter(key, (next) => {
    began.push(name)
    ends.set(name, next)
  })
  for (const name of ['a1', 'a2', 'a3']) enter('a', name)
  enter('b', 'b1')
  assert.deepEqual([began, lanes.waiting], [['a1', 'b1'], 2])
  ends.get('a1')?.()
  ends.get('a1')?.()
  assert.deepEqual(began, ['a1', 'b1', 'a2'], 'an end that is told twice counts once')
  ends.get('a2')?.()
  ends.get('a3')?.()
  ends.get('b1')?.()
  enter('a', 'a4')
  assert.deepEqual([began, lanes.waiting], [['a1', 'b1', 'a2', 'a3', 'a4'], 0])
})

test('past the bound of one lane nothing more is taken, and others are not touched by that', () => {
  const lanes = createLanes(2)
  let end = (): void => {}
  assert.ok(lanes.enter('a', (next) => (end = next)))
  const done: number[] = []
  const quick = (n: number) => (next: () => void): void => {
    done.push(n)
    next()
  }
  assert.ok(lanes.enter('a', quick(1)))
  assert.ok(lanes.enter('a', quick(2)))
  assert.equal(lanes.enter('a', quick(3)), false)
  assert.ok(lanes.enter('b', quick(4)))
  end()
  assert.deepEqual([done, lanes.waiting], [[4, 1, 2], 0])
})
