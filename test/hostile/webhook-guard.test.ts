import assert from 'node:assert/strict'
import { createServer, type RequestListener, type Server } from 'node:http'
import { test, type TestContext } from 'node:test'
import { Pool } from 'undici'
import { WaystationError } from '../../src/core/errors.ts'
import { createSeededRandom } from '../../src/testing/seeded-random.ts'
import { createGuardedConnector, type LookupAll } from '../../src/webhooks/connector.ts'
import { createGuard } from '../../src/webhooks/guard.ts'
import { parseTarget, type Target } from '../../src/webhooks/target.ts'
import { listenSideBySide } from '../support/two-hosts.ts'

/* Urls that anybody may register, pointed at the inside. 127.0.0.2 plays the open internet. */
const OUTSIDE = '127.0.0.2'
const guard = createGuard({ allow: [OUTSIDE], allowPrivate: 'no', own: () => [], machine: () => [] })

const REFUSED: [first: number, bits: number][] = [
  [0x00000000, 8], [0x0a000000, 8], [0x64400000, 10], [0x7f000000, 8], [0xa9fe0000, 16], [0xac100000, 12], [0xc0000000, 24], [0xc0000200, 24],
  [0xc0a80000, 16], [0xc6120000, 15], [0xc6336400, 24], [0xcb007100, 24], [0xe0000000, 4], [0xf0000000, 4], [0xa9fea9fe, 32], [0xa83f8110, 32],
]

const hex = (n: number): string => (n >>> 0).toString(16).padStart(8, '0').replace(/^(....)/, '$1:')
const dotted = (n: number): string => [24, 16, 8, 0].map((shift) => (n >>> shift) & 255).join('.')

/** Every way to write an IPv4 address in a url. */
const spellings = (n: number): string[] => [
  dotted(n), `${dotted(n)}.`, String(n >>> 0), `0x${(n >>> 0).toString(16)}`, `0${(n >>> 0).toString(8)}`,
  `${n >>> 24}.${n & 0xffffff}`, `${n >>> 24}.${(n >>> 16) & 255}.${n & 0xffff}`, [24, 16, 8, 0].map((shift) => `0x${((n >>> shift) & 255).toString(16)}`).join('.'),
  [24, 16, 8, 0].map((shift) => `0${((n >>> shift) & 255).toString(8)}`).join('.'), dotted(n).replaceAll('.', '。'),
  dotted(n).replaceAll(/\d/g, (digit) => String.fromCodePoint(0xff10 + Number(digit))), dotted(n).replaceAll(/\d/g, (digit) => `%3${digit}`),
]

/** Every IPv6 form that carries one. */
const embeddings = (n: number): string[] => [
  `::ffff:${dotted(n)}`, `::ffff:${hex(n)}`, `::${dotted(n)}`, `::${hex(n)}`, `::ffff:0:${hex(n)}`, `64:ff9b::${dotted(n)}`, `64:ff9b::${hex(n)}`, `64:ff9b:1::${hex(n)}`,
  `64:ff9b:1:${hex(n).replace(/:(..)/, ':$1').slice(0, 4)}:0:0:${hex(n)}`, `2002:${hex(n)}::1`, `2001:0:${hex(n)}::1`, `2001:0:808:808:0:0:${hex(~n)}`, `2606:4700::5efe:${hex(n)}`, `2606:4700::200:5efe:${hex(n)}`,
]

test('no address of a refused range gets by, however it is written and whatever IPv6 form carries it', () => {
  const random = createSeededRandom(3)
  for (const [first, bits] of REFUSED) {
    for (let i = 0; i < 100; i++) {
      const n = (first | (i === 0 ? 0 : i === 1 ? (2 ** (32 - bits) - 1) | 0 : random.below(2 ** (32 - bits)))) >>> 0
      if (dotted(n) === OUTSIDE) continue
      const port = 1 + random.below(65_535)
      for (const address of [dotted(n), ...embeddings(n)]) assert.notEqual(guard.forbids(address, port), undefined, address)
      for (const host of [...spellings(n), ...embeddings(n).map((address) => `[${address}]`)]) {
        const target = parseTarget(`http://${host}:${port}/`)
        assert.ok(typeof target === 'string' || guard.forbidsTarget(target) !== undefined, host)
      }
    }
  }
})

test('of all IPv4 addresses exactly those outside the special ranges get by, and none in a form that carries it', () => {
  const random = createSeededRandom(4)
  const outside = (n: number): boolean => ![...REFUSED, [0xc01fc400, 24], [0xc034c100, 24], [0xc0586300, 24], [0xc0af3000, 24]].some(([first, bits]) => (n ^ (first as number)) >>> (32 - (bits as number)) === 0 || n === first)
  for (let i = 0; i < 20_000; i++) {
    const n = random.below(2 ** 32)
    assert.equal(guard.forbids(dotted(n), 80) === undefined, outside(n) || dotted(n) === OUTSIDE, dotted(n))
    for (const address of embeddings(n)) assert.notEqual(guard.forbids(address, 80), undefined, address)
  }
})

test('the spellings of an address that is open lead to that address and no other', () => {
  const random = createSeededRandom(5)
  for (let i = 0; i < 200; i++) {
    const n = 0x08000000 + random.below(2 ** 24)
    for (const host of spellings(n)) {
      const target = parseTarget(`http://${host}/`) as Target
      assert.equal(target.hostname, dotted(n), host)
      assert.equal(guard.forbidsTarget(target), undefined, host)
    }
  }
})

interface Sides {
  readonly port: number
  readonly outside: Server
  readonly connections: { inside: number; outside: number }
}

async function serve(t: TestContext, listener: RequestListener): Promise<Sides> {
  const [inside, outside] = [createServer((_request, response) => response.end()), createServer(listener)]
  const connections = { inside: 0, outside: 0 }
  inside.on('connection', () => connections.inside++)
  outside.on('connection', () => connections.outside++)
  const port = await listenSideBySide(t, inside, outside)
  t.after(() => [inside, outside].forEach((server) => server.closeAllConnections()))
  return { port, outside, connections }
}

const once: RequestListener = (_request, response) => response.writeHead(200, { connection: 'close' }).end()

function open(t: TestContext, port: number, lookup: LookupAll): Pool {
  const pool = new Pool(`http://rebind.example:${port}`, { connections: 1, connect: createGuardedConnector({ guard, connectTimeout: 20_000, lookup }) })
  t.after(() => pool.destroy())
  return pool
}

const post = (pool: Pool): Promise<number> => pool.request({ path: '/', method: 'POST', body: 'secret' }).then(async ({ statusCode, body }) => (await body.dump(), statusCode))
const refused = (error: unknown): boolean => error instanceof WaystationError && error.code === 'refused_url'

test('a name that is outside first and inside from then on gains nothing', async (t) => {
  const { port, connections } = await serve(t, once)
  let asked = 0
  const pool = open(t, port, (_hostname, _options, callback) => callback(null, [{ address: asked++ === 0 ? OUTSIDE : '127.0.0.1', family: 4 }]))
  assert.equal(await post(pool), 200)
  assert.equal(asked, 1, 'one connection asks once: there is no second answer to differ')
  for (let i = 0; i < 3; i++) await assert.rejects(post(pool), refused)
  assert.equal(asked, 4)
  assert.deepEqual(connections, { inside: 0, outside: 1 })
})

test('a name that is inside and outside at once leads outside, also when nobody answers there', async (t) => {
  const { port, outside, connections } = await serve(t, once)
  const both: LookupAll = (_hostname, _options, callback) => callback(null, ['127.0.0.1', '::1', OUTSIDE, '::ffff:127.0.0.1', '0.0.0.0'].map((address) => ({ address, family: address.includes(':') ? 6 : 4 })))
  assert.equal(await post(open(t, port, both)), 200)
  outside.closeAllConnections()
  await new Promise((resolve) => outside.close(resolve))
  await assert.rejects(post(open(t, port, both)), { code: 'ECONNREFUSED' })
  assert.deepEqual(connections, { inside: 0, outside: 1 })
})

test('a redirect to the inside is an answer like any other, and is not followed', async (t) => {
  const { port, connections } = await serve(t, (request, response) => response.writeHead(307, { location: `http://127.0.0.1:${request.socket.localPort}/` }).end())
  assert.equal(await post(open(t, port, (_hostname, _options, callback) => callback(null, [{ address: OUTSIDE, family: 4 }]))), 307)
  assert.deepEqual(connections, { inside: 0, outside: 1 })
})
