import assert from 'node:assert/strict'
import { test } from 'node:test'
import { topicFromBytes, topicToUrl } from '../../src/core/topic.ts'
import { compilePattern } from '../../src/core/pattern.ts'
import { until } from '../support/events.ts'
import { exchange, raw } from '../support/raw.ts'
import { ask, openWire, request } from '../support/responses.ts'
import { startServer } from '../support/server.ts'
import { openStream, type SseEvent } from '../support/sse.ts'
import { createSeededRandom } from '../../src/testing/seeded-random.ts'
import { statuses } from './statuses.ts'

const KEEP = { rules: [{ topics: '*', keep: { messages: 100 } }] }

/** Reads an event stream as the HTML standard says, all three line ends included, which a hub should never send. */
function parse(text: string): Record<string, string>[] {
  return text.split(/(?:\r\n|\r|\n){2}/).map((block) => {
    const event: Record<string, string> = {}
    for (const line of block.split(/\r\n|\r|\n/)) {
      if (line === '' || line.startsWith(':')) continue
      const [, field, value] = /^([^:]*):? ?(.*)$/s.exec(line) as unknown as [string, string, string]
      event[field] = field === 'data' && event[field] !== undefined ? `${event[field]}\n${value}` : value
    }
    return event
  }).filter((event) => 'data' in event)
}

const EVIL = [
  'x\n\nevent: gap\ndata: forged\n\n', 'x\r\rid: forged\rdata: forged\r\r', 'x\r\n\r\nretry: 1\r\n\r\n', '\n', '\r', '\r\n', '\n\r', '\r\r\n\n', '\0', 'id: 1\0\nid: 2',
  ': comment\n:\n', 'data: data', ' leading', '\uFEFFdata: x', 'a\u2028b\u2029c', 'a\u0085b', 'a\vb\fc', '',
]

test('no body makes or ends a field: what comes out has exactly one event for each message, with its own lines and no others', async (t) => {
  const server = await startServer(t, KEEP)
  const stream = await openStream(t, `${server.url}/a`)
  const named = await openStream(t, `${server.url}/_/sse?topic=a&topic=b`)
  for (const body of EVIL) await server.hub.publish('a', body)
  await server.hub.publish('a', 'the end')
  for (const one of [stream, named]) {
    await until(() => one.raw().includes('the end\n\n'), 'the end')
    const events = parse(one.raw())
    const expected = [...EVIL, 'the end'].map((body) => body.replaceAll('\0', '\uFFFD').replace(/\r\n|\r/g, '\n'))
    assert.deepEqual(events.map((event) => event['data']), expected)
    assert.deepEqual(new Set(events.flatMap(Object.keys)), new Set(one === named ? ['id', 'topic', 'data'] : ['id', 'data']))
    assert.match(one.raw(), /^[^\r\0]*$/)
  }
})

test('no topic makes or ends a field on a stream of several topics', async (t) => {
  const server = await startServer(t, KEEP)
  const stream = await openStream(t, `${server.url}/_/sse?topic=*`)
  const topics = ['a\nevent: gap', 'a\r\rdata: forged', 'a\0b', '\n\n', 'ü/é %0A', 'a:b', '\u2028']
  for (const topic of topics) await server.hub.publish(topic, `to ${topic.length}`)
  for (const topic of topics) {
    const event = await stream.next()
    assert.deepEqual([event.event, event.topic, event.data], ['message', topicToUrl(topicFromBytes(Buffer.from(topic))), `to ${topic.length}`])
    assert.equal(decodeURIComponent(event.topic as string), topic)
  }
  assert.match(stream.raw(), /^[^\r\0]*$/)
})

test('a path with line ends in it names a topic like any other', async (t) => {
  const server = await startServer(t, KEEP)
  const path = '/a%0A%0Adata:%20forged%0D%00'
  const plain = await openStream(t, `${server.url}${path}`)
  const named = await openStream(t, `${server.url}/_/sse?topic=${path.slice(1)}`)
  assert.equal((await ask(t, server.port, request(`POST ${path}`, { body: 'x' }))).status, 200)
  assert.equal((await plain.next()).data, 'x')
  assert.deepEqual(await named.next().then(({ data, topic }) => [data, decodeURIComponent(topic as string)]), ['x', 'a\n\ndata: forged\r\0'])
})

test('whatever bytes are published, the stream stays an event stream: a thousand bodies from a seed', async (t) => {
  const random = createSeededRandom(20_260_726)
  const alphabet = ['\n', '\r', '\0', ':', ' ', 'data', 'id', 'event', 'x', 'é', '\uFEFF', '😀']
  const server = await startServer(t)
  const stream = await openStream(t, `${server.url}/a`)
  for (let i = 0; i < 1_000; i++) {
    const body = Array.from({ length: random.below(12) }, () => random.pick(alphabet)).join('')
    await server.hub.publish('a', `${i}|${body}`)
    const event: SseEvent = await stream.next()
    assert.deepEqual(event, { id: server.hub.cursor, event: 'message', topic: undefined, data: `${i}|${body}`.replaceAll('\0', '\uFFFD').replace(/\r\n|\r/g, '\n') })
  }
})

test('bytes that are no text never come as text', async (t) => {
  const server = await startServer(t)
  const stream = await openStream(t, `${server.url}/a`)
  const bytes = Buffer.from([0xff, 0x0a, 0x0a, 0x64, 0x61, 0x74, 0x61, 0x3a, 0x0d, 0x00])
  await server.hub.publish('a', bytes)
  const event = await stream.next()
  assert.equal(event.event, 'binary')
  assert.deepEqual(Buffer.from(event.data, 'base64'), bytes)
})

for (const id of ['x', ':', '0', 'a:-1', 'a:1.5', 'a:1e3', 'a:99999999999999999999', `${'a'.repeat(33)}:1`, 'A:1', 'ä:1', '0:0', '__proto__:1', `${'9'.repeat(7_000)}`, 'a:1, a:2']) {
  test(`a Last-Event-ID of ${id.slice(0, 40)} is answered with a gap, and the stream goes on`, async (t) => {
    const server = await startServer(t, KEEP)
    await server.hub.publish('a', 'before')
    const connection = await openWire(t, server.port)
    connection.send(request('GET /a', { headers: { Accept: 'text/event-stream', 'Last-Event-ID': Buffer.from(id).toString('latin1') } }))
    await connection.raw.until((received) => received.includes('\nevent: gap\n'))
    await server.hub.publish('a', 'after')
    await connection.raw.until((received) => received.includes('\ndata: after\n'))
    assert.equal(connection.raw.received().includes('before'), false)
  })
}

test('a last_event_id in the query that is no cursor is an error of whoever wrote it, however long', async (t) => {
  const server = await startServer(t, KEEP)
  for (const id of ['x', 'a:-1', '%00', '%FF', '%', '', '9'.repeat(15_000)]) {
    const answer = await ask(t, server.port, request(`GET /a?last_event_id=${id}`, { headers: { Accept: 'text/event-stream' } }))
    assert.equal(answer.status, 400)
    assert.match(answer.body, /^Error: bad_cursor\./)
    assert.ok(answer.body.length < 200)
  }
})

test('a client that disconnects in the middle of an event, or at once, leaves nothing behind', async (t) => {
  const server = await startServer(t, { rules: [{ topics: '*', keep: { messages: 50 } }] })
  const gauges = async (): Promise<string> => {
    const page = await (await fetch(`${server.url}/_/metrics`)).text()
    return [...page.matchAll(/^waystation_(?:connections\{transport="sse"\}|topics|patterns) \d+$/gm)].map(([line]) => line.split(' ').at(-1)).join(' ')
  }
  const start = server.hub.cursor
  for (let i = 0; i < 50; i++) await server.hub.publish('a', 'x'.repeat(100_000))
  for (let i = 0; i < 60; i++) {
    const connection = await raw(t, server.port)
    const query = i % 3 === 0 ? `?since=${start}` : ''
    connection.send(request(i % 2 === 0 ? `GET /a${query}` : 'GET /_/sse?topic=a*&topic=b', { headers: { Accept: 'text/event-stream' } }))
    if (i % 4 > 0) await connection.until((received) => received.length > 0)
    if (i % 4 > 1) connection.socket.resetAndDestroy()
    else connection.socket.destroy()
    await server.hub.publish('a', 'x'.repeat(100_000))
  }
  await until(async () => (await gauges()) === '0 0 0', 'everything to be let go')
})

test('an event stream does not wait in line behind an unanswered request, where it could never be written', async (t) => {
  const server = await startServer(t)
  const stream = request('GET /a', { headers: { Accept: 'text/event-stream' } })
  const connection = await raw(t, server.port)
  connection.send(stream + stream + stream)
  await connection.until((received) => received.includes('\nid: '))
  await server.hub.publish('a', 'once')
  await connection.until((received) => received.includes('data: once\n'))
  const page = await (await fetch(`${server.url}/_/metrics`)).text()
  assert.match(page, /^waystation_connections\{transport="sse"\} 1$/m)
  const behind = await exchange(t, server.port, request('GET /_/metrics') + request('GET /a', { headers: { Accept: 'text/event-stream', Connection: 'close' } }))
  assert.equal(statuses(behind), '200 400')
})

test('a glob that would take for ever in a naive matcher takes no time', async (t) => {
  const server = await startServer(t)
  const hostile = ['*a'.repeat(100) + 'b', '**/'.repeat(80) + 'b', '*?'.repeat(100) + 'b', '[a-z]*'.repeat(40) + '!', '[a'.repeat(120)]
  const query = hostile.map((glob) => `topic=${encodeURIComponent(glob)}`).join('&')
  const stream = await openStream(t, `${server.url}/_/sse?topic=the-end&${query}`)
  assert.equal(stream.response.status, 200)
  const start = performance.now()
  for (const topic of ['a'.repeat(255), 'a/'.repeat(127), 'a'.repeat(65_000)]) await server.hub.publish(topic, 'x')
  await server.hub.publish('the-end', 'x')
  assert.equal((await stream.next()).topic, 'the-end')
  assert.ok(performance.now() - start < 5_000)
})

test('the cost of a match grows with the product of pattern and topic, and no faster', () => {
  // In steps it is at most n * m; a matcher that goes back to every star would not end before the sun does.
  for (const glob of [`${'*a'.repeat(5_000)}b`, `${'**/'.repeat(5_000)}b`, `${'?*'.repeat(5_000)}b`]) {
    assert.equal(compilePattern(glob).matches(topicFromBytes(Buffer.alloc(10_000, 'a'))), false)
  }
})

test('globs that cannot be read are refused by name', async (t) => {
  const server = await startServer(t)
  for (const query of ['', 'topic=', `topic=${'a'.repeat(257)}`, 'topics=a']) {
    const answer = await ask(t, server.port, request(`GET /_/sse?${query}`))
    assert.equal(answer.status, query === 'topic=' ? 200 : 400, query)
  }
})
