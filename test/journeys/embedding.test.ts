import assert from 'node:assert/strict'
import { createServer as createHttp, type RequestListener, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { test, type TestContext } from 'node:test'
import { WebSocketServer } from 'ws'
import { createServer, type Config, type WaystationServer } from '../../src/index.ts'
import { openFrames, OPCODE } from '../support/frames.ts'
import { exchange, handshake } from '../support/raw.ts'
import { openStream } from '../support/sse.ts'
import { connect } from '../support/websocket.ts'

const own: RequestListener = (request, response) => void response.end(`own ${request.method} ${request.url}`)

/** A server of the embedding program's, listening, with its own answer for everything. */
async function host(t: TestContext, server: Server = createHttp(own)): Promise<{ server: Server; port: number; url: string; ws: string }> {
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  t.after(() => {
    server.close()
    server.closeAllConnections()
  })
  const { port } = server.address() as AddressInfo
  return { server, port, url: `http://127.0.0.1:${port}`, ws: `ws://127.0.0.1:${port}` }
}

function embedded(t: TestContext, config: Config = {}): WaystationServer {
  const hub = createServer({ logLevel: 'silent', ...config })
  t.after(() => hub.close(AbortSignal.abort()))
  return hub
}

async function post(url: string, body = 'hello'): Promise<string> {
  return (await fetch(url, { method: 'POST', body })).text()
}

const get = (path: string, headers: string): string => `GET ${path} HTTP/1.1\r\nHost: x\r\n${headers}\r\n\r\n`
const H2C = 'Connection: Upgrade, HTTP2-Settings, close\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__'

/** Looks at the events of a server before they come, as libraries that measure do. */
function wrapEvents(server: Server): void {
  const { emit } = server
  server.emit = (...args: Parameters<typeof emit>) => emit.apply(server, args)
}

test('a hub that was attached and taken off again leaves the server as it was', async (t) => {
  for (const wrapped of [false, true]) {
    const { server, url } = await host(t)
    server.on('upgrade', () => {})
    if (wrapped) wrapEvents(server)
    const look = () => ({
      request: server.listeners('request'), upgrade: server.listeners('upgrade'), checkContinue: server.listeners('checkContinue'),
      emit: server.emit, callback: (server as { shouldUpgradeCallback?: unknown }).shouldUpgradeCallback, keys: Object.keys(server).sort(),
    })
    const before = look()
    const detach = await embedded(t).attach(server, { prefix: '/hub' })
    assert.equal(await post(`${url}/hub/demo`), 'OK\n')
    detach()
    assert.deepEqual(look(), before)
    assert.equal(await post(`${url}/hub/demo`), 'own POST /hub/demo')
  }
})

test('where somebody has wrapped the events of the server after it, the hub goes all the same', async (t) => {
  const { server, url } = await host(t)
  const detach = await embedded(t).attach(server, { prefix: '/hub' })
  wrapEvents(server)
  const { emit } = server
  detach()
  assert.equal(server.emit, emit)
  assert.equal(await post(`${url}/hub/demo`), 'own POST /hub/demo')
  const detachAgain = await embedded(t).attach(server, { prefix: '/hub' })
  assert.equal(await post(`${url}/hub/demo`), 'OK\n')
  detachAgain()
  assert.equal(await post(`${url}/hub/demo`), 'own POST /hub/demo')
})

test('routes and WebSockets of one\'s own go on beside the hub, whether they came before it or after', async (t) => {
  const { server, url, ws } = await host(t)
  const echo = (path: string): void => {
    new WebSocketServer({ server, path }).on('connection', (socket) => socket.on('message', (data) => socket.send(`${path} ${String(data)}`)))
  }
  // Two such WebSocket servers would refuse each other's clients, so only one stands beside the hub at a time.
  for (const order of ['before', 'after']) {
    server.removeAllListeners('upgrade')
    if (order === 'before') echo('/own')
    const detach = await embedded(t).attach(server, { prefix: '/hub' })
    if (order === 'after') echo('/own')
    const mine = await connect(t, `${ws}/own`)
    const channel = await connect(t, `${ws}/hub/own`)
    mine.send('one')
    channel.send('two')
    assert.deepEqual([await mine.next(), await channel.next()], ['/own one', 'two'], order)
    assert.equal(await post(`${url}/other`), 'own POST /other', order)
    detach()
  }
})

test('two hubs on one server never meet, and each can be taken off first', async (t) => {
  const { server, url, ws } = await host(t)
  const detachA = await embedded(t).attach(server, { prefix: '/a' })
  const detachB = await embedded(t).attach(server, { prefix: '/b' })
  const [a, b] = [await connect(t, `${ws}/a/same`), await connect(t, `${ws}/b/same`)]
  await post(`${url}/a/same`, 'to a')
  await post(`${url}/b/same`, 'to b')
  assert.deepEqual([await a.next(), await b.next()], ['to a', 'to b'])
  detachA()
  detachA()
  assert.equal(await post(`${url}/a/same`), 'own POST /a/same')
  assert.equal(await post(`${url}/b/same`, 'still'), 'OK\n')
  assert.equal(await b.next(), 'still')
  assert.deepEqual(a.inbox.taken(), [])
  detachB()
  assert.equal(await post(`${url}/b/same`), 'own POST /b/same')
  assert.equal(await post(`${url}/other`), 'own POST /other')
})

test('of two prefixes the longer one takes what is under it, in whichever order they were attached', async (t) => {
  for (const order of [['/', '/deep'], ['/deep', '/']]) {
    const { server, url } = await host(t)
    const hubs = new Map<string, WaystationServer>()
    for (const prefix of order) {
      const hub = embedded(t)
      await hub.attach(server, { prefix })
      hubs.set(prefix, hub)
    }
    for (const [prefix, path] of [['/', '/deeper/x'], ['/deep', '/deep/x']] as const) {
      const response = await fetch(url + path, { method: 'POST', body: 'x' })
      assert.equal(response.headers.get('waystation-epoch'), hubs.get(prefix)?.hub.cursor.split(':')[0], `${path}, ${order.join(' first, then ')}`)
    }
  }
})

test('with the prefix / every path is the hub\'s', async (t) => {
  const { server, port, url, ws } = await host(t)
  await embedded(t).attach(server)
  const socket = await connect(t, `${ws}/demo`)
  assert.equal(await post(`${url}/demo`), 'OK\n')
  assert.equal(await socket.next(), 'hello')
  assert.equal((await fetch(`${url}//demo`, { redirect: 'manual' })).headers.get('location'), '/demo')
  const asterisk = await exchange(t, port, 'OPTIONS * HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n')
  assert.match(asterisk, /^HTTP\/1.1 200 .*\r\nContent-Length: 0\r\n/s)
})

test('a prefix is a whole segment: /hub is not the beginning of /hubble', async (t) => {
  const { server, port, url, ws } = await host(t)
  await embedded(t).attach(server, { prefix: '/hub/' })
  assert.equal(await post(`${url}/hubble/x`), 'own POST /hubble/x')
  assert.equal(await post(`${url}/hubble`), 'own POST /hubble')
  await assert.rejects(connect(t, `${ws}/hubble`), /refused with 200/)
  const redirects = await Promise.all(['/hub', '/hub?q=1', '/hub//a', '/hub/../a'].map(async (path) => {
    const answer = await exchange(t, port, get(path, 'Connection: close'))
    return /^HTTP\/1.1 301 .*\r\nLocation: (\S+)/s.exec(answer)?.[1]
  }))
  assert.deepEqual(redirects, ['/hub/', '/hub/?q=1', '/hub/a', '/hub/a'])
  const absolute = await exchange(t, port, get('http://x/hub/demo', 'Connection: close'))
  assert.match(absolute, /^HTTP\/1.1 200 .*text\/html/s)
})

test('what is no prefix is refused, and nothing is mounted', async (t) => {
  const { server, url } = await host(t)
  for (const prefix of ['hub', '//', '/a//b', '/ä', '/a?b', '/a b']) {
    await assert.rejects(embedded(t).attach(server, { prefix }), { name: 'RangeError' }, prefix)
  }
  assert.equal(Object.hasOwn(server, 'emit'), false)
  assert.equal(await post(`${url}/a`), 'own POST /a')
})

test('where nobody takes upgrades, asking for one on a foreign route stays a plain request', async (t) => {
  const { server, port } = await host(t)
  await embedded(t).attach(server, { prefix: '/hub' })
  assert.match(await exchange(t, port, get('/own', H2C)), /^HTTP\/1.1 200 .*own GET \/own$/s)
  assert.match(await exchange(t, port, handshake('/own', { Connection: 'Upgrade, close' })), /^HTTP\/1.1 200 .*own GET \/own$/s)
  // Nor does the hub take an upgrade to something else than a WebSocket.
  assert.match(await exchange(t, port, get('/hub/demo', H2C)), /^HTTP\/1.1 200 .*text\/html/s)
})

test('where somebody takes upgrades, those on foreign routes are theirs, as they were without the hub', async (t) => {
  const { server, port, ws } = await host(t)
  server.on('upgrade', (request, socket) => socket.end(`HTTP/1.1 400 Bad Request\r\n\r\nupgrade ${request.url}`))
  await embedded(t).attach(server, { prefix: '/hub' })
  assert.match(await exchange(t, port, get('/own', H2C)), /upgrade \/own$/)
  assert.match(await exchange(t, port, handshake('/own')), /upgrade \/own$/)
  const socket = await connect(t, `${ws}/hub/demo`)
  socket.send('x')
  assert.equal(await socket.next(), 'x')
})

test('a shouldUpgradeCallback of one\'s own still decides about foreign routes', async (t) => {
  const server = createHttp({ shouldUpgradeCallback: (request) => request.headers.upgrade === 'websocket' }, own)
  const { port, ws } = await host(t, server)
  server.on('upgrade', (request, socket) => socket.end(`HTTP/1.1 400 Bad Request\r\n\r\nupgrade ${request.url}`))
  await embedded(t).attach(server, { prefix: '/hub' })
  assert.match(await exchange(t, port, get('/own', H2C)), /own GET \/own$/)
  assert.match(await exchange(t, port, handshake('/own')), /upgrade \/own$/)
  await connect(t, `${ws}/hub/demo`)
})

test('a client that asks before it sends a body is told to go on once, and not at all when the body is too large', async (t) => {
  const { server, port } = await host(t)
  await embedded(t).attach(server, { prefix: '/hub' })
  const ask = (path: string, size: number): string =>
    `POST ${path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nExpect: 100-continue\r\nContent-Length: ${size}\r\n\r\n`
  const continues = (answer: string): number => answer.split('HTTP/1.1 100 Continue').length - 1
  for (const [path, expected] of [['/hub/demo', /\r\n\r\nOK\n$/], ['/own', /own POST \/own$/]] as const) {
    const answer = await exchange(t, port, ask(path, 2) + 'hi')
    assert.match(answer, expected)
    assert.equal(continues(answer), 1, path)
  }
  const refused = await exchange(t, port, ask('/hub/demo', 100_000_000))
  assert.match(refused, /^HTTP\/1.1 413 /)

  server.on('checkContinue', (request, response) => response.end(`asked for ${request.url}`))
  assert.match(await exchange(t, port, ask('/own', 2) + 'hi'), /asked for \/own$/)
  assert.match(await exchange(t, port, ask('/hub/demo', 2) + 'hi'), /\r\n\r\nOK\n$/)
})

test('closing the hub says goodbye to its own connections and leaves the server running', async (t) => {
  const { server, url, ws } = await host(t)
  const hub = embedded(t, { drainTime: 100 })
  await hub.attach(server, { prefix: '/hub' })
  const socket = await connect(t, `${ws}/hub/demo`)
  const stream = await openStream(t, `${url}/hub/demo`)
  await post(`${url}/hub/demo`, 'the last')
  await hub.close()
  assert.equal(await socket.next(), 'the last')
  assert.equal((await stream.next()).data, 'the last')
  assert.deepEqual(await socket.closed, { code: 1001, reason: 'the server is going away' })
  await stream.ended
  assert.equal(await post(`${url}/own`), 'own POST /own')
  // Nothing of the hub holds it: it closes by itself.
  await new Promise((resolve) => server.close(resolve))
})

test('while the hub says goodbye its paths refuse newcomers, and then they are the server\'s again', async (t) => {
  const { server, port, url, ws } = await host(t)
  const { emit } = server
  const hub = embedded(t, { drainTime: 60_000 })
  for (const prefix of ['/hub', '/', '/deep']) await hub.attach(server, { prefix })
  const other = embedded(t)
  await other.attach(server, { prefix: '/other' })
  // Never answers the goodbye, so that it lasts until the signal.
  const silent = await openFrames(t, port, '/hub/demo')
  const now = new AbortController()
  const closing = hub.close(now.signal)
  assert.equal((await silent.frames.next()).opcode, OPCODE.close)
  assert.equal((await fetch(`${url}/hub/demo`, { method: 'POST', body: 'x' })).status, 503)
  await assert.rejects(connect(t, `${ws}/hub/demo`), /503/)
  now.abort()
  await closing
  for (const path of ['/hub/demo', '/deep/demo', '/demo']) {
    assert.equal(await post(url + path), `own POST ${path}`)
    assert.equal(await (await fetch(url + path)).text(), `own GET ${path}`)
  }
  assert.equal(await post(`${url}/other/demo`), 'OK\n')
  await other.close()
  assert.equal(Object.hasOwn(server, 'emit'), false)
  assert.equal(server.emit, emit)
})
