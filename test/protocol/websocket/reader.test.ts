import assert from 'node:assert/strict'
import { test } from 'node:test'
import { headerSize } from '../../../src/protocol/websocket/frame.ts'
import { readFrames, type ReaderBounds, type UnfinishedMessage } from '../../../src/protocol/websocket/reader.ts'
import { createChance } from '../../simulation/chance.ts'
import { conversation } from './conversation.ts'
import { clientBytes, notingHandler, readInPieces, ROOMY, type Sent, type Told } from './wire.ts'

const [continuation, text, binary, close, ping, pong] = [0, 1, 2, 8, 9, 10]
const KEY = 0x3d21fa37

function sent(opcode: number, payload: string | Uint8Array, rest: Partial<Sent> = {}): Buffer {
  return clientBytes({ opcode, payload: Buffer.from(payload as string), key: KEY, ...rest })
}

function closing(code: number, reason: string | Uint8Array = ''): Buffer {
  return Buffer.concat([Uint8Array.of(code >> 8, code & 0xff), Buffer.from(reason as string)])
}

/** A header of a frame that announces so much, with its mask. */
function announcing(first: number, length: bigint): Buffer {
  const header = Buffer.alloc(14)
  header[0] = first
  header[1] = 0xff
  header.writeBigUInt64BE(length, 2)
  return header
}

/** What is told of it in one chunk, which must be the same in single bytes. */
function told(bytes: Buffer, bounds: ReaderBounds = ROOMY): string[] {
  const { lines } = readInPieces(bytes, [bytes.length], bounds)
  assert.deepEqual(readInPieces(bytes, [1], bounds).lines, lines)
  return lines
}

const more = { fin: 'more' } as const

test('the examples of RFC 6455, section 5.7, as a client sends them', () => {
  assert.deepEqual(told(Buffer.from('818537fa213d7f9f4d5158', 'hex')), ['text Hello'])
  assert.deepEqual(told(Buffer.from('810548656c6c6f', 'hex')), ['broken 1002'])
  assert.deepEqual(told(Buffer.concat([sent(text, 'Hel', more), sent(continuation, 'lo')])), ['text Hello'])
  assert.deepEqual(told(Buffer.concat([sent(ping, 'Hello'), Buffer.from('8a8537fa213d7f9f4d5158', 'hex')])), ['ping Hello'])
  for (const length of [256, 65_536]) {
    const payload = Buffer.from(Array.from({ length }, (_, i) => i & 0xff))
    const { lines } = readInPieces(sent(binary, payload), [1_000], ROOMY)
    assert.deepEqual(lines, [`binary ${payload.toString('latin1')}`])
  }
})

const FAULTS: Readonly<Record<string, readonly [code: number, ...frames: Buffer[]]>> = {
  'a text without a mask': [1002, sent(text, 'x', { key: undefined })],
  'an empty ping without a mask': [1002, sent(ping, '', { key: undefined })],
  'RSV1': [1002, sent(text, 'x', { rsv: 4 })],
  'RSV2': [1002, sent(binary, 'x', { rsv: 2 })],
  'RSV3 on a pong': [1002, sent(pong, 'x', { rsv: 1 })],
  ...Object.fromEntries([3, 4, 5, 6, 7, 11, 12, 13, 14, 15].map((opcode) => [`the opcode ${opcode}`, [1002, sent(opcode, 'x')]])),
  'a ping in fragments': [1002, sent(ping, 'x', more)],
  'a Close in fragments': [1002, sent(close, '', more)],
  'a ping of 126 bytes': [1002, sent(ping, 'x'.repeat(126))],
  'a short pong with a long length': [1002, sent(pong, 'x', { form: 4 })],
  'a Close of one byte': [1002, sent(close, 'x')],
  'a Close whose reason is no UTF-8': [1007, sent(close, closing(1000, Uint8Array.of(0xc3)))],
  ...Object.fromEntries([0, 999, 1004, 1005, 1006, 1015, 2999, 5000, 65_535].map((code) => [`a Close with ${code}`, [1002, sent(close, closing(code))]])),
}
const ONLY_ALONE: typeof FAULTS = {
  'a continuation of nothing': [1002, sent(continuation, 'x')],
  'a continuation behind a whole message': [1002, sent(text, 'x'), sent(continuation, 'y')],
  'a continuation behind the last one': [1002, sent(text, '', more), sent(continuation, ''), sent(continuation, 'y')],
  'a text within a text': [1002, sent(text, 'x', more), sent(text, 'y')],
  'a binary within a binary, behind a ping': [1002, sent(binary, 'x', more), sent(ping, ''), sent(binary, 'y')],
  'text that is no UTF-8': [1007, sent(text, Uint8Array.of(0x61, 0xff))],
  'long text that ends inside a character': [1007, sent(text, Buffer.concat([Buffer.alloc(300, 'a'), Uint8Array.of(0xf0, 0x9f, 0x98)]))],
  'text whose bad byte stands in the last place': [1007, sent(text, Buffer.concat([Buffer.alloc(131, 'a'), Uint8Array.of(0xff)]))],
  'fragments that make no UTF-8': [1007, sent(text, Uint8Array.of(0xf0, 0x9f), more), sent(ping, ''), sent(continuation, Uint8Array.of(0x98))],
  'a bad byte in the first of three fragments': [1007, sent(text, Uint8Array.of(0xff), more), sent(continuation, 'x', more), sent(continuation, 'y')],
}

test('every malformed frame has its code, alone, between fragments and byte by byte, and nothing behind it is read', () => {
  const late = [sent(text, 'late'), sent(ping, 'late')]
  for (const [what, [code, ...frames]] of Object.entries({ ...FAULTS, ...ONLY_ALONE })) {
    const lines = told(Buffer.concat([sent(text, 'before'), ...frames, ...late]))
    assert.deepEqual([lines[0], lines.at(-1), lines.includes('text late')], ['text before', `broken ${code}`, false], what)
  }
  for (const [what, [code, ...frames]] of Object.entries(FAULTS)) {
    assert.deepEqual(told(Buffer.concat([sent(text, 'open', more), ...frames, ...late])), [`broken ${code}`], what)
  }
})

test('one bad byte is seen in every place of a text, and in none of a binary message', () => {
  for (const length of [1, 2, 3, 4, 5, 6, 7, 8, 9, 127, 128, 129, 130, 131, 132]) {
    for (let place = 0; place < length; place++) {
      const payload = Buffer.alloc(length, 'a')
      payload[place] = 0x80
      for (const behind of [0, 300]) {
        const rest = sent(text, 'b'.repeat(behind))
        assert.deepEqual(chunkTold(Buffer.concat([sent(text, payload), rest])).lines, ['broken 1007'], `${place} of ${length}`)
        assert.equal(chunkTold(Buffer.concat([sent(binary, payload), rest])).lines.length, 2)
      }
    }
  }
})

test('what is wrong is told as soon as two bytes show it, and too much as soon as it is announced', () => {
  assert.deepEqual(told(Buffer.from([0x83, 0x80])), ['broken 1002'])
  assert.deepEqual(told(Buffer.from([0x81, 0x01])), ['broken 1002'])
  assert.deepEqual(told(Buffer.from([0x82, 0xfe, 0x00, 0x7e]), { ...ROOMY, maxFrameBytes: 125 }), ['broken 1009'])
  assert.deepEqual(told(announcing(0x82, 1n << 63n).subarray(0, 10)), ['broken 1009'])
})

test('a Close is told with its code and reason, or 1005 without one, and is the last that is read', () => {
  for (const code of [1000, 1003, 1007, 1014, 3000, 4999]) assert.deepEqual(told(Buffer.concat([sent(close, closing(code, 'schön')), sent(text, 'late')])), [`closing ${code} ${Buffer.from('schön').toString('latin1')}`])
  assert.deepEqual(told(Buffer.concat([sent(text, 'open', more), sent(close, ''), sent(continuation, 'late')])), ['closing 1005 '])
})

test('a message of the longest length is taken, one byte more is 1009, also in the sum of its fragments', () => {
  for (const maxFrameBytes of [125, 126, 65_535, 65_536]) {
    const bounds = { ...ROOMY, maxFrameBytes }
    const longest = Buffer.alloc(maxFrameBytes, 'x')
    const halves = [sent(binary, longest.subarray(10), more), sent(continuation, longest.subarray(0, 10))]
    for (const bytes of [sent(binary, longest), Buffer.concat(halves)]) {
      for (const sizes of [[bytes.length], [700]]) {
        assert.deepEqual(readInPieces(bytes, sizes, bounds).lines, [`binary ${longest.toString('latin1')}`])
        assert.deepEqual(readInPieces(bytes, sizes, { ...bounds, maxFrameBytes: maxFrameBytes - 1 }).lines, ['broken 1009'])
      }
    }
    // What was before does not count.
    assert.equal(readInPieces(Buffer.concat([...halves, ...halves]), [700], bounds).lines.length, 2)
  }
})

test('a message in as many fragments as may be is taken, one more is 1008; control frames do not count', () => {
  const bounds = { ...ROOMY, maxPieces: 20 }
  const fragments = (count: number): Buffer => Buffer.concat([sent(text, '', more), ...Array.from({ length: count - 2 }, () => [sent(continuation, 'x', more), sent(pong, '')]).flat(), sent(continuation, '')])
  assert.deepEqual(told(Buffer.concat([fragments(20), fragments(20)]), bounds), [`text ${'x'.repeat(18)}`, `text ${'x'.repeat(18)}`])
  assert.deepEqual(told(fragments(21), bounds), ['broken 1008'])
})

test('a frame may come in so many reads, and one more; another is 1008, and the next frame has as many', () => {
  const bounds = { ...ROOMY, maxPieces: 20 }
  const [short, long] = [sent(text, 'x'.repeat(20), more), sent(continuation, 'x'.repeat(22))]
  assert.deepEqual(readInPieces(Buffer.concat([short, sent(ping, 'p'.repeat(20)), sent(continuation, 'x'.repeat(20))]), [1], bounds).lines, [`ping ${'p'.repeat(20)}`, `text ${'x'.repeat(40)}`])
  assert.deepEqual(readInPieces(Buffer.concat([short, long]), [1], bounds).lines, ['broken 1008'])
  assert.deepEqual(readInPieces(sent(ping, 'p'.repeat(22)), [1], bounds).lines, ['broken 1008'])
})

test('the cuts make no difference (1,500 conversations from a seed)', () => {
  for (let seed = 1; seed <= 1_500; seed++) {
    const chance = createChance(seed, 'cuts')
    const bytes = Buffer.concat(conversation(chance))
    const whole = readInPieces(bytes, [bytes.length], ROOMY)
    const sizes = bytes.length > 20_000 ? [chance.int(1_000, 9_000)] : Array.from({ length: 30 }, () => chance.int(1, chance.pick([1, 10, 1_000])))
    const inPieces = readInPieces(bytes, sizes, ROOMY)
    assert.deepEqual([inPieces.lines, inPieces.why], [whole.lines, whole.why], `seed ${seed}`)
  }
})

/** Reads one chunk and leaves it as it is. */
function chunkTold(chunk: Buffer): Told {
  const noting = notingHandler()
  assert.equal(readFrames(chunk, undefined, ROOMY, noting.handler), undefined)
  return noting.told
}

test('messages that come whole one behind the other stand one behind the other as a server sends them, whatever their masks', () => {
  const chance = createChance(1, 'neighbours')
  for (let round = 0; round < 200; round++) {
    const payloads = Array.from({ length: chance.int(1, 20) }, () => Buffer.alloc(chance.pick([0, 1, 5, 125, 126, 127, 500, 65_536]), chance.int(0, 255)))
    const forms = payloads.map(({ length }) => chance.pick([undefined, undefined, length < 65_536 ? 4 : 10, 10] as const))
    const frames = payloads.map((payload, i) => clientBytes({ opcode: binary, payload, key: chance.pick([0, chance.int(0, 0xffff_ffff)]), form: forms[i] }))
    const chunk = Buffer.concat(frames)
    const { lines, messages } = chunkTold(chunk)
    assert.equal(lines.length, payloads.length)
    // The first one stays where it came.
    assert.equal(messages[0]?.byteOffset, chunk.byteOffset + (frames[0] as Buffer).length - (payloads[0] as Buffer).length)
    for (const [i, message] of messages.entries()) {
      assert.ok(message.equals(payloads[i] as Buffer))
      const before = messages[i - 1]
      if (before === undefined) continue
      assert.equal(message.buffer, before.buffer)
      assert.equal(message.byteOffset, before.byteOffset + before.length + headerSize(message.length))
    }
  }
})

test('a chunk that ends between messages leaves nothing; else what is left is one object for one message', () => {
  const { told: noted, handler } = notingHandler()
  const read = (bytes: Buffer, left?: UnfinishedMessage): UnfinishedMessage | undefined => readFrames(Buffer.from(bytes), left, ROOMY, handler)
  const [first, second] = [sent(text, 'x'.repeat(50)), sent(text, 'y'.repeat(60), more)]
  assert.equal(read(first), undefined)
  assert.equal(read(sent(ping, '')), undefined)

  const one = read(first.subarray(0, 3)) as UnfinishedMessage
  assert.deepEqual([one.bytes, one.announced, one.number], [3, 0, 0])
  one.number = 7
  assert.equal(read(first.subarray(3, 20), one), one)
  assert.deepEqual([one.bytes, one.announced, one.number], [20, 50, 7])

  const other = read(Buffer.concat([first.subarray(20), second, sent(ping, 'between').subarray(0, 9)]), one) as UnfinishedMessage
  assert.notEqual(other, one)
  assert.deepEqual([other.bytes, other.announced, other.number], [second.length + 9, 60, 0])
  assert.equal(read(sent(ping, 'between').subarray(9), other), other)
  assert.equal(read(sent(continuation, 'z', more), other), other)
  assert.deepEqual([other.bytes, other.announced], [second.length + 13 + 7, 61])
  assert.equal(read(sent(continuation, ''), other), undefined)
  assert.deepEqual(noted.lines.slice(-2), ['ping between', `text ${'y'.repeat(60)}z`])
})

test('a long message costs memory for what has come, not for what is announced, and never much more than its length', () => {
  const length = 1_000_000
  const bytes = sent(binary, Buffer.alloc(length))
  const { told: noted, handler } = notingHandler()
  const bounds = { ...ROOMY, maxFrameBytes: length }
  let unfinished = readFrames(Buffer.from(bytes.subarray(0, 15)), undefined, bounds, handler) as UnfinishedMessage | undefined
  assert.deepEqual([unfinished?.announced, unfinished?.bytes], [length, 15])
  assert.ok((unfinished as UnfinishedMessage).kept < 2_048)
  for (let at = 15; at < bytes.length; at += 10_000) {
    unfinished = readFrames(Buffer.from(bytes.subarray(at, at + 10_000)), unfinished, bounds, handler)
    if (unfinished === undefined) continue
    const { kept } = unfinished
    assert.ok(kept >= unfinished.bytes && kept <= Math.min(2 * unfinished.bytes, length) + 2_048, `${kept} of ${unfinished.bytes}`)
  }
  const { byteLength } = (noted.messages[0] as Buffer).buffer
  assert.ok(byteLength <= length + 10, `${byteLength}`)
})

const DISCARDED: ReaderBounds = { maxFrameBytes: 125, maxPieces: 20, messages: 'discarded' }

test('where messages are discarded, none is told, none is kept, and none is too long or in too many pieces', () => {
  const frames = [
    sent(binary, Buffer.alloc(100_000)), sent(text, Buffer.alloc(200, 0xff)), sent(ping, 'still told'),
    sent(text, 'x'.repeat(100), more), ...Array.from({ length: 50 }, () => sent(continuation, 'x'.repeat(10), more)), sent(ping, 'and this'), sent(continuation, ''),
  ]
  const bytes = Buffer.concat([...frames, sent(close, closing(1001))])
  for (const size of [bytes.length, 1_000, 7]) assert.deepEqual(readInPieces(bytes, [size], DISCARDED).lines, ['ping still told', 'ping and this', 'closing 1001 '])
  const { handler } = notingHandler()
  let unfinished: UnfinishedMessage | undefined = undefined
  for (let i = 0; i < 50; i++) {
    unfinished = readFrames(i === 0 ? announcing(0x82, 2n ** 53n - 1n) : Buffer.alloc(65_536), unfinished, DISCARDED, handler)
    assert.ok((unfinished as UnfinishedMessage).kept < 1_024)
  }
  assert.equal(unfinished?.bytes, 14 + 49 * 65_536)
})

test('where messages are discarded, what is wrong with a header has its code all the same', () => {
  for (const [what, [code, ...frames]] of Object.entries({ ...FAULTS, ...ONLY_ALONE })) {
    if (code === 1007 && !what.startsWith('a Close')) continue
    assert.equal(told(Buffer.concat([...frames, sent(ping, 'late')]), DISCARDED).at(-1), `broken ${code}`, what)
  }
  assert.deepEqual(told(announcing(0x82, 2n ** 53n), DISCARDED), ['broken 1009'])
})

test('where messages are discarded, all the rest is told as ever (1,000 conversations from a seed)', () => {
  for (let seed = 1; seed <= 1_000; seed++) {
    const chance = createChance(seed, 'discarded')
    const bytes = Buffer.concat(conversation(chance))
    const sizes = [chance.pick([bytes.length, chance.int(1, 2_000)])]
    const taken = readInPieces(bytes, [bytes.length], ROOMY)
    const rest = taken.lines.filter((line) => !/^(?:text|binary)/.test(line))
    const { lines } = readInPieces(bytes, sizes, { ...DISCARDED, maxPieces: 1_000 })
    // What is wrong with a message itself is not seen.
    const isInMessage = taken.why === 'text that is not UTF-8' || taken.why === 'the payload of a message is too long'
    if (isInMessage) assert.deepEqual(lines.slice(0, rest.length - 1), rest.slice(0, -1), `seed ${seed}`)
    else assert.deepEqual(lines, rest, `seed ${seed}`)
  }
})
