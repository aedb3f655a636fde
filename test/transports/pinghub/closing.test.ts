import assert from 'node:assert/strict'
import { test } from 'node:test'
import { clientFrame } from '../../support/raw.ts'
import { openFrames, OPCODE, type FrameSocket } from '../../support/frames.ts'
import { until } from '../../support/events.ts'
import { startServer } from '../../support/server.ts'
import { connect } from '../../support/websocket.ts'

// pinghub, section 7.1: how a WebSocket ends.

function closePayload(code: number, reason: string | Uint8Array = ''): Buffer {
  const text = Buffer.from(reason as string)
  return Buffer.concat([Buffer.from([code >> 8, code & 0xff]), text])
}

/** The server ends the TCP connection after its Close, without being asked. */
async function ended(socket: FrameSocket): Promise<void> {
  await socket.raw.until(() => socket.raw.socket.readableEnded)
}

const ALLOWED = [1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 3000, 3999, 4000, 4999]
const NOT_ALLOWED = [0, 1, 999, 1004, 1005, 1006, 1015, 1016, 1999, 2000, 2999, 5000, 65_535]

test('a Close is answered with the same code, and the connection ends', async (t) => {
  const { port } = await startServer(t)
  for (const code of ALLOWED) {
    const socket = await openFrames(t, port, '/a')
    socket.send(OPCODE.close, closePayload(code))
    assert.deepEqual(await socket.close(), { code, reason: '' })
    await ended(socket)
  }
})

test('a Close without a code is answered with an empty one, and the connection ends', async (t) => {
  const { port } = await startServer(t)
  const socket = await openFrames(t, port, '/a')
  socket.send(OPCODE.close, '')
  assert.deepEqual(await socket.close(), { code: undefined, reason: '' })
  await ended(socket)
})

test('a Close code that may not be sent is answered with 1002', async (t) => {
  const { port } = await startServer(t)
  for (const code of NOT_ALLOWED) {
    const socket = await openFrames(t, port, '/a')
    socket.send(OPCODE.close, closePayload(code))
    assert.equal((await socket.close()).code, 1002, String(code))
    await ended(socket)
  }
})

// What differs from the original, as docs/protocols/pinghub.md says.
test('a Close of one byte is a violation, a reason that is not UTF-8 is answered 1007, a reason is answered with the reason, and 1014 may be sent', async (t) => {
  const { port } = await startServer(t)
  const cases: readonly (readonly [payload: Uint8Array, code: number, reason: string])[] = [
    [Uint8Array.of(3), 1002, ''],
    [closePayload(1000, Uint8Array.of(0xff)), 1007, ''],
    [closePayload(4321, 'done'), 4321, 'done'],
    [closePayload(1014), 1014, ''],
  ]
  for (const [payload, code, reason] of cases) {
    const socket = await openFrames(t, port, '/a')
    socket.send(OPCODE.close, payload)
    assert.deepEqual(await socket.close(), { code, reason })
    await ended(socket)
  }
})

const VIOLATIONS: Readonly<Record<string, Uint8Array>> = {
  'an unmasked frame': clientFrame(OPCODE.text, 'x', { masked: false }),
  'RSV1': clientFrame(OPCODE.text, 'x', { rsv: 4 }),
  'RSV2': clientFrame(OPCODE.text, 'x', { rsv: 2 }),
  'RSV3': clientFrame(OPCODE.text, 'x', { rsv: 1 }),
  'RSV1 on a ping': clientFrame(OPCODE.ping, 'x', { rsv: 4 }),
  ...Object.fromEntries([3, 4, 5, 6, 7, 11, 12, 13, 14, 15].map((opcode) => [`opcode ${opcode}`, clientFrame(opcode, 'x')])),
  'a ping of 126 bytes': clientFrame(OPCODE.ping, 'x'.repeat(126)),
  'a pong of 70,000 bytes': clientFrame(OPCODE.pong, 'x'.repeat(70_000)),
  'a Close of 126 bytes': clientFrame(OPCODE.close, closePayload(1000, 'x'.repeat(124))),
  'a ping in fragments': clientFrame(OPCODE.ping, 'x', { fin: false }),
  'a Close in fragments': clientFrame(OPCODE.close, '', { fin: false }),
  'a continuation with nothing open': clientFrame(OPCODE.continuation, 'x'),
  'a continuation after the last fragment': Buffer.concat([clientFrame(OPCODE.text, '', { fin: false }), clientFrame(OPCODE.continuation, ''), clientFrame(OPCODE.continuation, 'x')]),
  'a new text with a message open': Buffer.concat([clientFrame(OPCODE.text, 'x', { fin: false }), clientFrame(OPCODE.text, 'y')]),
  'a new binary with a message open': Buffer.concat([clientFrame(OPCODE.text, 'x', { fin: false }), clientFrame(OPCODE.binary, 'y')]),
}

test('every violation of the protocol is closed with 1002, publishes nothing, and disturbs nobody', async (t) => {
  const server = await startServer(t)
  const other = await openFrames(t, server.port, '/a')
  for (const [what, bytes] of Object.entries(VIOLATIONS)) {
    const socket = await openFrames(t, server.port, '/a')
    socket.raw.send(bytes)
    assert.equal((await socket.close()).code, 1002, what)
    await ended(socket)
  }
  other.send(OPCODE.text, 'undisturbed')
  assert.equal(await other.text(), 'undisturbed')
})

test('what a client sends behind its Close, or behind a violation, is not read', async (t) => {
  const server = await startServer(t)
  const other = await openFrames(t, server.port, '/a')
  for (const last of [clientFrame(OPCODE.close, closePayload(1000)), clientFrame(OPCODE.text, 'x', { rsv: 4 })]) {
    const socket = await openFrames(t, server.port, '/a')
    socket.raw.send(Buffer.concat([last, clientFrame(OPCODE.text, 'too late')]))
    await socket.close()
    await ended(socket)
  }
  other.send(OPCODE.text, 'next')
  assert.equal(await other.text(), 'next')
})

test('a message and a Close in one segment: the message goes to the others, and nothing follows the Close', async (t) => {
  const server = await startServer(t)
  const other = await openFrames(t, server.port, '/a')
  for (const last of [clientFrame(OPCODE.close, closePayload(1000)), clientFrame(OPCODE.text, 'x', { rsv: 4 })]) {
    const socket = await openFrames(t, server.port, '/a')
    socket.raw.send(Buffer.concat([clientFrame(OPCODE.text, 'last words'), last]))
    assert.equal(await other.text(), 'last words')
    await ended(socket)
    assert.equal(socket.frames.taken().at(-1)?.opcode, OPCODE.close)
  }
})

test('nothing follows the answer to a Close, also where much is still to be taken before it', async (t) => {
  const server = await startServer(t, { maxPendingBytes: '64MiB' })
  const other = await connect(t, `${server.ws}/a`)
  const socket = await openFrames(t, server.port, '/a')
  socket.raw.socket.pause()
  for (let i = 0; i < 20; i++) {
    await server.hub.publish('a', 'x'.repeat(1_000_000))
    await other.next()
  }
  socket.raw.send(Buffer.concat([clientFrame(OPCODE.text, 'last words'), clientFrame(OPCODE.close, closePayload(1000))]))
  assert.equal(await other.next(), 'last words')
  socket.raw.socket.resume()
  await ended(socket)
  const frames = socket.frames.taken()
  assert.deepEqual([frames.length, frames.at(-1)?.opcode], [21, OPCODE.close])
})

test('a message in 4,096 fragments is taken; one more closes with 1008', async (t) => {
  const { port } = await startServer(t)
  const [start, middle, end] = [clientFrame(OPCODE.text, 'x', { fin: false }), clientFrame(OPCODE.continuation, 'x', { fin: false }), clientFrame(OPCODE.continuation, 'x')]
  const pieces = (count: number): Buffer => Buffer.concat([start, ...Array.from({ length: count - 2 }, () => middle), end])
  const socket = await openFrames(t, port, '/a')
  socket.raw.send(pieces(4_096))
  assert.equal(await socket.text(), 'x'.repeat(4_096))
  socket.raw.send(pieces(4_097))
  assert.equal((await socket.close()).code, 1008)
  await ended(socket)
})

test('a flood of pings ends the connection that sends it, and no other', async (t) => {
  const { port } = await startServer(t)
  const other = await openFrames(t, port, '/a')
  const socket = await openFrames(t, port, '/a')
  socket.raw.send(Buffer.concat(Array.from({ length: 500 }, () => clientFrame(OPCODE.ping, 'p'))))
  await socket.ended
  other.send(OPCODE.text, 'undisturbed')
  assert.equal(await other.text(), 'undisturbed')
})

test('a client that ends without a Close leaves nothing behind', async (t) => {
  const server = await startServer(t)
  const leave: readonly ((socket: FrameSocket) => void)[] = [
    (socket) => socket.raw.socket.end(),
    (socket) => socket.raw.socket.destroy(),
    (socket) => socket.raw.socket.resetAndDestroy(),
    (socket) => socket.raw.socket.end(clientFrame(OPCODE.text, 'half a frame').subarray(0, 8)),
  ]
  for (const go of leave) {
    const socket = await openFrames(t, server.port, '/a')
    assert.match(server.pinghubReport(), /^websockets\.value 1$/m)
    go(socket)
    await until(() => /^channels\.value 0\n(?:.*\n)*websockets\.value 0$/m.test(server.pinghubReport()), 'the connection to be forgotten')
  }
})
