import assert from 'node:assert/strict'
import { X509Certificate } from 'node:crypto'
import { test } from 'node:test'
import { issueLeaf, makeAuthority } from '../../src/zones/authority/issue.ts'
import { bareAddress, carriedNames, namesInside, namesOf } from '../../src/zones/names.ts'

const span = { from: Date.now() - 1_000, until: Date.now() + 1_000_000 }

async function certificate(name: string, ips: string[], dns: string[]): Promise<X509Certificate> {
  const authority = await makeAuthority({ name: 'CA', serial: '41', span })
  return new X509Certificate((await issueLeaf(authority, { kind: 'client', name, ips, dns, serial: '42', span })).cert)
}

test('a certificate is known by its common name, its DNS names and its IP addresses', async () => {
  const edge = await certificate('edge, of O=here', ['192.0.2.7', '2001:db8::1'], ['Edge.Example', 'localhost'])
  assert.deepEqual(namesInside(edge).map(({ kind, text }) => `${kind} ${text}`), ['cn edge, of O=here', 'ip 192.0.2.7', 'ip 2001:db8::1', 'dns Edge.Example', 'dns localhost'])
})

test('a name that reads as if it were two is one', async () => {
  const edge = await certificate('edge', [], ['a, DNS:victim', 'b", DNS:"victim'])
  assert.deepEqual(namesInside(edge).map(({ text }) => text), ['edge', 'a, DNS:victim', 'b", DNS:"victim'])
})

test('by what a peer is known again: its certificate, and its address where that is not everyone\'s', async () => {
  const edge = await certificate('edge', ['192.0.2.7', '127.0.0.1', '2001:db8::1'], ['Edge.Example', 'localhost'])
  const names = ['cn:edge', 'ip:192.0.2.7', 'ip:2001:db8::1', 'dns:edge.example']
  assert.deepEqual(namesOf({ address: '127.0.0.1', certificate: edge }), names)
  assert.deepEqual(namesOf({ address: '::ffff:198.51.100.1', certificate: edge }), [...names, 'ip:198.51.100.1'])
  assert.deepEqual(namesOf({ address: '::ffff:192.0.2.7', certificate: edge }), names)
  assert.deepEqual(namesOf({ address: '2001:db8::1', certificate: edge }), names)
  assert.deepEqual(namesOf({ address: '127.0.0.1', certificate: undefined }), ['ip:127.0.0.1'])
})

test('an address is written in one way', () => {
  assert.equal(bareAddress('::FFFF:127.0.0.1'), '127.0.0.1')
  assert.equal(bareAddress('2001:DB8:0:0::1'), '2001:db8::1')
  assert.equal(bareAddress('gone'), 'gone')
})

test('a message carries few names of the peer that it has come through, and none that is long: the next hubs must take it', async () => {
  const many = await certificate('edge', [], Array.from({ length: 300 }, (_, i) => `n${i}.example`))
  const names = namesOf({ address: '127.0.0.1', certificate: many })
  assert.equal(names.length, 301)
  assert.deepEqual(carriedNames(names), ['cn:edge', ...Array.from({ length: 7 }, (_, i) => `dns:n${i}.example`)])
  assert.deepEqual(carriedNames([`dns:${'x'.repeat(5_000)}`, 'cn:edge']), ['cn:edge'])
})
