import assert from 'node:assert/strict'
import { test } from 'node:test'
import { judge } from '../../../src/protocol/erps/judge.ts'
import { createHead, KEEPALIVE, writePacket } from '../../../src/protocol/erps/packet.ts'
import { readRequirement } from '../../../src/protocol/erps/versions.ts'
import { all, packetOf, PLAIN, reader } from './vectors.ts'

const identifier = Buffer.from('api')
const requirement = readRequirement('~> 1.0')
const JUNK = [Buffer.from('junk')]
const good = createHead({ version: { major: 1, minor: 2, patch: 3 }, identifier })

test('of all that is wrong with a packet the first is told, and a payload is not looked at', () => {
  const wanted = { identifier, requirement, signed: 'refused' } as const
  for (const [head, at, text] of [
    [createHead({ version: { major: 2, minor: 0, patch: 0 }, identifier: Buffer.from('API') }), 60, 'wrong identifier'],
    [createHead({ version: { major: 2, minor: 0, patch: 0 }, identifier }), 60, 'incompatible version'],
    [good, 48, 'authentication provided'],
    [good, 63, 'authentication provided'],
    [good, 64, 'authentication provided'],
    [good, 95, 'authentication provided'],
    [good, undefined, undefined],
  ] as const) {
    const bytes = writePacket(head, 'call', JUNK)
    if (at !== undefined) bytes[at] = 1
    assert.equal(judge(packetOf(bytes), wanted), text)
  }
})

test('what is not declared is not checked, and an empty identifier is one', () => {
  assert.equal(judge(packetOf(writePacket(good, 'call', JUNK)), { signed: 'refused' }), undefined)
  assert.equal(judge(packetOf(writePacket(good, 'call', JUNK)), { identifier: Buffer.alloc(0), signed: 'refused' }), 'wrong identifier')
  assert.equal(judge(packetOf(writePacket(PLAIN, 'call', JUNK)), { identifier: Buffer.alloc(0), signed: 'refused' }), undefined)
})

test('a short keepalive is never checked, and a long one is', () => {
  const [short] = all(reader(), [KEEPALIVE])
  for (const signed of ['refused', 'required'] as const) assert.equal(judge(short as never, { identifier, requirement, signed }), undefined)
  assert.equal(judge(packetOf(writePacket(PLAIN, 'keepalive', JUNK)), { identifier, signed: 'refused' }), 'wrong identifier')
})

test('where signatures are required a packet without key or signature is refused behind the other checks', () => {
  const bytes = writePacket(good, 'call', JUNK)
  const wanted = { identifier, requirement, signed: 'required' } as const
  assert.equal(judge(packetOf(bytes), wanted), 'authentication required')
  bytes[50] = 1
  assert.equal(judge(packetOf(bytes), wanted), 'authentication required')
  bytes[70] = 1
  assert.equal(judge(packetOf(bytes), wanted), undefined)
  bytes[50] = 0
  assert.equal(judge(packetOf(bytes), wanted), 'authentication required')
  assert.equal(judge(packetOf(writePacket(PLAIN, 'call', JUNK)), wanted), 'wrong identifier')
})
