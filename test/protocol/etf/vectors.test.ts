import assert from 'node:assert/strict'
import { test } from 'node:test'
import { decode } from '../../../src/protocol/etf/decode.ts'
import { encode } from '../../../src/protocol/etf/encode.ts'
import { plain } from '../../../src/protocol/etf/plain.ts'
import { scan } from '../../../src/protocol/etf/scan.ts'
import { comparable, outcome, sha256, termFrom, vectors, type Notation } from './vectors.ts'

const KEPT = { opaque: 'kept' } as const

/** Decoding, scanning and making plain agree on these bytes, and give this term. */
function reads(name: string, hex: string, expected: Notation): void {
  const bytes = Buffer.from(hex, 'hex')
  const { term, end } = decode(bytes, KEPT)
  assert.deepEqual(comparable(term), comparable(termFrom(expected)), name)
  assert.equal(scan(bytes, KEPT), end, name)
  const alone = plain(bytes, KEPT)
  assert.equal(scan(alone, KEPT), alone.length, name)
  assert.deepEqual(comparable(decode(alone, KEPT).term), comparable(term), name)
}

test('every term of the vectors is written byte for byte as Erlang writes it, and read back', () => {
  assert.equal(vectors.encode.length, 149)
  for (const { name, term: notation, hex, hex_len, hex_sha256, hex_latin1_atoms, map_order_free } of vectors.encode) {
    const term = termFrom(notation)
    const bytes = encode(term)
    if (map_order_free !== true && hex !== undefined) assert.equal(bytes.toString('hex'), hex, name)
    if (hex_sha256 !== undefined) assert.deepEqual([bytes.length, sha256(bytes)], [hex_len, hex_sha256], name)
    reads(name, hex ?? bytes.toString('hex'), notation)
    if (hex_latin1_atoms !== undefined) reads(name, hex_latin1_atoms, notation)
    // A map goes back in the order in which it came.
    if (hex !== undefined) assert.equal(encode(decode(Buffer.from(hex, 'hex')).term).toString('hex'), hex, name)
  }
})

test('pids, references and ports of every age are read, and sent back in their newest form', () => {
  assert.equal(vectors.identifiers.length, 12)
  for (const { name, hex, term, reencoded_hex } of vectors.identifiers) {
    reads(name, hex, term)
    assert.equal(encode(decode(Buffer.from(hex, 'hex'), KEPT).term).toString('hex'), reencoded_hex, name)
  }
})

test('forms that Erlang takes and never writes are read', () => {
  assert.equal(vectors.decode_only.length, 35)
  for (const { name, hex, term, error } of vectors.decode_only) {
    if (term !== undefined) reads(name, hex, term)
    else for (const read of [decode, scan, plain]) assert.equal(outcome(() => read(Buffer.from(hex, 'hex'))), error, name)
  }
})

test('what Erlang refuses is refused with its word, by reading and by scanning', () => {
  assert.equal(vectors.invalid.length, 41)
  for (const { name, hex, result, term } of [...vectors.invalid, ...vectors.compressed.edges]) {
    const bytes = Buffer.from(hex, 'hex')
    for (const read of [decode, scan, plain]) assert.equal(outcome(() => read(bytes)), result, name)
    if (term !== undefined) reads(name, hex, term)
  }
})

test('safe decoding knows the atoms that were declared and refuses functions and ports, wherever they stand', () => {
  assert.equal(vectors.safe.cases.length, 20)
  // What the machine that made the vectors knew beside the common ones.
  const atoms = new Set(['lists', 'map'])
  for (const { name, hex, guarded, safe_only, unguarded } of vectors.safe.cases) {
    const bytes = Buffer.from(hex, 'hex')
    for (const read of [decode, scan]) {
      assert.equal(outcome(() => read(bytes, { atoms })) === 'ok', guarded === 'ok', `${name}, guarded`)
      assert.equal(outcome(() => read(bytes, KEPT)), unguarded, `${name}, unguarded`)
      // Which functions are loaded is nothing that can be known here, and what is in a local one is not looked at.
      if (!name.includes('missing')) assert.equal(outcome(() => read(bytes, { atoms, opaque: 'kept' })), safe_only, `${name}, safe`)
    }
  }
})

test('compressed terms are read at every level, and made plain', () => {
  assert.equal(vectors.compressed.cases.length, 7)
  for (const { name, term: notation, uncompressed_len_with_version: size, ...encoded } of vectors.compressed.cases) {
    const expected = encode(termFrom(notation))
    assert.equal(expected.length, size, name)
    for (const hex of [encoded.default, encoded.level1, encoded.level6, encoded.level9]) {
      reads(name, hex, notation)
      // Maps stand in the order of the one who wrote them.
      if (name !== 'suite_like') assert.deepEqual(plain(Buffer.from(hex, 'hex')), expected, name)
    }
  }
})
