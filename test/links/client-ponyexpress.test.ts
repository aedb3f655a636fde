import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Atom } from '../../src/protocol/etf/term.ts'
import { createTestHub } from '../../src/testing/test-hub.ts'
import { createPlayedGiver, createTestLink, type PlayedConnection } from '../support/link-giver.ts'
import { linked as linkedWith, ready } from '../support/linked.ts'

async function linked(topics: readonly string[], options: Omit<Parameters<typeof linkedWith>[0], 'topics'> = {}) {
  const world = await linkedWith({ topics, ...options })
  const { giver } = world
  /** The connections that are open, by the topic that each has subscribed to. */
  const open = (): Map<string, PlayedConnection> => new Map(giver.connections.filter(({ isClosed }) => !isClosed).map((one) => [subscribed(one), one]))
  return { ...world, open, on: (topic: string) => open().get(topic) as PlayedConnection }
}

function subscribed(connection: PlayedConnection): string {
  const [said, ...more] = connection.said
  assert.equal(more.length, 0, 'more than one subscribe')
  return said?.kind === 'subscribe' ? said.topic.toString() : '(nothing)'
}

test('a daemon that does not answer gets one connection for each topic, each with one subscribe and no wish but on the first', async () => {
  const { giver, link, open, everything, on } = await linked(['b', 'a', 'c'], { prefix: 'p/' })
  await link.pass(1_990)
  assert.equal(giver.connections.length, 1)
  await link.pass(500)
  assert.deepEqual([...open().keys()], ['a', 'b', 'c'])
  assert.deepEqual(giver.connections.map(({ said: [first] }) => first?.kind === 'subscribe' && first.wish !== undefined), [true, false, false])
  assert.equal(link.state(), 'up ponyexpress')
  on('b').broadcast('text')
  on('c').broadcast([1, new Atom('ping')])
  on('a').broadcast(null)
  await link.pass(0)
  assert.deepEqual(everything.messages().map(({ topic, body, contentType, via }) => [topic, body.toString(), contentType, via]), [
    ['p/b', 'text', 'text/plain; charset=utf-8', ['cn:giver']],
    ['p/c', everything.messages()[1]?.body.toString(), 'application/json', ['cn:giver']],
    ['p/a', 'null', 'application/json', ['cn:giver']],
  ])
})

test('a broadcast that comes first says that it is PonyExpress, and is not lost', async () => {
  const { link, open, everything, on } = await linked(['a', 'b'])
  on('a').broadcast('first')
  await link.pass(300)
  assert.deepEqual([...open().keys()], ['a', 'b'])
  assert.deepEqual(everything.texts(), ['first'])
  assert.equal(link.state(), 'up ponyexpress')
})

test('globs that cannot be asked of it are told, and the names work; with globs alone the link stays down and says why', async () => {
  const { link, everything, on } = await linked(['a', 'news/*'])
  await link.pass(2_500)
  assert.equal(link.state(), 'up ponyexpress')
  assert.deepEqual(link.client.view().unserved, ['news/*'])
  assert.deepEqual(link.changes.at(-1)?.unserved, ['news/*'])
  on('a').broadcast('x')
  await link.pass(0)
  assert.deepEqual(everything.texts(), ['x'])

  const globs = await linked(['news/*'])
  await globs.link.pass(2_500)
  assert.deepEqual([...globs.open().keys()], [''])
  assert.equal(globs.link.state(), 'down: the daemon is one of PonyExpress, which has no globs, and only globs were asked for')
  globs.on('').broadcast('to the empty topic')
  globs.on('').end()
  await globs.link.pass(2_500)
  assert.equal(globs.link.state(), 'down: the daemon is one of PonyExpress, which has no globs, and only globs were asked for')
  assert.deepEqual([globs.everything.texts(), globs.link.dropped], [[], ['unasked']])
  ready(globs.on(''))
  await globs.link.pass(1_600)
  ready(globs.on(''))
  await globs.link.pass(0)
  assert.equal(globs.link.state(), 'up waystation')
  assert.equal(globs.link.client.view().unserved, undefined)
})

test('what may have been missed of a topic is announced when its connection is up again, before what follows, and for no other', async () => {
  const { link, everything, on } = await linked(['a', 'b'])
  await link.pass(2_500)
  on('a').broadcast('a1')
  on('b').broadcast('b1')
  await link.pass(0)
  on('a').break('cut')
  await link.pass(0)
  assert.equal(link.state(), 'down: cut')
  assert.deepEqual(everything.texts(), ['a1', 'b1'], 'it is not up again yet')
  on('a').broadcast('a2')
  on('b').broadcast('b2')
  await link.pass(500)
  assert.deepEqual(everything.texts(), ['a1', 'b1', '(gap)', 'a2', 'b2'])
  on('b').end()
  await link.pass(500)
  assert.deepEqual(everything.texts().slice(5), ['(gap)'])
  assert.equal(link.state(), 'up ponyexpress')
})

test('tries in vain announce nothing, and one loss is announced once', async () => {
  const { giver, link, everything, on } = await linked(['a'])
  await link.pass(2_500)
  giver.fail('unreachable')
  on('a').end()
  await link.pass(60_000)
  assert.deepEqual(everything.texts(), [])
  giver.fail(undefined)
  await link.pass(20_000)
  assert.deepEqual(everything.texts(), ['(gap)'])
})

test('an answer that comes late makes everything anew as a Waystation, and says what may be missing', async () => {
  const { giver, link, everything, on, open } = await linked(['a', 'b'])
  await link.pass(2_500)
  assert.equal(giver.connections.length, 2)
  on('b').broadcast('b1')
  await link.pass(0)
  ready(on('a'), 7)
  on('a').message(8, 'b')
  await link.pass(100)
  assert.deepEqual([...open().keys()], ['a'])
  assert.equal(giver.connections.length, 3)
  ready(on('a'), 9)
  on('a').message(10, 'b')
  await link.pass(0)
  assert.equal(link.state(), 'up waystation')
  assert.deepEqual(everything.texts(), ['b1', '(gap)', 'm10'])
  const last = giver.connections.at(-1)?.said[0]
  assert.ok(last?.kind === 'subscribe' && last.wish !== undefined && last.wish.after === undefined)
})

test('a daemon that was replaced by a Waystation is known at the next connection, and the other way round', async () => {
  const { giver, link, everything, on, open } = await linked(['a', 'b', 'x*'])
  await link.pass(2_500)
  for (const one of giver.connections) one.end()
  await link.pass(0)
  ready(on('a'), 3)
  await link.pass(1_600)
  ready(on('a'), 3)
  on('a').message(4, 'xy')
  await link.pass(10_000)
  assert.deepEqual([...open().keys()], ['a'])
  assert.equal(link.state(), 'up waystation')
  on('a').end()
  await link.pass(0)
  on('a').broadcast('old')
  await link.pass(1_000)
  assert.deepEqual([...open().keys()], ['a', 'b'])
  assert.equal(link.state(), 'up ponyexpress')
  // The first topic as one of PonyExpress, and everything; then the globs, and each topic when its connection is up.
  assert.deepEqual(everything.texts(), ['(gap)', '(gap)', 'm4', '(gap)', '(gap)', 'old', '(gap)'])
  ready(on('a'), 9)
  await link.pass(2_000)
  const last = giver.connections.at(-1)?.said[0]
  assert.ok(last?.kind === 'subscribe' && last.wish !== undefined && last.wish.after === undefined, 'its old place would bring again what has come meanwhile')
})

test('what came of one topic alone as from PonyExpress is not known to be whole either', async () => {
  const { link, everything, on } = await linked(['a'])
  await link.pass(2_500)
  ready(on('a'), 7)
  await link.pass(0)
  ready(on('a'), 7)
  await link.pass(0)
  assert.equal(link.state(), 'up waystation')
  assert.deepEqual(everything.texts(), ['(gap)'])
})

test('a connection that is lost before the answer says nothing of the other end', async () => {
  const { giver, link, open, on } = await linked(['a', 'b'])
  await link.pass(1_000)
  giver.fail('unreachable')
  on('a').break('cut')
  await link.pass(10_000)
  giver.fail(undefined)
  await link.pass(9_000)
  ready(on('a'))
  await link.pass(1_000)
  assert.deepEqual([...open().keys()], ['a'])
  assert.deepEqual(link.changes.filter(({ current }) => current.state === 'up').map(({ current }) => current.state === 'up' && current.peer), ['waystation'])
})

test('no more handshakes than eight at a time, and none of the topics is forgotten', async () => {
  const topics = Array.from({ length: 40 }, (_, i) => `t${i}`)
  const { hub } = createTestHub()
  const giver = createPlayedGiver()
  let [now, most] = [0, 0]
  const waiting: (() => void)[] = []
  const link = createTestLink({
    hub, topics,
    async dial(signal) {
      most = Math.max(most, ++now)
      await new Promise<void>((resolve) => waiting.push(resolve))
      now--
      return giver.dial(signal)
    },
  })
  await link.start()
  for (let i = 0; i < 60 && giver.connections.length < topics.length; i++) {
    for (const go of waiting.splice(0)) go()
    await link.pass(100)
    if (giver.connections.length < topics.length) assert.match(link.state(), /^down/)
  }
  await link.pass(500)
  assert.equal(link.state(), 'up ponyexpress')
  assert.equal(most, 8)
  assert.equal(new Set(giver.connections.map(subscribed)).size, 40)
})

test('keepalives go over each connection, and silence is no fault', async () => {
  const { giver, link } = await linked(['a', 'b'], { limits: { linkKeepalive: 1_000, linkDeadline: 3_000 } })
  await link.pass(12_500)
  assert.deepEqual(giver.connections.map(({ keepalives }) => keepalives), [12, 10])
  assert.equal(link.state(), 'up ponyexpress')
})
