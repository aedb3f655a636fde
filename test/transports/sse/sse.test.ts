import assert from 'node:assert/strict'
import { test } from 'node:test'
import { until } from '../../support/events.ts'
import { startServer } from '../../support/server.ts'
import { openStream } from '../../support/sse.ts'
import { connect } from '../../support/websocket.ts'

const KEEP_ALL = { rules: [{ topics: '*', keep: { messages: 1_000 } }] }

async function post(url: string, body: string | Uint8Array<ArrayBuffer>, headers: Record<string, string> = {}): Promise<string> {
  const response = await fetch(url, { method: 'POST', body, headers })
  assert.equal(response.status, 200, await response.text())
  return `${response.headers.get('waystation-epoch')}:${response.headers.get('waystation-offset')}`
}

test('a channel path with Accept: text/event-stream streams what is published there', async (t) => {
  const server = await startServer(t)
  const stream = await openStream(t, `${server.url}/news/eu`)
  assert.equal(stream.response.headers.get('content-type'), 'text/event-stream; charset=utf-8')
  assert.equal(stream.response.headers.get('x-accel-buffering'), 'no')
  assert.match(stream.response.headers.get('cache-control') ?? '', /no-cache/)
  const cursor = await post(`${server.url}/news/eu`, 'hello')
  assert.deepEqual(await stream.next(), { id: cursor, event: 'message', data: 'hello', topic: undefined })
})

test('what a WebSocket sends reaches an event stream, and the other way round nothing is sent back', async (t) => {
  const server = await startServer(t)
  const stream = await openStream(t, `${server.url}/demo`)
  const socket = await connect(t, `${server.ws}/demo`)
  socket.send('from the socket')
  assert.equal((await stream.next()).data, 'from the socket')
  assert.equal(await socket.next(), 'from the socket')
})

test('the stream opens with a retry time and the place it begins at, so that it can resume before any message came', async (t) => {
  const server = await startServer(t, { retry: 1234, ...KEEP_ALL })
  const before = await post(`${server.url}/demo`, 'before')
  const stream = await openStream(t, `${server.url}/demo`)
  await until(() => stream.raw().includes('\n\n'), 'the opening')
  assert.equal(stream.raw(), `retry: 1234\nid: ${before}\n\n`)
  stream.close()
  await post(`${server.url}/demo`, 'missed')
  const again = await openStream(t, `${server.url}/demo`, { 'Last-Event-ID': before })
  assert.equal((await again.next()).data, 'missed')
})

test('a text of several lines arrives as several data lines, whatever its line ends', async (t) => {
  const server = await startServer(t)
  const stream = await openStream(t, `${server.url}/demo`)
  await post(`${server.url}/demo`, 'one\ntwo\r\nthree\rfour\n')
  assert.equal((await stream.next()).data, 'one\ntwo\nthree\nfour\n')
})

for (const how of ['header', 'last_event_id', 'since'] as const) {
  test(`a stream resumes exactly behind the cursor given by ${how}`, async (t) => {
    const server = await startServer(t, KEEP_ALL)
    const cursors: string[] = []
    for (let i = 0; i < 10; i++) cursors.push(await post(`${server.url}/demo`, `m${i}`))
    await post(`${server.url}/other`, 'not wanted')
    const at = cursors[3] as string
    const stream = how === 'header'
      ? await openStream(t, `${server.url}/demo`, { 'Last-Event-ID': at })
      : await openStream(t, `${server.url}/demo?${how}=${at}`)
    const cursor = await post(`${server.url}/demo`, 'live')
    const got = await stream.inbox.take(7)
    assert.deepEqual(got.map((event) => event.data), ['m4', 'm5', 'm6', 'm7', 'm8', 'm9', 'live'])
    assert.equal(got.at(-1)?.id, cursor)
  })
}

test('the header counts more than the query, because a browser sends the header anew each time it comes back', async (t) => {
  const server = await startServer(t, KEEP_ALL)
  const first = await post(`${server.url}/demo`, 'm1')
  const second = await post(`${server.url}/demo`, 'm2')
  await post(`${server.url}/demo`, 'm3')
  const stream = await openStream(t, `${server.url}/demo?last_event_id=${first}`, { 'Last-Event-ID': second })
  assert.equal((await stream.next()).data, 'm3')
})

for (const [name, cursor] of [['of another epoch', 'otherepoch:3'], ['that is none', 'somebody else\'s'], ['ahead of the log', undefined]] as const) {
  test(`a cursor ${name} is answered with a gap, then live messages`, async (t) => {
    const server = await startServer(t, KEEP_ALL)
    const at = await post(`${server.url}/demo`, 'before')
    const stream = await openStream(t, `${server.url}/demo`, { 'Last-Event-ID': cursor ?? at.replace(/:.*/, ':999') })
    const gap = await stream.next()
    assert.equal(gap.event, 'gap')
    assert.equal(gap.id, at)
    assert.equal(JSON.parse(gap.data).gap.to, at)
    await post(`${server.url}/demo`, 'after')
    assert.equal((await stream.next()).data, 'after')
  })
}

test('messages that the log has let go are answered with a gap, never with a part', async (t) => {
  const server = await startServer(t, { rules: [{ topics: '*', keep: { messages: 2 } }] })
  const first = await post(`${server.url}/demo`, 'm0')
  for (let i = 1; i <= 4; i++) await post(`${server.url}/demo`, `m${i}`)
  const stream = await openStream(t, `${server.url}/demo`, { 'Last-Event-ID': first })
  assert.equal((await stream.next()).event, 'gap')
  await post(`${server.url}/demo`, 'live')
  assert.equal((await stream.next()).data, 'live')
})

test('a topic that no rule keeps has a gap as soon as something passed it', async (t) => {
  const server = await startServer(t)
  const at = await post(`${server.url}/demo`, 'm0')
  const whole = await openStream(t, `${server.url}/demo`, { 'Last-Event-ID': at })
  await post(`${server.url}/demo`, 'm1')
  assert.equal((await whole.next()).data, 'm1')
  const late = await openStream(t, `${server.url}/demo`, { 'Last-Event-ID': at })
  assert.equal((await late.next()).event, 'gap')
})

test('one stream carries several topics and globs, each message once, with its topic beside it', async (t) => {
  const server = await startServer(t)
  const stream = await openStream(t, `${server.url}/_/sse?topic=a&topic=news/*&topic=news/eu`)
  await post(`${server.url}/a`, '1')
  await post(`${server.url}/news/eu`, '2')
  await post(`${server.url}/b`, 'not wanted')
  await post(`${server.url}/news/%E2%82%AC uro`, '3')
  const got = await stream.inbox.take(3)
  assert.deepEqual(got.map(({ data, topic }) => [topic, data]), [['a', '1'], ['news/eu', '2'], ['news/%E2%82%AC%20uro', '3']])
})

test('a glob stream resumes with one cursor over all its topics', async (t) => {
  const server = await startServer(t, KEEP_ALL)
  const at = await post(`${server.url}/a/1`, 'first')
  for (const topic of ['a/2', 'b', 'a/1', 'a/3']) await post(`${server.url}/${topic}`, topic)
  const stream = await openStream(t, `${server.url}/_/sse?topic=a/*&since=${at}`)
  assert.deepEqual((await stream.inbox.take(3)).map((event) => event.data), ['a/2', 'a/1', 'a/3'])
})

test('format=json gives each message whole, with line ends and NUL as they were', async (t) => {
  const server = await startServer(t)
  const stream = await openStream(t, `${server.url}/demo?format=json`)
  const cursor = await post(`${server.url}/demo`, 'a\r\nb\0c')
  const { data } = await stream.next()
  const { time, ...rest } = JSON.parse(data)
  assert.deepEqual(rest, { cursor, topic: 'demo', type: 'text/plain; charset=utf-8', data: 'a\r\nb\0c' })
  assert.ok(Math.abs(time - Date.now()) < 60_000)
})

test('a body that is no text arrives as Base64 in an event of its own', async (t) => {
  const server = await startServer(t)
  const stream = await openStream(t, `${server.url}/demo`)
  await server.hub.publish('demo', Buffer.from([0xff, 0x00, 0x0a]))
  const event = await stream.next()
  assert.equal(event.event, 'binary')
  assert.deepEqual([...Buffer.from(event.data, 'base64')], [0xff, 0x00, 0x0a])
})

test('a quiet stream gets comment heartbeats', async (t) => {
  const server = await startServer(t, { heartbeat: 100 })
  const stream = await openStream(t, `${server.url}/demo`)
  await until(() => stream.raw().includes('\n:\n\n:\n\n'), 'two heartbeats')
})

test('mistakes are told with a status and a sentence', async (t) => {
  const server = await startServer(t, { rules: [{ topics: 'secret/*', subscribe: 'nobody' }] })
  const cases: [string, number, RegExp][] = [
    ['/_/sse', 400, /topic/],
    ['/_/sse?topic=a&since=nonsense', 400, /bad_cursor/],
    ['/demo?last_event_id=nonsense', 400, /bad_cursor/],
    [`/_/sse?topic=${'x'.repeat(300)}`, 400, /bad_pattern/],
    ['/secret/x', 403, /forbidden/],
    ['/_/sse?topic=*', 403, /forbidden/],
    ['/_/sse?topic=secret/x', 403, /forbidden/],
  ]
  for (const [path, status, text] of cases) {
    const response = await fetch(server.url + path, { headers: { Accept: 'text/event-stream' } })
    assert.equal(response.status, status, path)
    assert.match(await response.text(), text, path)
  }
  assert.equal((await fetch(`${server.url}/_/sse?topic=a`, { method: 'POST', body: 'x' })).status, 405)
})

test('a path that is not canonical is redirected, with its query', async (t) => {
  const server = await startServer(t)
  const response = await fetch(`${server.url}/a//b?since=x:1`, { headers: { Accept: 'text/event-stream' }, redirect: 'manual' })
  assert.equal(response.status, 301)
  assert.equal(response.headers.get('location'), '/a/b?since=x:1')
})

test('with event streams switched off the same request gets the page, and /_/sse is a channel', async (t) => {
  const server = await startServer(t, { sse: false, operations: false })
  const response = await fetch(`${server.url}/demo`, { headers: { Accept: 'text/event-stream' } })
  assert.match(response.headers.get('content-type') ?? '', /text\/html/)
  const socket = await connect(t, `${server.ws}/_/sse`)
  await post(`${server.url}/_/sse`, 'hello')
  assert.equal(await socket.next(), 'hello')
})
