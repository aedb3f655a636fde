import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createReader, digest, pack, raw, s16, s8, tryRead, u16, u32, u64, u8 } from '../../../src/protocol/lonelyps/bytes.ts'

const PACKED = pack(u8(0xff), u16(0xfffe), u32(0xffff_fffd), u64(2n ** 64n - 4n), s8(Buffer.from('a')), s16('é'), raw(Buffer.from('bc')))

test('numbers are big-endian, lengths stand before their bytes', () => {
  assert.equal(PACKED.toString('hex'), `${'ff'}${'fffe'}${'fffffffd'}${'fffffffffffffffc'}${'0161'}${'0002c3a9'}${'6263'}`)
})

test('a reader gives back what was packed, from any place', () => {
  const reader = createReader(Buffer.concat([Buffer.alloc(3), PACKED]), 3)
  assert.deepEqual([reader.u8(), reader.u16(), reader.u32(), reader.u64(), reader.s8().toString(), reader.text16(), reader.take(2).toString()], [0xff, 0xfffe, 0xffff_fffd, 2n ** 64n - 4n, 'a', 'é', 'bc'])
  assert.equal(reader.at, 3 + PACKED.length)
})

test('a reader stops at the end of its bytes, though there are more in the memory behind them', () => {
  const some = Buffer.alloc(16, 1).subarray(0, 3)
  assert.equal(tryRead(some, (reader) => reader.u32()), undefined)
  assert.equal(tryRead(some, (reader) => reader.u64()), undefined)
  assert.equal(tryRead(some, (reader) => reader.f64()), undefined)
  assert.equal(tryRead(some, (reader) => reader.take(4)), undefined)
  assert.equal(tryRead(some, (reader) => reader.s16()), undefined)
  assert.equal(tryRead(some, (reader) => reader.u8(), 3), undefined)
  assert.equal(tryRead(some, (reader) => reader.u8(), 4), undefined)
  assert.deepEqual(tryRead(some, (reader) => reader.take(3)), some)
})

test('text must be UTF-8', () => {
  assert.equal(tryRead(Buffer.from('0001ff', 'hex'), (reader) => reader.text16()), undefined)
  assert.equal(tryRead(Buffer.from('0003eda080', 'hex'), (reader) => reader.text16()), undefined)
  assert.equal(tryRead(Buffer.from('0000', 'hex'), (reader) => reader.text16()), '')
})

test('only what the bytes are to blame for is turned into nothing', () => {
  assert.throws(() => tryRead(PACKED, () => { throw new Error('a fault of ours') }), /a fault of ours/)
})

test('what does not fit its width is refused', () => {
  for (const field of [u8(256), u16(65_536), u32(2 ** 32), u64(2n ** 64n), u8(-1), u64(-1n)]) assert.throws(() => pack(field), RangeError)
  assert.throws(() => s8(Buffer.alloc(256)), RangeError)
  assert.throws(() => s16('é'.repeat(32_768)), RangeError)
  assert.throws(() => digest(Buffer.alloc(65)), RangeError)
})
