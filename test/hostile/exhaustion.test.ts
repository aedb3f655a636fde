import assert from 'node:assert/strict'
import type { IncomingMessage, ServerResponse } from 'node:http'
import { PassThrough } from 'node:stream'
import { test } from 'node:test'
import { createBodyReader } from '../../src/http/body.ts'
import { createPatternBudget } from '../../src/transports/sse/pattern-budget.ts'
import { until } from '../support/events.ts'
import { heapUsed } from '../support/memory.ts'
import { raw } from '../support/raw.ts'
import { startServer } from '../support/server.ts'
import { openStream } from '../support/sse.ts'
import { connect } from '../support/websocket.ts'

/* What would fill memory or time without being too large by itself: maxUnfinishedBytes, maxPatterns, maxPatternsPerAddress. */

function request(): PassThrough & IncomingMessage {
  return Object.assign(new PassThrough(), { headers: {} }) as unknown as PassThrough & IncomingMessage
}

test('a body in chunks of one byte weighs what its bytes weigh, not an object for each', async () => {
  const stream = request()
  const before = heapUsed()
  const reading = createBodyReader(1_048_576, 268_435_456).read(stream, {} as ServerResponse)
  for (let i = 0; i < 100_000; i++) stream.emit('data', Buffer.from(new Uint8Array([0x61]).buffer))
  assert.ok(heapUsed() - before < 2_000_000, `${heapUsed() - before} bytes for 100,000`)
  stream.end()
  stream.resume()
  const body = await reading
  assert.ok(Buffer.isBuffer(body) && body.equals(Buffer.alloc(100_000, 'a')))
})

test('a body in pieces arrives as it was, whatever the pieces', async () => {
  const bytes = Buffer.from(Array.from({ length: 50_000 }, (_, i) => i % 251))
  for (const size of [1, 7, 1_024, 16_384, 50_000]) {
    const stream = request()
    const reading = createBodyReader(50_000, 1_000_000).read(stream, {} as ServerResponse)
    for (let at = 0; at < bytes.length; at += size) stream.write(bytes.subarray(at, at + size))
    stream.end()
    assert.deepEqual(await reading, bytes)
  }
})

test('maxUnfinishedBytes: bodies on their way are bounded together, and what was held is given back', async (t) => {
  const server = await startServer(t, { maxUnfinishedBytes: 400_000, maxMessageBytes: 300_000 })
  const half = await raw(t, server.port)
  half.send(`POST /a HTTP/1.1\r\nHost: h\r\nContent-Length: 300000\r\n\r\n${'x'.repeat(250_000)}`)
  // Nothing tells from outside that the half has been read; the second is sent until there is no room for it.
  await until(async () => (await fetch(`${server.url}/a`, { method: 'POST', body: 'y'.repeat(200_000) })).status === 503, 'a refusal')
  half.socket.destroy()
  await until(async () => (await fetch(`${server.url}/a`, { method: 'POST', body: 'y'.repeat(200_000) })).status === 200, 'room again')
})

test('maxPatterns: a stream that brings one pattern too many is refused, and one that brings known ones is not', async (t) => {
  const server = await startServer(t, { maxPatterns: 2 })
  const first = await openStream(t, `${server.url}/_/sse?topic=a*&topic=b*`)
  assert.equal((await openStream(t, `${server.url}/_/sse?topic=b*&topic=plain`)).response.status, 200)
  const refused = await fetch(`${server.url}/_/sse?topic=c*`)
  assert.equal(refused.status, 503)
  assert.match(await refused.text(), /too_many_patterns/)
  first.close()
  await until(async () => {
    const response = await fetch(`${server.url}/_/sse?topic=c*`)
    await response.body?.cancel()
    return response.status === 200
  }, 'a place for another pattern')
})

test('maxPatternsPerAddress: one client cannot take them all; this machine is exempt', () => {
  const budget = createPatternBudget({ total: 5, perAddress: 2 })
  const back = budget.take('192.0.2.1', ['a*', 'b*'])
  assert.ok(back)
  assert.equal(budget.take('192.0.2.1', ['c*']), undefined)
  assert.ok(budget.take('192.0.2.1', ['b*']))
  assert.ok(budget.take('192.0.2.2', ['c*', 'b*']))
  assert.ok(budget.take('127.0.0.1', ['d*', 'e*', 'a*']))
  assert.equal(budget.take('127.0.0.1', ['f*']), undefined)
  back()
  back()
  assert.equal(budget.take('192.0.2.1', ['g*', 'h*']), undefined, 'b* is still held by the second stream')
})

test('nothing below /_/ becomes a channel by asking for an event stream', async (t) => {
  const server = await startServer(t)
  const metrics = await fetch(`${server.url}/_/metrics`, { headers: { Accept: 'text/event-stream' } })
  assert.match(metrics.headers.get('content-type') ?? '', /text\/plain/)
  assert.equal((await fetch(`${server.url}/_/nothing`, { headers: { Accept: 'text/event-stream' } })).status, 404)
})

test('a program that publishes in a loop is held to what the hub can write', async (t) => {
  const server = await startServer(t)
  const socket = await connect(t, `${server.ws}/a`)
  let most = 0
  let sent = 0
  let got = 0
  socket.ws.on('message', () => {
    got++
    most = Math.max(most, sent - got)
  })
  for (; sent < 20_000; sent++) await server.hub.publish('a', 'x'.repeat(1_000))
  await until(() => got === 20_000, 'all of it')
  assert.ok(most < 15_000, `${most} of 20,000 waited at once`)
})
