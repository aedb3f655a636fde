import assert from 'node:assert/strict'
import { test } from 'node:test'
import { until } from '../support/events.ts'
import { openFrames, OPCODE } from '../support/frames.ts'
import { clientFrame } from '../support/raw.ts'
import { startServer } from '../support/server.ts'

/*
 * Malformed frames, in the places where a reader is easily confused: in the middle of a fragmented message, cut into
 * single bytes, split inside a character. (Each by itself: test/transports/pinghub/closing.test.ts.)
 */
const { continuation, text, binary, close, ping, pong } = OPCODE
const partly = { fin: false }

function closing(code: number, reason: string | Uint8Array = ''): Buffer {
  return Buffer.concat([Buffer.from([code >> 8, code & 0xff]), Buffer.from(reason as string)])
}

const WRONG: Record<string, [code: number, ...frames: Buffer[]]> = {
  'an unmasked frame': [1002, clientFrame(text, 'x', { masked: false })],
  'an unmasked empty frame': [1002, clientFrame(text, '', { masked: false })],
  'an unmasked pong': [1002, clientFrame(pong, '', { masked: false })],
  'RSV1, as of a compression that nobody agreed on': [1002, clientFrame(text, 'x', { rsv: 4 })],
  'RSV1 on a continuation': [1002, clientFrame(text, 'x', partly), clientFrame(continuation, 'y', { rsv: 4 })],
  'RSV2': [1002, clientFrame(text, 'x', { rsv: 2 })],
  'RSV3 on a Close': [1002, clientFrame(close, closing(1000), { rsv: 1 })],
  ...Object.fromEntries([3, 7, 11, 15].map((opcode) => [`the reserved opcode ${opcode} between fragments`, [1002, clientFrame(text, 'x', partly), clientFrame(opcode, 'x')]])),
  'a ping of 126 bytes': [1002, clientFrame(ping, 'x'.repeat(126))],
  'a pong that declares 2^63 bytes': [1002, Buffer.from([0x8a, 0xff, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0])],
  'a ping in fragments, between fragments': [1002, clientFrame(text, 'x', partly), clientFrame(ping, 'x', partly)],
  'a continuation with nothing open': [1002, clientFrame(continuation, 'x')],
  'a continuation after a whole message': [1002, clientFrame(text, ''), clientFrame(continuation, 'x')],
  'a new text with a message open': [1002, clientFrame(text, 'x', partly), clientFrame(text, 'y')],
  'a new binary with a binary open': [1002, clientFrame(binary, 'x', partly), clientFrame(ping, ''), clientFrame(binary, 'y')],
  'a Close of one byte': [1002, clientFrame(close, 'x')],
  'a Close with code 1005': [1002, clientFrame(close, closing(1005))],
  'a Close with code 1006 between fragments': [1002, clientFrame(text, 'x', partly), clientFrame(close, closing(1006))],
  'a Close with code 0': [1002, clientFrame(close, closing(0))],
  'a Close with code 65535': [1002, clientFrame(close, closing(65_535))],
  'a Close whose reason is no UTF-8': [1007, clientFrame(close, closing(1000, Uint8Array.of(0xc3)))],
  'text that is no UTF-8': [1007, clientFrame(text, Uint8Array.of(0x61, 0xff))],
  'text that ends inside a character': [1007, clientFrame(text, Uint8Array.of(0xf0, 0x9f, 0x98))],
  'an overlong character': [1007, clientFrame(text, Uint8Array.of(0xc0, 0xaf))],
  'a surrogate': [1007, clientFrame(text, Uint8Array.of(0xed, 0xa0, 0x80))],
  'a character beyond Unicode': [1007, clientFrame(text, Uint8Array.of(0xf4, 0x90, 0x80, 0x80))],
  'a character whose second half never comes': [1007, clientFrame(text, Uint8Array.of(0xf0, 0x9f), partly), clientFrame(ping, ''), clientFrame(continuation, Uint8Array.of(0x98))],
  'a bad byte in a late fragment': [1007, clientFrame(text, 'fine', partly), clientFrame(continuation, 'fine', partly), clientFrame(continuation, Uint8Array.of(0xff))],
  'a binary message that is no UTF-8': [1007, clientFrame(binary, Uint8Array.of(0xff))],
}

for (const [what, [code, ...frames]] of Object.entries(WRONG)) {
  test(`${what}: Close ${code} and the end, also when it comes byte by byte; the others notice nothing`, async (t) => {
    const server = await startServer(t)
    const other = await openFrames(t, server.port, '/a')
    const bytes = Buffer.concat(frames)
    for (const pieces of [[bytes], Array.from(bytes, (byte) => Uint8Array.of(byte))]) {
      const socket = await openFrames(t, server.port, '/a')
      for (const piece of pieces) socket.raw.send(piece)
      socket.raw.send(clientFrame(text, 'too late'))
      assert.equal((await socket.close()).code, code)
      socket.send(close, closing(code))
      await socket.ended
    }
    other.send(text, 'still here')
    const seen: string[] = []
    while (seen.at(-1) !== 'still here') seen.push(await other.text())
    assert.deepEqual(seen.filter((one) => one === 'too late'), [])
  })
}

test('a character may be split between fragments, with control frames in between, and arrives whole', async (t) => {
  const server = await startServer(t)
  const socket = await openFrames(t, server.port, '/a')
  const bytes = Buffer.from('ü€😀')
  for (let i = 0; i < bytes.length; i++) {
    socket.send(i === 0 ? text : continuation, bytes.subarray(i, i + 1), { fin: i === bytes.length - 1 })
    socket.send(ping, String(i))
  }
  const got: string[] = []
  while (got.length <= bytes.length) {
    const { opcode, payload } = await socket.frames.next()
    got.push(`${opcode}:${payload.toString()}`)
  }
  const pongs = Array.from(bytes, (_, i) => `${pong}:${i}`)
  assert.deepEqual(got.filter((one) => one.startsWith(`${pong}:`)), pongs)
  assert.deepEqual(got.filter((one) => one.startsWith(`${text}:`)), [`${text}:ü€😀`])
})

test('masks are taken off wherever the bytes are cut', async (t) => {
  const server = await startServer(t)
  const socket = await openFrames(t, server.port, '/a')
  const payload = Buffer.from('x'.repeat(200))
  const mask = [0x00, 0xff, 0x81, 0x7e]
  const frame = Buffer.concat([Buffer.from([0x81, 0x80 | 126, 0, 200, ...mask]), payload.map((byte, i) => byte ^ (mask[i % 4] as number))])
  for (let at = 1; at < 14; at++) {
    socket.raw.send(frame.subarray(0, at))
    socket.raw.send(frame.subarray(at))
    assert.equal(await socket.text(), 'x'.repeat(200))
  }
})

test('endless tiny fragments are ended before they cost more than a message may', async (t) => {
  const server = await startServer(t)
  const before = process.memoryUsage().rss
  const socket = await openFrames(t, server.port, '/a')
  const tiny = Buffer.concat(Array.from({ length: 1_000 }, () => clientFrame(continuation, 'x', partly)))
  let over = false
  void socket.ended.then(() => (over = true))
  socket.send(text, 'x', partly)
  await until(() => {
    if (socket.raw.socket.writableLength < 100_000) socket.raw.send(tiny)
    return over
  }, 'the end')
  const { code } = await socket.close()
  assert.ok(code === 1008 || code === 1009, String(code))
  assert.ok(process.memoryUsage().rss - before < 100_000_000, 'memory')
})

test('endless empty fragments are ended too', async (t) => {
  const server = await startServer(t)
  const socket = await openFrames(t, server.port, '/a')
  const empty = Buffer.concat(Array.from({ length: 1_000 }, () => clientFrame(continuation, '', partly)))
  let over = false
  void socket.ended.then(() => (over = true))
  socket.send(text, '', partly)
  await until(() => {
    if (socket.raw.socket.writableLength < 100_000) socket.raw.send(empty)
    return over
  }, 'the end')
  assert.equal((await socket.close()).code, 1008)
})

test('a frame that comes in thousands of single bytes is ended before they cost a hundred times its size', async (t) => {
  const server = await startServer(t, { maxFrameBytes: 65_536 })
  const socket = await openFrames(t, server.port, '/a')
  const bytes = clientFrame(text, 'x'.repeat(65_000))
  let over = false
  void socket.ended.then(() => (over = true))
  socket.raw.send(bytes.subarray(0, 20))
  for (let at = 20; at < bytes.length && !over; at++) {
    socket.raw.send(bytes.subarray(at, at + 1))
    // Each byte is to be a read of its own for the hub.
    await new Promise(setImmediate)
  }
  assert.equal((await socket.close()).code, 1008)
})
