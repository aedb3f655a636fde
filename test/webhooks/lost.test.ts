import assert from 'node:assert/strict'
import { test } from 'node:test'
import { interestIn } from '../../src/core/interest.ts'
import type { Registration } from '../../src/core/registry.ts'
import { createSlices } from '../../src/core/slices.ts'
import { topicFromText } from '../../src/core/topic.ts'
import { realClock } from '../../src/server/real-world.ts'
import { createRegistrationIndex, type RegistrationIndex } from '../../src/webhooks/index-of-registrations.ts'

const one = (id: number, kind: 'exact' | 'glob', target: string): Registration => ({ id, kind, target: topicFromText(target), url: 'http://a/', recovery: 'http://r/' })

function indexOf(all: readonly Registration[]): RegistrationIndex {
  const index = createRegistrationIndex(() => {})
  index.apply(all.map((registration) => ({ type: 'added', registration })))
  return index
}

/** Ids and the topics that they are told of. */
function touched(index: RegistrationIndex, ...lost: string[]): string[] {
  return [...index.touched(interestIn(lost))].flatMap((found) => (found === undefined ? [] : [`${found.registration.id} ${found.topic}`]))
}

test('a loss touches those of a lost name, globs that match one, and names that a lost glob matches', () => {
  const index = indexOf([one(1, 'exact', 'a'), one(2, 'exact', 'a'), one(3, 'glob', 'a*'), one(4, 'exact', 'b/1'), one(5, 'glob', 'b/*'), one(6, 'exact', 'c'), one(7, 'glob', '*'), one(8, 'glob', 'c*')])
  assert.deepEqual(touched(index, 'a').sort(), ['1 a', '2 a', '3 a', '7 a'])
  assert.deepEqual(touched(index, 'b/*'), ['4 b/1'])
  assert.deepEqual(touched(index, 'a', 'b/?').sort(), ['1 a', '2 a', '3 a', '4 b/1', '7 a'])
  assert.deepEqual(touched(index, 'd', 'd*'), ['7 d'])
  index.apply([{ type: 'removed', id: 1 }])
  assert.deepEqual(touched(index, 'a*', 'c').sort(), ['2 a', '6 c', '7 c', '8 c'])
})

test('a glob that matches many lost names is told of one', () => {
  const index = indexOf(Array.from({ length: 100 }, (_, i) => one(i + 1, 'glob', i < 50 ? 'n*' : `*${i}`)))
  const names = Array.from({ length: 1_000 }, (_, i) => `n${i}`)
  const told = touched(index, ...names)
  assert.equal(told.length, 100)
  assert.equal(new Set(told.map((line) => line.split(' ')[0])).size, 100)
})

test('a loss that touches a hundred thousand registrations leaves time for everything else', async () => {
  const index = indexOf(Array.from({ length: 150_000 }, (_, i) => one(i + 1, 'exact', i < 50_000 ? 'lost' : i < 100_000 ? `glob/${i}` : `other/${i}`)))
  // Each look at the time takes a millisecond, and nothing else takes any.
  let looks = 0
  const slices = createSlices({ ...realClock, monotonic: () => looks++ })
  let [told, steps] = [0, 0]
  slices.add((function* () {
    for (const found of index.touched(interestIn(['lost', 'glob/*']))) {
      if (found !== undefined) told++
      steps++
      yield
    }
  })())
  const shares: number[] = []
  for (let last = 0; told < 100_000; last = told) {
    await new Promise((resolve) => setImmediate(resolve))
    shares.push(told - last)
  }
  await slices.idle()
  assert.ok(Math.max(...shares) < 1_000, `${Math.max(...shares)} in one turn`)
  assert.ok(steps >= 150_000, 'those that are not touched are steps as well')
})
