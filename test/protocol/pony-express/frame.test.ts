import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createFrameReader, FrameError, type FrameReader } from '../../../src/protocol/pony-express/frame.ts'
import { readFromGiver } from '../../../src/protocol/pony-express/from-giver.ts'
import { readFromTaker } from '../../../src/protocol/pony-express/from-taker.ts'
import { EtfError } from '../../../src/protocol/etf/term.ts'
import { framingCases, type Outcome } from './vectors.ts'

const hex = (text: string): Buffer => Buffer.from(text.replaceAll(' ', ''), 'hex')
const frame = (payload: Buffer): Buffer => {
  const head = hex('07440745 00000000')
  head.writeUInt32BE(payload.length, 4)
  return Buffer.concat([head, payload])
}
const reader = (maxBytes = 1_000_000): FrameReader => createFrameReader({ maxBytes })
const all = (one: FrameReader, chunks: readonly Buffer[]): Buffer[] => chunks.flatMap((chunk) => [...one.push(chunk)])
const texts = (payloads: readonly Buffer[]): string[] => payloads.map((payload) => payload.toString())

const three = [Buffer.from('one'), Buffer.alloc(0), Buffer.from('three')]
const stream = Buffer.concat(three.map(frame))

test('frames come out whole wherever the stream is cut once, twice or at every byte', () => {
  for (let a = 0; a <= stream.length; a++) {
    for (let b = a; b <= stream.length; b++) {
      const found = all(reader(), [stream.subarray(0, a), stream.subarray(a, b), stream.subarray(b)])
      assert.deepEqual(texts(found), ['one', '', 'three'], `cut at ${a} and ${b}`)
    }
  }
  assert.deepEqual(texts(all(reader(), [...stream].map((byte) => Buffer.from([byte])))), ['one', '', 'three'])
})

test('a payload that lies in one chunk is a slice of it, and one that does not is put together', () => {
  const whole = reader().push(stream).next().value as Buffer
  assert.equal(whole.buffer, stream.buffer)
  const one = reader()
  const [cut] = all(one, [stream.subarray(0, 10), stream.subarray(10)])
  assert.equal(cut?.toString(), 'one')
  assert.notEqual(cut?.buffer, stream.buffer)
})

test('how much of a frame has come is told, and nothing between frames', () => {
  const one = reader()
  assert.equal(one.buffered, 0)
  all(one, [stream.subarray(0, 3)])
  assert.equal(one.buffered, 3)
  all(one, [stream.subarray(3, 10)])
  assert.equal(one.buffered, 10)
  for (const payload of one.push(stream.subarray(10, 11))) assert.equal(one.buffered, 0, payload.toString())
  assert.equal(one.buffered, 0)
})

test('a wrong cookie is found at its first wrong byte, whatever stands before it', () => {
  for (const [good, at] of [['', 0], ['07', 1], ['0744', 2], ['074407', 3], ['07440745 00000001 61', 0]] as const) {
    const one = reader()
    all(one, [hex(good)])
    assert.throws(() => all(one, [hex('46')]), (error: FrameError) => error.code === 'bad_cookie' && error.message.includes(`byte ${at} `))
    assert.throws(() => all(one, [frame(Buffer.from('good'))]), FrameError, 'a stream that is broken stays broken')
  }
})

test('frames before a wrong cookie are given first', () => {
  const found: Buffer[] = []
  assert.throws(() => {
    for (const payload of reader().push(Buffer.concat([stream, Buffer.from('junk')]))) found.push(payload)
  }, FrameError)
  assert.deepEqual(texts(found), ['one', '', 'three'])
})

test('a length above the bound is refused when it is known, and one at the bound is taken', () => {
  const head = frame(Buffer.alloc(1_001)).subarray(0, 8)
  assert.throws(() => all(reader(1_000), [head]), (error: FrameError) => error.code === 'too_large')
  assert.throws(() => all(reader(1_000), [hex('07440745 ffffffff')]), (error: FrameError) => error.code === 'too_large')
  const one = reader(1_000)
  all(one, [head.subarray(0, 7)])
  assert.equal(one.buffered, 7)
  assert.equal(all(reader(1_000), [frame(Buffer.alloc(1_000))])[0]?.length, 1_000)
})

test('a claimed length costs nothing before its bytes come', () => {
  const before = process.memoryUsage().arrayBuffers
  const open = Array.from({ length: 200 }, () => reader(64 << 20))
  for (const one of open) all(one, [hex('07440745 04000000 01')])
  assert.ok(process.memoryUsage().arrayBuffers - before < 10_000_000, `${process.memoryUsage().arrayBuffers - before} bytes are held`)
  assert.equal(open.length, 200)
})

test('a large frame in a great many pieces is not copied again with each', () => {
  const payload = Buffer.alloc(16 << 20, 'x')
  const bytes = frame(payload)
  const pieces = Array.from({ length: 16_384 }, (_, i) => bytes.subarray(i * 1_024 + (i === 0 ? 0 : 8), (i + 1) * 1_024 + 8))
  const began = process.cpuUsage()
  const [whole] = all(reader(64 << 20), pieces)
  const { user, system } = process.cpuUsage(began)
  assert.ok(whole?.equals(payload))
  // Copied once for every piece these would be 128 GiB.
  assert.ok(user + system < 5_000_000, `${(user + system) / 1_000} ms`)
})

for (const { name, chunks, why, frames, broken, buffered } of framingCases()) {
  test(`the reference's case "${name}": ${why}`, () => {
    const one = reader()
    const payloads: Buffer[] = []
    const read = (): void => {
      for (const chunk of chunks) for (const payload of one.push(chunk)) payloads.push(payload)
    }
    if (broken === undefined) read()
    else assert.throws(read, (error: FrameError) => error.code === broken)
    assert.deepEqual(payloads.map(outcome), frames)
    if (broken === undefined) assert.equal(one.buffered, buffered)
  })
}

/** What either end makes of a payload; these frames are from both. */
function outcome(payload: Buffer): Outcome {
  const taken = attempt(() => readFromTaker(payload, { maxBytes: 1_000, maxTopics: 10 }))
  if (taken !== 'refused') return taken
  return attempt(() => readFromGiver(payload, { maxBytes: 1_000, maxTopics: 10, maxDepth: 100 }))
}

function attempt(read: () => unknown): Outcome {
  try {
    return read() === undefined ? 'ignored' : 'taken'
  } catch (error) {
    assert.ok(error instanceof EtfError, String(error))
    return 'refused'
  }
}
