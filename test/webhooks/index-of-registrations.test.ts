import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Registration } from '../../src/core/registry.ts'
import { topicFromBytes, topicFromText, type Topic } from '../../src/core/topic.ts'
import { heapUsed } from '../support/memory.ts'
import { createSeededRandom } from '../../src/testing/seeded-random.ts'
import { createRegistrationIndex, type Found } from '../../src/webhooks/index-of-registrations.ts'

function open() {
  const unusable: number[] = []
  const index = createRegistrationIndex(({ id }) => void unusable.push(id))
  const find = (topic: Topic, newest = index.newest): string[] =>
    [...rest(index.named(topic, newest)), ...rest(index.matching(topic, newest))].map(({ id, recovery }) => `${id}:${recovery ?? ''}`).sort()
  return { index, unusable, find, publish: (topic: string) => find(topicFromText(topic)) }
}

function rest(found: Found | undefined): Registration[] {
  const all: Registration[] = []
  for (let next = found?.next(); next !== undefined && next.done !== true; next = found?.next()) if (next.value !== undefined) all.push(next.value)
  return all
}

const one = (id: number, kind: 'exact' | 'glob', target: string, recovery?: string): Registration => ({ id, kind, target: topicFromText(target), url: 'http://a/', recovery })
const added = (...all: Registration[]) => all.map((registration) => ({ type: 'added', registration }) as const)

test('one url gets a message once for each of its registrations: an exact and two globs are three', () => {
  const { index, publish } = open()
  index.apply(added(one(1, 'exact', 'a/b'), one(2, 'glob', 'a/*'), one(3, 'glob', '*b'), one(4, 'exact', 'a/c')))
  assert.deepEqual(publish('a/b'), ['1:', '2:', '3:'])
  assert.deepEqual(publish('a/c'), ['2:', '4:'])
})

test('what is told again with another recovery url is changed, and counts once', () => {
  const { index, publish } = open()
  index.apply(added(one(1, 'exact', 'a')))
  index.apply(added(one(1, 'exact', 'a', 'http://r/')))
  assert.deepEqual([publish('a'), index.size], [['1:http://r/'], 1])
})

test('a glob that cannot be compiled is told of, matches nothing, and can be taken away', () => {
  const { index, publish, unusable } = open()
  const lone = { ...one(1, 'glob', 'a'), target: 'a\ud800*' as Topic }
  const long = one(3, 'glob', `[a]${'?'.repeat(70_000)}`)
  index.apply(added(lone, one(2, 'exact', 'a'), long))
  assert.deepEqual(unusable, [1])
  assert.deepEqual([publish('a'), publish('a'), unusable], [['2:'], ['2:'], [1, 3]])
  assert.ok(index.has(1) && index.has(3))
  index.apply([1, 2, 3, 99].map((id) => ({ type: 'removed', id })))
  assert.deepEqual([index.size, publish('a')], [0, []])
})

test('a glob of any length matches what it says, and is taken apart only when it is asked', () => {
  const { index, publish } = open()
  const long = `ab${'[a-z]'.repeat(13_000)}*`
  const began = performance.now()
  index.apply(added(...Array.from({ length: 2_000 }, (_, i) => one(i + 1, 'glob', `${i}${long.slice(5)}`)), one(3_000, 'glob', long)))
  assert.ok(performance.now() - began < 5_000, 'two thousand of them take half a minute when they are taken apart')
  assert.deepEqual([publish(`ab${'c'.repeat(13_001)}`), publish(`ab${'c'.repeat(12_999)}`), publish('b')], [['3000:'], [], []])
})

test('a topic that is no UTF-8 is found by its name, and by no glob', () => {
  const { index, find } = open()
  const raw = topicFromBytes(Buffer.from([0x61, 0xff]))
  index.apply(added({ ...one(1, 'exact', 'a'), target: raw }, one(2, 'glob', '*')))
  assert.deepEqual(find(raw), ['1:'])
})

for (const kind of ['exact', 'glob'] as const) {
  test(`while ${kind} registrations are found, those that go do not come, and those that come are not found by an old newest`, () => {
    const { index } = open()
    index.apply(added(one(1, kind, 'a'), one(2, kind, 'a'), one(3, kind, 'a'), one(4, 'glob', 'a*'), one(5, 'glob', '*a')))
    const { newest } = index
    const found = [index.named(topicFromText('a'), newest), index.matching(topicFromText('a'), newest)]
    const first = found[kind === 'exact' ? 0 : 1]
    let one1 = first?.next()
    while (one1?.value === undefined) one1 = first?.next()
    index.apply([{ type: 'removed', id: 3 }, { type: 'removed', id: 5 }, ...added(one(6, kind, 'a'), one(7, 'glob', '?'), one(8, 'glob', 'a*'), one(2, kind, 'a', 'http://r/'))])
    assert.deepEqual(found.flatMap(rest).map(({ id, recovery }) => `${id}:${recovery ?? ''}`).concat(`${one1.value.id}:`).sort(), ['1:', '2:http://r/', '4:'])
  })
}

test('after any sequence of changes exactly those that stand are found', () => {
  const random = createSeededRandom(9)
  const { index, publish } = open()
  const standing = new Map<number, Registration>()
  for (let id = 1; id <= 2_000; id++) {
    const gone = random.next() < 0.5 ? random.pick([...standing.keys(), 0]) : 0
    standing.delete(gone)
    const kind = random.pick(['exact', 'glob'] as const)
    const registration = one(id, kind, kind === 'exact' ? `t${random.below(5)}` : `t[${random.below(5)}]`)
    standing.set(id, registration)
    index.apply([{ type: 'removed', id: gone }, ...added(registration)])
    if (id % 100 !== 0) continue
    const n = random.below(5)
    const expected = [...standing.values()].filter(({ target }) => target === `t${n}` || target === `t[${n}]`).map((r) => `${r.id}:`).sort()
    assert.deepEqual(publish(`t${n}`), expected)
  }
  assert.equal(index.size, standing.size)
  index.apply([...standing.keys()].map((id) => ({ type: 'removed', id })))
  assert.deepEqual([index.size, publish('t1'), publish('t2')], [0, [], []])
})

test('who registered after a message was published does not get it, alone at its target or not, by name or by glob', () => {
  const { index, find } = open()
  const topic = topicFromText('a/b')
  index.apply(added(one(1, 'exact', 'x')))
  const published = index.newest
  index.apply(added(one(2, 'exact', 'a/b'), one(3, 'glob', 'a/*')))
  assert.deepEqual([find(topic, published), find(topic)], [[], ['2:', '3:']])
  const later = index.newest
  index.apply(added({ ...one(4, 'exact', 'a/b'), url: 'http://b/' }, { ...one(5, 'glob', 'a/*'), url: 'http://b/' }))
  assert.deepEqual([find(topic, later), find(topic)], [['2:', '3:'], ['2:', '3:', '4:', '5:']])
})

test('globs that come and go leave nothing behind', () => {
  const { index, publish } = open()
  const round = (from: number): void => {
    const some = Array.from({ length: 20_000 }, (_, i) => one(from + i, 'glob', `${i % 2 === 0 ? `news/${i}` : '*'}/${'x'.repeat(20)}${i}*end${i}`))
    index.apply(added(...some))
    assert.deepEqual(publish('nothing/of/that'), [])
    index.apply(some.map(({ id }) => ({ type: 'removed', id })))
  }
  round(1)
  const before = heapUsed()
  for (let i = 1; i < 4; i++) round(1 + i * 20_000)
  const more = heapUsed() - before
  // Left in the index, each would weigh some hundred bytes: tens of megabytes.
  assert.ok(more < 5_000_000, `${more} bytes more`)
})
