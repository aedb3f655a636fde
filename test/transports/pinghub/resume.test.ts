import assert from 'node:assert/strict'
import { test } from 'node:test'
import { startServer } from '../../support/server.ts'
import { connect } from '../../support/websocket.ts'

// What is added to pinghub's protocol on a WebSocket: docs/protocols/pinghub.md, "Additions".

const KEEPING = { rules: [{ topics: 'kept', keep: { messages: 5 } }, { topics: 'all', keep: { messages: 100_000 } }] }

async function publish(url: string, path: string, body: string): Promise<string> {
  const { headers } = await fetch(url + path, { method: 'POST', body })
  return `${headers.get('waystation-epoch')}:${headers.get('waystation-offset')}`
}

function after(cursor: string, steps: number): string {
  const [epoch, offset] = cursor.split(':')
  return `${epoch}:${Number(offset) + steps}`
}

test('format=json begins with the place it begins at, and gives each message with its cursor, topic, time and type', async (t) => {
  const { url, ws } = await startServer(t)
  const before = await publish(url, '/news/eu', 'earlier')
  const socket = await connect(t, `${ws}/news/eu?format=json`)
  assert.deepEqual(JSON.parse(await socket.next()), { cursor: before })
  const started = Date.now()
  const cursor = await publish(url, '/news/eu', 'grüße "x"')
  const message = JSON.parse(await socket.next()) as Record<string, unknown>
  const { time, ...rest } = message
  assert.deepEqual(rest, { cursor, type: 'text/plain; charset=utf-8', topic: 'news/eu', data: 'grüße "x"' })
  assert.ok(typeof time === 'number' && time >= started && time <= Date.now())
})

test('a bare and a JSON subscriber of one path get the same messages, each in its form', async (t) => {
  const { url, ws } = await startServer(t)
  const [bare, json] = [await connect(t, `${ws}/a`), await connect(t, `${ws}/a?format=json`)]
  await json.next()
  json.send('by the JSON one')
  await publish(url, '/a', 'posted')
  assert.deepEqual([await bare.next(), await bare.next()].sort(), ['by the JSON one', 'posted'])
  const data = [await json.next(), await json.next()].map((text) => (JSON.parse(text) as { data: string }).data)
  assert.deepEqual(data.sort(), ['by the JSON one', 'posted'])
})

test('a body that is no text stands in Base64 in the JSON form', async (t) => {
  const server = await startServer(t)
  const socket = await connect(t, `${server.ws}/a?format=json`)
  await socket.next()
  await server.hub.publish('a', Uint8Array.of(0xff, 0))
  const { base64, data } = JSON.parse(await socket.next()) as { base64: string; data?: string }
  assert.deepEqual([base64, data], ['/wA=', undefined])
})

test('?since= gives exactly what came after the cursor, then what comes', async (t) => {
  const { url, ws } = await startServer(t, KEEPING)
  const cursors: string[] = []
  for (let i = 0; i < 5; i++) cursors.push(await publish(url, '/kept', `message ${i}`))
  const sockets = await Promise.all(cursors.map((cursor) => connect(t, `${ws}/kept?since=${cursor}`)))
  for (const [i, socket] of sockets.entries()) {
    const missed = [0, 1, 2, 3, 4].slice(i + 1).map((n) => `message ${n}`)
    assert.deepEqual((await socket.inbox.take(missed.length)).map(({ data }) => data), missed)
  }
  await publish(url, '/kept', 'live')
  for (const socket of sockets) assert.equal(await socket.next(), 'live')
})

test('resuming from the place that JSON began at loses nothing, even before the first message', async (t) => {
  const { url, ws } = await startServer(t, KEEPING)
  const first = await connect(t, `${ws}/kept?format=json`)
  const { cursor } = JSON.parse(await first.next()) as { cursor: string }
  first.ws.terminate()
  await publish(url, '/kept', 'meanwhile')
  const second = await connect(t, `${ws}/kept?since=${cursor}`)
  assert.equal(await second.next(), 'meanwhile')
})

test('a client that resumes again and again while more is published sees every message once, in order', async (t) => {
  const server = await startServer(t, KEEPING)
  const total = 2_000
  // So long that a replay takes many turns of the loop, in each of which more is published.
  const filler = '.'.repeat(1_000)
  let { cursor } = server.hub
  const seen: number[] = []
  let published = 0
  const publish = (): Promise<unknown> => server.hub.publish('all', `${published++} ${filler}`)
  while (published < 500) await publish()
  const publishing = (async () => {
    while (seen.length < total) {
      await publish()
      await new Promise((resolve) => setImmediate(resolve))
    }
  })()
  while (seen.length < total) {
    const socket = await connect(t, `${server.ws}/all?format=json&since=${cursor}`)
    for (let i = 0; i < 200 && seen.length < total; i++) {
      const message = JSON.parse(await socket.next()) as { cursor: string; data: string }
      cursor = message.cursor
      seen.push(Number(message.data.split(' ')[0]))
    }
    socket.ws.terminate()
  }
  await publishing
  assert.deepEqual(seen, Array.from({ length: total }, (_, i) => i))
})

test('when something after the cursor is no longer kept, a bare subscriber is closed with 4410 that says where live is', async (t) => {
  const { url, ws } = await startServer(t, KEEPING)
  const first = await publish(url, '/kept', 'message 0')
  let last = first
  for (let i = 1; i <= 6; i++) last = await publish(url, '/kept', `message ${i}`)
  for (const since of [first, `${first.split(':')[0]}x:1`, after(last, 1), '0:0']) {
    const socket = await connect(t, `${ws}/kept?since=${since}`)
    assert.deepEqual([since, await socket.closed], [since, { code: 4410, reason: `gap: messages are lost; live is at ${last}` }])
    assert.deepEqual(socket.inbox.taken(), [])
  }
  // From there it goes on.
  const again = await connect(t, `${ws}/kept?since=${last}`)
  await publish(url, '/kept', 'next')
  assert.equal(await again.next(), 'next')
})

test('when something after the cursor is no longer kept, a JSON subscriber is told of the gap and goes on', async (t) => {
  const { url, ws } = await startServer(t, KEEPING)
  const first = await publish(url, '/kept', 'message 0')
  let last = first
  for (let i = 1; i <= 6; i++) last = await publish(url, '/kept', `message ${i}`)
  const socket = await connect(t, `${ws}/kept?format=json&since=${first}`)
  assert.deepEqual(JSON.parse(await socket.next()), { gap: { from: first, to: last } })
  const cursor = await publish(url, '/kept', 'next')
  const message = JSON.parse(await socket.next()) as { cursor: string; data: string }
  assert.deepEqual([message.cursor, message.data], [cursor, 'next'])
})

test('on a path that nothing is kept for, resuming works as long as nothing was missed', async (t) => {
  const { url, ws } = await startServer(t)
  const cursor = await publish(url, '/a', 'seen')
  const socket = await connect(t, `${ws}/a?since=${cursor}`)
  await publish(url, '/a', 'next')
  assert.equal(await socket.next(), 'next')
  const late = await connect(t, `${ws}/a?since=${cursor}`)
  assert.equal((await late.closed).code, 4410)
})

test('a cursor that is none is refused with 400 before the 101', async (t) => {
  const { ws } = await startServer(t)
  for (const since of ['', 'x', '1', 'abc:', 'abc:-1', 'abc:1.5', 'ABC:1', 'abc:99999999999999999']) {
    await assert.rejects(connect(t, `${ws}/a?since=${encodeURIComponent(since)}`), { status: 400 })
  }
})
