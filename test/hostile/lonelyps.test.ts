import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { existsSync, readdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { test, type TestContext } from 'node:test'
import { encodeNotifyPrefix, encodeSet, encodeSubscribe, inOrder, type Entry } from '../../src/protocol/lonelyps/requests.ts'
import { strongEtag } from '../../src/protocol/lonelyps/strong-etag.ts'
import type { Config } from '../../src/index.ts'
import { realClock } from '../../src/server/real-world.ts'
import { temporaryFolder } from '../support/certificates.ts'
import { until } from '../support/events.ts'
import { createClient, notifyBody, openReceiver, post, schemes } from '../support/lonelyps.ts'
import { raw } from '../support/raw.ts'
import { startServer } from '../support/server.ts'

/*
 * Bad bodies, lies about lengths, full disks and locked databases: a clear status, nothing delivered, nothing registered,
 * nothing left on disk. Signatures are in lonelyps-signatures.test.ts.
 */
const NONE = Buffer.alloc(0)
const sha512 = (bytes: string | Buffer): Buffer => createHash('sha512').update(bytes).digest()

async function open(t: TestContext, config: Config = {}) {
  const dataDir = temporaryFolder(t)
  const server = await startServer(t, { allowPrivate: true, spoolAbove: 1_000, dataDir, ...config })
  const { cursor } = server.hub
  const gauge = async (name: string): Promise<number> => {
    const metrics = await (await fetch(`${server.url}/_/metrics`)).text()
    return Number(new RegExp(`^${name} (.*)$`, 'm').exec(metrics)?.[1])
  }
  const folder = join(dataDir, 'spool')
  return {
    server, dataDir, port: server.port, client: createClient(server.port), gauge,
    /** After whatever was refused. */
    async nothingCameOfIt(): Promise<void> {
      await until(async () => (await gauge('waystation_spool_bytes')) === 0, 'an empty spool')
      await until(() => !existsSync(folder) || readdirSync(folder).length === 0, 'an empty spool folder')
      assert.equal(await gauge('waystation_registrations'), 0)
      assert.equal(server.hub.cursor, cursor)
    },
  }
}

const head = { topic: Buffer.from('a'), identifier: Buffer.from('id'), tracing: NONE }
const notifyPrefix = (length: bigint, hash = sha512('hello')): Buffer => encodeNotifyPrefix({ ...head, sha512: hash, length })
const whole = Buffer.concat([notifyPrefix(5n), Buffer.from('hello')])
const big = Buffer.alloc(100_000, 'x')
const url = 'http://127.0.0.1:9/receive'
const subscribing = encodeSubscribe({ url, target: Buffer.from('a'), recovery: 'http://127.0.0.1:9/recover', tracing: NONE })
const entry = (name: string): Entry => ({ target: Buffer.from(name), recovery: undefined })
const set = (topics: readonly Entry[], globs: readonly Entry[] = [], etag = strongEtag(url, topics, globs)): Buffer => encodeSet({ url, etag, tracing: NONE, topics, globs })
const badText = (body: Buffer, text: string): Buffer => {
  const at = body.indexOf(text)
  assert.ok(at >= 0)
  return Buffer.from(body).fill(0xff, at, at + 1)
}
const setHead = Buffer.concat([Buffer.from([0, 0, 0, url.length]), Buffer.from(url), Buffer.from([0]), Buffer.alloc(64)])

const bodies: [what: string, path: string, body: Buffer, status: number][] = [
  ['a notify without a byte', '/v1/notify', NONE, 400],
  ['a notify that claims 2^64-1 bytes', '/v1/notify', Buffer.concat([notifyPrefix(2n ** 64n - 1n), Buffer.from('hello')]), 507],
  ['a notify that claims 2^53 bytes', '/v1/notify', Buffer.concat([notifyPrefix(2n ** 53n), Buffer.from('hello')]), 507],
  ['a small notify that claims more than there is', '/v1/notify', Buffer.concat([notifyPrefix(6n), Buffer.from('hello')]), 400],
  ['a small notify that claims less than there is', '/v1/notify', Buffer.concat([notifyPrefix(4n), Buffer.from('hello')]), 400],
  ['a small notify with another hash', '/v1/notify', Buffer.concat([notifyPrefix(5n, sha512('other')), Buffer.from('hello')]), 400],
  ['a large notify that claims more than there is', '/v1/notify', Buffer.concat([notifyPrefix(100_001n, sha512(big)), big]), 400],
  ['a large notify that claims less than there is', '/v1/notify', Buffer.concat([notifyPrefix(99_999n, sha512(big)), big]), 400],
  ['a large notify with another hash', '/v1/notify', Buffer.concat([notifyPrefix(100_000n, sha512('other')), big]), 400],
  ['a notify that claims nothing and has much', '/v1/notify', Buffer.concat([notifyPrefix(0n, sha512('')), big]), 400],
  ['a notify whose topic claims 65,535 bytes and has fewer', '/v1/notify', Buffer.concat([Buffer.from([0xff, 0xff]), big.subarray(0, 65_000)]), 400],
  ['a subscribe without a byte', '/v1/subscribe/exact', NONE, 400],
  ['a subscribe to a url that is no UTF-8', '/v1/subscribe/exact', badText(subscribing, 'http'), 400],
  ['a subscribe with a recovery url that is no UTF-8', '/v1/subscribe/exact', badText(subscribing, 'recover'), 400],
  ['a subscribe to a glob that is no UTF-8', '/v1/subscribe/glob', encodeSubscribe({ url, target: Buffer.from([0xff]), recovery: undefined, tracing: NONE }), 400],
  ['an unsubscribe of a glob that is no UTF-8', '/v1/unsubscribe/glob', encodeSubscribe({ url, target: Buffer.from([0xff]), recovery: undefined, tracing: NONE }), 400],
  ['a check of a url that is no UTF-8', '/v1/check_subscriptions', Buffer.from([0, 0, 0, 1, 0xff]), 400],
  ['a subscribe whose topic claims a byte more than there is', '/v1/subscribe/exact', Buffer.concat([Buffer.from([0, url.length]), Buffer.from(url), Buffer.from([0xff, 0xff]), Buffer.alloc(65_534, 'x')]), 400],
  ['a set without a byte', '/v1/set_subscriptions', NONE, 400],
  ['a set with another format of etag', '/v1/set_subscriptions', Buffer.from(set([])).fill(1, 4 + url.length, 5 + url.length), 400],
  ['a set whose topics are not in order', '/v1/set_subscriptions', set([entry('b'), entry('a')]), 400],
  ['a set with a topic twice', '/v1/set_subscriptions', set([entry('a'), entry('a')]), 400],
  ['a set whose globs are not in order', '/v1/set_subscriptions', set([], [entry('b'), entry('a')]), 400],
  ['a set with a glob twice', '/v1/set_subscriptions', set([], [entry('a'), entry('a')]), 400],
  ['a set with a glob that is no UTF-8', '/v1/set_subscriptions', set([], [{ target: Buffer.from([0xff]), recovery: undefined }]), 400],
  ['a set with the etag of something else', '/v1/set_subscriptions', set([entry('a')], [], strongEtag(url, [entry('b')], [])), 400],
  ['a set that claims 2^32-1 topics', '/v1/set_subscriptions', Buffer.concat([setHead, Buffer.from([0xff, 0xff, 0xff, 0xff, 0, 1, 0x61, 0, 0])]), 400],
  ['a set that claims 2^32-1 globs', '/v1/set_subscriptions', Buffer.concat([setHead, Buffer.from([0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0, 1, 0x61, 0, 0])]), 400],
]

for (const [what, path, body, status] of bodies) {
  test(`${what} is answered ${status} without a body, and nothing comes of it`, async (t) => {
    const hub = await open(t)
    const reply = await post(hub.port, path, body)
    assert.deepEqual([reply.status, reply.body.length, reply.headers['content-type']], [status, 0, undefined])
    await hub.nothingCameOfIt()
    assert.equal((await hub.client.notify('a', 'still well')).status, 200)
  })
}

for (const [what, path, body] of [
  ['notify', '/v1/notify', whole], ['subscribe', '/v1/subscribe/exact', subscribing], ['unsubscribe', '/v1/unsubscribe/glob', subscribing],
  ['check_subscriptions', '/v1/check_subscriptions', Buffer.concat([Buffer.from([0, 0, 0, url.length]), Buffer.from(url)])],
  ['set_subscriptions', '/v1/set_subscriptions', set([entry('a')], [entry('b')])],
] as const) {
  test(`a body of ${what} that is cut short at any byte is answered 400, and nothing comes of it`, async (t) => {
    const hub = await open(t)
    // Unsubscribing says no recovery url: what stands there is taken for the tracing, and the rest is of no meaning.
    const needed = what === 'unsubscribe' ? body.length - 2 : body.length
    for (let length = 0; length < needed; length++) assert.equal((await post(hub.port, path, body.subarray(0, length))).status, 400, `${length} bytes`)
    await hub.nothingCameOfIt()
  })
}

test('a topic of 65,535 bytes is a topic like any other', async (t) => {
  const hub = await open(t)
  const receiver = await openReceiver(t)
  const topic = Buffer.alloc(65_535, 'x')
  assert.equal((await hub.client.subscribe('exact', receiver.url(), topic)).status, 200)
  assert.equal((await hub.client.notify(topic, 'm')).subscribers, 1)
  assert.equal((await receiver.inbox.next()).topic.length, 65_535)
  assert.equal((await hub.client.set(receiver.url(), [{ target: topic, recovery: undefined }], [])).status, 200)
  assert.equal((await hub.client.unsubscribe('exact', receiver.url(), topic)).status, 200)
})

test('a body far beyond the largest subscribe is refused before it is held', async (t) => {
  const hub = await open(t)
  const body = Buffer.concat([subscribing, Buffer.alloc(2_000_000)])
  assert.equal((await post(hub.port, '/v1/subscribe/exact', body)).status, 413)
  assert.equal((await post(hub.port, '/v1/subscribe/exact', body, undefined, { 'Transfer-Encoding': 'chunked' })).status, 413)
  await hub.nothingCameOfIt()
})

test('a client that breaks off in the middle leaves nothing, whether its message was to go to disk or not', async (t) => {
  const hub = await open(t)
  for (const length of [500, 100_000]) {
    const connection = await raw(t, hub.port)
    const prefix = notifyPrefix(BigInt(length), sha512(Buffer.alloc(length, 'x')))
    connection.send(`POST /v1/notify HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: ${prefix.length + length}\r\n\r\n`)
    connection.send(prefix)
    connection.send(Buffer.alloc(length / 2, 'x'))
    if (length > 1_000) await until(async () => (await hub.gauge('waystation_spool_bytes')) > 0, 'bytes in the spool')
    connection.socket.resetAndDestroy()
    await hub.nothingCameOfIt()
  }
})

test('a message that is longer than it said is refused as soon as it is, and not written to disk without end', async (t) => {
  const hub = await open(t)
  const connection = await raw(t, hub.port)
  const prefix = notifyPrefix(2_000n)
  connection.send(`POST /v1/notify HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 1000000000\r\n\r\n`)
  connection.send(Buffer.concat([prefix, Buffer.alloc(2_001)]))
  await connection.until((received) => received.includes('HTTP/1.1 400'))
  await hub.nothingCameOfIt()
})

test('a client that ends its side in the middle of a message is refused, and nothing is left', async (t) => {
  const hub = await open(t)
  const connection = await raw(t, hub.port)
  connection.send(`POST /v1/notify HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 200000\r\n\r\n`)
  connection.send(notifyPrefix(199_000n, sha512('x')))
  connection.send(Buffer.alloc(50_000))
  await until(async () => (await hub.gauge('waystation_spool_bytes')) > 0, 'bytes in the spool')
  connection.socket.end()
  assert.match((await connection.ended).toString(), /^(HTTP\/1\.1 400 |$)/)
  await hub.nothingCameOfIt()
})

test('while another program holds the database, what needs it is answered 503 and changes nothing; afterwards all is well', async (t) => {
  const hub = await open(t)
  const receiver = await openReceiver(t)
  // Something to lock: the file is made by the first registration.
  assert.equal((await hub.client.subscribe('exact', receiver.url(), 'before')).status, 200)
  const other = new DatabaseSync(join(hub.dataDir, 'waystation.db'))
  t.after(() => other.close())
  other.exec('BEGIN IMMEDIATE')
  const answers = await Promise.all([
    hub.client.subscribe('exact', receiver.url(), 'a'),
    hub.client.unsubscribe('exact', receiver.url(), 'before'),
    hub.client.set(receiver.url(), [entry('b')], []),
  ])
  assert.deepEqual(answers.map(({ status, body }) => [status, body.length]), [[503, 0], [503, 0], [503, 0]])
  // What needs only to know who is there goes on.
  assert.equal((await hub.client.notify('before', 'm')).subscribers, 1)
  assert.equal((await hub.client.notify('a', 'm')).subscribers, 0)
  other.exec('ROLLBACK')
  assert.equal((await hub.client.subscribe('exact', receiver.url(), 'a')).status, 200)
  assert.equal((await hub.client.notify('a', 'm')).subscribers, 1)
  assert.equal((await hub.client.notify('b', 'm')).subscribers, 0)
})

test('while another program holds the file of signatures one cannot be remembered: 503, and it is good afterwards', async (t) => {
  const hub = await open(t, schemes('hmac', 'none'))
  const signed = createClient(hub.port, 'hmac')
  assert.equal((await signed.notify('a', 'first')).status, 200)
  const other = new DatabaseSync(join(hub.dataDir, 'waystation.db-signatures'))
  t.after(() => other.close())
  other.exec('BEGIN IMMEDIATE')
  const notify = notifyBody('hmac', 'a', 'm')
  assert.equal((await post(hub.port, '/v1/notify', ...notify)).status, 503)
  other.exec('ROLLBACK')
  assert.equal((await post(hub.port, '/v1/notify', ...notify)).status, 200)
  assert.equal((await post(hub.port, '/v1/notify', ...notify)).status, 403)
})

test('a disk where nothing can be put is answered 507, and small messages go on', async (t) => {
  const dataDir = temporaryFolder(t)
  writeFileSync(join(dataDir, 'spool'), 'a file stands where the folder was to be')
  const { port } = await startServer(t, { allowPrivate: true, spoolAbove: 1_000, dataDir })
  const client = createClient(port)
  const receiver = await openReceiver(t)
  assert.equal((await client.subscribe('exact', receiver.url(), 'a')).status, 200)
  const reply = await client.notify('a', big)
  assert.deepEqual([reply.status, reply.body.length], [507, 0])
  assert.equal((await client.notify('a', 'small')).subscribers, 1)
  assert.equal((await receiver.inbox.next()).message.toString(), 'small')
})

test('spoolAbove: what is larger goes to disk and no further than the webhooks that take it, what is not stays in memory', async (t) => {
  const hub = await open(t, { spoolAbove: 1_000 })
  const receiver = await openReceiver(t, { manual: true })
  await hub.client.subscribe('exact', receiver.url(), 'a')
  for (const [size, onDisk] of [[1_000, 0], [1_001, 1_001]] as const) {
    const answered = hub.client.notify('a', Buffer.alloc(size, 'x'))
    const one = await receiver.inbox.next()
    assert.equal(await hub.gauge('waystation_spool_bytes'), onDisk)
    one.confirm()
    assert.equal((await answered).subscribers, 1)
    assert.equal(one.message.length, size)
    await until(async () => (await hub.gauge('waystation_spool_bytes')) === 0, 'an empty spool')
  }
})

test('maxSpoolBytes: a message for which there is no room is answered 507; those before it are whole, and room comes back', async (t) => {
  const hub = await open(t, { maxSpoolBytes: 150_000 })
  const receiver = await openReceiver(t, { manual: true })
  await hub.client.subscribe('exact', receiver.url(), 'a')
  const first = hub.client.notify('a', big)
  const one = await receiver.inbox.next()
  assert.equal((await hub.client.notify('a', Buffer.alloc(50_001))).status, 507)
  assert.equal((await hub.client.notify('b', Buffer.alloc(50_000))).status, 200)
  one.confirm()
  assert.equal((await first).subscribers, 1)
  assert.ok(one.message.equals(big))
  await until(async () => (await hub.gauge('waystation_spool_bytes')) === 0, 'an empty spool')
  const again = hub.client.notify('a', big)
  ;(await receiver.inbox.next()).confirm()
  assert.equal((await again).subscribers, 1)
})

test('maxSpoolBytes: messages that arrive together and do not fit together are not both taken', async (t) => {
  const hub = await open(t, { maxSpoolBytes: 150_000 })
  const prefix = notifyPrefix(100_000n, sha512(big))
  const head = `POST /v1/notify HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\nContent-Length: ${prefix.length + big.length}\r\n\r\n`
  const connections = [await raw(t, hub.port), await raw(t, hub.port)]
  for (const { send } of connections) {
    send(head)
    send(prefix)
  }
  for (const { send } of connections) send(big.subarray(0, 60_000))
  await until(async () => (await hub.gauge('waystation_spool_bytes')) === 120_000, 'both in the spool')
  for (const { send } of connections) send(big.subarray(60_000))
  const answers = await Promise.all(connections.map(async ({ ended }) => /^HTTP\/1\.1 (\d+)/.exec((await ended).toString())?.[1]))
  assert.deepEqual(answers.filter((status) => status !== '200' && status !== '507'), [])
  assert.ok(answers.includes('507'))
  await until(async () => (await hub.gauge('waystation_spool_bytes')) === 0, 'an empty spool')
})

test('maxSetBytes: a list beyond it is answered 413, and nothing of it is registered', async (t) => {
  const hub = await open(t, { maxSetBytes: 65_536 })
  const fits = inOrder(Array.from({ length: 10_000 }, (_, i) => entry(`${i}`)))
  const body = set(fits)
  assert.ok(body.length > 65_536)
  assert.equal((await post(hub.port, '/v1/set_subscriptions', body)).status, 413)
  assert.equal((await post(hub.port, '/v1/set_subscriptions', body, undefined, { 'Transfer-Encoding': 'chunked' })).status, 413)
  await hub.nothingCameOfIt()
  assert.equal((await post(hub.port, '/v1/set_subscriptions', set(fits.slice(0, 5_000)))).status, 200)
})

test('maxRegistrations: what would pass it is answered 507 and changes nothing, what replaces or removes is taken', async (t) => {
  const hub = await open(t, { maxRegistrations: 3 })
  const { client } = hub
  const other = 'http://127.0.0.1:9/other'
  for (const topic of ['a', 'b']) assert.equal((await client.subscribe('exact', url, topic)).status, 200)
  assert.equal((await client.subscribe('exact', other, 'a')).status, 200)
  assert.equal((await client.subscribe('glob', other, '*')).status, 507)
  assert.equal((await client.set(other, [entry('a'), entry('b')], [])).status, 507)
  assert.equal(await hub.gauge('waystation_registrations'), 3)
  assert.equal((await client.set(url, [entry('c'), entry('d')], [])).status, 200)
  assert.equal((await client.set(url, [entry('c')], [])).status, 200)
  assert.equal((await client.set(other, [], [entry('a*'), entry('b*')])).status, 200)
  assert.equal(await hub.gauge('waystation_registrations'), 3)
})

test('maxGlobBytes: a longer glob is refused, alone and in a list, and one of that length is taken', async (t) => {
  const hub = await open(t, { maxGlobBytes: 10 })
  const { client } = hub
  assert.equal((await client.subscribe('glob', url, 'é*'.padEnd(10, 'x'))).status, 400)
  assert.equal((await client.set(url, [entry('a')], [entry('*'.repeat(11))])).status, 400)
  await hub.nothingCameOfIt()
  assert.equal((await client.subscribe('glob', url, 'é*'.padEnd(9, 'x'))).status, 200)
  assert.equal((await client.subscribe('exact', url, 'a'.repeat(60_000))).status, 200)
})

test('a list of tens of thousands is looked through in pieces: others are served in between', async (t) => {
  const hub = await open(t)
  const many = Array.from({ length: 30_000 }, (_, i) => entry(`topic ${String(i).padStart(6, '0')}`))
  // Only looked at: every turn that is given to others goes through the clock.
  const turns = t.mock.method(realClock, 'endOfTurn')
  assert.equal((await hub.client.set(url, many, [])).status, 200)
  assert.ok(turns.mock.callCount() >= 30, `${turns.mock.callCount()} turns`)
  assert.equal(await hub.gauge('waystation_registrations'), 30_000)
})
