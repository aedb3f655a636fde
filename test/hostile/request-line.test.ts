import assert from 'node:assert/strict'
import { METHODS } from 'node:http'
import { test } from 'node:test'
import { createRequestGuard } from '../../src/http/request-guard.ts'
import { exchange, raw } from '../support/raw.ts'
import { startServer } from '../support/server.ts'
import { statuses } from './statuses.ts'

const GOOD = 'GET /_/healthz HTTP/1.1\r\nHost: h\r\n\r\n'
const SPACED = 'GET  /_/healthz HTTP/1.1\r\nHost: h\r\n\r\n'

const REFUSED: Record<string, [line: string, status: string]> = {
  'two spaces before the target': ['GET  /_/healthz HTTP/1.1', '400'],
  'two spaces behind the target': ['GET /_/healthz  HTTP/1.1', '400'],
  'a space before the method': [' GET /_/healthz HTTP/1.1', '400'],
  'a space at the end': ['GET /_/healthz HTTP/1.1 ', '400'],
  'a tab for a space': ['GET\t/_/healthz HTTP/1.1', '400'],
  'a vertical tab behind the version': ['GET /_/healthz HTTP/1.1\v', '400'],
  'a second carriage return': ['GET /_/healthz HTTP/1.1\r', '400'],
  'a carriage return inside': ['GET /_/he\ralthz HTTP/1.1', '400'],
  'no version': ['GET /_/healthz', '400'],
  'version 1.2': ['GET /_/healthz HTTP/1.2', '400'],
  'version 2.0 on a 1.1 connection': ['GET /_/healthz HTTP/2.0', '505'],
  'version 0.9': ['GET /_/healthz HTTP/0.9', '505'],
  'a version in lower case': ['GET /_/healthz http/1.1', '400'],
  'the preface of HTTP/2': ['PRI * HTTP/2.0', '405'],
  'a method nobody knows': ['FETCH /_/healthz HTTP/1.1', '405'],
  'a method in lower case': ['get /_/healthz HTTP/1.1', '405'],
  'CONNECT': ['CONNECT other:443 HTTP/1.1', '405'],
  'a NUL in the target': ['GET /a\0b HTTP/1.1', '400'],
  'a control byte in the target': ['GET /a\x01b HTTP/1.1', '400'],
  'DEL in the target': ['GET /a\x7fb HTTP/1.1', '400'],
  'a target that is no path': ['GET _/healthz HTTP/1.1', '400'],
  'an authority as the target': ['GET other:80 HTTP/1.1', '400'],
  'an absolute target without its slashes': ['GET http:/_/healthz HTTP/1.1', '400'],
  'a percent sign alone': ['GET /a% HTTP/1.1', '400'],
  'a percent sign and one digit': ['GET /a%4 HTTP/1.1', '400'],
  'a percent sign and no digits': ['GET /a%zz HTTP/1.1', '400'],
  'percent-encoded bytes that are no UTF-8': ['GET /a%ff HTTP/1.1', '400'],
  'an overlong slash': ['GET /a%c0%afb HTTP/1.1', '400'],
  'a percent-encoded surrogate': ['GET /a%ed%a0%80 HTTP/1.1', '400'],
  'a fragment': ['GET /_/healthz#x HTTP/1.1', '400'],
  'a fragment behind a query': ['GET /_/healthz?x=y#z HTTP/1.1', '400'],
  'the first bytes of TLS': ['\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03', '400'],
}

for (const [what, [line, status]] of Object.entries(REFUSED)) {
  test(`a request line with ${what} is answered ${status}`, async (t) => {
    const server = await startServer(t)
    const answer = await exchange(t, server.port, Buffer.from(`${line}\r\nHost: h\r\nConnection: close\r\n\r\n`, 'latin1'))
    assert.equal(statuses(answer), status, answer)
  })
}

test('two spaces are refused in a later request of a connection too', async (t) => {
  const server = await startServer(t)
  const connection = await raw(t, server.port)
  connection.send(GOOD)
  await connection.until((received) => received.includes('\r\n\r\nok\n'))
  connection.send(SPACED)
  assert.equal(statuses((await connection.ended).toString()), '200 400')
})

for (const [what, first] of Object.entries({
  'a request': GOOD,
  'a body': 'POST /a HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhello',
  'the last chunk': 'POST /a HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n',
  'trailers': 'POST /a HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n5;x=y\r\nhello\r\n0\r\nX: y\r\n\r\n',
})) {
  test(`two spaces are refused right behind ${what}, in the same segment`, async (t) => {
    const server = await startServer(t)
    const answer = await exchange(t, server.port, first + SPACED)
    assert.match(statuses(answer), /^(200 )?400$/, answer)
    assert.equal((answer.match(/ok\n/g) ?? []).length <= 1, true, answer)
  })
}

test('a request behind one that asked for an upgrade and got none is not read unseen', async (t) => {
  const server = await startServer(t)
  for (const second of [SPACED, GOOD, SPACED.replace('\r\n\r\n', '\r\nConnection: upgrade\r\nUpgrade: h2c\r\n\r\n')]) {
    const asking = 'GET /_/healthz HTTP/1.1\r\nHost: h\r\nConnection: upgrade\r\nUpgrade: h2c\r\n\r\n'
    const answer = await exchange(t, server.port, asking + second)
    assert.equal(statuses(answer), '200', answer)
    assert.match(answer, /connection: close/i)
  }
})

test('after an upgrade that was refused the connection goes on, as guarded as before', async (t) => {
  const server = await startServer(t)
  const connection = await raw(t, server.port)
  connection.send('GET /a HTTP/1.1\r\nHost: h\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n')
  await connection.until((received) => received.includes('Bad Request\n'))
  connection.send(GOOD)
  await connection.until((received) => received.includes('ok\n'))
  connection.send(SPACED)
  assert.equal(statuses((await connection.ended).toString()), '400 200 400')
})

test('an answer to malformed bytes never comes in the middle of an event stream', async (t) => {
  const server = await startServer(t)
  for (const bytes of [SPACED, 'POST /a HTTP/1.1\r\nHost: h\r\nContent-Length: -1\r\n\r\n', `GET / HTTP/1.1\r\nX: ${'x'.repeat(20_000)}\r\n\r\n`]) {
    const connection = await raw(t, server.port)
    connection.send('GET /a HTTP/1.1\r\nHost: h\r\nAccept: text/event-stream\r\n\r\n')
    await connection.until((received) => received.includes('id: '))
    connection.send(bytes)
    assert.equal(statuses((await connection.ended).toString()), '200')
  }
})

const BODY = 'POST /a HTTP/1.1\r\nHost: h\r\nContent-Length: 11\r\n\r\nGET  / x\r\n\r\n'
const CHUNKS = 'POST /a HTTP/1.1\r\nTransfer-Encoding: chunked\r\nHost: h\r\n\r\n5;a=b\r\nhello\r\nA\r\n\r\n\r\n\r\n\r\n\r\n\r\n0\r\nX: GET  / HTTP/1.1\r\n\r\n'
const BARE = 'GET / HTTP/1.0\r\n\r\n'
const STREAMS: Record<string, [bytes: string, verdict: number | 'passed']> = {
  'requests of every shape': [`\r\n${GOOD}${BODY}${CHUNKS}${BARE}${GOOD}`, 'passed'],
  'two spaces behind a body that looks like a request': [`${BODY}${SPACED}`, 400],
  'two spaces behind chunks that look like requests': [`${CHUNKS}${SPACED}`, 400],
  'two spaces behind a head without fields': [`${BARE}${SPACED}`, 400],
  'a head that is too long': [`${GOOD}GET / HTTP/1.1\r\nHost: h\r\n${'x:y\r\n'.repeat(100)}\r\n`, 431],
  'a request line that is too long': [`GET /${'x'.repeat(400)} HTTP/1.1\r\nHost: h\r\n\r\n`, 431],
  'a chunk extension that is too long': [CHUNKS.replace('a=b', 'x'.repeat(400)), 400],
}

for (const [what, [bytes, verdict]] of Object.entries(STREAMS)) {
  test(`wherever the network cuts the bytes, the verdict on ${what} is the same`, () => {
    const whole = Buffer.from(bytes, 'latin1')
    const cuts = Array.from({ length: whole.length + 1 }, (_, at) => [whole.subarray(0, at), whole.subarray(at)])
    const single = Array.from(whole, (_, at) => whole.subarray(at, at + 1))
    for (const pieces of [...cuts, single]) {
      const guard = createRequestGuard(300, new Set(METHODS))
      const passed: Buffer[] = []
      let got: number | 'passed' = 'passed'
      for (const piece of pieces) {
        const one = guard.feed(Buffer.from(piece))
        if (typeof one !== 'number') passed.push(one)
        else {
          got = one
          break
        }
      }
      assert.equal(got, verdict, `cut at ${pieces[0]?.length}`)
      if (verdict === 'passed') assert.deepEqual(Buffer.concat(passed), whole)
    }
  })
}

test('raw bytes above 0x7F in the target are percent-encoded, wherever they are cut, and nowhere else', () => {
  const bytes = Buffer.from('POST /café?ü HTTP/1.1\r\nX: é\r\nContent-Length: 2\r\n\r\néGET /é HTTP/1.1\r\n\r\n')
  for (let at = 0; at <= bytes.length; at++) {
    const guard = createRequestGuard(300, new Set(METHODS))
    const passed = [bytes.subarray(0, at), bytes.subarray(at)].map((piece) => guard.feed(Buffer.from(piece)) as Buffer)
    assert.equal(Buffer.concat(passed).toString(), 'POST /caf%C3%A9?%C3%BC HTTP/1.1\r\nX: é\r\nContent-Length: 2\r\n\r\néGET /%C3%A9 HTTP/1.1\r\n\r\n')
  }
})
