import assert from 'node:assert/strict'
import { test } from 'node:test'
import { clientFrame } from '../../support/raw.ts'
import { openFrames, OPCODE } from '../../support/frames.ts'
import { ask, request } from '../../support/responses.ts'
import { startServer } from '../../support/server.ts'

// pinghub, sections 7.1 and 7.2: what clients send, and what they get.

test('a text message goes to everyone on the path, the sender included, as one plain text frame', async (t) => {
  const { port } = await startServer(t)
  const sender = await openFrames(t, port, '/a')
  const others = await Promise.all([openFrames(t, port, '/a'), openFrames(t, port, '/a')])
  const elsewhere = await openFrames(t, port, '/b')
  for (const text of ['hello', 'grüße', '👋🏽', 'a\0b\r\n', ' ', 'x'.repeat(125), 'x'.repeat(126), 'x'.repeat(65_535), 'x'.repeat(65_536)]) {
    sender.send(OPCODE.text, text)
    for (const socket of [sender, ...others]) assert.equal(await socket.text(), text)
  }
  await ask(t, port, request('POST /b', { body: 'only this' }))
  assert.equal(await elsewhere.text(), 'only this')
})

test('a WebSocket gets no greeting, no history and no metadata: the first frame is the first message', async (t) => {
  const { port } = await startServer(t, { rules: [{ topics: '*', keep: { messages: 10 } }] })
  await ask(t, port, request('POST /a', { body: 'before' }))
  const socket = await openFrames(t, port, '/a')
  await ask(t, port, request('POST /a', { body: 'after' }))
  assert.equal(await socket.text(), 'after')
})

test('a binary message that is UTF-8 is relayed as text with the same bytes', async (t) => {
  const { port } = await startServer(t)
  const [sender, other] = await Promise.all([openFrames(t, port, '/a'), openFrames(t, port, '/a')])
  sender.send(OPCODE.binary, 'grüße')
  assert.deepEqual([await sender.text(), await other.text()], ['grüße', 'grüße'])
})

test('a message that is not UTF-8 closes its sender with 1007 and goes to nobody', async (t) => {
  const { port } = await startServer(t)
  const other = await openFrames(t, port, '/a')
  for (const opcode of [OPCODE.text, OPCODE.binary]) {
    for (const bytes of [[0xff], [0x61, 0xc3], [0xed, 0xa0, 0x80], [0xc0, 0xaf], [0xf4, 0x90, 0x80, 0x80]]) {
      const sender = await openFrames(t, port, '/a')
      sender.send(opcode, Uint8Array.from(bytes))
      assert.equal((await sender.close()).code, 1007)
      sender.raw.socket.end()
      await sender.ended
    }
  }
  await ask(t, port, request('POST /a', { body: 'fine' }))
  assert.equal(await other.text(), 'fine')
})

test('characters that are cut between fragments are one message; the message is what must be UTF-8', async (t) => {
  const { port } = await startServer(t)
  const socket = await openFrames(t, port, '/a')
  const bytes = Buffer.from('né👋')
  for (const opcode of [OPCODE.text, OPCODE.binary]) {
    for (const [i, byte] of bytes.entries()) socket.send(i === 0 ? opcode : OPCODE.continuation, Uint8Array.of(byte), { fin: i === bytes.length - 1 })
    assert.equal(await socket.text(), 'né👋')
  }
})

test('an empty message goes to nobody, not even back to its sender', async (t) => {
  const { port } = await startServer(t)
  const [sender, other] = await Promise.all([openFrames(t, port, '/a'), openFrames(t, port, '/a')])
  sender.send(OPCODE.text, '')
  sender.send(OPCODE.binary, '')
  // Empty when put together counts as empty too.
  sender.send(OPCODE.text, '', { fin: false })
  sender.send(OPCODE.continuation, '', { fin: false })
  sender.send(OPCODE.continuation, '')
  sender.send(OPCODE.text, 'next')
  assert.deepEqual([await sender.text(), await other.text()], ['next', 'next'])
})

test('a fragmented message is relayed as one whole frame, with control frames between its fragments answered', async (t) => {
  const { port } = await startServer(t)
  const [sender, other] = await Promise.all([openFrames(t, port, '/a'), openFrames(t, port, '/a')])
  sender.send(OPCODE.text, 'one ', { fin: false })
  sender.send(OPCODE.ping, 'between')
  sender.send(OPCODE.continuation, '', { fin: false })
  sender.send(OPCODE.pong, 'unasked')
  sender.send(OPCODE.continuation, 'two ', { fin: false })
  sender.send(OPCODE.ping, '')
  sender.send(OPCODE.continuation, 'three')
  const pongs = await sender.frames.take(2)
  assert.deepEqual(pongs.map(({ opcode, payload }) => [opcode, payload.toString()]), [[OPCODE.pong, 'between'], [OPCODE.pong, '']])
  assert.deepEqual([await sender.text(), await other.text()], ['one two three', 'one two three'])
})

test('a ping is answered by a pong with the same payload', async (t) => {
  const { port } = await startServer(t)
  const socket = await openFrames(t, port, '/a')
  for (const payload of [Buffer.alloc(0), Buffer.from('hello'), Buffer.from([0, 0xff, 0xfe]), Buffer.alloc(125, 7)]) {
    socket.send(OPCODE.ping, payload)
    const pong = await socket.frames.next()
    assert.deepEqual([pong.opcode, pong.fin, pong.masked, pong.payload], [OPCODE.pong, true, false, payload])
  }
})

test('a pong that nobody asked for changes nothing', async (t) => {
  const { port } = await startServer(t)
  const socket = await openFrames(t, port, '/a')
  for (const payload of ['', 'x', 'y'.repeat(125)]) socket.send(OPCODE.pong, payload)
  socket.send(OPCODE.text, 'hello')
  assert.equal(await socket.text(), 'hello')
})

test('masked payloads are unmasked', async (t) => {
  const { port } = await startServer(t)
  const socket = await openFrames(t, port, '/a')
  const mask = Buffer.from([0x12, 0x34, 0x56, 0x78])
  for (const text of ['a', 'abc', 'abcdefghi', 'é'.repeat(40_000).slice(0, 30_000)]) {
    const frame = clientFrame(OPCODE.text, text)
    const at = frame.length - Buffer.byteLength(text)
    mask.copy(frame, at - 4)
    for (let i = at; i < frame.length; i++) frame[i] = (frame[i] as number) ^ (mask[(i - at) % 4] as number)
    socket.raw.send(frame)
    assert.equal(await socket.text(), text)
  }
})

test('lengths that are written longer than they need be are tolerated', async (t) => {
  const { port } = await startServer(t)
  const socket = await openFrames(t, port, '/a')
  const mask = [0, 0, 0, 0]
  socket.raw.send(Buffer.from([0x81, 0xfe, 0, 3, ...mask, 0x61, 0x62, 0x63]))
  assert.equal(await socket.text(), 'abc')
  socket.raw.send(Buffer.from([0x81, 0xff, 0, 0, 0, 0, 0, 0, 0, 3, ...mask, 0x64, 0x65, 0x66]))
  assert.equal(await socket.text(), 'def')
  socket.raw.send(Buffer.from([0x81, 0xfe, 0, 0, ...mask]))
  socket.send(OPCODE.text, 'after')
  assert.equal(await socket.text(), 'after')
})

test('65,536 bytes are accepted in one frame and over fragments; one more closes with 1009 and disturbs nobody', async (t) => {
  const { port } = await startServer(t)
  const other = await openFrames(t, port, '/a')
  const most = 'm'.repeat(65_536)
  const accepted = await openFrames(t, port, '/a')
  accepted.send(OPCODE.text, most)
  assert.deepEqual([await accepted.text(), await other.text()], [most, most])
  accepted.send(OPCODE.text, most.slice(0, 40_000), { fin: false })
  accepted.send(OPCODE.ping, 'not counted')
  accepted.send(OPCODE.continuation, most.slice(40_000))
  assert.equal((await accepted.frames.next()).opcode, OPCODE.pong)
  assert.deepEqual([await accepted.text(), await other.text()], [most, most])

  const single = await openFrames(t, port, '/a')
  single.send(OPCODE.text, `${most}!`)
  const summed = await openFrames(t, port, '/a')
  summed.send(OPCODE.text, most, { fin: false })
  summed.send(OPCODE.continuation, '!')
  const declared = await openFrames(t, port, '/a')
  declared.raw.send(Buffer.from([0x82, 0xff, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0]))
  for (const socket of [single, summed, declared]) {
    assert.deepEqual(await socket.close(), { code: 1009, reason: '' })
    await socket.raw.until(() => socket.raw.socket.readableEnded)
  }
  await ask(t, port, request('POST /a', { body: 'next' }))
  assert.equal(await other.text(), 'next')
  assert.equal(await accepted.text(), 'next')
})

test('the limit on what a WebSocket sends is none on what it is sent', async (t) => {
  const { port } = await startServer(t)
  const socket = await openFrames(t, port, '/a')
  const body = 'm'.repeat(200_000)
  await ask(t, port, request('POST /a', { body }))
  assert.equal(await socket.text(), body)
})

test('a message from elsewhere in the hub that is no text travels as a binary frame', async (t) => {
  const server = await startServer(t)
  const socket = await openFrames(t, server.port, '/a')
  await server.hub.publish('a', Uint8Array.of(0xff, 0, 1))
  const frame = await socket.frames.next()
  assert.deepEqual([frame.opcode, [...frame.payload]], [OPCODE.binary, [0xff, 0, 1]])
})
