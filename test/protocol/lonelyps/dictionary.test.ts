import assert from 'node:assert/strict'
import { test } from 'node:test'
import { buildDictionary, buildDictionaryInSlices } from '../../../src/protocol/lonelyps/dictionary.ts'
import { compress } from '../../../src/protocol/lonelyps/zstd.ts'
import { createSeededRandom } from '../../../src/testing/seeded-random.ts'
import { messages, trained, traffic, type Traffic } from '../../support/zstd-vectors.ts'

const kinds = Object.keys(traffic(0)) as (keyof ReturnType<typeof traffic>)[]

/** What share of the plain size is left of new messages. */
function share(next: Traffic, dictionary: Buffer | undefined): number {
  let plain = 0
  let packed = 0
  for (let i = 0; i < 300; i++) {
    const message = next()
    plain += message.length
    packed += compress(message, 3, dictionary).length
  }
  return packed / plain
}

function lastOf(samples: readonly Buffer[], size: number): Buffer {
  return Buffer.concat(samples).subarray(-size)
}

for (const kind of kinds) {
  test(`no worse than the last samples one behind the other, and smaller than without: ${kind}`, () => {
    const samples = messages(traffic(1)[kind], 102_400)
    const built = share(traffic(2)[kind], buildDictionary(samples, 16_384))
    // 2 %: chance decides which of many messages that are alike is the better one to have.
    assert.ok(built <= share(traffic(2)[kind], lastOf(samples, 16_384)) * 1.02)
    assert.ok(built <= share(traffic(2)[kind], undefined) * 0.7)
  })
}

test('the JSON of the vectors shrinks to less than a third', () => {
  const left = share(traffic(4).json, buildDictionary(messages(traffic(3).json, 102_400), 16_384))
  assert.ok(left < 0.33, `${left} is left`)
})

test('what came early is not forgotten, as the last samples forget it', () => {
  const samples = kinds.flatMap((kind) => messages(traffic(5)[kind], 40_000))
  const built = buildDictionary(samples, 16_384)
  const last = lastOf(samples, 16_384)
  assert.ok(share(traffic(6).json, built) < 0.4)
  assert.ok(share(traffic(6).json, built) < share(traffic(6).json, last) / 1.5)
})

test('the same samples give the same dictionary, at once or in slices', () => {
  const samples = messages(traffic(7)['log lines'], 102_400)
  const built = buildDictionary(samples, 16_384)
  assert.deepEqual(buildDictionary(samples.map((sample) => Buffer.from(sample)), 16_384), built)
  let slices = 1
  const steps = buildDictionaryInSlices(samples, 16_384)
  let step = steps.next()
  for (; step.done !== true; step = steps.next()) slices++
  assert.deepEqual(step.value, built)
  assert.ok(slices >= 5, `${slices} slices`)
})

test('it fits the size that is asked for, whatever that is', () => {
  const samples = messages(traffic(8).json, 50_000)
  for (const size of [0, 1, 7, 8, 100, 1_000, 16_384, 65_536]) assert.ok(buildDictionary(samples, size).length <= size)
  assert.ok(buildDictionary(samples, 16_384).length > 16_000)
})

test('what does not recur is not in it: nothing of noise, of a single sample, or of none', () => {
  const random = createSeededRandom(9)
  const noise = Array.from({ length: 500 }, () => Buffer.from(Array.from({ length: 200 }, () => random.below(256))))
  assert.ok(buildDictionary(noise, 16_384).length < 100)
  assert.equal(buildDictionary([traffic(9).json()], 16_384).length, 0)
  assert.equal(buildDictionary([], 16_384).length, 0)
  assert.equal(buildDictionary([Buffer.from('short'), Buffer.from('short'), Buffer.alloc(0)], 16_384).length, 0)
})

test('nothing is in it twice', () => {
  const phrase = 'a phrase that stands in every message there is'
  const samples = Array.from({ length: 500 }, (_, i) => Buffer.from(`${i * 7919} ${phrase} ${i * 104_729}`))
  assert.ok(buildDictionary(samples, 16_384).includes(phrase))
  const same = Array.from({ length: 500 }, () => Buffer.from(phrase))
  const text = buildDictionary(same, 16_384).toString()
  const eights = Array.from({ length: text.length - 7 }, (_, i) => text.slice(i, i + 8))
  assert.ok(eights.length >= phrase.length - 7)
  assert.equal(new Set(eights).size, eights.length)
})

test('the windows that are of most use stand at the end', () => {
  const filler = createSeededRandom(10)
  const noise = (size: number): string => Array.from({ length: size }, () => filler.below(36).toString(36)).join('')
  const [common, rare] = [noise(900), noise(900)]
  const samples = Array.from({ length: 100 }, (_, i) => Buffer.from(noise(400) + (i % 10 === 0 ? rare : common) + noise(400)))
  const text = buildDictionary(samples, 4_096).toString()
  assert.ok(text.includes(common.slice(100, 800)) && text.includes(rare.slice(100, 800)))
  assert.ok(text.lastIndexOf(common.slice(100, 800)) > text.lastIndexOf(rare.slice(100, 800)))
})

test('a dictionary never begins with the magic of a trained one', () => {
  const magic = trained.subarray(0, 4)
  const samples = Array.from({ length: 2 }, () => Buffer.concat([magic, Buffer.from('always the same behind it')]))
  const built = buildDictionary(samples, 16_384)
  assert.ok(built.includes('always the same behind it'))
  assert.ok(!built.subarray(0, 4).equals(magic))
})
