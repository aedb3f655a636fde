import assert from 'node:assert/strict'
import { test } from 'node:test'
import { until } from '../../support/events.ts'
import { openFrames, OPCODE } from '../../support/frames.ts'
import { clientFrame } from '../../support/raw.ts'
import { startServer } from '../../support/server.ts'
import { connect } from '../../support/websocket.ts'

// `?role=publisher`, and how what comes over WebSockets is counted.

test('one that only publishes gets nothing, its own messages neither, in whichever format it asks for', async (t) => {
  const { ws, hub } = await startServer(t)
  const listener = await connect(t, `${ws}/news`)
  const publishers = await Promise.all(['', '&format=json'].map((more) => connect(t, `${ws}/news?role=publisher${more}`)))
  for (const publisher of publishers) publisher.send('from one')
  await hub.publish('news', 'from here')
  const seen = [await listener.next(), await listener.next(), await listener.next()]
  assert.deepEqual(seen.sort(), ['from here', 'from one', 'from one'])
  for (const publisher of publishers) {
    publisher.ws.close(1000)
    await publisher.closed
    assert.deepEqual(publisher.inbox.taken(), [])
  }
})

test('one that only publishes is a connection and no receiver, and its channel is none', async (t) => {
  const server = await startServer(t)
  const publisher = await connect(t, `${server.ws}/news?role=publisher`)
  assert.match(server.pinghubReport(), /^channels\.value 0\n(?:.*\n)*websockets\.value 1$/m)
  const answer = await fetch(`${server.url}/news`, { method: 'POST', body: 'x' })
  assert.equal(answer.headers.get('waystation-subscribers'), '0')
  publisher.ws.terminate()
  await until(() => /^websockets\.value 0$/m.test(server.pinghubReport()), 'the connection to be forgotten')
})

test('one that only publishes needs the right to publish, and no other; any other role is none', async (t) => {
  const { ws } = await startServer(t, { rules: [{ topics: 'read', publish: 'nobody' }, { topics: 'write', subscribe: 'nobody' }] })
  await assert.rejects(connect(t, `${ws}/read?role=publisher`), { status: 403 })
  await assert.rejects(connect(t, `${ws}/write`), { status: 403 })
  for (const role of ['subscriber', 'Publisher', '', 'subscriber&role=publisher']) {
    await assert.rejects(connect(t, `${ws}/write?role=${role}`), { status: 403 }, role)
    await connect(t, `${ws}/read?role=${role}`)
  }
  const publisher = await connect(t, `${ws}/write?role=publisher`)
  publisher.send('x')
  publisher.ws.close(1000)
  assert.equal((await publisher.closed).code, 1000)
  await assert.rejects(connect(t, `${ws}/write?role=publisher&since=nonsense`), { status: 400 })
})

test('one that only publishes is pinged, cut when it is silent, and told when the hub stops', async (t) => {
  const server = await startServer(t, { pingInterval: 100, pongDeadline: 2_500, drainTime: 100 })
  const silent = await openFrames(t, server.port, '/news?role=publisher')
  const lively = await connect(t, `${server.ws}/news?role=publisher`)
  assert.equal((await silent.frames.next()).opcode, OPCODE.ping)
  await silent.ended
  assert.deepEqual(silent.frames.taken().filter(({ opcode }) => opcode !== OPCODE.ping), [])
  await server.close()
  assert.equal((await lively.closed).code, 1001)
})

test('messages that came in one read with a goodbye are published and counted as all others', async (t) => {
  const server = await startServer(t)
  const listener = await connect(t, `${server.ws}/news`)
  const publisher = await openFrames(t, server.port, '/news?role=publisher')
  publisher.raw.send(Buffer.concat([...['a', 'b', ''].map((word) => clientFrame(OPCODE.text, word)), clientFrame(OPCODE.close, '')]))
  assert.deepEqual([await listener.next(), await listener.next()], ['a', 'b'])
  await publisher.ended
  await until(async () => /^waystation_messages_published_total\{transport="pinghub"\} 2$/m.test(await (await fetch(`${server.url}/_/metrics`)).text()), 'two to be counted')
})
