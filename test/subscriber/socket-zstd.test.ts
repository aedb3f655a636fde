import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { test } from 'node:test'
import { compress, decompress } from '../../src/protocol/lonelyps/zstd.ts'
import type { Notify } from '../../src/protocol/lonelyps/stateful/messages.ts'
import { acknowledged, openFakeBroadcaster, openSocketSubscriber, sha512, streamOf, type Line } from '../support/lonelyps-broadcaster.ts'
import { nextOf } from '../support/subscriber.ts'

const pair = ['hmac', 'hmac'] as const
const ALL = 2n ** 64n - 1n
const words = Buffer.from('{"kind":"order","customer":"somebody","place":"somewhere","state":"shipped"}')
const about = { level: 3, minSize: 32, maxSize: ALL }

/** Settles when what was said has been taken in. */
async function heard(line: Line): Promise<void> {
  line.deliver('nobody', [Buffer.alloc(0)])
  await line.next('confirm_receive')
}

async function open(t: Parameters<typeof openFakeBroadcaster>[0], options: Parameters<typeof openSocketSubscriber>[2] = {}) {
  const fake = await openFakeBroadcaster(t, { pair })
  const one = await openSocketSubscriber(t, fake, { pair, retries: 1, ...options })
  const feed = one.subscribe('a')
  await feed.ready
  const line = await fake.lines.next()
  await line.next('subscribe_exact')
  return { one, feed, line }
}

test('of the compressors that take a size, that of the least size is chosen, from when it is announced to when it is taken back', async (t) => {
  const { one, line } = await open(t, { websocket: { dictionaries: { 7: { bytes: words, level: 5 } } } })
  const used = async (size: number): Promise<number> => {
    const plain = Buffer.alloc(size, 'state shipped ')
    const count = one.notify('a', plain)
    const message: Notify = await line.next('notify')
    const { compressor, compressedLength, decompressedLength } = message.head
    assert.deepEqual([compressedLength, decompressedLength], [BigInt(message.body.length), BigInt(size)])
    const dictionary = compressor === 7 ? words : compressor === 65_536 ? Buffer.concat([words, words]) : undefined
    assert.deepEqual(compressor === 0 ? message.body : decompress(message.body, size, 0, dictionary), plain)
    line.confirmNotify(message, 1, plain)
    await count
    return compressor
  }
  const using = async (...sizes: number[]): Promise<number[]> => {
    const all: number[] = []
    for (const size of sizes) all.push(await used(size))
    return all
  }
  assert.deepEqual(await using(40, 20_000), [0, 0])
  line.say({ type: 'enable_zstd_preset', compressor: 1, ...about, minSize: 16_384 })
  await heard(line)
  assert.deepEqual(await using(40, 16_383, 16_384, 100_000), [0, 0, 1, 1])
  line.say({ type: 'enable_zstd_custom', compressor: 65_536, ...about, minSize: 32, maxSize: 16_384n, sha512: sha512(Buffer.concat([words, words])), body: Buffer.concat([words, words]) })
  line.say({ type: 'enable_zstd_preset', compressor: 7, ...about, minSize: 20 })
  await heard(line)
  assert.deepEqual(await using(19, 20, 40, 20_000), [0, 7, 7, 7])
  line.say({ type: 'disable_zstd_custom', compressor: 7 })
  await heard(line)
  assert.deepEqual(await using(31, 32, 16_383, 16_384), [0, 65_536, 65_536, 1])
})

test('what is compressed comes as it was: small, in parts, on disk, with dictionaries, and after DISABLE what was sent before it', async (t) => {
  const { feed, line } = await open(t, { spoolAbove: 200_000 })
  line.say({ type: 'enable_zstd_preset', compressor: 1, ...about })
  line.say({ type: 'enable_zstd_custom', compressor: 65_536, ...about, sha512: sha512(words), body: words })
  const sizes = [40, 30_000, 150_000, 3_000_000]
  const plain = sizes.map((size) => Buffer.concat([words, randomBytes(size / 2), Buffer.alloc(size / 2)]))
  let parts = 0
  for (const [compressor, dictionary] of [[1, undefined], [65_536, words]] as const) {
    for (const bytes of plain) {
      const packed = compress(bytes, 3, dictionary)
      const half = Math.ceil(packed.length / 2)
      line.deliver('a', [packed.subarray(0, half), packed.subarray(half)], { compressor, decompressedLength: BigInt(bytes.length) })
      parts += 2
    }
  }
  const whole = compress(words, 3, words)
  line.deliver('a', [whole], { compressor: 65_536, decompressedLength: BigInt(words.length) })
  line.say({ type: 'disable_zstd_custom', compressor: 65_536 })
  for (const bytes of [...plain, ...plain, words]) assert.ok((await (await nextOf(feed)).bytes()).equals(bytes))
  const marks = await acknowledged(line, parts + 1)
  assert.deepEqual(marks, [...Array(parts / 2).fill([0, 'last']).flat(), 'last'])
})

test('a large message is compressed and goes in parts, signed and confirmed as sent', async (t) => {
  const { one, line } = await open(t, { websocket: { maxMessageSize: 20_000 } })
  line.say({ type: 'enable_zstd_preset', compressor: 1, ...about })
  await heard(line)
  const plain = Buffer.concat([randomBytes(100_000), Buffer.alloc(1_000_000)])
  const count = one.notify('a', plain)
  const { parts, bytes } = await streamOf(line)
  assert.ok(parts.length > 5 && bytes.length < 110_000)
  assert.ok(decompress(bytes, plain.length, 0)?.equals(plain))
  line.confirmNotify(parts[0] as never, 2)
  assert.deepEqual(await count, { subscribers: 2 })
})

for (const [what, spoolAbove] of [['in memory', 10_000_000], ['on disk', 1_000]] as const) {
  test(`a bomb ${what} ends the connection and goes no further than what was announced`, async (t) => {
    const { one, feed, line } = await open(t, { spoolAbove, bounds: { spoolBytes: 1_000_000 } })
    line.say({ type: 'enable_zstd_preset', compressor: 1, ...about })
    const packed = compress(Buffer.alloc(50_000_000), 3)
    line.deliver('a', [packed.subarray(0, 100), packed.subarray(100)], { compressor: 1, decompressedLength: 5_000n })
    assert.equal((await line.closed).code, 1000)
    await assert.rejects(feed.next(), { code: 'unreachable', detail: 'a message cannot be decompressed to the announced length' })
    assert.deepEqual(one.gauges(), { waiting: 0, bytes: 0, spoolBytes: 0 })
  })
}

test('what asks to look back further than the limit is refused', async (t) => {
  const { feed, line } = await open(t, { websocket: { maxWindow: 1_048_576 } })
  line.say({ type: 'enable_zstd_preset', compressor: 1, ...about })
  const packed = compress(randomBytes(4_000_000), 10)
  line.deliver('a', [packed], { compressor: 1, decompressedLength: 4_000_000n })
  await assert.rejects(feed.next(), { code: 'unreachable' })
})
