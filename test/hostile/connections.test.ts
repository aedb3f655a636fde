import assert from 'node:assert/strict'
import { connect as connectTcp } from 'node:net'
import { test, type TestContext } from 'node:test'
import { createAdmission } from '../../src/http/admission.ts'
import { until } from '../support/events.ts'
import { openFrames } from '../support/frames.ts'
import { raw } from '../support/raw.ts'
import { ask, openWire, request } from '../support/responses.ts'
import { startServer } from '../support/server.ts'

/* How many may come: maxConnections, maxConnectionsPerAddress. */

/** An event stream that a proxy opens for a client. Gives the status; 200 stays open until `close`. */
async function forwarded(t: TestContext, port: number, client: string): Promise<{ status: number; close(): void }> {
  const connection = await openWire(t, port)
  connection.send(request('GET /a', { headers: { Accept: 'text/event-stream', 'X-Forwarded-For': client } }))
  const { status } = await connection.answer()
  return { status, close: () => connection.raw.socket.destroy() }
}

async function refusals(url: string): Promise<Record<string, number>> {
  const page = await (await fetch(`${url}/_/metrics`)).text()
  return Object.fromEntries([...page.matchAll(/^waystation_connections_refused_total\{reason="(\w+)"\} (\d+)$/gm)].map((match) => [match[1], Number(match[2])]))
}

test('maxConnections: one more is told 503 and ends; when somebody leaves there is room again', async (t) => {
  const server = await startServer(t, { maxConnections: 3 })
  const first = await raw(t, server.port)
  await openFrames(t, server.port, '/a')
  await raw(t, server.port)
  const fourth = await raw(t, server.port)
  fourth.send(request('POST /a', { body: 'not taken' }))
  assert.match((await fourth.ended).toString(), /^HTTP\/1\.1 503 .*\r\n/)
  first.socket.destroy()
  await until(async () => (await ask(t, server.port, request('GET /_/healthz'))).status === 200, 'room')
  await until(async () => ((await refusals(server.url))['too_many_connections'] ?? 0) >= 1, 'the metric')
})

test('maxConnections: what one sends that was turned away is not published', async (t) => {
  const server = await startServer(t, { maxConnections: 1 })
  const messages = server.hub.subscribe('a')
  const here = await raw(t, server.port)
  const away = await raw(t, server.port)
  away.send(request('POST /a', { body: 'from one who was turned away' }))
  await away.ended
  here.send(request('POST /a', { body: 'from one who is here' }))
  assert.equal((await messages.next()).value?.text(), 'from one who is here')
})

test('maxConnections: one that was turned away and does not close is cut', async (t) => {
  const server = await startServer(t, { maxConnections: 1, headerTimeout: 60_000, requestTimeout: 60_000 })
  await raw(t, server.port)
  const socket = connectTcp({ port: server.port, host: '127.0.0.1', allowHalfOpen: true })
  t.after(() => socket.destroy())
  const failed = new Promise<NodeJS.ErrnoException>((resolve) => socket.on('error', resolve))
  await new Promise((resolve) => socket.on('end', resolve).resume())
  // Writing shows what reading cannot: the other side has let go of the socket as a whole. Empty lines ask for nothing.
  const prod = setInterval(() => socket.write('\r\n'), 50)
  t.after(() => clearInterval(prod))
  assert.match((await failed).code ?? '', /EPIPE|ECONNRESET/)
})

test('maxConnections: those behind a proxy are counted too', async (t) => {
  const server = await startServer(t, { maxConnections: 20, trustedProxies: ['127.0.0.1'] })
  const open = await Promise.all(Array.from({ length: 20 }, (_, i) => forwarded(t, server.port, `203.0.113.${i}`)))
  assert.deepEqual(new Set(open.map(({ status }) => status)), new Set([200]))
  const over = await raw(t, server.port)
  assert.match((await over.ended).toString(), /^HTTP\/1\.1 503 /)
})

test('maxConnectionsPerAddress: this machine is exempt', async (t) => {
  const server = await startServer(t, { maxConnectionsPerAddress: 1 })
  for (let i = 0; i < 5; i++) await openFrames(t, server.port, '/a')
})

test('maxConnectionsPerAddress: a client behind a trusted proxy is counted for itself, streams and WebSockets together', async (t) => {
  const server = await startServer(t, { maxConnectionsPerAddress: 2, trustedProxies: ['127.0.0.1'] })
  const first = await forwarded(t, server.port, '203.0.113.7')
  assert.equal(first.status, 200)
  await openFrames(t, server.port, '/a', { headers: { 'X-Forwarded-For': '203.0.113.7' } })
  assert.equal((await forwarded(t, server.port, '203.0.113.7')).status, 429)
  await assert.rejects(openFrames(t, server.port, '/a', { headers: { 'X-Forwarded-For': '203.0.113.7' } }), /HTTP\/1\.1 429 /)
  assert.equal((await forwarded(t, server.port, '203.0.113.8')).status, 200)
  first.close()
  await until(async () => (await forwarded(t, server.port, '203.0.113.7')).status === 200, 'room')
  assert.equal(((await refusals(server.url))['too_many_from_address'] ?? 0) >= 2, true)
})

for (const [what, hops] of Object.entries({
  'IPv6 by its /64': ['2001:db8:0:1::1', '2001:db8:0:1:ffff::2', '2001:0db8:0000:0001::3'],
  'IPv4 inside IPv6 as the IPv4 it is': ['203.0.113.7', '::ffff:203.0.113.7', '::ffff:cb00:7107'],
  'with its port or without': ['203.0.113.7:1024', '203.0.113.7:1025', '203.0.113.7'],
  'IPv6 with a port': ['[2001:db8::1]:1024', '[2001:db8::1]:1025', '2001:db8::2'],
  'by the hop that the proxy saw, whatever the client wrote before it': ['1.1.1.1, 203.0.113.7', '2.2.2.2,203.0.113.7', 'unix, 203.0.113.7'],
  'by the last hop that is no proxy itself': ['203.0.113.7, 127.0.0.1', '9.9.9.9, 203.0.113.7, 127.0.0.1', '203.0.113.7'],
  'all who have no address together': ['unix', 'unknown', '_hidden'],
})) {
  test(`maxConnectionsPerAddress: counts ${what}`, async (t) => {
    const server = await startServer(t, { maxConnectionsPerAddress: 2, trustedProxies: ['127.0.0.1'] })
    const statuses: number[] = []
    for (const hop of hops) statuses.push((await forwarded(t, server.port, hop)).status)
    assert.deepEqual(statuses, [200, 200, 429])
    for (const other of ['2001:db8:0:2::1', '198.51.100.1']) assert.equal((await forwarded(t, server.port, other)).status, 200)
  })
}

test('maxConnectionsPerAddress: X-Forwarded-For of anyone but a trusted proxy is not believed', async (t) => {
  const server = await startServer(t, { maxConnectionsPerAddress: 1 })
  for (let i = 0; i < 3; i++) assert.equal((await forwarded(t, server.port, '203.0.113.7')).status, 200)
})

test('maxConnectionsPerAddress: a direct client is counted when it connects, and its place comes back once', () => {
  const admission = createAdmission({ total: 100, perAddress: 2 })
  const places = [admission.admit('203.0.113.7'), admission.admit('::ffff:203.0.113.7')]
  assert.equal(admission.admit('203.0.113.7'), 'too_many_from_address')
  assert.equal(typeof admission.admit('203.0.113.8'), 'function')
  for (let i = 0; i < 3; i++) (places[0] as () => void)()
  assert.equal(typeof admission.admit('203.0.113.7'), 'function')
  assert.equal(admission.admit('203.0.113.7'), 'too_many_from_address')
  assert.equal(admission.count, 3)
})

test('a connection that was reset before it was looked at is counted like any other', () => {
  const admission = createAdmission({ total: 100, perAddress: 2 })
  assert.deepEqual([1, 2, 3].map(() => typeof admission.admit('gone')), ['function', 'function', 'string'])
})
