import assert from 'node:assert/strict'
import { test } from 'node:test'
import { WaystationError } from '../../../src/core/errors.ts'
import type { Identity } from '../../../src/core/ports.ts'
import { startCalls } from '../../support/calls.ts'
import { OPCODE, openFrames } from '../../support/frames.ts'
import { clientFrame, exchange, handshake, raw } from '../../support/raw.ts'
import { until } from '../../support/events.ts'
import { connect } from '../../support/websocket.ts'

const frameOf = (id: number, service = 'echo', call: unknown = id): string => JSON.stringify({ id, service, call })

test('a WebSocket calls, and its place and its calls end with it', async (t) => {
  const world = await startCalls(t)
  const socket = await connect(t, `ws://127.0.0.1:${world.port}/_/call`)
  socket.send(frameOf(1))
  assert.equal(await socket.next(), '{"id":1,"answer":1}')
  socket.send(frameOf(2, 'held'))
  await world.services.calls.take(2)
  assert.deepEqual([world.places, world.transport.websockets], [1, 1])
  socket.ws.terminate()
  assert.equal(await world.services.abandoned.next(), 'held')
  assert.deepEqual([world.places, world.transport.websockets], [0, 0])
})

test('what is no handshake is told what this is, and a foreign origin is refused', async (t) => {
  const { port } = await startCalls(t, { origins: ['https://app.example'] })
  const plain = await exchange(t, port, 'GET /_/call HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n')
  assert.match(plain, /^HTTP\/1\.1 426 [^]*\r\nUpgrade: websocket\r\n/)
  assert.match(await exchange(t, port, handshake('/_/call', { Connection: 'Upgrade, close', 'Sec-WebSocket-Key': 'x' })), /^HTTP\/1\.1 400 /)
  assert.match(await exchange(t, port, handshake('/_/call', { Connection: 'Upgrade, close' }).replace('GET', 'POST')), /^HTTP\/1\.1 405 [^]*\r\nAllow: GET\r\n/)
  assert.match(await exchange(t, port, handshake('/_/call', { Connection: 'Upgrade, close', Origin: 'https://evil.example' })), /^HTTP\/1\.1 403 [^]*"code":"forbidden"/)
  assert.match(await exchange(t, port, handshake('/_/call/echo', { Connection: 'Upgrade, close' })), /^HTTP\/1\.1 405 /)
  await connect(t, `ws://127.0.0.1:${port}/_/call?token=x`, { origin: 'https://app.example' })
})

test('where no origin is stated, only a page of the hub itself may open one', async (t) => {
  const { port } = await startCalls(t)
  await assert.rejects(connect(t, `ws://127.0.0.1:${port}/_/call`, { origin: 'http://evil.example' }), { status: 403 })
  await connect(t, `ws://127.0.0.1:${port}/_/call`, { origin: `http://127.0.0.1:${port}` })
})

test('frames that come before the 101 are taken, though it is still being found out who it is', async (t) => {
  const { promise, resolve } = Promise.withResolvers<Identity>()
  const { port, services } = await startCalls(t, { identify: () => promise })
  const connection = await raw(t, port)
  connection.send(Buffer.concat([Buffer.from(handshake('/_/call')), clientFrame(OPCODE.text, frameOf(1))]))
  connection.send(clientFrame(OPCODE.text, frameOf(2)))
  resolve({ kind: 'keyed', domain: 'acme', local: false, address: '192.0.2.1' })
  await connection.until((received) => received.includes('{"id":1,"answer":1}') && received.includes('{"id":2,"answer":2}'))
  assert.equal((await services.calls.next()).by.domain, 'acme')
})

test('who is refused, or has no place, gets no 101 and keeps no place', async (t) => {
  let refuse: 'identity' | 'fault' | 'place' = 'identity'
  const world = await startCalls(t, {
    async identify() {
      throw refuse === 'identity' ? new WaystationError('registry_unavailable') : new Error('secret text')
    },
    admit: () => (refuse === 'place' ? 429 : () => {}),
  })
  const status = async (): Promise<string> => (await exchange(t, world.port, handshake('/_/call'))).slice(9, 12)
  assert.equal(await status(), '503')
  refuse = 'fault'
  assert.equal(await status(), '502')
  refuse = 'place'
  assert.equal(await status(), '429')
  assert.deepEqual([world.places, world.failures.length], [0, 1])
})

test('a client that goes away while it is being found out who it is keeps no place', async (t) => {
  const { promise, resolve } = Promise.withResolvers<Identity>()
  const world = await startCalls(t, { identify: () => promise })
  const connection = await raw(t, world.port)
  connection.send(handshake('/_/call'))
  await until(() => world.places === 1, 'a place')
  connection.socket.resetAndDestroy()
  await connection.ended
  resolve({ kind: 'anonymous', local: true, address: '127.0.0.1' })
  await until(() => world.places === 0, 'the place again')
  assert.equal(world.transport.websockets, 0)
})

test('at the stop a socket without calls has its goodbye, one with a call has its answer first', async (t) => {
  const { port, services, transport } = await startCalls(t)
  const [idle, busy] = [await connect(t, `ws://127.0.0.1:${port}/_/call`), await connect(t, `ws://127.0.0.1:${port}/_/call`)]
  busy.send(frameOf(1, 'held'))
  const held = await services.calls.next()
  const stopped = transport.stop(new AbortController().signal)
  assert.equal((await idle.closed).code, 1001)
  await assert.rejects(connect(t, `ws://127.0.0.1:${port}/_/call`), { status: 503 })
  held.answer(held.wish.request)
  assert.equal(await busy.next(), '{"id":1,"answer":1}')
  assert.equal((await busy.closed).code, 1001)
  await stopped
})

test('a frame that does not end has its time, and what it keeps is booked until then', async (t) => {
  const world = await startCalls(t, { limits: { requestTimeout: 300, maxMessageBytes: 1_048_576 } })
  const socket = await openFrames(t, world.port, '/_/call')
  socket.raw.send(clientFrame(OPCODE.text, Buffer.alloc(100_000, 0x20)).subarray(0, 50_000))
  await until(() => world.booked >= 49_000, 'booked bytes')
  assert.equal((await socket.close()).code, 1008)
  socket.raw.socket.destroy()
  await until(() => world.booked === 0, 'bytes given back')
})

test('a frame that is larger than a message may be, and text that is no UTF-8, end the connection', async (t) => {
  const { port } = await startCalls(t, { limits: { maxMessageBytes: 65_536 } })
  const long = await openFrames(t, port, '/_/call')
  long.send(OPCODE.text, Buffer.alloc(65_537, 0x20))
  assert.equal((await long.close()).code, 1009)
  const bytes = await openFrames(t, port, '/_/call')
  bytes.send(OPCODE.text, Buffer.of(0xff, 0xfe))
  assert.equal((await bytes.close()).code, 1007)
})

test('frames on their way are bounded together with all that is on its way', async (t) => {
  const { port } = await startCalls(t, { limits: { maxUnfinishedBytes: 65_536 } })
  const socket = await openFrames(t, port, '/_/call')
  socket.raw.send(clientFrame(OPCODE.text, Buffer.alloc(200_000, 0x20)).subarray(0, 150_000))
  assert.equal((await socket.close()).code, 1013)
})

test('a hub that stops while it is being found out who it is lets nobody in', async (t) => {
  const { promise, resolve } = Promise.withResolvers<Identity>()
  const world = await startCalls(t, { identify: () => promise })
  const connection = await raw(t, world.port)
  connection.send(handshake('/_/call'))
  await until(() => world.places === 1, 'a place')
  await world.transport.stop(new AbortController().signal)
  resolve({ kind: 'anonymous', local: true, address: '127.0.0.1' })
  assert.match((await connection.ended).toString(), /^HTTP\/1\.1 503 /)
  assert.match(await exchange(t, world.port, handshake('/_/call', { Connection: 'Upgrade, close' })), /^HTTP\/1\.1 503 [^]*"code":"stopped"/)
  assert.equal(world.places, 0)
})
