import assert from 'node:assert/strict'
import { connect as connectTcp } from 'node:net'
import { test, type TestContext } from 'node:test'
import { createSeededRandom } from '../../../src/testing/seeded-random.ts'
import { until } from '../../support/events.ts'
import { openFrames, OPCODE } from '../../support/frames.ts'
import { raw } from '../../support/raw.ts'
import { openWire, request } from '../../support/responses.ts'
import { startServer } from '../../support/server.ts'
import { connect, type TestSocket } from '../../support/websocket.ts'

/*
 * pinghub, section 12.1: the faults of the original, of which none may be here. B5 (UTF-8) is in messages.test.ts and
 * post.test.ts, B7 (origins without a scheme) and B6 (a port that is taken) in ../../cli/pinghub.test.ts, B8 (tokens) and B9
 * (frames beside the handshake) in handshake.test.ts, B11 (unbounded bodies) in post.test.ts, B12 (evictions that nobody counts)
 * in channels.test.ts.
 */

/** Sends all of these on one connection at once, and settles when all are answered 200. */
function postAtOnce(t: TestContext, port: number, path: string, bodies: readonly string[]): Promise<void> {
  const socket = connectTcp(port, '127.0.0.1')
  t.after(() => socket.destroy())
  return new Promise((resolve, reject) => {
    let text = ''
    socket.on('error', reject)
    socket.on('close', () => reject(new Error(`closed after ${text.slice(-300)}`)))
    socket.on('data', (chunk) => {
      text += chunk.toString('latin1')
      if (text.split('HTTP/1.1 200 OK\r\n').length + text.split('\r\n\r\nOK\n').length === 2 * (bodies.length + 1)) resolve()
    })
    socket.write(bodies.map((body) => request(`POST ${path}`, { body })).join(''))
  })
}

async function bodies(socket: TestSocket, count: number): Promise<string[]> {
  return (await socket.inbox.take(count)).map(({ data }) => data)
}

test('B1: a burst of 6,400 POSTs splits nothing: every subscriber gets all in one order, and whoever joins later gets what follows', async (t) => {
  const { port, url, ws } = await startServer(t)
  const old = await Promise.all(Array.from({ length: 4 }, () => connect(t, `${ws}/burst`)))
  const posters = Array.from({ length: 128 }, (_, p) => Array.from({ length: 50 }, (_, i) => `${p} ${i}`))
  await Promise.all(posters.map((texts) => postAtOnce(t, port, '/burst', texts)))
  const [order, ...others] = (await Promise.all(old.map((socket) => bodies(socket, 6_400)))) as [string[], ...string[][]]
  for (const other of others) assert.deepEqual(other, order)
  for (const [p, texts] of posters.entries()) assert.deepEqual(order.filter((text) => text.startsWith(`${p} `)), texts)

  const late = await connect(t, `${ws}/burst`)
  await fetch(`${url}/burst`, { method: 'POST', body: 'to all' })
  for (const socket of [...old, late]) assert.equal(await socket.next(), 'to all')
  for (const socket of old) socket.ws.close()
  await Promise.all(old.map(({ closed }) => closed))
  const answer = await fetch(`${url}/burst`, { method: 'POST', body: 'to the late one' })
  assert.equal(answer.headers.get('waystation-subscribers'), '1')
  assert.equal(await late.next(), 'to the late one')
})

const CHURNERS = 8
const LIVES = 80

test('B2, B3: connecting and leaving under POSTs ends nothing and leaves nobody deaf: who stays gets everything from its 101 on', async (t) => {
  const server = await startServer(t)
  const { port } = server
  const random = createSeededRandom(20_260_309)
  let churning = true
  let issued = 0
  /** One publisher, so that its numbers tell what is missing; it never waits longer than for its answer. */
  const publishing = (async () => {
    const poster = await openWire(t, port)
    while (churning) {
      poster.send(request('POST /churn', { body: `n ${++issued}` }))
      assert.equal((await poster.answer()).status, 200)
    }
  })()

  async function live(name: string): Promise<void> {
    const socket = await openFrames(t, port, '/churn')
    const known = issued
    const { socket: tcp } = socket.raw
    switch (random.below(4)) {
      case 0: return void tcp.destroy()
      case 1: return void tcp.resetAndDestroy()
      case 2: {
        socket.send(OPCODE.close, '')
        await socket.close()
        tcp.end()
        return
      }
      default: {
        socket.send(OPCODE.text, name)
        let expected: number | undefined
        let own = false
        for (let left = 1 + random.below(10); left > 0 || !own; ) {
          const text = await socket.text()
          if (text === name) own = true
          if (!text.startsWith('n ')) continue
          const number = Number(text.slice(2))
          // What was issued after the 101 is never missed; what was under way then may come or not.
          if (expected === undefined) assert.ok(number <= known + 1, `${number} came first, but ${known + 1} was issued after the 101`)
          else assert.equal(number, expected)
          expected = number + 1
          left--
        }
        tcp.end()
      }
    }
  }
  await Promise.all(Array.from({ length: CHURNERS }, async (_, c) => {
    for (let i = 0; i < LIVES; i++) await live(`${c} ${i}`)
  }))
  churning = false
  await publishing
  await until(() => /^channels\.value 0\n[^]*websockets\.value 0$/m.test(server.pinghubReport()), 'everybody to be gone')
  const after = await connect(t, `${server.ws}/churn`)
  await fetch(`${server.url}/churn`, { method: 'POST', body: 'alive' })
  assert.equal(await after.next(), 'alive')
})

test('B4: in 400 trials, a POST that is sent the moment the 101 is there is never missed', async (t) => {
  const { port } = await startServer(t)
  const poster = await raw(t, port)
  for (let trial = 0; trial < 400; trial++) {
    const subscriber = await openFrames(t, port, '/instant')
    poster.send(request('POST /instant', { body: `trial ${trial}` }))
    assert.equal(await subscriber.text(), `trial ${trial}`)
    subscriber.raw.socket.destroy()
  }
})

test('B10: at shutdown everybody gets what was published before, then a Close 1001', async (t) => {
  const server = await startServer(t)
  const sockets = await Promise.all(Array.from({ length: 30 }, (_, i) => connect(t, `${server.ws}/${i % 3}`)))
  for (let i = 0; i < 3; i++) await server.hub.publish(String(i), 'last')
  const closing = server.close()
  for (const socket of sockets) {
    assert.equal(await socket.next(), 'last')
    assert.deepEqual(await socket.closed, { code: 1001, reason: 'the server is going away' })
  }
  await closing
})

test('B10: while goodbyes are said nobody new is let in, and those who are still here go on hearing one another', async (t) => {
  const server = await startServer(t)
  const poster = await openWire(t, server.port)
  const post = request('POST /a', { body: 'x' })
  // An idle connection would be closed; one with half a request is not.
  poster.send(post.slice(0, 10))
  // They are closed one after the other, fifty milliseconds apart.
  const sockets: TestSocket[] = []
  for (let i = 0; i < 40; i++) sockets.push(await connect(t, `${server.ws}/a`))
  const closing = server.close()
  const [first, last] = [sockets[0] as TestSocket, sockets[39] as TestSocket]
  await first.closed
  last.send('still here')
  assert.equal(await last.next(), 'still here')
  poster.send(post.slice(10))
  assert.equal((await poster.answer()).status, 503)
  assert.equal((await last.closed).code, 1001)
  await closing
})

test('B11: a request that does not get on is answered 408, and an idle connection is closed', async (t) => {
  const { port } = await startServer(t, { headerTimeout: 300, requestTimeout: 300, keepAliveTimeout: 300 })
  for (const part of ['GET /a HT', 'GET /a HTTP/1.1\r\nHost: hub\r\nX-', request('POST /a', { headers: { 'Content-Length': '10' } }) + 'half']) {
    const connection = await openWire(t, port)
    connection.send(part)
    assert.equal((await connection.answer()).status, 408)
    await connection.raw.ended
  }
  const idle = await openWire(t, port)
  idle.send(request('PUT /a'))
  assert.equal((await idle.answer()).status, 405)
  await idle.raw.ended
})
