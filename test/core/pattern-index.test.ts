import assert from 'node:assert/strict'
import { test } from 'node:test'
import { compilePattern } from '../../src/core/pattern.ts'
import { createPatternIndex, type PatternIndex } from '../../src/core/pattern-index.ts'
import { topicFromText, type Topic } from '../../src/core/topic.ts'
import { createSeededRandom } from '../../src/testing/seeded-random.ts'

function walked(index: PatternIndex<string>, topic: Topic): string[] {
  const all: string[] = []
  index.walk(topic, (value) => void all.push(value))
  return all.sort()
}

function inBits(index: PatternIndex<string>, topic: Topic): string[] {
  return [...index.bits(topic)].flatMap((values) => (values === undefined ? [] : [...values])).sort()
}

test('bit by bit it finds what it finds at once, each once', () => {
  const random = createSeededRandom(3)
  const word = (): string => Array.from({ length: 1 + random.below(6) }, () => random.pick(['a', 'b', 'ab', '/', '*', '?', '*'])).join('')
  const index = createPatternIndex<string>()
  for (const source of new Set([...Array.from({ length: 500 }, word), ...Array.from({ length: 40 }, (_, i) => `*a${'?'.repeat(i)}b*`)])) index.add(compilePattern(source), source)
  for (let i = 0; i < 200; i++) {
    const topic = topicFromText(word().replace(/[*?]/g, 'b'))
    assert.deepEqual(inBits(index, topic), walked(index, topic))
  }
})

test('a long topic is searched in many bits', () => {
  const index = createPatternIndex<string>()
  index.add(compilePattern('*needle*'), 'needle')
  const bits = [...index.bits(topicFromText(`${'x'.repeat(60_000)}needle`))]
  assert.ok(bits.filter((bit) => bit === undefined).length > 200)
  assert.deepEqual(bits.filter((bit) => bit !== undefined).map((bit) => [...bit]), [['needle']])
})

test('what is taken out before it was reached does not come', () => {
  const index = createPatternIndex<string>()
  const takeOut = ['a*', '*b', '*xx*'].map((source) => index.add(compilePattern(source), source))
  const bits = index.bits(topicFromText('axxb'))
  assert.deepEqual([...bits.next().value ?? []], ['a*'])
  takeOut[1]?.()
  takeOut[2]?.()
  assert.deepEqual([...bits].flatMap((values) => [...values ?? []]), [])
})
