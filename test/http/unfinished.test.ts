import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createUnfinishedWalk } from '../../src/http/unfinished.ts'
import { createChance } from '../simulation/chance.ts'
import { clientFrame } from '../support/raw.ts'

const PIECE = 128

test('however its packets are cut, it is known which message is on its way, and how much of it has come', () => {
  const chance = createChance(1, 'unfinished')
  for (let round = 0; round < 300; round++) {
    const walk = createUnfinishedWalk()
    const messages = Array.from({ length: 6 }, () => message(chance.int(1, 4), () => chance.pick([0, 1, 125, 126, 65_535, 65_536]), () => chance.odds(0.3)))
    const wire = Buffer.concat(messages.map(({ bytes }) => bytes))
    const most = chance.pick([1, 3, 1_000, 65_536, 200_000])
    for (let at = 0; at < wire.length;) {
      const chunk = wire.subarray(at, at + (wire.length > 10_000 && most < 1_000 ? 997 : chance.int(1, most)))
      walk.take(chunk)
      at += chunk.length
      const { index, come, announced } = place(messages, at)
      assert.deepEqual([walk.bytes, walk.bytes > 0 ? walk.number : index + 1, walk.announced], [come, index + 1, announced])
      assert.equal(walk.kept > 0, come > 0)
      assert.ok(walk.kept >= come)
    }
  }
})

interface Sent {
  readonly bytes: Buffer
  /** Where its frames begin, how long their headers are, and what they announce. */
  readonly frames: readonly { readonly from: number; readonly announces: number }[]
}

/** A message in so many fragments, with pings in between. */
function message(count: number, size: () => number, pings: () => boolean): Sent {
  const parts: Buffer[] = []
  const frames: { from: number; announces: number }[] = []
  for (let i = 0; i < count; i++) {
    if (i > 0 && pings()) parts.push(clientFrame(9, 'ping'))
    const from = parts.reduce((sum, { length }) => sum + length, 0)
    const announces = size()
    const bytes = clientFrame(i === 0 ? 2 : 0, Buffer.alloc(announces), { fin: i === count - 1 })
    frames.push({ from: from + bytes.length - announces, announces })
    parts.push(bytes)
  }
  return { bytes: Buffer.concat(parts), frames }
}

function place(messages: readonly Sent[], at: number): { index: number; come: number; announced: number } {
  let [index, before] = [0, 0]
  while (index < messages.length && before + (messages[index] as Sent).bytes.length <= at) before += (messages[index++] as Sent).bytes.length
  const come = at - before
  if (come === 0) return { index: index - 1, come, announced: 0 }
  const { frames } = messages[index] as Sent
  return { index, come, announced: frames.reduce((sum, { from, announces }) => sum + (come >= from ? announces : 0), 0) }
}

test('it costs the packets that hold it, whole, and something for each packet and each fragment', () => {
  const walk = createUnfinishedWalk()
  const before = clientFrame(2, Buffer.alloc(1_000))
  const begun = clientFrame(2, Buffer.alloc(500)).subarray(0, 108)
  walk.take(Buffer.concat([before, begun]))
  assert.equal(walk.kept, before.length + begun.length + 2 * PIECE)
  for (let i = 0; i < 10; i++) walk.take(Buffer.alloc(1))
  assert.equal(walk.kept, before.length + begun.length + 10 + 12 * PIECE)
  walk.take(Buffer.alloc(390))
  assert.equal(walk.kept, 0)
  walk.take(Buffer.concat(Array.from({ length: 50 }, (_, i) => clientFrame(i === 0 ? 2 : 0, 'x', { fin: false }))))
  assert.equal(walk.kept, 50 * 7 + 51 * PIECE)
})

test('a ping alone is a message, too, and one in between ends none', () => {
  const walk = createUnfinishedWalk()
  walk.take(clientFrame(9, 'ping').subarray(0, 7))
  assert.deepEqual([walk.number, walk.bytes], [1, 7])
  walk.take(clientFrame(9, 'ping').subarray(7))
  assert.deepEqual([walk.number, walk.bytes, walk.kept], [1, 0, 0])
  walk.take(clientFrame(2, 'abc', { fin: false }))
  walk.take(clientFrame(9, 'ping'))
  assert.deepEqual([walk.number, walk.bytes, walk.announced], [2, 19, 3])
  walk.take(clientFrame(0, 'd'))
  assert.deepEqual([walk.number, walk.bytes], [2, 0])
})
