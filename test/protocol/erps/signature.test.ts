import assert from 'node:assert/strict'
import { createHmac } from 'node:crypto'
import { test } from 'node:test'
import { writePacket } from '../../../src/protocol/erps/packet.ts'
import { contextOf, isSignedWith, keyField, signatureOf, type Place } from '../../../src/protocol/erps/signature.ts'
import { packetOf, PLAIN } from './vectors.ts'

const secret = Buffer.from('a secret of thirty-two bytes, or')
const place: Place = { direction: 'connector', connectorNonce: Buffer.alloc(16, 1), acceptorNonce: Buffer.alloc(16, 2), counter: 7 }
const context = contextOf(place)
const key = keyField('zone-a')
const PARTS = [Buffer.of(131), Buffer.from('6a', 'hex')]
const signed = (): Buffer => writePacket(PLAIN, 'call', PARTS, { key, secret, context })

test('a packet is signed with HMAC-SHA-256 over the context and itself, its signature zeroed', () => {
  const bytes = writePacket(PLAIN, 'call', PARTS)
  bytes.set(key, 48)
  const expected = createHmac('sha256', secret).update(Buffer.concat([context, bytes])).digest()
  const packet = packetOf(signed())
  assert.ok(packet.signature.equals(expected))
  assert.equal(packet.key.toString(), `zone-a${'\0'.repeat(10)}`)
  assert.ok(signatureOf(secret, context, packet.bytes).equals(expected), 'what stands in the field does not count')
  assert.ok(isSignedWith(packet, secret, context))
})

test('the context is the label, the direction, both nonces and the counter', () => {
  const zeros = '00'.repeat(16)
  const [one, two] = ['01'.repeat(16), '02'.repeat(16)]
  const label = Buffer.from('waystation').toString('hex')
  assert.equal(context.toString('hex'), `${label}00${one}${two}0000000000000007`)
  assert.equal(contextOf({ ...place, direction: 'acceptor', counter: 2 ** 53 - 1 }).toString('hex'), `${label}01${one}${two}001fffffffffffff`)
  assert.equal(contextOf({ ...place, acceptorNonce: undefined, counter: 0 }).toString('hex'), `${label}00${one}${zeros}0000000000000000`)
})

test('a change of any byte of the packet, of the secret or of the place is found', () => {
  const good = signed()
  for (let at = 0; at < good.length; at++) {
    // A size, a cookie or a type that is another one is no packet of this length.
    if (at < 9) continue
    const bytes = Buffer.from(good)
    bytes[at] = (bytes[at] as number) ^ 1
    assert.equal(isSignedWith(packetOf(bytes), secret, context), false, `byte ${at}`)
  }
  const other = Buffer.from(good)
  other[8] = 8
  assert.equal(isSignedWith(packetOf(other), secret, context), false)
  assert.equal(isSignedWith(packetOf(good), Buffer.from('another'), context), false)
  const places: readonly Partial<Place>[] = [{ counter: 8 }, { direction: 'acceptor' }, { connectorNonce: Buffer.alloc(16) }, { acceptorNonce: Buffer.alloc(16) }, { acceptorNonce: undefined }]
  for (const elsewhere of places) assert.equal(isSignedWith(packetOf(good), secret, contextOf({ ...place, ...elsewhere })), false, JSON.stringify(elsewhere))
})

test('a key id is 1 to 16 bytes, none of them 0; nonces are 16 bytes, counters whole', () => {
  assert.equal(keyField('k').length, 16)
  assert.equal(keyField('ü'.repeat(8)).toString(), 'ü'.repeat(8))
  for (const id of ['', 'x'.repeat(17), 'ü'.repeat(9), 'a\0b']) assert.throws(() => keyField(id), RangeError)
  for (const wrong of [{ counter: -1 }, { counter: 0.5 }, { counter: 2 ** 53 }, { connectorNonce: Buffer.alloc(15) }, { acceptorNonce: Buffer.alloc(17) }]) {
    assert.throws(() => contextOf({ ...place, ...wrong }), RangeError)
  }
  assert.throws(() => writePacket(PLAIN, 'call', PARTS, { key: Buffer.from('short'), secret, context }), RangeError)
})
