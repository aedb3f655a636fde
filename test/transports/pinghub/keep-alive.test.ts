import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo, Socket } from 'node:net'
import { test, type TestContext } from 'node:test'
import { limitsWith } from '../../../src/core/limits.ts'
import { createWheel } from '../../../src/core/wheel.ts'
import { createWebSocketAcceptor } from '../../../src/http/websocket.ts'
import type { WebSocketConnection } from '../../../src/http/websocket-connection.ts'
import { frame } from '../../../src/protocol/websocket/frame.ts'
import { createManualClock, type ManualClock } from '../../../src/testing/manual-clock.ts'
import { until } from '../../support/events.ts'
import { openFrames, OPCODE, type FrameSocket } from '../../support/frames.ts'
import { startServer } from '../../support/server.ts'

// pinghub, section 8, on a clock that is told how late it is.

/** Looks at a connection come up to one tick of the wheel late. */
const TICK = 250

interface OnClock {
  readonly clock: ManualClock
  readonly client: FrameSocket
  readonly connection: WebSocketConnection
  readonly socket: Socket
  /** Sends a frame, and waits until the server has read it. */
  sends(opcode: number, payload?: string): Promise<void>
  /** The opcodes of the frames that came up to now. */
  came(): Promise<number[]>
}

async function connectOnClock(t: TestContext): Promise<OnClock> {
  const clock = createManualClock()
  const acceptor = createWebSocketAcceptor(limitsWith(), createWheel(clock))
  const server = createServer()
  const accepted = new Promise<{ connection: WebSocketConnection; socket: Socket }>((resolve) => {
    server.on('upgrade', (message, socket, head) => {
      const connection = acceptor.accept(message, socket, head, { message() {}, closed() {} })
      resolve({ connection: connection as WebSocketConnection, socket: socket as Socket })
    })
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.after(() => server.close())
  const client = await openFrames(t, (server.address() as AddressInfo).port, '/a')
  const { connection, socket } = await accepted
  const marker = frame(OPCODE.text, Buffer.from('marker'))
  return {
    clock, client, connection, socket,
    async sends(opcode, payload = '') {
      const before = socket.bytesRead
      client.send(opcode, payload)
      await until(() => socket.bytesRead > before, 'the frame to be read')
    },
    async came() {
      connection.write(marker)
      const found: number[] = []
      for (;;) {
        const { opcode, payload } = await client.frames.next()
        if (opcode === OPCODE.text && payload.toString() === 'marker') return found
        found.push(opcode)
      }
    },
  }
}

test('pings come 27, 54, 81 seconds after the connect, and have no payload', async (t) => {
  const { clock, client, sends, came } = await connectOnClock(t)
  for (let passed = 0, round = 1; round <= 5; round++) {
    const due = round * 27_000
    clock.advance(due - 1 - passed)
    assert.deepEqual(await came(), [], `nothing before ${due} ms`)
    clock.advance(1 + TICK)
    passed = due + TICK
    const ping = await client.frames.next()
    assert.deepEqual([ping.opcode, ping.fin, ping.payload.length], [OPCODE.ping, true, 0])
    await sends(OPCODE.pong)
  }
})

test('a client that answers pings lives as long as it likes', async (t) => {
  const { clock, client, socket, sends } = await connectOnClock(t)
  for (let round = 0; round < 60; round++) {
    clock.advance(27_000 + TICK)
    assert.equal((await client.frames.next()).opcode, OPCODE.ping)
    await sends(OPCODE.pong)
  }
  assert.equal(socket.destroyed, false)
})

test('a client that sends nothing at all is cut 30 seconds after the connect, without a Close', async (t) => {
  const { clock, client, came } = await connectOnClock(t)
  clock.advance(29_999)
  assert.deepEqual(await came(), [OPCODE.ping])
  clock.advance(1 + TICK)
  await client.ended
  assert.deepEqual(client.frames.taken(), [])
})

// The original counts a Pong only. A client that it keeps is kept here too.
for (const [what, opcode, payload] of [
  ['a message', OPCODE.text, 'hello'],
  ['an empty message', OPCODE.text, ''],
  ['a ping', OPCODE.ping, 'mine'],
  ['a pong that nobody asked for', OPCODE.pong, 'unasked'],
] as const) {
  test(`${what} is a sign of life, though no ping is answered`, async (t) => {
    const { clock, client, socket, sends } = await connectOnClock(t)
    for (let round = 0; round < 20; round++) {
      clock.advance(29_000)
      assert.equal(socket.destroyed, false, `in round ${round}`)
      await sends(opcode, payload)
    }
    clock.advance(30_000 + 2 * TICK)
    await client.ended
  })
}

test('a client that takes nothing is cut when a write has waited 10 seconds, without a Close; one that takes it in time is not', async (t) => {
  const { clock, client, connection, socket, sends } = await connectOnClock(t)
  const chunk = frame(OPCODE.text, Buffer.alloc(1_000_000, 'x'))
  /** The kernel takes some megabytes before anything has to wait. */
  function fill(): void {
    client.raw.socket.pause()
    while (connection.pendingBytes < 1_000_000) connection.write(chunk)
  }
  for (let round = 0; round < 3; round++) {
    fill()
    clock.advance(9_000)
    assert.equal(socket.destroyed, false)
    client.raw.socket.resume()
    await until(() => connection.pendingBytes === 0, 'everything to be taken')
    await sends(OPCODE.pong)
  }
  clock.advance(10_000 + TICK)
  await sends(OPCODE.pong)
  fill()
  clock.advance(9_900)
  assert.equal(socket.destroyed, false)
  clock.advance(100 + TICK)
  assert.equal(socket.destroyed, true)
  client.raw.socket.resume()
  await client.ended
  assert.equal(client.frames.taken().some(({ opcode }) => opcode === OPCODE.close), false)
})

test('on a running hub the clients that answer stay and the silent ones are cut', async (t) => {
  const { port } = await startServer(t, { pingInterval: 250, pongDeadline: 2_000 })
  const silent = await openFrames(t, port, '/a')
  const lively = await openFrames(t, port, '/a')
  let pings = 0
  const answering = (async () => {
    for (;;) {
      const { opcode, payload } = await lively.frames.next()
      if (opcode === OPCODE.text) return payload.toString()
      assert.equal(opcode, OPCODE.ping)
      pings++
      lively.send(OPCODE.pong, '')
    }
  })()
  await silent.ended
  lively.send(OPCODE.text, 'still here')
  assert.equal(await answering, 'still here')
  assert.ok(pings > 1)
})
