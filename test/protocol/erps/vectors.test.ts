import assert from 'node:assert/strict'
import { test } from 'node:test'
import { decode } from '../../../src/protocol/etf/decode.ts'
import { encode } from '../../../src/protocol/etf/encode.ts'
import { Atom, Tuple } from '../../../src/protocol/etf/term.ts'
import { createHead, KEEPALIVE, writePacket } from '../../../src/protocol/erps/packet.ts'
import { TYPES, type Packet, type Version } from '../../../src/protocol/erps/messages.ts'
import { errorText, openPayload, readRef, splitCall, splitError, splitReply, tuple2, writeRef, writeText } from '../../../src/protocol/erps/payload.ts'
import { PacketError } from '../../../src/protocol/erps/reader.ts'
import { readVersion } from '../../../src/protocol/erps/versions.ts'
import { comparable, sha256, termFrom, type Notation } from '../etf/vectors.ts'
import { all, decoded, hex, inOldForm, packetOf, PLAIN, reader, vectors, versionText, written, type Written } from './vectors.ts'

const bare = (term: Parameters<typeof encode>[0]): Buffer => encode(term).subarray(1)

/** Whatever can be held against the words of the vectors. */
function says(packet: Packet, { name, type, version, identifier, payload, hmac_key, signature }: Written): void {
  assert.equal(packet.type, type, name)
  assert.equal(versionText(packet.version), versionText(readVersion(version ?? '0.0.0') as Version), name)
  assert.equal(packet.identifier.toString(), identifier ?? '', name)
  assert.equal(packet.key.toString('hex'), hmac_key ?? '00'.repeat(16), name)
  assert.equal(packet.signature.toString('hex'), signature ?? '00'.repeat(32), name)
  if (payload === undefined) {
    assert.equal(packet.payload.length, 0, name)
    return
  }
  const { term, bare: inner } = openPayload(packet.payload, {})
  assert.deepEqual(comparable(decode(term).term), comparable(termFrom(payload)), name)
  assert.ok(inner.equals(term.subarray(1)), name)
  const header = { version: packet.version, identifier: packet.identifier }
  const again = writePacket(createHead(header), packet.type, [packet.payload.subarray(0, 3), packet.payload.subarray(3)])
  packet.key.copy(again, 48)
  packet.signature.copy(again, 64)
  assert.ok(again.equals(packet.bytes), name)
}

test('every packet of the vectors is read in both of its forms, and written as it stands there', () => {
  assert.equal(vectors.packets.length, 29)
  for (const vector of vectors.packets) {
    const { name, type, payload, compressed, hmac_key = '', hex: utf8, hex_latin1_atoms: latin1, hex_sha256, hex_latin1_atoms_sha256, total_len } = vector
    if (latin1 !== undefined) says(packetOf(hex(latin1)), vector)
    if (utf8 !== undefined) says(packetOf(hex(utf8)), vector)
    if (payload === undefined) {
      assert.equal(type, 'keepalive')
      assert.equal(KEEPALIVE.toString('hex'), utf8)
      continue
    }
    const bytes = written(vector)
    hex(hmac_key).copy(bytes, 48)
    says(packetOf(bytes), vector)
    // What is compressed has the bytes of one zlib, or of another.
    if (compressed !== undefined && name !== 'cast_compressed_no_gain') continue
    const old = inOldForm(bytes, payload)
    assert.equal((compressed === undefined ? old : bytes).length, total_len, name)
    if (hex_sha256 !== undefined) {
      assert.deepEqual([sha256(bytes), sha256(old)], [hex_sha256, hex_latin1_atoms_sha256], name)
      continue
    }
    assert.equal(bytes.toString('hex'), utf8, name)
    if (latin1 !== undefined) assert.equal(old.toString('hex'), latin1, name)
  }
})

test('a server takes and refuses what the original does, and says so in its words', () => {
  const { cases } = vectors.decode
  assert.equal(cases.length, 41)
  const known = { atoms: new Set(['ping', 'lists', 'map']) }
  for (const each of cases) {
    const { name } = each
    if (name === 'keepalive_long_form_no_payload') {
      // In a stream it is a short keepalive, and then zeros where a cookie should be.
      const one = reader()
      const zeros = Buffer.concat([KEEPALIVE, Buffer.alloc(87)])
      assert.throws(() => all(one, [zeros]), (error: PacketError) => error.code === 'bad_cookie')
      assert.throws(() => openPayload(Buffer.alloc(0), {}), { code: 'badarg' })
      continue
    }
    const result = decoded(each, known)
    if (!each.ok) {
      // The original's exception and its error are one refusal here.
      assert.equal(result, each.error === 'text' ? each.text : each.error === 'raises' ? 'badarg' : each.error, name)
      continue
    }
    assert.ok(typeof result === 'object', `${name}: ${JSON.stringify(result)}`)
    assert.equal(result.packet.type, each.type, name)
    if (each.payload === undefined) continue
    assert.equal(versionText(result.packet.version), each.version, name)
    assert.equal(result.packet.identifier.toString(), each.identifier, name)
    assert.deepEqual(comparable(decode(result.term, { opaque: 'kept' }).term), comparable(termFrom(each.payload)), name)
  }
})

test('what originals said to one another is read, and written again as it was', () => {
  assert.equal(vectors.sessions.length, 8)
  for (const { name: session, packets } of vectors.sessions) {
    for (const each of packets) {
      const name = `${session}: ${each.type}`
      if (each.hex === undefined) {
        const old = inOldForm(written(each), each.payload as Notation)
        assert.equal(sha256(old), each.hex_sha256, name)
        says(packetOf(old), { ...each, name })
        continue
      }
      const packet = packetOf(hex(each.hex))
      says(packet, { ...each, name })
      if (each.payload === undefined) continue
      const { term, bare: inner } = openPayload(packet.payload, {})
      const parts = each.type === 'call' ? splitCall(inner) : each.type === 'reply' ? splitReply(inner) : undefined
      assert.equal(parts === undefined, each.type !== 'call' && each.type !== 'reply', name)
      if (parts !== undefined) {
        const joined = each.type === 'call' ? tuple2(parts.ref, parts.term) : tuple2(parts.term, parts.ref)
        assert.ok(Buffer.concat(joined).equals(term), name)
        assert.ok(writeRef(readRef(parts.ref) as number).equals(parts.ref), name)
      }
      if (packet.payload[1] !== 80) assert.equal(inOldForm(written(each), each.payload).toString('hex'), each.hex, name)
    }
  }
})

test('the bytes of annex B are what is written', () => {
  assert.equal(KEEPALIVE.toString('hex'), '657270730000000000')
  const zeros = '00'.repeat(36 + 16 + 32)
  const call = writePacket(PLAIN, 'call', tuple2(writeRef(1), bare(new Atom('ping'))))
  assert.equal(call.toString('hex'), hex(`65727073 0000000b 04 000000 ${zeros} 83 68 02 61 01 77 04 70 69 6e 67`).toString('hex'))
  assert.equal(call.length, 107)
  const head = createHead({ version: { major: 0, minor: 2, patch: 4 }, identifier: Buffer.from('my_api') })
  const double = writePacket(head, 'call', tuple2(writeRef(77), bare(new Tuple(new Atom('double'), 47))))
  assert.equal(double.subarray(8, 96).toString('hex'), hex(`04 00 02 04 6d 79 5f 61 70 69 ${'00'.repeat(30 + 16 + 32)}`).toString('hex'))
  const reply = writePacket(PLAIN, 'reply', tuple2(bare(new Atom('pong')), writeRef(1)))
  assert.equal(reply.subarray(96).toString('hex'), '8368027704706f6e676101')
  const error = writePacket(PLAIN, 'error', [Buffer.of(131), writeText('wrong identifier')])
  assert.equal(error.length, 118)
  assert.equal(error[8], TYPES.error)
  assert.equal(error.subarray(96).toString('hex'), '836d0000001077726f6e67206964656e746966696572')
  assert.equal(errorText(openPayload(error.subarray(96), {}).bare), 'wrong identifier')
})

test('an error for one call is told from one for all of them', () => {
  const pair = vectors.packets.find(({ name }) => name === 'error_pair_for_one_call')
  const inner = openPayload(packetOf(hex(pair?.hex as string)).payload, {}).bare
  const parts = splitError(inner)
  assert.equal(errorText(inner), undefined)
  assert.equal(errorText(parts?.term as Buffer), 'nope')
  assert.equal(readRef(parts?.ref as Buffer), 9)
  assert.equal(splitError(writeText('wrong identifier')), undefined)
})
