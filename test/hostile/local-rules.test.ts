import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { createServer, type IncomingMessage } from 'node:http'
import { join } from 'node:path'
import { test, type TestContext } from 'node:test'
import { addressSet } from '../../src/http/address.ts'
import { peerOf } from '../../src/http/peer.ts'
import { temporaryFolder } from '../support/certificates.ts'
import { openFrames, OPCODE } from '../support/frames.ts'
import { ask, request } from '../support/responses.ts'
import { startServer } from '../support/server.ts'

/*
 * `publish: 'local'` lets those on this machine publish. What is refused to others must be refused to everyone who only
 * looks as if they were here: through a proxy on this machine, or through a browser on this machine.
 */
const LOCAL = { rules: [{ topics: '*', publish: 'local', subscribe: 'local' }] } as const

async function statusesOf(t: TestContext, to: Parameters<typeof ask>[1], headers: Record<string, string>): Promise<number[]> {
  const post = await ask(t, to, request('POST /a', { body: 'x', headers }))
  const stream = await ask(t, to, request('GET /a', { headers: { Accept: 'text/event-stream', ...headers } }))
  return [post.status, stream.status]
}

test('a request from this machine may do what is local', async (t) => {
  const server = await startServer(t, LOCAL)
  assert.deepEqual(await statusesOf(t, server.port, {}), [200, 200])
})

for (const headers of [
  { 'X-Forwarded-For': '203.0.113.7' },
  { 'X-Forwarded-For': '127.0.0.1' },
  { 'X-Forwarded-For': '' },
  { 'x-forwarded-for': 'unix' },
  { Forwarded: 'for=127.0.0.1' },
  { 'X-Real-IP': '127.0.0.1' },
  { 'X-Forwarded-Host': 'localhost' },
  { 'X-Forwarded-Proto': 'http' },
  { Via: '1.1 proxy' },
  { Origin: 'https://evil.example' },
  { Origin: 'http://127.0.0.1.evil.example' },
  { Origin: 'http://localhost.evil.example:8081' },
  // A page elsewhere whose own name was made to point to this machine.
  { Host: 'evil.example:8081' },
  { Host: 'localhost.evil.example' },
  { Origin: 'null' },
  { Origin: '' },
  { Origin: 'file://' },
] as Record<string, string>[]) {
  test(`a request with ${JSON.stringify(headers)} is not local, though it comes from this machine`, async (t) => {
    for (const trustedProxies of [[], ['127.0.0.1']]) {
      const server = await startServer(t, { ...LOCAL, trustedProxies })
      assert.deepEqual(await statusesOf(t, server.port, headers), [403, 403])
      await assert.rejects(openFrames(t, server.port, '/a', { headers }), /HTTP\/1\.1 403 /)
    }
  })
}

for (const origin of ['http://localhost:3000', 'http://127.0.0.1:8081', 'http://[::1]:8081', 'https://LOCALHOST']) {
  test(`a page that was served on this machine (${origin}) is local`, async (t) => {
    const server = await startServer(t, LOCAL)
    assert.deepEqual(await statusesOf(t, server.port, { Origin: origin }), [200, 200])
  })
}

test('a WebSocket that may subscribe but not publish is closed with 1008 when it tries', async (t) => {
  const server = await startServer(t, { rules: [{ topics: '*', publish: 'local' }] })
  const socket = await openFrames(t, server.port, '/a', { headers: { Origin: 'https://evil.example' } })
  const [own, other] = [server.hub.subscribe('a'), await openFrames(t, server.port, '/a')]
  socket.send(OPCODE.text, 'from elsewhere')
  assert.equal((await socket.close()).code, 1008)
  other.send(OPCODE.text, 'from here')
  assert.equal((await own.next()).value?.text(), 'from here')
})

test('over a UNIX socket a request is local, unless somebody is spoken for', async (t) => {
  const path = join(temporaryFolder(t), 'hub.sock')
  await startServer(t, { ...LOCAL, addr: path })
  assert.deepEqual(await statusesOf(t, { path }, {}), [200, 200])
  assert.deepEqual(await statusesOf(t, { path }, { 'X-Forwarded-For': '203.0.113.7' }), [403, 403])
})

test('a rule holds for the topic, however the path is written', async (t) => {
  const server = await startServer(t, { rules: [{ topics: 'secret/*', publish: 'nobody', subscribe: 'nobody' }] })
  for (const path of ['/secret/a', '/%73ecret/a', '/secret%2Fa', 'http://other/secret/a', '/secret/%61?x=y']) {
    const post = await ask(t, server.port, request(`POST ${path}`, { body: 'x' }))
    assert.equal(post.status, 403, path)
    const stream = await ask(t, server.port, request(`GET ${path}`, { headers: { Accept: 'text/event-stream' } }))
    assert.equal(stream.status, 403, path)
  }
  for (const glob of ['*', 'secret/a', 'secret/?', 's[e]cret/a', '**/a', '[!x]*', 'secre*']) {
    const stream = await ask(t, server.port, request(`GET /_/sse?topic=ok&topic=${encodeURIComponent(glob)}`))
    assert.equal(stream.status, 403, glob)
  }
})

/** Sends a request and resets the connection, both before anyone has looked at it. */
const RESETTER = `
  const socket = require('node:net').connect(Number(process.argv[1]), '127.0.0.1', () => {
    socket.write('POST /a HTTP/1.1\\r\\nHost: h\\r\\nContent-Length: 1\\r\\n\\r\\nx', () => socket.resetAndDestroy())
  })`

test('a connection that was reset before it was looked at, and has no address any more, is not local', async (t) => {
  const server = createServer()
  const seen = new Promise<IncomingMessage>((resolve) => server.on('request', resolve))
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  t.after(() => server.close())
  const { port } = server.address() as { port: number }
  // The child is waited for without turning the event loop, so that all of it happens before the accept.
  assert.equal(spawnSync(process.execPath, ['-e', RESETTER, String(port)]).status, 0)
  const message = await seen
  assert.equal(message.socket.remoteAddress, undefined)
  assert.deepEqual(peerOf(message, addressSet(['127.0.0.1'])), { address: 'gone', local: false })
})
