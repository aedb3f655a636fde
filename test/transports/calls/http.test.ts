import assert from 'node:assert/strict'
import { test } from 'node:test'
import { deflateSync } from 'node:zlib'
import { ERRORS, WaystationError } from '../../../src/core/errors.ts'
import { encode } from '../../../src/protocol/etf/encode.ts'
import { Atom, Tuple } from '../../../src/protocol/etf/term.ts'
import { startCalls } from '../../support/calls.ts'
import { exchange, raw } from '../../support/raw.ts'

const JSON_TYPE = { 'Content-Type': 'application/json' }
const TERM = 'application/x-erlang-term'
const bare = (...parameters: Parameters<typeof encode>): Buffer => encode(...parameters).subarray(1)

function post(port: number, path: string, body: string | Buffer, headers: Record<string, string> = JSON_TYPE, method = 'POST'): Promise<Response> {
  return fetch(`http://127.0.0.1:${port}${path}`, { method, headers, ...(method === 'POST' && { body: body as string }) })
}

test('JSON goes in as a term and the answer comes out as JSON, floats as floats', async (t) => {
  const { port, services } = await startCalls(t, { atoms: ['add'] })
  const response = await post(port, '/_/call/echo', '{"$tuple":[{"$atom":"add"},{"$atom":"unheard"},1,1.0]}')
  assert.equal(response.status, 200)
  assert.equal(response.headers.get('content-type'), 'application/json')
  assert.equal(response.headers.get('cache-control'), 'no-store')
  assert.equal(await response.text(), '{"$tuple":[{"$atom":"add"},"unheard",1,1.0]}')
  const { wish, by } = await services.calls.next()
  assert.deepEqual(wish.request.subarray(0, 2), Buffer.of(104, 4))
  assert.deepEqual([wish.deadline, wish.key, wish.idempotencyKey, by.local], [5_000, undefined, undefined, true])
})

test('a term goes in as it is, uncompressed, and comes out as one where that is wanted', async (t) => {
  const { port, services } = await startCalls(t)
  const term = encode(new Tuple(new Atom('add'), 'x'.repeat(500), 1))
  const headers = { 'Content-Type': `${TERM}; v=1`, Accept: TERM }
  const response = await post(port, '/_/call/echo', term, headers)
  assert.equal(response.headers.get('content-type'), TERM)
  assert.deepEqual(Buffer.from(await response.arrayBuffer()), term)
  const size = Buffer.alloc(4)
  size.writeUInt32BE(term.length - 1)
  const compressed = Buffer.concat([Buffer.of(131, 80), size, deflateSync(term.subarray(1))])
  assert.deepEqual(Buffer.from(await (await post(port, '/_/call/echo', compressed, headers)).arrayBuffer()), term)
  assert.equal((await services.calls.take(2)).every(({ wish }) => wish.request.equals(term.subarray(1))), true)
  assert.equal((await post(port, '/_/call/echo', Buffer.concat([compressed, Buffer.of(0)]), headers)).status, 400)
})

test('an answer without JSON comes as a term, whatever was asked for', async (t) => {
  const { port, services } = await startCalls(t)
  const asked = post(port, '/_/call/held', '1', { ...JSON_TYPE, Accept: 'application/json' })
  const callback = Buffer.concat([Buffer.of(113), bare(new Atom('m')), bare(new Atom('f')), bare(1)])
  const held = await services.calls.next()
  held.answer(callback)
  const response = await asked
  assert.equal(response.headers.get('content-type'), TERM)
  assert.deepEqual(Buffer.from(await response.arrayBuffer()), Buffer.concat([Buffer.of(131), callback]))
})

test('deadline, hash key and idempotency key come by headers', async (t) => {
  const { port, services } = await startCalls(t)
  const cases: [Record<string, string>, unknown][] = [
    [{ 'Waystation-Deadline': '1.5s', 'Waystation-Key': 'customer 7', 'Idempotency-Key': 'abc' }, [1_500, 'customer 7', 'abc']],
    [{ 'Waystation-Deadline': '20', 'Idempotency-Key': '"a \\"b\\" \\\\"' }, [20, undefined, 'a "b" \\']],
    [{ 'Idempotency-Key': '"a"b"', 'Waystation-Key': '"q"' }, [5_000, '"q"', '"a"b"']],
    [{ 'Idempotency-Key': Buffer.from('grüße').toString('latin1'), 'Waystation-Key': '\xff' }, [5_000, '\xff', 'grüße']],
  ]
  for (const [headers, expected] of cases) {
    assert.equal((await post(port, '/_/call/echo', '1', { ...JSON_TYPE, ...headers })).status, 200)
    const { wish } = await services.calls.next()
    assert.deepEqual([wish.deadline, wish.key?.toString('latin1'), wish.idempotencyKey], expected)
  }
  for (const headers of [{ 'Waystation-Deadline': '601s' }, { 'Waystation-Deadline': 'soon' }, { 'Idempotency-Key': '' }, { 'Idempotency-Key': '""' }, { 'Idempotency-Key': 'a'.repeat(256) }, { 'Idempotency-Key': '\xff' }, { 'Waystation-Key': '' }, { 'Waystation-Key': 'a'.repeat(256) }]) {
    const response = await post(port, '/_/call/echo', '1', { ...JSON_TYPE, ...headers } as Record<string, string>)
    assert.deepEqual([response.status, ((await response.json()) as { code: string }).code], [400, 'bad_request'], JSON.stringify(headers))
  }
  const twice = await exchange(t, port, 'POST /_/call/echo HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Type: application/json\r\nIdempotency-Key: a\r\nIdempotency-Key: b\r\nContent-Length: 1\r\n\r\n1')
  assert.match(twice, /^HTTP\/1\.1 400 /)
})

test('the name of a service is the rest of the path as it is decoded, and nothing of it is put right', async (t) => {
  const { port, services } = await startCalls(t)
  const line = (path: string): string => `POST ${path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Type: application/json\r\nContent-Length: 1\r\n\r\n1`
  const good: [string, string][] = [['billing/invoices', 'billing/invoices'], ['a%2Fb', 'a/b'], ['a//b/../c/', 'a//b/../c/'], ['gr%C3%BC%C3%9Fe+x%20y', 'grüße+x y'], ['a?x=/y', 'a'], ['%25', '%'], ['x'.repeat(255), 'x'.repeat(255)]]
  for (const [path, name] of good) {
    assert.match(await exchange(t, port, line(`/_/cast/${path}`)), /^HTTP\/1\.1 202 [^]*\r\nContent-Length: 0\r\n[^]*\r\n\r\n$/, path)
    assert.equal((await services.casts.next()).service, name)
  }
  for (const path of ['', '%', '%zz', '%4', '%FF', 'a%C3', '%ED%A0%80', 'x'.repeat(256), '%C3%BC'.repeat(128)]) assert.match(await exchange(t, port, line(`/_/call/${path}`)), /^HTTP\/1\.1 400 /, path)
  assert.deepEqual([services.casts.taken(), services.calls.taken()], [[], []])
})

test('every error is a problem with its code, and 503 says when to come again', async (t) => {
  const { port } = await startCalls(t)
  const codes = ['no_service', 'no_worker', 'deadline', 'forbidden', 'call_failed', 'worker_lost', 'disconnected', 'service_refused', 'too_many_calls', 'idempotency_conflict', 'stopped'] as const
  for (const code of codes) {
    for (const kind of ['call', 'cast']) {
      const response = await post(port, `/_/${kind}/fail/${code}`, '1')
      const { status } = ERRORS[code]
      assert.equal(response.status, status)
      assert.equal(response.headers.get('content-type'), 'application/problem+json')
      assert.equal(response.headers.get('cache-control'), 'no-store')
      assert.equal(response.headers.get('retry-after'), status === 503 ? '1' : null)
      const { title, ...problem } = (await response.json()) as Record<string, unknown>
      assert.deepEqual(problem, { type: 'about:blank', status, detail: `${ERRORS[code].text}: for a test`, code })
      assert.equal(title, response.statusText)
    }
  }
})

test('other methods, other content types and other origins are refused', async (t) => {
  const { port, services } = await startCalls(t, { origins: ['https://app.example'] })
  for (const method of ['GET', 'PUT', 'DELETE']) {
    const response = await post(port, '/_/call/echo', '', {}, method)
    assert.deepEqual([response.status, response.headers.get('allow'), response.headers.get('content-type')], [405, 'POST', 'application/problem+json'])
  }
  for (const type of ['text/plain', 'application/jsonx', 'application/x-www-form-urlencoded', 'application/x-erlang-terms']) assert.equal((await post(port, '/_/call/echo', '1', { 'Content-Type': type })).status, 415, type)
  const untyped = await exchange(t, port, 'POST /_/call/echo HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 1\r\n\r\n1')
  assert.match(untyped, /^HTTP\/1\.1 415 /)
  const foreign = await post(port, '/_/call/echo', '1', { ...JSON_TYPE, Origin: 'https://evil.example' })
  assert.deepEqual([foreign.status, foreign.headers.get('access-control-allow-origin')], [403, null])
  assert.equal(services.calls.taken().length, 0)
  const allowed = await post(port, '/_/call/echo', '1', { ...JSON_TYPE, Origin: 'https://app.example' })
  assert.deepEqual([allowed.status, allowed.headers.get('access-control-allow-origin'), allowed.headers.get('vary')], [200, 'https://app.example', 'Origin'])
})

test('a page of a stated origin may ask first, and is told of the headers of a call', async (t) => {
  const { port } = await startCalls(t, { origins: ['https://app.example'] })
  const ask = (origin: string): Promise<Response> => post(port, '/_/call/echo', '', { Origin: origin, 'Access-Control-Request-Method': 'POST', 'Access-Control-Request-Headers': 'content-type' }, 'OPTIONS')
  const good = await ask('https://app.example')
  assert.equal(good.status, 204)
  assert.match(good.headers.get('access-control-allow-headers') ?? '', /Content-Type, Idempotency-Key, Waystation-Deadline, Waystation-Key/)
  assert.equal(good.headers.get('access-control-allow-methods'), 'POST')
  assert.equal((await ask('https://evil.example')).status, 403)
  const plain = await post(port, '/_/call/echo', '', {}, 'OPTIONS')
  assert.deepEqual([plain.status, plain.headers.get('allow')], [204, 'POST'])
})

test('who may not call is told before the body is asked for', async (t) => {
  const { port, services } = await startCalls(t)
  services.forbidden.add('secret')
  const connection = await raw(t, port)
  connection.send('POST /_/call/secret HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Type: application/json\r\nContent-Length: 10\r\n\r\n')
  const head = await connection.until((received) => received.includes('"code":"forbidden"'))
  assert.match(head.toString(), /^HTTP\/1\.1 403 /)
  assert.deepEqual(services.calls.taken(), [])
})

test('who it is may be found out later, and what was wrong with that is the answer', async (t) => {
  let verdict: 'good' | 'refused' | 'broken' = 'good'
  const { port, services, failures } = await startCalls(t, {
    async identify({ message }) {
      if (verdict === 'refused') throw new WaystationError('key_refused')
      if (verdict === 'broken') throw new Error('secret text')
      return { kind: 'keyed', domain: message.headers.authorization ?? '', local: false, address: '192.0.2.1' }
    },
  })
  assert.equal((await post(port, '/_/call/echo', '1', { ...JSON_TYPE, Authorization: 'acme' })).status, 200)
  const { by } = await services.calls.next()
  assert.equal(by.domain, 'acme')
  verdict = 'refused'
  assert.equal((await post(port, '/_/call/echo', '1')).status, 403)
  verdict = 'broken'
  const broken = await post(port, '/_/call/echo', '1')
  assert.equal(broken.status, 500)
  assert.doesNotMatch(await broken.text(), /secret/)
  assert.equal(failures.length, 1)
})

test('a client that goes away abandons its calls, those too that wait behind another', async (t) => {
  const { port, services } = await startCalls(t)
  const connection = await raw(t, port)
  for (const service of ['one', 'two']) connection.send(`POST /_/call/${service} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 1\r\n\r\n1`)
  await services.calls.take(2)
  connection.socket.destroy()
  assert.deepEqual((await services.abandoned.take(2)).toSorted(), ['one', 'two'])
})

test('an answered call is not abandoned when its connection ends', async (t) => {
  const { port, services } = await startCalls(t)
  const connection = await raw(t, port)
  const line = (service: string): string => `POST /_/call/${service} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 1\r\n\r\n1`
  connection.send(line('echo'))
  await connection.until((received) => received.includes('\r\n\r\n1'))
  connection.send(line('held'))
  await services.calls.take(2)
  connection.socket.destroy()
  assert.equal(await services.abandoned.next(), 'held')
  assert.deepEqual(services.abandoned.taken(), [])
})

test('at the stop a call that is on its way is answered, newcomers are refused, and the deadline ends the rest', async (t) => {
  const { port, services, transport } = await startCalls(t)
  const [soon, never] = [post(port, '/_/call/soon', '1'), post(port, '/_/call/never', '1')]
  const held = await services.calls.take(2)
  const deadline = new AbortController()
  const stopped = transport.stop(deadline.signal)
  const late = await post(port, '/_/call/echo', '1')
  assert.deepEqual([late.status, ((await late.json()) as { code: string }).code], [503, 'stopped'])
  const unsent = await exchange(t, port, 'POST /_/call/echo HTTP/1.1\r\nHost: x\r\nConnection: close\r\nExpect: 100-continue\r\nContent-Type: application/json\r\nContent-Length: 1\r\n\r\n')
  assert.match(unsent, /^HTTP\/1\.1 503 /)
  held.find(({ service }) => service === 'soon')?.answer(bare('done'))
  assert.equal(await (await soon).text(), '"done"')
  deadline.abort()
  await stopped
  assert.equal((await never).status, 503)
  assert.equal(await services.abandoned.next(), 'never')
})
