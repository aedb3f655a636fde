import assert from 'node:assert/strict'
import { deflateSync } from 'node:zlib'
import { test } from 'node:test'
import { encode } from '../../../src/protocol/etf/encode.ts'
import { plain } from '../../../src/protocol/etf/plain.ts'
import { scan } from '../../../src/protocol/etf/scan.ts'
import { Atom, Float, TermMap, Tuple, type Term } from '../../../src/protocol/etf/term.ts'
import { writeExtension } from '../../../src/protocol/erps/extension.ts'
import { errorText, openPayload, readRef, splitCall, splitError, splitReply, TERM, tuple2, writeRef, writeText } from '../../../src/protocol/erps/payload.ts'
import { vectors } from '../etf/vectors.ts'
import { hex } from './vectors.ts'

const bare = (term: Term): Buffer => encode(term).subarray(1)
const EXTENSION = writeExtension({ kind: 'terms', deadline: 5_000, times: 'once', key: undefined })

/** Every term of the vectors that stands alone, in every form it may come in. */
const terms = [...vectors.encode, ...vectors.identifiers, ...vectors.decode_only]
  .flatMap(({ hex: text }) => (text === undefined ? [] : [hex(text)]))
  .filter((bytes) => bytes[1] !== 80 && taken(bytes))
  .map((bytes) => plain(bytes, { opaque: 'kept' }).subarray(1))

function taken(bytes: Buffer): boolean {
  try {
    return scan(bytes, { opaque: 'kept' }) > 0
  } catch {
    return false
  }
}

test('any term may be a ref, a request, an answer or a reason, and is given byte for byte', () => {
  assert.ok(terms.length > 150, `${terms.length} terms`)
  for (const [index, one] of terms.entries()) {
    const other = terms[(index * 7 + 3) % terms.length] as Buffer
    for (const head of [hex('6802'), hex('6900000002')]) {
      const pair = openPayload(Buffer.concat([TERM, head, one, other, EXTENSION]), { opaque: 'kept' })
      assert.deepEqual(pair.extension, { kind: 'terms', deadline: 5_000, times: 'once', key: undefined })
      const parts = { call: splitCall(pair.bare), reply: splitReply(pair.bare), error: splitError(pair.bare) }
      for (const [name, found] of Object.entries(parts)) {
        const [ref, term] = name === 'call' ? [one, other] : [other, one]
        assert.deepEqual([found?.ref.toString('hex'), found?.term.toString('hex')], [ref.toString('hex'), term.toString('hex')], name)
      }
    }
  }
})

test('what is no tuple of two is no call, whatever else it is', () => {
  for (const text of ['6a', '6100', '6801 6a', '6802', '6802 6a', '6803 6a 6a 6a', '6800', '6900000001 6a', '6900000003 6a 6a 6a', '6900000000', '6c00000002 6a 6a 6a', '6b0002 6802', '7400000001 6a 6a', '7702 6802', '']) {
    for (const split of [splitCall, splitReply, splitError]) assert.equal(split(hex(text)), undefined, text)
  }
})

test('the term of a payload is checked under the options, and what is wrong with it is said', () => {
  const call = Buffer.concat(tuple2(writeRef(1), bare(new Atom('unheard_of'))))
  assert.equal(openPayload(call, {}).term, call)
  assert.equal(openPayload(call, { atoms: new Set(['unheard_of']) }).term, call)
  assert.throws(() => openPayload(call, { atoms: new Set() }), { code: 'badarg' })
  assert.ok(openPayload(Buffer.concat([TERM, bare(new Atom('ok'))]), { atoms: new Set() }))
  for (const text of ['', '83', '836803', '83680261', 'ff6a', '836d00000005', '8383', '83466ff0000000000000'.replace('466f', '467f'), '8377016', '837702c328', '8352']) {
    assert.throws(() => openPayload(hex(text), {}), { code: 'badarg' }, text)
  }
  assert.throws(() => openPayload(hex('8371770161770162 6101'), {}), { code: 'badarg' })
  const nested = Buffer.concat([TERM, ...Array.from({ length: 11 }, () => hex('6801')), hex('6a')])
  assert.throws(() => openPayload(nested, { maxDepth: 10 }), { code: 'too_deep' })
  assert.ok(openPayload(nested, { maxDepth: 11 }))
  const twice = new TermMap([['a', 1], ['a', 2]])
  assert.throws(() => openPayload(encode(twice), {}), { code: 'badarg' })
})

test('a compressed term is uncompressed, its size bounded, and what is behind it read', () => {
  const inner = bare([new Atom('item'), 'x'.repeat(1_000), new Float(2.5)])
  const head = hex('8350 00000000')
  head.writeUInt32BE(inner.length, 2)
  const compressed = Buffer.concat([head, deflateSync(inner)])
  const opened = openPayload(Buffer.concat([compressed, EXTENSION]), {})
  assert.ok(opened.bare.equals(inner))
  assert.ok(opened.term.equals(Buffer.concat([TERM, inner])))
  assert.deepEqual(opened.extension, { kind: 'terms', deadline: 5_000, times: 'once', key: undefined })
  assert.throws(() => openPayload(compressed, { maxBytes: inner.length - 1 }), { code: 'too_large' })
  head.writeUInt32BE(inner.length + 1, 2)
  assert.throws(() => openPayload(Buffer.concat([head, deflateSync(inner)]), {}), { code: 'badarg' })
})

test('what stands behind a term and is no extension changes nothing', () => {
  for (const behind of ['', '00', '0102', '83', '836a', EXTENSION.toString('hex').slice(2), `${EXTENSION.toString('hex')}00`, EXTENSION.toString('hex').slice(0, -2)]) {
    const opened = openPayload(Buffer.concat([hex('836a'), hex(behind)]), {})
    assert.deepEqual([opened.term.toString('hex'), opened.bare.toString('hex'), opened.extension], ['836a', '6a', undefined], behind)
  }
})

test('a ref is read in whichever form Erlang could write it', () => {
  for (const [text, value] of [
    ['6100', 0], ['61ff', 255], ['6200000001', 1], ['6207ffffff', 134_217_727], ['627fffffff', 2_147_483_647], ['6e010005', 5], ['6e0000', 0], ['6e0001', 0], ['6e04000500 0000', 5],
    ['6e0700ffffffffffff1f', Number.MAX_SAFE_INTEGER], ['6f00000001 00 07', 7], ['6f00000000 00', 0],
  ] as const) assert.equal(readRef(hex(text)), value, text)
  for (const text of [
    '', '61', '610000', '6e010005 00', '6f0000000100 05 00', '62000001', '6200000001 00', '62ffffffff', '6e0101 05', '6e0700 00000000000020', '6e0200 05', '6e', '6e01', '6f', '6f000000', '6f00000002 00 05', '6a', '6d00000000',
    '4640080000 00000000', `6eff00${'ff'.repeat(255)}`,
  ]) assert.equal(readRef(hex(text)), undefined, text)
})

test('a ref of ours has the shortest form', () => {
  for (const [value, text] of [[0, '6100'], [255, '61ff'], [256, '6200000100'], [134_217_727, '6207ffffff'], [2_147_483_647, '627fffffff']] as const) {
    assert.equal(writeRef(value).toString('hex'), text)
    assert.ok(writeRef(value).equals(bare(value)))
  }
  for (const value of [-1, 0.5, Number.NaN, 2_147_483_648, Infinity]) assert.throws(() => writeRef(value), RangeError)
})

test('the text of an error is that of a binary, cut where it is long; any other term has none', () => {
  assert.equal(errorText(bare('wrong identifier')), 'wrong identifier')
  assert.equal(errorText(writeText('')), '')
  assert.ok(writeText('ü€😀').equals(bare('ü€😀')))
  assert.equal(errorText(writeText('ü€😀')), 'ü€😀')
  assert.equal(errorText(writeText('x'.repeat(100_000)))?.length, 1_000)
  assert.equal(errorText(hex('6d00000001ff')), '\u{fffd}')
  for (const text of ['', '6d', '6d00000002 61', '6d00000001 6161', '6a', '7701 61', '6b0001 61']) assert.equal(errorText(hex(text)), undefined, text)
})

test('a tuple of many is taken apart at the cost of what is before its second', () => {
  const many = bare(Array.from({ length: 200_000 }, (_, index) => new Tuple(index)))
  const call = Buffer.concat(tuple2(writeRef(1), many)).subarray(1)
  const began = process.cpuUsage()
  for (let time = 0; time < 20_000; time++) assert.equal(splitCall(call)?.term.length, many.length)
  const { user, system } = process.cpuUsage(began)
  // Each look at the whole takes milliseconds.
  assert.ok(user + system < 2_000_000, `${(user + system) / 1_000} ms`)
})
