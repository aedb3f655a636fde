import assert from 'node:assert/strict'
import { duplexPair, type Duplex } from 'node:stream'
import { test } from 'node:test'
import { setImmediate as turn } from 'node:timers/promises'
import { exactly } from '../../src/core/interest.ts'
import { NO_KEYS } from '../../src/core/keys.ts'
import { limitsWith } from '../../src/core/limits.ts'
import type { Draft, Message } from '../../src/core/message.ts'
import { compilePattern } from '../../src/core/pattern.ts'
import type { HubPort, Identity } from '../../src/core/ports.ts'
import { addressSet } from '../../src/http/address.ts'
import { createAdmission } from '../../src/http/admission.ts'
import { createBodyAccount } from '../../src/http/body-account.ts'
import { createOrigins } from '../../src/http/origin.ts'
import { replyText } from '../../src/http/reply.ts'
import { createDispatch, createPort, type Route } from '../../src/http/server.ts'
import { createNoLoops } from '../../src/server/no-loops.ts'
import { createManualClock } from '../../src/testing/manual-clock.ts'
import { createSeededRandom, type SeededRandom } from '../../src/testing/seeded-random.ts'
import { createTestHub } from '../../src/testing/test-hub.ts'
import { createAnswers } from '../../src/transports/pinghub/answers.ts'
import { createPinghubStats } from '../../src/transports/pinghub/metrics-port.ts'
import { raw, type Raw } from '../support/raw.ts'
import { request } from '../support/responses.ts'
import { startServer } from '../support/server.ts'
import { silent } from '../support/transport-port.ts'
import { HTTP, mutate } from './mutations.ts'
import { statuses } from './statuses.ts'

/*
 * Two ports with a hub each, one of them without the quick lane. Whatever is sent, in whatever pieces, must be answered
 * alike and published alike. What is sent goes through memory, so that a turn or two of the event loop settles it.
 */
interface World {
  /** What was answered by the quick lane. */
  quick: number
  readonly published: string[]
  /** What was published last. */
  last: Message | undefined
  /** Answers `/v1/slow`. */
  letGo(): void
  /** What was counted since it was asked last. */
  counted(): string
  /** @param remoteAddress of the other end */
  open(remoteAddress: string): { readonly client: Duplex; readonly server: Duplex; received(): string }
}

function createWorld(lanes: 'both' | 'slow'): World {
  const { hub, log } = createTestHub({ rules: [{ topics: 'closed/*', publish: 'nobody' }, { topics: 'here/*', publish: 'local' }, { topics: 'kept/*', keep: { messages: 3, ms: 1_000 } }] })
  const limits = limitsWith({ maxPathLength: 40, maxMessageBytes: 300, maxHeaderBytes: 400, headerTimeout: 60_000, keepAliveTimeout: 5_900 })
  const clock = createManualClock()
  const stats = createPinghubStats(clock)
  stats.start()
  const meter = { ...silent, published: (transport: string, bytes: number) => void world.published.push(`${transport} ${bytes}`) }
  // Also by whom is compared.
  const watched: HubPort = Object.assign(Object.create(hub) as HubPort, { publish(draft: Draft, by: Identity) {
    world.published.push(`by ${JSON.stringify(by)}`)
    return hub.publish(draft, by)
  } })
  const answers = createAnswers({
    limits, stats, meter, bodies: createBodyAccount(10_000), origins: createOrigins(['https://a.example']),
    identify: ({ peer }) => ({ kind: 'anonymous', ...peer }),
    keys: { ...NO_KEYS, owns: (topic) => topic.startsWith('owned/') },
    hub: () => watched,
    hasChannel: (topic) => topic === exactly(topic).topics[0] && topic.length > 3,
  })
  const first: Route = { takes: ({ path }) => path.text?.startsWith('/v1/') === true, answer({ path }, response) {
    const reply = (): void => replyText(response, 200, 'v1\n')
    if (path.text === '/v1/slow') world.letGo = reply
    else reply()
  } }
  const last: Route = {
    takes: () => true,
    answer: answers.answer,
    quick(asked, body) {
      const answer = answers.quick(asked, body)
      if (answer !== undefined) world.quick++
      return answer
    },
  }
  const trusted = addressSet(['10.0.0.0/8'])
  const dispatch = createDispatch([createNoLoops(log.epoch), first, last], trusted, (error) => assert.fail(String(error)))
  const port = createPort({ dispatch, bounds: limits, admission: createAdmission({ total: 1e9, perAddress: 1e9 }), trusted, refused() {}, lanes })
  const world: World = {
    quick: 0,
    published: [],
    last: undefined,
    letGo() {},
    counted() {
      clock.advance(5_000)
      return stats.report({ channels: 0, websockets: 0 })
    },
    open(remoteAddress) {
      const [client, server] = duplexPair()
      let text = ''
      client.on('data', (chunk: Buffer) => (text += chunk.toString('latin1')))
      client.on('error', () => {})
      port.emit('connection', Object.assign(server, { remoteAddress, setTimeout: () => server }))
      return { client, server, received: () => text.replaceAll(/^Date: .*$/gm, 'Date') }
    },
  }
  hub.join({ topics: [], patterns: [compilePattern('*')] }, {
    count: 1,
    deliver(message) {
      const { topic, body, offset } = message
      world.last = message
      world.published.push(`${offset} ${topic} ${body.toString('latin1')}`)
    },
    gap: () => assert.fail('a gap'),
  })
  return world
}

/** Sends pieces, each when the one before it has been dealt with, or all in one turn; gives what became of it. */
async function outcome(world: World, pieces: readonly Buffer[], pace: 'one by one' | 'at once', address = '127.0.0.1'): Promise<object> {
  const before = world.published.length
  const { client, server, received } = world.open(address)
  for (const piece of pieces) {
    if (client.writable && !server.destroyed) client.write(piece)
    if (pace === 'one by one') await settled()
  }
  await settled()
  const found = { received: received(), ended: server.destroyed || server.writableEnded, published: world.published.slice(before) }
  server.destroy()
  client.destroy()
  return found
}

async function settled(): Promise<void> {
  for (let i = 0; i < 4; i++) await turn()
}

const [both, slow] = [createWorld('both'), createWorld('slow')]

async function assertSame(pieces: readonly Buffer[], pace: 'one by one' | 'at once', what: string, address?: string): Promise<void> {
  const [with_, without] = await Promise.all([outcome(both, pieces, pace, address), outcome(slow, pieces, pace, address)])
  assert.deepEqual(with_, without, `${what}: ${JSON.stringify(pieces.map((piece) => piece.toString('latin1')))}`)
}

const bytes = (text: string): Buffer => Buffer.from(text, 'latin1')
const SIMPLE = 'POST /abc HTTP/1.1\r\nHost: h\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: 5\r\n\r\nhello'
/** Shapes of requests that are well-formed, of which the quick lane takes some and must leave others. */
const SHAPES: readonly string[] = [
  SIMPLE,
  request('POST /abcd', { body: 'two' }),
  request('POST /kept/a', { body: 'kept' }),
  'POST /a HTTP/1.1\r\nuser-agent: x/1 (y; z)\r\nhost: 127.0.0.1:80\r\nACCEPT: */*\r\naccept-encoding: gzip, br\r\naccept-language: *\r\nsec-fetch-mode: cors\r\nConnection: Keep-Alive\r\nCONTENT-LENGTH: 1\r\n\r\n1',
  request('POST /closed/a', { body: 'forbidden' }),
  request('POST /owned/a', { body: 'without a key' }),
  request('POST /v1/notify', { body: 'somebody else’s'.slice(0, 8) }),
  request('POST /v1', { body: 'mine' }),
  request('POST /a', { body: '\xff' }),
  request('POST /a', { body: '\xc3\xa9' }),
  request('POST /a', { headers: { 'Content-Length': '0' } }),
  request('POST /a'),
  request('POST /a', { body: 'x'.repeat(300) }),
  request(`POST /${'x'.repeat(40)}`, { body: 'too long a path' }),
  request(`POST /${'x'.repeat(39)}`, { body: 'just not' }),
  request('POST /a?b', { body: 'query' }),
  request('POST /a%41', { body: 'percent' }),
  request('POST //a', { body: 'not canonical' }),
  request('POST /a/', { body: 'slash' }),
  request('POST /a/../b', { body: 'dots' }),
  request('POST /', { body: 'root' }),
  request('POST http://h/a', { body: 'absolute' }),
  request('POST /a', { body: 'origin', headers: { Origin: 'https://a.example' } }),
  request('POST /a', { body: 'key', headers: { Authorization: 'Bearer x' } }),
  request('POST /here/a', { body: 'by somebody here' }),
  ...['10.0.0.1', '192.0.2.1', '192.0.2.1, 10.0.0.1', '192.0.2.1:80, [2001:db8::1]:80,10.0.0.2', 'unknown', '127.0.0.1'].flatMap((hops) => [
    request('POST /abc', { body: 'forwarded', headers: { 'X-Forwarded-For': hops } }),
    request('POST /here/b', { body: 'forwarded', headers: { 'X-Real-IP': '192.0.2.9', 'X-Forwarded-For': hops, 'X-Forwarded-Proto': 'https' } }),
  ]),
  request('POST /here/c', { body: 'by a proxy', headers: { 'X-Forwarded-Host': 'a.example' } }),
  request('POST /abc', { body: 'said twice', headers: { 'X-Forwarded-For': '192.0.2.1\r\nX-Forwarded-For: 192.0.2.2' } }),
  request('POST /a', { body: 'expect', headers: { Expect: '100-continue' } }),
  request('POST /a', { body: 'upgrade', headers: { Connection: 'Upgrade', Upgrade: 'h2c' } }),
  request('POST /a', { headers: { 'Transfer-Encoding': 'chunked' } }) + '2\r\nhi\r\n0\r\n\r\n',
  request('GET /v1/x'),
  request('PUT /a', { body: 'put' }),
  request('OPTIONS /a', { headers: { Origin: 'https://a.example', 'Access-Control-Request-Method': 'POST' } }),
]
const LAST: readonly string[] = [
  request('POST /a', { body: 'x'.repeat(301) }),
  request('POST /a', { body: 'bye', headers: { Connection: 'close' } }),
  request('POST /a', { body: 'old', version: '1.0' }),
  request('POST /a', { body: 'loop', headers: { 'Waystation-Hub': 'x' } }),
]

function cut(random: SeededRandom, whole: Buffer, places: number): Buffer[] {
  const at = Array.from({ length: places }, () => random.below(whole.length)).sort((a, b) => a - b)
  return [0, ...at].map((from, i) => whole.subarray(from, at[i] ?? whole.length)).filter((piece) => piece.length > 0)
}

test('streams of well-formed requests of every shape, cut anywhere, are answered and published as without the quick lane', async () => {
  const random = createSeededRandom(81)
  const before = both.quick
  for (let i = 0; i < 400; i++) {
    const shapes = Array.from({ length: 1 + random.below(6) }, () => random.pick(random.below(4) > 0 ? SHAPES.slice(0, 4) : SHAPES))
    const texts = random.below(4) === 0 ? [...shapes, random.pick(LAST)] : shapes
    const pieces = random.below(2) === 0 ? [SIMPLE, ...texts].map(bytes) : [bytes(SIMPLE), ...cut(random, bytes(texts.join('')), random.below(4))]
    await assertSame(pieces, random.pick(['one by one', 'at once']), `stream ${i}`, random.pick(['127.0.0.1', '10.0.0.7', '192.0.2.7']))
  }
  assert.ok(both.quick - before > 300, `${both.quick - before} quick answers`)
  assert.equal(slow.quick, 0)
  assert.equal(both.counted(), slow.counted())
})

test('streams with something wrong in them are answered and published as without the quick lane', async () => {
  const random = createSeededRandom(82)
  const corpus = [...[SIMPLE, SIMPLE + SIMPLE, ...SHAPES].map(bytes), ...HTTP.filter((text) => !text.includes('event-stream') && !text.includes('/_/sse'))]
  const before = both.quick
  for (let i = 0; i < 700; i++) {
    const spoiled = mutate(random, corpus).subarray(0, 2_000)
    const pieces = random.below(2) === 0 ? [Buffer.concat([bytes(SIMPLE), spoiled])] : [bytes(random.pick(SHAPES.slice(0, 4))), ...cut(random, spoiled, random.below(3))]
    await assertSame([bytes(SIMPLE), ...pieces], 'one by one', `stream ${i}`)
  }
  assert.ok(both.quick - before > 300, `${both.quick - before} quick answers`)
})

test('a simple request that is spoiled at any one byte is judged as without the quick lane, and so is what comes behind it', async () => {
  const text = 'POST /a HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\nhi'
  const wrong = ['\0', '\t', '\n', '\r', ' ', ':', ',', '0', '+', '\x7f', '\xc0']
  for (let at = 0; at < text.length; at++) {
    const pieces: Buffer[] = [bytes(SIMPLE)]
    for (const [i, byte] of wrong.entries()) {
      const [before, after] = [text.slice(0, at), text.slice(at + (at + i) % 2)]
      pieces[1] = bytes(before + byte + after + SIMPLE)
      await assertSame(pieces, 'one by one', `byte ${at}`)
    }
    await assertSame([bytes(SIMPLE), bytes(SIMPLE + text.slice(0, at) + text.slice(at + 1))], 'one by one', `without byte ${at}`)
  }
})

test('heads up to the bound are taken, and longer ones refused, in either lane', async () => {
  for (let more = 300; more < 400; more += 7) {
    const text = `POST /a HTTP/1.1\r\nHost: h\r\nAccept: ${'x'.repeat(more)}\r\nContent-Length: 2\r\n\r\nhi`
    await assertSame([SIMPLE, SIMPLE + text, text.slice(0, -30)].map(bytes), 'one by one', `${more} bytes`)
  }
})

test('a body that looks like a request is none, also where the answer has gone before it', async () => {
  const answered = [request('PUT /a', { headers: { 'Content-Length': `${SIMPLE.length}` } }), request('POST /closed/a', { headers: { 'Content-Length': `${SIMPLE.length}` } })]
  for (const head of answered) await assertSame([SIMPLE, head, SIMPLE, SIMPLE].map(bytes), 'one by one', 'a body behind its answer')
})

test('what comes behind the last request of a connection is not taken', async () => {
  for (const last of LAST) await assertSame([SIMPLE, last, SIMPLE].map(bytes), 'one by one', 'behind the last')
})

test('whoever reads no answers is read no further', async () => {
  const { client, server } = both.open('127.0.0.1')
  client.pause()
  const before = both.quick
  for (let i = 0; i < 2_000 && client.writableLength < 10_000; i++) {
    client.write(SIMPLE)
    await turn()
  }
  await settled()
  assert.ok(both.quick > before)
  assert.ok(client.writableLength >= 10_000 && server.writableLength < 100_000, `${client.writableLength} bytes not read, ${server.writableLength} not taken`)
  server.destroy()
  client.destroy()
})

test('a short body that came in a long read keeps no more memory than its own', async () => {
  const { client, server } = both.open('127.0.0.1')
  client.write(SIMPLE)
  await settled()
  const quick = both.quick
  client.write(bytes(SIMPLE.repeat(50)))
  await settled()
  assert.equal(both.quick, quick + 50)
  assert.deepEqual([both.last?.body.toString(), both.last?.body.buffer.byteLength], ['hello', 5])
  server.destroy()
  client.destroy()
})

test('an answer that takes its time comes before those to what was asked behind it', async () => {
  const { client, server, received } = both.open('127.0.0.1')
  client.write(SIMPLE)
  await settled()
  const quick = both.quick
  client.write(request('POST /v1/slow', { body: 'x' }))
  await settled()
  client.write(SIMPLE)
  await settled()
  assert.equal(both.quick, quick)
  both.letGo()
  await settled()
  assert.deepEqual(received().match(/(?<=\r\n\r\n)(OK|v1)/g), ['OK', 'v1', 'OK'])
  client.write(SIMPLE)
  await settled()
  assert.equal(both.quick, quick + 1)
  server.destroy()
  client.destroy()
})

const PATIENT = { headerTimeout: 60_000, requestTimeout: 60_000, keepAliveTimeout: 60_000 }

test('after quick answers the times of a connection run as before: half a head is told 408, half a body too, and an idle one ends', async (t) => {
  const cases = [
    [{ headerTimeout: 200 }, SIMPLE.slice(0, 30), '200 200 200 408'],
    [{ requestTimeout: 200 }, SIMPLE.slice(0, -1), '200 200 200 408'],
    [{ keepAliveTimeout: 200 }, '', '200 200 200'],
  ] as const
  await Promise.all(cases.map(async ([times, rest, expected]) => {
    const server = await startServer(t, { ...PATIENT, ...times })
    const connection = await raw(t, server.port)
    await post(connection, 3)
    const start = performance.now()
    if (rest !== '') connection.send(rest)
    await connection.ended
    assert.equal(statuses(connection.received().toString()), expected)
    assert.ok(performance.now() - start >= 100)
  }))
})

test('a connection with quick requests on it is not idle, however long it lives', async (t) => {
  const server = await startServer(t, { ...PATIENT, keepAliveTimeout: 2_000 })
  const [busy, idle] = [await raw(t, server.port), await raw(t, server.port)]
  await Promise.all([post(busy, 1), post(idle, 1)])
  let isOver = false
  void idle.ended.then(() => (isOver = true))
  for (let i = 2; !isOver; i++) {
    await post(busy, 1, i)
    await new Promise((next) => setTimeout(next, 50))
  }
  // What ended the idle one would have ended this one too.
  await post(busy, 1, statuses(busy.received().toString()).split(' ').length + 1)
})

/** Posts one by one; the first of them is answered as the `nth` of the connection. */
async function post(connection: Raw, times: number, nth = 1): Promise<void> {
  for (let i = nth; i < nth + times; i++) {
    connection.send(SIMPLE)
    await connection.until((received) => received.toString().split('\r\n\r\nOK\n').length === i + 1)
  }
}

test('a hub that closes lets go of a connection between two quick requests at once', async (t) => {
  const server = await startServer(t, PATIENT)
  const connection = await raw(t, server.port)
  await post(connection, 2)
  await Promise.all([server.close(), connection.ended])
})
