import assert from 'node:assert/strict'
import { createHash, randomBytes } from 'node:crypto'
import { readdirSync } from 'node:fs'
import { createServer } from 'node:net'
import { test, type TestContext } from 'node:test'
import type { Config } from '../../src/index.ts'
import { connectSubscriber } from '../../src/subscriber/index.ts'
import { temporaryFolder } from '../support/certificates.ts'
import { until } from '../support/events.ts'
import { COMBINATIONS, createClient, openReceiver, schemes } from '../support/lonelyps.ts'
import { startServer } from '../support/server.ts'
import { nextOf, openSubscriber } from '../support/subscriber.ts'

const MIB = 1_048_576

async function startHub(t: TestContext, config: Config = {}): Promise<number> {
  return (await startServer(t, { dataDir: temporaryFolder(t), allowPrivate: true, ...config })).port
}

/** A port of this machine where nobody listens. */
async function deadPort(): Promise<number> {
  const server = createServer()
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as { port: number }
  await new Promise<void>((resolve) => void server.close(() => resolve()))
  return port
}

test('in all nine combinations of schemes it receives, counts, and leaves while a notify is pending', async (t) => {
  for (const pair of COMBINATIONS) {
    const port = await startHub(t, schemes(...pair))
    const one = await openSubscriber(t, port, { pair })
    const feed = one.subscribe('foo/bar')
    await feed.ready
    assert.equal(await one.check(), true)
    const sent = one.notify('foo/bar', 'hello')
    const message = await nextOf(feed)
    assert.deepEqual([message.topic, message.size, await message.text()], ['foo/bar', 5, 'hello'], String(pair))
    await feed.close()
    assert.deepEqual(await sent, { subscribers: 1 }, String(pair))
    assert.deepEqual(await one.notify('foo/bar', ''), { subscribers: 0 })
    assert.equal(await one.check(), true)
  }
})

test('a glob gets every topic that it matches, and bytes that are no text are a topic', async (t) => {
  const one = await openSubscriber(t, await startHub(t))
  const feed = one.subscribe(['news/*', Buffer.from([0xff, 0x2a])])
  await feed.ready
  const got: unknown[] = []
  const loop = (async () => {
    for await (const { topicBytes, text } of feed) if (got.push([topicBytes.toString('latin1'), await text()]) === 3) return
  })()
  assert.equal((await one.notify('news/eu', '1')).subscribers, 1)
  assert.equal((await one.notify('other', 'no')).subscribers, 0)
  assert.equal((await one.notify(Buffer.from([0xff, 0x2a]), '2')).subscribers, 1)
  assert.equal((await one.notify('news/us/ny', '3')).subscribers, 1)
  await loop
  assert.deepEqual(got, [['news/eu', '1'], ['\xff*', '2'], ['news/us/ny', '3']])
})

test('two feeds on one topic both get a message, which counts once and waits for both', async (t) => {
  const one = await openSubscriber(t, await startHub(t))
  const [a, b] = [one.subscribe('t'), one.subscribe('t')]
  await Promise.all([a.ready, b.ready])
  let answered = false
  const sent = one.notify('t', 'x').finally(() => (answered = true))
  assert.equal(await (await nextOf(a)).text(), 'x')
  assert.equal(await (await nextOf(b)).text(), 'x')
  await a.close()
  // Another request of the same object is answered meanwhile.
  assert.equal(await one.check(), true)
  assert.equal(answered, false)
  assert.equal(one.gauges().waiting, 1)
  await b.close()
  assert.deepEqual(await sent, { subscribers: 1 })
})

test('overlapping subscriptions of one object give each feed a message once, in whatever order they come and go', async (t) => {
  const one = await openSubscriber(t, await startHub(t))
  const lists = [['a/b'], ['a/*'], ['*/b', 'a/*', 'a/b'], ['a/b', '?/b'], ['c/*']]
  const feeds = lists.map((list) => one.subscribe(list))
  await Promise.all(feeds.map(({ ready }) => ready))
  const got: string[][] = lists.map(() => [])
  const loops = feeds.map(async (feed, i) => {
    for await (const message of feed) got[i]?.push(await message.text())
  })
  // One for each target that is registered and is the first that matches for some feed: a/b, a/* and */b.
  assert.equal((await one.notify('a/b', '1')).subscribers, 3)
  assert.equal((await one.notify('a/b', '1')).subscribers, 3)
  assert.equal((await one.notify('c/b', '2')).subscribers, 3)
  await feeds[0]?.close()
  await feeds[1]?.close()
  assert.equal(await one.check(), true)
  await one.notify('a/b', '3')
  await Promise.all(feeds.map((feed) => feed.close()))
  await Promise.all(loops)
  assert.deepEqual(got, [['1', '1'], ['1', '1'], ['1', '1', '2', '3'], ['1', '1', '2', '3'], ['2']])
})

test('the webhook is answered when the message is let go, and leaving the loop does that', async (t) => {
  const port = await startHub(t)
  const one = await openSubscriber(t, port)
  const feed = one.subscribe('slow')
  await feed.ready
  const answers: number[] = []
  const sent = [1, 2].map((n) => one.notify('slow', String(n)).then(({ subscribers }) => answers.push(subscribers)))
  await nextOf(feed)
  await createClient(port).notify('elsewhere', 'x')
  assert.deepEqual(answers, [])
  await nextOf(feed)
  await until(() => answers.length === 1, 'the first answer')
  assert.deepEqual(await feed.return(), { done: true, value: undefined })
  await Promise.all(sent)
  assert.deepEqual(answers, [1, 1])
  assert.deepEqual(await feed.next(), { done: true, value: undefined })
})

test('a large message goes both ways byte for byte by way of files, of which none is left', async (t) => {
  const port = await startHub(t, { spoolAbove: MIB })
  const folder = temporaryFolder(t)
  const one = await openSubscriber(t, port, { spoolAbove: MIB, spoolFolder: folder })
  const feeds = [one.subscribe('big'), one.subscribe('bi*')]
  await Promise.all(feeds.map(({ ready }) => ready))
  const piece = randomBytes(MIB)
  const times = 6
  const body = {
    size: times * MIB,
    async *read() {
      for (let i = 0; i < times; i++) yield piece
    },
  }
  const expected = createHash('sha512')
  for await (const part of body.read()) expected.update(part)
  const wanted = expected.digest('hex')
  const sent = one.notify('big', body)
  const [first, second] = await Promise.all(feeds.map(nextOf))
  assert.equal(first?.size, body.size)
  assert.equal(one.gauges().spoolBytes, 2 * body.size, 'one for each registration')
  assert.equal(createHash('sha512').update(await (first as NonNullable<typeof first>).bytes()).digest('hex'), wanted)
  const hash = createHash('sha512')
  for await (const part of (second as NonNullable<typeof second>).stream()) hash.update(part as Buffer)
  assert.equal(hash.digest('hex'), wanted)
  await Promise.all(feeds.map((feed) => feed.close()))
  assert.deepEqual(await sent, { subscribers: 2 })
  assert.deepEqual([one.gauges(), readdirSync(folder)], [{ waiting: 0, bytes: 0, spoolBytes: 0 }, []])
  await assert.rejects((first as NonNullable<typeof first>).bytes(), { code: 'gap' })
})

test('a broadcaster that is dead costs nothing but another attempt, for messages and for subscriptions', async (t) => {
  const port = await startHub(t)
  const dead = await deadPort()
  const one = await openSubscriber(t, port, { broadcasters: [{ url: `http://127.0.0.1:${dead}`, priority: 0 }, { url: `http://127.0.0.1:${port}/`, priority: 1 }], retries: 1 })
  const feed = one.subscribe('t')
  await feed.ready
  const sent = one.notify('t', 'x')
  assert.equal(await (await nextOf(feed)).text(), 'x')
  await feed.close()
  assert.deepEqual(await sent, { subscribers: 1 })
  const lost = await openSubscriber(t, dead, { retries: 1 })
  await assert.rejects(lost.notify('t', 'x'), { code: 'unreachable' })
  const none = lost.subscribe('t')
  await assert.rejects(none.ready, { code: 'unreachable' })
  await assert.rejects(none.next(), { code: 'unreachable' })
  assert.deepEqual(await none.next(), { done: true, value: undefined })
})

test('what was missed while nobody listened is told when the object is there again: to onMissed, or by a gap', async (t) => {
  const port = await startHub(t, { missedInterval: 20 })
  const first = await openSubscriber(t, port)
  const { port: own, receiveUrl } = first
  const feed = first.subscribe('m/*')
  await feed.ready
  await first.close()
  // As if it had been killed: what was registered is still there.
  await createClient(port).subscribe('glob', `${receiveUrl}/v1/receive`, 'm/*', `${receiveUrl}/v1/recover`)
  assert.equal((await createClient(port).notify('m/1', 'lost')).subscribers, 0)
  const again = await openSubscriber(t, port, { receive: { port: own as number } })
  const told = Promise.withResolvers<string>()
  const [hearing, deaf, other] = [again.subscribe('m/*', { onMissed: told.resolve }), again.subscribe('m/1'), again.subscribe('n')]
  assert.equal(await told.promise, 'm/1')
  await assert.rejects(deaf.next(), { code: 'gap', detail: 'something on "m/1" was missed' })
  await Promise.all([hearing.ready, deaf.ready, other.ready])
  const sent = again.notify('m/1', 'next')
  assert.equal(await (await nextOf(deaf)).text(), 'next', 'the feed goes on')
  await again.close()
  await sent
})

test('who has a wrong secret is told so, and gets nothing', async (t) => {
  const port = await startHub(t, schemes('hmac', 'hmac'))
  for (const pair of [['none', 'hmac'], ['token', 'hmac']] as const) {
    const one = await openSubscriber(t, port, { pair, retries: 1 })
    await assert.rejects(one.notify('t', 'x'), { code: 'forbidden' })
    await assert.rejects(one.subscribe('t').ready, { code: 'forbidden' })
  }
  // The hub is somebody else: what it says is not believed.
  const doubting = await openSubscriber(t, port, { pair: ['hmac', 'token'], retries: 1 })
  await assert.rejects(doubting.notify('t', 'x'), { code: 'forbidden' })
  await assert.rejects(doubting.subscribe('t').ready, { code: 'forbidden' })
})

test('closing ends the feeds, takes back what is registered, and leaves nothing that listens', async (t) => {
  const port = await startHub(t)
  const one = await openSubscriber(t, port)
  const own = one.port as number
  const feeds = [one.subscribe('a/*'), one.subscribe('*/b')]
  await Promise.all(feeds.map(({ ready }) => ready))
  const sent = createClient(port).notify('a/b', 'x')
  await Promise.all(feeds.map(nextOf))
  const waiting = feeds.map((feed) => feed.next())
  const last = createClient(port).notify('a/b', 'unread')
  await Promise.all(waiting)
  assert.equal((await sent).subscribers, 2)
  await one.close()
  assert.equal((await last).subscribers, 2)
  for (const feed of feeds) assert.equal((await feed.next()).done, true)
  assert.throws(() => one.subscribe('a'), { code: 'stopped' })
  await assert.rejects(one.notify('a', ''), { code: 'stopped' })
  // Whoever takes the port over gets nothing: both urls are empty.
  const heir = await openReceiver(t, { port: own })
  assert.equal((await createClient(port).notify('a/b', 'y')).subscribers, 0)
  assert.deepEqual(heir.inbox.taken(), [])
})

test('an abort closes it, and one that only publishes listens nowhere', async (t) => {
  const port = await startHub(t)
  const controller = new AbortController()
  const one = await connectSubscriber({ broadcasters: [`http://127.0.0.1:${port}`], signal: controller.signal })
  assert.deepEqual([one.port, one.receiveUrl, await one.check()], [undefined, undefined, true])
  assert.throws(() => one.subscribe('a'), { code: 'config_invalid' })
  assert.deepEqual(await one.notify('a', new Uint8Array([1])), { subscribers: 0 })
  controller.abort()
  await assert.rejects(one.notify('a', ''), { code: 'stopped' })
  await assert.rejects(connectSubscriber({ broadcasters: ['http://h'], signal: controller.signal }), { code: 'stopped' })
})

test('past five hundred targets a change is one request for one target, and the whole list before', async (t) => {
  const port = await startHub(t)
  const one = await openSubscriber(t, port)
  const many = one.subscribe(Array.from({ length: 600 }, (_, i) => `topic/${i}`))
  await many.ready
  const more = [one.subscribe('one'), one.subscribe('x/y')]
  await Promise.all(more.map(({ ready }) => ready))
  assert.equal(await one.check(), true)
  await more[0]?.close()
  assert.equal(await one.check(), true)
  const sent = one.notify('x/y', 'z')
  assert.equal(await (await nextOf(more[1] as NonNullable<(typeof more)[1]>)).text(), 'z')
  await more[1]?.close()
  assert.deepEqual(await sent, { subscribers: 1 })
  assert.equal((await one.notify('one', 'z')).subscribers, 0)
  await many.close()
  assert.equal(await one.check(), true)
})

test('what a predecessor left registered is called once, confirmed with none, and then gone', async (t) => {
  const port = await startHub(t)
  const one = await openSubscriber(t, port)
  const client = createClient(port)
  await client.subscribe('exact', `${one.receiveUrl}/v1/receive`, 'old', `${one.receiveUrl}/v1/recover`)
  assert.equal(await one.check(), false)
  assert.equal((await client.notify('old', 'x')).subscribers, 0)
  await until(() => one.check(), 'the list to be stated')
})
