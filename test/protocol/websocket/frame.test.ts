import assert from 'node:assert/strict'
import { test } from 'node:test'
import { BINARY, frame, headerSize, TEXT, writeHeader } from '../../../src/protocol/websocket/frame.ts'

/** RFC 6455, section 5.2, read back as it is written there. */
function parse(bytes: Buffer): { fin: boolean; rsv: number; opcode: number; masked: boolean; payload: Buffer; headerSize: number } {
  const [first, second] = [bytes.readUInt8(0), bytes.readUInt8(1)]
  const short = second & 0x7f
  const size = short === 127 ? 10 : short === 126 ? 4 : 2
  const length = short === 127 ? Number(bytes.readBigUInt64BE(2)) : short === 126 ? bytes.readUInt16BE(2) : short
  const payload = bytes.subarray(size)
  assert.equal(payload.length, length)
  return { fin: (first & 0x80) !== 0, rsv: (first >> 4) & 7, opcode: first & 0x0f, masked: (second & 0x80) !== 0, payload, headerSize: size }
}

for (const length of [0, 1, 125, 126, 127, 128, 255, 256, 65_535, 65_536, 65_537, 1_000_000]) {
  test(`a payload of ${length} bytes is one final, unmasked frame with the shortest length`, () => {
    const payload = Buffer.alloc(length, 'é')
    for (const opcode of [TEXT, BINARY]) {
      const read = parse(frame(opcode, payload))
      const shortest = length < 126 ? 2 : length < 65_536 ? 4 : 10
      assert.deepEqual({ ...read, payload: read.payload.equals(payload) }, { fin: true, rsv: 0, opcode, masked: false, payload: true, headerSize: shortest })
      assert.equal(headerSize(length), shortest)
    }
  })
}

test('a header is written where it is wanted, over whatever was there, and nothing beside it', () => {
  for (const length of [5, 300, 70_000]) {
    const buffer = Buffer.alloc(30, 0xaa)
    const end = writeHeader(buffer, 7, TEXT, length)
    assert.equal(end, 7 + headerSize(length))
    assert.ok(buffer.subarray(0, 7).every((byte) => byte === 0xaa))
    assert.ok(buffer.subarray(end).every((byte) => byte === 0xaa))
    assert.equal(buffer[7], 0x81)
  }
})
