import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Topic } from '../../src/core/topic.ts'
import { createInterests } from '../../src/subscriber/interests.ts'
import { matches, targetsIn, type Target } from '../../src/subscriber/targets.ts'
import { createSeededRandom } from '../../src/testing/seeded-random.ts'

const SEED = 11
const PARTS = ['a', 'b', '*', '?', '[ab]', '/']

test(`whoever comes and goes, each receiver is given each message that it wants exactly once (seed ${SEED})`, () => {
  const random = createSeededRandom(SEED)
  const text = (parts: readonly string[]): string => Array.from({ length: 1 + random.below(3) }, () => random.pick(parts)).join('')
  for (let world = 0; world < 300; world++) {
    const interests = createInterests<number>()
    const wants = new Map<number, Target[]>()
    for (let step = 0; step < 12; step++) {
      if (random.below(3) === 0 && wants.size > 0) {
        const gone = random.pick([...wants.keys()])
        interests.leave(gone)
        wants.delete(gone)
      } else {
        const targets = targetsIn(Array.from({ length: 1 + random.below(3) }, () => text(PARTS)))
        interests.join(step, targets)
        wants.set(step, targets)
      }
      const topic = text(['a', 'b', '/']) as Topic
      const got: number[] = []
      for (let door = 0; interests.wanted(door).length > 0 || door < 50; door++) {
        // A broadcaster calls once for each registration that matches.
        const calls = interests.wanted(door).filter((target) => matches(target, topic))
        assert.ok(calls.length <= 1, 'at one door a topic matches one target at most')
        for (const _ of calls) got.push(...(interests.receivers(door, topic) ?? []))
      }
      const expected = [...wants].filter(([, targets]) => targets.some((target) => matches(target, topic))).map(([id]) => id)
      assert.deepEqual(got.sort(), expected.sort())
      assert.deepEqual([...interests.all(topic)].sort(), expected.sort())
    }
  }
})

test('what cannot overlap shares one door', () => {
  const interests = createInterests<string>()
  assert.deepEqual([...interests.join('x', targetsIn(['a', 'b', 'news/*', '*.txt', 'sport/*']))], [0, 1])
  assert.deepEqual(interests.wanted(1).map(({ name }) => name), ['*.txt'])
  assert.deepEqual([...interests.leave('x')].sort(), [0, 1])
  assert.deepEqual([interests.wanted(0), interests.wanted(1)], [[], []])
})
