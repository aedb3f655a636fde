import assert from 'node:assert/strict'
import { test } from 'node:test'
import { exactly, interestIn } from '../../src/core/interest.ts'
import { compilePattern, type Pattern } from '../../src/core/pattern.ts'
import type { Subscriber } from '../../src/core/ports.ts'
import { createRouter } from '../../src/core/router.ts'
import { topicFromBytes, topicFromText } from '../../src/core/topic.ts'
import { createRecorder, createSeededRandom } from '../../src/testing/index.ts'

const topic = topicFromText

test('by name and by pattern, everyone who wants a topic is found, each once', () => {
  const router = createRouter()
  const [name, pattern, both, other] = [createRecorder(), createRecorder(), createRecorder(), createRecorder()]
  router.join(interestIn(['news/eu']), name)
  router.join(interestIn(['news/*']), pattern)
  router.join(interestIn(['news/eu', 'news/*', '*', '*/eu']), both)
  router.join(interestIn(['news', 'new?/us']), other)
  assert.deepEqual(new Set(router.match(topic('news/eu'))), new Set([name, pattern, both]))
  assert.equal(router.match(topic('news/eu')).length, 3)
  assert.deepEqual([...router.match(topic('news/us'))].length, 3)
  assert.deepEqual(router.match(topic('else')), [both])
  assert.equal(router.topics, 2)
  assert.equal(router.patterns, 4)
})

test('leaving takes back what was joined, and leaving twice takes back nothing of others', () => {
  const router = createRouter()
  const [leaving, staying] = [createRecorder(), createRecorder()]
  const leave = router.join(interestIn(['a', 'b*']), leaving)
  router.join(interestIn(['a', 'b*']), staying)
  leave()
  leave()
  assert.deepEqual(router.match(topic('a')), [staying])
  assert.deepEqual(router.match(topic('b1')), [staying])
})

test('one that has joined twice stays until it has left twice', () => {
  const router = createRouter()
  const one = createRecorder()
  const first = router.join(interestIn(['a', 'b', 'x*']), one)
  const second = router.join(interestIn(['b', 'c', 'x*']), one)
  assert.deepEqual(router.match(topic('b')), [one])
  first()
  first()
  assert.deepEqual(['a', 'b', 'c', 'x1'].map((name) => router.match(topic(name)).length), [0, 1, 1, 1])
  second()
  assert.deepEqual([router.topics, router.patterns], [0, 0])
})

test('when all have left, nothing is left', () => {
  const router = createRouter()
  const leaves = Array.from({ length: 100 }, (_, i) => router.join(interestIn([`t${i % 10}`, `p${i % 7}*`, `p${i % 7}*x`]), createRecorder()))
  assert.deepEqual([router.topics, router.patterns], [10, 14])
  for (const leave of leaves) leave()
  assert.deepEqual([router.topics, router.patterns], [0, 0])
  assert.deepEqual(router.match(topic('p1x')), [])
})

test('a list that was given out is not changed by those who come and go', () => {
  const router = createRouter()
  const [first, second, third] = [createRecorder(), createRecorder(), createRecorder()]
  const leave = router.join(exactly(topic('a')), first)
  router.join(interestIn(['a*']), second)
  const list = router.match(topic('a'))
  leave()
  router.join(exactly(topic('a')), third)
  assert.deepEqual([...list], [first, second])
  assert.deepEqual([...router.match(topic('a'))], [third, second])

  const byName = createRouter()
  const gone = byName.join(exactly(topic('a')), first)
  const before = byName.match(topic('a'))
  gone()
  byName.join(exactly(topic('a')), second)
  assert.deepEqual([...before], [first])
})

test('a topic that is no UTF-8 is found by its name, and by no pattern', () => {
  const router = createRouter()
  const [name, pattern] = [createRecorder(), createRecorder()]
  const raw = topicFromBytes(Buffer.from([0x61, 0xff]))
  router.join(exactly(raw), name)
  router.join(interestIn(['*']), pattern)
  assert.deepEqual(router.match(raw), [name])
})

test('joining and leaving at random, it finds whom a plain list finds', () => {
  const names = ['a', 'b', 'a/b', 'a/b/c', 'b/c', 'c']
  const globs = ['*', 'a*', 'a/*', '*/c', 'a/?', '[ab]', '**/b', 'a/b*', 'b*c']
  for (let seed = 1; seed <= 20; seed++) {
    const random = createSeededRandom(seed)
    const router = createRouter()
    const subscribers = Array.from({ length: 8 }, () => createRecorder())
    const plain: { leave: () => void; sources: string[]; subscriber: Subscriber }[] = []
    for (let step = 0; step < 500; step++) {
      if (random.below(2) === 0) {
        const sources = Array.from({ length: 1 + random.below(4) }, () => random.pick([...names, ...globs]))
        const subscriber = random.pick(subscribers)
        plain.push({ leave: router.join(interestIn(sources), subscriber), sources, subscriber })
      } else if (plain.length > 0) plain.splice(random.below(plain.length), 1)[0]?.leave()
      const wanted = topic(random.pick(names))
      const expected = new Set(plain.filter(({ sources }) => sources.some((source) => compilePattern(source).matches(wanted))).map(({ subscriber }) => subscriber))
      const got = router.match(wanted)
      assert.equal(got.length, expected.size, `seed ${seed}, step ${step}`)
      assert.deepEqual(new Set(got), expected, `seed ${seed}, step ${step}`)
      const used = new Set(plain.flatMap(({ sources }) => sources))
      assert.equal(router.topics, names.filter((name) => used.has(name)).length)
      assert.equal(router.patterns, globs.filter((glob) => used.has(glob)).length)
    }
  }
})

/** A pattern that counts how often it is asked. */
function counting(source: string, asked: () => void): Pattern {
  const pattern = compilePattern(source)
  return { ...pattern, literal: pattern.literal, matches: (one) => (asked(), pattern.matches(one)), covers: (one) => pattern.covers(one) }
}

const crowds: [what: string, pattern: (i: number) => string, misses: string[], hit: string][] = [
  ['that begin otherwise', (i) => `${i.toString(36)}/*`, ['miss/entirely', ''], 'abc/x'],
  ['that end otherwise', (i) => `*/x${i}.`, ['miss/entirely', '/x', 'a/x100000.'], 'a/b/x777.'],
  ['with other segments', (i) => `**/y${i}/*`, ['miss/y/entirely', 'y100000/', 'y77'], 'a/y777/b'],
  ['with another text inside', (i) => `?*foo${i}.*`, ['miss/foo/entirely', 'foo', 'afoo100000.'], 'a/foo777.'],
  ['that begin alike and end otherwise', (i) => `news/*/x${i}.`, ['news/miss', 'news/eu/x', 'news/x100000.'], 'news/eu/x777.'],
  ['that end alike and begin otherwise', (i) => `u${i}/*/state`, ['miss/eu/state', '/state', 'u/x/state'], 'u777/a/state'],
  ['that begin and end alike', (i) => `u/*-${i}-*/state`, ['u/-/state', 'u/a-miss-/state', 'u/-100000-/state'], 'u/a-777-b/state'],
  ['with a long text inside that ends alike', (i) => `*/user-${i}/temperature/in/the/living/room/*`, ['/user-/temperature', '/user-100000/temperature/'], '/user-777/temperature/in/the/living/room/'],
]

for (const [what, source, misses, hit] of crowds) {
  test(`of a hundred thousand patterns ${what}, a miss asks next to none, and a hit few more than the one`, () => {
    const router = createRouter()
    let asked = 0
    for (let i = 0; i < 100_000; i++) router.join({ topics: [], patterns: [counting(source(i), () => asked++)] }, createRecorder())
    assert.equal(router.patterns, 100_000)
    for (const miss of [...misses, 'a'.repeat(65_535)]) assert.deepEqual(router.match(topic(miss)), [])
    assert.ok(asked <= 48 * (misses.length + 1), `the misses asked ${asked} patterns`)
    asked = 0
    assert.equal(router.match(topic(hit)).length, 1)
    assert.ok(asked <= 48, `the hit asked ${asked} patterns`)
  })
}

test('a pattern whose text is in a topic many times is asked once', () => {
  const router = createRouter()
  let asked = 0
  for (let i = 0; i < 100; i++) router.join({ topics: [], patterns: [counting(`?*a*${'?'.repeat(i)}*`, () => asked++)] }, createRecorder())
  assert.equal(router.match(topic('a'.repeat(1_000))).length, 100)
  assert.equal(asked, 100)
})

test('any patterns that come and go: it finds whom asking every pattern finds', () => {
  const pieces = ['a', 'b', 'ab', '/', '*', '*', '**/', '?', '[ab]', '[!a]', '[', 'é😀', 'abababababababababab']
  const crowded = ['a*', '*b', '?*ab*', 'a*ab*b']
  for (let seed = 1; seed <= 20; seed++) {
    const random = createSeededRandom(seed)
    const router = createRouter()
    const plain: { leave: () => void; patterns: readonly Pattern[]; subscriber: Subscriber }[] = []
    const word = (from: readonly string[]): string => Array.from({ length: 1 + random.below(6) }, () => random.pick(from)).join('')
    const globs = Array.from({ length: 200 }, () => (random.below(3) === 0 ? random.pick(crowded) + '*?'.repeat(random.below(3)) : '') + word(pieces) + random.pick(['*', 'b', '?', '/*b']))
    for (let step = 0; step < 400; step++) {
      // First they come, then they go.
      if (random.below(400) >= step) {
        const interest = { topics: [], patterns: [random.pick(globs), random.pick(globs)].map(compilePattern) }
        const subscriber = createRecorder()
        plain.push({ leave: router.join(interest, subscriber), patterns: interest.patterns, subscriber })
      } else plain.splice(random.below(plain.length), 1)[0]?.leave()
      const wanted = topic(word(['a', 'b', 'ab', '/', 'é😀', '[', 'abababababababababab']))
      const expected = new Set(plain.filter(({ patterns }) => patterns.some((pattern) => pattern.matches(wanted))).map(({ subscriber }) => subscriber))
      const got = router.match(wanted)
      assert.equal(got.length, expected.size, `seed ${seed}, step ${step}: ${wanted}`)
      assert.deepEqual(new Set(got), expected, `seed ${seed}, step ${step}: ${wanted}`)
    }
    for (const { leave } of plain) leave()
    assert.deepEqual(router.match(topic('ab')), [])
    assert.equal(router.patterns, 0)
  }
})

test('a pattern that many want is asked once for a message', () => {
  const router = createRouter()
  let asked = 0
  const pattern = counting('a/*', () => asked++)
  for (let i = 0; i < 1_000; i++) router.join({ topics: [], patterns: [pattern] }, createRecorder())
  assert.equal(router.match(topic('a/b')).length, 1_000)
  assert.equal(asked, 1)
})

test('a pattern that nobody wants any more is not asked', () => {
  const router = createRouter()
  let asked = 0
  const leaves = ['a*', '*b', '?*a*', '*'].map((source) => router.join({ topics: [], patterns: [counting(source, () => asked++)] }, createRecorder()))
  for (const leave of leaves) leave()
  assert.deepEqual(router.match(topic('aab')), [])
  assert.equal(asked, 0)
})

test('those who hear of everything are kept apart, each until it leaves; a list that was given out stays as it was', () => {
  const router = createRouter()
  const [first, second] = [createRecorder(), createRecorder()]
  const leave = [router.joinAll(first), router.joinAll(second), router.joinAll(first)]
  const before = router.everywhere
  assert.deepEqual([router.match(topic('a')), router.topics, router.patterns], [[], 0, 0])
  leave[1]?.()
  leave[1]?.()
  assert.deepEqual([router.everywhere, before], [[first, first], [first, second, first]])
  leave[0]?.()
  leave[0]?.()
  assert.deepEqual(router.everywhere, [first])
  leave[2]?.()
  assert.deepEqual(router.everywhere, [])
})
