import assert from 'node:assert/strict'
import { createHash, randomBytes } from 'node:crypto'
import { createServer, type RequestListener } from 'node:http'
import { createServer as createTcpServer, type AddressInfo } from 'node:net'
import { test, type TestContext } from 'node:test'
import { UNSUBSCRIBE_IMMEDIATE } from '../../src/protocol/lonelyps/responses.ts'
import type { Config } from '../../src/index.ts'
import { temporaryFolder } from '../support/certificates.ts'
import { createInbox, until } from '../support/events.ts'
import { createClient, openReceiver } from '../support/lonelyps.ts'
import { startServer } from '../support/server.ts'

async function open(t: TestContext, config: Config = {}) {
  const dataDir = temporaryFolder(t)
  const hub = await startServer(t, { dataDir, allowPrivate: true, ...config })
  const metric = async (name: string): Promise<number> => {
    const line = (await (await fetch(`${hub.url}/_/metrics`)).text()).split('\n').find((one) => one.startsWith(`${name} `) || one.startsWith(`${name}{`))
    return Number(line?.split(' ').at(-1) ?? Number.NaN)
  }
  return { hub, dataDir, client: createClient(hub.port), metric }
}

async function serve(t: TestContext, listener: RequestListener, host = '127.0.0.1'): Promise<string> {
  const server = createServer(listener)
  await new Promise<void>((resolve) => server.listen(0, host, resolve))
  t.after(() => {
    server.close()
    server.closeAllConnections()
  })
  return `http://${host}:${(server.address() as AddressInfo).port}`
}

/** An address where nobody listens. */
async function nobody(): Promise<string> {
  const server = createTcpServer()
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo
  await new Promise((resolve) => server.close(resolve))
  return `http://127.0.0.1:${port}/`
}

test('however late its answers are, a registration gets the messages of a topic in their order', async (t) => {
  const { hub, client } = await open(t)
  const receiver = await openReceiver(t, { manual: true })
  await client.subscribe('exact', receiver.url(), 'a')
  for (let i = 0; i < 20; i++) await hub.hub.publish('a', `m${i}`)
  for (let i = 0; i < 20; i++) {
    const one = await receiver.inbox.next()
    assert.equal(one.message.toString(), `m${i}`)
    assert.deepEqual(receiver.inbox.taken(), [])
    setImmediate(() => one.confirm())
  }
})

test('a handler of one topic may wait for a notify on another topic of the same url', async (t) => {
  const { client } = await open(t)
  const receiver = await openReceiver(t, { manual: true })
  for (const topic of ['a', 'b']) await client.subscribe('exact', receiver.url(), topic)
  const outer = client.notify('a', 'outer')
  const first = await receiver.inbox.next()
  const inner = client.notify('b', 'inner')
  ;(await receiver.inbox.next()).confirm()
  assert.equal((await inner).subscribers, 1)
  assert.equal((await client.unsubscribe('exact', receiver.url(), 'b')).status, 200)
  first.confirm()
  assert.equal((await outer).subscribers, 1)
})

test('a registration that unsubscribes gets nothing of what still waited for it', async (t) => {
  const { hub, client } = await open(t)
  const receiver = await openReceiver(t, { manual: true })
  await client.subscribe('exact', receiver.url(), 'a')
  for (let i = 0; i < 5; i++) await hub.hub.publish('a', `m${i}`)
  const first = await receiver.inbox.next()
  await client.unsubscribe('exact', receiver.url(), 'a')
  first.confirm()
  await client.subscribe('exact', receiver.url(), 'a')
  await hub.hub.publish('a', 'new')
  assert.equal((await receiver.inbox.next()).message.toString(), 'new')
})

test('an answer of type 10 ends exactly its registration, counts nothing, and nothing of what waited follows', async (t) => {
  const { hub, client, metric } = await open(t)
  const receiver = await openReceiver(t, { manual: true })
  await client.subscribe('exact', receiver.url(), 'a', receiver.url('/recover'))
  await client.subscribe('glob', receiver.url('/glob'), 'a*')
  const notified = client.notify('a', '1')
  const both = await receiver.inbox.take(2)
  for (let i = 0; i < 3; i++) await hub.hub.publish('a', 'more')
  for (const one of both) {
    if (one.path === '/receive') one.response.writeHead(403).end(UNSUBSCRIBE_IMMEDIATE)
    else one.confirm()
  }
  assert.equal((await notified).subscribers, 1)
  for (let i = 0; i < 3; i++) {
    const one = await receiver.inbox.next()
    assert.equal(one.path, '/glob')
    one.confirm()
  }
  await until(async () => (await metric('waystation_registrations')) === 1, 'the registration goes')
  assert.equal((await client.unsubscribe('exact', receiver.url(), 'a')).status, 409)
  assert.equal((await client.unsubscribe('glob', receiver.url('/glob'), 'a*')).status, 200)
})

test('urls that hang, are dead, or answer without an end delay nobody else, not at their own host either', async (t) => {
  const { hub, client } = await open(t, { maxWebhooksPerHost: 4 })
  const inbox = createInbox<string>('message')
  const host = await serve(t, (request, response) => {
    request.resume()
    if (request.url === '/hangs') return
    if (request.url === '/endless') {
      const more = (): void => {
        if (!response.destroyed) setTimeout(() => response.write('x', more), 5)
      }
      return void response.write('x', more)
    }
    inbox.push(request.url ?? '')
    response.end(Buffer.from('00080000000000000000', 'hex'))
  })
  const other = await openReceiver(t)
  const dead = await nobody()
  for (const url of [`${host}/hangs`, `${host}/endless`, dead]) for (const topic of ['a', 'b', 'c', 'd']) await client.subscribe('exact', url, topic)
  await client.subscribe('exact', `${host}/good`, 'd')
  await client.subscribe('exact', other.url(), 'd')
  const began = performance.now()
  for (const topic of ['a', 'b', 'c', 'd']) await hub.hub.publish(topic, 'x')
  await other.inbox.next(1_000)
  // Eight calls of its host hang, four at once: the second four begin when the first are slow.
  assert.equal(await inbox.next(4_000), '/good')
  assert.ok(performance.now() - began < 4_500)
})

test('of a thousand registrations of a topic half hang, and the others get their messages at once', async (t) => {
  const { hub, client } = await open(t)
  const hanging = await serve(t, (request) => void request.resume())
  const receiver = await openReceiver(t)
  const entries = Array.from({ length: 1_000 }, (_, i) => (i % 2 === 0 ? hanging : receiver.url('')) + `/${i}`)
  for (const urls of [entries.slice(0, 500), entries.slice(500)]) await Promise.all(urls.map((url) => client.set(url, [{ target: Buffer.from('a'), recovery: undefined }], [])))
  const began = performance.now()
  await hub.hub.publish('a', 'x')
  await receiver.inbox.take(500)
  const took = performance.now() - began
  assert.ok(took < 4_000, `${took} ms`)
})

test('a subscriber that answers after the read timeout is not counted, and is told of nothing missed (Q16)', async (t) => {
  const { client, metric } = await open(t, { webhookReadTimeout: 100, missedInterval: 100 })
  const receiver = await openReceiver(t, { manual: true })
  await client.subscribe('exact', receiver.url(), 'a', receiver.url('/recover'))
  assert.equal((await client.notify('a', '1')).subscribers, 0)
  const first = await receiver.inbox.next()
  const second = client.notify('a', '2')
  const next = await receiver.inbox.next()
  first.confirm()
  next.confirm()
  assert.equal((await second).subscribers, 1)
  await until(async () => (await metric('waystation_webhooks')) === 0, 'nothing runs')
  assert.deepEqual(receiver.missed.taken(), [])
})

test('what waits behind a call that is late is not waited for: its publishers are answered at once, and it comes all the same', async (t) => {
  const { client, metric } = await open(t, { webhookReadTimeout: 400, webhookTotalTimeout: 60_000 })
  const receiver = await openReceiver(t, { manual: true })
  await client.subscribe('exact', receiver.url(), 'a')
  const began = performance.now()
  const behind = await Promise.all(Array.from({ length: 50 }, (_, i) => client.notify('a', `${i}`)))
  // One after the other they would take 20 s.
  assert.ok(performance.now() - began < 10_000)
  assert.deepEqual(behind.map(({ subscribers }) => subscribers), Array.from({ length: 50 }, () => 0))
  for (let i = 0; i < 50; i++) (await receiver.inbox.next()).confirm()
  await until(async () => (await metric('waystation_webhooks')) === 0, 'nothing runs')
  const counted = client.notify('a', 'after')
  ;(await receiver.inbox.next()).confirm()
  assert.equal((await counted).subscribers, 1, 'it counts again')
})

test('no redirect leads to an address that is refused', async (t) => {
  const { client } = await open(t, { allowPrivate: false, allowWebhooks: ['127.0.0.2'] })
  const inside = await serve(t, () => assert.fail('the inside was reached'))
  let asked = 0
  const outside = await serve(t, (request, response) => {
    asked++
    request.resume()
    response.writeHead(307, { Location: request.url === '/there' ? '/stays' : inside }).end()
  }, '127.0.0.2')
  assert.equal((await client.subscribe('exact', `${outside}/x`, 'a')).status, 200)
  assert.equal((await client.notify('a', 'x')).subscribers, 0)
  assert.equal(asked, 1)
})

test('who missed a message is told, by another hub when the first is gone, and stays subscribed', async (t) => {
  const dataDir = temporaryFolder(t)
  const config = { dataDir, allowPrivate: true, missedInterval: 100 }
  const first = await startServer(t, config)
  const receiver = await openReceiver(t)
  const dead = await nobody()
  assert.equal((await createClient(first.port).subscribe('glob', dead, 'foo/*', receiver.url('/recover'))).status, 200)
  assert.equal((await createClient(first.port).notify('foo/bar', 'x')).subscribers, 0)
  await first.close()
  assert.deepEqual(receiver.missed.taken(), [])
  const second = await startServer(t, config)
  assert.equal(await receiver.missed.next(), 'foo/bar')
  assert.equal((await createClient(second.port).unsubscribe('glob', dead, 'foo/*')).status, 200)
})

test('a registration made through another hub on the same database gets its messages', async (t) => {
  const dataDir = temporaryFolder(t)
  const hubs = await Promise.all([1, 2].map((i) => startServer(t, { dataDir: `${dataDir}/${i}`, database: `${dataDir}/shared.db`, allowPrivate: true })))
  const [here, there] = hubs.map(({ port }) => createClient(port)) as [ReturnType<typeof createClient>, ReturnType<typeof createClient>]
  const receiver = await openReceiver(t)
  await there.subscribe('exact', receiver.url(), 'a')
  await until(async () => (await here.notify('a', 'x')).subscribers === 1, 'the other hub knows of it', 3_000)
})

const BIG = 3_000_000
test('a large body goes from the spool to three subscribers to the byte, one through a redirect, and the spool is empty then', async (t) => {
  const { client, metric } = await open(t, { spoolAbove: 65_536 })
  const receiver = await openReceiver(t)
  const moved = await serve(t, (request, response) => {
    request.resume().on('end', () => response.writeHead(307, { Location: receiver.url('/2') }).end())
  })
  const breaks = await serve(t, (request) => request.once('data', () => request.destroy()))
  await client.subscribe('exact', receiver.url('/1'), 'a')
  await client.subscribe('exact', moved, 'a')
  await client.subscribe('glob', receiver.url('/3'), 'a*')
  await client.subscribe('exact', breaks, 'a')
  const body = randomBytes(BIG)
  const sha = (bytes: Buffer): string => createHash('sha512').update(bytes).digest('base64')
  // The one behind the redirect signs for another url than ours; nothing is signed here, so it counts.
  assert.equal((await client.notify('a', body)).subscribers, 3)
  for (const one of await receiver.inbox.take(3)) assert.deepEqual([one.message.length, sha(one.message), one.digest], [BIG, sha(body), `sha-512=${sha(body)}`])
  await until(async () => (await metric('waystation_spool_bytes')) === 0, 'the spool is empty')
})

test('stopping in the middle of a large body ends it, and waits for nothing', async (t) => {
  const { hub, client } = await open(t, { spoolAbove: 65_536, drainTime: 100 })
  const begun = Promise.withResolvers<void>()
  const stuck = await serve(t, (request) => {
    request.once('data', () => {
      request.pause()
      begun.resolve()
    })
  })
  await client.subscribe('exact', stuck, 'a')
  const notified = client.notify('a', randomBytes(BIG)).catch(() => undefined)
  await begun.promise
  await hub.close()
  await notified
})

test('a stop lets what is on its way end, within the drain time', async (t) => {
  const { hub, client } = await open(t)
  const receiver = await openReceiver(t, { manual: true })
  await client.subscribe('exact', receiver.url(), 'a')
  await hub.hub.publish('a', '1')
  await hub.hub.publish('a', '2')
  const first = await receiver.inbox.next()
  const closing = hub.close()
  first.confirm()
  const second = await receiver.inbox.next()
  assert.equal(second.message.toString(), '2')
  second.confirm()
  await closing
})

test('a stop that meets a hanging url keeps the message as missed', async (t) => {
  const dataDir = temporaryFolder(t)
  const config = { dataDir, allowPrivate: true, missedInterval: 100 }
  const first = await startServer(t, config)
  const receiver = await openReceiver(t, { manual: true })
  await createClient(first.port).subscribe('exact', receiver.url(), 'a', receiver.url('/recover'))
  await first.hub.publish('a', 'x')
  await receiver.inbox.next()
  await first.close(AbortSignal.abort())
  await startServer(t, config)
  assert.equal(await receiver.missed.next(), 'a')
})
