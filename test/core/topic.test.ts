import assert from 'node:assert/strict'
import { isUtf8 } from 'node:buffer'
import { test } from 'node:test'
import { topicFromBytes, topicFromText, topicIsText, topicToBytes, topicToUrl } from '../../src/core/topic.ts'
import { createSeededRandom } from '../../src/testing/index.ts'

/** Pieces that make strings which are nearly UTF-8: whole characters, their halves, and what no UTF-8 has. */
const PIECES = [
  'a', '/', '%', '\0', '\x7f', 'é', '€', '😀', '\ufeff', '\ufffd', '\ud7ff', '\ue000',
].map((text) => Buffer.from(text)).concat([
  [0x80], [0xbf], [0xc0, 0x80], [0xc1], [0xc3], [0xe2, 0x82], [0xed, 0xa0, 0x80], [0xed, 0xb2, 0x80], [0xed, 0xbf, 0xbf], [0xf0, 0x9f, 0x98],
  [0xf4, 0x90, 0x80, 0x80], [0xf8], [0xff], [0xfe, 0xff],
].map((bytes) => Buffer.from(bytes)))

function* byteStrings(): Generator<Buffer> {
  yield Buffer.alloc(0)
  for (let byte = 0; byte < 256; byte++) yield Buffer.from([byte])
  for (let first = 0; first < 256; first++) for (let second = 0; second < 256; second++) yield Buffer.from([first, second])
  const random = createSeededRandom(1)
  for (let i = 0; i < 40_000; i++) {
    const pieces = Array.from({ length: 1 + random.below(6) }, () => random.below(3) === 0 ? Buffer.from([random.below(256)]) : random.pick(PIECES))
    yield Buffer.concat(pieces)
  }
}

test('every byte string is a topic and comes back as it was', () => {
  for (const bytes of byteStrings()) {
    const topic = topicFromBytes(bytes)
    assert.ok(topicToBytes(topic).equals(bytes), bytes.toString('hex'))
    assert.equal(topicIsText(topic), isUtf8(bytes), bytes.toString('hex'))
  }
})

test('bytes that are no UTF-8 are kept one by one, however many', () => {
  const byOne = (bytes: Buffer): string => [...bytes].map((byte) => String.fromCharCode(byte < 0x80 ? byte : 0xdc00 + byte)).join('')
  const long = Buffer.from(Array.from({ length: 65_535 }, (_, i) => i % 256))
  for (const bytes of [long, long.subarray(1), Buffer.alloc(65_535, 0xff), ...byteStrings()]) {
    if (isUtf8(bytes)) continue
    const topic = topicFromBytes(bytes)
    assert.ok(topic === byOne(bytes), bytes.toString('hex', 0, 100))
    assert.ok(topicToBytes(topic).equals(bytes))
  }
})

test('two topics are the same only if their bytes are', () => {
  const seen = new Map<string, Buffer>()
  for (const bytes of byteStrings()) {
    const topic = topicFromBytes(bytes)
    const before = seen.get(topic)
    if (before !== undefined) assert.ok(before.equals(bytes), `${before.toString('hex')} and ${bytes.toString('hex')}`)
    seen.set(topic, bytes)
  }
  assert.ok(seen.size > 90_000, `${seen.size} topics were compared`)
})

test('bytes that are UTF-8 are the text they spell, and the same topic as that text', () => {
  for (const text of ['', 'news/eu', 'café', '😀', '\0', '\ufeffbom', '\ufffd', '  ']) {
    assert.equal(topicFromBytes(Buffer.from(text)), topicFromText(text))
    assert.deepEqual(topicToBytes(topicFromText(text)), Buffer.from(text))
  }
})

test('a view into a larger buffer names only its own bytes', () => {
  const large = new TextEncoder().encode('before/topic/after')
  assert.equal(topicFromBytes(large.subarray(7, 12)), 'topic')
})

test('text with a lone surrogate is no topic: it would meet the bytes that are kept one by one', () => {
  for (const text of ['\ud800', 'a\udc80', '\udcff', '\ude00\ud83d']) assert.throws(() => topicFromText(text), RangeError)
  assert.equal(topicFromBytes(Buffer.from([0xff])), '\udcff')
})

test('in a URL a topic has no byte that ends a header, a line or a path, and its slashes stay', () => {
  for (const bytes of byteStrings()) {
    const url = topicToUrl(topicFromBytes(bytes))
    assert.match(url, /^[A-Za-z0-9\-_.!~*'()%/]*$/)
    const back = Buffer.from(url.replace(/%([0-9A-F]{2})/g, (_, hex: string) => String.fromCharCode(Number.parseInt(hex, 16))), 'latin1')
    assert.ok(back.equals(bytes), `${bytes.toString('hex')} became ${url}`)
  }
  assert.equal(topicToUrl(topicFromText('a b/ü?#')), 'a%20b/%C3%BC%3F%23')
})
