import assert from 'node:assert/strict'
import { test } from 'node:test'
import { WaystationError } from '../../src/core/errors.ts'
import { interestIn } from '../../src/core/interest.ts'
import type { HubPort, Receipt } from '../../src/core/ports.ts'
import { deflateSync } from 'node:zlib'
import { createRecorder } from '../../src/testing/recorders.ts'
import { createTestHub } from '../../src/testing/test-hub.ts'
import { broadcastFrame, frameOf, type PlayedConnection } from '../support/link-giver.ts'
import { EPOCH, linked as linkedWith, ready } from '../support/linked.ts'

const linked = (options: Parameters<typeof linkedWith>[0] = {}): ReturnType<typeof linkedWith> => linkedWith({ limits: { maxLinkFrameBytes: 65_536 }, ...options })
const payload = (bytes: Uint8Array): Buffer => {
  const frame = Buffer.alloc(8 + bytes.length)
  frame.writeUInt32BE(0x07440745, 0)
  frame.writeUInt32BE(bytes.length, 4)
  frame.set(bytes, 8)
  return frame
}
/** `{:pubsub, _}` around a term without its 131. */
const pubsub = (...term: number[]): Buffer => broadcastFrame(Buffer.from([131, ...term]))
const bomb = (): Buffer => {
  const size = Buffer.alloc(4)
  size.writeUInt32BE(200_000)
  return payload(Buffer.concat([Buffer.from([131, 80]), size, deflateSync(Buffer.concat([Buffer.from('680277067075627375626d00030d28', 'hex'), Buffer.alloc(199_985)]))]))
}

const faults: Record<string, (connection: PlayedConnection) => void> = {
  'a wrong cookie': ({ raw }) => raw(Buffer.from('HTTP/1.1 400 Bad Request\r\n')),
  'a frame of no bytes': ({ raw }) => raw(payload(Buffer.alloc(0))),
  'a frame that says 4 GiB': ({ raw }) => raw(Buffer.from('07440745ffffffff', 'hex')),
  'a frame above the limit': ({ raw }) => raw(payload(Buffer.alloc(65_537, 131))),
  'a term that is cut off': ({ raw }) => raw(payload(Buffer.from('836802770670756273', 'hex'))),
  'no term': ({ raw }) => raw(payload(Buffer.from('hello'))),
  'a term that nobody sends': ({ raw }) => raw(payload(Buffer.from('8361 01'.replaceAll(' ', ''), 'hex'))),
  'a message of a topic that was not asked for': ({ message }) => message(1, 'secrets'),
  'a message of a topic that is no text': ({ message }) => message(1, '', { topic: Buffer.from([0xff]) }),
  'what says that it is a term and is none': ({ message }) => message(2, 'prices', { contentType: 'application/x-erlang-term', body: Buffer.from('no term') }),
  'a broadcast in between': ({ broadcast }) => broadcast('x'),
  'two answers': (connection) => ready(connection),
  'a sign of life from another log': ({ say }) => say({ kind: 'alive', at: { epoch: 'another', offset: 5 } }),
  'a gap in another log': ({ say }) => say({ kind: 'gap', to: { epoch: 'another', offset: 5 }, topics: [], patterns: ['*'], via: [] }),
}

for (const [name, send] of Object.entries(faults)) {
  test(`${name}: the connection is dropped, nothing more of it counts, and the next waits`, async () => {
    const { giver, everything, link, last } = await linked()
    ready(last())
    last().message(1, 'prices')
    await link.pass(6_000)
    send(last())
    last().message(2, 'prices')
    await link.pass(0)
    assert.deepEqual(everything.texts(), ['m1'])
    assert.ok(last().isClosed)
    assert.match(link.state(), /^down: /)
    assert.equal(giver.dials, 1, 'it has come back at once')
    await link.pass(1_500)
    assert.equal(giver.dials, 2)
    const [said] = last().said
    assert.equal(said?.kind === 'subscribe' && said.wish?.after?.offset, 1)
  })
}

/** Broadcasts that are none: over a connection on which a good one would be taken. */
const terms: Record<string, Buffer> = {
  'a compressed term that is a bomb': bomb(),
  'a list of four billion': pubsub(108, 255, 255, 255, 255, 97, 1),
  'lists within lists within lists': pubsub(...Array.from({ length: 2_000 }, () => [108, 0, 0, 0, 1]).flat(), ...Array.from({ length: 2_001 }, () => 106)),
  'a function': pubsub(113, 119, 1, 97, 119, 1, 98, 97, 0),
  'a port': pubsub(89, 119, 1, 97, 0, 0, 0, 1, 0, 0, 0, 1),
  'an error, as the original takes its own': payload(Buffer.from('83680277056572726f72770774696d656f7574', 'hex')),
}

test('a broadcast that is no term ends the connection, and is not published', async () => {
  for (const [name, frame] of Object.entries(terms)) {
    const { everything, link, last } = await linked({ topics: ['a'] })
    last().broadcast('good')
    last().raw(frame)
    last().broadcast('behind it')
    await link.pass(0)
    assert.ok(last().isClosed, name)
    assert.deepEqual(everything.texts(), ['good'], name)
    assert.match(link.state(), /^down: it sends what nobody can use/, name)
  }
})

test('whatever comes before the answer ends the connection', async () => {
  for (const send of [faults['a message of a topic that was not asked for'], faults['a gap in another log'], faults['a wrong cookie'], ({ message }: PlayedConnection) => message(1, 'prices')]) {
    const { everything, link, last } = await linked()
    send?.(last())
    await link.pass(0)
    assert.ok(last().isClosed)
    assert.deepEqual(everything.texts(), [])
  }
})

test('a connection for one topic takes broadcasts and nothing else', async () => {
  const { giver, everything, link } = await linked({ topics: ['a', 'b'] })
  await link.pass(2_500)
  const second = giver.connections[1] as PlayedConnection
  // In one chunk.
  second.raw(Buffer.concat([frameOf({ kind: 'alive', at: { epoch: EPOCH, offset: 1 } }), pubsub(109, 0, 0, 0, 1, 97)]))
  await link.pass(0)
  assert.ok(second.isClosed)
  assert.deepEqual(everything.texts(), [])
})

test('repeats, and what goes back, are dropped and counted', async () => {
  const { everything, link, last } = await linked()
  ready(last(), 5)
  for (const offset of [6, 6, 3, 7, 5, 7, 9]) last().message(offset, 'prices')
  last().say({ kind: 'alive', at: { epoch: EPOCH, offset: 20 } })
  last().message(15, 'prices')
  last().say({ kind: 'gap', to: { epoch: EPOCH, offset: 4 }, topics: [], patterns: ['*'], via: [] })
  await link.pass(0)
  assert.deepEqual(everything.texts(), ['m6', 'm7', 'm9'])
  assert.deepEqual(link.dropped, Array.from({ length: 5 }, () => 'repeat'))
})

test('a gap names nothing that was not asked for', async () => {
  const { hub, link, last } = await linked()
  const apart = createRecorder()
  hub.join(interestIn(['private', 'priv*']), apart)
  ready(last())
  last().say({ kind: 'gap', to: { epoch: EPOCH, offset: 3 }, topics: [Buffer.from('private')], patterns: ['*', 'priv*'], via: [] })
  await link.pass(0)
  assert.deepEqual(apart.texts(), [])
})

test('a giver that says again and again that something is lost is let go, and what it may cause is bounded', async () => {
  const { everything, link, last } = await linked()
  const first = last()
  ready(first)
  for (let offset = 1; offset <= 150; offset++) first.say({ kind: 'gap', to: { epoch: EPOCH, offset }, topics: [], patterns: ['news/*'], via: [] })
  await link.pass(0)
  assert.ok(first.isClosed)
  assert.match(link.state(), /^down: it says again and again/)
  assert.equal(everything.texts().length, 100)
})

test('frames that are cut anywhere, a byte at a time, come whole', async () => {
  const { everything, link, last } = await linked()
  const bytes = Buffer.concat([
    frameOf({ kind: 'ready', at: { epoch: EPOCH, offset: 0 }, hub: EPOCH }),
    ...[1, 2, 3].map((offset) => frameOf({ kind: 'message', offset, topic: Buffer.from('prices'), contentType: 't', time: 1, via: [], body: Buffer.from(`m${offset}`) })),
  ])
  for (const byte of bytes) {
    last().raw(Buffer.of(byte))
    await link.clock.settle()
  }
  assert.deepEqual(everything.texts(), ['m1', 'm2', 'm3'])
})

test('what ends every connection at the same place is passed over, and announced as lost', async () => {
  const wishes: (number | undefined)[] = []
  const { everything, link } = await linked({
    played: (connection) => {
      const [said] = connection.said
      const after = said?.kind === 'subscribe' ? said.wish?.after?.offset : undefined
      wishes.push(after)
      ready(connection, after ?? 0)
      if (wishes.length === 1) connection.message(1, 'prices')
      if (wishes.length <= 4 && (after ?? 1) === 1) connection.raw(payload(Buffer.alloc(70_000)))
      else connection.message(9, 'prices')
    },
  })
  await link.pass(60_000)
  assert.deepEqual(wishes, [undefined, 1, 1, undefined, ...wishes.slice(4)])
  assert.ok(everything.texts().includes('(gap)'))
})

test('a giver that answers and is gone each time does not make the taker busy', async () => {
  const { giver, link } = await linked({
    played: (connection) => {
      ready(connection)
      connection.end()
    },
  })
  await link.pass(20_000)
  assert.ok(giver.dials < 45, `${giver.dials} dials in 20 s`)
})

test('one that changes between a Waystation and PonyExpress at each connection does not make the taker busy', async () => {
  const { giver, link } = await linked({
    played: (connection) => {
      connection.broadcast('x')
      ready(connection)
    },
  })
  await link.pass(20_000)
  assert.ok(giver.dials < 90, `${giver.dials} dials in 20 s`)
})

/** A hub of which a test decides when, and how, what was published is done. */
function slowHub() {
  const { hub } = createTestHub()
  const waiting: { resolve(): void; reject(error: Error): void }[] = []
  const slow: HubPort = {
    ...hub,
    cursor: hub.cursor,
    publish: (draft, by) => new Promise<Receipt>((resolve, reject) => waiting.push({ resolve: () => resolve(hub.publish(draft, by) as Receipt), reject })),
  }
  return { hub: slow, waiting }
}

test('where the hub takes its time no more is read than it has room for, and it goes on in order', async () => {
  const { hub, waiting } = slowHub()
  const { everything, link, last } = await linked({ hub })
  const body = Buffer.alloc(60_000)
  const total = 400
  ready(last())
  for (let offset = 1; offset <= total; offset++) last().message(offset, 'prices', { body })
  await link.pass(60_000)
  const most = waiting.length * body.length
  assert.ok(most > 4_000_000 && most < 4_194_304 + 2 * 65_536 + 200_000, `${most} bytes wait`)
  assert.equal(link.state(), 'up waystation', 'who does not read does not hear')
  for (let i = 0; i < total; i++) {
    waiting[i]?.resolve()
    await link.clock.settle()
  }
  await link.pass(0)
  assert.equal(everything.messages().length, total)
})

test('an answer that is not read, because the hub takes its time, is not owed: the place is kept', async () => {
  const { hub, waiting } = slowHub()
  const { everything, link, giver, last } = await linked({ hub })
  const body = Buffer.alloc(60_000)
  ready(last())
  for (let offset = 1; offset <= 100; offset++) last().message(offset, 'prices', { body })
  await link.pass(1_000)
  const had = waiting.length
  assert.ok(had < 100, 'the hub is full')
  last().break('made up')
  await link.pass(0)
  assert.equal(giver.connections.length, 2)
  ready(last(), had)
  await link.pass(60_000)
  assert.equal(giver.connections.length, 2, 'it waits')
  for (let offset = had + 1; offset <= 100; offset++) last().message(offset, 'prices', { body })
  for (let i = 0; i < 100; i++) {
    waiting[i]?.resolve()
    await link.clock.settle()
  }
  await link.pass(0)
  assert.equal(link.state(), 'up waystation')
  assert.deepEqual(everything.texts().length, 100, 'everything once, and no gap')
})

test('what the hub does not take is counted, told once a minute, and lost where nobody has forbidden it', async () => {
  const { hub, waiting } = slowHub()
  const { everything, link, last } = await linked({ hub })
  ready(last())
  for (let offset = 1; offset <= 4; offset++) last().message(offset, 'prices')
  await link.pass(0)
  waiting[0]?.reject(new Error('disk full'))
  waiting[1]?.reject(new WaystationError('forbidden'))
  waiting[2]?.reject(new WaystationError('stopped'))
  await link.pass(0)
  waiting[3]?.resolve()
  await link.pass(0)
  assert.deepEqual(everything.texts(), ['(gap)', 'm4'])
  const [first] = everything.arrivals
  assert.deepEqual(first !== undefined && 'gap' in first && first.lost, { topics: ['prices'], patterns: [], via: [EPOCH] }, 'where it came from it is there')
  assert.deepEqual(link.dropped, ['rejected', 'rejected', 'rejected'])
  assert.equal(link.failures.length, 1)
  await link.pass(40_000)
  assert.equal(waiting.length, 4)
})

test('a rule that forbids, and a hub that has stopped, end nothing', async () => {
  const { hub, rules } = createTestHub({ rules: [{ topics: 'prices', publish: 'nobody' }] })
  assert.ok(rules)
  const refusing: HubPort = { ...hub, cursor: hub.cursor, publish: () => { throw new WaystationError('stopped') } }
  const { link, last } = await linked({ hub: refusing })
  ready(last())
  last().message(1, 'prices')
  last().message(2, 'prices')
  await link.pass(0)
  assert.equal(link.state(), 'up waystation')
  assert.deepEqual(link.dropped, ['rejected', 'rejected'])
})
