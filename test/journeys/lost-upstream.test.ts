import assert from 'node:assert/strict'
import { suite, test, type TestContext } from 'node:test'
import { buildConnector } from 'undici'
import type { Hub } from '../../src/core/hub.ts'
import { interestIn } from '../../src/core/interest.ts'
import { effective, fromProgram } from '../../src/server/config.ts'
import { compose, type WaystationServer } from '../../src/server/create-server.ts'
import { temporaryFolder } from '../support/certificates.ts'
import { until } from '../support/events.ts'
import { createClient, openReceiver } from '../support/lonelyps.ts'
import { connectSocket, type SocketClient } from '../support/lonelyps-socket.ts'
import { openWorld } from '../support/lonelyps-world.ts'
import { openStream, type TestStream } from '../support/sse.ts'
import { connect, type TestSocket } from '../support/websocket.ts'

/** A hub, with the core of it, where a link brings its losses. */
async function startHub(t: TestContext): Promise<{ server: WaystationServer; hub: Hub; url: string; ws: string; port: number; gaps(transport: string): Promise<number> }> {
  const { options } = effective([fromProgram({
    addr: '127.0.0.1:0', logLevel: 'silent', dataDir: temporaryFolder(t), toBroadcastersAuth: 'none', wspubsub: true, wspubsubTopics: ['acme/*'],
    rules: [{ topics: 'news*', keep: { messages: 100 } }],
  })])
  const server = compose(options)
  await server.listen()
  t.after(() => server.close(AbortSignal.abort()))
  return {
    server, url: server.url, ws: server.url.replace(/^http/, 'ws'), port: Number(new URL(server.url).port),
    // What the process itself has of a hub is all of it.
    hub: server.vitals.hub as Hub,
    async gaps(transport) {
      const page = await (await fetch(`${server.url}/_/metrics`)).text()
      return Number(new RegExp(`^waystation_gaps_total\\{transport="${transport}"\\} (\\d+)$`, 'm').exec(page)?.[1] ?? 0)
    },
  }
}

/** What a gap says: the offsets behind the two colons. */
function ends(text: string): string {
  return text.replaceAll(/"[0-9a-z]+:(\d+)"/g, '"$1"')
}

suite('something is lost on its way to this hub', () => {
  test('every transport tells those who may want it, in its own words, and nobody else', async (t) => {
    const { server, hub, url, ws, gaps } = await startHub(t)
    const stream = (query: string): Promise<TestStream> => openStream(t, `${url}${query}`)
    const streams = await Promise.all(['/news', '/news?format=json', '/_/sse?topic=news/*&topic=news', '/_/sse?topic=n*&format=json', '/other', '/_/sse?topic=others/*'].map(stream))
    const twin = await stream('/news')
    const [bare, json, otherBare, otherJson] = await Promise.all(['/news', '/news?format=json', '/other', '/other?format=json'].map((path) => connect(t, `${ws}${path}`))) as [TestSocket, TestSocket, TestSocket, TestSocket]
    const [keyed, otherKeyed] = await Promise.all([connect(t, `${ws}/ws/sub/acme/prices`), connect(t, `${ws}/ws/sub/acme/else`)])
    const heard: string[] = []
    const embedded = server.hub.subscribe('news', { onGap: (from, to) => heard.push(`gap ${from.split(':')[1]} to ${to.split(':')[1]}`) })
    const failing = server.hub.subscribe('news*')
    const places = await Promise.all([json.next(), otherJson.next()])
    assert.ok(places.every((place) => place.startsWith('{"cursor":')))

    await server.hub.publish('news', 'before')
    hub.lose(interestIn(['news', 'acme/prices', 'unheard']))
    await server.hub.publish('news', 'after')
    await server.hub.publish('other', 'other')
    await server.hub.publish('acme/else', 'else')

    for (const [i, one] of [...streams.slice(0, 4), twin].entries()) {
      const events = await one.inbox.take(3)
      assert.deepEqual(events.map(({ event }) => event), ['message', 'gap', 'message'], `stream ${i}`)
      assert.equal(ends(events[1]?.data as string), '{"gap":{"from":"1","to":"2"}}')
      assert.equal(events[1]?.id, `${hub.cursor.epoch}:2`)
    }
    assert.equal((await (streams[4] as TestStream).next()).data, 'other')
    assert.equal((await (streams[5] as TestStream).raw()).includes('gap'), false)
    const frames = [await json.next(), await json.next(), await json.next()]
    assert.deepEqual([frames[1]].map((text) => ends(text as string)), ['{"gap":{"from":"1","to":"2"}}'])
    assert.ok(frames[0]?.includes('before') === true && frames[2]?.includes('after') === true)
    assert.equal(await bare.next(), 'before')
    assert.deepEqual(await bare.closed, { code: 4410, reason: `gap: messages are lost; live is at ${hub.cursor.epoch}:2` })
    assert.deepEqual(bare.inbox.taken(), [])
    assert.equal((await keyed.closed).code, 4410)
    assert.deepEqual([await otherBare.next(), await otherKeyed.next()], ['other', 'else'])
    assert.ok((await otherJson.next()).includes('"data":"other"'))
    const reader = embedded[Symbol.asyncIterator]()
    assert.deepEqual([(await reader.next()).value?.text(), (await reader.next()).value?.text(), heard], ['before', 'after', ['gap 1 to 2']])
    await assert.rejects(async () => { for await (const one of failing) void one }, { code: 'gap' })
    assert.deepEqual(await Promise.all(['sse', 'pinghub', 'wspubsub'].map(gaps)), [5, 2, 1])

    // Who comes back from before is told once more, and who is behind it is not.
    const at = (offset: number): string => encodeURIComponent(`${hub.cursor.epoch}:${offset}`)
    const [across, behind, jsonAcross] = await Promise.all([`/news?since=${at(1)}`, `/news?since=${at(2)}`, `/news?format=json&since=${at(0)}`].map((path) => connect(t, `${ws}${path}`))) as [TestSocket, TestSocket, TestSocket]
    assert.equal((await across.closed).code, 4410)
    assert.equal(await behind.next(), 'after')
    const resumed = [await jsonAcross.next(), await jsonAcross.next(), await jsonAcross.next()]
    assert.deepEqual(resumed.map((text) => (text.includes('gap') ? ends(text) : JSON.parse(text).data)), ['before', '{"gap":{"from":"1","to":"2"}}', 'after'])
    const late = await openStream(t, `${url}/_/sse?topic=news*`, { 'Last-Event-ID': `${hub.cursor.epoch}:1` })
    assert.deepEqual((await late.inbox.take(2)).map(({ event }) => event), ['gap', 'message'])
    const unhurt = await openStream(t, `${url}/_/sse?topic=news/*`, { 'Last-Event-ID': `${hub.cursor.epoch}:1` })
    await server.hub.publish('news/1', 'unhurt')
    assert.deepEqual(await unhurt.next().then(({ event, data }) => [event, data]), ['message', 'unhurt'])
  })

  test('a lost glob touches the names that it matches, and the globs that may have one in common', async (t) => {
    const { hub, server, url, ws } = await startHub(t)
    const touched = await Promise.all(['topic=news/1', 'topic=news/*.eu', 'topic=*'].map((query) => openStream(t, `${url}/_/sse?${query}`)))
    const others = await Promise.all(['topic=news', 'topic=news/*.us'].map((query) => openStream(t, `${url}/_/sse?${query}`)))
    const [bare, other] = await Promise.all(['/news/1', '/news'].map((path) => connect(t, `${ws}${path}`))) as [TestSocket, TestSocket]
    hub.lose(interestIn(['n*/1', 'news/?.eu']))
    for (const one of touched) assert.equal((await one.next()).event, 'gap')
    assert.equal((await bare.closed).code, 4410)
    await server.hub.publish('news', 'x')
    await server.hub.publish('news/2.us', 'x')
    assert.equal(await other.next(), 'x')
    for (const one of others) assert.equal((await one.next()).event, 'message')
  })

  test('a lonelyps WebSocket hears which topics it missed, and is sent away where nobody can name them', async (t) => {
    const { hub, port, gaps } = await startHub(t)
    const open = async (...wanted: (readonly ['exact' | 'glob', string])[]): Promise<SocketClient> => {
      const socket = await connectSocket(t, port)
      for (const [kind, target] of wanted) {
        socket.subscribe(kind, target)
        await socket.next(kind === 'exact' ? 'confirm_subscribe_exact' : 'confirm_subscribe_glob')
      }
      return socket
    }
    const named = await open(['exact', 'a/1'], ['exact', 'a/2'], ['exact', 'b/1'], ['exact', 'c'])
    const globbed = await open(['glob', 'a/*'], ['exact', 'a/1'])
    const touched = await open(['glob', 'b/?'])
    const other = await open(['glob', 'd/*'], ['exact', 'd'])
    hub.lose(interestIn(['a/1', 'a/2', 'a/3', 'b/*']))
    const missed = async (socket: SocketClient, count: number): Promise<string[]> =>
      (await Promise.all(Array.from({ length: count }, () => socket.next('missed')))).map(({ topic }) => topic.toString()).sort()
    assert.deepEqual(await missed(named, 3), ['a/1', 'a/2', 'b/1'])
    assert.deepEqual(await missed(globbed, 3), ['a/1', 'a/2', 'a/3'])
    assert.equal(await touched.closed, 1000)
    assert.equal(await gaps('lonelyps'), 3)
    hub.lose(interestIn(['d']))
    assert.deepEqual(await missed(other, 1), ['d'])
    const many = await open(['glob', 'n*'])
    hub.lose(interestIn(Array.from({ length: 1_001 }, (_, i) => `n${i}`)))
    assert.equal(await many.closed, 1000, 'it was told of more than a thousand topics')
    assert.deepEqual([...named.inbox.taken(), ...globbed.inbox.taken(), ...other.inbox.taken()], [])
  })

  test('a recovery url is told of a topic that its webhook missed', async (t) => {
    const none = { type: 'none' } as const
    const world = await openWorld(t, { toBroadcasters: none, toSubscribers: none, limits: { missedInterval: 10 }, connector: buildConnector({}) })
    const [receiver, client] = [await openReceiver(t), createClient(world.port)]
    const registered = [['exact', 'a'], ['exact', 'b'], ['exact', 'b/1'], ['glob', 'a*'], ['glob', 'b/?'], ['exact', 'other'], ['glob', 'other*']] as const
    for (const [i, [kind, target]] of registered.entries()) {
      assert.equal((await client.subscribe(kind, receiver.url(`/${i}`), target, receiver.url('/recover'))).status, 200)
    }
    assert.equal((await client.subscribe('exact', receiver.url('/without'), 'a')).status, 200)
    const told: string[] = []
    world.hub.lose(interestIn(['a', 'b/*']))
    // By name: a, and b/1 by the lost glob. By glob: a*. For b/? nobody knows a topic.
    await until(() => {
      world.clock.adjust(1_000)
      told.push(...receiver.missed.taken())
      return told.length >= 3
    }, 'three notices')
    assert.deepEqual(told.sort(), ['a', 'a', 'b/1'])
    assert.deepEqual(world.failures, [])
  })
})
