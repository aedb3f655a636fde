import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createHollow } from '../../../src/protocol/websocket/hollow.ts'
import { createSeededRandom } from '../../../src/testing/seeded-random.ts'
import { readFrames } from '../../support/frames.ts'
import { clientFrame } from '../../support/raw.ts'

const partly = { fin: false }

/** What is left of frames as [opcode, fin, payload bytes]. */
function left(...chunks: Buffer[]): [number, boolean, number][] {
  const hollow = createHollow()
  const { frames, rest } = readFrames(Buffer.concat(chunks.map((chunk) => hollow.take(chunk))))
  assert.equal(rest.length, 0)
  return frames.map(({ opcode, fin, payload }) => [opcode, fin, payload.length])
}

test('messages of every length come out empty', () => {
  for (const length of [0, 1, 125, 126, 65_535, 65_536, 200_000]) assert.deepEqual(left(clientFrame(2, Buffer.alloc(length, 1))), [[2, true, 0]], String(length))
})

test('control frames come out whole, also between fragments', () => {
  const ping = clientFrame(9, 'are you there')
  const out = createHollow().take(Buffer.concat([clientFrame(1, 'x', partly), ping, clientFrame(0, 'y')]))
  assert.deepEqual(out, Buffer.concat([clientFrame(1, '', partly), ping, clientFrame(0, '')]))
})

test('of a message in fragments the first and the last are left, empty', () => {
  const middle = Array.from({ length: 50 }, () => clientFrame(0, 'more', partly))
  assert.deepEqual(left(clientFrame(1, 'x', partly), ...middle, clientFrame(0, 'end'), clientFrame(1, 'next')), [[1, false, 0], [0, true, 0], [1, true, 0]])
})

test('what is wrong with a header is left for the reader to refuse', () => {
  assert.deepEqual(createHollow().take(clientFrame(1, 'abc', { masked: false })), Buffer.from([0x81, 0]))
  assert.equal(createHollow().take(clientFrame(1, 'abc', { rsv: 4 }))[0], 0xc1)
  assert.deepEqual(left(clientFrame(0, 'nothing is open')), [[0, true, 0]])
  const between = Buffer.concat([clientFrame(1, 'x', partly), clientFrame(0, 'y', { fin: false, rsv: 2 })])
  assert.equal(readFrames(createHollow().take(between)).frames[1]?.rsv, 2)
  const endless = Buffer.concat([Buffer.from([0x82, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0]), Buffer.alloc(10)])
  assert.deepEqual(createHollow().take(endless), endless)
})

test('a long payload leaves nothing but its header, however it is cut', () => {
  const hollow = createHollow()
  const message = clientFrame(2, Buffer.alloc(100_000))
  let size = 0
  for (let at = 0; at < message.length; at += 1_000) size += hollow.take(message.subarray(at, at + 1_000)).length
  assert.equal(size, 6)
})

test('it makes no difference where the bytes are cut (500 conversations from a seed)', () => {
  for (let seed = 1; seed <= 500; seed++) {
    const random = createSeededRandom(seed)
    const frames = Array.from({ length: 1 + random.below(12) }, () => clientFrame(random.pick([0, 1, 2, 8, 9, 10]), Buffer.alloc(random.pick([0, 1, 5, 125, 126, 300]), random.below(256)), { fin: random.below(3) > 0 }))
    const all = Buffer.concat(frames)
    const whole = createHollow().take(all)
    const hollow = createHollow()
    const parts: Buffer[] = []
    for (let at = 0; at < all.length;) {
      const end = Math.min(all.length, at + 1 + random.below(random.pick([2, 20, 400])))
      parts.push(hollow.take(all.subarray(at, end)))
      at = end
    }
    assert.deepEqual(Buffer.concat(parts), whole, `seed ${seed}`)
  }
})
