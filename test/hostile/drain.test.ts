import assert from 'node:assert/strict'
import { connect as connectTcp } from 'node:net'
import { test, type TestContext } from 'node:test'
import { until } from '../support/events.ts'
import { openFrames, OPCODE, type FrameSocket } from '../support/frames.ts'
import { startHubProcess, type HubProcess } from '../support/hub.ts'
import { raw } from '../support/raw.ts'
import { openWire, request } from '../support/responses.ts'
import { startServer } from '../support/server.ts'
import { openStream } from '../support/sse.ts'

/* How it ends: drainTime, and those who would hold it up. The real process, ended by real signals. */

function startProcess(t: TestContext, drainTime: string): Promise<HubProcess> {
  return startHubProcess(t, '--log-level', 'silent', '--drain-time', drainTime)
}

/** Answers a Close as a client must, and gives when it came and what came before it. */
async function goodbye(socket: FrameSocket): Promise<{ at: number; code: number | undefined; texts: string[] }> {
  const texts: string[] = []
  for (;;) {
    const { opcode, payload } = await socket.frames.next()
    if (opcode === OPCODE.text) texts.push(payload.toString())
    if (opcode !== OPCODE.close) continue
    const at = performance.now()
    socket.send(OPCODE.close, payload)
    return { at, code: payload.length < 2 ? undefined : payload.readUInt16BE(0), texts }
  }
}

test('drainTime: at SIGTERM everyone is told 1001, spread over the time, nobody new comes in, and the exit status is 0', async (t) => {
  const hub = await startProcess(t, '2500ms')
  const sockets = await Promise.all(Array.from({ length: 100 }, () => openFrames(t, hub.port, '/a')))
  const streams = await Promise.all(Array.from({ length: 30 }, () => openStream(t, `${hub.url}/a`)))
  const ready = await openWire(t, hub.port)
  ready.send('GET /_/readyz HTTP/1.1\r\n')
  const late = await openWire(t, hub.port)
  late.send('POST /a HTTP/1.1\r\nHost: h\r\n')
  // When this is answered, the halves sent before it have been read: the hub knows that these two are not idle.
  await fetch(`${hub.url}/_/healthz`)
  hub.child.kill('SIGTERM')
  const goodbyes = sockets.map(goodbye)
  await Promise.race(goodbyes)
  // What was on its way is still answered, with the truth.
  ready.send('Host: h\r\n\r\n')
  const answer = await ready.answer()
  assert.deepEqual([answer.status, answer.body], [503, 'stopping\n'])
  late.send('Content-Length: 1\r\n\r\nx')
  assert.equal((await late.answer()).status, 503)
  const newcomer = connectTcp(hub.port, '127.0.0.1')
  const refused = await new Promise<NodeJS.ErrnoException | undefined>((resolve) => newcomer.on('error', resolve).on('connect', () => resolve(undefined)))
  assert.equal(refused?.code, 'ECONNREFUSED')
  const all = await Promise.all(goodbyes)
  assert.deepEqual(new Set(all.map(({ code }) => code)), new Set([1001]))
  const times = all.map(({ at }) => at)
  assert.ok(Math.max(...times) - Math.min(...times) >= 600, 'spread')
  await Promise.all(streams.map((stream) => stream.ended))
  for (const stream of streams) assert.match(stream.raw(), /\n\n: the server is going away\n\n$/)
  assert.deepEqual(await hub.exited, { code: 0, signal: null })
  assert.equal(hub.stderr(), '')
})

test('what was published before the signal reaches everyone before the goodbye', async (t) => {
  const hub = await startProcess(t, '300ms')
  const sockets = await Promise.all(Array.from({ length: 20 }, () => openFrames(t, hub.port, '/a')))
  const stream = await openStream(t, `${hub.url}/a`)
  const publisher = await raw(t, hub.port)
  const bodies = Array.from({ length: 500 }, (_, i) => `${i} ${'x'.repeat(2_000)}`)
  publisher.send(bodies.map((body) => request('POST /a', { body })).join(''))
  await publisher.until((received) => received.toString('latin1').split('\r\n\r\nOK\n').length > bodies.length)
  hub.child.kill('SIGTERM')
  for (const { code, texts } of await Promise.all(sockets.map(goodbye))) {
    assert.equal(code, 1001)
    assert.deepEqual(texts, bodies)
  }
  await stream.ended
  assert.deepEqual(stream.inbox.taken().map(({ data }) => data), bodies)
  assert.deepEqual(await hub.exited, { code: 0, signal: null })
})

test('what was published in the very turn in which it ends reaches everyone before the goodbye', async (t) => {
  const server = await startServer(t, { drainTime: 300 })
  const socket = await openFrames(t, server.port, '/a')
  const stream = await openStream(t, `${server.url}/a`)
  void server.hub.publish('a', 'last words')
  const closing = server.close()
  const { code, texts } = await goodbye(socket)
  assert.deepEqual([code, texts], [1001, ['last words']])
  await stream.ended
  assert.match(stream.raw(), /\ndata: last words\n\n: the server is going away\n\n$/)
  await closing
})

test('drainTime: those who do not go are cut off when it is over', async (t) => {
  const hub = await startProcess(t, '400ms')
  // One never answers the Close, one never reads, one sends half a body, one half a header, and one keeps its half open.
  await openFrames(t, hub.port, '/a')
  const stalled = await openFrames(t, hub.port, '/b')
  stalled.raw.socket.pause()
  const stalledStream = await openStream(t, `${hub.url}/b`)
  for (let i = 0; i < 20; i++) await fetch(`${hub.url}/b`, { method: 'POST', body: 'x'.repeat(1_000_000) })
  const body = await raw(t, hub.port)
  body.send('POST /a HTTP/1.1\r\nHost: h\r\nContent-Length: 100\r\n\r\nhalf')
  const header = await raw(t, hub.port)
  header.send('GET /a HTTP/1.1\r\nHost: h')
  for (const text of ['CONNECT a:1 HTTP/1.1\r\nHost: h\r\n\r\n', 'GET  / HTTP/1.1\r\n\r\n']) {
    const half = connectTcp({ port: hub.port, host: '127.0.0.1', allowHalfOpen: true })
    t.after(() => half.destroy())
    half.on('error', () => {}).write(text)
    await new Promise((resolve) => half.on('end', resolve).resume())
  }
  const start = performance.now()
  hub.child.kill('SIGTERM')
  assert.deepEqual(await hub.exited, { code: 0, signal: null })
  assert.ok(performance.now() - start >= 350)
  await Promise.all([body.ended, header.ended, stalledStream.ended])
  assert.equal(hub.stderr(), '')
})

test('with nobody there it ends at once, long before the drain time', async (t) => {
  const hub = await startProcess(t, '60s')
  const idle = await openWire(t, hub.port)
  idle.send(request('GET /_/healthz'))
  await idle.answer()
  hub.child.kill('SIGTERM')
  assert.deepEqual(await hub.exited, { code: 0, signal: null })
})

for (const [signal, code] of [['SIGTERM', 143], ['SIGINT', 130]] as const) {
  test(`a second signal ends it at once: ${signal}, ${code}`, async (t) => {
    const hub = await startProcess(t, '60s')
    const sockets = await Promise.all([1, 2, 3].map(() => openFrames(t, hub.port, '/a')))
    hub.child.kill('SIGTERM')
    // Nobody answers the Close, so it waits.
    await until(() => sockets.some(({ raw: one }) => one.received().includes('going away')), 'the first goodbye')
    hub.child.kill(signal)
    assert.deepEqual(await hub.exited, { code, signal: null })
  })
}
