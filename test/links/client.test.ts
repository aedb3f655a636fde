import assert from 'node:assert/strict'
import { test } from 'node:test'
import { exactly } from '../../src/core/interest.ts'
import { topicFromText } from '../../src/core/topic.ts'
import { createRecorder } from '../../src/testing/recorders.ts'
import { createPlayedGiver, createTestLink, type PlayedConnection, type TestLink } from '../support/link-giver.ts'
import { EPOCH, linked, ready } from '../support/linked.ts'

function wishOf(connection: PlayedConnection) {
  const [said] = connection.said
  assert.equal(said?.kind, 'subscribe')
  assert.equal(connection.said.length, 1, 'more than one subscribe')
  return said as Extract<typeof said, { kind: 'subscribe' }>
}

const settled = (link: TestLink): Promise<void> => link.pass(0)

test('the first subscription names a topic, and wishes for everything behind it', async () => {
  const { link, hub, last } = await linked()
  const { topic, wish } = wishOf(last())
  assert.equal(topic.toString(), 'prices')
  assert.deepEqual(wish, { hub: hub.cursor.epoch, topics: [Buffer.from('prices')], patterns: ['news/*'], after: undefined })
  assert.equal(link.state(), 'down: it has not been made yet')
})

test('from a Waystation everything comes over one connection, behind the prefix, with its way', async () => {
  const { giver, everything, link, last } = await linked({ prefix: 'cloud/' })
  ready(last(), 10)
  last().message(11, 'news/eu', { contentType: 'text/x', body: Buffer.from('hello'), via: ['first'] })
  last().message(15, 'prices')
  await settled(link)
  assert.equal(link.state(), 'up waystation')
  assert.deepEqual(everything.messages().map(({ topic, body, contentType, text, via }) => [topic, body.toString(), contentType, text, via]), [
    ['cloud/news/eu', 'hello', 'text/x', true, ['first', EPOCH]],
    ['cloud/prices', 'm15', 'text/plain', true, [EPOCH]],
  ])
  assert.equal(giver.connections.length, 1)
})

test('a term comes as what it shows to everyone', async () => {
  const { everything, link, last } = await linked({ topics: ['t'] })
  ready(last())
  last().message(1, 't', { contentType: 'application/x-erlang-term', body: Buffer.from('8361 07'.replaceAll(' ', ''), 'hex') })
  last().message(2, 't', { contentType: 'application/x-erlang-term', body: Buffer.from('836d0000000378797a', 'hex') })
  await settled(link)
  assert.deepEqual(everything.messages().map(({ body, contentType, term }) => [body.toString(), contentType, term?.toString('hex')]), [
    ['7', 'application/json', '836107'],
    ['xyz', 'text/plain; charset=utf-8', undefined],
  ])
  assert.equal(link.state(), 'up waystation')
})

test('after an outage it goes on exactly where it was: after a message, a gap, and a sign of life', async () => {
  const { link, last } = await linked()
  ready(last(), 10)
  const places: number[] = []
  for (const say of [
    () => last().message(11, 'prices'),
    () => last().say({ kind: 'gap', to: { epoch: EPOCH, offset: 20 }, topics: [Buffer.from('prices')], patterns: [], via: [] }),
    () => last().say({ kind: 'alive', at: { epoch: EPOCH, offset: 30 } }),
    () => last().say({ kind: 'alive', at: { epoch: EPOCH, offset: 29 } }),
  ]) {
    say()
    await settled(link)
    last().end()
    await link.pass(1_500)
    const after = wishOf(last()).wish?.after
    assert.equal(after?.epoch, EPOCH)
    places.push(after?.offset ?? -1)
    ready(last(), after?.offset)
    await link.pass(5_000)
  }
  assert.deepEqual(places, [11, 20, 30, 30])
})

test('an outage that the giver bridges is no gap; one that it does not is announced behind the prefix, and to nobody else', async () => {
  for (const [at, epoch, gaps] of [[11, EPOCH, 0], [12, EPOCH, 1], [9, EPOCH, 1], [11, 'another', 1]] as const) {
    const { hub, everything, link, last } = await linked({ prefix: 'c/' })
    const apart = createRecorder()
    hub.join(exactly(topicFromText('elsewhere')), apart)
    ready(last(), 10)
    last().message(11, 'prices')
    await settled(link)
    last().end()
    await link.pass(0)
    ready(last(), at, epoch)
    last().message(at + 1, 'prices')
    await settled(link)
    assert.deepEqual(everything.texts(), ['m11', ...Array.from({ length: gaps }, () => '(gap)'), `m${at + 1}`], JSON.stringify([at, epoch]))
    assert.deepEqual(apart.texts(), [])
  }
})

test('a gap that the giver tells of reaches those who may want something of it', async () => {
  const { hub, link, last } = await linked()
  const [prices, news] = [createRecorder(), createRecorder()]
  hub.join(exactly(topicFromText('prices')), prices)
  hub.join(exactly(topicFromText('news/eu')), news)
  ready(last())
  last().message(1, 'prices')
  last().say({ kind: 'gap', to: { epoch: EPOCH, offset: 5 }, topics: [], patterns: ['news/*'], via: [] })
  last().message(6, 'news/eu')
  await settled(link)
  assert.deepEqual([prices.texts(), news.texts()], [['m1'], ['(gap)', 'm6']])
})

test('what is lost again is the same, so that a log keeps its names once, however often a link flaps', async () => {
  const { everything, link, last } = await linked()
  ready(last())
  const gap = (offset: number, ...topics: string[]): void => last().say({ kind: 'gap', to: { epoch: EPOCH, offset }, topics: topics.map((topic) => Buffer.from(topic)), patterns: [], via: [] })
  gap(1, 'prices', 'news/eu')
  gap(2, 'prices', 'news/eu')
  gap(3, 'prices')
  await settled(link)
  const [first, again, other] = everything.arrivals.map((arrival) => ('gap' in arrival ? arrival.lost : undefined))
  assert.equal(first, again)
  assert.deepEqual([first?.topics, other?.topics], [['prices', 'news/eu'], ['prices']])
})

test('what came from this hub, or through too many, is dropped and counted, and not asked for again', async () => {
  const { hub, everything, link, last } = await linked()
  ready(last())
  last().message(1, 'prices', { via: ['x', hub.cursor.epoch] })
  last().message(2, 'prices', { via: Array.from({ length: 16 }, (_, i) => `h${i}`) })
  last().message(3, 'prices', { via: Array.from({ length: 15 }, (_, i) => `h${i}`) })
  last().message(4, 'prices', { via: [hub.cursor.epoch] })
  await settled(link)
  assert.deepEqual(everything.texts(), ['m3'])
  assert.deepEqual(link.dropped, ['own', 'via', 'own'])
  last().end()
  await link.pass(0)
  assert.equal(wishOf(last()).wish?.after?.offset, 4)
})

test('a refusal is told as one, and asked again only after the longest wait', async () => {
  const { giver, link, last } = await linked()
  last().say({ kind: 'refused', why: 'forbidden' })
  await settled(link)
  assert.equal(link.state(), 'down: the other end refuses: forbidden')
  await link.pass(7_400)
  assert.equal(giver.dials, 1)
  await link.pass(6_000)
  assert.equal(giver.dials, 2)
})

test('a link to itself is told as one, and brings nothing', async () => {
  const { hub, link, last, everything } = await linked()
  last().say({ kind: 'ready', at: hub.cursor, hub: hub.cursor.epoch })
  last().message(1, 'prices')
  await settled(link)
  assert.equal(link.state(), 'down: the other end is this hub itself')
  assert.deepEqual(everything.texts(), [])
})

test('it starts at once, tries for ever with waits in between, and tells of each other reason once', async () => {
  const { giver, link } = await linked({ played: (connection) => ready(connection) })
  assert.equal(link.state(), 'up waystation')
  giver.fail('refused')
  giver.connections[0]?.break('made up')
  await link.pass(0)
  assert.equal(giver.dials, 2, 'the first try comes at once')
  await link.pass(300_000)
  assert.ok(giver.dials >= 20 && giver.dials <= 40, `${giver.dials} dials in 300 s`)
  giver.fail('timeout')
  await link.pass(20_000)
  giver.fail(undefined)
  await link.pass(20_000)
  assert.deepEqual(link.changes.map(({ current }) => (current.state === 'up' ? 'up' : current.why)), ['up', 'made up', 'made up: refused', 'made up: timeout', 'up'])
  const [, first, second, third] = link.changes.map(({ current }) => current.since)
  assert.ok(first === second && second === third, 'it is down since it was lost')
})

test('a refusal of our certificate after the handshake is a failure like any other', async () => {
  const { giver, link } = await linked({ played: (connection) => connection.break('alert certificate required') })
  await settled(link)
  assert.equal(link.state(), 'down: alert certificate required')
  assert.equal(giver.dials, 1)
  await link.pass(1_500)
  assert.equal(giver.dials, 2)
})

test('keepalives go out, and a Waystation that sends nothing is gone; PonyExpress may be silent', async () => {
  const { giver, link, last } = await linked({ limits: { linkKeepalive: 1_000, linkDeadline: 3_000 } })
  const first = last()
  ready(first)
  await link.pass(2_900)
  assert.equal(first.keepalives, 2)
  first.say({ kind: 'alive', at: { epoch: EPOCH, offset: 0 } })
  await link.pass(2_900)
  assert.equal(link.state(), 'up waystation')
  await link.pass(200)
  assert.equal(link.state(), 'down: nothing has come for 3000 ms')
  assert.ok(first.isClosed)
  assert.equal(giver.connections.length, 2)
})

test('a known Waystation that owes an answer is asked again from the same place, and is taken for PonyExpress only after three', async () => {
  const { link, last, giver } = await linked({ topics: ['prices'] })
  ready(last(), 10)
  last().message(11, 'prices')
  await settled(link)
  last().end()
  await link.pass(0)
  for (let i = 0; i < 2; i++) {
    assert.equal(wishOf(last()).wish?.after?.offset, 11)
    await link.pass(2_000)
    assert.equal(link.state(), 'down: no answer within 2000 ms')
    await link.pass(3_000)
  }
  assert.equal(giver.connections.length, 4)
  await link.pass(2_000)
  assert.equal(link.state(), 'up ponyexpress')
})

test('stopped, it says goodbye and stays closed, whatever it was doing', async () => {
  const { giver, link, last } = await linked()
  ready(last())
  await settled(link)
  await link.client.stop(new AbortController().signal)
  assert.ok(last().isClosed)
  await link.pass(100_000)
  assert.equal(giver.dials, 1)
  assert.equal(link.clock.timers, 0)
  await link.client.stop(new AbortController().signal)

  const waiting = await linked()
  waiting.giver.fail('refused')
  waiting.last().break('gone')
  await waiting.link.pass(10)
  await waiting.link.client.stop(new AbortController().signal)
  assert.equal(waiting.link.clock.timers, 0)
  await waiting.link.pass(100_000)
  assert.equal(waiting.giver.dials, 1)

  const slow = createPlayedGiver()
  const answer = Promise.withResolvers<void>()
  const dialling = createTestLink({ hub: waiting.hub, topics: ['a'], dial: (signal) => answer.promise.then(() => slow.dial(new AbortController().signal)).finally(() => assert.ok(signal.aborted)) })
  await dialling.start()
  await dialling.client.stop(new AbortController().signal)
  answer.resolve()
  await dialling.pass(100_000)
  assert.deepEqual(slow.connections.map(({ isClosed, said }) => [isClosed, said.length]), [[true, 0]])

  const early = createTestLink({ hub: waiting.hub, dial: waiting.giver.dial, topics: ['a'] })
  await early.client.stop(new AbortController().signal)
  await early.start()
  assert.equal(waiting.giver.dials, 1)
})

test('a daemon that does not say goodbye is let go after a second, and at once when there is no time', async () => {
  for (const [ms, deadline] of [[1_000, new AbortController().signal], [0, AbortSignal.abort()]] as const) {
    const { link, last } = await linked()
    ready(last())
    await settled(link)
    last().stream.pause()
    let isOver = false
    void link.client.stop(deadline).then(() => (isOver = true))
    if (ms > 0) await link.pass(ms - 1)
    assert.equal(isOver, false)
    await link.pass(1)
    assert.equal(isOver, true)
  }
})
