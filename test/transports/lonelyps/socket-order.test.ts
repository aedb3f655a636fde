import assert from 'node:assert/strict'
import { suite, test, type TestContext } from 'node:test'
import { claims } from '../../../src/protocol/lonelyps/claims.ts'
import { encodeMissed } from '../../../src/protocol/lonelyps/requests.ts'
import { temporaryFolder } from '../../support/certificates.ts'
import { createClient, openReceiver, post, sign } from '../../support/lonelyps.ts'
import { openCompany } from '../../support/lonelyps-company.ts'
import { connectSocket, type SocketClient } from '../../support/lonelyps-socket.ts'
import { startServer } from '../../support/server.ts'
import { openStream } from '../../support/sse.ts'
import { connect } from '../../support/websocket.ts'

/* What comes before what on a socket, and on all of them together (lonelyps, section 4.14). */
const NONE = Buffer.alloc(0)

async function subscribed(t: TestContext, port: number, ...topics: string[]): Promise<SocketClient> {
  const client = await connectSocket(t, port)
  for (const topic of topics) {
    client.subscribe('exact', topic)
    await client.next('confirm_subscribe_exact')
  }
  return client
}

/** A hub with a webhook on "hook" that answers when it is told to. */
async function openHanging(t: TestContext) {
  const hub = await startServer(t, { dataDir: temporaryFolder(t), allowPrivate: true, toBroadcastersAuth: 'none' })
  const receiver = await openReceiver(t, { manual: true })
  await createClient(hub.port).subscribe('exact', receiver.url(), 'hook')
  return { hub, receiver }
}

suite('while a webhook keeps the answer to a NOTIFY waiting', () => {
  test('messages and acknowledgements of that very socket flow on, its own NOTIFY among them', async (t) => {
    const { hub, receiver } = await openHanging(t)
    const client = await subscribed(t, hub.port, 'own', 'hook')
    const first = client.notify('hook', 'waits')
    const call = await receiver.inbox.next()
    client.acknowledge(await client.next('receive_stream'))
    const second = client.notify('own', '0')
    for (let i = 0; i < 20; i++) {
      const part = await client.next('receive_stream')
      assert.equal(part.body.toString(), `${i}`)
      client.acknowledge(part)
      await hub.hub.publish('own', `${i + 1}`)
    }
    assert.equal((await client.next('receive_stream')).body.toString(), '20')
    call.confirm()
    assert.deepEqual([await client.next('confirm_notify'), await client.next('confirm_notify')].map(({ identifier, subscribers }) => [identifier, subscribers]), [[first, 2], [second, 1]])
  })

  test('answers wait for it in the order of their requests, whatever each is', async (t) => {
    const { hub, receiver } = await openHanging(t)
    const client = await subscribed(t, hub.port, 'old')
    client.notify('hook', 'waits')
    const call = await receiver.inbox.next()
    client.subscribe('glob', 'g*')
    client.notifyParts('x', Buffer.alloc(2_000), 1_000)
    client.unsubscribe('exact', 'old')
    client.subscribe('exact', 'old')
    client.notify('x', 'y')
    // Nothing of that is answered, though the hub has read it: it has taken a message of the same socket.
    const page = await connect(t, `${hub.ws}/seen`)
    client.notify('seen', 'seen')
    assert.equal(await page.next(), 'seen')
    assert.deepEqual(client.inbox.taken(), [])
    call.confirm()
    const types = (await client.inbox.take(8)).map(({ type }) => type)
    assert.deepEqual(types, ['confirm_notify', 'confirm_subscribe_glob', 'continue_notify', 'confirm_notify', 'confirm_unsubscribe_exact', 'confirm_subscribe_exact', 'confirm_notify', 'confirm_notify'])
  })

  test('no message of a topic comes before the confirmation of its subscription, and every one after it', async (t) => {
    const { hub, receiver } = await openHanging(t)
    const client = await subscribed(t, hub.port)
    client.notify('hook', 'waits')
    const call = await receiver.inbox.next()
    client.subscribe('exact', 'late')
    const got: string[] = []
    for (let i = 0; i < 200; i++) {
      if (i === 50) call.confirm()
      await hub.hub.publish('late', `${i}`)
      if (i % 10 === 0) await new Promise(setImmediate)
    }
    await client.next('confirm_notify')
    await client.next('confirm_subscribe_exact')
    await hub.hub.publish('late', '200')
    while (got.at(-1) !== '200') {
      const part = await client.next('receive_stream')
      got.push(part.body.toString())
      client.acknowledge(part)
    }
    assert.deepEqual(got, got.map((_, i) => `${201 - got.length + i}`))
    assert.ok(got.length < 151, `${got.length} came`)
  })
})

test('five thousand requests in a row, far more than may be unanswered, are answered and delivered in their order', async (t) => {
  const hub = await startServer(t, { dataDir: temporaryFolder(t), maxUnanswered: 100 })
  const [client, publisher] = [await subscribed(t, hub.port, 'a'), await subscribed(t, hub.port)]
  const identifiers = Array.from({ length: 5_000 }, (_, i) => publisher.notify('a', `${i}`))
  for (let i = 0; i < identifiers.length; i++) {
    const part = await client.next('receive_stream')
    assert.equal(part.body.toString(), `${i}`)
    client.acknowledge(part)
  }
  for (const identifier of identifiers) assert.deepEqual((await publisher.next('confirm_notify')).identifier, identifier)
})

for (const [how, say] of [
  ['NOTIFY', (client) => client.notify('a', 'x'.repeat(3_000))],
  ['NOTIFY in parts', (client) => client.notifyParts('a', Buffer.from('x'.repeat(3_000)), 1_000)],
] as const satisfies readonly [string, (client: SocketClient) => Buffer][]) {
  for (const spoolAbove of [1_000, undefined]) {
    test(`${how} and a close right behind it is delivered${spoolAbove === undefined ? '' : ', by way of the disk'}`, async (t) => {
      const hub = await startServer(t, { dataDir: temporaryFolder(t), ...(spoolAbove !== undefined && { spoolAbove }) })
      const [client, publisher] = [await subscribed(t, hub.port, 'a'), await subscribed(t, hub.port)]
      say(publisher)
      publisher.ws.close()
      assert.equal((await client.next('receive_stream')).body.toString(), 'x'.repeat(3_000))
      // Without a code, as it was said to the hub.
      assert.equal(await publisher.closed, 1005)
    })
  }
}

test('one that wants a topic by its name and by two globs gets a message once, and counts once', async (t) => {
  const hub = await startServer(t, { dataDir: temporaryFolder(t) })
  const client = await subscribed(t, hub.port, 'news/eu')
  for (const glob of ['news/*', '*']) {
    client.subscribe('glob', glob)
    await client.next('confirm_subscribe_glob')
  }
  for (const left of ['exact', 'glob', undefined] as const) {
    client.notify('news/eu', 'x')
    const [one, two] = await client.inbox.take(2)
    assert.deepEqual([one?.type, two?.type].sort(), ['confirm_notify', 'receive_stream'])
    const [part, confirmed] = one?.type === 'receive_stream' ? [one, two] : [two, one]
    assert.ok(part?.type === 'receive_stream' && confirmed?.type === 'confirm_notify')
    assert.equal(confirmed.subscribers, 1)
    client.acknowledge(part)
    if (left === 'exact') client.unsubscribe('exact', 'news/eu')
    if (left === 'glob') client.unsubscribe('glob', '*')
    if (left !== undefined) await client.next(`confirm_unsubscribe_${left}`)
  }
})

test('a socket, a webhook, a pinghub WebSocket and an event stream see one order, whoever publishes', async (t) => {
  const hub = await startServer(t, { dataDir: temporaryFolder(t), allowPrivate: true })
  const receiver = await openReceiver(t)
  await createClient(hub.port).subscribe('exact', receiver.url(), 'a')
  const [socket, page, stream] = [await subscribed(t, hub.port, 'a'), await connect(t, `${hub.ws}/a`), await openStream(t, `${hub.url}/a`)]
  const publishers = [await subscribed(t, hub.port), await subscribed(t, hub.port)]
  const all = 90
  const posting = (async () => {
    for (let i = 0; i < 30; i++) assert.equal((await createClient(hub.port).notify('a', `http ${i}`)).status, 200)
  })()
  for (let i = 0; i < 30; i++) {
    for (const [n, publisher] of publishers.entries()) publisher.notify('a', `socket ${n} ${i}`)
    await new Promise(setImmediate)
  }
  const order: string[] = []
  while (order.length < all) {
    const part = await socket.next('receive_stream')
    order.push(part.body.toString())
    socket.acknowledge(part)
  }
  await posting
  assert.equal(new Set(order).size, all)
  assert.deepEqual((await receiver.inbox.take(all)).map(({ message }) => message.toString()), order)
  assert.deepEqual((await page.inbox.take(all)).map(({ data }) => data), order)
  assert.deepEqual((await stream.inbox.take(all)).map(({ data }) => data), order)
})

const PUBLIC = 'http://hub.example'
/** As another broadcaster says it. */
async function sayMissed(port: number, topic: string): Promise<void> {
  const bytes = Buffer.from(topic)
  const proof = sign('hmac', claims.missed({ url: `${PUBLIC}/v1/missed_for_websockets`, topic: bytes, tracing: NONE }), Date.now(), 'subscribers')
  assert.equal((await post(port, '/v1/missed_for_websockets', encodeMissed({ topic: bytes, tracing: NONE }), proof, { Host: 'hub.example' })).status, 200)
}

test('that something was missed is told to the sockets that want the topic, once each, and to no other', async (t) => {
  const company = await openCompany(t, { publicUrl: PUBLIC }, 'hmac')
  const [byName, byGlob, other, gone] = [await company.connect(), await company.connect(), await company.connect(), await company.connect()]
  const wants = [[byName, 'exact', 'a/b'], [byName, 'glob', 'a/*'], [byGlob, 'glob', '*/b'], [other, 'exact', 'a'], [other, 'glob', 'b*'], [gone, 'exact', 'a/b']] as const
  for (const [client, kind, target] of wants) {
    client.subscribe(kind, target)
    await client.next(`confirm_subscribe_${kind}`)
  }
  gone.unsubscribe('exact', 'a/b')
  await gone.next('confirm_unsubscribe_exact')
  await sayMissed(company.port, 'a/b')
  for (const client of [byName, byGlob]) assert.equal((await client.next('missed')).topic.toString(), 'a/b')
  for (const client of [byName, byGlob, other, gone]) {
    client.subscribe('exact', 'nothing came before')
    await client.next('confirm_subscribe_exact')
  }
})

test('that something was missed is never said between the parts of a message', async (t) => {
  const company = await openCompany(t, { publicUrl: PUBLIC, maxPartBytes: 1_024, maxUnacknowledged: 2 }, 'hmac')
  const client = await company.connect()
  client.subscribe('exact', 'a')
  await client.next('confirm_subscribe_exact')
  await company.server.hub.publish('a', 'x'.repeat(3_500))
  const parts = [await client.next('receive_stream'), await client.next('receive_stream')]
  await sayMissed(company.port, 'a')
  const count = 5
  for (let i = 0; i < count; i++) {
    client.acknowledge(parts[i] as (typeof parts)[0], i < count - 1 ? 'earlier' : 'last')
    if (parts.length < count) parts.push(await client.next('receive_stream'))
  }
  assert.deepEqual([parts.map(({ part }) => part), Buffer.concat(parts.map(({ body }) => body)).length], [[0, 1, 2, 3, 4], 3_500])
  assert.equal((await client.next('missed')).topic.toString(), 'a')
})

test('a hub that goes says goodbye to sockets for which messages wait, and does not wait for them', async (t) => {
  const hub = await startServer(t, { dataDir: temporaryFolder(t) })
  const client = await subscribed(t, hub.port, 'a')
  for (let i = 0; i < 10; i++) await hub.hub.publish('a', `${i}`)
  await hub.close()
  assert.equal(await client.closed, 1000)
  assert.deepEqual(client.inbox.taken().map((part) => part.type === 'receive_stream' && part.body.toString()), ['0', '1', '2'])
})
