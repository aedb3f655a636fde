import assert from 'node:assert/strict'
import { createServer } from 'node:http'
import { createServer as createTcpServer, type AddressInfo, type Socket } from 'node:net'
import { test, type TestContext } from 'node:test'
import type { Config } from '../../src/index.ts'
import { temporaryFolder } from '../support/certificates.ts'
import { until } from '../support/events.ts'
import { createClient, openReceiver } from '../support/lonelyps.ts'
import { startServer } from '../support/server.ts'

/* What subscribers that hang, and those who register them, may cost. */

async function open(t: TestContext, config: Config = {}) {
  const hub = await startServer(t, { dataDir: temporaryFolder(t), allowPrivate: true, ...config })
  return { hub, client: createClient(hub.port) }
}

/** A server that takes every request and answers none, or a byte of an answer now and then, and says how many it has. */
async function openHole(t: TestContext, drips?: 'drips'): Promise<{ url: string; running(): number; most(): number }> {
  let running = 0
  let most = 0
  const server = createServer((request, response) => {
    request.resume()
    most = Math.max(most, ++running)
    response.on('close', () => running--)
    if (drips === undefined) return
    const timer = setInterval(() => response.write('x'), 50)
    response.on('close', () => clearInterval(timer))
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  t.after(() => {
    server.close()
    server.closeAllConnections()
  })
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, running: () => running, most: () => most }
}

test('maxWebhooks: no more run at once, whoever hangs; and late ones give way to those who wait', async (t) => {
  const { hub, client } = await open(t, { maxWebhooks: 4, webhookReadTimeout: 300 })
  const hole = await openHole(t)
  const receiver = await openReceiver(t)
  for (let i = 0; i < 6; i++) await client.subscribe('exact', `${hole.url}/${i}`, 'a')
  await client.subscribe('exact', receiver.url(), 'a')
  await hub.hub.publish('a', 'x')
  await until(() => hole.running() === 4, 'four run')
  await receiver.inbox.next(5_000)
  assert.equal(hole.most(), 4)
})

test('maxWebhooks: those who answer byte by byte are late too, and keep nobody waiting then', async (t) => {
  const { hub, client } = await open(t, { maxWebhooks: 4, webhookReadTimeout: 300 })
  const hole = await openHole(t, 'drips')
  const receiver = await openReceiver(t)
  for (let i = 0; i < 4; i++) await client.subscribe('exact', `${hole.url}/${i}`, 'evil')
  await client.subscribe('exact', receiver.url(), 'good')
  await hub.hub.publish('evil', 'x')
  await until(() => hole.running() === 4, 'four run')
  const began = performance.now()
  for (let i = 0; i < 3; i++) assert.equal((await client.notify('good', 'x')).subscribers, 1)
  assert.ok(performance.now() - began < 5_000, 'long before the total time')
})

test('maxWebhooksPerHost: one host has no more than these at once until they are slow, and others do not wait for it', async (t) => {
  const { hub, client } = await open(t, { maxWebhooksPerHost: 2 })
  const hole = await openHole(t)
  const receiver = await openReceiver(t)
  for (let i = 0; i < 6; i++) await client.subscribe('exact', `${hole.url}/${i}`, 'a')
  await client.subscribe('exact', receiver.url(), 'a')
  const began = performance.now()
  await hub.hub.publish('a', 'x')
  await receiver.inbox.next()
  await until(() => hole.running() === 6, 'all six run')
  assert.ok(performance.now() - began > 200, 'two by two, each pair when the one before is slow')
})

test('maxWebhookQueue: messages beyond it are missed at once, and its topic goes on for the others', async (t) => {
  const { hub, client } = await open(t, { maxWebhookQueue: 2, missedInterval: 100 })
  const receiver = await openReceiver(t, { manual: true })
  const other = await openReceiver(t)
  await client.subscribe('exact', receiver.url(), 'a', receiver.url('/recover'))
  await client.subscribe('exact', other.url(), 'a')
  for (let i = 0; i < 5; i++) {
    await hub.hub.publish('a', `m${i}`)
    await other.inbox.next()
  }
  assert.equal(await receiver.missed.next(), 'a')
  for (const expected of ['m0', 'm1', 'm2']) {
    const one = await receiver.inbox.next()
    assert.equal(one.message.toString(), expected)
    one.confirm()
  }
  await hub.hub.publish('a', 'last')
  assert.equal((await receiver.inbox.next()).message.toString(), 'last')
})

test('maxWebhookBytes: messages beyond it are missed at once, and what one url keeps waiting takes nothing from the others', async (t) => {
  const { hub, client } = await open(t, { maxWebhookBytes: 400_000 })
  const receiver = await openReceiver(t, { manual: true })
  const other = await openReceiver(t)
  await client.subscribe('exact', receiver.url(), 'a')
  await client.subscribe('exact', other.url(), 'b')
  const big = 'x'.repeat(20_000)
  for (let i = 0; i < 60; i++) await hub.hub.publish('a', big)
  assert.equal((await client.notify('b', 'y'.repeat(100_000))).subscribers, 1)
  let got = 0
  for (;; got++) {
    const one = await receiver.inbox.next(500).catch(() => undefined)
    if (one === undefined) break
    one.confirm()
  }
  assert.ok(got >= 1 && got <= 3, `${got}`)
  assert.equal((await client.notify('b', 'y'.repeat(500_000))).subscribers, 0)
})

test('maxWebhookBytes: one host that hangs, with ever so many registrations, leaves room for the others', async (t) => {
  const { hub, client } = await open(t, { maxWebhookBytes: 400_000 })
  const hole = await openHole(t)
  const receiver = await openReceiver(t)
  const topics = Array.from({ length: 10 }, (_, i) => `evil/${i}`)
  for (const topic of topics) await client.subscribe('exact', `${hole.url}/r`, topic)
  await client.subscribe('exact', receiver.url(), 'good')
  for (let i = 0; i < 10; i++) for (const topic of topics) await hub.hub.publish(topic, 'x'.repeat(10_000))
  for (let i = 0; i < 5; i++) assert.equal((await client.notify('good', 'y'.repeat(60_000))).subscribers, 1)
  for (let i = 0; i < 100; i++) for (const topic of topics) await hub.hub.publish(topic, '')
  assert.equal((await client.notify('good', 'y'.repeat(60_000))).subscribers, 1)
})

test('webhookConnectTimeout: a peer that never finishes the TLS handshake has no more time than this', async (t) => {
  const sockets: Socket[] = []
  const server = createTcpServer((socket) => void sockets.push(socket.on('error', () => {})))
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  t.after(() => {
    server.close()
    for (const socket of sockets) socket.destroy()
  })
  const url = `https://127.0.0.1:${(server.address() as AddressInfo).port}/`
  const { client } = await open(t, { webhookConnectTimeout: 100 })
  await client.subscribe('exact', url, 'a')
  const began = performance.now()
  assert.equal((await client.notify('a', 'x')).subscribers, 0)
  assert.ok(performance.now() - began < 4_500, 'sooner than the read timeout')
})

test('webhookReadTimeout: a publisher waits no longer for a silent url, and longer when it is set so', async (t) => {
  const { client } = await open(t, { webhookReadTimeout: 100 })
  const hole = await openHole(t)
  await client.subscribe('exact', hole.url, 'a')
  const began = performance.now()
  assert.equal((await client.notify('a', 'x')).subscribers, 0)
  assert.ok(performance.now() - began < 4_000)
  assert.equal(hole.running(), 1, 'the call itself goes on')
  const patient = await open(t, { webhookReadTimeout: 10_000 })
  const receiver = await openReceiver(t, { manual: true })
  await patient.client.subscribe('exact', receiver.url(), 'a')
  const notified = patient.client.notify('a', 'x')
  const one = await receiver.inbox.next()
  setTimeout(() => one.confirm(), 600)
  assert.equal((await notified).subscribers, 1)
})

test('webhookTotalTimeout: a call that only trickles ends there', async (t) => {
  const { client } = await open(t, { webhookTotalTimeout: 300 })
  let ended = false
  const server = createServer((request, response) => {
    request.resume()
    const timer = setInterval(() => response.write('x'), 20)
    response.on('close', () => {
      ended = true
      clearInterval(timer)
    })
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  t.after(() => server.close())
  await client.subscribe('exact', `http://127.0.0.1:${(server.address() as AddressInfo).port}/`, 'a')
  assert.equal((await client.notify('a', 'x')).subscribers, 0)
  await until(() => ended, 'the connection ends')
})

test('missedInterval: a recovery url is told at the next look after its delay, not in a burst', async (t) => {
  const { hub, client } = await open(t, { missedInterval: 50 })
  const receiver = await openReceiver(t)
  await client.subscribe('exact', 'http://127.0.0.1:9/', 'a', receiver.url('/recover'))
  const began = performance.now()
  for (let i = 0; i < 50; i++) await hub.hub.publish('a', 'x')
  assert.equal(await receiver.missed.next(), 'a')
  assert.ok(performance.now() - began > 1_900)
  assert.deepEqual(receiver.missed.taken(), [])
})
