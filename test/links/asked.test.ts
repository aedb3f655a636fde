import assert from 'node:assert/strict'
import { test } from 'node:test'
import { wants } from '../../src/core/interest.ts'
import { compilePattern } from '../../src/core/pattern.ts'
import { topicFromBytes, topicFromText, topicToBytes } from '../../src/core/topic.ts'
import { createAsked, globsBehind } from '../../src/links/asked.ts'
import { createSeededRandom } from '../../src/testing/seeded-random.ts'

const topic = topicFromText

test('names and globs are told apart, and all of them stand in the wish', () => {
  const asked = createAsked({ topics: ['news/*', 'prices', 'a?', 'prices'], prefix: 'here/' })
  assert.deepEqual(asked.names, ['prices'])
  assert.deepEqual(asked.wish('hub', { epoch: 'e', offset: 7 }), { hub: 'hub', topics: [Buffer.from('prices')], patterns: ['a?', 'news/*'], after: { epoch: 'e', offset: 7 } })
  for (const [name, wanted] of [['prices', true], ['news/eu', true], ['ab', true], ['abc', false], ['here/prices', false], ['', false]] as const) {
    assert.equal(asked.wants(topic(name)), wanted, name)
  }
})

test('a prefix stands before topics that are no text byte by byte', () => {
  const asked = createAsked({ topics: ['*'], prefix: 'zoné/' })
  assert.equal(asked.here(topic('x')), 'zoné/x')
  const raw = topicFromBytes(Buffer.from([0xff, 0x41]))
  assert.deepEqual(topicToBytes(asked.here(raw)), Buffer.concat([Buffer.from('zoné/'), Buffer.from([0xff, 0x41])]))
})

test('signs of globs in a prefix mean themselves', () => {
  const asked = createAsked({ topics: ['x*', 'y'], prefix: 'a*[b]?/' })
  const [pattern] = asked.globs.patterns
  assert.ok(pattern?.matches(topic('a*[b]?/xyz')))
  assert.ok(!pattern?.matches(topic('axb?/x')))
  assert.deepEqual(asked.everything.topics, ['a*[b]?/y'])
})

test('a glob behind a prefix covers what it matches, with the prefix before it, and nothing else but what ** lets through', () => {
  const random = createSeededRandom(3)
  const signs = ['a', 'b', '/', '*', '?', '**/', '[ab]', '[']
  const word = (from: readonly string[], length: number): string => Array.from({ length: random.below(length) }, () => random.pick(from)).join('')
  let matched = 0
  for (let i = 0; i < 3_000; i++) {
    const glob = word(signs, 6)
    const prefix = word(['a', '/', '*', '[', '?', 'b'], 4)
    const name = word(['a', 'b', '/', '*', '['], 6)
    const behind = globsBehind(prefix, glob).map(compilePattern)
    const expected = compilePattern(glob).matches(topic(name))
    const covered = behind.some((one) => one.matches(topic(prefix + name)))
    if (expected) matched++
    if (expected) assert.ok(covered, JSON.stringify({ glob, prefix, name }))
    else if (!glob.includes('**/')) assert.ok(!covered, JSON.stringify({ glob, prefix, name }))
  }
  assert.ok(matched > 200, `only ${matched} matched`)
})

test('what is lost is never more than what was asked for, and has all of that which may be lost', () => {
  const asked = createAsked({ topics: ['news/*', 'prices', 'stocks/a'], prefix: 'p/' })
  const cases: [string[], string[], string[], string[]][] = [
    [['prices'], [], ['p/prices'], ['p/other', 'p/news/x']],
    [['news/eu', 'foreign'], [], ['p/news/eu'], ['p/foreign', 'p/news/us', 'p/prices']],
    [[], ['stocks/*'], ['p/stocks/a'], ['p/prices', 'p/news/a']],
    [[], ['news/e*'], ['p/news/eu'], ['p/prices']],
    [[], ['*'], ['p/news/eu', 'p/prices', 'p/stocks/a'], ['p/stocks/b']],
    [[], [], [], ['p/prices']],
  ]
  for (const [topics, patterns, lost, kept] of cases) {
    const interest = asked.lostOf(topics.map((one) => Buffer.from(one)), patterns)
    for (const one of lost) assert.ok(wants(interest, topic(one)), `${one} of ${JSON.stringify([topics, patterns])}`)
    for (const one of kept) assert.ok(!wants(interest, topic(one)), `${one} of ${JSON.stringify([topics, patterns])}`)
  }
})

test('a gap of globs that cannot be used, or of very many, counts as one of everything', () => {
  const asked = createAsked({ topics: ['a', 'b*'], prefix: '' })
  assert.equal(asked.lostOf([], ['\ud800']), asked.everything)
  assert.equal(asked.lostOf([], Array.from({ length: 500_001 }, () => 'zz*')), asked.everything)
})
