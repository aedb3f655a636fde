import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createServer as createTcpServer, type AddressInfo } from 'node:net'
import { test } from 'node:test'
import { createServer } from '../../src/index.ts'
import { connectLink, serveLinks } from '../../src/server/link.ts'
import { temporaryFolder } from '../support/certificates.ts'
import { until } from '../support/events.ts'
import { startServer } from '../support/server.ts'

const TCP = { transport: 'tcp', server: '127.0.0.1' } as const

async function linkUp(url: string): Promise<string[]> {
  const page = await (await fetch(`${url}/_/metrics`)).text()
  return page.split('\n').filter((line) => line.startsWith('waystation_link_up'))
}

test('of two links to one place, one of them refused, the metric and readiness say that it is down', async (t) => {
  const giver = await startServer(t, { rules: [{ topics: 'secret', subscribe: 'nobody' }] })
  const taker = await startServer(t)
  const { port } = await serveLinks({ hub: giver.hub, port: 0, transport: 'tcp' })
  const refused = await connectLink({ ...TCP, hub: taker.hub, port, topics: ['secret'] })
  const good = await connectLink({ ...TCP, hub: taker.hub, port, topics: ['prices'] })
  await until(() => good.state.state === 'up' && JSON.stringify(refused.state).includes('forbidden'), 'the one is up, the other refused')
  assert.deepEqual(await linkUp(taker.url), [`waystation_link_up{link="127.0.0.1:${port}"} 0`])
  assert.equal((await fetch(`${taker.url}/_/readyz`)).status, 503)
  await refused.close()
  assert.deepEqual(await linkUp(taker.url), [`waystation_link_up{link="127.0.0.1:${port}"} 1`])
  assert.equal((await fetch(`${taker.url}/_/readyz`)).status, 200)
})

test('a link is up when its subscription is answered, not when it is connected', async (t) => {
  const silent = createTcpServer((socket) => void socket.on('error', () => {})).listen(0, '127.0.0.1')
  t.after(() => silent.close())
  const connected = once(silent, 'connection')
  await once(silent, 'listening')
  const { port } = silent.address() as AddressInfo
  const taker = await startServer(t, { linkAnswerTimeout: 60_000, linkKeepalive: 250 })
  const link = await connectLink({ ...TCP, hub: taker.hub, port, topics: ['prices'] })
  const [socket] = await connected
  await once(socket, 'data')
  // By its first keepalive it has been connected for longer than it takes to be sure of that.
  await once(socket, 'data')
  assert.equal(link.state.state, 'down')
  assert.deepEqual(await linkUp(taker.url), [`waystation_link_up{link="127.0.0.1:${port}"} 0`])
})

test('a hub that is closed while the port of its links is still being opened opens none, and says so', async (t) => {
  const { hub, close } = await startServer(t)
  const refused = assert.rejects(serveLinks({ hub, port: 0, host: 'localhost', transport: 'tcp' }), { code: 'stopped' })
  await close()
  await refused
})

test('a hub whose port for links is taken does not listen, and does when it is asked again and the port is free', async (t) => {
  const other = createTcpServer().listen(0, '127.0.0.1')
  await once(other, 'listening')
  const { port } = other.address() as AddressInfo
  const server = createServer({ addr: '127.0.0.1:0', logLevel: 'silent', dataDir: temporaryFolder(t), linkServer: { port, transport: 'tcp' } })
  t.after(() => server.close(AbortSignal.abort()))
  await assert.rejects(server.listen(), { code: 'listen_failed' })
  assert.equal(server.linkPort, undefined)
  await assert.rejects(server.listen(), { code: 'listen_failed' })
  other.close()
  await once(other, 'close')
  await server.listen()
  assert.equal(server.linkPort, port)
  assert.equal((await fetch(`${server.url}/_/readyz`)).status, 200)
})

test('where one of the stated links cannot be begun none is', async (t) => {
  const server = createServer({
    addr: '127.0.0.1:0', logLevel: 'silent', dataDir: temporaryFolder(t), linkServer: { port: 0, transport: 'tcp' },
    links: [{ ...TCP, port: 1, topics: ['a'] }, { server: '127.0.0.1', port: 1, topics: ['b'], tls: { cacertfile: 'none.pem', certfile: 'none.pem', keyfile: 'none.key' } }],
  })
  t.after(() => server.close(AbortSignal.abort()))
  await assert.rejects(server.listen(), { code: 'config_invalid' })
  assert.equal(server.linkPort, undefined)
})
