import assert from 'node:assert/strict'
import { once } from 'node:events'
import { test } from 'node:test'
import { constants, zstdCompressSync } from 'node:zlib'
import { compress, compressing, compressLater, decompress, decompressing, decompressLater } from '../../../src/protocol/lonelyps/zstd.ts'
import { rawContent, trained, zstdCases } from '../../support/zstd-vectors.ts'

const LIMIT = 8_388_608
const hello = Buffer.from('hello')
const frame = compress(hello, 3)
const other = compress(Buffer.from('world'), 3)

async function through(stream: ReturnType<typeof compressing>, chunks: readonly Buffer[]): Promise<Buffer> {
  const all: Buffer[] = []
  stream.on('data', (chunk: Buffer) => all.push(chunk))
  const ended = once(stream, 'end')
  for (const chunk of chunks) stream.write(chunk)
  stream.end()
  await ended
  return Buffer.concat(all)
}

const single = (bytes: Buffer): Buffer[] => [...bytes].map((byte) => Buffer.from([byte]))

test('there are vectors of every kind', () => {
  assert.equal(zstdCases.length, 5)
})

for (const { description, dictionary, plain, frame: expected } of zstdCases) {
  test(`the frame of the vectors comes out, at once, later and as a stream: ${description}`, async () => {
    assert.deepEqual(compress(plain, 3, dictionary), expected)
    assert.deepEqual(await compressLater(plain, 3, dictionary), expected)
    assert.deepEqual(await through(compressing(3, dictionary, plain.length), [plain.subarray(0, 7), plain.subarray(7)]), expected)
    assert.deepEqual(decompress(await through(compressing(3, dictionary), [plain]), plain.length, LIMIT, dictionary), plain)
  })

  test(`the frame of the vectors is read, at once, later and as a stream: ${description}`, async () => {
    assert.deepEqual(decompress(expected, plain.length, LIMIT, dictionary), plain)
    assert.deepEqual(await decompressLater(expected, plain.length, LIMIT, dictionary), plain)
    assert.deepEqual(await through(decompressing(LIMIT, dictionary), single(expected)), plain)
  })
}

const damagedDictionary = Buffer.concat([trained.subarray(0, 8), Buffer.alloc(100, 0xff)])
const jsonCase = zstdCases[0]!
const refused: [string, Buffer, number, Buffer?][] = [
  ['nothing', Buffer.alloc(0), 0],
  ['nothing, said to be five bytes', Buffer.alloc(0), 5],
  ['a frame that holds more', frame, 4],
  ['a frame that holds something where nothing is announced', frame, 0],
  ['a frame that holds less', frame, 6],
  ['an empty frame that is said to hold a byte', compress(Buffer.alloc(0), 3), 1],
  ['a frame without its last byte', frame.subarray(0, -1), 5],
  ['only the magic', frame.subarray(0, 4), 5],
  ['garbage', Buffer.from('what is this'), 5],
  ['a skippable frame in front', Buffer.concat([Buffer.from('502a4d1803000000616263', 'hex'), frame]), 5],
  ['a block of the reserved type', Buffer.from('28b52ffd00580700000000', 'hex'), 5],
  ['two frames, both announced', Buffer.concat([frame, other]), 10],
  ['a frame that needs a dictionary, without one', jsonCase.frame, jsonCase.plain.length],
  ['a frame that needs another dictionary', jsonCase.frame, jsonCase.plain.length, trained.subarray(1)],
  ['a damaged dictionary', frame, 5, damagedDictionary],
  ['a size that is none', frame, Number.NaN],
  ['a negative size', frame, -1],
]
for (const [what, bytes, size, dictionary] of refused) {
  test(`undefined, and nothing thrown, for ${what}`, async () => {
    assert.equal(decompress(bytes, size, LIMIT, dictionary), undefined)
    assert.equal(await decompressLater(bytes, size, LIMIT, dictionary), undefined)
  })
}

test('a stream makes one frame and not an empty one more, however its chunks come', async () => {
  const plain = Buffer.alloc(20_000, 65)
  const whole = compress(plain, 3)
  for (const count of [1, 2, 3, 10]) {
    const step = plain.length / count
    const chunks = Array.from({ length: count }, (_, i) => plain.subarray(Math.floor(i * step), Math.floor((i + 1) * step)))
    assert.deepEqual(await through(compressing(3, undefined, plain.length), chunks), whole)
  }
  assert.deepEqual(await through(compressing(3), []), compress(Buffer.alloc(0), 3))
})

test('an empty message is a frame, and comes back', async () => {
  const nothing = compress(Buffer.alloc(0), 3)
  assert.equal(decompress(nothing, 0, LIMIT)?.length, 0)
  assert.equal((await decompressLater(nothing, 0, LIMIT))?.length, 0)
})

test('what stands behind the first frame is not read: another frame, or anything', async () => {
  for (const behind of [other, Buffer.from('anything'), Buffer.alloc(3)]) {
    const bytes = Buffer.concat([frame, behind])
    assert.deepEqual(decompress(bytes, 5, LIMIT), hello)
    assert.deepEqual(await decompressLater(bytes, 5, LIMIT), hello)
    for (const chunks of [[bytes], [frame, behind], single(bytes)]) assert.deepEqual(await through(decompressing(LIMIT), chunks), hello)
  }
})

test('frames with content size and checksum, which peers may send, are read up to their end', () => {
  const plain = Buffer.alloc(70_000, 'abcdefg')
  for (const size of [5, 300, 70_000]) {
    const params = { [constants.ZSTD_c_checksumFlag]: 1, [constants.ZSTD_c_contentSizeFlag]: 1 }
    const full = zstdCompressSync(plain.subarray(0, size), { params, pledgedSrcSize: size })
    assert.deepEqual(decompress(Buffer.concat([full, other]), size, LIMIT), plain.subarray(0, size))
    assert.equal(decompress(full.subarray(0, -1), size, LIMIT), undefined)
  }
})

test('a block that repeats one byte is a byte long', () => {
  const run = Buffer.from('28b52ffd0058431f0061', 'hex')
  assert.deepEqual(decompress(Buffer.concat([run, other]), 1_000, LIMIT), Buffer.alloc(1_000, 'a'))
})

const BOMB_SIZE = 268_435_456
const bomb = compress(Buffer.alloc(BOMB_SIZE), 3)

test('a bomb of 256 MiB that announces 5 bytes costs neither memory nor time', async () => {
  decompress(bomb, 5, LIMIT)
  const before = process.memoryUsage().rss
  const spent = process.cpuUsage()
  for (let i = 0; i < 20; i++) assert.equal(decompress(bomb, 5, LIMIT), undefined)
  assert.equal(await decompressLater(bomb, 5, LIMIT), undefined)
  assert.ok(process.cpuUsage(spent).user < 400_000, 'twenty bombs took 20 ms of work each')
  assert.ok(process.memoryUsage().rss - before < BOMB_SIZE / 8, 'the bomb went off')
})

test('five bytes that are announced as 16 GiB take no such memory', async () => {
  const before = process.memoryUsage()
  for (let i = 0; i < 20; i++) assert.equal(decompress(frame, 2 ** 34, LIMIT), undefined)
  assert.equal(await decompressLater(frame, 2 ** 34, LIMIT), undefined)
  assert.ok(process.memoryUsage().arrayBuffers - before.arrayBuffers < 33_554_432)
  assert.ok(process.memoryUsage().rss - before.rss < 67_108_864)
})

const wide = zstdCompressSync(Buffer.alloc(20_000_000, 'abcdefghijk'), { params: { [constants.ZSTD_c_windowLog]: 24, [constants.ZSTD_c_contentSizeFlag]: 0 } })

test('a window above the limit is refused, and read where the limit allows it or there is none', async () => {
  for (const [limit, length] of [[LIMIT, undefined], [16_777_215, undefined], [16_777_216, 20_000_000], [0, 20_000_000]] as const) {
    assert.equal(decompress(wide, 20_000_000, limit)?.length, length)
    assert.equal((await decompressLater(wide, 20_000_000, limit))?.length, length)
  }
  await assert.rejects(through(decompressing(LIMIT), [wide]))
  assert.equal((await through(decompressing(16_777_216), [wide])).length, 20_000_000)
})

test('a tiny or huge window limit is a limit all the same', () => {
  assert.equal(decompress(wide, 20_000_000, 1), undefined)
  for (const limit of [1, 1_000, 2 ** 40]) assert.deepEqual(decompress(frame, 5, limit), hello)
})

test('a stream that is no frame, is cut off, is empty, or lacks its dictionary ends with an error', async () => {
  for (const bytes of [Buffer.from('what is this'), frame.subarray(0, -1), Buffer.alloc(0), jsonCase.frame]) {
    await assert.rejects(through(decompressing(LIMIT), bytes.length === 0 ? [] : [bytes]))
    await assert.rejects(through(decompressing(LIMIT), single(bytes)))
  }
})

test('a bomb that is streamed comes piece by piece, and stops where its reader does', async () => {
  const stream = decompressing(LIMIT)
  stream.end(bomb)
  let size = 0
  for await (const piece of stream) {
    size += (piece as Buffer).length
    assert.ok((piece as Buffer).length <= 1_048_576)
    if (size > 1_000_000) break
  }
  assert.ok(stream.destroyed)
  assert.ok(size < 3_000_000)
})

test('twenty MB go through compressing and decompressing unchanged, with a dictionary and odd chunks', async () => {
  const plain = Buffer.alloc(20_000_000)
  for (let i = 0; i < plain.length; i += 4) plain.writeUInt32LE((i * i) >>> 9, i)
  const parts = Array.from({ length: 21 }, (_, i) => plain.subarray(i * 999_983, (i + 1) * 999_983))
  const packed = await through(compressing(3, rawContent), parts)
  const chunks = Array.from({ length: Math.ceil(packed.length / 65_521) }, (_, i) => packed.subarray(i * 65_521, (i + 1) * 65_521))
  assert.ok((await through(decompressing(LIMIT, rawContent), chunks)).equals(plain))
  assert.ok((await decompressLater(packed, plain.length, LIMIT, rawContent))?.equals(plain))
})

/** A frame of so many blocks that each hold these bytes as they are. */
function blocks(count: number, each: Buffer): Buffer {
  const header = (isLast: number): Buffer => Buffer.from([(each.length << 3) | isLast, each.length >> 5, each.length >> 13])
  const block = Buffer.concat([header(0), each])
  return Buffer.concat([Buffer.from('28b52ffd0058', 'hex'), ...Array.from({ length: count - 1 }, () => block), header(1), each])
}

test('a frame of very many blocks is read piece by piece, and judged as any other', async () => {
  const each = Buffer.from('0123456789')
  const frame = blocks(60_000, each)
  const plain = Buffer.concat(Array.from({ length: 60_000 }, () => each))
  assert.ok(frame.length > 5 * 131_072)
  const read = (bytes: Buffer, size = plain.length): Promise<Buffer | undefined> => decompressLater(bytes, size, LIMIT)
  assert.ok((await read(frame))?.equals(plain))
  assert.ok((await read(Buffer.concat([frame, frame])))?.equals(plain))
  assert.ok(decompress(frame, plain.length, LIMIT)?.equals(plain))
  for (const wrong of [read(frame, plain.length - 1), read(frame, plain.length + 1), read(frame, 5), read(frame.subarray(0, -1)), read(frame.fill(0xff, 400_000, 400_010))]) assert.equal(await wrong, undefined)
})

test('to read a frame of millions of empty blocks later takes next to no time of the event loop at once', async () => {
  const frame = blocks(3_000_000, Buffer.alloc(0))
  let atOnce = performance.now()
  assert.equal(decompress(frame, 1, LIMIT), undefined)
  atOnce = performance.now() - atOnce
  let least = Infinity
  for (let i = 0; i < 3; i++) {
    const start = performance.now()
    const later = decompressLater(frame, 1, LIMIT)
    least = Math.min(least, performance.now() - start)
    assert.equal(await later, undefined)
  }
  assert.ok(least < atOnce / 4, `${least} ms, where all of it takes ${atOnce} ms`)
})
