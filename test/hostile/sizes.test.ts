import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Config } from '../../src/index.ts'
import { openFrames, OPCODE } from '../support/frames.ts'
import { exchange, raw } from '../support/raw.ts'
import { ask, openWire, request } from '../support/responses.ts'
import { startServer } from '../support/server.ts'
import { openStream } from '../support/sse.ts'
import { statuses } from './statuses.ts'

/* How much a client may send at once: maxMessageBytes, maxFrameBytes, maxPathLength, maxTopicsPerStream, maxHeaderBytes. */

const KIB64 = { maxMessageBytes: 65_536 }

test('maxMessageBytes: a body of exactly the limit is taken, declared or chunked', async (t) => {
  const server = await startServer(t, KIB64)
  const stream = await openStream(t, `${server.url}/a`)
  const body = 'x'.repeat(65_536)
  assert.equal((await ask(t, server.port, request('POST /a', { body }))).status, 200)
  assert.equal((await stream.next()).data, body)
  const chunks = `8000\r\n${'x'.repeat(0x8000)}\r\n`.repeat(2)
  assert.equal((await ask(t, server.port, `${request('POST /a', { headers: { 'Transfer-Encoding': 'chunked' } })}${chunks}0\r\n\r\n`)).status, 200)
  assert.equal((await stream.next()).data, body)
})

test('maxMessageBytes: a declared length above it is answered 413 before a byte of the body was sent', async (t) => {
  const server = await startServer(t, KIB64)
  const answer = await ask(t, server.port, request('POST /a', { headers: { 'Content-Length': '65537' } }))
  assert.equal(answer.status, 413)
  assert.match(answer.body, /^Error: message_too_large\. .*65536/)
})

test('maxMessageBytes: a client that asks before it sends too much is told 413, not to go on', async (t) => {
  const server = await startServer(t, KIB64)
  const answer = await ask(t, server.port, request('POST /a', { headers: { 'Content-Length': '65537', Expect: '100-continue' } }))
  assert.equal(answer.status, 413)
})

test('maxMessageBytes: a chunked body that goes past it is answered 413 while it is still being sent, and is not published', async (t) => {
  const server = await startServer(t, KIB64)
  const stream = await openStream(t, `${server.url}/a`)
  const connection = await openWire(t, server.port)
  connection.send(request('POST /a', { headers: { 'Transfer-Encoding': 'chunked' } }))
  connection.send(`8000\r\n${'x'.repeat(0x8000)}\r\n`.repeat(2))
  connection.send('1\r\nx\r\n')
  assert.equal((await connection.answer()).status, 413)
  await server.hub.publish('a', 'next')
  assert.equal((await stream.next()).data, 'next')
})

test('maxMessageBytes: one chunk that declares more than it is not waited for', async (t) => {
  const server = await startServer(t, KIB64)
  const connection = await openWire(t, server.port)
  connection.send(request('POST /a', { headers: { 'Transfer-Encoding': 'chunked' } }))
  connection.send(`fffffffffffff\r\n${'x'.repeat(65_537)}`)
  assert.equal((await connection.answer()).status, 413)
})

test('maxFrameBytes: a message of exactly the limit goes to everyone, in one frame or in many', async (t) => {
  const server = await startServer(t, { maxFrameBytes: 1_000 })
  const socket = await openFrames(t, server.port, '/a')
  socket.send(OPCODE.text, 'x'.repeat(1_000))
  assert.equal(await socket.text(), 'x'.repeat(1_000))
  for (let i = 0; i < 10; i++) socket.send(i === 0 ? OPCODE.text : OPCODE.continuation, 'x'.repeat(100), { fin: i === 9 })
  assert.equal(await socket.text(), 'x'.repeat(1_000))
})

for (const [what, frames] of Object.entries({
  'one frame': [[OPCODE.text, 1_001, true]],
  'fragments that only together are too large': [[OPCODE.text, 600, false], [OPCODE.continuation, 401, false]],
  'binary fragments': [[OPCODE.binary, 999, false], [OPCODE.continuation, 2, true]],
} as Record<string, [number, number, boolean][]>)) {
  test(`maxFrameBytes: ${what} above it: Close 1009, and the others notice nothing`, async (t) => {
    const server = await startServer(t, { maxFrameBytes: 1_000 })
    const [socket, other] = [await openFrames(t, server.port, '/a'), await openFrames(t, server.port, '/a')]
    for (const [opcode, size, fin] of frames) socket.send(opcode, 'x'.repeat(size), { fin })
    assert.equal((await socket.close()).code, 1009)
    await server.hub.publish('a', 'next')
    assert.equal(await other.text(), 'next')
  })
}

test('maxFrameBytes: a frame that declares more is refused at its head', async (t) => {
  const server = await startServer(t, { maxFrameBytes: 1_000 })
  for (const length of [1_001n, 2n ** 32n, 2n ** 63n - 1n, 2n ** 64n - 1n]) {
    const socket = await openFrames(t, server.port, '/a')
    const head = Buffer.from([0x82, 0xff, 0, 0, 0, 0, 0, 0, 0, 0])
    head.writeBigUInt64BE(length, 2)
    socket.raw.send(head)
    assert.equal((await socket.close()).code, 1009, String(length))
  }
})

test('maxPathLength: code points are counted, the slash included, for every way in', async (t) => {
  const server = await startServer(t, { maxPathLength: 8 })
  const fits = encodeURIComponent('😀'.repeat(7))
  const long = `${fits}x`
  assert.equal((await ask(t, server.port, request(`POST /${fits}`, { body: 'x' }))).status, 200)
  assert.equal((await ask(t, server.port, request(`POST /${long}`, { body: 'x' }))).status, 400)
  assert.equal((await ask(t, server.port, request(`GET /${long}`))).status, 400)
  assert.equal((await ask(t, server.port, request(`GET /${long}`, { headers: { Accept: 'text/event-stream' } }))).status, 400)
  assert.equal((await ask(t, server.port, request(`GET /_/sse?topic=ok&topic=${long}xx`))).status, 400)
  await openFrames(t, server.port, `/${fits}`)
  await assert.rejects(openFrames(t, server.port, `/${long}`), /HTTP\/1\.1 400 /)
  assert.equal((await openStream(t, `${server.url}/${fits}`)).response.status, 200)
})

test('maxPathLength: a path as long as the headers may be is refused like any other', async (t) => {
  const server = await startServer(t)
  for (const path of ['/x'.repeat(8_000), '/%F0%9F%98%80'.repeat(1_200), `/${'../'.repeat(5_000)}x`, `/${'%'.repeat(9_000)}`]) {
    const answer = await exchange(t, server.port, `GET ${path} HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n`)
    assert.match(statuses(answer), /^(400|301)$/, path.slice(0, 20))
  }
})

test('maxTopicsPerStream: as many as it says, topics and globs together, and not one more', async (t) => {
  const server = await startServer(t, { maxTopicsPerStream: 3 })
  const stream = await openStream(t, `${server.url}/_/sse?topic=a&topic=b*&topic=c`)
  assert.equal(stream.response.status, 200)
  const refused = await fetch(`${server.url}/_/sse?topic=a&topic=b*&topic=c&topic=d`)
  assert.equal(refused.status, 400)
  assert.match(await refused.text(), /^Error: too_many_topics\. .*3 at most/)
})

test('maxTopicsPerStream: 100 topics by default; the 101st is refused, repeated or not', async (t) => {
  const server = await startServer(t)
  const topics = (n: number): string => Array.from({ length: n }, (_, i) => `topic=t${i}`).join('&')
  const stream = await openStream(t, `${server.url}/_/sse?${topics(100)}`)
  await server.hub.publish('t99', 'the last')
  assert.equal((await stream.next()).data, 'the last')
  assert.equal((await fetch(`${server.url}/_/sse?${topics(101)}`)).status, 400)
  assert.equal((await fetch(`${server.url}/_/sse?${'topic=same&'.repeat(101)}`)).status, 400)
})

const TIGHT: Config = { maxHeaderBytes: 1_024 }

/** A whole head of exactly `size` bytes. */
function head(size: number, fields = ''): string {
  const start = `GET /_/healthz HTTP/1.1\r\nHost: h\r\n${fields}X: `
  return `${start}${'x'.repeat(size - start.length - 4)}\r\n\r\n`
}

test('maxHeaderBytes: request line and headers of exactly the limit pass; one byte more is answered 431 and the end', async (t) => {
  const server = await startServer(t, TIGHT)
  const connection = await raw(t, server.port)
  connection.send(head(1_024))
  await connection.until((received) => received.includes('ok\n'))
  connection.send(head(1_025))
  assert.equal(statuses((await connection.ended).toString()), '200 431')
})

test('maxHeaderBytes: many small headers count whole, with what stands between names and values', async (t) => {
  const server = await startServer(t, TIGHT)
  const many = 'a:b\r\n'.repeat(180)
  const connection = await raw(t, server.port)
  connection.send(head(1_024, many))
  await connection.until((received) => received.includes('ok\n'))
  connection.send(head(1_025, many))
  assert.equal(statuses((await connection.ended).toString()), '200 431')
})

for (const [what, bytes] of Object.entries({
  'request line': `GET /${'x'.repeat(2_000)}`,
  'header name': `GET / HTTP/1.1\r\n${'x'.repeat(2_000)}`,
  'header value': `GET / HTTP/1.1\r\nHost: ${'x'.repeat(2_000)}`,
})) {
  test(`maxHeaderBytes: a ${what} without an end is answered 431 as soon as it is too long`, async (t) => {
    const server = await startServer(t, TIGHT)
    assert.equal(statuses(await exchange(t, server.port, bytes)), '431')
  })
}

test('maxHeaderBytes: trailers are bounded too', async (t) => {
  const server = await startServer(t, TIGHT)
  for (const trailers of [`X: ${'x'.repeat(2_000)}`, 'a: b\r\n'.repeat(1_000)]) {
    const answer = await exchange(t, server.port, `POST /a HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n${trailers}\r\n\r\n`)
    assert.match(statuses(answer), /^4\d\d$/)
  }
})
