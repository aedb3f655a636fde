import assert from 'node:assert/strict'
import { test } from 'node:test'
import { WaystationError } from '../../../src/core/errors.ts'
import { draft, type Message } from '../../../src/core/message.ts'
import { topicFromText } from '../../../src/core/topic.ts'
import { createBodyAccount } from '../../../src/http/body-account.ts'
import { OURSELVES } from '../../../src/testing/test-hub.ts'
import { createPublisher } from '../../../src/transports/wspubsub/publisher.ts'
import { until } from '../../support/events.ts'
import { openFrames, OPCODE, type FrameSocket } from '../../support/frames.ts'
import { transportKit } from '../../support/transport-port.ts'
import { connect } from '../../support/websocket.ts'
import { startKeyedHub, type KeyedHub } from '../../support/wspubsub.ts'

// wspubsub, sections 3.1, 4 and 5: what is said over the connections.

const [PUB, SUB] = ['/ws/pub/good/acme/prices', '/ws/sub/acme/prices']
const partly = { fin: false }

async function pair(t: Parameters<typeof openFrames>[0], hub: KeyedHub): Promise<[publisher: FrameSocket, subscriber: FrameSocket]> {
  const publisher = await openFrames(t, hub.port, PUB)
  return [publisher, await openFrames(t, hub.port, SUB)]
}

test('text comes as text, binary as binary, empty as empty, fragments as one frame, and control frames not at all', async (t) => {
  const hub = await startKeyedHub(t)
  const [publisher, subscriber] = await pair(t, hub)
  const bytes = Buffer.from([0, 255, 128])
  publisher.send(OPCODE.ping, 'ping')
  publisher.send(OPCODE.text, 'grüße')
  publisher.send(OPCODE.pong, 'pong')
  publisher.send(OPCODE.binary, bytes)
  publisher.send(OPCODE.binary, 'bytes that are text')
  publisher.send(OPCODE.text, '')
  publisher.send(OPCODE.binary, '')
  publisher.send(OPCODE.text, 'in ', partly)
  publisher.send(OPCODE.ping, 'between')
  publisher.send(OPCODE.continuation, '', partly)
  publisher.send(OPCODE.continuation, 'parts')
  publisher.send(OPCODE.binary, Buffer.from([1]), partly)
  publisher.send(OPCODE.continuation, Buffer.from([2]))
  publisher.send(OPCODE.text, 'last')
  const got = (await subscriber.frames.take(8)).map(({ opcode, fin, rsv, masked, payload }) => [opcode, fin, rsv, masked, payload])
  const whole = (opcode: number, payload: string | Buffer): unknown[] => [opcode, true, 0, false, Buffer.from(payload as string)]
  assert.deepEqual(got, [
    whole(OPCODE.text, 'grüße'), whole(OPCODE.binary, bytes), whole(OPCODE.binary, 'bytes that are text'), whole(OPCODE.text, ''), whole(OPCODE.binary, ''),
    whole(OPCODE.text, 'in parts'), whole(OPCODE.binary, Buffer.from([1, 2])), whole(OPCODE.text, 'last'),
  ])
  assert.deepEqual(await pongsOf(publisher, 2), ['ping', 'between'])
})

async function pongsOf(socket: FrameSocket, n: number): Promise<string[]> {
  return (await socket.frames.take(n)).map(({ opcode, payload }) => `${opcode === OPCODE.pong ? '' : `opcode ${opcode}: `}${payload.toString()}`)
}

test('a publisher gets nothing but the answers to its control frames', async (t) => {
  const hub = await startKeyedHub(t)
  const [publisher, subscriber] = await pair(t, hub)
  publisher.send(OPCODE.text, 'one')
  publisher.send(OPCODE.binary, 'two')
  await subscriber.frames.take(2)
  publisher.send(OPCODE.ping, 'still here')
  assert.deepEqual(await pongsOf(publisher, 1), ['still here'])
})

test('a message of five million bytes comes as one frame', async (t) => {
  const hub = await startKeyedHub(t)
  const [publisher, subscriber] = await pair(t, hub)
  const body = Buffer.alloc(5_000_000, 'x')
  publisher.send(OPCODE.binary, body)
  const { opcode, fin, payload } = await subscriber.frames.next()
  assert.deepEqual([opcode, fin, payload.equals(body)], [OPCODE.binary, true, true])
})

test('text that is none ends the publisher with 1007, broken frames with 1002, and nothing of them is relayed', async (t) => {
  const hub = await startKeyedHub(t, { standing: ['*'] })
  const subscriber = await openFrames(t, hub.port, SUB)
  const wrong: [number, (socket: FrameSocket) => void][] = [
    [1007, (socket) => socket.send(OPCODE.text, Buffer.from([0x61, 0xff]))],
    [1002, (socket) => socket.send(OPCODE.text, 'x', { masked: false })],
    [1002, (socket) => socket.send(3, 'x')],
    [1002, (socket) => socket.send(OPCODE.text, 'x', { rsv: 4 })],
    [1002, (socket) => socket.send(OPCODE.continuation, 'x')],
  ]
  for (const [code, say] of wrong) {
    const publisher = await openFrames(t, hub.port, PUB)
    say(publisher)
    assert.deepEqual(await publisher.close(), { code, reason: '' })
    publisher.raw.socket.destroy()
    await until(() => hub.transport.gauges().publishers === 0, 'that the publisher is gone')
  }
  const publisher = await openFrames(t, hub.port, PUB)
  publisher.send(OPCODE.text, 'good')
  assert.equal(await subscriber.text(), 'good')
})

test('a length in more bytes than it needs is taken from both', async (t) => {
  const hub = await startKeyedHub(t)
  const [publisher, subscriber] = await pair(t, hub)
  const wide = Buffer.concat([Buffer.from([0x81, 0xff, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0]), Buffer.from('hi')])
  subscriber.raw.send(wide)
  publisher.raw.send(wide)
  assert.equal(await subscriber.text(), 'hi')
})

test('a Close is answered with its code, and with none when it has none, and the connection ends', async (t) => {
  const hub = await startKeyedHub(t, { standing: ['*'] })
  for (const path of [PUB, SUB]) {
    for (const code of [1000, 4321, undefined]) {
      const socket = await openFrames(t, hub.port, path)
      socket.send(OPCODE.close, code === undefined ? '' : Buffer.from([code >> 8, code & 255]))
      assert.deepEqual(await socket.close(), { code, reason: '' })
      await socket.ended
      await until(() => hub.places === 0, 'the place is free')
    }
  }
})

test('what is published while nobody listens is gone, and who has its 101 misses nothing', async (t) => {
  const { publisher, subscriber } = await startKeyedHub(t)
  const source = await publisher()
  for (let i = 0; i < 20; i++) {
    source.send(`${i}`)
    const reader = await subscriber()
    source.send(`after ${i}`)
    let text = await reader.next()
    if (text === `${i}`) text = await reader.next()
    assert.equal(text, `after ${i}`)
    reader.ws.terminate()
  }
})

test('all subscribers get everything in the order it was sent', async (t) => {
  const { publisher, subscriber } = await startKeyedHub(t)
  const source = await publisher()
  const readers = await Promise.all([subscriber(), subscriber(), subscriber()])
  const expected = Array.from({ length: 5_000 }, (_, i) => `${i}`)
  for (const text of expected) source.send(text)
  for (const reader of readers) assert.deepEqual((await reader.inbox.take(expected.length)).map(({ data }) => data), expected)
})

test('what a subscriber says is ignored: text, binary, any size, in fragments, also what is no UTF-8; its pings are answered', async (t) => {
  const hub = await startKeyedHub(t)
  const [publisher, subscriber] = await pair(t, hub)
  const other = await openFrames(t, hub.port, SUB)
  subscriber.send(OPCODE.text, 'hello')
  subscriber.send(OPCODE.binary, Buffer.alloc(20_000_000))
  subscriber.send(OPCODE.text, Buffer.from([0xff]))
  subscriber.send(OPCODE.binary, 'in ', partly)
  for (let i = 0; i < 3_000; i++) subscriber.send(OPCODE.continuation, 'many', partly)
  subscriber.send(OPCODE.continuation, 'parts')
  subscriber.send(OPCODE.ping, 'there?')
  assert.deepEqual(await pongsOf(subscriber, 1), ['there?'])
  publisher.send(OPCODE.text, 'real')
  assert.equal(await subscriber.text(), 'real')
  assert.equal(await other.text(), 'real')
  assert.equal(publisher.frames.taken().length, 0)
})

test('a subscriber that breaks the protocol is ended with 1002', async (t) => {
  const hub = await startKeyedHub(t, { standing: ['*'] })
  const wrong: ((socket: FrameSocket) => void)[] = [
    (socket) => socket.send(OPCODE.text, 'x', { masked: false }),
    (socket) => socket.send(3, ''),
    (socket) => socket.send(OPCODE.continuation, 'nothing is open'),
    (socket) => socket.send(OPCODE.ping, 'x'.repeat(126)),
  ]
  for (const say of wrong) {
    const socket = await openFrames(t, hub.port, SUB)
    say(socket)
    assert.deepEqual(await socket.close(), { code: 1002, reason: '' })
    socket.raw.socket.destroy()
  }
})

test('a message carries its type to whoever else takes it, and other protocols reach the subscribers', async (t) => {
  const hub = await startKeyedHub(t)
  const [publisher, subscriber] = await pair(t, hub)
  const pinghub = await connect(t, `ws://127.0.0.1:${hub.port}/acme/prices`)
  const seen: Message[] = []
  hub.hub.joinAll({ count: 0, deliver: (message) => seen.push(message), gap() {} })
  publisher.send(OPCODE.text, 'text')
  publisher.send(OPCODE.binary, 'bytes')
  assert.deepEqual((await pinghub.inbox.take(2)).map(({ data, binary }) => [data, binary]), [['text', false], ['bytes', true]])
  assert.deepEqual(seen.map(({ topic, contentType, text }) => [topic, contentType, text]), [['acme/prices', 'text/plain; charset=utf-8', true], ['acme/prices', 'application/octet-stream', false]])
  await hub.hub.publish(draft(topicFromText('acme/prices'), Buffer.from('{}'), 'application/json'), OURSELVES)
  await hub.hub.publish(draft(topicFromText('acme/prices'), Buffer.from([0xff])), OURSELVES)
  const got = await subscriber.frames.take(4)
  assert.deepEqual(got.map(({ opcode }) => opcode), [OPCODE.text, OPCODE.binary, OPCODE.text, OPCODE.binary])
  await assert.rejects(fetch(`http://127.0.0.1:${hub.port}/acme/prices`, { method: 'POST', body: 'x' }).then(({ status }) => {
    throw new Error(String(status))
  }), /403/)
})

test('a message that lies on disk is passed over', async (t) => {
  const hub = await startKeyedHub(t)
  const [publisher, subscriber] = await pair(t, hub)
  const large = { size: 1, hold() {}, letGo() {}, async *read() {} }
  await hub.hub.publish({ ...draft(topicFromText('acme/prices'), Buffer.alloc(0)), large }, OURSELVES)
  publisher.send(OPCODE.text, 'next')
  assert.equal(await subscriber.text(), 'next')
})

test('on a standing topic subscribers find what other protocols publish there', async (t) => {
  const { port, subscriber, status } = await startKeyedHub(t, { standing: ['news/*'] })
  const reader = await subscriber('news/eu')
  assert.equal(await status('/ws/sub/other/eu'), 404)
  assert.equal((await fetch(`http://127.0.0.1:${port}/news/eu`, { method: 'POST', body: 'hello' })).status, 200)
  assert.equal(await reader.next(), 'hello')
})

test('rules hold: who may not publish or subscribe is refused with 403, also where no topic is', async (t) => {
  const hub = await startKeyedHub(t, { rules: [{ topics: 'acme/out', publish: 'nobody' }, { topics: 'acme/in', subscribe: 'signed' }] })
  assert.equal(await hub.status('/ws/pub/good/acme/out'), 403)
  assert.equal(await hub.status('/ws/sub/acme/in'), 403)
  await hub.publisher('good/acme/in')
  assert.equal(await hub.status('/ws/sub/acme/in'), 403)
  assert.equal(hub.transport.gauges().topics, 1)
})

test('a hub that takes no more messages ends its publishers with 1013', async (t) => {
  const hub = await startKeyedHub(t)
  const source = await hub.publisher()
  hub.hub.stop()
  source.send('too late')
  assert.deepEqual(await source.closed, { code: 1013, reason: 'the message could not be taken' })
})

test('a publication that is forbidden, now or later, ends the publisher with 1008, and the topic is free at once', async () => {
  const outcomes: (() => never | Promise<never>)[] = [
    () => {
      throw new WaystationError('forbidden')
    },
    async () => {
      throw new WaystationError('forbidden')
    },
  ]
  for (const outcome of outcomes) {
    const said: unknown[] = []
    const publisher = createPublisher({
      kit: transportKit(), bodies: createBodyAccount(1_000), topic: topicFromText('a/b'), identity: OURSELVES,
      hub: { publish: outcome } as unknown as Parameters<typeof createPublisher>[0]['hub'],
      connection: { open: true, close: (code, reason) => void said.push([code, reason]) },
      leave: () => void said.push('left'),
    })
    publisher.receive(Buffer.from('x'), false)
    publisher.receive(Buffer.from('y'), false)
    await until(() => said.length > 0, 'the end')
    publisher.gone()
    assert.deepEqual(said, ['left', [1008, 'a rule does not allow publishing here']])
  }
})

test('a peer is pinged; who answers stays, who answers nothing goes', async (t) => {
  // Long enough that a machine which is busy with other things answers in time.
  const hub = await startKeyedHub(t, { limits: { pingInterval: 100, pongDeadline: 1_000 } })
  const [publisher, subscriber] = await pair(t, hub)
  for (const socket of [publisher, subscriber]) {
    const { opcode, payload } = await socket.frames.next()
    assert.deepEqual([opcode, payload.length], [OPCODE.ping, 0])
  }
  // Neither answers.
  await Promise.all([publisher.ended, subscriber.ended])
  const [source, reader] = [await hub.publisher('good/acme/quiet'), await hub.subscriber('acme/quiet')]
  let pings = 0
  reader.ws.on('ping', () => pings++)
  await until(() => pings > 12, 'more pings than fit into the deadline')
  source.send('still here')
  assert.equal(await reader.next(), 'still here')
})
