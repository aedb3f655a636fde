import assert from 'node:assert/strict'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { test, type TestContext } from 'node:test'
import { buffer } from 'node:stream/consumers'
import { buildConnector } from 'undici'
import type { Registry } from '../../src/core/registry.ts'
import { parseMissed, type Entry } from '../../src/protocol/lonelyps/requests.ts'
import { encodeConfirmMissed } from '../../src/protocol/lonelyps/responses.ts'
import { strongEtag } from '../../src/protocol/lonelyps/strong-etag.ts'
import { createManualClock } from '../../src/testing/index.ts'
import type { Config } from '../../src/index.ts'
import { temporaryFolder } from '../support/certificates.ts'
import { until } from '../support/events.ts'
import { createClient, openReceiver } from '../support/lonelyps.ts'
import { openWorld } from '../support/lonelyps-world.ts'
import { startServer } from '../support/server.ts'
import { openStream } from '../support/sse.ts'
import { connect } from '../support/websocket.ts'

/* Faults of the original (lonelyps, section 10), each by its number: none of them is here. */

const NONE = Buffer.alloc(0)
const DEAD = 'http://127.0.0.1:9/receive'

async function open(t: TestContext, config: Config = {}) {
  const hub = await startServer(t, { dataDir: temporaryFolder(t), allowPrivate: true, ...config })
  return { hub, client: createClient(hub.port) }
}

for (const count of [16, 17, 20, 32, 33]) {
  test(`Q3: ${count} topics and globs that are set twice all stay`, async (t) => {
    const { client } = await open(t)
    const receiver = await openReceiver(t)
    const entry = (name: string): Entry => ({ target: Buffer.from(name), recovery: undefined })
    const topics = Array.from({ length: count }, (_, i) => entry(`t/${i}`))
    const globs = Array.from({ length: count }, (_, i) => entry(`g${i}/*`))
    for (let time = 1; time <= 3; time++) {
      assert.equal((await client.set(receiver.url(), topics, globs)).status, 200)
      assert.ok((await client.check(receiver.url())).body.includes(strongEtag(receiver.url(), topics, globs)), `after time ${time}`)
    }
    const names = [...topics.map(({ target }) => target.toString()), ...globs.map((_, i) => `g${i}/x`)]
    for (const name of names) assert.equal((await client.notify(name, 'x')).subscribers, 1, name)
    assert.deepEqual((await receiver.inbox.take(names.length)).map(({ topic }) => topic), names)
  })
}

test('Q6: a WebSocket and an event stream get a message once, whatever else is registered for its topic', async (t) => {
  const { hub, client } = await open(t)
  const receivers = [await openReceiver(t), await openReceiver(t)] as const
  for (const { url } of receivers) {
    assert.equal((await client.subscribe('exact', url(), 'news/eu')).status, 200)
    assert.equal((await client.subscribe('glob', url('/glob'), 'news/*')).status, 200)
  }
  const sockets = [await connect(t, `${hub.ws}/news/eu`), await connect(t, `${hub.ws}/news/eu`)]
  const streams = [
    await openStream(t, `${hub.url}/news/eu`),
    await openStream(t, `${hub.url}/_/sse?topic=news/eu&topic=news/*&topic=*/eu&topic=news/eu`),
  ]
  const webhooks = 2 * receivers.length
  for (const text of ['first', 'last']) {
    assert.equal((await client.notify('news/eu', text)).subscribers, webhooks + sockets.length + streams.length)
  }
  for (const socket of sockets) {
    assert.deepEqual([await socket.next(), await socket.next()], ['first', 'last'])
    assert.deepEqual(socket.inbox.taken(), [])
  }
  for (const stream of streams) {
    assert.deepEqual((await stream.inbox.take(2)).map(({ data }) => data), ['first', 'last'])
    assert.deepEqual(stream.inbox.taken(), [])
  }
  for (const { inbox } of receivers) {
    const got = (await inbox.take(4)).map(({ path, message }) => `${path} ${message.toString()}`)
    assert.deepEqual(got.sort(), ['/glob first', '/glob last', '/receive first', '/receive last'])
    assert.deepEqual(inbox.taken(), [])
  }
})

test('Q10: a glob delivers whatever SQLite makes of it: the topic is neither cut at a NUL nor compared as a blob', async (t) => {
  const { client } = await open(t)
  const receiver = await openReceiver(t)
  const cases: readonly (readonly [glob: string, topic: string | Buffer, subscribers: number])[] = [
    ['foo/*', 'foo/bar', 1],
    ['foo/*', 'foo/\0/bar', 1],
    ['n?l', 'n\0l', 1],
    // SQLite stops at the NUL, and would deliver.
    ['cut', 'cut\0more', 0],
    ['end*x', 'endx\0y', 0],
    ['o?e', 'o\u{1f600}e', 1],
    ['[à-ü]/*', 'é/1', 1],
    // No text: SQLite takes it for one.
    ['bytes/*', Buffer.from('62797465732fc328', 'hex'), 0],
    ['UPPER', 'upper', 0],
  ]
  for (const glob of new Set(cases.map(([one]) => one))) assert.equal((await client.subscribe('glob', receiver.url(), glob)).status, 200)
  for (const [glob, topic, subscribers] of cases) {
    assert.equal((await client.notify(topic, 'x')).subscribers, subscribers, JSON.stringify([glob, topic]))
    if (subscribers === 1) assert.equal((await receiver.inbox.next()).topic, topic.toString())
  }
  assert.deepEqual(receiver.inbox.taken(), [])
})

/** A recovery url that refuses what it is told as often as stated, and then confirms. */
async function openRecovery(t: TestContext, refusals: number): Promise<{ url: string; told: string[] }> {
  const told: string[] = []
  const server = createServer((message, response) => {
    void buffer(message).then((body) => {
      told.push(parseMissed(body)?.topic.toString() ?? '?')
      if (told.length <= refusals) response.writeHead(500).end()
      else response.end(encodeConfirmMissed('', NONE))
    })
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  t.after(() => {
    server.close()
    server.closeAllConnections()
  })
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/recover`, told }
}

test('Q11: a notice is sent when it is due, again after growing pauses until it is confirmed, and the subscription stays', async (t) => {
  const clock = createManualClock()
  let sweeps = 0
  let busy = 0
  const around = (registry: Registry): Registry => ({
    ...registry,
    async postpone(...given) {
      busy++
      return registry.postpone(...given).finally(() => busy--)
    },
    async claim(...given) {
      const due = await registry.claim(...given)
      busy += due.length
      if (due.length === 0) sweeps++
      return due
    },
    settle: (...given) => registry.settle(...given).finally(() => busy--),
  })
  const none = { type: 'none' } as const
  const world = await openWorld(t, { clock, toBroadcasters: none, toSubscribers: none, limits: { missedInterval: 10 }, around, connector: buildConnector({}) })
  const client = createClient(world.port)
  const ready = await openRecovery(t, 0)
  const slow = await openRecovery(t, 4)
  const never = await openRecovery(t, Infinity)
  for (const { url } of [ready, slow, never]) assert.equal((await client.subscribe('glob', `${DEAD}?${url}`, 'a/*', url)).status, 200)
  assert.equal((await client.notify('a/b', 'x')).subscribers, 0)

  /** What was due has come to its end, and further looks found nothing. */
  const looked = async (): Promise<void> => {
    const before = sweeps
    await until(() => sweeps > before + 1 && busy === 0, 'looks')
    const after = sweeps
    await until(() => sweeps > after + 1 && busy === 0, 'looks at nothing')
  }
  const pass = async (ms: number): Promise<number[]> => {
    clock.adjust(ms)
    await looked()
    return [ready, slow, never].map(({ told }) => told.length)
  }
  await looked()
  assert.deepEqual(await pass(1_999), [0, 0, 0])
  assert.deepEqual(await pass(1), [1, 1, 1])
  // 2^k + 1 seconds: chance adds nothing here.
  let sent = 1
  for (const pause of [3, 5, 9, 17, 33]) {
    assert.deepEqual(await pass(pause * 1_000 - 1), [1, Math.min(sent, 5), sent], `before ${pause} s`)
    sent++
    assert.deepEqual(await pass(1), [1, Math.min(sent, 5), sent], `after ${pause} s`)
  }
  for (; sent < 20; sent++) await pass(1_100_000)
  assert.deepEqual(await pass(1_100_000), [1, 5, 20], 'twenty times and no more')
  assert.deepEqual(new Set([ready, slow, never].flatMap(({ told }) => told)), new Set(['a/b']))
  for (const { url } of [ready, slow, never]) assert.equal((await client.unsubscribe('glob', `${DEAD}?${url}`, 'a/*')).status, 200)
  assert.deepEqual(world.failures, [])
})

test('Q16: who confirms late is not counted, but has missed nothing and is told of nothing', async (t) => {
  const { hub, client } = await open(t, { webhookReadTimeout: 50, missedInterval: 20 })
  const receiver = await openReceiver(t, { manual: true })
  const silent = await openReceiver(t, { manual: true })
  assert.equal((await client.subscribe('exact', receiver.url(), 'a', receiver.url('/recover'))).status, 200)
  assert.equal((await client.notify('a', 'x')).subscribers, 0)
  ;(await receiver.inbox.next()).confirm()
  const metrics = async (): Promise<string> => (await fetch(`${hub.url}/_/metrics`)).text()
  await until(async () => /^waystation_webhooks\{state="running"\} 0$/m.test(await metrics()), 'the late answer')
  // One that is late and then refuses has missed it. Its notice is written after the other's would have been, and comes later.
  assert.equal((await client.subscribe('exact', silent.url(), 'b', silent.url('/recover'))).status, 200)
  assert.equal((await client.notify('b', 'x')).subscribers, 0)
  ;(await silent.inbox.next()).response.writeHead(500).end()
  assert.equal(await silent.missed.next(), 'b')
  assert.equal((await client.check(receiver.url())).status, 200)
  assert.equal((await client.unsubscribe('exact', receiver.url(), 'a')).status, 200, 'it stays subscribed')
  assert.deepEqual(receiver.missed.taken(), [])
})
