import assert from 'node:assert/strict'
import { test } from 'node:test'
import { handshake } from '../../support/raw.ts'
import { ask, request } from '../../support/responses.ts'
import { startServer } from '../../support/server.ts'

// pinghub, section 6, with the decisions of section 12.

const withOrigins = (...origins: string[]): string => handshake('/a').replace('\r\n\r\n', `\r\n${origins.map((origin) => `Origin: ${origin}\r\n`).join('')}\r\n`)

async function verdicts(t: Parameters<typeof startServer>[0], configured: string, origins: readonly (readonly string[])[]): Promise<[string, number][]> {
  const { port } = await startServer(t, { origin: [configured] })
  const found: [string, number][] = []
  for (const origin of origins) found.push([origin.join(' | '), (await ask(t, port, withOrigins(...origin))).status])
  return found
}

const all = (status: number, origins: readonly (readonly string[])[]): [string, number][] => origins.map((origin) => [origin.join(' | '), status])

const ALLOWED: readonly (readonly string[])[] = [
  [], ['https://example.com'], ['HTTPS://example.com'], ['https://example.com/'], ['https://example.com/any/path'], ['https://u:p@example.com'],
  ['https://example.com', 'https://evil.example'], ['  https://example.com  '],
  // The original compares these as text; here host case and a scheme's own port make no difference.
  ['https://EXAMPLE.com'], ['https://example.com:443'],
]
const REFUSED: readonly (readonly string[])[] = [
  ['https://example.com:8443'], ['http://example.com'], ['https://example.net'], ['https://sub.example.com'], ['https://example.com.'], ['null'], [''],
  ['example.com'], ['//example.com'], ['https:example.com'], ['%zz'], ['https://example.com https://evil'], ['https://example.com, https://evil.example'],
  ['https://evil.example', 'https://example.com'], ['https://example.com.evil.example'], ['https://evil.example/https://example.com'], ['https://example.com@evil.example'], ['foo'],
]

test('with a stated origin a handshake needs that origin or none; the first Origin header counts', async (t) => {
  assert.deepEqual(await verdicts(t, 'https://example.com', ALLOWED), all(101, ALLOWED))
  assert.deepEqual(await verdicts(t, 'https://example.com', REFUSED), all(403, REFUSED))
})

test('a stated origin with a path counts by scheme, host and port', async (t) => {
  const allowed = [['https://example.com:8443'], ['https://example.com:8443/y']]
  const refused = [['https://example.com'], ['http://example.com:8443']]
  assert.deepEqual(await verdicts(t, 'https://example.com:8443/x', [...allowed, ...refused]), [...all(101, allowed), ...all(403, refused)])
})

test('upper-case letters in the stated host lock nobody out', async (t) => {
  assert.deepEqual(await verdicts(t, 'https://Example.COM', [['https://example.com']]), all(101, [['https://example.com']]))
})

test('without a stated origin every origin may connect', async (t) => {
  const { port } = await startServer(t)
  for (const origin of ['https://anything.example', 'null', '', '%zz']) assert.equal((await ask(t, port, withOrigins(origin))).status, 101)
})

test('the page and POST are not checked', async (t) => {
  const { port } = await startServer(t, { origin: ['https://example.com'] })
  const headers = { Origin: 'https://evil.example' }
  assert.equal((await ask(t, port, request('GET /a', { headers }))).status, 200)
  assert.equal((await ask(t, port, request('POST /a', { headers, body: 'x' }))).status, 200)
})
