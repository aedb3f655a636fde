import assert from 'node:assert/strict'
import { test } from 'node:test'
import { corsHeaders, createOrigins, isPreflight, PREFLIGHT } from '../../src/http/origin.ts'

/** pinghub, section 6, with decision 8 of section 12.2: host case and a scheme's own port make no difference. */
const forExample: Record<'allowed' | 'refused', string[]> = {
  allowed: [
    'https://example.com',
    'HTTPS://example.com',
    'https://example.com/',
    'https://example.com/any/path',
    'https://u:p@example.com',
    'https://EXAMPLE.com',
    'https://example.com:443',
  ],
  refused: [
    'https://example.com:8443',
    'http://example.com',
    'http://example.com:443',
    'https://example.net',
    'https://sub.example.com',
    'https://example.com.',
    'https://example.com.evil.net',
    'https://evilexample.com',
    'https://evil.net/https://example.com',
    'https://example.com@evil.net',
    'null',
    '',
    'example.com',
    '//example.com',
    'https:example.com',
    'https:/example.com',
    'https:///example.com',
    '%zz',
    'https://example.com https://evil',
    'https://',
    '*',
  ],
}

for (const origin of forExample.allowed) {
  test(`with https://example.com, ${JSON.stringify(origin)} is allowed`, () => assert.equal(createOrigins(['https://example.com']).allows(origin), true))
}
for (const origin of forExample.refused) {
  test(`with https://example.com, ${JSON.stringify(origin)} is refused`, () => assert.equal(createOrigins(['https://example.com']).allows(origin), false))
}

const stated: [text: string, allowed: string[], refused: string[]][] = [
  ['https://EXAMPLE.com', ['https://example.com'], ['http://example.com']],
  ['https://example.com:443', ['https://example.com', 'https://example.com:443'], ['https://example.com:8443']],
  ['http://example.com:80/', ['http://example.com'], ['https://example.com']],
  ['https://example.com:8443/x', ['https://example.com:8443', 'https://example.com:8443/y'], ['https://example.com']],
  ['http://localhost:3000', ['http://localhost:3000'], ['http://localhost', 'http://127.0.0.1:3000']],
  ['http://[::1]:3000', ['http://[::1]:3000', 'http://[0:0:0:0:0:0:0:1]:3000'], ['http://[::2]:3000']],
  ['https://bücher.example', ['https://xn--bcher-kva.example'], ['https://bucher.example']],
  ['chrome-extension://abcdefgh', ['chrome-extension://abcdefgh'], ['chrome-extension://other', 'https://abcdefgh']],
  ['*.example.com', ['https://a.example.com', 'https://a.b.example.com', 'https://A.EXAMPLE.COM'], ['https://example.com', 'http://a.example.com', 'https://aexample.com', 'https://a.example.com:8443', 'https://a.example.com.evil.net']],
  ['http://*.example.com:8080', ['http://a.example.com:8080'], ['http://a.example.com', 'https://a.example.com:8080', 'http://example.com:8080']],
  ['*', ['https://anything.example', 'null', ''], []],
]

for (const [text, allowed, refused] of stated) {
  test(`${text} lets in whom it says`, () => {
    const origins = createOrigins([text])
    assert.equal(origins.stated, true)
    for (const origin of allowed) assert.equal(origins.allows(origin), true, origin)
    for (const origin of refused) assert.equal(origins.allows(origin), false, origin)
  })
}

test('of several, any one is enough', () => {
  const origins = createOrigins(['https://a.example', '*.b.example'])
  assert.deepEqual(['https://a.example', 'https://x.b.example', 'https://c.example'].map((origin) => origins.allows(origin)), [true, true, false])
})

test('with none stated nothing is allowed by name, and it says that none was stated', () => {
  const origins = createOrigins([])
  assert.equal(origins.stated, false)
  assert.equal(origins.allows('https://a.example'), false)
})

for (const text of ['example.com', 'foo', 'null', '', '%zz', '//example.com', 'https:example.com', 'https://', 'https://*', 'https://a.*.com', 'https://exa mple.com', 'https://*.', '**.example.com', 'https://a*.example.com', 'https://?x']) {
  test(`${JSON.stringify(text)} is refused as an origin: it would match nothing real, or more than is meant`, () => {
    assert.throws(() => createOrigins(['https://good.example', text]), (error: unknown) => error instanceof RangeError && error.message.includes(JSON.stringify(text)))
  })
}

test('an allowed page is told so, by its own name and never by a star; a cache is told that it depends', () => {
  for (const texts of [['https://a.example'], ['*']]) {
    const headers = corsHeaders(createOrigins(texts), 'https://a.example')
    assert.equal(headers['Access-Control-Allow-Origin'], 'https://a.example')
    assert.equal(headers['Vary'], 'Origin')
    assert.match(headers['Access-Control-Expose-Headers'] ?? '', /Waystation-Offset/)
    assert.equal(headers['Access-Control-Allow-Credentials'], undefined)
  }
})

test('a page that is not allowed, and whoever asks without an origin, gets no permission', () => {
  const origins = createOrigins(['https://a.example'])
  assert.deepEqual(corsHeaders(origins, 'https://b.example'), { Vary: 'Origin' })
  assert.deepEqual(corsHeaders(origins, undefined), { Vary: 'Origin' })
  assert.deepEqual(corsHeaders(createOrigins([]), 'https://a.example'), {})
})

test('a preflight is one that asks by OPTIONS for a method, from a page that may go on', () => {
  const origins = createOrigins(['https://a.example'])
  const ask = (method: string, headers: Record<string, string>): boolean => isPreflight(origins, { method, headers })
  const good = { origin: 'https://a.example', 'access-control-request-method': 'POST' }
  assert.equal(ask('OPTIONS', good), true)
  assert.equal(ask('GET', good), false)
  assert.equal(ask('OPTIONS', { origin: 'https://a.example' }), false)
  assert.equal(ask('OPTIONS', { ...good, origin: 'https://b.example' }), false)
  assert.equal(ask('OPTIONS', { 'access-control-request-method': 'POST' }), false)
  assert.equal(isPreflight(createOrigins([]), { method: 'OPTIONS', headers: good }), false)
  assert.match(PREFLIGHT['Access-Control-Allow-Methods'] ?? '', /POST/)
})
