import assert from 'node:assert/strict'
import { test } from 'node:test'
import { openFrames } from '../../support/frames.ts'
import { ask, openWire, request } from '../../support/responses.ts'
import { startServer } from '../../support/server.ts'
import { connect } from '../../support/websocket.ts'

// pinghub, section 4.

const chunked = (...chunks: string[]): string => [...chunks, ''].map((chunk) => `${chunk.length.toString(16)}\r\n${chunk}\r\n`).join('')

test('a POST is answered 200 with OK and a line end, whoever is there and whatever the body', async (t) => {
  const { port } = await startServer(t)
  await openFrames(t, port, '/busy')
  const texts = [
    request('POST /busy', { body: 'hello' }),
    request('POST /nobody', { body: 'hello' }),
    request('POST /busy', { headers: { 'Content-Length': '0' } }),
    request('POST /busy'),
    request('POST /nobody'),
    request('POST /busy', { headers: { 'Transfer-Encoding': 'chunked' } }) + chunked('he', 'llo'),
    request('POST /busy', { headers: { 'Transfer-Encoding': 'chunked' } }) + chunked(),
  ]
  for (const text of texts) {
    const answer = await ask(t, port, text)
    assert.deepEqual([text, answer.status, answer.body], [text, 200, 'OK\n'])
    assert.equal(answer.headers.get('content-type'), 'text/plain; charset=utf-8')
    assert.equal(answer.headers.get('content-length'), '3')
  }
})

test('the whole body is one message, whatever its content type', async (t) => {
  const { port } = await startServer(t)
  const subscriber = await openFrames(t, port, '/a')
  const bodies: readonly (readonly [type: string, body: string])[] = [
    ['text/plain', 'plain'],
    ['application/x-www-form-urlencoded', 'a=1&b=%20+'],
    ['application/json', '{"a":1}\n'],
    ['multipart/form-data; boundary=x', '--x\r\n\r\npart\r\n--x--\r\n'],
    ['nonsense', 'a\0b'],
  ]
  for (const [type, body] of bodies) {
    await ask(t, port, request('POST /a', { body, headers: { 'Content-Type': type } }))
    assert.equal(await subscriber.text(), body)
  }
})

test('a chunked body arrives as one message, also when it comes in many segments', async (t) => {
  const { port } = await startServer(t)
  const subscriber = await openFrames(t, port, '/a')
  const connection = await openWire(t, port)
  connection.send(request('POST /a', { headers: { 'Transfer-Encoding': 'chunked' } }))
  for (const byte of chunked('first ', 'second ', 'third')) connection.send(byte)
  assert.equal((await connection.answer()).status, 200)
  assert.equal(await subscriber.text(), 'first second third')
})

test('what is posted when nobody is there is gone, and the answer is the same', async (t) => {
  const { port } = await startServer(t)
  const lost = await ask(t, port, request('POST /a', { body: 'lost' }))
  assert.deepEqual([lost.status, lost.headers.get('waystation-subscribers')], [200, '0'])
  const subscriber = await openFrames(t, port, '/a')
  await ask(t, port, request('POST /a', { body: 'kept' }))
  assert.equal(await subscriber.text(), 'kept')
})

test('an empty POST goes to nobody', async (t) => {
  const { port } = await startServer(t)
  const subscriber = await openFrames(t, port, '/a')
  const empty = await ask(t, port, request('POST /a', { headers: { 'Content-Length': '0' } }))
  assert.equal(empty.headers.has('waystation-offset'), false)
  await ask(t, port, request('POST /a', { body: 'next' }))
  assert.equal(await subscriber.text(), 'next')
})

test('a POST subscribes nobody and makes no channel', async (t) => {
  const server = await startServer(t)
  await ask(t, server.port, request('POST /a', { body: 'x' }))
  assert.match(server.pinghubReport(), /^channels\.value 0$/m)
})

test('a body that breaks off or has bad chunks is answered 400 and published to nobody', async (t) => {
  const { port } = await startServer(t)
  const subscriber = await openFrames(t, port, '/a')
  const broken = [
    request('POST /a', { headers: { 'Transfer-Encoding': 'chunked' } }) + '5\r\nhello\r\nzz\r\n',
    request('POST /a', { headers: { 'Transfer-Encoding': 'chunked' } }) + '5\r\nhelloX\r\n',
    request('POST /a', { headers: { 'Content-Length': '10' } }) + 'hello',
    request('POST /a', { headers: { 'Transfer-Encoding': 'chunked' } }) + '5\r\nhel',
  ]
  for (const text of broken) {
    const connection = await openWire(t, port)
    connection.send(text)
    connection.raw.socket.end()
    const answer = await connection.answer()
    assert.deepEqual([text, answer.status, answer.body], [text, 400, 'Error: bad request. Unable to read POST body.\n'])
    assert.equal(answer.headers.get('content-type'), 'text/plain; charset=utf-8')
    assert.equal(answer.headers.get('x-content-type-options'), 'nosniff')
  }
  await ask(t, port, request('POST /a', { body: 'good' }))
  assert.equal(await subscriber.text(), 'good')
})

test('a body that is not UTF-8 is refused with 400, published to nobody, and the connection stays', async (t) => {
  const { port } = await startServer(t)
  const subscriber = await openFrames(t, port, '/a')
  const connection = await openWire(t, port)
  for (const body of ['\xff', 'ok \xc3', '\xed\xa0\x80', '\xc0\xaf']) {
    connection.send(request('POST /a', { body }))
    const answer = await connection.answer()
    assert.deepEqual([answer.status, answer.body], [400, 'Error: bad request. POST body must be valid Unicode (UTF-8).\n'])
    assert.equal(answer.headers.get('x-content-type-options'), 'nosniff')
  }
  connection.send(request('POST /a', { body: 'caf\xc3\xa9' }))
  assert.equal((await connection.answer()).status, 200)
  assert.equal(await subscriber.text(), 'café')
})

test('a body of 1 MiB is published as one frame; one byte more is answered 413 and goes to nobody', async (t) => {
  const { port } = await startServer(t)
  const subscriber = await openFrames(t, port, '/a')
  const most = 'm'.repeat(1_048_576)
  assert.equal((await ask(t, port, request('POST /a', { body: most }))).status, 200)
  assert.equal((await subscriber.text()).length, most.length)
  const declared = await ask(t, port, request('POST /a', { headers: { 'Content-Length': String(most.length + 1) } }))
  assert.equal(declared.status, 413)
  assert.match(declared.body, /^Error: .*1048576 bytes/)
  const counted = await ask(t, port, request('POST /a', { headers: { 'Transfer-Encoding': 'chunked' } }) + chunked(most, '!'))
  assert.equal(counted.status, 413)
  await ask(t, port, request('POST /a', { body: 'after' }))
  assert.equal(await subscriber.text(), 'after')
})

test('the bound of a POST is an option', async (t) => {
  const { port } = await startServer(t, { maxMessageBytes: '5MiB' })
  const subscriber = await openFrames(t, port, '/a')
  assert.equal((await ask(t, port, request('POST /a', { body: 'm'.repeat(5_000_000) }))).status, 200)
  assert.equal((await subscriber.text()).length, 5_000_000)
})

test('a client that sends its whole oversized body before it reads anything still finds the 413', async (t) => {
  const { port } = await startServer(t)
  const body = Buffer.alloc(32_000_000, 'm')
  const size = `${body.length.toString(16)}\r\n`
  const declared = [request('POST /a', { headers: { 'Content-Length': String(body.length) } }), body]
  const counted = [request('POST /a', { headers: { 'Transfer-Encoding': 'chunked' } }), size, body, '\r\n0\r\n\r\n']
  for (const parts of [declared, counted]) {
    const connection = await openWire(t, port)
    const { socket } = connection.raw
    socket.pause()
    // More than the kernel holds: were it not read away, the writing would fail, and the answer be lost with it.
    for (const part of parts) await new Promise<void>((resolve, reject) => socket.write(part, (error) => (error ? reject(error) : resolve())))
    socket.resume()
    assert.equal((await connection.answer()).status, 413)
    await connection.raw.ended
  }
})

test('a client that asks first is told to go on, and one whose body is too large is not', async (t) => {
  const { port } = await startServer(t)
  const subscriber = await openFrames(t, port, '/a')
  const polite = await openWire(t, port)
  polite.send(request('POST /a', { headers: { Expect: '100-continue', 'Content-Length': '5' } }))
  assert.equal((await polite.answer()).status, 100)
  polite.send('hello')
  assert.deepEqual([(await polite.answer()).body, await subscriber.text()], ['OK\n', 'hello'])
  const large = await openWire(t, port)
  large.send(request('POST /a', { headers: { Expect: '100-continue', 'Content-Length': '2000000' } }))
  assert.equal((await large.answer()).status, 413)
})

test('a POST is never checked for its origin', async (t) => {
  const server = await startServer(t, { origin: ['https://example.com'] })
  const subscriber = await connect(t, `${server.ws}/a`)
  for (const origin of ['https://evil.example', 'null', '']) {
    assert.equal((await ask(t, server.port, request('POST /a', { body: 'x', headers: { Origin: origin } }))).status, 200)
    assert.equal(await subscriber.next(), 'x')
  }
})
