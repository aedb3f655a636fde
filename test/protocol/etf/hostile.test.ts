import assert from 'node:assert/strict'
import { test } from 'node:test'
import { deflateSync } from 'node:zlib'
import { decode, type DecodeOptions } from '../../../src/protocol/etf/decode.ts'
import { encode } from '../../../src/protocol/etf/encode.ts'
import { plain } from '../../../src/protocol/etf/plain.ts'
import { scan } from '../../../src/protocol/etf/scan.ts'
import { Atom, Float, TermMap, type Term } from '../../../src/protocol/etf/term.ts'
import { outcome } from './vectors.ts'

const READERS = [decode, scan, plain] as const

function all(bytes: Uint8Array, options?: DecodeOptions): string {
  const outcomes = new Set(READERS.map((read) => outcome(() => read(bytes, options))))
  assert.equal(outcomes.size, 1, `${[...outcomes].join(' or ')} of ${Buffer.from(bytes).toString('hex').slice(0, 200)}`)
  return [...outcomes][0] as string
}

function hex(text: string): Buffer {
  return Buffer.from(text.replaceAll(' ', ''), 'hex')
}

function compressed(inside: Uint8Array, size = inside.length): Buffer {
  const head = Buffer.from([131, 80, 0, 0, 0, 0])
  head.writeUInt32BE(size, 2)
  return Buffer.concat([head, deflateSync(inside, { level: 9 })])
}

/** Bytes of one term within another, many times. */
function levels(head: string, count: number, end: string): Buffer {
  return Buffer.concat([Buffer.of(131), ...Array.from({ length: count }, () => hex(head)), hex(end)])
}

test('a claim of four gigabytes is refused before anything is made for it', () => {
  for (const head of ['69', '6c', '6d', '6f', '74', '70', '50']) assert.equal(all(hex(`83 ${head} ffffffff 00 61 01`), { opaque: 'kept' }), 'badarg', head)
  for (const head of ['4d ffffffff 01', '5a ffff 7700 00000000', '72 ffff 7700 00', '6b ffff', '76 ffff', '64 ffff', '73 ff', '77 ff', '6e ff 00', '68 ff']) assert.equal(all(hex(`83 ${head} 61 01`), { opaque: 'kept' }), 'badarg', head)
  const before = process.memoryUsage()
  const claim = Buffer.concat([hex('83 6c 00ffffff'), Buffer.alloc(1_000, 106)])
  for (let time = 0; time < 1_000; time++) all(claim)
  assert.ok(process.memoryUsage().heapUsed - before.heapUsed < 100_000_000)
})

test('claims within one another cannot all be made: together they may announce no more than is left', () => {
  // Each level announces as many terms as bytes are there, and the next one again.
  const rest = Buffer.alloc(1_000_000, 106)
  const head = Buffer.alloc(5)
  head[0] = 105
  head.writeUInt32BE(999_000, 1)
  const bomb = Buffer.concat([Buffer.of(131), ...Array.from({ length: 900 }, () => head), rest])
  const before = process.memoryUsage().heapUsed
  assert.equal(all(bomb), 'badarg')
  assert.ok(process.memoryUsage().heapUsed - before < 200_000_000)
})

test('levels are counted, not called: a hundred thousand of any kind are refused or read as was asked', () => {
  const kinds = [['68 01', '6101', ''], ['6c 00000001', '6101', '6a'], ['74 00000001 6a', '6101', ''], ['74 00000001', '6a', '6a'], ['74 00000002 6101 6a', '6a', '6a6a']] as const
  for (const [head, end, close] of kinds) {
    for (const count of [100, 1_000, 100_000]) {
      const bytes = levels(head, count, end + close.repeat(count))
      assert.equal(all(bytes), count <= 1_000 ? 'ok' : 'too_deep', head)
      assert.equal(all(bytes, { maxDepth: count }), 'ok', head)
      assert.equal(all(bytes, { maxDepth: count - 1 }), 'too_deep', head)
    }
  }
  // Tails make a list longer, not deeper.
  const long = levels('6c 00000001 6101', 100_000, '6a')
  assert.equal((decode(long, { maxDepth: 1 }).term as Term[]).length, 100_000)
  assert.equal(decode(levels('6c 00000000', 100_000, '6107')).term, 7)
})

test('a compressed bomb is refused by what it says, by what it grows to, and by what is in it', () => {
  const bomb = compressed(encode(Buffer.alloc(10_000_000)).subarray(1))
  assert.ok(bomb.length < 11_000)
  assert.equal(all(bomb), 'ok')
  assert.equal(all(bomb, { maxBytes: 9_999_999 }), 'too_large')
  assert.equal(all(bomb, { maxMemory: 4 * bomb.length }), 'too_large')
  // It says that it is small.
  const liar = Buffer.from(bomb)
  liar.writeUInt32BE(1_000, 2)
  const begun = process.cpuUsage()
  for (let time = 0; time < 100; time++) assert.equal(all(liar), 'badarg')
  const { user, system } = process.cpuUsage(begun)
  assert.ok(user + system < 1_000_000, `what it grows to was made, in ${(user + system) / 1_000_000} s`)
  // It says that it is larger than any stream of its size can be.
  liar.writeUInt32BE(16_000_000, 2)
  assert.equal(all(liar), 'badarg')
  for (const inside of [compressed(hex('6101')), compressed(hex('6101')).subarray(1), compressed(bomb.subarray(1)), hex('836101'), Buffer.alloc(0)]) assert.equal(all(compressed(inside)), 'badarg')
  assert.equal(all(compressed(hex('7703616263')), { atoms: new Set(['abd']) }), 'badarg')
  assert.equal(all(compressed(levels('68 01', 1_001, '6a').subarray(1))), 'too_deep')
})

test('what stands behind a term is left alone, plain or compressed', () => {
  for (const term of [hex('836101'), compressed(hex('6101'))]) {
    const longer = Buffer.concat([term, Buffer.from('more')])
    assert.deepEqual([decode(longer).end, scan(longer)], [term.length, term.length])
    assert.deepEqual(plain(longer), hex('836101'))
  }
  const exact = hex('836101')
  assert.equal(plain(exact), exact)
  // Not every input is a Buffer, or begins where its memory does.
  const shifted = new Uint8Array([9, 9, 131, 109, 0, 0, 0, 1, 65, 9]).subarray(2)
  assert.deepEqual(decode(shifted), { term: Uint8Array.of(65), end: 7 })
})

test('a key that stands twice is found in whatever form', () => {
  const same = [
    ['6105', '62 00000005'], ['6105', '6e 01 00 05'], ['6105', '6f 00000003 00 050000'], ['62 ffffffff', '6e 01 07 01'], ['6100', '6e 00 01'], ['6e 05 00 0000000001', '6e 06 00 000000000100'],
    ['46 3ff8000000000000', '63' + Buffer.from('1.5'.padEnd(31, '\0')).toString('hex')], ['46 0000000000000000', '46 8000000000000000'],
    ['77 02 c3a9', '73 01 e9'], ['64 0001 e9', '76 0002 c3a9'], ['6d 00000001 ff', '4d 00000001 08 ff'], ['4d 00000001 03 a0', '4d 00000001 03 bf'], ['6d 00000000', '4d 00000000 00'],
    ['6a', '6b 0000'], ['6b 0002 0102', '6c 00000002 6101 6102 6a'], ['6b 0002 0102', '6c 00000001 6101 6b 0001 02'], ['6b 0001 01', '6c 00000001 6101 6c 00000000 6a'], ['6105', '6c 00000000 6105'],
    ['6c 00000002 6101 6102 6103', '6c 00000001 6101 6c 00000001 6102 6103'], ['68 01 6a', '69 00000001 6a'], ['68 00', '69 00000000'],
    ['74 00000002 6101 6a 6102 6a', '74 00000002 6102 6a 6101 6a'], ['58 7700 00000001 00000002 00000003', '67 7700 00000001 00000002 03'],
    ['5a 0001 7700 00000003 00000001', '65 7700 00000001 03'], ['5a 0002 7700 00000003 00000001 00000002', '72 0002 7700 03 00000001 00000002'],
    ['59 7700 00000001 00000003', '78 7700 0000000000000001 00000003'], ['68 01' + '6d 00000050' + '41'.repeat(80), '69 00000001' + '4d 00000050 08' + '41'.repeat(80)],
  ] as const
  const different = [
    ['6101', '46 3ff0000000000000'], ['77 01 61', '6d 00000001 61'], ['6a', '68 00'], ['6a', '6d 00000000'], ['6c 00000001 6a 6a', '6a'], ['6c 00000001 6101 6102', '6b 0002 0102'], ['74 00000000', '68 00'],
    ['68 02 6101 6102', '68 02 6102 6101'], ['4d 00000001 03 a0', '4d 00000001 04 a0'], ['6e 05 00 0000000001', '6e 05 01 0000000001'], ['74 00000002 6101 6a 6102 6a', '74 00000002 6101 6102 6102 6a'],
    ['68 02 6801 6a 6a', '68 02 6a 6801 6a'], ['6d 00000050' + '41'.repeat(80), '6d 00000050' + '41'.repeat(79) + '42'], ['6c 00000001 6c 00000001 6a 6a 6a', '6c 00000002 6a 6a 6a'],
    ['6c 00000001 6c 00000001 6101 6102 6a', '6c 00000002 6b 0001 01 6102 6a'],
  ] as const
  for (const [pairs, expected] of [[same, 'badarg'], [different, 'ok']] as const) {
    for (const [one, other] of pairs) {
      assert.equal(all(hex(`83 74 00000002 ${one} 6a ${other} 6a`), { opaque: 'kept' }), expected, `${one} and ${other}`)
      assert.equal(all(hex(`83 74 00000003 ${one} 6a 77 03 787878 68 01 6a ${other} 6a`), { opaque: 'kept' }), expected, `${one} and ${other} among three`)
      assert.equal(all(hex(`83 74 00000002 68 02 ${one} 6105 6a 69 00000002 ${other} 62 00000005 6a`), { opaque: 'kept' }), expected, `${one} and ${other} in tuples`)
      assert.equal(all(hex(`83 74 00000001 74 00000002 ${one} 6a ${other} 6a 6a`), { opaque: 'kept' }), expected, `${one} and ${other} in a map that is a key`)
    }
  }
})

test('keys of large maps are compared in time that grows with their bytes, whatever they are', () => {
  const sets: readonly (readonly [string, (index: number) => Term])[] = [
    ['numbers', (index) => index], ['texts with one beginning', (index) => `${'x'.repeat(50)}${index}`], ['long texts', (index) => `${'x'.repeat(90)}${index}`], ['tuples', (index) => [index, new Atom('a')]],
  ]
  for (const [name, key] of sets) {
    const entries = Array.from({ length: 20_000 }, (_, index) => [key(index), 1] as const)
    const begun = process.cpuUsage()
    assert.equal(all(encode(new TermMap(entries))), 'ok', name)
    assert.equal(all(encode(new TermMap([...entries, [key(13_415), 2]]))), 'badarg', name)
    const { user, system } = process.cpuUsage(begun)
    assert.ok(user + system < 20_000_000, `${name} took ${(user + system) / 1_000_000} s`)
  }
})

test('maps that are keys of maps that are keys are read once, not once for each level', () => {
  let term: Term = Buffer.alloc(200_000, 65)
  for (let level = 0; level < 900; level++) term = new TermMap([[term, 1], [2, 2]])
  const bytes = encode(term)
  const begun = process.cpuUsage()
  for (let time = 0; time < 5; time++) all(bytes)
  const { user, system } = process.cpuUsage(begun)
  assert.ok(user + system < 10_000_000, `took ${(user + system) / 1_000_000} s`)
})

test('memory is accounted for before it is taken', () => {
  const many: readonly (readonly [string, Term])[] = [
    ['empty lists', Array.from({ length: 100_000 }, () => [])], ['bytes', Array.from({ length: 60_000 }, (_, index) => index % 256)], ['binaries', Array.from({ length: 20_000 }, () => Buffer.of(1))],
    ['atoms', Array.from({ length: 20_000 }, () => new Atom('a'))], ['maps', Array.from({ length: 10_000 }, () => new TermMap([[1, 2]]))],
  ]
  for (const [name, term] of many) {
    const bytes = encode(term)
    assert.equal(outcome(() => decode(bytes, { maxMemory: 4 * bytes.length })), 'too_large', name)
    assert.equal(outcome(() => decode(bytes, { maxMemory: 40 * bytes.length })), 'ok', name)
    assert.equal(outcome(() => scan(bytes, { maxMemory: 1_000 })), 'ok', name)
  }
  assert.equal(outcome(() => decode(encode(Buffer.alloc(1_000_000)), { maxMemory: 1_000 })), 'ok')
  assert.equal(outcome(() => decode(encode(Buffer.alloc(1_000_000)), { maxMemory: 1_000, binaries: 'text' })), 'too_large')
  const keys = encode(new TermMap(Array.from({ length: 10_000 }, (_, index) => [index, 1] as const)))
  assert.equal(outcome(() => scan(keys, { maxMemory: 10_000 })), 'too_large')
})

test('binaries are views of what was read, and texts where that was asked for and they are UTF-8', () => {
  const bytes = encode(['grüße', Buffer.of(0xff), ''])
  const [view] = decode(bytes).term as [Uint8Array]
  assert.equal(view.buffer, bytes.buffer)
  assert.deepEqual(decode(bytes, { binaries: 'text' }).term, ['grüße', Uint8Array.of(0xff), ''])
})

test('a float in text ends at its first zero, and is one as Erlang writes or reads it', () => {
  const text = (value: string): Buffer => Buffer.concat([hex('8363'), Buffer.from(value.padEnd(31, '\0'))])
  for (const [value, float] of [['1.5', 1.5], ['+1.5E1', 15], ['-2,25e+00', -2.25], ['1.5\0@@', 1.5], ['-1.5e-400', -0]] as const) {
    assert.equal(all(text(value)), 'ok', value)
    assert.deepEqual(decode(text(value)).term, new Float(float), value)
  }
  for (const value of ['', '5', '1.', '.5', '1e5', '1.5e', '1.5e0x', ' 1.5', '1.5 ', '1.5e999', 'NaN', '0x1.5']) assert.equal(all(text(value)), 'badarg', value)
})

test('only declared atoms are taken, as names of nodes and of functions too', () => {
  const atoms = new Set(['here'])
  for (const [name, known] of [['here', true], ['ok', true], ['keepalive', true], ['there', false], ['nonode@nohost', false], ['', false]] as const) {
    const atom = `77 ${name.length.toString(16).padStart(2, '0')} ${Buffer.from(name).toString('hex')}`
    assert.equal(all(hex(`83 ${atom}`), { atoms }), known ? 'ok' : 'badarg', name)
    assert.equal(all(hex(`83 71 ${atom} ${atom} 6101`), { atoms, opaque: 'kept' }), known ? 'ok' : 'badarg', name)
    const node = known || name === 'nonode@nohost' ? 'ok' : 'badarg'
    for (const identifier of [`58 ${atom} ${'00'.repeat(12)}`, `5a 0001 ${atom} ${'00'.repeat(8)}`, `59 ${atom} ${'00'.repeat(8)}`]) assert.equal(all(hex(`83 ${identifier}`), { atoms, opaque: 'kept' }), node, name)
  }
})
