import assert from 'node:assert/strict'
import { test } from 'node:test'
import { clientFrame, handshake } from '../../support/raw.ts'
import { openFrames, OPCODE } from '../../support/frames.ts'
import { ask, openWire, request } from '../../support/responses.ts'
import { startServer } from '../../support/server.ts'

// pinghub, section 5.

/** A handshake with some of its headers changed; `undefined` leaves one out. */
function changed(headers: Record<string, string | undefined>, method = 'GET'): string {
  const text = handshake('/a', {}).split('\r\n').filter((line) => !Object.keys(headers).some((name) => line.startsWith(`${name}:`)))
  const added = Object.entries(headers).filter(([, value]) => value !== undefined).map(([name, value]) => `${name}: ${value}`)
  return [text[0]?.replace('GET', method), ...added, ...text.slice(1)].join('\r\n')
}

test('a good handshake is answered 101 with three headers and nothing else', async (t) => {
  const { port } = await startServer(t)
  const answer = await ask(t, port, handshake('/a'))
  assert.equal(answer.status, 101)
  assert.deepEqual(answer.names, ['Upgrade', 'Connection', 'Sec-WebSocket-Accept'])
  assert.deepEqual([...answer.headers.values()], ['websocket', 'Upgrade', 's3pPLMBiTxaQ9kYGzzhZRbK+xOo='])
})

test('subprotocols and extensions that a client offers are ignored, however they are written', async (t) => {
  const { port } = await startServer(t)
  const offers = [
    { 'Sec-WebSocket-Protocol': 'chat, superchat' }, { 'Sec-WebSocket-Protocol': 'chat, chat' }, { 'Sec-WebSocket-Protocol': 'no token, ' },
    { 'Sec-WebSocket-Extensions': 'permessage-deflate; client_max_window_bits' }, { 'Sec-WebSocket-Extensions': ';;,' },
  ]
  for (const offer of offers) {
    const answer = await ask(t, port, changed(offer))
    assert.deepEqual([offer, answer.status, answer.names.length], [offer, 101, 3])
  }
})

const ACCEPTED: readonly Record<string, string | undefined>[] = [
  { Connection: 'keep-alive, Upgrade' }, { Connection: 'upgrade' }, { Connection: 'UPGRADE' }, { Connection: 'uPgRaDe ,x' },
  { Upgrade: 'foo, websocket' }, { Upgrade: 'WebSocket' }, { Upgrade: 'WEBSOCKET' },
  { 'Sec-WebSocket-Version': '8, 13' }, { 'Sec-WebSocket-Version': '13 ,7' },
  // What a proxy passes on that strips everything else.
  { Host: 'hub', Origin: 'https://anything.example' },
]

test('tokens are found in lists and in any case', async (t) => {
  const { port } = await startServer(t)
  for (const headers of ACCEPTED) assert.deepEqual([headers, (await ask(t, port, changed(headers))).status], [headers, 101])
  const twoLines = handshake('/a').replace('Connection: Upgrade\r\n', 'Connection: keep-alive\r\nConnection: Upgrade\r\n').replace('Upgrade: websocket\r\n', 'Upgrade: foo\r\nUpgrade: websocket\r\n')
  assert.equal((await ask(t, port, twoLines)).status, 101)
})

test('a request that does not ask for a WebSocket by whole tokens is a plain one', async (t) => {
  const { port } = await startServer(t)
  for (const headers of [{ Connection: 'xupgradex' }, { Upgrade: 'xwebsocketx' }, { Connection: undefined }, { Upgrade: undefined }, { Upgrade: 'h2c' }]) {
    const page = await ask(t, port, changed(headers))
    assert.deepEqual([headers, page.status, page.headers.get('content-type')], [headers, 200, 'text/html; charset=utf-8'])
  }
})

test('a handshake over HTTP/1.0 is answered 101', async (t) => {
  const { port } = await startServer(t)
  assert.equal((await ask(t, port, handshake('/a').replace('HTTP/1.1', 'HTTP/1.0'))).status, 101)
})

interface Refusal {
  readonly why: string
  readonly text: string
  readonly status: number
  readonly body: string
}

const KEY = 'Sec-WebSocket-Key'
const VERSION = 'Sec-WebSocket-Version'
const REFUSED: readonly Refusal[] = [
  ...['POST', 'PUT', 'DELETE'].map((method) => ({ why: method, text: changed({}, method), status: 405, body: 'Method Not Allowed\n' })),
  ...[undefined, '', '12', '7, 8', '130'].map((version) => ({ why: `version ${version}`, text: changed({ [VERSION]: version }), status: 400, body: 'Bad Request\n' })),
  { why: 'origin', text: changed({ Origin: 'https://example.net' }), status: 403, body: 'Forbidden\n' },
  ...[undefined, '', 'short', 'dGhlIHNhbXBsZSBub25jZQ', 'dGhlIHNhbXBsZSBub25jZQ===', 'dGhlIHNhbXBsZSBub25jZTE2Nzg=', '!!!!!!!!!!!!!!!!!!!!!!==']
    .map((key) => ({ why: `key ${key}`, text: changed({ [KEY]: key }), status: 400, body: 'Bad Request\n' })),
  // The first that fails wins: method, version, origin, key.
  { why: 'method before version', text: changed({ [VERSION]: '7' }, 'POST'), status: 405, body: 'Method Not Allowed\n' },
  { why: 'version before origin', text: changed({ [VERSION]: '7', Origin: 'https://example.net' }), status: 400, body: 'Bad Request\n' },
  { why: 'origin before key', text: changed({ [KEY]: 'short', Origin: 'https://example.net' }), status: 403, body: 'Forbidden\n' },
]

test('a bad handshake is refused in the order method, version, origin, key, and the connection stays in use', async (t) => {
  const { port } = await startServer(t, { origin: ['https://example.com'] })
  const connection = await openWire(t, port)
  for (const { why, text, status, body } of REFUSED) {
    connection.send(text)
    const answer = await connection.answer()
    assert.deepEqual([why, answer.status, answer.body], [why, status, body])
    assert.equal(answer.headers.get('content-type'), 'text/plain; charset=utf-8')
    assert.equal(answer.headers.get('x-content-type-options'), 'nosniff')
    assert.equal(answer.headers.get('sec-websocket-version'), '13')
    // Also for what is no handshake: behind a proxy the next request on this connection is somebody else's.
    connection.send(request('POST /a', { body: 'x' }))
    assert.equal((await connection.answer()).status, 200, why)
  }
  connection.send(handshake('/a', { Origin: 'https://example.com' }))
  assert.equal((await connection.answer()).status, 101)
})

test('a handshake with a body is refused with 400', async (t) => {
  const { port } = await startServer(t)
  const answer = await ask(t, port, `${changed({ 'Content-Length': '5' })}hello`)
  assert.deepEqual([answer.status, answer.body], [400, 'Bad Request\n'])
})

test('HEAD with upgrade headers is answered 405 like the others', async (t) => {
  const { port } = await startServer(t)
  const answer = await ask(t, port, changed({}, 'HEAD'))
  assert.deepEqual([answer.status, answer.headers.get('sec-websocket-version')], [405, '13'])
})

test('frames that come in one segment with the handshake are taken after the 101', async (t) => {
  const { port } = await startServer(t)
  const other = await openFrames(t, port, '/a')
  const first = Buffer.concat([clientFrame(OPCODE.text, 'eager'), clientFrame(OPCODE.ping, 'p'), clientFrame(OPCODE.text, 'second')])
  const eager = await openFrames(t, port, '/a', { first })
  const pong = await eager.frames.next()
  assert.deepEqual([pong.opcode, pong.payload.toString()], [OPCODE.pong, 'p'])
  assert.deepEqual([await eager.text(), await eager.text()], ['eager', 'second'])
  assert.deepEqual([await other.text(), await other.text()], ['eager', 'second'])
})

test('a frame that is cut between the handshake segment and the next one is put together', async (t) => {
  const { port } = await startServer(t)
  const whole = clientFrame(OPCODE.text, 'in two pieces')
  for (const cut of [1, 2, 5, 6, 10]) {
    const socket = await openFrames(t, port, '/a', { first: whole.subarray(0, cut) })
    socket.raw.send(whole.subarray(cut))
    assert.equal(await socket.text(), 'in two pieces')
    socket.raw.socket.destroy()
  }
})

test('frames that come in pieces of one byte, handshake included, are taken', async (t) => {
  const { port } = await startServer(t)
  const connection = await openWire(t, port)
  connection.raw.socket.setNoDelay(true)
  for (const byte of Buffer.concat([Buffer.from(handshake('/a')), clientFrame(OPCODE.text, 'slow')])) connection.send(Uint8Array.of(byte))
  assert.equal((await connection.answer()).status, 101)
  await connection.raw.until((received) => received.includes('\x81\x04slow', 0, 'latin1'))
})
