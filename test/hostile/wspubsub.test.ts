import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { test } from 'node:test'
import { openDatabase, plain } from '../support/keys.ts'
import { until } from '../support/events.ts'
import { clientFrame, handshake, raw } from '../support/raw.ts'
import { buffersUsed, heapUsed } from '../support/memory.ts'
import { startServer } from '../support/server.ts'
import { connect } from '../support/websocket.ts'
import { answerTo, startKeyedHub } from '../support/wspubsub.ts'

/* Names and keys that are none, or somebody else's, and many at once. */

const SQL = ["' OR '1'='1", "x'; DROP TABLE apikeys; --", 'a" OR ""="', '%', '_', '$1', '?', '*/ OR 1=1 /*', "\\'; SELECT 1", "acme'--", '\u2019 OR 1=1', '\n; DELETE FROM apikeys']
const KEY = 'f47ac10b-58cc-4372-a567-0e02b2c3d479'

test('SQL text is a name wherever a name goes, and no key is good for what is not its own', async (t) => {
  const server = await startServer(t)
  const database = openDatabase(t, server.options)
  await database.addKey(plain('test', KEY))
  await database.addKey(plain('other', 'theirs'))
  const status = (...names: string[]): Promise<number> => answerTo(t, server.port, `/ws/pub/${names.map(encodeURIComponent).join('/')}`)
  for (const text of SQL) {
    assert.equal(await status(text, 'test', 'x'), 403, text)
    // A domain holds no slash.
    const refused = text.includes('/') ? 400 : 403
    assert.equal(await status(KEY, text, 'x'), refused, text)
    assert.equal(await status(KEY + text, 'test', 'x'), 403, text)
    assert.equal(await answerTo(t, server.port, `/ws/sub/${encodeURIComponent(text)}/${encodeURIComponent(text)}`), text.includes('/') ? 400 : 404, text)
    assert.equal(await status(KEY, 'test', text), 101, text)
  }
  for (const [i, text] of SQL.filter((one) => !one.includes('/')).entries()) {
    await database.addKey(plain(text, `key ${i} ${text}`))
    assert.equal(await status(`key ${i} ${text}`, text, text), 101, text)
  }
  const foreign: [key: string, domain: string][] = [
    [KEY, 'other'], ['theirs', 'test'], [KEY.toUpperCase(), 'test'], [KEY, 'Test'], [KEY, 'TEST'], [`${KEY} `, 'test'], [` ${KEY}`, 'test'], [KEY, 'test '], ['', 'test'], [KEY, ''], [KEY.slice(0, -1), 'test'],
    [`${KEY}\0`, 'test'], [KEY, 'test\0'], ['\0', '\0'],
  ]
  for (const [key, domain] of foreign) assert.equal(await status(key, domain, 'x'), 403, JSON.stringify([key, domain]))
  assert.equal(await database.addKey(plain('second', KEY)), false, 'the same key for two domains')
  assert.equal(await status(KEY, 'second', 'x'), 403)
  assert.equal(await status(KEY, 'test', 'after all'), 101)
})

test('overlong names are refused or taken as they are, and what is longer than a head may be is answered 431', async (t) => {
  const hub = await startKeyedHub(t)
  const long = 'x'.repeat(5_000)
  const spread = '%20'.repeat(2_000)
  assert.equal(await hub.status(`/ws/pub/${long}/acme/x`), 403)
  assert.equal(await hub.status(`/ws/pub/good/${long}/x`), 403)
  assert.equal(await hub.status(`/ws/sub/${long}/${long}`), 404)
  for (const name of [long, spread]) {
    const source = await hub.publisher(`good/acme/${name}`)
    const reader = await hub.subscriber(`acme/${name}`)
    source.send('hello')
    assert.equal(await reader.next(), 'hello')
  }
  assert.equal(await hub.status(`/ws/pub/good/acme/${'/'.repeat(5_000)}`), 404)
  assert.equal(await hub.status(`/ws/pub/good/acme/${'x'.repeat(20_000)}`), 431)
  assert.deepEqual(hub.keys.queries.flat().filter((domain) => domain.length > 255), [])
})

test('of ten publishers at once for one topic one gets it, and nine are answered 409', async (t) => {
  const hub = await startKeyedHub(t)
  const outcomes = await Promise.allSettled(Array.from({ length: 10 }, () => hub.publisher()))
  assert.equal(outcomes.filter(({ status }) => status === 'fulfilled').length, 1)
  assert.deepEqual(outcomes.flatMap((outcome) => (outcome.status === 'rejected' ? [(outcome.reason as { status: number }).status] : [])), Array.from({ length: 9 }, () => 409))
  assert.deepEqual(hub.transport.gauges(), { publishers: 1, subscribers: 0, topics: 1 })
  // Nor when the key is known from before and nobody waits.
  const [source] = outcomes.flatMap((outcome) => (outcome.status === 'fulfilled' ? [outcome.value] : []))
  source?.ws.terminate()
  await until(() => hub.transport.gauges().publishers === 0, 'that the publisher is gone')
  const again = await Promise.allSettled(Array.from({ length: 10 }, () => hub.publisher()))
  assert.equal(again.filter(({ status }) => status === 'fulfilled').length, 1)
  await until(() => hub.places === 1, 'one place')
})

test('thousands of keys that somebody makes up leave nothing behind, and share their questions', async (t) => {
  const hub = await startKeyedHub(t)
  const guess = async (n: number): Promise<void> => {
    const connections = await Promise.all(Array.from({ length: n }, () => raw(t, hub.port)))
    for (const [i, connection] of connections.entries()) connection.send(handshake(`/ws/pub/${randomUUID()}/${i % 2 === 0 ? 'acme' : randomUUID()}/${randomUUID()}`))
    for (const connection of connections) assert.match((await connection.ended).toString('latin1', 0, 13), /^HTTP\/1\.1 403 /)
  }
  await guess(200)
  hub.keys.state = 'slow'
  hub.keys.queries.length = 0
  hub.verdicts.length = 0
  const before = heapUsed()
  for (let i = 0; i < 5; i++) await guess(400)
  await until(() => hub.places === 0, 'all places')
  assert.equal(hub.verdicts.length, 2_000)
  assert.ok(hub.keys.queries.length < 500, `${hub.keys.queries.length} queries`)
  hub.keys.queries.length = 0
  hub.verdicts.length = 0
  // What the test itself keeps of each connection is in it, too.
  const grown = heapUsed() - before
  assert.ok(grown < 2_000 * 8_000, `${grown} bytes`)
  assert.deepEqual(hub.transport.gauges(), { publishers: 0, subscribers: 0, topics: 0 })
})

test('whatever a client sends while its key is checked, little of it is kept', async (t) => {
  const hub = await startKeyedHub(t)
  hub.keys.state = 'stuck'
  const connection = await raw(t, hub.port)
  connection.send(handshake('/ws/pub/good/acme/prices'))
  await until(() => hub.places === 1, 'one that waits')
  const data = Buffer.alloc(32 * 1_048_576)
  const before = await buffersUsed()
  connection.send(data)
  // Everything that the system takes is taken when another conversation has come and gone.
  for (let i = 0; i < 20; i++) assert.equal(await hub.status('/ws/sub/acme/none'), 404)
  assert.ok(await buffersUsed() - before < 2 * 1_048_576)
})

test('what subscribers send costs nothing, however long and however little of it comes', async (t) => {
  const hub = await startKeyedHub(t, { standing: ['*'] })
  const head = Buffer.from([0x82, 0xff, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0])
  const data = Buffer.alloc(16 * 1_048_576)
  const readers = await Promise.all(Array.from({ length: 4 }, () => raw(t, hub.port)))
  for (const reader of readers) {
    reader.send(handshake('/ws/sub/acme/prices'))
    await reader.until((received) => received.includes('\r\n\r\n'))
  }
  const before = await buffersUsed()
  for (const reader of readers) {
    reader.send(head)
    reader.send(data)
  }
  await until(() => readers.every(({ socket }) => socket.writableLength === 0), 'that all of it is taken')
  await until(async () => (await buffersUsed()) - before < 2 * 1_048_576, 'that nothing of it is kept')
  const fragments = await connect(t, `ws://127.0.0.1:${hub.port}/ws/sub/acme/prices`)
  fragments.ws.send('x', { fin: false })
  const source = await hub.publisher()
  source.send('hello')
  assert.equal(await fragments.next(), 'hello')
  assert.equal(hub.booked, 0)
})

test('nothing that a subscriber sends makes it a publisher', async (t) => {
  const hub = await startKeyedHub(t)
  await hub.publisher()
  const seen: string[] = []
  hub.hub.joinAll({ count: 0, deliver: ({ body }) => seen.push(body.toString()), gap() {} })
  const [reader, other] = [await hub.subscriber(), await hub.subscriber()]
  for (const text of ['hello', '/ws/pub/good/acme/prices', handshake('/ws/pub/good/acme/prices')]) reader.send(text)
  reader.ws.ping()
  await new Promise((resolve) => reader.ws.once('pong', resolve))
  assert.deepEqual([seen, other.inbox.taken()], [[], []])
})

test('a domain with a key is closed to publishers of other protocols, below every topic of it', async (t) => {
  const hub = await startKeyedHub(t)
  for (const path of ['/acme/prices', '/acme/', '/acme', '/acme%2Fprices']) {
    const { status } = await fetch(`http://127.0.0.1:${hub.port}${path}`, { method: 'POST', body: 'x' })
    assert.ok(status === 403, `${path}: ${status}`)
  }
  const socket = await connect(t, `ws://127.0.0.1:${hub.port}/acme/prices`)
  socket.send('x')
  assert.equal((await socket.closed).code, 1008)
})

test('frames of a publisher that are cut into single bytes are whole messages', async (t) => {
  const hub = await startKeyedHub(t, { standing: ['*'] })
  const reader = await hub.subscriber()
  const source = await raw(t, hub.port)
  source.socket.setNoDelay(true)
  for (const byte of Buffer.concat([Buffer.from(handshake('/ws/pub/good/acme/prices')), clientFrame(1, 'slowly')])) source.send(Uint8Array.of(byte))
  assert.equal(await reader.next(), 'slowly')
})
