import assert from 'node:assert/strict'
import { test } from 'node:test'
import { ask, request } from '../../support/responses.ts'
import { startServer } from '../../support/server.ts'
import { connect } from '../../support/websocket.ts'

// What is added to pinghub's protocol on POST: docs/protocols/pinghub.md, "Additions".

test('the answer to a POST carries epoch, offset and the number of subscribers, and its body stays OK', async (t) => {
  const server = await startServer(t)
  await connect(t, `${server.ws}/a`)
  await connect(t, `${server.ws}/a?format=json`)
  const offsets: number[] = []
  for (const [path, subscribers] of [['/a', '2'], ['/nobody', '0'], ['/a', '2']] as const) {
    const response = await fetch(server.url + path, { method: 'POST', body: 'x' })
    assert.equal(await response.text(), 'OK\n')
    assert.equal(response.headers.get('waystation-subscribers'), subscribers)
    assert.equal(response.headers.get('waystation-epoch'), server.hub.cursor.split(':')[0])
    offsets.push(Number(response.headers.get('waystation-offset')))
  }
  assert.deepEqual(offsets, [1, 2, 3])
})

test('a page of an allowed origin may POST and read the receipt; a page of another one gets no CORS header', async (t) => {
  const { port } = await startServer(t, { origin: ['https://app.example.com', '*.example.org'] })
  for (const [origin, allowed] of [['https://app.example.com', true], ['https://a.b.example.org', true], ['http://a.example.org', false], ['https://evil.example', false]] as const) {
    const { headers } = await ask(t, port, request('POST /a', { body: 'x', headers: { Origin: origin } }))
    assert.deepEqual([origin, headers.get('access-control-allow-origin')], [origin, allowed ? origin : undefined])
    assert.equal(headers.get('vary'), 'Origin')
    const exposed = headers.get('access-control-expose-headers') ?? ''
    for (const name of ['Waystation-Epoch', 'Waystation-Offset', 'Waystation-Subscribers']) assert.equal(exposed.includes(name), allowed)
  }
})

test('errors of a POST carry the CORS headers too, so that the page can read them', async (t) => {
  const { port } = await startServer(t, { origin: ['https://app.example.com'], rules: [{ topics: 'secret', publish: 'nobody' }] })
  const headers = { Origin: 'https://app.example.com' }
  const texts = [
    request('POST /a', { body: '\xff', headers }),
    request('POST /a', { headers: { ...headers, 'Content-Length': '2000000' } }),
    request('POST /secret', { body: 'x', headers }),
  ]
  const answers = []
  for (const text of texts) answers.push(await ask(t, port, text))
  assert.deepEqual(answers.map(({ status }) => status), [400, 413, 403])
  for (const answer of answers) assert.equal(answer.headers.get('access-control-allow-origin'), headers.Origin)
})

test('a preflight of an allowed origin is answered 204; any other OPTIONS stays 405', async (t) => {
  const preflight = { Origin: 'https://app.example.com', 'Access-Control-Request-Method': 'POST' }
  const others: readonly Record<string, string>[] = [{ ...preflight, Origin: 'https://evil.example' }, { Origin: preflight.Origin }, { 'Access-Control-Request-Method': 'POST' }]
  for (const sse of [true, false]) {
    const { port } = await startServer(t, { origin: ['https://app.example.com'], sse })
    const answer = await ask(t, port, request('OPTIONS /a', { headers: preflight }))
    assert.equal(answer.status, 204)
    assert.equal(answer.headers.get('access-control-allow-methods'), 'GET, POST')
    assert.match(answer.headers.get('access-control-allow-headers') ?? '', /Content-Type/)
    for (const headers of others) {
      const refused = await ask(t, port, request('OPTIONS /a', { headers }))
      assert.deepEqual([refused.status, refused.body], [405, ''])
    }
  }
})

test('who may publish and subscribe is a rule: 403 for a POST and a handshake, Close 1008 for a message', async (t) => {
  const { url, ws } = await startServer(t, { rules: [{ topics: 'read', publish: 'nobody' }, { topics: 'write', subscribe: 'nobody' }] })
  assert.equal((await fetch(`${url}/read`, { method: 'POST', body: 'x' })).status, 403)
  assert.equal((await fetch(`${url}/write`, { method: 'POST', body: 'x' })).status, 200)
  await assert.rejects(connect(t, `${ws}/write`), { status: 403 })
  const reader = await connect(t, `${ws}/read`)
  reader.send('x')
  assert.equal((await reader.closed).code, 1008)
})
