import assert from 'node:assert/strict'
import { test } from 'node:test'
import { clientFrame, handshake } from '../../support/raw.ts'
import { openFrames, OPCODE } from '../../support/frames.ts'
import { ask, openWire, request } from '../../support/responses.ts'
import { startServer } from '../../support/server.ts'

// pinghub, sections 2, 2.1, 2.2 and 2.4.

test('GET gives the page and POST publishes', async (t) => {
  const { port } = await startServer(t)
  const page = await ask(t, port, request('GET /a'))
  assert.equal(page.status, 200)
  assert.equal(page.headers.get('content-type'), 'text/html; charset=utf-8')
  assert.ok(page.body.includes('<html>'))
  const posted = await ask(t, port, request('POST /a', { body: 'x' }))
  assert.deepEqual([posted.status, posted.body], [200, 'OK\n'])
})

test('every other method is answered 405 with an empty body and without an Allow header', async (t) => {
  const { port } = await startServer(t)
  for (const method of ['HEAD', 'PUT', 'DELETE', 'PATCH', 'OPTIONS', 'TRACE', 'PROPFIND', 'UNHEARD', 'get', 'post']) {
    const answer = await ask(t, port, request(`${method} /a`))
    assert.deepEqual([method, answer.status, answer.body, answer.headers.get('content-length')], [method, 405, '', '0'])
    assert.equal(answer.headers.has('allow'), false)
    assert.ok(answer.headers.has('date'))
  }
  for (const target of ['example.com:443', '/a']) {
    const answer = await ask(t, port, request(`CONNECT ${target}`))
    assert.deepEqual([target, answer.status, answer.body], [target, 405, ''])
  }
})

test('a 405 comes before the path is looked at, and leaves the connection in use', async (t) => {
  const { port } = await startServer(t)
  const connection = await openWire(t, port)
  connection.send(request('PUT /%ff'))
  assert.equal((await connection.answer()).status, 405)
  connection.send(request(`DELETE /${'x'.repeat(256)}`))
  assert.equal((await connection.answer()).status, 405)
  connection.send(request('POST /a', { body: 'x' }))
  assert.equal((await connection.answer()).status, 200)
})

test('the connection ends behind a method that the parser does not know', async (t) => {
  const { port } = await startServer(t)
  const connection = await openWire(t, port)
  connection.send(request('UNHEARD /a'))
  assert.equal((await connection.answer()).headers.get('connection'), 'close')
  await connection.raw.ended
})

test('OPTIONS * is answered 200 and empty; GET * is sent to /%2A', async (t) => {
  const { port } = await startServer(t)
  const options = await ask(t, port, request('OPTIONS *'))
  assert.deepEqual([options.status, options.body], [200, ''])
  const star = await ask(t, port, request('GET *'))
  assert.deepEqual([star.status, star.headers.get('location'), star.body], [301, '/%2A', ''])
})

const REDIRECTS: readonly (readonly [target: string, location: string])[] = [
  ['//', '/'], ['/..', '/'], ['/a/..', '/'], ['/.', '/'], ['/../../..', '/'],
  ['//a?q=1', '/a?q=1'], ['/a//b', '/a/b'], ['/a/./b', '/a/b'], ['/a%2F%2Fb', '/a/b'],
  ['/a/../b', '/b'], ['/%2e%2e/b', '/b'], ['/a/b/../../../c?x=/../y', '/c?x=/../y'],
  // One slash at the end is kept, repeated ones become one.
  ['/a//', '/a/'], ['/a/./', '/a/'], ['/a/b/../', '/a/'],
  // What needs escaping is escaped again; what does not is not.
  ["//caf%c3%a9/%20/a+b:c;d=e@f,g&h$i~j", '/caf%C3%A9/%20/a+b:c;d=e@f,g&h$i~j'], ['//%3Cx%3E', '/%3Cx%3E'],
  // No Location ever names another host.
  ['//evil.example/..', '/'], ['/%2F/evil.example', '/evil.example'],
]

test('a path that is not canonical is answered 301 with the canonical one, and the query stays', async (t) => {
  const { port } = await startServer(t)
  for (const [target, location] of REDIRECTS) {
    const answer = await ask(t, port, request(`GET ${target}`))
    assert.deepEqual([target, answer.status, answer.headers.get('location'), answer.body], [target, 301, location, ''])
  }
})

test('the redirect comes before the method is looked at: POST, PUT and WebSocket handshakes get it too', async (t) => {
  const { port } = await startServer(t)
  for (const text of [request('POST //a', { body: 'x' }), request('PUT //a'), request('HEAD //a'), handshake('//a')]) {
    const answer = await ask(t, port, text)
    assert.deepEqual([text, answer.status, answer.headers.get('location')], [text, 301, '/a'])
  }
})

test('a POST that is redirected publishes nothing', async (t) => {
  const { port } = await startServer(t)
  const subscriber = await openFrames(t, port, '/a')
  await ask(t, port, request('POST //a', { body: 'lost' }))
  await ask(t, port, request('POST /a', { body: 'kept' }))
  assert.equal(await subscriber.text(), 'kept')
})

test('the query takes no part in naming the channel', async (t) => {
  const { port } = await startServer(t)
  const subscriber = await openFrames(t, port, '/a?token=1')
  await ask(t, port, request('POST /a?other=//..', { body: 'hello' }))
  assert.equal(await subscriber.text(), 'hello')
})

test('an absolute-form target is taken by its path', async (t) => {
  const { port } = await startServer(t)
  const subscriber = await openFrames(t, port, 'http://elsewhere.example/a')
  const answer = await ask(t, port, request('POST http://other.example:99/a?q', { body: 'hello' }))
  assert.equal(answer.body, 'OK\n')
  assert.equal(await subscriber.text(), 'hello')
  assert.equal((await ask(t, port, request('GET http://other.example//a'))).headers.get('location'), '/a')
})

test('what is no request is answered 400 in plain text, and the connection is closed', async (t) => {
  const { port } = await startServer(t)
  for (const text of [request('GET /%zz'), request('GET /%'), request('GET /a%4'), request('GET /a\x01b'), request('GET /a\x7fb'), request('GET abc'), 'garbage\r\n\r\n', '\x16\x03\x01\x02\x00\x01\r\n\r\n']) {
    const connection = await openWire(t, port)
    connection.send(text)
    const answer = await connection.answer()
    assert.deepEqual([text, answer.status, answer.body], [text, 400, '400 Bad Request'])
    assert.match(answer.headers.get('content-type') ?? '', /^text\/plain/)
    await connection.raw.ended
  }
})

test('garbage behind a good POST is answered as garbage, not as a bad body', async (t) => {
  const { port } = await startServer(t)
  const connection = await openWire(t, port)
  connection.send(request('POST /a', { body: 'x' }))
  assert.equal((await connection.answer()).status, 200)
  connection.send('garbage\r\n\r\n')
  assert.equal((await connection.answer()).body, '400 Bad Request')
})

test('HTTP/1.1 without a Host is answered 400 and closed', async (t) => {
  const { port } = await startServer(t)
  const connection = await openWire(t, port)
  connection.send('GET /a HTTP/1.1\r\n\r\n')
  assert.equal((await connection.answer()).status, 400)
  await connection.raw.ended
})

test('a version above 1.1 is answered 505 and says so', async (t) => {
  const { port } = await startServer(t)
  const answer = await ask(t, port, request('GET /a', { version: '2.0' }))
  assert.deepEqual([answer.status, answer.body], [505, '505 HTTP Version Not Supported'])
})

test('a header block above the limit is answered 431 and closed', async (t) => {
  const { port } = await startServer(t)
  const connection = await openWire(t, port)
  connection.send(request('GET /a', { headers: { 'X-Long': 'x'.repeat(17_000) } }))
  assert.equal((await connection.answer()).status, 431)
  await connection.raw.ended
})

test('HTTP/1.0 is spoken, with and without a body, and ends the connection', async (t) => {
  const { port } = await startServer(t)
  const subscriber = await openFrames(t, port, '/a')
  for (const text of ['PUT /a HTTP/1.0\r\n\r\n', 'POST /a HTTP/1.0\r\nContent-Length: 5\r\n\r\nhello']) {
    const connection = await openWire(t, port)
    connection.send(text)
    assert.equal((await connection.answer()).status, text.startsWith('PUT') ? 405 : 200)
    await connection.raw.ended
  }
  assert.equal(await subscriber.text(), 'hello')
})

test('requests on one connection are answered one after the other, also when they came in one segment', async (t) => {
  const { port } = await startServer(t)
  const subscriber = await openFrames(t, port, '/a')
  const connection = await openWire(t, port)
  connection.send(request('POST /a', { body: '1' }))
  assert.equal((await connection.answer()).status, 200)
  connection.send(request('POST /a', { body: '2' }) + request('PUT /a') + request('POST /%ff', { body: 'x' }) + request('POST /a', { body: '3' }))
  const statuses: number[] = []
  while (statuses.length < 4) statuses.push((await connection.answer()).status)
  assert.deepEqual(statuses, [200, 405, 400, 200])
  assert.deepEqual([await subscriber.text(), await subscriber.text(), await subscriber.text()], ['1', '2', '3'])
})

test('no answer names the server or carries CORS headers when no origin is stated', async (t) => {
  const { port } = await startServer(t)
  for (const text of [request('GET /a', { headers: { Origin: 'https://a.example' } }), request('POST /a', { body: 'x', headers: { Origin: 'https://a.example' } }), request('PUT /a')]) {
    const { headers, names } = await ask(t, port, text)
    assert.ok(headers.has('date'))
    assert.equal(names.some((name) => /^(server|x-powered-by|vary|access-control-.*)$/i.test(name)), false)
  }
})

test('a handshake behind a request whose answer is still owed ends the connection instead of mixing the two', async (t) => {
  const { port } = await startServer(t)
  const connection = await openWire(t, port)
  connection.send(request('POST /a', { body: 'x' }) + handshake('/a'))
  assert.equal((await connection.raw.ended).includes('HTTP/1.1 101'), false)
  // With the answer taken first, the same connection becomes a WebSocket.
  const patient = await openWire(t, port)
  patient.send(request('POST /a', { body: 'x' }))
  await patient.answer()
  patient.send(handshake('/a'))
  assert.equal((await patient.answer()).status, 101)
  const before = patient.raw.received().length
  patient.send(clientFrame(OPCODE.text, 'mine'))
  const all = await patient.raw.until((received) => received.length >= before + 6)
  assert.equal(all.toString('latin1', before), '\x81\x04mine')
})
