import assert from 'node:assert/strict'
import { test } from 'node:test'
import { WaystationError } from '../../src/core/errors.ts'
import { exactly, interestIn, interestKey, wants } from '../../src/core/interest.ts'
import { topicFromBytes, topicFromText } from '../../src/core/topic.ts'

test('names and globs are told apart, and repeats fall away', () => {
  const interest = interestIn(['b', 'a*', 'a', 'b', 'a*', 'x[', '?'])
  assert.deepEqual(interest.topics, ['a', 'b', 'x['])
  assert.deepEqual(interest.patterns.map((pattern) => pattern.source), ['?', 'a*'])
})

test('the same interest has the same key, in whatever order it was stated, and another one has another', () => {
  const key = (...sources: string[]): string => interestKey(interestIn(sources))
  assert.equal(key('a', 'b', 'c*', '?'), key('?', 'b', 'a', 'c*', 'a'))
  const all = [key(), key('a'), key('a*'), key('a', 'b'), key('a,b'), key('a","b'), key('a', 'a*'), key('')]
  assert.equal(new Set(all).size, all.length)
  assert.notEqual(interestKey(exactly(topicFromBytes(Buffer.from([0xff])))), interestKey(exactly(topicFromBytes(Buffer.from([0xfe])))))
})

test('a topic is wanted by its name or by a pattern', () => {
  const interest = interestIn(['a', 'b/*'])
  assert.deepEqual(['a', 'b/x', 'b', 'ab'].map((name) => wants(interest, topicFromText(name))), [true, true, false, false])
})

test('one glob that cannot be used spoils the whole', () => {
  assert.throws(() => interestIn(['a', '\ud800']), (error: unknown) => error instanceof WaystationError && error.code === 'bad_pattern')
})
