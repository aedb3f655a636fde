import assert from 'node:assert/strict'
import { createServer as createHttp } from 'node:http'
import type { AddressInfo } from 'node:net'
import { connect as connectTls } from 'node:tls'
import { join } from 'node:path'
import { test, type TestContext } from 'node:test'
import type { Config, WaystationServer } from '../../src/index.ts'
import { selfSigned, temporaryFolder } from '../support/certificates.ts'
import { until } from '../support/events.ts'
import { raw } from '../support/raw.ts'
import { openWire, request } from '../support/responses.ts'
import { startServer } from '../support/server.ts'

/** A hub with a port of its own and a mount on another server. */
async function twoWays(t: TestContext, config: Config): Promise<{ hub: WaystationServer; own: number; mounted: number }> {
  const hub = await startServer(t, config)
  const host = createHttp()
  await hub.attach(host)
  await new Promise<void>((resolve) => host.listen(0, '127.0.0.1', resolve))
  t.after(() => {
    host.close()
    host.closeAllConnections()
  })
  return { hub, own: hub.port, mounted: (host.address() as AddressInfo).port }
}

/** An event stream, for a client that a proxy speaks for where one is named. Gives the status; 200 stays open until `close`. */
async function stream(t: TestContext, port: number, client?: string): Promise<{ status: number; close(): void }> {
  const wire = await openWire(t, port)
  wire.send(request('GET /a', { headers: { Accept: 'text/event-stream', ...(client === undefined ? {} : { 'X-Forwarded-For': client }) } }))
  const { status } = await wire.answer()
  return { status, close: () => wire.raw.socket.destroy() }
}

test('maxConnections is one bound for the port and the servers the hub is mounted on', async (t) => {
  const { own, mounted } = await twoWays(t, { maxConnections: 3 })
  const first = await stream(t, own)
  const second = await stream(t, mounted)
  const third = await stream(t, mounted)
  assert.deepEqual([first.status, second.status, third.status], [200, 200, 200])
  assert.equal((await stream(t, mounted)).status, 503)
  assert.match((await (await raw(t, own)).ended).toString(), /^HTTP\/1\.1 503 /)
  first.close()
  await until(async () => (await stream(t, mounted)).status === 200, 'room on the mount')
  third.close()
  await until(async () => (await stream(t, own)).status === 200, 'room on the port')
})

test('maxConnections counts a client behind a proxy once', async (t) => {
  const { own, mounted } = await twoWays(t, { maxConnections: 3, trustedProxies: ['127.0.0.1'] })
  const statuses = []
  for (const [port, client] of [[own, '203.0.113.1'], [own, '203.0.113.2'], [mounted, '203.0.113.3'], [mounted, '203.0.113.4']] as const) {
    statuses.push((await stream(t, port, client)).status)
  }
  assert.deepEqual(statuses, [200, 200, 200, 503])
})

test('maxConnectionsPerAddress is one bound for both ways in, and one that is refused for it takes no place from others', async (t) => {
  const { own, mounted } = await twoWays(t, { maxConnections: 3, maxConnectionsPerAddress: 1, trustedProxies: ['127.0.0.1'] })
  assert.equal((await stream(t, own, '203.0.113.1')).status, 200)
  for (let i = 0; i < 5; i++) assert.equal((await stream(t, mounted, '203.0.113.1')).status, 429)
  assert.equal((await stream(t, mounted, '203.0.113.2')).status, 200)
  assert.equal((await stream(t, mounted, '203.0.113.3')).status, 200)
})

test('maxConnections counts a client over TLS once', async (t) => {
  const folder = temporaryFolder(t)
  selfSigned(folder, 'hub')
  const { port } = await startServer(t, { maxConnections: 2, tlsCert: join(folder, 'hub.pem'), tlsKey: join(folder, 'hub.key') })
  for (let i = 0; i < 2; i++) {
    const socket = connectTls({ port, host: '127.0.0.1', rejectUnauthorized: false })
    t.after(() => socket.destroy())
    socket.write(request('GET /a', { headers: { Accept: 'text/event-stream' } }))
    const answer = await new Promise<Buffer>((resolve, reject) => socket.once('data', resolve).once('error', reject))
    assert.match(answer.toString(), /^HTTP\/1\.1 200 /)
  }
})
