import assert from 'node:assert/strict'
import { hash, randomBytes } from 'node:crypto'
import { join } from 'node:path'
import { test, type TestContext } from 'node:test'
import { createHubProofs, type HubProofs } from '../../../src/core/hub-proofs.ts'
import { claims } from '../../../src/protocol/lonelyps/claims.ts'
import { encodeMissed, encodeReceivePrefix } from '../../../src/protocol/lonelyps/requests.ts'
import { parseConfirmMissed, parseConfirmReceive, UNSUBSCRIBE_IMMEDIATE } from '../../../src/protocol/lonelyps/responses.ts'
import type { Config } from '../../../src/index.ts'
import { createSqliteRegistry } from '../../../src/registry/sqlite/registry.ts'
import { realClock } from '../../../src/server/real-world.ts'
import { temporaryFolder } from '../../support/certificates.ts'
import { until } from '../../support/events.ts'
import { connectSocket } from '../../support/lonelyps-socket.ts'
import { createClient, openReceiver, post, schemes, sign, type Reply, type SchemeName } from '../../support/lonelyps.ts'
import { startServer } from '../../support/server.ts'
import { openStream } from '../../support/sse.ts'
import { connect } from '../../support/websocket.ts'

const NONE = Buffer.alloc(0)
const PUBLIC = 'http://127.0.0.1:3103'
const RECEIVE = '/v1/receive_for_websockets'
const MISSED = '/v1/missed_for_websockets'
const identifier = Buffer.alloc(8, 7)

async function open(t: TestContext, config: Config = {}) {
  const server = await startServer(t, { dataDir: temporaryFolder(t), allowPrivate: true, publicUrl: PUBLIC, spoolAbove: 10_000, ...config })
  /** What another hub sends for a message. */
  const receive = (message: string | Buffer, of: { topic?: string; sha512?: Buffer; headers?: Record<string, string>; length?: number; authorization?: string; cut?: number } = {}): Promise<Reply> => {
    const { topic = 'a', sha512 = hash('sha512', message, 'buffer'), headers = {}, length = Buffer.byteLength(message), authorization } = of
    const prefix = encodeReceivePrefix({ topic: Buffer.from(topic), identifier, tracing: NONE, length: BigInt(length) })
    const body = Buffer.concat([prefix, Buffer.from(message)])
    return post(server.port, RECEIVE, body.subarray(0, of.cut), authorization, { Host: new URL(PUBLIC).host, 'Repr-Digest': `sha-512=${sha512.toString('base64')}`, ...headers })
  }
  return { server, receive, client: createClient(server.port) }
}

const proof = (name: SchemeName, message: string, side: 'broadcasters' | 'subscribers' = 'subscribers'): string | undefined =>
  sign(name, claims.receive({ url: PUBLIC + RECEIVE, topic: Buffer.from('a'), identifier, sha512: hash('sha512', message, 'buffer'), tracing: NONE }), Date.now(), side)

test('what another hub forwards reaches WebSockets and event streams, is counted by them, and goes to no webhook again', async (t) => {
  const { server, receive, client } = await open(t)
  const receiver = await openReceiver(t)
  assert.equal((await client.subscribe('glob', receiver.url(), '*')).status, 200)
  const sockets = [await connect(t, `${server.ws}/a`), await connect(t, `${server.ws}/a`)]
  const stream = await openStream(t, `${server.url}/a`)
  const reply = await receive('forwarded')
  assert.deepEqual([reply.status, reply.headers['content-type']], [200, 'application/octet-stream'])
  const answer = parseConfirmReceive(reply.body)
  assert.deepEqual([answer?.subscribers, answer?.identifier, answer?.tracing.length, answer?.authorization], [3, identifier, 0, ''])
  for (const socket of sockets) assert.equal(await socket.next(), 'forwarded')
  assert.equal((await stream.next()).data, 'forwarded')
  // Had the webhook been sent, it would have come before this one.
  assert.equal((await client.notify('a', 'own')).subscribers, 4)
  assert.equal((await receiver.inbox.next()).message.toString(), 'own')
  assert.deepEqual(receiver.inbox.taken(), [])
})

test('a socket that two subscriptions of its hub match gets a forwarded message once and counts once', async (t) => {
  const { server, receive } = await open(t)
  const stream = await openStream(t, `${server.url}/_/sse?topic=a&topic=*&topic=a*`)
  assert.equal(stream.response.status, 200)
  assert.equal(parseConfirmReceive((await receive('one')).body)?.subscribers, 1)
  assert.equal(parseConfirmReceive((await receive('two')).body)?.subscribers, 1)
  assert.deepEqual([(await stream.next()).data, (await stream.next()).data], ['one', 'two'])
})

test('what is wrong with a forwarded message is said in the order of the protocol', async (t) => {
  const { server, receive } = await open(t, schemes('none', 'token'))
  const socket = await connect(t, `${server.ws}/a`)
  const authorization = proof('token', 'any') as string
  const wrong = { Host: 'other.example' }
  const none = { 'Repr-Digest': 'sha-256=x' }
  const cases: [string, Promise<Reply>, number, Buffer][] = [
    ['no digest', receive('m', { headers: { ...none, ...wrong }, cut: 3, authorization: 'Bearer wrong' }), 400, UNSUBSCRIBE_IMMEDIATE],
    ['another url', receive('m', { headers: wrong, cut: 3, authorization: 'Bearer wrong' }), 400, UNSUBSCRIBE_IMMEDIATE],
    ['cut short', receive('m', { cut: 3, authorization: 'Bearer wrong' }), 400, NONE],
    ['nobody here', receive('m', { topic: 'b', authorization: 'Bearer wrong' }), 400, UNSUBSCRIBE_IMMEDIATE],
    ['wrong proof', receive('m', { authorization: 'Bearer wrong', length: 5 }), 403, UNSUBSCRIBE_IMMEDIATE],
    ['no proof', receive('m', { length: 5 }), 401, UNSUBSCRIBE_IMMEDIATE],
    ['longer', receive('m', { authorization, length: 5 }), 400, NONE],
    ['shorter', receive('mmm', { authorization, length: 1 }), 400, NONE],
    ['another hash', receive('m', { authorization, sha512: hash('sha512', 'n', 'buffer') }), 400, NONE],
    ['another hash, on disk', receive('m'.repeat(20_000), { authorization, sha512: hash('sha512', 'n', 'buffer') }), 400, NONE],
  ]
  for (const [what, sent, status, body] of cases) {
    const reply = await sent
    assert.deepEqual([reply.status, reply.body], [status, body], what)
  }
  assert.equal((await receive('right', { authorization })).status, 200)
  assert.equal(await socket.next(), 'right')
})

test('with hmac a forwarded message is proved with the key to subscribers, once, and answered with the key to broadcasters', async (t) => {
  const { server, receive } = await open(t, schemes('hmac', 'hmac'))
  await connect(t, `${server.ws}/a`)
  assert.equal((await receive('m', { authorization: proof('hmac', 'm', 'broadcasters') as string })).status, 403)
  const authorization = proof('hmac', 'm') as string
  const reply = await receive('m', { authorization })
  assert.equal(reply.status, 200)
  assert.match(parseConfirmReceive(reply.body)?.authorization ?? '', /^X-HMAC /)
  assert.equal((await receive('m', { authorization })).status, 403)
})

/** Another hub that has opened this database. */
function otherHub(t: TestContext, file: string): { readonly proofs: HubProofs; rows(): Promise<number> } {
  const registry = createSqliteRegistry({ file, clock: realClock })
  t.after(() => registry.close())
  return {
    proofs: createHubProofs({ registry, randomBytes, now: Date.now, lifetime: 120_000, remember: () => true }),
    rows: async () => (await registry.list(PUBLIC + RECEIVE)).length,
  }
}

const claimed = (message: string, url = PUBLIC + RECEIVE) => claims.receive({ url, topic: Buffer.from('a'), identifier, sha512: hash('sha512', message, 'buffer'), tracing: NONE })

for (const scheme of ['none', 'token', 'hmac'] satisfies SchemeName[]) {
  test(`what a hub on the same database proves is not judged by the rules again, what anyone else sends is, with ${scheme}`, async (t) => {
    const folder = temporaryFolder(t)
    const database = join(folder, 'shared.db')
    const { server, receive } = await open(t, { ...schemes('none', scheme), database, rules: [{ topics: 'a', publish: 'signed' }] })
    const socket = await connect(t, `${server.ws}/a`)
    const [hub, stranger] = [otherHub(t, database), otherHub(t, join(folder, 'other.db'))]
    const send = (message: string, relay?: string): Promise<Reply> => {
      const authorization = proof(scheme, message)
      return receive(message, { ...(authorization !== undefined && { authorization }), ...(relay !== undefined && { headers: { 'Waystation-Relay': relay } }) })
    }
    // What subscribers can check they could make: it proves no publisher.
    assert.equal((await send('1')).status, 403)
    // Said before its body is taken.
    assert.equal((await receive('1', { length: 5, ...(scheme !== 'none' && { authorization: proof(scheme, '1') as string }) })).status, 403)
    assert.equal((await send('2', await stranger.proofs.prove(claimed('2')))).status, 403)
    assert.equal((await send('3', await hub.proofs.prove(claimed('another')))).status, 403)
    assert.equal((await send('4', await hub.proofs.prove(claimed('4', 'http://other.example/v1/receive_for_websockets')))).status, 403)
    assert.equal((await send('5', 'X-HMAC none')).status, 403)
    const relay = await hub.proofs.prove(claimed('6'))
    const taken = await send('6', relay)
    assert.deepEqual([taken.status, parseConfirmReceive(taken.body)?.subscribers], [200, 1])
    assert.equal(await socket.next(), '6')
    assert.equal((await send('6', relay)).status, 403, 'it was used')
  })
}

test('a hub proves more than is asked for, not less', async (t) => {
  const database = join(temporaryFolder(t), 'shared.db')
  const { server, receive } = await open(t, { ...schemes('none', 'hmac'), database })
  await connect(t, `${server.ws}/a`)
  const relay = await otherHub(t, database).proofs.prove(claimed('m'))
  assert.equal((await receive('m', { headers: { 'Waystation-Relay': relay as string } })).status, 401)
})

test('while a socket waits for the confirmation of a subscription, what comes for it is taken, and the hub stays registered', async (t) => {
  const database = join(temporaryFolder(t), 'shared.db')
  const { server, receive, client } = await open(t, { database })
  const receiver = await openReceiver(t, { manual: true })
  assert.equal((await client.subscribe('exact', receiver.url(), 'slow')).status, 200)
  const socket = await connectSocket(t, server.port)
  socket.notify('slow', 'first')
  socket.subscribe('exact', 'a')
  const webhook = await receiver.inbox.next()
  const hub = otherHub(t, database)
  await until(async () => await hub.rows() === 1, 'the row to be there')
  const early = await receive('early')
  assert.deepEqual([early.status, parseConfirmReceive(early.body)?.subscribers], [200, 0])
  webhook.confirm()
  await socket.next('confirm_notify')
  await socket.next('confirm_subscribe_exact')
  assert.equal(parseConfirmReceive((await receive('now')).body)?.subscribers, 1)
  assert.equal((await socket.next('receive_stream')).body.toString(), 'now')
  socket.unsubscribe('exact', 'a')
  await socket.next('confirm_unsubscribe_exact')
  assert.deepEqual((await receive('late')).body, UNSUBSCRIBE_IMMEDIATE)
})

test('a hub that has no public url takes nothing from others', async (t) => {
  const { server, receive } = await open(t, { publicUrl: '' })
  await connect(t, `${server.ws}/a`)
  const reply = await receive('m')
  assert.deepEqual([reply.status, reply.body], [400, UNSUBSCRIBE_IMMEDIATE])
  assert.equal((await post(server.port, MISSED, encodeMissed({ topic: Buffer.from('a'), tracing: NONE }), undefined, { Host: new URL(PUBLIC).host })).status, 400)
})

test('a query or another path is another url', async (t) => {
  const { server } = await open(t)
  await connect(t, `${server.ws}/a`)
  const reply = await post(server.port, `${RECEIVE}?x`, NONE, undefined, { Host: new URL(PUBLIC).host, 'Repr-Digest': `sha-512=${hash('sha512', 'm', 'buffer').toString('base64')}` })
  assert.deepEqual([reply.status, reply.body], [400, UNSUBSCRIBE_IMMEDIATE])
})

for (const scheme of ['none', 'token', 'hmac'] satisfies SchemeName[]) {
  test(`a notice that something was missed is confirmed, with ${scheme}`, async (t) => {
    const { server } = await open(t, schemes(scheme, scheme))
    const url = PUBLIC + MISSED
    const topic = Buffer.from('a')
    const body = encodeMissed({ topic, tracing: NONE })
    const send = (bytes: Buffer, authorization?: string, host = new URL(PUBLIC).host): Promise<Reply> => post(server.port, MISSED, bytes, authorization, { Host: host })
    const authorization = sign(scheme, claims.missed({ url, topic, tracing: NONE }), Date.now(), 'subscribers')
    const elsewhere = await send(body, authorization, 'other.example')
    assert.deepEqual([elsewhere.status, elsewhere.headers['content-type'], elsewhere.body.toString()], [400, 'application/json; charset=utf-8', '{"unsubscribe": true, "reason": "invalid missed URL"}'])
    assert.equal((await send(body.subarray(0, 3), authorization)).status, 400)
    if (scheme !== 'none') assert.deepEqual([(await send(body)).status, (await send(body, 'Bearer wrong')).status], [401, 403])
    const reply = await send(body, authorization)
    assert.equal(reply.status, 200)
    const confirmed = parseConfirmMissed(reply.body)
    assert.equal(confirmed?.authorization === '', scheme === 'none')
    if (scheme === 'hmac') assert.equal((await send(body, authorization)).status, 403)
  })
}
