import assert from 'node:assert/strict'
import { createHash, randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { request, type IncomingMessage } from 'node:http'
import { buffer } from 'node:stream/consumers'
import { test, type TestContext } from 'node:test'
import { encodeNotifyPrefix } from '../../../src/protocol/lonelyps/requests.ts'
import { parseNotifyResponse } from '../../../src/protocol/lonelyps/responses.ts'
import { parseTracing } from '../../../src/protocol/lonelyps/tracing.ts'
import type { Config } from '../../../src/index.ts'
import { temporaryFolder } from '../../support/certificates.ts'
import { createClient, notifyBody, openReceiver, post } from '../../support/lonelyps.ts'
import { raw } from '../../support/raw.ts'
import { startServer } from '../../support/server.ts'
import { connect } from '../../support/websocket.ts'

const NONE = Buffer.alloc(0)

async function open(t: TestContext, config: Config = {}) {
  const server = await startServer(t, { dataDir: temporaryFolder(t), allowPrivate: true, spoolAbove: 100_000, ...config })
  return { server, port: server.port, client: createClient(server.port) }
}

function body(message: Buffer, of: { identifier?: Buffer; tracing?: Buffer } = {}): Buffer {
  const { identifier = randomBytes(4), tracing = NONE } = of
  const head = { topic: Buffer.from('a'), identifier, tracing, sha512: createHash('sha512').update(message).digest(), length: BigInt(message.length) }
  return Buffer.concat([encodeNotifyPrefix(head), message])
}

for (const [what, size] of [['in memory', 60_000], ['on disk', 300_000]] as const) {
  test(`a body in chunks of any size is the same message, ${what}`, async (t) => {
    const { port, client } = await open(t)
    const receiver = await openReceiver(t)
    await client.subscribe('exact', receiver.url(), 'a')
    const message = randomBytes(size)
    const bytes = body(message)
    for (const cuts of [[1, 2, 3, 70, 71, 90, 95], [70_000], [80, 80], [40_000, 50_000, 55_000]]) {
      const sent = request({ port, host: '127.0.0.1', method: 'POST', path: '/v1/notify', headers: { 'Transfer-Encoding': 'chunked' } })
      let at = 0
      for (const cut of cuts) {
        await new Promise((resolve) => sent.write(bytes.subarray(at, cut), resolve))
        at = cut
      }
      sent.end(bytes.subarray(at))
      const [response] = await once(sent, 'response') as [IncomingMessage]
      assert.equal(parseNotifyResponse(await buffer(response))?.subscribers, 1)
      assert.ok((await receiver.inbox.next()).message.equals(message))
    }
  })
}

test('a client that waits to be told to go on (Expect: 100-continue) is told so, whatever the size', async (t) => {
  const { port } = await open(t)
  for (const size of [5, 300_000]) {
    const bytes = body(randomBytes(size))
    const sent = request({ port, host: '127.0.0.1', method: 'POST', path: '/v1/notify', headers: { Expect: '100-continue', 'Content-Length': bytes.length } })
    sent.flushHeaders()
    await once(sent, 'continue')
    sent.end(bytes)
    const [response] = await once(sent, 'response') as [IncomingMessage]
    assert.equal(response.statusCode, 200)
    response.resume()
  }
})

for (const size of [0, 1, 255]) {
  test(`an identifier of ${size} bytes comes back as it is`, async (t) => {
    const { port } = await open(t)
    const identifier = randomBytes(size)
    const reply = await post(port, '/v1/notify', body(Buffer.from('m'), { identifier }))
    assert.deepEqual(parseNotifyResponse(reply.body)?.identifier, identifier)
  })
}

test('tracing of 65,535 bytes is taken; the answer has tracing of its own, with an entry and when the request came', async (t) => {
  const { port } = await open(t)
  const before = BigInt(Date.now()) * 1_000_000n
  const reply = await post(port, '/v1/notify', body(Buffer.from('m'), { tracing: randomBytes(65_535) }))
  const answer = parseNotifyResponse(reply.body)
  const tracing = parseTracing(answer?.tracing ?? NONE)
  assert.ok(tracing !== undefined)
  assert.deepEqual(tracing.entries.map(({ name, extra }) => [name, extra]), [['no_more_subscribers', '{}']])
  assert.ok(before <= tracing.received && tracing.received <= tracing.sent)
})

test('a topic that is no UTF-8 reaches those who want it, and no glob', async (t) => {
  const { server, client } = await open(t)
  const receiver = await openReceiver(t)
  const topic = Buffer.from([0x66, 0xff, 0x00, 0x2f])
  assert.equal((await client.subscribe('exact', receiver.url('/exact'), topic)).status, 200)
  assert.equal((await client.subscribe('glob', receiver.url('/glob'), '*')).status, 200)
  // The bytes that a lossy decoding would make of it are another topic.
  assert.equal((await client.subscribe('exact', receiver.url('/lossy'), topic.toString())).status, 200)
  await using globbed = server.hub.subscribe('f*')
  assert.equal((await client.notify(topic, 'm')).subscribers, 1)
  const one = await receiver.inbox.next()
  assert.deepEqual([one.path, one.message.toString()], ['/exact', 'm'])
  assert.equal((await client.notify('f', 'text')).subscribers, 2)
  assert.equal((await globbed.next()).value.text(), 'text')
})

test('a message that is no text reaches a pinghub WebSocket as a binary frame', async (t) => {
  const { server, client } = await open(t)
  const socket = await connect(t, `${server.ws}/a`)
  for (const [message, binary] of [[Buffer.from([0xff, 0x00]), true], [Buffer.from('é'), false], [NONE, false]] as const) {
    assert.equal((await client.notify('a', message)).subscribers, 1)
    const frame = await socket.inbox.next()
    assert.deepEqual([frame.bytes, frame.binary], [message, binary])
  }
})

test('a notify is answered when its webhooks are, with the numbers that they said', async (t) => {
  const { client } = await open(t)
  const receiver = await openReceiver(t, { manual: true })
  for (const [i, path] of ['/one', '/five', '/none', '/cut'].entries()) await client.subscribe(i % 2 === 0 ? 'exact' : 'glob', receiver.url(path), 'a')
  let answered = false
  const notified = client.notify('a', 'm').finally(() => (answered = true))
  const counts: Record<string, number> = { '/one': 1, '/five': 5, '/none': 0 }
  const webhooks = await receiver.inbox.take(4)
  for (const one of webhooks) {
    assert.equal(answered, false)
    if (one.path === '/cut') one.response.destroy()
    else one.confirm(counts[one.path])
  }
  assert.equal((await notified).subscribers, 6)
})

test('a count beyond what the answer can say is said as the most', async (t) => {
  const { client } = await open(t)
  const receiver = await openReceiver(t, { manual: true })
  for (const path of ['/a', '/b']) await client.subscribe('exact', receiver.url(path), 'a')
  const notified = client.notify('a', 'm')
  for (const one of await receiver.inbox.take(2)) one.confirm(2 ** 32 - 1)
  assert.equal((await notified).subscribers, 2 ** 32 - 1)
})

test('rules hold for what is notified: what nobody may publish is refused before its body comes', async (t) => {
  const { port, client } = await open(t, { rules: [{ topics: 'shut/*', publish: 'nobody' }, { topics: 'signed/*', publish: 'signed' }, { topics: 'here/*', publish: 'local' }] })
  for (const [topic, status] of [['shut/a', 403], ['signed/a', 403], ['here/a', 200], ['else', 200]] as const) assert.equal((await client.notify(topic, 'm')).status, status, topic)
  const [bytes] = notifyBody('none', 'shut/a', randomBytes(1_000))
  const connection = await raw(t, port)
  connection.send(`POST /v1/notify HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: ${bytes.length}\r\n\r\n`)
  connection.send(bytes.subarray(0, 200))
  await connection.until((received) => received.includes('403'))
})

test('with signatures, rules for the signed let notifies in', async (t) => {
  const secret = Buffer.alloc(64, 1).toString('base64url')
  const { server } = await open(t, { toBroadcastersAuth: 'hmac', toBroadcastersSecret: secret, rules: [{ topics: 'signed/*', publish: 'signed', subscribe: 'signed' }] })
  const client = createClient(server.port, 'hmac')
  const receiver = await openReceiver(t, { toBroadcasters: 'hmac' })
  assert.equal((await client.subscribe('glob', receiver.url(), 'signed/*')).status, 200)
  assert.equal((await client.notify('signed/a', 'm')).subscribers, 1)
  assert.equal((await fetch(`${server.url}/signed/a`, { method: 'POST', body: 'm' })).status, 403)
})
