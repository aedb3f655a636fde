import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { test } from 'node:test'
import { draft, type LargeBody, type Message } from '../../../src/core/message.ts'
import { topicFromText } from '../../../src/core/topic.ts'
import { createSpool, type Spool } from '../../../src/http/spool.ts'
import { decompress } from '../../../src/protocol/lonelyps/zstd.ts'
import { createCompressors, createSharedCompression, type Active, type CompressedBytes } from '../../../src/transports/lonelyps/socket/compressors.ts'
import { temporaryFolder } from '../../support/certificates.ts'
import { messages, rawContent, trained, traffic } from '../../support/zstd-vectors.ts'

const UNBOUNDED = 2n ** 64n - 1n
const CUSTOM = { level: 3, minSize: 32, maxSize: 16_384 }
const sha512 = (bytes: Buffer): Buffer => createHash('sha512').update(bytes).digest()
const [one, two, three] = ['one', 'two', 'three'].map((text) => Buffer.from(`the dictionary ${text}`)) as [Buffer, Buffer, Buffer]

function compressors() {
  return createCompressors({ presets: new Map([[2, { bytes: trained, level: 7 }]]) })
}

test('nothing is chosen, and nothing understood, before it is announced', () => {
  const all = compressors()
  for (const size of [0, 32, 20_000]) assert.equal(all.choose(size), undefined)
  for (const id of [0, 1, 2, 65_536]) assert.equal(all.forIncoming(id), undefined)
})

test('the newest that is meant for the size is chosen: least size included, largest not', () => {
  const all = compressors()
  all.announced(1, { level: 3, minSize: 16_384, maxSize: UNBOUNDED })
  all.announced(2, { level: 7, minSize: 32, maxSize: UNBOUNDED })
  const chosen = (): (number | undefined)[] => [31, 32, 16_383, 16_384, 2 ** 40].map((size) => all.choose(size)?.id)
  assert.deepEqual(chosen(), [undefined, 2, 2, 2, 2])
  all.announced(65_536, { ...CUSTOM, dictionary: one })
  assert.deepEqual(chosen(), [undefined, 65_536, 65_536, 2, 2])
  all.announced(65_537, { ...CUSTOM, minSize: 100, dictionary: two })
  assert.deepEqual(chosen(), [undefined, 65_536, 65_537, 2, 2])
  assert.deepEqual([all.choose(32)?.dictionary, all.choose(100)?.dictionary, all.choose(20_000)?.dictionary], [one, two, trained])
  assert.equal(all.choose(20_000)?.level, 7)
})

test('what was announced is understood whatever the size: without a dictionary, a preset, a custom one', () => {
  const all = compressors()
  all.announced(1, { level: 3, minSize: 16_384, maxSize: UNBOUNDED })
  all.announced(2, { level: 7, minSize: 32, maxSize: UNBOUNDED })
  all.announced(65_536, { ...CUSTOM, dictionary: one })
  assert.equal(all.forIncoming(1), 'none')
  assert.deepEqual(all.forIncoming(2), { bytes: trained, level: 7 })
  assert.deepEqual(all.forIncoming(65_536), { bytes: one, level: 3 })
  assert.equal(all.forIncoming(65_537), undefined)
})

test('a retired one is not chosen again, and understood until the next is retired', () => {
  const all = compressors()
  all.announced(65_536, { ...CUSTOM, dictionary: one })
  all.announced(65_537, { ...CUSTOM, dictionary: two })
  all.retired(65_536)
  assert.equal(all.choose(100)?.id, 65_537)
  all.announced(65_538, { ...CUSTOM, dictionary: three })
  assert.deepEqual(all.forIncoming(65_536), { bytes: one, level: 3 })
  all.retired(65_537)
  assert.equal(all.forIncoming(65_536), undefined)
  assert.deepEqual(all.forIncoming(65_537), { bytes: two, level: 3 })
  all.retired(65_538)
  assert.equal(all.choose(100), undefined)
  assert.deepEqual([all.forIncoming(65_537), all.forIncoming(65_538)], [undefined, { bytes: three, level: 3 }])
})

test('a mistake of ours is an error: an id twice, an unknown preset, a custom one without a dictionary', () => {
  const all = compressors()
  all.announced(65_536, { ...CUSTOM, dictionary: one })
  assert.throws(() => all.announced(65_536, { ...CUSTOM, dictionary: two }), RangeError)
  assert.throws(() => all.announced(3, CUSTOM), RangeError)
  assert.throws(() => all.announced(65_537, CUSTOM), RangeError)
  all.retired(65_540)
  assert.equal(all.choose(100)?.id, 65_536)
})

const plain: Active = { id: 1, dictionary: undefined, level: 3 }
const preset: Active = { id: 2, dictionary: rawContent, level: 3 }
const custom: Active = { id: 65_536, dictionary: rawContent, level: 3 }

let offset = 0
function message(body: Buffer, large?: LargeBody): Message {
  const topic = topicFromText('a/topic')
  return { ...draft(topic, body), ...(large === undefined ? {} : { large }), offset: ++offset, epoch: 'e', time: 0 }
}

const noSpool: Spool = { bytes: 0, create: () => Promise.reject(new Error('nothing is to be spooled')) }
const next = traffic(20).json

test('a small message is compressed at once, and once for all who share it', () => {
  const shared = createSharedCompression(noSpool)
  const sent = message(next())
  const first = shared.compressed(sent, preset) as CompressedBytes
  assert.equal(shared.compressed(sent, { ...preset }), first)
  assert.deepEqual(decompress(first.bytes, sent.body.length, 0, rawContent), sent.body)
  assert.deepEqual([first.size, first.sha512], [first.bytes.length, sha512(first.bytes)])
})

test('other compressors, levels and messages have results of their own', () => {
  const shared = createSharedCompression(noSpool)
  const sent = message(next())
  const results = [plain, preset, { ...preset, level: 9 }, { ...preset, id: 3, dictionary: trained }].map((active) => shared.compressed(sent, active) as CompressedBytes)
  assert.equal(new Set(results).size, 4)
  assert.deepEqual(decompress(results[3]!.bytes, sent.body.length, 0, trained), sent.body)
  assert.notEqual(shared.compressed(message(sent.body), preset), results[1])
})

test('what only one connection can read is not kept with the message', () => {
  const shared = createSharedCompression(noSpool)
  const sent = message(next())
  const first = shared.compressed(sent, custom) as CompressedBytes
  const other = shared.compressed(sent, { ...custom, dictionary: trained }) as CompressedBytes
  assert.deepEqual(decompress(first.bytes, sent.body.length, 0, rawContent), sent.body)
  assert.deepEqual(decompress(other.bytes, sent.body.length, 0, trained), sent.body)
  assert.notEqual(shared.compressed(sent, custom), first)
})

test('up to 16 KiB at once, above off the event loop, with one promise for all', async () => {
  const shared = createSharedCompression(noSpool)
  const body = Buffer.concat(messages(next, 20_000))
  assert.ok(!(shared.compressed(message(body.subarray(0, 16_384)), plain) instanceof Promise))
  const sent = message(body.subarray(0, 16_385))
  const later = shared.compressed(sent, plain)
  assert.ok(later instanceof Promise)
  assert.equal(shared.compressed(sent, plain), later)
  const done = await later as CompressedBytes
  assert.deepEqual(decompress(done.bytes, 16_385, 0), sent.body)
  assert.deepEqual(done.sha512, sha512(done.bytes))
  assert.equal(shared.compressed(sent, plain), done)
})

async function spooled(spool: Spool, bytes: Buffer): Promise<LargeBody> {
  const file = await spool.create()
  await file.write(bytes)
  return file.finish()
}

async function contentOf(body: LargeBody): Promise<Buffer> {
  const pieces: Buffer[] = []
  for await (const piece of body.read()) pieces.push(Buffer.from(piece))
  return Buffer.concat(pieces)
}

const huge = Buffer.concat(messages(next, 1_000_000))

test('a message on disk is compressed onto disk, once for all, and freed when the last lets go', async (t) => {
  const spool = createSpool(temporaryFolder(t), 10_000_000)
  const body = await spooled(spool, huge)
  const shared = createSharedCompression(spool)
  const sent = message(Buffer.alloc(0), body)
  const [first, second] = await Promise.all([shared.compressed(sent, plain), shared.compressed(sent, plain)])
  assert.ok(first.large !== undefined && first === second)
  assert.equal(spool.bytes, huge.length + first.size)
  const frame = await contentOf(first.large)
  assert.deepEqual([frame.length, sha512(frame)], [first.size, first.sha512])
  assert.ok(decompress(frame, huge.length, 0)?.equals(huge))
  first.large.letGo()
  const third = await shared.compressed(sent, plain)
  assert.equal(third, first)
  third.large?.hold()
  for (let i = 0; i < 3; i++) {
    assert.equal(spool.bytes, huge.length + first.size)
    first.large.letGo()
  }
  assert.equal(spool.bytes, huge.length)
  const again = await shared.compressed(sent, plain)
  assert.notEqual(again, first)
  again.large?.letGo()
  body.letGo()
  assert.equal(spool.bytes, 0)
})

test('the message on disk stays as long as it is being compressed', async (t) => {
  const spool = createSpool(temporaryFolder(t), 10_000_000)
  const body = await spooled(spool, huge)
  const making = createSharedCompression(spool).compressed(message(Buffer.alloc(0), body), custom)
  body.letGo()
  const { large, size } = await making
  assert.ok(large !== undefined)
  assert.equal(spool.bytes, size)
  large.letGo()
  assert.equal(spool.bytes, 0)
})

test('a disk that is full refuses everyone who waits, leaves nothing, and is tried again', async (t) => {
  const spool = createSpool(temporaryFolder(t), huge.length + 600_000)
  const filler = await spooled(spool, Buffer.alloc(550_000))
  const body = await spooled(spool, huge)
  const shared = createSharedCompression(spool)
  const sent = message(Buffer.alloc(0), body)
  const tries = await Promise.allSettled([shared.compressed(sent, plain), shared.compressed(sent, plain)])
  for (const { status } of tries) assert.equal(status, 'rejected')
  assert.equal(spool.bytes, huge.length + 550_000)
  filler.letGo()
  const again = await shared.compressed(sent, plain)
  again.large?.letGo()
  body.letGo()
  assert.equal(spool.bytes, 0)
})
