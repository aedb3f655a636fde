import assert from 'node:assert/strict'
import type { LookupAddress } from 'node:dns'
import { createServer as createHttpServer } from 'node:http'
import { createServer as createHttpsServer } from 'node:https'
import { createServer, type AddressInfo, type Server, type Socket } from 'node:net'
import { test, type TestContext } from 'node:test'
import { errors, Pool } from 'undici'
import { WaystationError } from '../../src/core/errors.ts'
import { createGuardedConnector, type ConnectorOptions, type LookupAll } from '../../src/webhooks/connector.ts'
import { createGuard, type GuardOptions } from '../../src/webhooks/guard.ts'
import { selfSigned, temporaryFolder } from '../support/certificates.ts'
import { until } from '../support/events.ts'
import { listenSideBySide } from '../support/two-hosts.ts'

interface Watched {
  connections(): number
  open(): number
  bytes(): number
}

function watch(t: TestContext, server: Server): Watched {
  const sockets: Socket[] = []
  server.on('connection', (socket: Socket) => {
    sockets.push(socket)
    socket.on('error', () => {})
    // Nobody may listen on this server's sockets, and what is not read is not counted.
    if (server.listenerCount('connection') === 1) socket.resume()
  })
  t.after(() => {
    for (const socket of sockets) socket.destroy()
  })
  return {
    connections: () => sockets.length,
    open: () => sockets.filter((socket) => !socket.destroyed).length,
    bytes: () => sockets.reduce((sum, socket) => sum + socket.bytesRead, 0),
  }
}

async function listen(t: TestContext, server: Server, host: string): Promise<Watched & { port: number }> {
  const watched = watch(t, server)
  await new Promise<void>((resolve, reject) => server.once('error', reject).listen(0, host, resolve))
  t.after(() => server.close())
  return { port: (server.address() as AddressInfo).port, ...watched }
}

const greeter = (text: string): Server => createHttpServer((request, response) => response.end(`${text} ${request.headers.host}`))

const names = (...addresses: string[]): LookupAll => (_hostname, _options, callback) => queueMicrotask(() => callback(null, addresses.map(entry)))
const entry = (address: string): LookupAddress => ({ address, family: address.includes(':') ? 6 : 4 })

function pool(t: TestContext, origin: string, guard: Partial<GuardOptions>, options: Partial<ConnectorOptions> = {}): Pool {
  const it = new Pool(origin, {
    allowH2: false,
    connect: createGuardedConnector({ guard: createGuard({ allow: [], allowPrivate: 'no', own: () => [], machine: () => [], ...guard }), connectTimeout: 20_000, ...options }),
  })
  t.after(() => it.destroy())
  return it
}

async function get(it: Pool, host?: string): Promise<string> {
  const { body } = await it.request({ path: '/', method: 'GET', ...(host === undefined ? {} : { headers: { host } }) })
  return body.text()
}

const refused = (error: unknown): boolean => error instanceof WaystationError && error.code === 'refused_url'

test('an address that is allowed is reached, by its literal and by name, and the Host header stays as given', async (t) => {
  const server = await listen(t, greeter('hello'), '127.0.0.2')
  assert.equal(await get(pool(t, `http://127.0.0.2:${server.port}`, { allow: ['127.0.0.2'] }), 'Some.Name:80'), 'hello Some.Name:80')
  assert.equal(await get(pool(t, `http://a.example:${server.port}`, { allow: ['127.0.0.2'] }, { lookup: names('127.0.0.2') })), `hello a.example:${server.port}`)
})

test('a literal that is refused is not connected to, in whatever notation it comes', async (t) => {
  const server = await listen(t, greeter('inside'), '127.0.0.1')
  for (const host of ['127.0.0.1', '0x7f.1', '2130706433', '0177.0.0.1', '127.1', '127.0.0.1.', '[::ffff:7f00:1]', '[::ffff:127.0.0.1]', '0.0.0.0', '0', '[::]', '[::127.0.0.1]']) {
    for (const scheme of ['http', 'https']) await assert.rejects(get(pool(t, `${scheme}://${host}:${server.port}`, { allow: ['127.0.0.2'] })), refused, host)
  }
  assert.equal(server.connections(), 0)
})

test('a notation that undici never hands over is refused all the same, by what the system makes of it', async (t) => {
  const server = await listen(t, greeter('inside'), '127.0.0.1')
  const connector = createGuardedConnector({ guard: createGuard({ allow: [], allowPrivate: 'no', own: () => [], machine: () => [] }), connectTimeout: 20_000 })
  for (const hostname of ['[::ffff:7f00:1]', '0x7f.1', '2130706433', '127.1']) {
    const [error, socket] = await new Promise<unknown[]>((resolve) => connector({ hostname, protocol: 'http:', port: String(server.port) }, (...args) => resolve(args)))
    assert.ok(refused(error) && socket === null, hostname)
  }
  assert.equal(server.connections(), 0)
})

test('of the addresses of a name only those that are not refused are connected to', async (t) => {
  const servers = [greeter('inside'), greeter('outside')] as const
  const [inside, outside] = [watch(t, servers[0]), watch(t, servers[1])]
  const port = await listenSideBySide(t, ...servers)
  for (const addresses of [['127.0.0.1', '127.0.0.2'], ['127.0.0.2', '127.0.0.1'], ['::1', 'fe80::1%lo', '::ffff:127.0.0.1', '127.0.0.2', '0.0.0.0']]) {
    assert.match(await get(pool(t, `http://a.example:${port}`, { allow: ['127.0.0.2'] }, { lookup: names(...addresses) })), /^outside/)
  }
  await assert.rejects(get(pool(t, `http://a.example:${port}`, { allow: ['127.0.0.2'] }, { lookup: names('127.0.0.1', '::1') })), refused)
  assert.equal(outside.connections(), 3)
  assert.equal(inside.connections(), 0)
})

test('a name without an address, or that cannot be resolved, is an error but no refusal', async (t) => {
  await assert.rejects(get(pool(t, 'http://a.example', {}, { lookup: names() })), (error: Error) => !refused(error) && /a\.example has no address/.test(error.message))
  const failing: LookupAll = (_hostname, _options, callback) => callback(Object.assign(new Error('no such name'), { code: 'ENOTFOUND' }), [])
  await assert.rejects(get(pool(t, 'http://a.example', {}, { lookup: failing })), { code: 'ENOTFOUND' })
})

for (const scheme of ['http', 'https']) {
  test(`${scheme}: the address really connected to is judged again before a byte is sent`, async (t) => {
    const server = await listen(t, createServer(), '127.0.0.1')
    // The hub begins to listen there between the resolving and the connecting.
    const own: { address: string; port: number }[] = []
    const lookup: LookupAll = (_hostname, _options, callback) => {
      callback(null, [entry('127.0.0.1')])
      own.push({ address: '127.0.0.1', port: server.port })
    }
    await assert.rejects(get(pool(t, `${scheme}://a.example:${server.port}`, { allowPrivate: 'yes', own: () => own }, { lookup })), refused)
    await until(() => server.connections() === 1 && server.open() === 0, 'the connection is seen and closed')
    assert.equal(server.bytes(), 0)
  })
}

test('the hub itself is not reached, whatever is allowed', async (t) => {
  const server = await listen(t, greeter('hub'), '127.0.0.1')
  const guard = { allowPrivate: 'yes', allow: ['127.0.0.0/8', '127.0.0.1'], own: () => [{ address: undefined, port: server.port }] } as const
  for (const host of ['127.0.0.1', 'localhost', 'a.example', '0.0.0.0', '[::1]']) {
    await assert.rejects(get(pool(t, `http://${host}:${server.port}`, guard, { lookup: names('127.0.0.1') })), refused, host)
  }
  assert.equal(server.connections(), 0)
})

test('the connect timeout ends a name that does not resolve, and a TLS handshake that is not answered', async (t) => {
  const silent = await listen(t, createServer(), '127.0.0.1')
  const never: LookupAll = () => {}
  await assert.rejects(get(pool(t, 'http://a.example', {}, { lookup: never, connectTimeout: 20 })), errors.ConnectTimeoutError)
  await assert.rejects(get(pool(t, `https://127.0.0.1:${silent.port}`, { allowPrivate: 'yes' }, { connectTimeout: 200 })), errors.ConnectTimeoutError)
})

test('the callback is called once, also when the connection breaks after it was handed over', async (t) => {
  const server = await listen(t, createServer(), '127.0.0.1')
  const guard = createGuard({ allow: [], allowPrivate: 'yes', own: () => [], machine: () => [] })
  const outcomes: unknown[] = []
  let socket: Socket | null = null
  createGuardedConnector({ guard, connectTimeout: 20_000 })({ hostname: '127.0.0.1', protocol: 'http:', port: String(server.port) }, (error, connected) => {
    outcomes.push(error)
    socket = connected
    connected?.destroy(new Error('broken'))
  })
  await until(() => socket?.closed === true, 'the connection is closed')
  assert.deepEqual(outcomes, [null])
})

test('a connection that is refused by the other side is the error of the socket', async (t) => {
  const server = createServer()
  // On an address that no other test listens on, so that nobody takes the port over.
  const { port } = await listen(t, server, '127.0.0.3')
  await new Promise((resolve) => server.close(resolve))
  await assert.rejects(get(pool(t, `http://127.0.0.3:${port}`, { allowPrivate: 'yes' })), { code: 'ECONNREFUSED' })
})

test('the certificate must be for the host of the url, whatever the address and the Host header', async (t) => {
  // For localhost and 127.0.0.1.
  const { cert, key } = selfSigned(temporaryFolder(t), 'hub')
  const asked: (string | false)[] = []
  const secure = (): Server => createHttpsServer({ cert, key, SNICallback: (name, done) => (asked.push(name), done(null)) }, (request, response) => response.end(`secure ${request.headers.host}`))
  const servers = [secure(), secure()] as const
  for (const server of servers) watch(t, server)
  const port = await listenSideBySide(t, ...servers)
  const to = (host: string, address: string, tls = { ca: cert }): Pool => pool(t, `https://${host}:${port}`, { allow: ['127.0.0.1', '127.0.0.2'] }, { lookup: names(address), tls })

  assert.equal(await get(to('localhost', '127.0.0.2')), `secure localhost:${port}`)
  assert.equal(await get(to('localhost.', '127.0.0.2'), 'LocalHost:1'), 'secure LocalHost:1')
  assert.equal(await get(to('127.0.0.1', '')), `secure 127.0.0.1:${port}`)
  assert.deepEqual(asked, ['localhost', 'localhost'])
  await assert.rejects(get(to('a.example', '127.0.0.1')), { code: 'ERR_TLS_CERT_ALTNAME_INVALID' })
  await assert.rejects(get(to('a.example', '127.0.0.1'), 'localhost'), { code: 'ERR_TLS_CERT_ALTNAME_INVALID' })
  await assert.rejects(get(to('127.0.0.2', '')), { code: 'ERR_TLS_CERT_ALTNAME_INVALID' })
  await assert.rejects(pool(t, `https://localhost:${port}`, { allow: ['127.0.0.2'] }, { lookup: names('127.0.0.2') }).request({ path: '/', method: 'GET' }), { code: 'DEPTH_ZERO_SELF_SIGNED_CERT' })
})
