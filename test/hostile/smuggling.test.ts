import assert from 'node:assert/strict'
import { createServer } from 'node:http'
import { test, type TestContext } from 'node:test'
import { createServer as createHub } from '../../src/index.ts'
import { exchange, handshake, raw } from '../support/raw.ts'
import { startServer } from '../support/server.ts'
import { statuses } from './statuses.ts'

/*
 * Two readers of one byte stream (a proxy and the hub) must never come to disagree on where a request ends: what one of
 * them takes for a body would be a request of somebody else to the other. So whatever is ambiguous is refused, and the
 * connection ends.
 */
const CHUNKED = 'Transfer-Encoding: chunked\r\n'
const REFUSED: Record<string, [fields: string, body: string, status?: string]> = {
  'Host twice': ['Host: h\r\nHost: h\r\n', ''],
  'Host twice, far apart and in another case': [`Host: h\r\n${'X: y\r\n'.repeat(50)}hOST: h\r\n`, ''],
  'no Host': ['', ''],
  'Content-Length and Transfer-Encoding': [`Host: h\r\nContent-Length: 5\r\n${CHUNKED}`, '0\r\n\r\n'],
  'Transfer-Encoding and Content-Length': [`Host: h\r\n${CHUNKED}Content-Length: 5\r\n`, '0\r\n\r\n'],
  'two equal Content-Lengths': ['Host: h\r\nContent-Length: 5\r\nContent-Length: 5\r\n', 'hello'],
  'two different Content-Lengths': ['Host: h\r\nContent-Length: 5\r\nContent-Length: 6\r\n', 'hello'],
  'a list of Content-Lengths': ['Host: h\r\nContent-Length: 5, 5\r\n', 'hello'],
  'a Content-Length with a plus sign': ['Host: h\r\nContent-Length: +5\r\n', 'hello'],
  'a negative Content-Length': ['Host: h\r\nContent-Length: -5\r\n', 'hello'],
  'a hexadecimal Content-Length': ['Host: h\r\nContent-Length: 0x5\r\n', 'hello'],
  'an empty Content-Length': ['Host: h\r\nContent-Length: \r\n', ''],
  'a Content-Length of two words': ['Host: h\r\nContent-Length: 5 5\r\n', 'hello'],
  'a Content-Length beyond 2^64': ['Host: h\r\nContent-Length: 18446744073709551621\r\n', 'hello'],
  'a Content-Length beyond 2^53': ['Host: h\r\nContent-Length: 9007199254740993\r\n', 'hello', '413'],
  'a blank before the colon of Content-Length': ['Host: h\r\nContent-Length : 5\r\n', 'hello'],
  'a blank before the colon of Transfer-Encoding': ['Host: h\r\nTransfer-Encoding : chunked\r\n', '0\r\n\r\n'],
  'a Transfer-Encoding on a folded line': ['Host: h\r\nTransfer-Encoding:\r\n chunked\r\n', '0\r\n\r\n'],
  'a folded line': ['Host: h\r\nX: a\r\n b\r\n', ''],
  'a folded first line': [' Host: h\r\n', ''],
  'Transfer-Encoding twice': [`Host: h\r\n${CHUNKED}${CHUNKED}`, '0\r\n\r\n'],
  'Transfer-Encoding: chunked, and then identity': [`Host: h\r\n${CHUNKED}Transfer-Encoding: identity\r\n`, '0\r\n\r\n'],
  'Transfer-Encoding: chunked, gzip': ['Host: h\r\nTransfer-Encoding: chunked, gzip\r\n', '0\r\n\r\n'],
  'Transfer-Encoding: gzip, chunked': ['Host: h\r\nTransfer-Encoding: gzip, chunked\r\n', '0\r\n\r\n', '501'],
  'Transfer-Encoding: identity': ['Host: h\r\nTransfer-Encoding: identity\r\n', '', '501'],
  'Transfer-Encoding: xchunked': ['Host: h\r\nTransfer-Encoding: xchunked\r\n', '0\r\n\r\n', '501'],
  'a quoted Transfer-Encoding': ['Host: h\r\nTransfer-Encoding: "chunked"\r\n', '0\r\n\r\n', '501'],
  'a Transfer-Encoding behind a vertical tab': ['Host: h\r\nTransfer-Encoding: \vchunked\r\n', '0\r\n\r\n'],
  'a NUL in a header value': ['Host: h\r\nX: a\0b\r\n', ''],
  'a NUL in a header name': ['Host: h\r\nX\0: a\r\n', ''],
  'a header line without a colon': ['Host: h\r\ngarbage\r\n', ''],
  'a header without a name': ['Host: h\r\n: a\r\n', ''],
  'a bare LF between headers': ['Host: h\nX: y\r\n', ''],
  'a bare CR between headers': ['Host: h\rX: y\r\n', ''],
  'a bare LF at the end of the headers': ['Host: h\r\n\nX: y\r\n', ''],
  'a negative chunk size': [`Host: h\r\n${CHUNKED}`, '-5\r\nhello\r\n0\r\n\r\n'],
  'a chunk size with 0x': [`Host: h\r\n${CHUNKED}`, '0x5\r\nhello\r\n0\r\n\r\n'],
  'a chunk size beyond 2^64': [`Host: h\r\n${CHUNKED}`, 'fffffffffffffffff\r\nhello\r\n0\r\n\r\n'],
  'an empty chunk size': [`Host: h\r\n${CHUNKED}`, '\r\nhello\r\n0\r\n\r\n'],
  'a blank before a chunk size': [`Host: h\r\n${CHUNKED}`, ' 5\r\nhello\r\n0\r\n\r\n'],
  'a blank behind a chunk size': [`Host: h\r\n${CHUNKED}`, '5 \r\nhello\r\n0\r\n\r\n'],
  'a bare LF behind a chunk size': [`Host: h\r\n${CHUNKED}`, '5\nhello\r\n0\r\n\r\n'],
  'a bare LF in a chunk extension': [`Host: h\r\n${CHUNKED}`, '5;x\nhello\r\n0\r\n\r\n'],
  'a chunk extension of 20,000 bytes': [`Host: h\r\n${CHUNKED}`, `5;${'x'.repeat(20_000)}\r\nhello\r\n0\r\n\r\n`],
  'chunk data longer than its size': [`Host: h\r\n${CHUNKED}`, '5\r\nhello0\r\n\r\n'],
  'chunk data without its line end': [`Host: h\r\n${CHUNKED}`, '5\r\nhelloX0\r\n\r\n'],
  'a Content-Length among the trailers': [`Host: h\r\n${CHUNKED}`, '5\r\nhello\r\n0\r\nContent-Length: 5\r\n\r\n'],
  'a bare LF among the trailers': [`Host: h\r\n${CHUNKED}`, '5\r\nhello\r\n0\r\nX: y\n\r\n'],
}

const SMUGGLED = 'GET /_/healthz HTTP/1.1\r\nHost: h\r\n\r\n'

for (const [what, [fields, body, status = '400']] of Object.entries(REFUSED)) {
  test(`${what}: ${status}, the end, nothing published, and nothing behind it is served`, async (t) => {
    const { port, published } = await watched(t)
    const answer = await exchange(t, port, `POST /a HTTP/1.1\r\n${fields}\r\n${body}${SMUGGLED}`)
    assert.equal(statuses(answer), status, answer)
    assert.deepEqual(published(), [])
  })
}

async function watched(t: TestContext): Promise<{ port: number; published: () => string[] }> {
  const server = await startServer(t)
  const published: string[] = []
  const all = server.hub.subscribe('*')
  void (async () => {
    for await (const message of all) published.push(message.text())
  })()
  t.after(() => all[Symbol.asyncDispose]())
  return { port: server.port, published: () => published }
}

test('Transfer-Encoding on HTTP/1.0: 400, the end, and nothing behind it is served', async (t) => {
  const { port, published } = await watched(t)
  const answer = await exchange(t, port, `POST /a HTTP/1.0\r\nHost: h\r\nConnection: keep-alive\r\n${CHUNKED}\r\n0\r\n\r\n${SMUGGLED}`)
  assert.equal(statuses(answer), '400', answer)
  assert.deepEqual(published(), [])
})

test('a request without flaw, chunked with extensions and trailers, is served, and the one behind it too', async (t) => {
  const server = await startServer(t)
  const connection = await raw(t, server.port)
  connection.send(`POST /a HTTP/1.1\r\nHost: h\r\n${CHUNKED}\r\n5;a="b"\r\nhello\r\n0\r\nX: y\r\n\r\n${SMUGGLED}`)
  const answer = await connection.until((received) => received.includes('\r\n\r\nok\n'))
  assert.equal(statuses(answer.toString()), '200 200')
})

test('a WebSocket handshake with a body is refused: the frames would begin where somebody else sees the body', async (t) => {
  const server = await startServer(t)
  for (const field of [{ 'Content-Length': '10' }, { 'Transfer-Encoding': 'chunked' }]) {
    const connection = await raw(t, server.port)
    connection.send(handshake('/a', field))
    const answer = await connection.until((received) => received.includes('\r\n\r\n'))
    assert.equal(statuses(answer.toString()), '400')
    // What follows is read as that body, by nobody else.
    connection.send(Buffer.alloc(100, 0x81))
    connection.socket.end()
    assert.match(statuses((await connection.ended).toString()), /^400( 400)?$/)
  }
  assert.equal(await (await fetch(`${server.url}/_/healthz`)).text(), 'ok\n')
})

test('a second Host is seen behind any number of headers', async (t) => {
  const server = await startServer(t, { maxHeaderBytes: 1_048_576 })
  const answer = await exchange(t, server.port, `GET /_/healthz HTTP/1.1\r\nHost: h\r\n${'x:\r\n'.repeat(2_500)}Host: h\r\nConnection: close\r\n\r\n`)
  assert.equal(statuses(answer), '400')
})

test('on a server of somebody else, what only the hub can see of a request is refused there too', async (t) => {
  const own = createServer((_request, response) => response.end('own'))
  await new Promise<void>((resolve) => own.listen(0, '127.0.0.1', resolve))
  const hub = createHub({ logLevel: 'silent' })
  await hub.attach(own, { prefix: '/hub' })
  t.after(async () => {
    await hub.close(AbortSignal.abort())
    own.close()
  })
  const port = (own.address() as { port: number }).port
  for (const [fields, status] of [['Host: h\r\nHost: h\r\n', '400'], ['Host: h\r\nTransfer-Encoding: gzip, chunked\r\n', '501']] as const) {
    const answer = await exchange(t, port, `POST /hub/a HTTP/1.1\r\n${fields}\r\n0\r\n\r\n${SMUGGLED}`)
    assert.equal(statuses(answer).slice(0, 3), status, answer)
  }
})
