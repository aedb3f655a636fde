import assert from 'node:assert/strict'
import { test } from 'node:test'
import { remembered } from '../../src/http/remembered.ts'

function counting(): { ask: (text: string) => boolean; asked: string[] } {
  const asked: string[] = []
  const ask = remembered((text) => {
    asked.push(text)
    return text.includes('x')
  })
  return { ask, asked }
}

test('a question is asked once for each text, whatever the answer', () => {
  const { ask, asked } = counting()
  for (let round = 0; round < 3; round++) assert.deepEqual(['x', 'y', ''].map(ask), [true, false, false])
  assert.deepEqual(asked, ['x', 'y', ''])
})

test('a long text is answered each time and not kept', () => {
  const { ask, asked } = counting()
  const long = 'x'.repeat(101)
  for (let round = 0; round < 3; round++) assert.equal(ask(long), true)
  assert.equal(asked.length, 3)
})

test('at most a thousand answers are kept', () => {
  const { ask, asked } = counting()
  for (let i = 0; i <= 1_000; i++) ask(`${i}`)
  ask('1000')
  assert.equal(asked.length, 1_001)
  ask('0')
  assert.equal(asked.length, 1_002)
})
