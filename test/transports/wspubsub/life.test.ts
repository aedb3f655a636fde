import assert from 'node:assert/strict'
import { test } from 'node:test'
import { draft } from '../../../src/core/message.ts'
import type { Clock } from '../../../src/core/ports.ts'
import { topicFromText } from '../../../src/core/topic.ts'
import { realClock } from '../../../src/server/real-world.ts'
import { OURSELVES } from '../../../src/testing/test-hub.ts'
import { until } from '../../support/events.ts'
import { openFrames, OPCODE } from '../../support/frames.ts'
import { clientFrame, handshake, raw } from '../../support/raw.ts'
import { startKeyedHub } from '../../support/wspubsub.ts'

// wspubsub, sections 3, 6 and 7: who gets a topic, and for how long there is one.

const PUB = '/ws/pub/good/acme/prices'
const NONE = { publishers: 0, subscribers: 0, topics: 0 }

test('a good key makes the topic, a bad one makes none', async (t) => {
  const hub = await startKeyedHub(t)
  hub.keys.put('sleepy', 'asleep', false)
  for (const path of ['bad/acme/prices', 'GOOD/acme/prices', 'good/other/prices', 'asleep/sleepy/prices', '/acme/prices', '%FF/acme/prices', 'good/%FF/prices']) {
    await assert.rejects(hub.publisher(path), { status: 403 }, path)
  }
  assert.deepEqual(hub.transport.gauges(), NONE)
  await hub.publisher()
  await hub.subscriber()
  assert.deepEqual(hub.transport.gauges(), { publishers: 1, subscribers: 1, topics: 1 })
  assert.equal(hub.verdicts.filter((verdict) => verdict === 'good').length, 1)
})

test('a topic with a publisher refuses another with 409, and nobody notices', async (t) => {
  const hub = await startKeyedHub(t)
  const source = await hub.publisher()
  const reader = await hub.subscriber()
  await assert.rejects(hub.publisher(), { status: 409 })
  source.send('undisturbed')
  assert.equal(await reader.next(), 'undisturbed')
})

test('a topic whose publisher has gone is joined and taken over again and again, by good keys alone, and subscribers notice nothing', async (t) => {
  const hub = await startKeyedHub(t)
  let source = await hub.publisher()
  const readers = [await hub.subscriber()]
  for (let i = 0; i < 4; i++) {
    source.ws.close(1000)
    await until(() => hub.transport.gauges().publishers === 0, 'that the publisher is gone')
    readers.push(await hub.subscriber())
    await assert.rejects(hub.publisher('bad/acme/prices'), { status: 403 })
    source = await hub.publisher()
    source.send(`from ${i}`)
    for (const reader of readers) assert.equal(await reader.next(), `from ${i}`)
  }
  assert.deepEqual(hub.lines.map(({ text }) => text.replace(/.* was /, '')), ['opened', ...Array.from({ length: 4 }, () => ['orphaned', 'taken over']).flat()])
})

test('when the grace time is over all subscribers get 1000 without a reason, behind all that was published, and the topic is unknown', async (t) => {
  const hub = await startKeyedHub(t, { limits: { graceTime: 50 } })
  for (const round of [1, 2]) {
    const source = await hub.publisher()
    const readers = [await openFrames(t, hub.port, '/ws/sub/acme/prices'), await openFrames(t, hub.port, '/ws/sub/acme/prices')]
    source.send(`last ${round}`)
    source.ws.terminate()
    for (const reader of readers) {
      assert.equal(await reader.text(), `last ${round}`)
      assert.deepEqual(await reader.close(), { code: 1000, reason: '' })
      reader.send(OPCODE.close, Buffer.from([3, 232]))
      await reader.ended
    }
    await assert.rejects(hub.subscriber(), { status: 404 })
    await until(() => hub.places === 0, 'all places')
    assert.deepEqual([hub.transport.gauges(), hub.hub.topics], [NONE, 0])
  }
})

test('what is published in the turn in which a topic ends goes out before the goodbye', async (t) => {
  let expire = (): void => {}
  const after: Clock['after'] = (ms, fn) => {
    if (ms !== 7_777) return realClock.after(ms, fn)
    expire = fn
    return () => {}
  }
  const hub = await startKeyedHub(t, { limits: { graceTime: 7_777 }, clock: { ...realClock, after } })
  const source = await hub.publisher()
  const reader = await hub.subscriber()
  source.ws.terminate()
  await until(() => hub.transport.gauges().publishers === 0, 'that the publisher is gone')
  void hub.hub.publish(draft(topicFromText('acme/prices'), Buffer.from('the last')), OURSELVES)
  expire()
  assert.deepEqual((await reader.closed).code, 1000)
  assert.deepEqual(reader.inbox.taken().map(({ data }) => data), ['the last'])
})

test('subscribers of a standing topic outlive its publishers', async (t) => {
  const hub = await startKeyedHub(t, { standing: ['acme/*'], limits: { graceTime: 0 } })
  const reader = await hub.subscriber()
  for (const text of ['one', 'two']) {
    const source = await hub.publisher()
    source.send(text)
    assert.equal(await reader.next(), text)
    source.ws.terminate()
    await until(() => hub.transport.gauges().publishers === 0, 'that the publisher is gone')
  }
})

for (const [what, change] of [
  ['revoked', (keys) => keys.put('acme', 'good', false)],
  ['deleted', (keys) => keys.remove('acme')],
  ['replaced', (keys) => keys.put('acme', 'newer')],
] as [string, (keys: Awaited<ReturnType<typeof startKeyedHub>>['keys']) => void][]) {
  test(`a key that is ${what} ends its publishers with 1008, leaves others alone, and its topics go on to the grace time`, async (t) => {
    const hub = await startKeyedHub(t)
    hub.keys.put('other', 'theirs')
    const [source, second, other] = [await hub.publisher(), await hub.publisher('good/acme/second'), await hub.publisher('theirs/other/prices')]
    const [reader, elsewhere] = [await hub.subscriber(), await hub.subscriber('other/prices')]
    change(hub.keys)
    for (const one of [source, second]) assert.deepEqual(await one.closed, { code: 1008, reason: 'the key was taken away' })
    await assert.rejects(hub.publisher(), { status: 403 })
    other.send('untouched')
    assert.equal(await elsewhere.next(), 'untouched')
    hub.keys.put('acme', 'newest')
    const successor = await hub.publisher('newest/acme/prices')
    successor.send('again')
    assert.equal(await reader.next(), 'again')
  })
}

test('a publisher whose key was taken away and who does not leave keeps nobody else from the topic', async (t) => {
  const hub = await startKeyedHub(t)
  const stubborn = await openFrames(t, hub.port, PUB)
  const reader = await hub.subscriber()
  hub.keys.put('acme', 'newer')
  assert.equal((await stubborn.close()).code, 1008)
  const successor = await hub.publisher('newer/acme/prices')
  stubborn.send(OPCODE.text, 'I am still here')
  stubborn.send(OPCODE.ping, '')
  successor.send('no')
  assert.equal(await reader.next(), 'no')
})

for (const [what, last] of [
  ['has said goodbye', clientFrame(OPCODE.close, Buffer.from([0x03, 0xe8]))],
  ['broke the protocol', clientFrame(OPCODE.text, 'no mask', { masked: false })],
  ['sent what is no text', clientFrame(OPCODE.text, Buffer.from([0xff]))],
] as const) {
  test(`a publisher that ${what}, and whose connection stays, keeps nobody else from the topic`, async (t) => {
    const hub = await startKeyedHub(t)
    const stubborn = await raw(t, { port: hub.port, host: '127.0.0.1', allowHalfOpen: true })
    stubborn.send(handshake(PUB))
    await stubborn.until((received) => received.includes('\r\n\r\n'))
    const head = stubborn.received().length
    stubborn.send(last)
    await stubborn.until((received) => received.length > head)
    assert.equal(hub.places, 1)
    await hub.publisher()
  })
}

test('a change of the row that leaves the key good leaves the publisher', async (t) => {
  const hub = await startKeyedHub(t)
  const source = await hub.publisher()
  const reader = await hub.subscriber()
  const before = hub.keys.queries.length
  hub.keys.put('acme', 'good')
  await until(() => hub.keys.queries.length > before, 'a second look')
  source.send('here')
  assert.equal(await reader.next(), 'here')
})

test('without the database topics go on, newcomers are refused with 503 and a time to come back, and a key known as good is let in', async (t) => {
  const hub = await startKeyedHub(t)
  const source = await hub.publisher()
  const reader = await hub.subscriber()
  hub.keys.put('other', 'theirs')
  hub.keys.state = 'away'
  const connection = await raw(t, hub.port)
  connection.send(handshake('/ws/pub/theirs/other/prices'))
  assert.match((await connection.ended).toString(), /^HTTP\/1\.1 503 [^]*\r\nRetry-After: 1\r\n[^]*\r\n?\nError: keys cannot be checked now\.\n$/)
  await assert.rejects(hub.publisher('wrong/acme/prices'), { status: 503 })
  source.send('still here')
  assert.equal(await reader.next(), 'still here')
  source.ws.terminate()
  await until(() => hub.transport.gauges().publishers === 0, 'that the publisher is gone')
  await assert.rejects(hub.publisher('wrong/acme/prices'), { status: 503 })
  const successor = await hub.publisher()
  successor.send('taken over')
  assert.equal(await reader.next(), 'taken over')
  hub.keys.state = 'here'
  await hub.publisher('theirs/other/prices')
})

test('a check that never ends is over after five seconds, a client that goes away meanwhile leaves nothing, and a stop turns away who waits', async (t) => {
  const hub = await startKeyedHub(t, { clock: { ...realClock, after: (ms, fn) => realClock.after(ms === 5_000 ? 100 : ms, fn) } })
  hub.keys.state = 'stuck'
  const [patient, impatient, rude] = [await raw(t, hub.port), await raw(t, hub.port), await raw(t, hub.port)]
  for (const connection of [patient, impatient, rude]) connection.send(handshake(PUB))
  await until(() => hub.places === 3, 'three that wait')
  impatient.socket.end()
  rude.socket.resetAndDestroy()
  await impatient.ended
  assert.match((await patient.ended).toString(), /^HTTP\/1\.1 503 /)
  await until(() => hub.places === 0, 'all places')
  assert.deepEqual(hub.verdicts, ['unavailable', 'unavailable', 'unavailable'])
  assert.deepEqual(hub.transport.gauges(), NONE)
  const late = await raw(t, hub.port)
  late.send(handshake(PUB))
  await until(() => hub.places === 1, 'one that waits')
  await hub.transport.stop(new AbortController().signal)
  assert.match((await late.ended).toString(), /^HTTP\/1\.1 503 [^]*Error: the hub is stopping/)
})

test('at its stop the transport says 1001 to everyone and ends no topic', async (t) => {
  const hub = await startKeyedHub(t, { limits: { graceTime: 0 } })
  const sockets = [await hub.publisher(), await hub.subscriber(), await hub.subscriber()]
  await hub.transport.stop(new AbortController().signal)
  for (const socket of sockets) assert.equal((await socket.closed).code, 1001)
  assert.equal(hub.places, 0)
  assert.deepEqual(hub.lines.map(({ text }) => text), ['a wspubsub topic was opened'])
  assert.equal(await hub.status(PUB), 503)
  assert.equal(await hub.status('/ws/sub/acme/prices'), 503)
})

test('keys are in no log line, and a topic stands there as in a URL', async (t) => {
  const hub = await startKeyedHub(t)
  await hub.publisher('good/acme/a%0Ab')
  assert.deepEqual(hub.lines, [{ line: { topic: 'acme/a%0Ab' }, text: 'a wspubsub topic was opened' }])
})
