import assert from 'node:assert/strict'
import { test } from 'node:test'
import { encodeTracing, parseTracing } from '../../../src/protocol/lonelyps/tracing.ts'
import { hex, vectors } from './vectors.ts'

const TIMES = { received: 1n, sent: 2n ** 64n - 1n }
/** Bytes of flag, count and one entry without its texts. */
const AROUND = 3 + 2 + 2 + 8

test('the tracing of the protocol document is read and written', () => {
  const { entries, request_received_at_ns, response_sent_at_ns, hex: text } = vectors.simple_tracing
  const tracing = {
    truncated: false,
    entries: entries.map(({ name, extra_json, occurred_at }) => ({ name, extra: extra_json, at: occurred_at })),
    received: BigInt(request_received_at_ns),
    sent: BigInt(response_sent_at_ns),
  }
  assert.deepEqual(parseTracing(hex(text)), tracing)
  assert.deepEqual(encodeTracing(tracing), hex(text))
})

test('an entry with which 65,519 bytes would be written is left out, and with it all that follow', () => {
  const filling = (bytes: number) => ({ name: 'n', extra: 'x'.repeat(bytes - AROUND - 1), at: 1 })
  const fits = encodeTracing({ entries: [filling(65_518)], ...TIMES })
  assert.equal(fits.length, 65_518 + 16)
  assert.deepEqual(parseTracing(fits), { truncated: false, entries: [filling(65_518)], ...TIMES })
  const small = { name: 's', extra: '{}', at: 2 }
  for (const entries of [[filling(65_519)], [filling(65_519), small], [{ ...small, name: 'x'.repeat(70_000) }]]) {
    assert.deepEqual(parseTracing(encodeTracing({ entries, ...TIMES })), { truncated: true, entries: [], ...TIMES })
  }
  assert.deepEqual(parseTracing(encodeTracing({ entries: [small, filling(65_518), small], ...TIMES })), { truncated: true, entries: [small], ...TIMES })
})

test('any number of entries fits into a tracing, the rest is left out', () => {
  const entries = Array.from({ length: 100_000 }, () => ({ name: '', extra: '', at: 0 }))
  const bytes = encodeTracing({ entries, ...TIMES })
  assert.ok(bytes.length <= 65_535)
  const parsed = parseTracing(bytes) ?? assert.fail()
  assert.equal(parsed.entries.length, Math.floor((65_518 - 3) / 12))
  assert.equal(parsed.truncated, true)
  assert.equal(parsed.sent, TIMES.sent)
})

test('a tracing that was truncated before stays so', () => {
  const tracing = { truncated: true, entries: [{ name: 'é', extra: '{}', at: 1.5 }], ...TIMES }
  assert.deepEqual(parseTracing(encodeTracing(tracing)), tracing)
})

test('the empty tracing, an unknown flag and a cut one are no tracing', () => {
  const bytes = encodeTracing({ entries: [{ name: 'a', extra: '{}', at: 1 }], ...TIMES })
  for (let size = 0; size < bytes.length; size++) assert.equal(parseTracing(bytes.subarray(0, size)), undefined)
  bytes[0] = 2
  assert.equal(parseTracing(bytes), undefined)
})
