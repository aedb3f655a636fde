import assert from 'node:assert/strict'
import { test } from 'node:test'
import { compressed } from '../../src/services/compress.ts'
import { decode } from '../../src/protocol/etf/decode.ts'
import { encode } from '../../src/protocol/etf/encode.ts'
import { plain } from '../../src/protocol/etf/plain.ts'
import { Tuple, type Term } from '../../src/protocol/etf/term.ts'

const words: Term = new Tuple(1, Array.from({ length: 200 }, (_, i) => `word ${i % 7} ${i * i}`))

test('what compression makes shorter goes compressed, harder where that is asked for, and is the same term', () => {
  const term = encode(words)
  const parts = [term.subarray(0, 1), term.subarray(1, 50), term.subarray(50)]
  const sizes = ([1, 9, 'default'] as const).map((level) => {
    const bytes = Buffer.concat(compressed(parts, level))
    assert.deepEqual(plain(bytes), term)
    assert.deepEqual(decode(bytes).term, decode(term).term)
    return bytes.length
  })
  const [low, high, middle] = sizes as [number, number, number]
  assert.ok(low < term.length && high < low && middle <= low, sizes.join())
})

test('what it does not make shorter goes as it is', () => {
  const parts = [Buffer.from([131]), Buffer.from([97, 5])]
  assert.equal(compressed(parts, 9), parts)
  // Level 0 only wraps.
  const term = [encode(words)]
  assert.equal(compressed(term, 0), term)
})
