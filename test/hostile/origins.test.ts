import assert from 'node:assert/strict'
import { test } from 'node:test'
import { openFrames } from '../support/frames.ts'
import { ask, request, type WireResponse } from '../support/responses.ts'
import { startServer } from '../support/server.ts'

/* Pages from elsewhere: who gets the headers with which a browser lets a page read the answer. */
const ORIGINS = { origin: ['https://app.example.com', 'https://*.example.net', 'http://localhost:3000'] }
const STREAM = { Accept: 'text/event-stream' }

const ALLOWED = ['https://app.example.com', 'https://APP.example.com', 'https://app.example.com:443', 'https://a.example.net', 'https://a.b.example.net', 'http://localhost:3000']
const REFUSED = [
  'http://app.example.com', 'https://app.example.com:8443', 'https://example.com', 'https://app.example.com.evil.example', 'https://evilapp.example.com',
  'https://example.net', 'https://evilexample.net', 'http://a.example.net', 'http://localhost', 'https://a.example.net:444', 'null', '*', 'app.example.com', '//app.example.com',
  'https:app.example.com', 'https://', 'https://app.example.com@evil.example', 'https://evil.example/https://app.example.com', 'https://evil.example#.example.net',
  'https://evil.example?.example.net', 'https://evil.example\\.example.net', 'https://[::1', '%', 'https://app.example.com https://evil.example', 'https://app.example.com,https://evil.example', 'x'.repeat(5_000),
]

function cors({ headers }: WireResponse): Record<string, string | undefined> {
  return { allowed: headers.get('access-control-allow-origin'), vary: headers.get('vary') }
}

for (const [what, line, headers, body] of [
  ['a POST', 'POST /a', {}, 'x'],
  ['an event stream', 'GET /a', STREAM, ''],
  ['an event stream of several topics', 'GET /_/sse?topic=a', {}, ''],
  ['a POST that is refused', 'POST /a%ff', {}, 'x'],
  ['an event stream that is refused', 'GET /_/sse', {}, ''],
] as const) {
  test(`${what}: an allowed origin gets the headers, another does not, and caches are told that it depends`, async (t) => {
    const server = await startServer(t, ORIGINS)
    for (const origin of ALLOWED) {
      const answer = await ask(t, server.port, request(line, { headers: { ...headers, Origin: origin }, body }))
      assert.deepEqual(cors(answer), { allowed: origin, vary: 'Origin' }, origin)
      assert.equal(answer.headers.has('access-control-allow-credentials'), false)
    }
    for (const origin of [...REFUSED, undefined]) {
      const answer = await ask(t, server.port, request(line, { headers: { ...headers, ...(origin === undefined ? {} : { Origin: origin }) }, body }))
      assert.deepEqual(cors(answer), { allowed: undefined, vary: 'Origin' }, String(origin))
    }
  })

  test(`${what}: without any origin stated there are no such headers at all`, async (t) => {
    const server = await startServer(t)
    const answer = await ask(t, server.port, request(line, { headers: { ...headers, Origin: 'https://app.example.com' }, body }))
    assert.deepEqual([...answer.headers.keys()].filter((name) => /^access-control-|^vary$/.test(name)), [])
  })
}

test('a page may read the offset of what it has posted', async (t) => {
  const server = await startServer(t, ORIGINS)
  const answer = await ask(t, server.port, request('POST /a', { headers: { Origin: 'https://app.example.com' }, body: 'x' }))
  const exposed = answer.headers.get('access-control-expose-headers')?.split(', ').map((name) => name.toLowerCase()) ?? []
  assert.deepEqual([...answer.headers.keys()].filter((name) => name.startsWith('waystation-')).sort(), exposed.sort())
})

test('a WebSocket of an allowed origin opens, of another it is refused with 403', async (t) => {
  const server = await startServer(t, ORIGINS)
  for (const origin of ALLOWED) await openFrames(t, server.port, '/a', { headers: { Origin: origin } })
  for (const origin of REFUSED) await assert.rejects(openFrames(t, server.port, '/a', { headers: { Origin: origin } }), /HTTP\/1\.1 403 /, origin)
})

for (const path of ['/a', '/_/sse?topic=a']) {
  test(`a preflight for ${path} is answered to an allowed origin, and to no other`, async (t) => {
    const server = await startServer(t, ORIGINS)
    for (const method of ['POST', 'GET']) {
      const asking = { 'Access-Control-Request-Method': method, 'Access-Control-Request-Headers': 'last-event-id,content-type' }
      const answer = await ask(t, server.port, request(`OPTIONS ${path}`, { headers: { ...asking, Origin: 'https://app.example.com' } }))
      assert.equal(answer.status, 204)
      assert.deepEqual(cors(answer), { allowed: 'https://app.example.com', vary: 'Origin' })
      assert.match(answer.headers.get('access-control-allow-methods') ?? '', new RegExp(method))
      assert.match(answer.headers.get('access-control-allow-headers') ?? '', /content-type.*last-event-id/i)
      for (const origin of REFUSED) {
        const refused = await ask(t, server.port, request(`OPTIONS ${path}`, { headers: { ...asking, Origin: origin } }))
        assert.equal(refused.status, 405)
        assert.deepEqual([...refused.headers.keys()].filter((name) => name.startsWith('access-control-')), [])
      }
    }
    // No preflight: the method is not asked for, or nobody asks.
    assert.equal((await ask(t, server.port, request(`OPTIONS ${path}`, { headers: { Origin: 'https://app.example.com' } }))).status, 405)
    assert.equal((await ask(t, server.port, request(`OPTIONS ${path}`, { headers: { 'Access-Control-Request-Method': 'GET' } }))).status, 405)
  })
}

test('with every origin allowed, whatever stands in the header comes back as one header and nothing else', async (t) => {
  const server = await startServer(t, { origin: ['*'] })
  for (const origin of ['https://a.example', 'null', 'x: y', '"\';<>', 'a\tb', 'x'.repeat(5_000)]) {
    const answer = await ask(t, server.port, Buffer.from(request('POST /a', { headers: { Origin: origin }, body: 'x' }), 'latin1'))
    assert.equal(answer.status, 200)
    assert.equal(answer.headers.get('access-control-allow-origin'), origin)
    assert.equal(answer.names.length, new Set(answer.names).size)
  }
})

for (const [what, line] of Object.entries({
  'an escaped line end in a path that is moved': 'GET //a%0d%0aSet-Cookie:%20x=y',
  'an escaped line end in the query of a path that is moved': 'GET //a?x=%0d%0aSet-Cookie:%20x=y',
  'a moved path that looks like another site': 'GET //evil.example/..//evil.example',
  'backslashes that a browser takes for slashes': 'GET /\\evil.example//',
  'raw bytes in the query of a path that is moved': 'GET //a?é€',
  'dots above the root': 'GET /../../../evil.example',
  'an absolute target with another host': 'GET http://evil.example//evil.example/',
})) {
  test(`${what} does not get into a header of the answer`, async (t) => {
    const server = await startServer(t, ORIGINS)
    for (const headers of [{}, STREAM]) {
      const answer = await ask(t, server.port, Buffer.from(request(line, { headers })))
      assert.equal(answer.status, 301)
      assert.equal(answer.headers.has('set-cookie'), false)
      assert.match(answer.headers.get('location') ?? '', /^\/[^/\\][\x21-\x5b\x5d-\x7e]*$/)
    }
  })
}
