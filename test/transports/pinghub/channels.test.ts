import assert from 'node:assert/strict'
import { test } from 'node:test'
import { until } from '../../support/events.ts'
import { openFrames, OPCODE } from '../../support/frames.ts'
import { openWire, request } from '../../support/responses.ts'
import { startServer } from '../../support/server.ts'
import { connect, type TestSocket } from '../../support/websocket.ts'

// pinghub, section 9.

function gauge(report: string, name: string): number {
  return Number(new RegExp(`^${name}\\.value (\\d+)$`, 'm').exec(report)?.[1])
}

test('a channel exists from its first subscriber to its last', async (t) => {
  const server = await startServer(t)
  const channels = (): [number, number] => [gauge(server.pinghubReport(), 'channels'), gauge(server.pinghubReport(), 'websockets')]
  assert.deepEqual(channels(), [0, 0])
  const first = await connect(t, `${server.ws}/a`)
  const second = await connect(t, `${server.ws}/a`)
  const other = await connect(t, `${server.ws}/b`)
  assert.deepEqual(channels(), [2, 3])
  first.ws.close()
  await first.closed
  await until(() => gauge(server.pinghubReport(), 'websockets') === 2, 'the first to be gone')
  assert.deepEqual(channels(), [2, 2])
  second.ws.terminate()
  other.ws.terminate()
  await until(() => gauge(server.pinghubReport(), 'channels') === 0, 'the channels to be gone')
  assert.deepEqual(channels(), [0, 0])
})

test('neither a page nor a POST nor a refused handshake makes a channel', async (t) => {
  const server = await startServer(t, { origin: ['https://example.com'] })
  await fetch(`${server.url}/a`)
  await fetch(`${server.url}/a`, { method: 'POST', body: 'x' })
  await assert.rejects(connect(t, `${server.ws}/a`, { origin: 'https://evil.example' }))
  assert.equal(gauge(server.pinghubReport(), 'channels'), 0)
})

test('one WebSocket is one subscription, and nothing that was published before it comes', async (t) => {
  const { url, ws } = await startServer(t)
  const early = await connect(t, `${ws}/a`)
  for (const body of ['1', '2']) await fetch(`${url}/a`, { method: 'POST', body })
  const late = await connect(t, `${ws}/a`)
  for (const body of ['3', '4']) await fetch(`${url}/a`, { method: 'POST', body })
  assert.deepEqual((await early.inbox.take(4)).map(({ data }) => data), ['1', '2', '3', '4'])
  assert.deepEqual((await late.inbox.take(2)).map(({ data }) => data), ['3', '4'])
  assert.deepEqual([early.inbox.taken(), late.inbox.taken()], [[], []])
})

test('messages of one WebSocket arrive in the order they were sent', async (t) => {
  const { ws } = await startServer(t)
  const [sender, other] = [await connect(t, `${ws}/a`), await connect(t, `${ws}/a`)]
  const sent = Array.from({ length: 2_000 }, (_, i) => `message ${i}`)
  for (const text of sent) sender.send(text)
  for (const socket of [sender, other]) assert.deepEqual((await socket.inbox.take(sent.length)).map(({ data }) => data), sent)
})

test('POSTs that are sent one after the other arrive in that order, and a message sent after an OK comes after that POST', async (t) => {
  const { port, ws } = await startServer(t)
  const [talker, watcher] = [await connect(t, `${ws}/a`), await connect(t, `${ws}/a`)]
  const poster = await openWire(t, port)
  const expected: string[] = []
  for (let i = 0; i < 50; i++) {
    for (const body of [`first ${i}`, `second ${i}`]) {
      poster.send(request('POST /a', { body }))
      await poster.answer()
    }
    talker.send(`message ${i}`)
    expected.push(`first ${i}`, `second ${i}`, `message ${i}`)
    // The next POST goes another way, so it waits until the message has come round.
    while ((await talker.next()) !== `message ${i}`) continue
  }
  assert.deepEqual((await watcher.inbox.take(expected.length)).map(({ data }) => data), expected)
})

const PUBLISHERS = 8
const EACH = 150

test('all subscribers see one order, and each publisher its own order in it, with WebSocket and POST publishers at once', async (t) => {
  const { port, ws } = await startServer(t)
  const watchers = await Promise.all(Array.from({ length: 5 }, () => connect(t, `${ws}/a`)))
  const talkers = await Promise.all(Array.from({ length: PUBLISHERS }, () => connect(t, `${ws}/a`)))
  const posters = await Promise.all(Array.from({ length: PUBLISHERS }, () => openWire(t, port)))
  const ends = new Map<TestSocket, string[]>()
  const gather = [...watchers, ...talkers].map(async (socket) => {
    ends.set(socket, (await socket.inbox.take(2 * PUBLISHERS * EACH)).map(({ data }) => data))
  })
  const posting = posters.map(async (poster, p) => {
    for (let i = 0; i < EACH; i++) {
      poster.send(request('POST /a', { body: `post${p} ${i}` }))
      await poster.answer()
    }
  })
  for (let i = 0; i < EACH; i++) {
    for (const [p, talker] of talkers.entries()) talker.send(`talk${p} ${i}`)
    // Given away now and then, so that both kinds are under way together.
    await new Promise((resolve) => setImmediate(resolve))
  }
  await Promise.all([...posting, ...gather])
  const [order, ...others] = [...ends.values()] as [string[], ...string[][]]
  for (const other of others) assert.deepEqual(other, order)
  for (const kind of ['post', 'talk']) {
    for (let p = 0; p < PUBLISHERS; p++) {
      const own = order.filter((text) => text.startsWith(`${kind}${p} `))
      assert.deepEqual(own, Array.from({ length: EACH }, (_, i) => `${kind}${p} ${i}`))
    }
  }
})

test('a slow subscriber gets an unbroken beginning, then a Close 1013 that says why; the others are not delayed and lose nothing', async (t) => {
  const server = await startServer(t, { maxPendingBytes: 65_536 })
  const fast = await connect(t, `${server.ws}/a`)
  const slow = await openFrames(t, server.port, '/a')
  slow.raw.socket.pause()
  const filler = '.'.repeat(10_000)
  const letGo = async (): Promise<boolean> => /^waystation_slow_consumers_total.* 1$/m.test(await (await fetch(`${server.url}/_/metrics`)).text())
  let published = 0
  // In step with the fast one, so that only the slow one falls behind: what the kernel takes for it, and then its bound.
  while (!(await letGo())) {
    const round = Array.from({ length: 5 }, () => `${published++} ${filler}`)
    for (const text of round) await server.hub.publish('a', text)
    assert.deepEqual((await fast.inbox.take(round.length)).map(({ data }) => data), round)
    assert.ok(published < 20_000, 'the slow one is let go some time')
  }
  slow.raw.socket.resume()
  let came = 0
  for (let frame = await slow.frames.next(); ; frame = await slow.frames.next()) {
    if (frame.opcode === OPCODE.close) {
      assert.deepEqual([frame.payload.readUInt16BE(0), frame.payload.toString('utf8', 2)], [1013, 'slow consumer'])
      break
    }
    assert.equal(frame.payload.toString(), `${came++} ${filler}`)
  }
  assert.ok(came > 0 && came < published, `${came} of ${published} came`)
  slow.send(OPCODE.close, '')
  await slow.ended
  fast.send('after')
  assert.equal(await fast.next(), 'after')
})
