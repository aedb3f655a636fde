import assert from 'node:assert/strict'
import { test, type TestContext } from 'node:test'
import { createServer, type Config, type PublicHub, type ReceivedMessage } from '../../src/index.ts'
import { startServer } from '../support/server.ts'
import { connect } from '../support/websocket.ts'

function hubOf(t: TestContext, config: Config = {}): PublicHub {
  const server = createServer({ logLevel: 'silent', ...config })
  t.after(() => server.close(AbortSignal.abort()))
  return server.hub
}

type Reading = AsyncIterator<ReceivedMessage>

async function text(reading: Reading): Promise<string> {
  const { done, value } = await reading.next()
  return done === true ? '(the end)' : (value as ReceivedMessage).text()
}

/** Everything up to the end, and the code of the error that ended it. */
async function rest(reading: AsyncIterable<ReceivedMessage>): Promise<string[]> {
  const all: string[] = []
  try {
    for await (const message of reading) all.push(message.text())
  } catch (error) {
    all.push((error as { code?: string }).code ?? String(error))
  }
  return all
}

const keepAll: Config = { rules: [{ topics: '*', keep: { messages: 1_000 } }] }

test('a subscription gets what is published from its call on, in order, not only from its first step', async (t) => {
  const hub = hubOf(t)
  await hub.publish('news', 'before')
  const reading = hub.subscribe('news')
  const receipts = await Promise.all(['one', 'two', 'three'].map((body) => hub.publish('news', body)))
  await hub.publish('other', 'not for this one')
  assert.deepEqual([await text(reading), await text(reading), await text(reading)], ['one', 'two', 'three'])
  assert.deepEqual(receipts.map(({ offset, subscribers }) => [offset, subscribers]), [[2, 1], [3, 1], [4, 1]])
  assert.equal(hub.cursor, `${receipts[0]?.epoch}:5`)
})

test('a message that several topics and globs of a subscription match comes once', async (t) => {
  const hub = hubOf(t)
  const reading = hub.subscribe(['news/*', 'news/eu', '*/eu', 'sport'])
  for (const topic of ['news/eu', 'weather', 'news/us', 'sport', 'sport/eu']) await hub.publish(topic, topic)
  const got = [await text(reading), await text(reading), await text(reading), await text(reading)]
  assert.deepEqual(got, ['news/eu', 'news/us', 'sport', 'sport/eu'])
})

test('bytes come as they were published: as topic, as body, and on a WebSocket', async (t) => {
  const server = await startServer(t)
  const reading = server.hub.subscribe(['bytes', 'text'])
  const [bytes, words] = [await connect(t, `${server.ws}/bytes`), await connect(t, `${server.ws}/text`)]
  await server.hub.publish('bytes', new Uint8Array([0xff, 0x00]).subarray(0, 1))
  await server.hub.publish(Buffer.from('text'), 'grüße', 'text/markdown')
  const [first, second] = [(await reading.next()).value as ReceivedMessage, (await reading.next()).value as ReceivedMessage]
  assert.deepEqual([first.body, first.contentType, first.topic], [Buffer.from([0xff]), 'application/octet-stream', 'bytes'])
  assert.throws(() => first.text(), TypeError)
  assert.deepEqual([second.text(), second.contentType, second.topicBytes], ['grüße', 'text/markdown', Buffer.from('text')])
  assert.ok(Math.abs(second.time.getTime() - Date.now()) < 60_000)
  const frames = [await bytes.inbox.next(), await words.inbox.next()]
  assert.deepEqual(frames.map(({ bytes: data, binary }) => [data.toString('hex'), binary]), [['ff', true], [Buffer.from('grüße').toString('hex'), false]])
  await assert.rejects(server.hub.publish('\ud800', 'x'), RangeError)
})

test('what clients publish reaches the program, and the program is not bound by the rules for clients', async (t) => {
  const server = await startServer(t, { rules: [{ topics: 'closed', publish: 'nobody', subscribe: 'nobody' }] })
  const reading = server.hub.subscribe('*')
  await fetch(`${server.url}/open`, { method: 'POST', body: 'from outside' })
  assert.equal((await fetch(`${server.url}/closed`, { method: 'POST', body: 'x' })).status, 403)
  await server.hub.publish('closed', 'from inside')
  assert.deepEqual([await text(reading), await text(reading)], ['from outside', 'from inside'])
})

test('hubs of one process never meet', async (t) => {
  const [a, b] = [await startServer(t), await startServer(t)]
  const [fromA, fromB] = [a.hub.subscribe('*'), b.hub.subscribe('*')]
  const [onA, onB] = [await connect(t, `${a.ws}/same`), await connect(t, `${b.ws}/same`)]
  await a.hub.publish('same', 'to a')
  await b.hub.publish('same', 'to b')
  assert.deepEqual([await text(fromA), await text(fromB), await onA.next(), await onB.next()], ['to a', 'to b', 'to a', 'to b'])
  await Promise.all([a.close(), b.close()])
  assert.deepEqual([await rest(fromA), await rest(fromB)], [[], []])
  assert.notEqual(a.hub.cursor.split(':')[0], b.hub.cursor.split(':')[0])
})

test('a subscription since a cursor gets what was kept, then what is new, and nothing twice', async (t) => {
  const hub = hubOf(t, keepAll)
  await hub.publish('a', 'seen')
  const since = hub.cursor
  for (let i = 0; i < 50; i++) await hub.publish('a', `kept ${i}`)
  const reading = hub.subscribe('a', { since, maxWaiting: 4 })
  const expected = Array.from({ length: 50 }, (_, i) => `kept ${i}`)
  await hub.publish('a', 'new')
  // The reader takes its time: what is kept waits in the log, not in the subscription.
  await new Promise(setImmediate)
  for (const body of [...expected, 'new']) assert.equal(await text(reading), body)
  await hub.publish('a', 'live')
  assert.equal(await text(reading), 'live')
})

test('messages that are lost end the iteration with a gap, and nothing comes behind it', async (t) => {
  const hub = hubOf(t)
  const reading = hub.subscribe('a', { since: 'elsewhere:7' })
  await hub.publish('a', 'x')
  await new Promise(setImmediate)
  assert.deepEqual(await rest(reading), ['gap'])
  assert.equal((await hub.publish('a', 'y')).subscribers, 0)
  assert.throws(() => hub.subscribe('a', { since: 'no cursor' }), { code: 'bad_cursor' })
})

test('who asked to be told of a gap is told, and goes on behind it', async (t) => {
  const hub = hubOf(t)
  await hub.publish('a', 'lost')
  const gaps: string[][] = []
  const reading = hub.subscribe('a', { since: 'elsewhere:7', onGap: (from, to) => gaps.push([from, to]) })
  assert.deepEqual(gaps, [['elsewhere:7', hub.cursor]])
  await hub.publish('a', 'x')
  assert.equal(await text(reading), 'x')
})

test('what the listener for gaps throws, the iteration throws', async (t) => {
  const hub = hubOf(t)
  const reading = hub.subscribe('a', { since: 'elsewhere:7', onGap: () => assert.fail('this must not be') })
  assert.deepEqual(await rest(reading), ['ERR_ASSERTION'])
  assert.equal((await hub.publish('a', 'x')).subscribers, 0)
})

test('a reader that falls too far behind gets what waited, then an error', async (t) => {
  const hub = hubOf(t)
  const slow = hub.subscribe('a', { maxWaiting: 2 })
  const other = hub.subscribe('a')
  const receipts = []
  for (const body of ['1', '2', '3', '4']) receipts.push((await hub.publish('a', body)).subscribers)
  assert.deepEqual(await rest(slow), ['1', '2', 'slow_consumer'])
  assert.deepEqual(await rest(slow), [])
  assert.deepEqual(receipts, [2, 2, 2, 1])
  assert.deepEqual([await text(other), await text(other), await text(other), await text(other)], ['1', '2', '3', '4'])
  for (const maxWaiting of [0, -1, Number.NaN]) assert.throws(() => hub.subscribe('a', { maxWaiting }), RangeError)
})

test('several steps may be asked for at once: each gets its own message', async (t) => {
  const hub = hubOf(t)
  const reading = hub.subscribe('a')
  const steps = [text(reading), text(reading), text(reading), text(reading)]
  await hub.publish('a', 'one')
  await hub.publish('a', 'two')
  await reading.return?.()
  assert.deepEqual(await Promise.all(steps), ['one', 'two', '(the end)', '(the end)'])
})

test('a signal ends the iteration at once, whether it waits, has more to read, or has not begun', async (t) => {
  const hub = hubOf(t)
  const [waiting, late] = [new AbortController(), new AbortController()]
  const empty = rest(hub.subscribe('a', { signal: waiting.signal }))
  waiting.abort()
  assert.deepEqual(await empty, [])
  const full = hub.subscribe('a', { signal: late.signal })
  await hub.publish('a', 'read')
  await hub.publish('a', 'not read')
  assert.equal(await text(full), 'read')
  late.abort()
  assert.deepEqual(await rest(full), [])
  assert.deepEqual(await rest(hub.subscribe('a', { signal: AbortSignal.abort() })), [])
  assert.deepEqual(await rest(hub.subscribe('a', { signal: AbortSignal.abort(), since: 'elsewhere:1', onGap: () => {} })), [])
  assert.equal((await hub.publish('a', 'x')).subscribers, 0)
})

test('leaving the loop, or the block that the subscription stands in, ends the subscription', async (t) => {
  const hub = hubOf(t, keepAll)
  {
    await using reading = hub.subscribe('a')
    assert.equal((await hub.publish('a', 'x')).subscribers, 1)
    assert.equal(await text(reading), 'x')
  }
  assert.equal((await hub.publish('a', 'y')).subscribers, 0)
  for (const options of [{}, { since: hub.cursor }]) {
    const reading = hub.subscribe('a', options)
    await hub.publish('a', 'z')
    for await (const message of reading) {
      assert.equal(message.text(), 'z')
      break
    }
    assert.equal((await hub.publish('a', 'nobody')).subscribers, 0)
    assert.deepEqual(await rest(reading), [])
  }
})

test('closing the server ends every subscription behind the last message, and lets no new one begin', async (t) => {
  const server = await startServer(t)
  const [waiting, behind] = [server.hub.subscribe('other'), server.hub.subscribe('a')]
  const step = text(waiting)
  await server.hub.publish('a', 'the last')
  await server.close()
  assert.equal(await step, '(the end)')
  assert.deepEqual(await rest(behind), ['the last'])
  await assert.rejects(server.hub.publish('a', 'x'), { code: 'stopped' })
  assert.throws(() => server.hub.subscribe('a'), { code: 'stopped' })
})
