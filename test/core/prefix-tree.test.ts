import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createPrefixTree, type PrefixTree } from '../../src/core/prefix-tree.ts'
import { createSeededRandom } from '../../src/testing/index.ts'

function found(tree: PrefixTree<string>, text: string): string[] {
  const values: string[] = []
  tree.walk(text, (value) => void values.push(value))
  return values
}

/** How many nodes of the tree a walk looks at: each is one comparison of its edge. */
function steps(tree: PrefixTree<string>, text: string): number {
  const { startsWith } = String.prototype
  let count = 0
  String.prototype.startsWith = function (...args) {
    count++
    return startsWith.apply(this, args)
  }
  try {
    found(tree, text)
  } finally {
    String.prototype.startsWith = startsWith
  }
  return count
}

test('a walk finds every value whose key the text begins with, the shorter keys first, and no other', () => {
  const tree = createPrefixTree<string>()
  for (const key of ['', 'n', 'news', 'news/', 'news/eu', 'newt', 'x', 'news/eu/de']) tree.add(key, key)
  assert.deepEqual(found(tree, 'news/eu'), ['', 'n', 'news', 'news/', 'news/eu'])
  assert.deepEqual(found(tree, 'news'), ['', 'n', 'news'])
  assert.deepEqual(found(tree, 'ne'), ['', 'n'])
  assert.deepEqual(found(tree, ''), [''])
  assert.deepEqual(found(tree, 'y'), [''])
})

test('the same value under the same key is there once; under two keys, or two values under one, are two', () => {
  const tree = createPrefixTree<string>()
  tree.add('a', 'one')
  tree.add('a', 'one')
  assert.equal(tree.size, 1)
  tree.add('a', 'two')
  tree.add('ab', 'one')
  assert.equal(tree.size, 3)
  assert.deepEqual(found(tree, 'ab').sort(), ['one', 'one', 'two'])
  tree.remove('a', 'one')
  assert.deepEqual(found(tree, 'ab').sort(), ['one', 'two'])
  assert.equal(tree.size, 2)
})

test('it counts the values under one key, and walks from any place of a text', () => {
  const tree = createPrefixTree<string>()
  tree.add('news/', 'one')
  tree.add('news/', 'two')
  tree.add('news/eu', 'three')
  assert.deepEqual(['news/', 'news/eu', 'news', 'news/e', '', 'x'].map(tree.count), [2, 1, 0, 0, 0, 0])
  const sets: string[][] = []
  tree.walkSets('a/news/eu', 2, (values) => sets.push([...values]))
  assert.deepEqual(sets, [['one', 'two'], ['three']])
})

test('what is not there is not taken away', () => {
  const tree = createPrefixTree<string>()
  tree.add('news/eu', 'v')
  for (const key of ['', 'n', 'news/', 'news/eux', 'x', 'news/us']) tree.remove(key, 'v')
  tree.remove('news/eu', 'other')
  assert.deepEqual(found(tree, 'news/eu'), ['v'])
  assert.equal(tree.size, 1)
})

test('adding and taking away at random, it finds what a plain list finds', () => {
  for (let seed = 1; seed <= 20; seed++) {
    const random = createSeededRandom(seed)
    const tree = createPrefixTree<string>()
    const plain = new Set<string>()
    const word = (): string => Array.from({ length: random.below(7) }, () => random.pick(['a', 'b', '/', '😀'])).join('')
    for (let step = 0; step < 2_000; step++) {
      const [key, value] = [word(), random.pick(['1', '2'])]
      if (random.below(2) === 0) {
        tree.add(key, value)
        plain.add(`${key} ${value}`)
      } else {
        const one = random.below(2) === 0 ? `${key} ${value}` : ([...plain][random.below(plain.size)] ?? `${key} ${value}`)
        const [k, v] = one.split(' ') as [string, string]
        tree.remove(k, v)
        plain.delete(one)
      }
      assert.equal(tree.size, plain.size)
      const text = word() + word()
      const expected = [...plain].map((one) => one.split(' ') as [string, string]).filter(([k]) => text.startsWith(k)).map(([, v]) => v)
      assert.deepEqual(found(tree, text).sort(), expected.sort(), `seed ${seed}, step ${step}`)
    }
  }
})

test('keys that come and go leave the tree as it was', () => {
  for (let seed = 1; seed <= 20; seed++) {
    const random = createSeededRandom(seed)
    const tree = createPrefixTree<string>()
    const word = (): string => Array.from({ length: 1 + random.below(12) }, () => random.pick(['a', 'b'])).join('')
    const staying = ['aaaaaaaaaaaaaaaa', 'bababababababa', 'bb']
    for (const key of staying) tree.add(key, 'stays')
    const texts = [...staying, ...Array.from({ length: 50 }, word)]
    const before = texts.map((text) => steps(tree, text))
    const coming = [...new Set(Array.from({ length: 200 }, word))]
    for (const key of coming) tree.add(key, 'goes')
    assert.ok(texts.some((text, i) => steps(tree, text) > (before[i] as number)))
    for (const key of coming.sort(() => random.next() - 0.5)) tree.remove(key, 'goes')
    assert.equal(tree.size, staying.length)
    assert.deepEqual(texts.map((text) => steps(tree, text)), before, `seed ${seed}`)
    for (const key of staying) tree.remove(key, 'stays')
    assert.deepEqual(texts.map((text) => steps(tree, text)), texts.map(() => 0), 'an empty tree has no node to look at')
  }
})

test('a walk looks at no more nodes than the text has signs, however many keys there are', () => {
  const tree = createPrefixTree<string>()
  for (let i = 0; i < 100_000; i++) tree.add(`${i.toString(36)}/x`, `${i}`)
  assert.equal(tree.size, 100_000)
  for (const text of ['zzz/x', 'q', '/', 'miss/entirely', '100/x/y']) assert.ok(steps(tree, text) <= text.length, `${steps(tree, text)} steps for ${text}`)
})
