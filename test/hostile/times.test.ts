import assert from 'node:assert/strict'
import { join } from 'node:path'
import { test } from 'node:test'
import { selfSigned, temporaryFolder } from '../support/certificates.ts'
import { until } from '../support/events.ts'
import { openFrames, OPCODE } from '../support/frames.ts'
import { clientFrame, raw } from '../support/raw.ts'
import { request } from '../support/responses.ts'
import { startServer } from '../support/server.ts'
import { openStream } from '../support/sse.ts'
import { statuses } from './statuses.ts'

/*
 * How long anyone may take: headerTimeout, requestTimeout, keepAliveTimeout, pingInterval, pongDeadline, heartbeat, retry.
 * The limits are short here and nothing is asserted to be quick, so that a busy machine makes these slower and not red.
 */
const PATIENT = { headerTimeout: 60_000, requestTimeout: 60_000, keepAliveTimeout: 60_000 }

async function millisecondsUntil(promise: Promise<unknown>): Promise<number> {
  const start = performance.now()
  await promise
  return performance.now() - start
}

for (const [what, bytes] of Object.entries({
  'says nothing at all': '',
  'sends half a request line': 'GET /a',
  'sends half its headers': 'GET /a HTTP/1.1\r\nHost: h\r\nX: ',
})) {
  test(`headerTimeout: a connection that ${what} is told 408 and ends`, async (t) => {
    const server = await startServer(t, { ...PATIENT, headerTimeout: 200 })
    const connection = await raw(t, server.port)
    connection.send(bytes)
    const took = await millisecondsUntil(connection.ended)
    assert.equal(statuses(connection.received().toString()), '408')
    assert.ok(took >= 100, `${took} ms`)
  })
}

test('headerTimeout: a header that comes byte by byte gets no more time', async (t) => {
  const server = await startServer(t, { ...PATIENT, headerTimeout: 300 })
  const connection = await raw(t, server.port)
  connection.send('GET /a HTTP/1.1\r\nHost: h\r\nX: ')
  const trickle = setInterval(() => connection.send('x'), 20)
  t.after(() => clearInterval(trickle))
  assert.equal(statuses((await connection.ended).toString()), '408')
})

test('headerTimeout: holds for a later request of a connection too', async (t) => {
  const server = await startServer(t, { ...PATIENT, headerTimeout: 200 })
  const connection = await raw(t, server.port)
  connection.send(request('GET /_/healthz'))
  await connection.until((received) => received.includes('ok\n'))
  connection.send('GET /a HTTP/1.1\r\nHost: h\r\n')
  assert.equal(statuses((await connection.ended).toString()), '200 408')
})

test('headerTimeout: a connection that never begins its TLS handshake, or never ends it, ends', async (t) => {
  const folder = temporaryFolder(t)
  selfSigned(folder, 'hub')
  const server = await startServer(t, { ...PATIENT, headerTimeout: 200, tlsCert: join(folder, 'hub.pem'), tlsKey: join(folder, 'hub.key') })
  for (const bytes of ['', '\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03', 'GET / HTTP/1.1\r\nHost: h\r\n\r\n']) {
    const connection = await raw(t, server.port)
    connection.send(Buffer.from(bytes, 'latin1'))
    await connection.ended
  }
})

test('requestTimeout: a body that comes byte by byte is cut off with 408, and is not published', async (t) => {
  const server = await startServer(t, { ...PATIENT, headerTimeout: 200, requestTimeout: 400 })
  const stream = await openStream(t, `${server.url}/a`)
  const connection = await raw(t, server.port)
  connection.send(request('POST /a', { headers: { 'Content-Length': '1000000' } }))
  const trickle = setInterval(() => connection.send('x'), 20)
  t.after(() => clearInterval(trickle))
  const took = await millisecondsUntil(connection.ended)
  assert.equal(statuses(connection.received().toString()), '408')
  assert.ok(took >= 300, `${took} ms`)
  await server.hub.publish('a', 'next')
  assert.equal((await stream.next()).data, 'next')
})

test('keepAliveTimeout: an idle connection ends, and not before', async (t) => {
  const server = await startServer(t, { ...PATIENT, keepAliveTimeout: 200 })
  const connection = await raw(t, server.port)
  connection.send(request('GET /_/healthz'))
  await connection.until((received) => received.includes('ok\n'))
  const took = await millisecondsUntil(connection.ended)
  assert.ok(took >= 150, `${took} ms`)
})

test('neither time ends an event stream or a WebSocket', async (t) => {
  const server = await startServer(t, { headerTimeout: 100, requestTimeout: 100, keepAliveTimeout: 100 })
  const stream = await openStream(t, `${server.url}/a`)
  const socket = await openFrames(t, server.port, '/a')
  // A connection that came after them has run out of its time: so they have had theirs.
  await (await raw(t, server.port)).ended
  await (await raw(t, server.port)).ended
  await server.hub.publish('a', 'still here')
  assert.equal((await stream.next()).data, 'still here')
  assert.equal(await socket.text(), 'still here')
})

test('pingInterval: pings come again and again, and who answers them stays', async (t) => {
  const server = await startServer(t, { pingInterval: 100, pongDeadline: 2_000 })
  const socket = await openFrames(t, server.port, '/a')
  const start = performance.now()
  // Past the deadline: it is counted from the last answer.
  while (performance.now() - start < 2_600) {
    const frame = await socket.frames.next()
    assert.deepEqual([frame.opcode, frame.payload.length], [OPCODE.ping, 0])
    socket.send(OPCODE.pong, '')
  }
})

test('pongDeadline: a WebSocket that sends nothing is cut without a word, though it is written to', async (t) => {
  const server = await startServer(t, { pingInterval: 100, pongDeadline: 400 })
  const socket = await openFrames(t, server.port, '/a')
  const publisher = setInterval(() => void server.hub.publish('a', 'x'), 50)
  t.after(() => clearInterval(publisher))
  const took = await millisecondsUntil(socket.ended)
  assert.ok(took >= 350, `${took} ms`)
  assert.equal(socket.frames.taken().some(({ opcode }) => opcode === OPCODE.close), false)
})

test('pongDeadline: whoever sends anything at all is alive, half a frame too', async (t) => {
  const server = await startServer(t, { pingInterval: 100, pongDeadline: 1_000 })
  const [silent, slow] = [await openFrames(t, server.port, '/a'), await openFrames(t, server.port, '/a')]
  const bytes = clientFrame(OPCODE.text, 'byte by byte')
  let at = 0
  const trickle = setInterval(() => slow.raw.send(bytes.subarray(at, ++at)), 100)
  t.after(() => clearInterval(trickle))
  await silent.ended
  await until(() => at >= bytes.length, 'the last byte')
  for (;;) {
    const frame = await slow.frames.next()
    if (frame.opcode !== OPCODE.text) continue
    assert.equal(frame.payload.toString(), 'byte by byte')
    break
  }
})

test('heartbeat: an idle event stream gets comment lines', async (t) => {
  const server = await startServer(t, { heartbeat: 100 })
  const stream = await openStream(t, `${server.url}/a`)
  await until(() => /^retry: \d+\nid: .*\n\n(:\n\n){3}/.test(stream.raw()), 'three heartbeats')
})

test('retry: an event stream says when to come back', async (t) => {
  const server = await startServer(t, { retry: 12_345 })
  const stream = await openStream(t, `${server.url}/a`)
  await until(() => stream.raw().includes('\n'), 'the first line')
  assert.match(stream.raw(), /^retry: 12345\n/)
})
