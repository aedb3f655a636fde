import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'
import { EtfError } from '../../../src/protocol/etf/term.ts'
import { readFromGiver } from '../../../src/protocol/pony-express/from-giver.ts'
import { keepaliveFrame, readFromTaker, subscribeFrame } from '../../../src/protocol/pony-express/from-taker.ts'
import type { FromGiver, RemoteMessage, Wish } from '../../../src/protocol/pony-express/messages.ts'
import { extendedFrame, messageNames, messageSize, pubsubBinarySize, pubsubSize, writeMessage, writePubsub, writePubsubBinary } from '../../../src/protocol/pony-express/to-taker.ts'
import { frameOf, packets, payloadOf, sessionPackets } from './vectors.ts'

const hex = (text: string): Buffer => Buffer.from(text.replaceAll(/\s/g, ''), 'hex')
const takerBounds = { maxBytes: 100_000, maxTopics: 100 }
const giverBounds = { maxBytes: 100_000, maxTopics: 100, maxDepth: 100 }
const fromTaker = (frame: Buffer) => readFromTaker(payloadOf(frame), takerBounds)
const fromGiver = (frame: Buffer) => readFromGiver(payloadOf(frame), giverBounds)

function pubsubFrame(term: Buffer): Buffer {
  const frame = Buffer.alloc(pubsubSize(term))
  assert.equal(writePubsub(term, frame, 0), frame.length)
  return frame
}

function pubsubBinaryFrame(body: Buffer): Buffer {
  const frame = Buffer.alloc(pubsubBinarySize(body))
  assert.equal(writePubsubBinary(body, frame, 0), frame.length)
  return frame
}

function messageFrame(message: RemoteMessage): Buffer {
  const parts = { ...message, names: messageNames(message.topic, message.contentType) }
  const size = messageSize(parts)
  const frame = Buffer.alloc(size)
  assert.equal(writeMessage(parts, size, frame, 0), size)
  return frame
}

/** Bytes before the broadcast in `{:pubsub, _}`, its own payload's 131 included. */
const PUBSUB_HEAD = { utf8: 11, latin1: 12 }

for (const packet of [...packets, ...sessionPackets]) {
  for (const form of ['utf8', 'latin1'] as const) {
    const frame = frameOf(packet, form)
    if (frame === undefined) continue
    test(`the vector ${packet.name} is read as it stands (${form} atoms)`, () => {
      const sum = form === 'utf8' ? packet.hex_sha256 : packet.hex_latin1_atoms_sha256
      if (sum !== undefined) assert.equal(createHash('sha256').update(frame).digest('hex'), sum)
      if (packet.term.atom === 'keepalive') {
        assert.deepEqual(fromTaker(frame), { kind: 'keepalive' })
        return assert.equal(fromGiver(frame), undefined)
      }
      const [name, argument] = packet.term.tuple ?? []
      if (name?.atom === 'subscribe') {
        const topic = hex(argument?.binary ?? 'no topic')
        return assert.deepEqual(fromTaker(frame), { kind: 'subscribe', topic, wish: undefined })
      }
      // Those of a session are OTP 25's, whatever the field is called.
      const head = PUBSUB_HEAD[frame[11] === 100 ? 'latin1' : 'utf8']
      assert.deepEqual(fromGiver(frame), { kind: 'pubsub', term: Buffer.concat([hex('83'), payloadOf(frame).subarray(head)]) })
    })
  }
  const written = frameOf(packet, 'utf8')
  if (written === undefined || packet.from !== undefined) continue
  test(`the vector ${packet.name} is what is written`, () => {
    const [name, argument] = packet.term.tuple ?? []
    if (name === undefined) return assert.deepEqual(keepaliveFrame, written)
    if (name.atom === 'subscribe') return assert.deepEqual(subscribeFrame(hex(argument?.binary ?? 'no topic')), written)
    assert.deepEqual(pubsubFrame((fromGiver(written) as { term: Buffer }).term), written)
    if (argument?.binary !== undefined) assert.deepEqual(pubsubBinaryFrame(hex(argument.binary)), written)
  })
}

const wish: Wish = { hub: '3f9a', topics: [Buffer.from('prices'), hex('ff00')], patterns: ['news/*'], after: { epoch: '7b21', offset: 41 } }

test('a wish comes back as it was, whatever it leaves out, and the term before it stays the same', () => {
  const wishes: Wish[] = [wish, { ...wish, after: undefined }, { ...wish, topics: [] }, { ...wish, patterns: [] }, { ...wish, hub: '', after: { epoch: '', offset: 0 } }]
  for (const offset of [255, 256, 2 ** 31 - 1, 2 ** 31, 2 ** 32, 2 ** 48, 2 ** 53 - 1]) wishes.push({ ...wish, after: { epoch: 'e', offset } })
  for (const one of wishes) {
    const frame = subscribeFrame(Buffer.from('prices'), one)
    assert.equal(frame.readUInt32BE(4), frame.length - 8)
    assert.deepEqual(fromTaker(frame), { kind: 'subscribe', topic: Buffer.from('prices'), wish: one })
    const bare = payloadOf(subscribeFrame(Buffer.from('prices')))
    assert.deepEqual(payloadOf(frame).subarray(0, bare.length), bare)
  }
})

test('bytes behind a subscription that are no wish of this version are ignored, as PonyExpress ignores them', () => {
  const plain = payloadOf(subscribeFrame(Buffer.from('t')))
  const head = '83 68 06 77 0a 77617973746174696f6e'
  for (const behind of ['00', '83', 'ff ff', '83 61 01', '83 77 0a 77617973746174696f6e', '83 68 06 77 0a 776179737461746972', head, `${head} 61`, `${head} 61 02`, `${head} 61 02 6d 00000000`, `${head} 62 00000001`, '83 68 05 77 0a 77617973746174696f6e 61 01']) {
    assert.deepEqual(readFromTaker(Buffer.concat([plain, hex(behind)]), takerBounds), { kind: 'subscribe', topic: Buffer.from('t'), wish: undefined }, behind)
  }
})

test('a wish that is broken is refused at whatever place it is cut', () => {
  const whole = payloadOf(subscribeFrame(Buffer.from('t'), wish))
  const version = payloadOf(subscribeFrame(Buffer.from('t'))).length + 15
  for (let end = version + 2; end < whole.length; end++) {
    assert.throws(() => readFromTaker(whole.subarray(0, end), takerBounds), EtfError, `cut at ${end} of ${whole.length}`)
  }
  for (const [what, from, to] of [
    ['an atom for the hub', '6d 00000004 33663961', '77 04 33663961'],
    ['no UTF-8 in a glob', '6e6577732f2a', '6e6577732fff'],
    ['an offset below 0', '61 29 ', '62 ffffffff'],
    ['nothing known for a place', '68 02 6d 00000004 37623231 61 29', '77 02 6f6b'],
    ['a triple for a place', '68 02 6d 00000004 37623231 61 29', '68 03 6d 00000004 37623231 61 29 61 01'],
    ['a list that has no end', '6e6577732f2a 6a', '6e6577732f2a 61 01'],
  ] as const) {
    const text = whole.toString('hex')
    const changed = text.replace(hex(from).toString('hex'), hex(to).toString('hex'))
    assert.notEqual(changed, text, what)
    assert.throws(() => readFromTaker(hex(changed), takerBounds), EtfError, what)
  }
})

test('a wish for more topics and patterns than there may be is told from a broken one', () => {
  const topics = Array.from({ length: 3 }, (_, i) => Buffer.from(`t${i}`))
  const read = (maxTopics: number) => readFromTaker(payloadOf(subscribeFrame(Buffer.from('t'), { ...wish, topics })), { maxBytes: 1_000, maxTopics })
  assert.equal(read(4).kind, 'subscribe')
  assert.equal(read(3).kind, 'too_many_topics')
  assert.equal(read(2).kind, 'too_many_topics')
})

test('whatever else a taker sends is refused', () => {
  for (const [what, payload] of [
    ['nothing', ''],
    ['131 alone', '83'],
    ['another version', '82 77 09 6b656570616c697665'],
    ['an atom that is not known', '83 77 0e 7a7a5f6e6f745f7965745f393134'],
    ['the atom nil', '83 77 03 6e696c'],
    ['a broadcast', '83 68 02 77 06 707562737562 61 01'],
    ['a subscription to nil', '83 68 02 77 09 737562736372696265 77 03 6e696c'],
    ['a subscription to an atom', '83 68 02 77 09 737562736372696265 77 01 74'],
    ['a subscription to a charlist', '83 68 02 77 09 737562736372696265 6b 0001 74'],
    ['a subscription to bits', '83 68 02 77 09 737562736372696265 4d 00000001 07 74'],
    ['three elements', '83 68 03 77 09 737562736372696265 6d 00000001 74 6d 00000001 74'],
    ['one element', '83 68 01 77 09 737562736372696265'],
    ['a list', '83 6c 00000002 77 09 737562736372696265 6d 00000001 74 6a'],
    ['a topic that is cut off', '83 68 02 77 09 737562736372696265 6d 00000002 74'],
    ['a topic of 4 GiB', '83 68 02 77 09 737562736372696265 6d ffffffff 74'],
    ['a function', '83 71 77 05 6c69737473 77 03 6d6170 61 02'],
    ['131 twice', '83 83 68 02 77 09 737562736372696265 6d 00000001 74'],
    ['a compressed nothing', '83 50 00000000'],
  ] as const) assert.throws(() => readFromTaker(hex(payload), takerBounds), EtfError, what)
})

test('a large tuple and either set of signs are read, too', () => {
  for (const payload of [
    '83 69 00000002 77 09 737562736372696265 6d 00000001 74',
    '83 68 02 76 0009 737562736372696265 6d 00000001 74',
    '83 68 02 73 09 737562736372696265 6d 00000001 74',
    '83 68 02 64 0009 737562736372696265 6d 00000001 74',
  ]) assert.deepEqual(readFromTaker(hex(payload), takerBounds), { kind: 'subscribe', topic: Buffer.from('t'), wish: undefined })
})

const message: RemoteMessage = { kind: 'message', offset: 42, topic: Buffer.from('news/eu'), contentType: 'text/plain', time: 1_760_000_000_123, via: [], body: Buffer.from('hello') }
const said: readonly FromGiver[] = [
  { kind: 'ready', at: { epoch: '7b21', offset: 41 }, hub: '7b21' },
  message,
  { ...message, kind: 'message', offset: 2 ** 40, topic: hex('ff00'), via: ['3f9a', 'cn:edge'], body: Buffer.alloc(0) },
  { ...message, kind: 'message', contentType: '', time: 0, via: ['räume'] },
  { kind: 'gap', to: { epoch: '7b21', offset: 50 }, topics: [hex('ff')], patterns: ['news/*', '**'], via: [] },
  { kind: 'gap', to: { epoch: '7b21', offset: 50 }, topics: [], patterns: [], via: [] },
  { kind: 'alive', at: { epoch: '7b21', offset: 300 } },
  { kind: 'refused', why: 'forbidden' },
]

test('what two Waystations say comes back as it was', () => {
  for (const one of said) {
    const frame = one.kind === 'message' ? messageFrame(one) : extendedFrame(one as Exclude<typeof one, { kind: 'pubsub' }>)
    assert.equal(frame.readUInt32BE(4), frame.length - 8)
    assert.deepEqual(fromGiver(frame), one)
    for (let end = 0; end < frame.length - 8; end++) assert.throws(() => readFromGiver(payloadOf(frame).subarray(0, end), giverBounds), EtfError)
  }
})

test('a topic that is written as a text is the same as its bytes', () => {
  assert.deepEqual(messageFrame({ ...message, topic: Buffer.from('räume') }), (() => {
    const parts = { ...message, names: messageNames('räume', message.contentType) }
    const frame = Buffer.alloc(messageSize(parts))
    writeMessage(parts, frame.length, frame, 0)
    return frame
  })())
})

test('a broadcast comes out uncompressed, with its 131 before it and nothing behind', () => {
  assert.deepEqual(readFromGiver(hex('8368026400067075627375626101 0909'), giverBounds), { kind: 'pubsub', term: hex('83 61 01') })
  const compressed = readFromGiver(hex('835000000074789ccb604a61602b284d2a2e4dca6560604849a4030000445b2a1b'), giverBounds)
  assert.deepEqual(compressed, { kind: 'pubsub', term: Buffer.concat([hex('83 6d 00000064'), Buffer.alloc(100, 'a')]) })
})

test('a broadcast that says it inflates to more than the bound is refused', () => {
  const compressed = hex('835000000074789ccb604a61602b284d2a2e4dca6560604849a4030000445b2a1b')
  assert.throws(() => readFromGiver(compressed, { ...giverBounds, maxBytes: 100 }), EtfError)
})

test('the nesting of a broadcast is bounded', () => {
  const nested = (depth: number) => Buffer.concat([hex('83 68 02 77 06 707562737562'), Buffer.alloc(2 * depth, hex('68 01')), hex('6a')])
  assert.equal(readFromGiver(nested(90), giverBounds)?.kind, 'pubsub')
  assert.throws(() => readFromGiver(nested(200), giverBounds), EtfError)
})

test('what no giver may send is refused', () => {
  for (const [what, payload] of [
    ['nothing', ''],
    ['a subscription', '83 68 02 77 09 737562736372696265 6d 00000001 74'],
    ['an error', '83 68 02 77 05 6572726f72 77 07 74696d656f7574'],
    ['another atom', '83 77 04 70696e67'],
    ['a function in a broadcast', '83 68 02 77 06 707562737562 71 77 05 6c69737473 77 03 6d6170 61 02'],
    ['a broadcast that is cut off', '83 68 02 77 06 707562737562 6d 00000005 61'],
    ['an atom that is no text', '83 68 02 77 06 707562737562 77 01 ff'],
    ['a message that lacks an element', '83 68 06 77 07 6d657373616765 61 01 6d 00000000 6d 00000000 61 00 6a'],
    ['more hubs than any way has', `83 68 07 77 07 6d657373616765 61 01 6d 00000000 6d 00000000 61 00 6c 00000101 ${'6d 00000000 '.repeat(257)} 6a 6d 00000000`],
  ] as const) assert.throws(() => readFromGiver(hex(payload), giverBounds), EtfError, what)
  const gap = payloadOf(extendedFrame({ kind: 'gap', to: { epoch: 'e', offset: 1 }, topics: [hex('61'), hex('62')], patterns: [], via: [] }))
  assert.throws(() => readFromGiver(gap, { ...giverBounds, maxTopics: 1 }), EtfError)
})

test('a body that says that it is a term is checked as a broadcast is', () => {
  const term: RemoteMessage = { ...message, contentType: 'application/x-erlang-term' }
  assert.deepEqual(fromGiver(messageFrame({ ...term, body: hex('83 77 04 6e657721') })), { ...term, body: hex('83 77 04 6e657721') })
  for (const body of ['', '83', '61 01', '83 61 01 00', '83 71 77 05 6c69737473 77 03 6d6170 61 02', '83 50 00000003 789c4b648c0400014900c5']) {
    assert.throws(() => fromGiver(messageFrame({ ...term, body: hex(body) })), EtfError, body)
  }
})

test('any atom may stand in a broadcast', () => {
  assert.deepEqual(fromGiver(hex('07440745 00000000 83 68 02 77 06 707562737562 77 04 6e657721')), { kind: 'pubsub', term: hex('83 77 04 6e657721') })
})

test('the body of a message holds on to no payload that is much larger', () => {
  const chunk = Buffer.alloc(100_000)
  const frame = messageFrame(message)
  frame.copy(chunk, 500)
  const read = readFromGiver(chunk.subarray(508, 500 + frame.length), giverBounds)
  assert.ok(read?.kind === 'message')
  assert.notEqual(read.body.buffer, chunk.buffer)
  const large = messageFrame({ ...message, body: Buffer.alloc(50_000) })
  const whole = readFromGiver(payloadOf(large), giverBounds)
  assert.ok(whole?.kind === 'message')
  assert.equal(whole.body.buffer, large.buffer)
})

test('the worked bytes of the documentation are what is written', () => {
  const text = readFileSync(new URL('../../../docs/protocols/pony-express.md', import.meta.url), 'utf8')
  const block = /```hex\n([^`]*)```/.exec(text.slice(text.indexOf('## Between two Waystations')))?.[1] ?? ''
  const worked = new Map(block.trim().split(/\n(?=\S)/).map((entry) => [/^\w+/.exec(entry)?.[0] ?? '', hex(entry.replace(/^\w+/, ''))]))
  assert.deepEqual(Object.fromEntries(worked), {
    subscribe: subscribeFrame(Buffer.from('prices'), { hub: '3f9a', topics: [Buffer.from('prices')], patterns: ['news/*'], after: { epoch: '7b21', offset: 41 } }),
    ready: extendedFrame({ kind: 'ready', at: { epoch: '7b21', offset: 41 }, hub: '7b21' }),
    message: messageFrame(message),
    gap: extendedFrame({ kind: 'gap', to: { epoch: '7b21', offset: 50 }, topics: [], patterns: ['news/*'], via: [] }),
    alive: extendedFrame({ kind: 'alive', at: { epoch: '7b21', offset: 300 } }),
    refused: extendedFrame({ kind: 'refused', why: 'forbidden' }),
  })
})

test('the name of a hub, a content type and a reason have bounds: whoever hears them keeps them', () => {
  const [name, type] = ['n'.repeat(1_024), 't'.repeat(16_384)]
  const at = { epoch: name, offset: 1 }
  const good: FromGiver[] = [
    { ...message, kind: 'message', contentType: type, via: [name] }, { kind: 'gap', to: at, topics: [], patterns: ['x'.repeat(5_000)], via: [name] },
    { kind: 'ready', at, hub: name }, { kind: 'refused', why: type },
  ]
  for (const one of good) assert.doesNotThrow(() => fromGiver(one.kind === 'message' ? messageFrame(one) : extendedFrame(one as Exclude<typeof one, { kind: 'pubsub' | 'message' }>)))
  const tooLarge = (frame: Buffer): void => assert.throws(() => fromGiver(frame), (error) => error instanceof EtfError && error.code === 'too_large')
  tooLarge(messageFrame({ ...message, contentType: `${type}t` }))
  tooLarge(messageFrame({ ...message, via: ['a', `${name}n`] }))
  for (const via of [[`${name}n`], ['a', `${name}n`]]) tooLarge(extendedFrame({ kind: 'gap', to: { epoch: 'e', offset: 1 }, topics: [], patterns: [], via }))
  tooLarge(extendedFrame({ kind: 'gap', to: { epoch: `${name}n`, offset: 1 }, topics: [], patterns: [], via: [] }))
  tooLarge(extendedFrame({ kind: 'ready', at: { epoch: 'e', offset: 1 }, hub: `${name}n` }))
  tooLarge(extendedFrame({ kind: 'alive', at: { epoch: `${name}n`, offset: 1 } }))
  tooLarge(extendedFrame({ kind: 'refused', why: `${type}t` }))
  const wish: Wish = { hub: name, topics: [], patterns: [], after: at }
  assert.deepEqual(fromTaker(subscribeFrame(Buffer.from('a'), wish)), { kind: 'subscribe', topic: Buffer.from('a'), wish })
  for (const bad of [{ ...wish, hub: `${name}n` }, { ...wish, after: { epoch: `${name}n`, offset: 1 } }]) assert.throws(() => fromTaker(subscribeFrame(Buffer.from('a'), bad)), { code: 'too_large' })
})

test('maps in the keys of maps without end are not read to their end', () => {
  // {:pubsub, [ … ]}, each item hundreds of maps, one in the key of the other.
  const levels = 80
  const item = Buffer.concat([Buffer.alloc(8 * levels, hex('74 00000002 61 01 6a')), Buffer.alloc(levels + 1, 106)])
  const list = (items: number): Buffer => {
    const term = Buffer.concat([hex('83 6c 00000000'), Buffer.alloc(items * item.length, item), hex('6a')])
    term.writeUInt32BE(items, 2)
    return pubsubFrame(term)
  }
  assert.equal(fromGiver(list(10))?.kind, 'pubsub')
  assert.throws(() => fromGiver(list(1_000)), { code: 'too_large' })
})
