import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { request } from 'node:http'
import type { Socket } from 'node:net'
import { test } from 'node:test'
import { claims } from '../../src/protocol/lonelyps/claims.ts'
import type { ToBroadcaster } from '../../src/protocol/lonelyps/stateful/messages.ts'
import { encodeNotifyPrefix } from '../../src/protocol/lonelyps/requests.ts'
import { temporaryFolder } from '../support/certificates.ts'
import { createInbox, until } from '../support/events.ts'
import { post } from '../support/lonelyps.ts'
import { openCompany, TOPIC } from '../support/lonelyps-company.ts'
import { createSpool } from '../../src/http/spool.ts'
import { createStreams } from '../../src/transports/lonelyps/socket/streams.ts'
import { headOf, type SocketClient } from '../support/lonelyps-socket.ts'
import { startServer } from '../support/server.ts'
import { connect } from '../support/websocket.ts'

/* Who may open a socket, what they may do there, and what cannot be done twice. */
const NONE = Buffer.alloc(0)
const MIB = 1_048_576
const hello = Buffer.from('hello')

/** The status that an upgrade is answered with. */
async function upgrade(port: number, headers: Record<string, string>, method = 'GET'): Promise<number> {
  const sent = request({
    port, host: '127.0.0.1', method, path: '/v1/websocket',
    headers: { Connection: 'Upgrade', Upgrade: 'websocket', 'Sec-WebSocket-Version': '13', 'Sec-WebSocket-Key': 'dGhlIHNhbXBsZSBub25jZQ==', ...headers },
  })
  const statuses = createInbox<number>('answer')
  sent.on('response', (response) => {
    response.resume()
    statuses.push(response.statusCode as number)
  })
  sent.on('upgrade', (_, socket) => {
    socket.destroy()
    statuses.push(101)
  })
  sent.on('error', (error) => statuses.end(error))
  sent.end()
  return await statuses.next()
}

test('without an upgrade there is nothing there, and one that is not as it must be is refused', async (t) => {
  const { port, url } = await startServer(t, { dataDir: temporaryFolder(t) })
  for (const method of ['GET', 'POST', 'PUT', 'DELETE']) {
    const got = await fetch(`${url}/v1/websocket`, { method })
    assert.deepEqual([got.status, await got.text()], [404, ''], method)
  }
  assert.equal(await upgrade(port, {}), 101)
  assert.equal(await upgrade(port, {}, 'POST'), 405)
  assert.equal(await upgrade(port, { 'Sec-WebSocket-Version': '12' }), 400)
  assert.equal(await upgrade(port, { 'Sec-WebSocket-Key': 'short' }), 400)
})

test('a page from elsewhere opens none, and one from a stated origin does', async (t) => {
  const { port } = await startServer(t, { dataDir: temporaryFolder(t), origin: ['https://app.example'], toBroadcastersAuth: 'none' })
  assert.equal(await upgrade(port, { Origin: 'https://evil.example' }), 403)
  assert.equal(await upgrade(port, { Origin: 'null' }), 403)
  assert.equal(await upgrade(port, { Origin: 'https://app.example' }), 101)
  assert.equal(await upgrade(port, {}), 101)
})

test('where only this machine may, nobody from elsewhere opens one, and no page from elsewhere', async (t) => {
  const { port } = await startServer(t, { dataDir: temporaryFolder(t), trustedProxies: ['127.0.0.1'] })
  assert.equal(await upgrade(port, {}), 101)
  for (const headers of [{ 'X-Forwarded-For': '203.0.113.7' }, { 'X-Forwarded-For': '127.0.0.1' }, { Forwarded: 'for=203.0.113.7' }, { Origin: 'https://evil.example' }, { Host: 'evil.example' }]) {
    assert.equal(await upgrade(port, headers as Record<string, string>), 401, JSON.stringify(headers))
  }
})

const RULES = [{ topics: 'shut/*', publish: 'nobody', subscribe: 'nobody' }, { topics: 'read/*', publish: 'nobody' }] as const
const forbidden: readonly [what: string, reason: RegExp, deed: (client: SocketClient) => void][] = [
  ['subscribes', /does not allow that subscription/, (client) => client.subscribe('exact', 'shut/a')],
  ['subscribes to a glob that is no wider', /does not allow that subscription/, (client) => client.subscribe('glob', 'shut/a*')],
  ['subscribes to a glob that is wider', /does not allow that subscription/, (client) => client.subscribe('glob', 's*')],
  ['publishes', /does not allow publishing/, (client) => client.notify('read/a', 'x')],
  ['publishes in parts', /does not allow publishing/, (client) => client.notifyParts('read/a', Buffer.alloc(2_000), 1_000)],
]
for (const [what, reason, deed] of forbidden) {
  test(`a socket that ${what} where a rule forbids it ends alone`, async (t) => {
    const company = await openCompany(t, { rules: RULES, spoolAbove: 1_000 })
    const client = await company.join()
    client.subscribe('exact', 'read/a')
    await client.next('confirm_subscribe_exact')
    deed(client)
    await company.endedFor(client, reason)
    await until(async () => (await company.metric('waystation_spool_bytes')) === 0, 'an empty spool')
  })
}

function signedNotify(client: SocketClient): { message: ToBroadcaster; overHttp: (port: number) => Promise<number> } {
  const identifier = randomBytes(4)
  const head = headOf(Buffer.from(TOPIC), hello)
  const authorization = client.prove(claims.notify({ ...head, identifier, tracing: NONE }))
  const body = Buffer.concat([encodeNotifyPrefix({ topic: head.topic, identifier, tracing: NONE, sha512: head.sha512, length: 5n }), hello])
  return {
    message: { type: 'notify', identifier, head, body: hello, tracing: NONE, authorization },
    overHttp: async (port) => (await post(port, '/v1/notify', body, authorization)).status,
  }
}

test('a recorded NOTIFY is good once, over whichever way, and not after a restart either', async (t) => {
  const dataDir = temporaryFolder(t)
  const first = await openCompany(t, { dataDir }, 'hmac')
  const [client, again, late] = [await first.connect(), await first.connect(), await first.connect()]
  const [one, two, three] = [signedNotify(client), signedNotify(client), signedNotify(client)]
  const pages = await connect(t, `ws://127.0.0.1:${first.port}/${TOPIC}`)
  client.send(one.message)
  await client.next('confirm_notify')
  client.send(one.message)
  assert.equal(await client.closed, 1000)
  assert.equal(await two.overHttp(first.port), 200)
  again.send(two.message)
  assert.equal(await again.closed, 1000)
  late.send(three.message)
  await late.next('confirm_notify')
  assert.equal(await three.overHttp(first.port), 403)
  assert.deepEqual(first.reasons, Array(2).fill('the authorization of notify is forbidden'))
  for (let i = 0; i < 3; i++) assert.equal(await pages.next(), 'hello')
  assert.deepEqual(pages.inbox.taken(), [])
  await first.server.close()
  const second = await openCompany(t, { dataDir }, 'hmac')
  for (const { message, overHttp } of [one, two, three]) {
    const replaying = await second.connect()
    replaying.send(message)
    assert.equal(await replaying.closed, 1000)
    assert.equal(await overHttp(second.port), 403)
  }
  await second.othersGoOn()
})

test('one that asks and asks and reads no answer is not listened to, and gets them all when it reads', async (t) => {
  const company = await openCompany(t, { maxPendingBytes: 65_536, writeTimeout: 60_000 })
  const client = await company.connect()
  const socket = (client.ws as unknown as { _socket: Socket })._socket
  const rounds = 400
  socket.pause()
  const topic = 'x'.repeat(60_000)
  for (let i = 0; i < rounds; i++) {
    client.subscribe('exact', topic)
    client.unsubscribe('exact', topic)
  }
  // What does not fit between the two stays here, when the hub takes no more.
  let [owed, since] = [Infinity, performance.now()]
  await until(() => {
    if (socket.writableLength !== owed) [owed, since] = [socket.writableLength, performance.now()]
    return owed === 0 || performance.now() - since > 300
  }, 'a halt')
  assert.ok(owed > 10 * MIB, `only ${owed} bytes were not taken`)
  await company.othersGoOn()
  socket.resume()
  for (let i = 0; i < rounds; i++) {
    await client.next('confirm_subscribe_exact')
    await client.next('confirm_unsubscribe_exact')
  }
})

test('a long message that is cut off by the end of its socket is not published, and leaves nothing on disk', async (t) => {
  const spool = createSpool(temporaryFolder(t), MIB)
  for (const when of ['while its file is made', 'while its last part is written'] as const) {
    let booked = 0
    const streams = createStreams({ spool, bounds: { spoolAbove: 1_000, maxSpoolBytes: MIB }, take: (bytes) => ((booked += bytes), true), give: (bytes) => void (booked -= bytes) })
    const body = Buffer.alloc(2_000)
    const head = headOf(Buffer.from('x'), body)
    const of = { type: 'notify_stream', identifier: hello, tracing: NONE, authorization: undefined } as const
    let last: ReturnType<typeof streams.add>
    if (when === 'while its file is made') last = streams.add({ ...of, part: 0, head, body })
    else {
      await streams.add({ ...of, part: 0, head, body: body.subarray(0, 1_500) })
      last = streams.add({ ...of, part: 1, head: undefined, body: body.subarray(1_500) })
    }
    streams.discard()
    await assert.rejects(async () => await last, { name: 'Fault' }, when)
    assert.deepEqual([spool.bytes, booked], [0, 0], when)
  }
})
