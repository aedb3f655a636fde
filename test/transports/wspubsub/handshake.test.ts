import assert from 'node:assert/strict'
import { createServer as createHttp } from 'node:http'
import type { AddressInfo } from 'node:net'
import { test } from 'node:test'
import { topicFromBytes, topicFromText } from '../../../src/core/topic.ts'
import { createServer } from '../../../src/index.ts'
import { temporaryFolder } from '../../support/certificates.ts'
import { until } from '../../support/events.ts'
import { openFrames, OPCODE } from '../../support/frames.ts'
import { clientFrame, exchange, handshake, raw } from '../../support/raw.ts'
import { request } from '../../support/responses.ts'
import { anonymous } from '../../support/transport-port.ts'
import { connect } from '../../support/websocket.ts'
import { answerTo, startKeyedHub } from '../../support/wspubsub.ts'

// wspubsub, section 2: what is let in, and what is answered to the rest.

const PUB = '/ws/pub/good/acme/prices'

/** One request and one answer over a connection that ends then. */
async function ask(t: Parameters<typeof exchange>[0], port: number, line: string): Promise<string> {
  return exchange(t, port, request(line, { headers: { Connection: 'close' } }))
}

test('the 101 has three headers, and what a client offers beside is ignored', async (t) => {
  const { port } = await startKeyedHub(t)
  const offers = { Origin: 'null', 'Sec-WebSocket-Protocol': 'chat, bad protocol', 'Sec-WebSocket-Extensions': 'permessage-deflate' }
  const { head } = await openFrames(t, port, PUB, { headers: offers })
  assert.deepEqual(head.toLowerCase().split('\r\n').slice(1).filter((line) => line !== '').map((line) => line.split(':')[0]).sort(), ['connection', 'sec-websocket-accept', 'upgrade'])
  assert.match(head, /s3pPLMBiTxaQ9kYGzzhZRbK\+xOo=/)
})

test('the host, the origin, the letters of the header words and the query make no difference', async (t) => {
  const { status } = await startKeyedHub(t)
  for (const headers of [{ Host: 'elsewhere.example:99' }, { Origin: 'https://evil.example' }, { Connection: 'keep-alive, UPGRADE', Upgrade: 'WebSocket' }, { Upgrade: 'websocket, foo' }]) {
    const at = `/ws/pub/good/acme/${Object.values(headers).join('').replace(/\W/g, '')}?x=/y`
    assert.equal(await status(at, headers), 101, JSON.stringify(headers))
  }
})

test('versions 7, 8 and 13 are let in, others and none are not', async (t) => {
  const { status } = await startKeyedHub(t)
  for (const version of ['7', '8', '13']) assert.equal(await status(`/ws/pub/good/acme/v${version}`, { 'Sec-WebSocket-Version': version }), 101, version)
  for (const version of ['6', '9', '12', '14', '', 'x']) assert.equal(await status(PUB, { 'Sec-WebSocket-Version': version }), 400, version)
})

test('a client of version 8 speaks the same frames', async (t) => {
  const { port, subscriber } = await startKeyedHub(t)
  const publisher = await openFrames(t, port, PUB, { headers: { 'Sec-WebSocket-Version': '8' } })
  const reader = await subscriber()
  publisher.send(OPCODE.text, 'hello')
  assert.equal(await reader.next(), 'hello')
})

test('a handshake without a key, or with one of another length, is refused', async (t) => {
  const { status } = await startKeyedHub(t)
  for (const key of ['', 'abc=']) assert.equal(await status(PUB, { 'Sec-WebSocket-Key': key }), 400)
})

test('what is no handshake is answered 426 or 400, asks for no key and makes no topic', async (t) => {
  const { port, transport, verdicts, status, keys } = await startKeyedHub(t)
  for (const line of [`GET ${PUB}`, `POST ${PUB}`, 'GET /ws/sub/acme/prices', 'DELETE /ws/sub/acme/prices', 'GET /ws/pub', 'GET /ws/sub/']) {
    const answer = await ask(t, port, line)
    assert.match(answer, /^HTTP\/1\.1 426 /, line)
    assert.match(answer, /\r\nUpgrade: websocket\r\n/)
  }
  assert.equal(await status(PUB, { Upgrade: 'h2c' }), 426)
  assert.equal(await status(PUB, { Connection: 'keep-alive' }), 426)
  assert.equal(await status(PUB, { 'Content-Length': '5' }), 400)
  const post = await exchange(t, port, handshake(PUB, { Connection: 'Upgrade, close' }).replace('GET', 'POST'))
  assert.match(post, /^HTTP\/1\.1 405 /)
  assert.deepEqual([verdicts, keys.queries, transport.gauges()], [[], [], { publishers: 0, subscribers: 0, topics: 0 }])
})

test('a handshake is looked at before the path, the path before the key, the key before the publisher that is there', async (t) => {
  const { publisher, status } = await startKeyedHub(t)
  await publisher()
  assert.equal(await status('/ws/pub/bad', { 'Sec-WebSocket-Key': '' }), 400)
  assert.equal(await status('/ws/pub/bad/acme'), 404)
  assert.equal(await status('/ws/pub/bad/acme/prices'), 403)
  assert.equal(await status(PUB), 409)
})

test('another number of segments is answered 404, a bad escape and a domain with a slash 400', async (t) => {
  const { status, publisher } = await startKeyedHub(t)
  await publisher()
  for (const path of ['/ws/pub', '/ws/pub/', '/ws/pub/good/acme', '/ws/pub/good/acme/', '/ws/pub/good/acme/a/b', '/ws/sub', '/ws/sub/acme', '/ws/sub/acme/prices/x', '/ws/sub//acme/prices', '/ws/sub/acme//prices']) {
    assert.equal(await status(path), 404, path)
  }
  for (const path of ['/ws/sub/acme/%', '/ws/sub/acme/%4', '/ws/pub/good/acme/%zz', '/ws/sub/ac%2Fme/prices', '/ws/pub/good/ac%2fme/prices']) assert.equal(await status(path), 400, path)
})

test('names are decoded segment by segment: an escaped slash stays inside, a plus is a space, one slash at the end is ignored', async (t) => {
  const { publisher, subscriber } = await startKeyedHub(t)
  const source = await publisher('good/acme/a%2Fb+c')
  const readers = [await subscriber('acme/a%2fb%20c'), await subscriber('acme/a%2Fb+c/?q')]
  source.send('hello')
  for (const reader of readers) assert.equal(await reader.next(), 'hello')
})

test('letter case counts, also in the route', async (t) => {
  const { publisher, status, port } = await startKeyedHub(t)
  await publisher()
  for (const path of ['/ws/sub/acme/Prices', '/ws/sub/Acme/prices']) assert.equal(await status(path), 404, path)
  assert.equal(await status('/ws/pub/good/Acme/x'), 403)
  assert.equal(await status('/ws/pub/Good/acme/x'), 403)
  // Another protocol's.
  await connect(t, `ws://127.0.0.1:${port}/WS/sub/acme/prices`)
})

test('empty names, dots and bytes that are no text are names like any other, and nothing is redirected', async (t) => {
  const { keys, publisher, subscriber, port } = await startKeyedHub(t)
  keys.put('..', 'dots')
  for (const [path, ours] of [['acme/%FF', 'acme/%ff'], ['acme//', 'acme//'], ['../..', '%2e%2e/%2E.'], ['acme/.', 'acme/./']] as const) {
    const key = path.startsWith('..') ? 'dots' : 'good'
    const source = await openFrames(t, port, `/ws/pub/${key}/${path}`)
    const reader = await openFrames(t, port, `/ws/sub/${ours}`)
    source.send(OPCODE.text, path)
    assert.equal(await reader.text(), path)
  }
  // An empty domain has no key, and its topics no publisher.
  await assert.rejects(publisher('good//x'), { status: 403 })
  await assert.rejects(subscriber('/x'), { status: 404 })
})

test('a domain of text owns also those of its topics that are no text', async (t) => {
  const { keys, publisher, hub } = await startKeyedHub(t)
  keys.put('zürich', 'good')
  const source = await publisher('good/z%C3%BCrich/%FF')
  const taken = new Promise<string>((resolve) => {
    hub.joinAll({ count: 0, deliver: ({ body }) => resolve(body.toString()), gap() {} })
  })
  source.send('hello')
  assert.equal(await taken, 'hello')
  assert.equal(hub.may('publish', topicFromBytes(Buffer.from('z\xc3\xbcrich/\xff', 'latin1')), anonymous()), false)
})

test('the other paths below /ws are somebody else\'s', async (t) => {
  const { port } = await startKeyedHub(t)
  const socket = await connect(t, `ws://127.0.0.1:${port}/ws/foo`)
  socket.send('hello')
  assert.equal(await socket.next(), 'hello')
  assert.match(await ask(t, port, 'GET /ws//sub/acme/prices'), /^HTTP\/1\.1 301 [^]*\r\nLocation: \/ws\/sub\/acme\/prices\r\n/)
})

test('an origin counts only where origins are stated, also by the header of older versions', async (t) => {
  const { status } = await startKeyedHub(t, { origins: ['https://app.example'] })
  assert.equal(await status('/ws/pub/good/acme/1', { Origin: 'https://app.example' }), 101)
  assert.equal(await status('/ws/pub/good/acme/2'), 101)
  assert.equal(await status('/ws/pub/good/acme/3', { 'Sec-WebSocket-Version': '8', 'Sec-WebSocket-Origin': 'https://app.example' }), 101)
  assert.equal(await status(PUB, { Origin: 'https://evil.example' }), 403)
  assert.equal(await status(PUB, { 'Sec-WebSocket-Version': '8', 'Sec-WebSocket-Origin': 'https://evil.example' }), 403)
})

test('after the answer to an unknown topic the connection may be used again', async (t) => {
  const { port, publisher } = await startKeyedHub(t)
  await publisher()
  const connection = await raw(t, port)
  connection.send(handshake('/ws/sub/acme/unknown'))
  await connection.until((received) => received.includes('HTTP/1.1 404 ') && received.includes('\r\n\r\nError: nobody publishes to this topic.\n'))
  connection.send(handshake('/ws/sub/acme/prices'))
  await connection.until((received) => received.includes('HTTP/1.1 101 '))
})

test('who has no place is refused before his key is looked at', async (t) => {
  const hub = await startKeyedHub(t, { admit: () => 429 })
  assert.equal(await hub.status(PUB), 429)
  assert.deepEqual([hub.keys.queries, hub.transport.gauges().topics], [[], 0])
})

test('frames that come before the 101 are taken, though the key is still being checked', async (t) => {
  const { port, subscriber, hub } = await startKeyedHub(t, { standing: ['acme/*'] })
  const reader = await subscriber()
  const source = await raw(t, port)
  source.send(Buffer.concat([Buffer.from(handshake(PUB)), clientFrame(OPCODE.text, 'with it')]))
  source.send(Buffer.concat([clientFrame(OPCODE.text, 'behind it'), clientFrame(OPCODE.binary, Buffer.alloc(300_000))]))
  assert.deepEqual([await reader.next(), await reader.next()], ['with it', 'behind it'])
  assert.equal((await reader.next()).length, 300_000)
  assert.equal(hub.audience(topicFromText('acme/prices')), 1)
})

test('the hub may be mounted under a prefix, and the target be written whole', async (t) => {
  const [hub, server] = [createServer({ wspubsubTopics: ['*'], pinghub: false, dataDir: temporaryFolder(t), logLevel: 'silent' }), createHttp()]
  await hub.attach(server, { prefix: '/hub' })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  t.after(async () => {
    await hub.close(AbortSignal.abort())
    server.close()
  })
  const { port } = server.address() as AddressInfo
  assert.equal(await answerTo(t, port, '/hub/ws/sub/acme/a%2Fb'), 101)
  assert.equal(await answerTo(t, port, 'http://any.example/hub/ws/sub/acme//?x'), 101)
  assert.equal(await answerTo(t, port, '/hub/ws/sub/acme'), 404)
  assert.equal(await answerTo(t, port, '/hub/ws//sub/acme/x'), 404)
})

test('an HTTP/1.0 client is answered as one of HTTP/1.1', async (t) => {
  const { port } = await startKeyedHub(t)
  const connection = await raw(t, port)
  connection.send(handshake(PUB).replace('HTTP/1.1', 'HTTP/1.0'))
  await until(() => connection.received().includes('\r\n'), 'an answer')
  assert.match(connection.received().toString('latin1'), /^HTTP\/1\.1 101 /)
})
