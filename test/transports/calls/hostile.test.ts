import assert from 'node:assert/strict'
import { test } from 'node:test'
import { deflateSync } from 'node:zlib'
import { encode } from '../../../src/protocol/etf/encode.ts'
import { Atom } from '../../../src/protocol/etf/term.ts'
import { startCalls } from '../../support/calls.ts'
import { until } from '../../support/events.ts'
import { raw } from '../../support/raw.ts'
import { connect } from '../../support/websocket.ts'

const TERM = 'application/x-erlang-term'
const MIB = 1_048_576
const head = (service: string, length: number | 'chunked', type = 'application/json'): string =>
  `POST /_/call/${service} HTTP/1.1\r\nHost: x\r\nContent-Type: ${type}\r\n${length === 'chunked' ? 'Transfer-Encoding: chunked' : `Content-Length: ${length}`}\r\n\r\n`

/** JSON that is none, or none that can be a term; each a mebibyte at most. */
const BAD_JSON: Readonly<Record<string, string>> = {
  nothing: '',
  'a million levels': '['.repeat(500_000) + ']'.repeat(500_000),
  'a million levels that do not end': '['.repeat(MIB),
  'half a million objects that do not end': '{"":'.repeat(250_000),
  'a text that does not end': `"${'a'.repeat(MIB - 1)}`,
  backslashes: `"${'\\'.repeat(MIB - 1)}`,
  'a long integer': '9'.repeat(MIB),
  'a long exponent': `1e${'9'.repeat(MIB - 2)}`,
  commas: `[${','.repeat(MIB - 2)}]`,
  'one key many times in a map': `{"$map":[${'[1,1],'.repeat(100_000)}[1,1]]}`,
  'a lone surrogate': '"\\ud800"',
  'two values': '1 2',
}

test('a body that is no term is answered 400 within a moment, whatever it is', async (t) => {
  const { port, services } = await startCalls(t)
  const ask = (body: string | Uint8Array, type = 'application/json'): Promise<Response> => fetch(`http://127.0.0.1:${port}/_/call/echo`, { method: 'POST', body: body as string, headers: { 'Content-Type': type } })
  const size = Buffer.alloc(4)
  size.writeUInt32BE(100_000_000)
  const terms: Uint8Array[] = [
    Buffer.alloc(0), Buffer.of(131), encode(1).subarray(1), Buffer.concat([encode(1), Buffer.of(0)]), Buffer.of(131, 97), Buffer.of(131, 80), Buffer.concat([Buffer.of(131, 80), size, Buffer.alloc(50)]),
    Buffer.concat([Buffer.of(131), Buffer.alloc(MIB - 2, Buffer.of(104, 1)), Buffer.of(106)]), Buffer.of(131, 109, 255, 255, 255, 255), Buffer.of(131, 108, 255, 255, 255, 255, 97, 1), Buffer.of(131, 113, 119, 1, 109, 119, 1, 102, 97, 1),
  ]
  const bodies = [...Object.entries(BAD_JSON), ...terms.map((term, at) => [`term ${at}`, term] as const)]
  for (const [name, body] of bodies) {
    const began = performance.now()
    const response = await ask(body, typeof body === 'string' ? undefined : TERM)
    assert.deepEqual([response.status, ((await response.json()) as { code: string }).code], [400, 'bad_request'], name)
    assert.ok(performance.now() - began < 5_000, name)
  }
  assert.equal((await ask(Buffer.of(0x22, 0xff, 0x22))).status, 400)
  assert.deepEqual(services.calls.taken(), [])
})

test('a compressed bomb is not inflated beyond what a message may have', async (t) => {
  const { port } = await startCalls(t, { limits: { maxMessageBytes: 65_536 } })
  const inner = encode(Buffer.alloc(1_000_000)).subarray(1)
  const size = Buffer.alloc(4)
  size.writeUInt32BE(inner.length)
  const bomb = Buffer.concat([Buffer.of(131, 80), size, deflateSync(inner)])
  const response = await fetch(`http://127.0.0.1:${port}/_/call/echo`, { method: 'POST', body: bomb, headers: { 'Content-Type': TERM } })
  assert.equal(response.status, 413)
})

test('a term with an atom that no service may know is refused where the atoms are stated', async (t) => {
  const { port } = await startCalls(t, { termAtoms: new Set(['known']) })
  const ask = async (name: string): Promise<number> => (await fetch(`http://127.0.0.1:${port}/_/call/echo`, { method: 'POST', body: encode(new Atom(name)) as Uint8Array<ArrayBuffer>, headers: { 'Content-Type': TERM } })).status
  assert.deepEqual([await ask('known'), await ask('ok'), await ask('unheard')], [200, 200, 400])
})

test('what is no request over a WebSocket ends it, and nobody else has to wait', async (t) => {
  const { port, services } = await startCalls(t)
  const other = await connect(t, `ws://127.0.0.1:${port}/_/call`)
  for (const [name, json] of Object.entries(BAD_JSON)) {
    const socket = await connect(t, `ws://127.0.0.1:${port}/_/call`)
    socket.send(`{"id":1,"service":"echo","call":${json}`.slice(0, MIB - 1) + '}')
    assert.equal((JSON.parse(await socket.next()) as { error: { code: string } }).error.code, 'bad_request', name)
    other.send('{"id":1,"service":"echo","call":1}')
    assert.equal(await other.next(), '{"id":1,"answer":1}')
    await services.calls.next()
    socket.ws.terminate()
  }
  assert.deepEqual(services.calls.taken(), [])
})

test('a body that is too large is refused by its length, or where it goes past it, and nothing stays booked', async (t) => {
  const world = await startCalls(t, { limits: { maxMessageBytes: 65_536 } })
  for (const length of [65_537, 'chunked'] as const) {
    const connection = await raw(t, world.port)
    connection.send(head('echo', length))
    if (length === 'chunked') connection.send(Buffer.concat([Buffer.from('20000\r\n'), Buffer.alloc(0x20000, 0x20)]))
    const answer = await connection.until((received) => received.includes('"code":"message_too_large"'))
    assert.match(answer.toString(), /^HTTP\/1\.1 413 [^]*\r\nConnection: close\r\n/)
    connection.socket.destroy()
  }
  await until(() => world.booked === 0, 'nothing booked')
  assert.deepEqual(world.services.calls.taken(), [])
})

test('a body that does not come has its time, and one that breaks off leaves nothing behind', async (t) => {
  const world = await startCalls(t, { limits: { requestTimeout: 200 } })
  const slow = await raw(t, world.port)
  slow.send(`${head('echo', 1_000)}[1,`)
  assert.match((await slow.ended).toString(), /^HTTP\/1\.1 408 /)
  const cut = await raw(t, world.port)
  cut.send(`${head('echo', 100_000)}[1,${' '.repeat(50_000)}`)
  await until(() => world.booked > 0, 'booked bytes')
  cut.socket.destroy()
  await until(() => world.booked === 0, 'bytes given back')
  assert.deepEqual(world.services.calls.taken(), [])
})

test('bodies on their way are bounded together', async (t) => {
  const world = await startCalls(t, { limits: { maxUnfinishedBytes: 65_536 } })
  const first = await raw(t, world.port)
  first.send(`${head('echo', 100_000)}${' '.repeat(60_000)}`)
  await until(() => world.booked >= 50_000, 'booked bytes')
  const second = await raw(t, world.port)
  second.send(`${head('echo', 100_000)}${' '.repeat(60_000)}`)
  assert.match((await second.until((received) => received.includes('"code":"overloaded"'))).toString(), /^HTTP\/1\.1 503 [^]*\r\nRetry-After: 1\r\n/)
})

test('one connection has no more calls that wait than it may', async (t) => {
  const { port, services } = await startCalls(t, { limits: { maxUnanswered: 3 } })
  const connection = await raw(t, port)
  connection.send(`${head('held', 1)}1`.repeat(5))
  const held = await services.calls.take(3)
  for (const call of held) call.answer(Buffer.of(97, 1))
  const answers = (await connection.until((received) => received.toString().split('HTTP/1.1 ').length > 5)).toString()
  assert.deepEqual([...answers.matchAll(/HTTP\/1\.1 (\d+)/g)].map(([, status]) => status), ['200', '200', '200', '503', '503'])
  assert.deepEqual(services.calls.taken(), [])
  // What is answered makes room.
  connection.send(`${head('echo', 1)}2`)
  await connection.until((received) => received.toString().endsWith('\r\n\r\n2'))
})

test('one that takes none of its answers is let go, and its other calls are abandoned', async (t) => {
  const world = await startCalls(t, { limits: { maxServicePendingBytes: 65_536 } })
  const connection = await raw(t, world.port)
  connection.socket.pause()
  connection.send(`${head('held', 1)}1`.repeat(4))
  const held = await world.services.calls.take(4)
  // More than the network keeps of one connection.
  const large = encode(Buffer.alloc(16 * MIB, 0x61)).subarray(1)
  for (const call of held.slice(0, 3)) call.answer(large)
  assert.equal(await world.services.abandoned.next(), 'held')
  assert.deepEqual(world.slow, ['calls'])
})

test('an answer that is not taken ends the connection in time', async (t) => {
  const world = await startCalls(t, { limits: { writeTimeout: 150 } })
  const connection = await raw(t, world.port)
  connection.socket.pause()
  connection.send(`${head('held', 1)}1${head('never', 1)}1`)
  const [held] = await world.services.calls.take(2)
  held?.answer(encode(Buffer.alloc(16 * MIB, 0x61)).subarray(1))
  assert.equal(await world.services.abandoned.next(), 'never')
})
