import assert from 'node:assert/strict'
import { createHash, randomBytes } from 'node:crypto'
import { join } from 'node:path'
import { test, type TestContext } from 'node:test'
import { createSpool } from '../../../src/http/spool.ts'
import { compress } from '../../../src/protocol/lonelyps/zstd.ts'
import { Fault } from '../../../src/transports/lonelyps/socket/fault.ts'
import { unpack, type UnpackParts } from '../../../src/transports/lonelyps/socket/unpack.ts'
import { temporaryFolder } from '../../support/certificates.ts'

const MIB = 1_048_576

function open(t: TestContext, spoolAbove: number, maxWindowBytes = 2 * MIB, room = Infinity) {
  const seen = { booked: 0, most: 0 }
  const parts: UnpackParts = {
    spool: createSpool(join(temporaryFolder(t), 'spool'), 2 ** 40),
    bounds: { spoolAbove, maxSpoolBytes: 2 ** 40, maxWindowBytes },
    dictionaryOf: () => 'none',
    take(bytes) {
      if (seen.booked + bytes > room) return false
      seen.booked += bytes
      seen.most = Math.max(seen.most, seen.booked)
      return true
    },
    give: (bytes) => void (seen.booked -= bytes),
  }
  return { parts, seen }
}

function packed(plain: Buffer, body = compress(plain, 3)) {
  const head = { topic: Buffer.from('a'), compressor: 1, compressedLength: BigInt(body.length), decompressedLength: BigInt(plain.length), sha512: createHash('sha512').update(body).digest() }
  return { head, body }
}

const plain = randomBytes(1_000).toString('hex').repeat(1_500)
const long = Buffer.from(plain)

test('while a message is unpacked, its window is booked, and what of it is in memory', async (t) => {
  for (const [spoolAbove, maxWindow, expected] of [[1_000, 2 * MIB, 2 * MIB], [1_000, 0, long.length], [10 * MIB, 2 * MIB, long.length + 2 * MIB], [10 * MIB, 8 * MIB, 2 * long.length]] as const) {
    const { parts, seen } = open(t, spoolAbove, maxWindow)
    const { large, body, size, sha512 } = await unpack(packed(long), parts)
    large?.letGo()
    assert.deepEqual([seen, size], [{ booked: 0, most: expected }, long.length])
    assert.deepEqual(sha512, createHash('sha512').update(long).digest())
    assert.ok(large !== undefined || body.equals(long))
  }
})

test('where there is no room for that it is refused, and nothing of it is left', (t) => {
  for (const spoolAbove of [1_000, 10 * MIB]) {
    const { parts, seen } = open(t, spoolAbove, 2 * MIB, MIB)
    assert.throws(() => unpack(packed(long), parts), new Fault('too much is on its way'))
    assert.deepEqual([seen.booked, parts.spool.bytes], [0, 0])
  }
})

test('a short message in a long frame is not unpacked on the event loop, and a frame longer than any is not at all', async (t) => {
  const short = Buffer.from('short')
  const frame = Buffer.concat([Buffer.from('28b52ffd0058', 'hex'), Buffer.from([short.length << 3, 0, 0]), short, Buffer.alloc(3 * 20_000), Buffer.from('010000', 'hex')])
  const { parts } = open(t, 10 * MIB)
  const inside = frame.subarray(0, 1_000 * 3 + 14)
  assert.ok(!(unpack(packed(short, Buffer.concat([inside, Buffer.from('010000', 'hex')])), parts) instanceof Promise))
  const large = Buffer.concat([frame, randomBytes(5_524)])
  assert.equal(large.length, 65_541)
  const later = unpack(packed(short, large), parts)
  assert.ok(later instanceof Promise)
  assert.deepEqual((await later).body, short)
  assert.throws(() => unpack(packed(short, Buffer.concat([large, Buffer.of(0)])), parts), /65542 bytes where 5 are compressed/)
})

test('what zstd cannot make shorter is not too long', async (t) => {
  for (const size of [0, 1, 1_000, 100_000, 3 * MIB]) {
    const bytes = randomBytes(size)
    const { body } = await unpack(packed(bytes, compress(bytes, 1)), open(t, 10 * MIB).parts)
    assert.ok(body.equals(bytes))
  }
})
