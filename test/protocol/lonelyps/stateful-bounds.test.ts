import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { test } from 'node:test'
import { isDeepStrictEqual } from 'node:util'
import { pack, s16, u16 } from '../../../src/protocol/lonelyps/bytes.ts'
import type { HeaderForm } from '../../../src/protocol/lonelyps/stateful/messages.ts'
import { type Any, type Direction, encode, messageOf, parse, read, TYPES, vectors } from './stateful-vectors.ts'

const FORMS = ['minimal', 'expanded'] as const satisfies readonly HeaderForm[]
const LARGEST = Number.MAX_SAFE_INTEGER

function sample(direction: Direction, id: string): Any {
  const found = vectors.stateful_messages.find((each) => each.id === id) ?? assert.fail(`no vector ${id}`)
  return messageOf(direction, found.fields)
}
const notify = sample('S2B', 'notify_uncompressed') as Extract<Any, { type: 'notify' }>
const configure = sample('S2B', 'configure')
const started = sample('B2S', 'receive_stream_start_uncompressed') as Extract<Any, { type: 'receive_stream' }>
const preset = sample('B2S', 'enable_zstd_preset_1')
const custom = sample('B2S', 'enable_zstd_custom')
const subscribe = sample('S2B', 'subscribe_exact')

/** The headers of a message by name, as its expanded frame has them. */
function headersOf(direction: Direction, message: Any): Map<string, Buffer> {
  const frame = encode(direction, message, 'expanded')
  const headers = new Map<string, Buffer>()
  let at = 6
  for (let left = frame.readUInt16BE(4); left > 0; left--) {
    const [name, value] = [0, 1].map(() => {
      const bytes = frame.subarray(at + 2, at + 2 + frame.readUInt16BE(at))
      at += 2 + bytes.length
      return bytes
    })
    headers.set((name as Buffer).toString(), value as Buffer)
  }
  return headers
}

function frameOf(direction: Direction, message: Any, form: HeaderForm, headers: Iterable<readonly [string, Buffer]>): Buffer {
  const all = [...headers]
  const number = (TYPES[direction] as readonly string[]).indexOf(message.type) + 1
  const count = form === 'minimal' ? [] : [u16(all.length)]
  const fields = all.flatMap(([name, value]) => (form === 'minimal' ? [s16(value)] : [s16(name), s16(value)]))
  return Buffer.concat([...[u16(Number(form === 'minimal')), u16(number), ...count, ...fields].map((field) => pack(field)), 'body' in message ? message.body : Buffer.alloc(0)])
}

/** What a parser says of the message with one value replaced, in both forms. */
function withValue(direction: Direction, message: Any, name: string, value: string): (Any | string)[] {
  const headers = headersOf(direction, message)
  assert.ok(headers.has(name))
  return FORMS.map((form) => parse(direction, frameOf(direction, message, form, headers.set(name, Buffer.from(value, 'hex')))))
}

const malformed: [string, Direction, Any, string, string][] = [
  ['a nonce of 31 bytes', 'S2B', configure, 'x-subscriber-nonce', '00'.repeat(31)],
  ['a nonce of 33 bytes', 'S2B', configure, 'x-subscriber-nonce', '00'.repeat(33)],
  ['a broadcaster nonce of 31 bytes', 'B2S', sample('B2S', 'confirm_configure'), 'x-broadcaster-nonce', '00'.repeat(31)],
  ['an initial dictionary of 3 bytes', 'S2B', configure, 'x-initial-dict', '000000'],
  ['an identifier of 65 bytes', 'S2B', notify, 'x-identifier', '00'.repeat(65)],
  ['an identifier of 65 bytes, to a subscriber', 'B2S', started, 'x-identifier', '00'.repeat(65)],
  ['a digest of 63 bytes', 'S2B', notify, 'x-compressed-sha512', '00'.repeat(63)],
  ['a digest of 65 bytes', 'B2S', started, 'x-compressed-sha512', '00'.repeat(65)],
  ['a part id of 9 bytes', 'B2S', started, 'x-part-id', '00'.repeat(9)],
  ['a part id that no number holds exactly', 'B2S', started, 'x-part-id', '20000000000000'],
  ['a compressor that no number holds exactly', 'S2B', notify, 'x-compressor', 'ffffffffffffffff'],
  ['a length of 9 bytes', 'S2B', notify, 'x-decompressed-length', '000000000000000005'],
  ['a minimum size of 5 bytes', 'B2S', preset, 'x-min-size', '0000000001'],
  ['a maximum size of 9 bytes', 'B2S', preset, 'x-max-size', '00'.repeat(9)],
  ['a level of 1 byte', 'B2S', preset, 'x-compression-level', '03'],
  ['a level of 3 bytes', 'B2S', preset, 'x-compression-level', '000003'],
  ['an authorization that is not UTF-8', 'S2B', notify, 'authorization', '41ff'],
  ['a glob that is not UTF-8', 'B2S', sample('B2S', 'confirm_subscribe_glob'), 'x-glob', 'c3'],
]
for (const [what, direction, message, name, value] of malformed) {
  test(`${what} is refused in both forms`, () => {
    assert.deepEqual(withValue(direction, message, name, value), [`${name} is malformed`, `${name} is malformed`])
  })
}

const contradicting: [string, Direction, Any, string, string, RegExp][] = [
  ['a first part without compressor whose lengths differ', 'B2S', started, 'x-decompressed-length', '06', /both lengths/],
  ['a notify of another length than announced', 'S2B', { ...notify, head: { ...notify.head, compressor: 1 } }, 'x-compressed-length', '04', /another length/],
  ['a notify with a digest of something else', 'S2B', notify, 'x-compressed-sha512', '00'.repeat(64), /another SHA-512/],
  ['a dictionary with a digest of something else', 'B2S', custom, 'x-sha512', '00'.repeat(64), /another SHA-512/],
]
for (const [what, direction, message, name, value, wrong] of contradicting) {
  test(`${what} is refused in both forms`, () => {
    for (const found of withValue(direction, message, name, value)) assert.match(String(found), wrong)
  })
}

test('an authorization may hold the replacement character itself', () => {
  for (const found of withValue('S2B', subscribe, 'authorization', 'efbfbd')) assert.equal((found as Any).authorization, '\ufffd')
})

test('an identifier of 64 bytes, a zero-padded part id and an empty one are read', () => {
  for (const found of withValue('S2B', notify, 'x-identifier', '07'.repeat(64))) assert.deepEqual((found as typeof notify).identifier, Buffer.alloc(64, 7))
  for (const value of ['', '00', '0000000000000000']) {
    for (const found of withValue('B2S', started, 'x-part-id', value)) assert.deepEqual(found, started)
  }
})

test('a flag is true for exactly 01', () => {
  for (const [value, zstd] of [['01', true], ['00', false], ['', false], ['02', false], ['81', false], ['0001', false], ['0101', false], ['31', false]] as const) {
    for (const found of withValue('S2B', configure, 'x-enable-zstd', value)) assert.deepEqual(found, { ...configure, zstd })
  }
})

test('every header but x-initial-dict is required in the expanded form', () => {
  for (const { direction, fields } of vectors.stateful_messages) {
    const message = messageOf(direction, fields)
    const headers = [...headersOf(direction, message)]
    for (const [name] of headers) {
      const found = parse(direction, frameOf(direction, message, 'expanded', headers.filter(([other]) => other !== name)))
      if (name === 'x-initial-dict') assert.deepEqual(found, { ...message, initialDictionary: 0 })
      else assert.equal(found, `${name} is missing`)
    }
  }
})

test('headers of the expanded form come in any order and case, among unknown ones, and the last of a name counts', () => {
  const unknown = ['__proto__', 'constructor', 'toString', 'hasOwnProperty', '', 'type', 'head', 'body', 'x-topic ', 'x'.repeat(65_535), '\u00e9'].map((name) => [name, Buffer.from('!')] as const)
  for (const { direction, fields } of vectors.stateful_messages) {
    const message = messageOf(direction, fields)
    const headers = [...headersOf(direction, message)]
    const again = headers.toReversed().map(([name, value]) => [name.toUpperCase(), value] as const)
    const frame = frameOf(direction, message, 'expanded', [...headers.map(([name]) => [name, Buffer.alloc(100)] as const), ...unknown, ...again])
    assert.deepEqual(parse(direction, frame), message)
    assert.equal(Object.getPrototypeOf(read(direction, frame)), Object.prototype)
  }
})

test('as many headers as can be counted are read, and one more than there are is a truncated frame', () => {
  const known = [...headersOf('S2B', subscribe)]
  const topics = Array.from({ length: 65_535 - known.length }, () => ['x-topic', Buffer.from('first')] as const)
  const frame = frameOf('S2B', subscribe, 'expanded', [...topics, ...known])
  assert.ok(isDeepStrictEqual(parse('S2B', frame), subscribe))
  assert.equal(parse('S2B', frameOf('S2B', subscribe, 'expanded', [...known, ...topics]).subarray(0, -1)), 'the frame is truncated')
})

const misfits: [string, Direction, object][] = [
  ['a topic of 65,536 bytes', 'S2B', { ...subscribe, topic: Buffer.alloc(65_536) }],
  ['a tracing of 65,536 bytes', 'S2B', { ...subscribe, tracing: Buffer.alloc(65_536) }],
  ['an authorization of 65,536 bytes', 'S2B', { ...subscribe, authorization: '\u00e9'.repeat(32_768) }],
  ['a glob of 65,536 bytes', 'S2B', { ...sample('S2B', 'subscribe_glob'), glob: Buffer.alloc(65_536) }],
  ['a glob that is not UTF-8', 'S2B', { ...sample('S2B', 'subscribe_glob'), glob: Buffer.of(0xff) }],
  ['an identifier of 65 bytes', 'B2S', { ...started, identifier: Buffer.alloc(65) }],
  ['a nonce of 31 bytes', 'S2B', { ...configure, nonce: Buffer.alloc(31) }],
  ['a nonce of 33 bytes', 'B2S', { ...sample('B2S', 'confirm_configure'), nonce: Buffer.alloc(33) }],
  ['a digest of 63 bytes', 'B2S', { ...started, head: { ...started.head, sha512: Buffer.alloc(63) } }],
  ['a digest of a dictionary of 65 bytes', 'B2S', { ...custom, sha512: Buffer.alloc(65) }],
  ['a negative part', 'B2S', { ...started, head: undefined, part: -1 }],
  ['a part and a half', 'B2S', { ...started, head: undefined, part: 1.5 }],
  ['a part that no number holds exactly', 'B2S', { ...started, head: undefined, part: 2 ** 53 }],
  ['a negative compressor', 'B2S', { ...preset, compressor: -1 }],
  ['a negative length', 'B2S', { ...started, head: { ...started.head, compressedLength: -1n, decompressedLength: -1n } }],
  ['a length of 65 bits', 'B2S', { ...started, head: { ...started.head, compressedLength: 1n << 64n, decompressedLength: 1n << 64n } }],
  ['a maximum size of 65 bits', 'B2S', { ...preset, maxSize: 1n << 64n }],
  ['a minimum size of 33 bits', 'B2S', { ...preset, minSize: 2 ** 32 }],
  ['a level of 17 bits', 'B2S', { ...preset, level: 0x8000 }],
  ['a level and a half', 'B2S', { ...preset, level: 1.5 }],
  ['a very negative level', 'B2S', { ...preset, level: -0x8001 }],
  ['an initial dictionary of 17 bits', 'S2B', { ...configure, initialDictionary: 65_536 }],
  ['33 bits of subscribers in CONFIRM_RECEIVE', 'S2B', { ...sample('S2B', 'confirm_receive'), subscribers: 2 ** 32 }],
  ['a negative count in CONFIRM_NOTIFY', 'B2S', { ...sample('B2S', 'confirm_notify_300'), subscribers: -1 }],
  ['a first part without head', 'B2S', { ...started, head: undefined }],
  ['a later part with a head', 'B2S', { ...started, part: 1 }],
  ['lengths that differ without compressor', 'B2S', { ...started, head: { ...started.head, decompressedLength: 6n } }],
  ['a body of another length than announced', 'S2B', { ...notify, body: Buffer.from('hell') }],
]
for (const [what, direction, message] of misfits) {
  test(`${what} is not written`, () => {
    for (const form of FORMS) assert.throws(() => encode(direction, message as Any, form), RangeError)
  })
}

const body = Buffer.alloc(0)
const whole = { topic: Buffer.alloc(65_535, 1), compressor: LARGEST, compressedLength: (1n << 64n) - 1n, decompressedLength: 0n, sha512: createHash('sha512').digest() }
const largest: [string, Direction, object][] = [
  ['a first part with the largest of everything', 'B2S', { type: 'receive_stream', authorization: 'a'.repeat(65_535), tracing: Buffer.alloc(65_535), identifier: Buffer.alloc(64), part: 0, head: whole, body }],
  ['the last part that can be counted', 'B2S', { type: 'receive_stream', authorization: undefined, tracing: body, identifier: body, part: LARGEST, head: undefined, body }],
  ['the lowest level and the largest sizes', 'B2S', { ...preset, compressor: LARGEST, level: -0x8000, minSize: 0xffff_ffff, maxSize: (1n << 64n) - 1n }],
  ['the highest level and sizes of nothing', 'B2S', { ...preset, compressor: 0, level: 0x7fff, minSize: 0, maxSize: 0n }],
  ['the last preset', 'S2B', { ...configure, initialDictionary: 65_535 }],
  ['the largest count in CONFIRM_RECEIVE', 'S2B', { ...sample('S2B', 'confirm_receive'), subscribers: 0xffff_ffff }],
  ['an empty topic', 'S2B', { ...subscribe, topic: body }],
]
for (const [what, direction, message] of largest) {
  test(`${what} is written and read in both forms`, () => {
    // Without the difference, which of so many bytes takes minutes.
    for (const form of FORMS) assert.ok(isDeepStrictEqual(parse(direction, encode(direction, message as Any, form)), message))
  })
}
