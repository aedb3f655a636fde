import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { test } from 'node:test'
import { compress, compressLater, decompress } from '../../src/protocol/lonelyps/zstd.ts'
import type { Notify } from '../../src/protocol/lonelyps/stateful/messages.ts'
import { bodyOf } from '../../src/subscriber/publisher.ts'
import { send } from '../../src/subscriber/socket/sending.ts'
import type { Session } from '../../src/subscriber/socket/session.ts'
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
  const fake = await openFakeBroadcaster(t, { pair: options.pair ?? pair })
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

test('a message that zstd makes longer arrives, of whatever size, with a dictionary and without', async (t) => {
  const { feed, line } = await open(t)
  line.say({ type: 'enable_zstd_preset', compressor: 1, ...about })
  line.say({ type: 'enable_zstd_custom', compressor: 65_536, ...about, sha512: sha512(words), body: words })
  for (const size of [0, 1, 40, 65_530, 65_536, 65_537, 200_000]) {
    for (const [compressor, dictionary] of [[1, undefined], [65_536, words]] as const) {
      const plain = randomBytes(size)
      const packed = compress(plain, 3, dictionary)
      assert.ok(packed.length > size)
      line.deliver('a', [packed], { compressor, decompressedLength: BigInt(size) })
      assert.ok((await (await nextOf(feed)).bytes()).equals(plain))
    }
  }
})

test('the level that is announced is used up to 9', async (t) => {
  // A level below zero cannot be signed (section 3.4).
  const { one, line } = await open(t, { pair: ['none', 'none'] })
  const sent = async (plain: Buffer): Promise<Buffer> => {
    const count = one.notify('a', plain)
    const message: Notify = await line.next('notify')
    line.confirmNotify(message, 1, plain)
    await count
    return message.body
  }
  const text = (size: number): Buffer => Buffer.from(Array.from({ length: size }, (_, i) => `${(i * 7919) % 8_191} `).join('').slice(0, size))
  const levels = [[-30_000, -30_000], [3, 3], [9, 9], [10, 9], [22, 9]] as const
  for (const [level, used] of levels) {
    line.say({ type: 'enable_zstd_preset', compressor: 1, ...about, level })
    await heard(line)
    assert.deepEqual(await sent(text(10_000)), compress(text(10_000), used))
    assert.deepEqual(await sent(text(100_000)), await compressLater(text(100_000), used))
    line.say({ type: 'disable_zstd_custom', compressor: 1 })
  }
})

test('bodies above 16 KiB, and all with a dictionary above 128 KiB, are compressed off the event loop', async () => {
  for (const [size, dictionary, isAtOnce] of [[16_384, undefined, true], [16_385, undefined, false], [100, 131_072, true], [100, 131_073, false]] as const) {
    const whole = Buffer.alloc(size, words)
    const compressor = { id: 1, level: 3, dictionary: dictionary === undefined ? undefined : Buffer.alloc(dictionary, words), minSize: 0, maxSize: ALL }
    const asked: Buffer[] = []
    const session = {
      over: new AbortController().signal,
      compressors: { choose: () => compressor },
      prove: () => undefined,
      encode: () => Buffer.alloc(10),
      ask: (_: Buffer, body: Buffer) => asked.push(body),
      room: () => undefined,
    } as unknown as Session
    const message = { topic: words, body: bodyOf(whole), sha512: sha512(whole), identifier: words.subarray(0, 4), confirmed() {} }
    const sent = send(session, message, 1_000_000)
    assert.equal(asked.length, isAtOnce ? 1 : 0)
    await sent
    assert.deepEqual(decompress(asked[0] as Buffer, size, 0, compressor.dictionary), whole)
  }
})

test('dictionaries come and go, but those that waiting messages need are counted, and past 8 MiB the connection ends', async (t) => {
  const { one, feed, line } = await open(t, { bounds: { waiting: 1 } })
  const dictionary = Buffer.alloc(1_048_576, words)
  const about65 = { ...about, sha512: sha512(dictionary), body: dictionary }
  const packed = compress(words, 3, dictionary)
  const turn = (compressor: number): void => {
    line.say({ type: 'enable_zstd_custom', compressor, ...about65 })
    line.deliver('a', [packed], { compressor, decompressedLength: BigInt(words.length) })
    line.say({ type: 'disable_zstd_custom', compressor })
  }
  for (let i = 0; i < 20; i++) {
    turn(65_536 + i)
    assert.ok((await (await nextOf(feed)).bytes()).equals(words))
  }
  for (let i = 0; i < 12; i++) turn(70_000 + i)
  assert.equal((await line.closed).code, 1000)
  const detail = 'dictionaries have more than 8388608 bytes together, with those that are still needed'
  const rejected = (async () => {
    for (;;) await nextOf(feed)
  })()
  await assert.rejects(rejected, { code: 'unreachable', detail })
  assert.deepEqual(one.gauges(), { waiting: 0, bytes: 0, spoolBytes: 0 })
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
