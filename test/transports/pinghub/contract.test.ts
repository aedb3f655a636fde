import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { TestContext } from 'node:test'
import { NO_KEYS } from '../../../src/core/keys.ts'
import { createFanOut } from '../../../src/core/fan-out.ts'
import { createTurn } from '../../../src/core/turn.ts'
import { createWheel } from '../../../src/core/wheel.ts'
import { createOrigins } from '../../../src/http/origin.ts'
import { createWebSocketAcceptor } from '../../../src/http/websocket.ts'
import type { WebSocketConnection } from '../../../src/http/websocket-connection.ts'
import { realClock } from '../../../src/server/real-world.ts'
import { sinkContract, subscriberContract, transportContract, type TransportClient } from '../../../src/testing/index.ts'
import { bare } from '../../../src/transports/pinghub/encoders.ts'
import { createPinghubStats } from '../../../src/transports/pinghub/metrics-port.ts'
import { createPinghub } from '../../../src/transports/pinghub/pinghub.ts'
import { until } from '../../support/events.ts'
import { OPCODE, readFrames } from '../../support/frames.ts'
import { clientFrame, handshake, raw, type Raw } from '../../support/raw.ts'
import { admitAll, anonymous, listenWith, transportKit } from '../../support/transport-port.ts'
import { connect } from '../../support/websocket.ts'
import { createBodyAccount } from '../../../src/http/body-account.ts'

transportContract('pinghub', async (t) => {
  const kit = transportKit({ drainTime: 100 })
  const stats = createPinghubStats(kit.clock)
  t.after(() => stats.stop())
  const transport = createPinghub({ kit, bodies: createBodyAccount(1_000_000), origins: createOrigins([]), admit: admitAll, stats, keys: NO_KEYS, identify: anonymous })
  const port = await listenWith(t, transport.route, kit)
  return {
    transport,
    async connect(topic): Promise<TransportClient> {
      const client = await connect(t, `ws://127.0.0.1:${port}/${topic}`)
      return {
        next: () => client.next(),
        freeze: () => client.ws.pause(),
        leave: () => client.ws.terminate(),
        ended: client.closed,
      }
    },
  }
})

const BOUNDS = { maxFrameBytes: 65_536, maxPendingBytes: 1_000_000, writeTimeout: 60_000, pingInterval: 60_000, pongDeadline: 90_000 }

interface Pair {
  readonly connection: WebSocketConnection
  /** Settles when the connection is over on our side. */
  readonly closed: Promise<void>
  readonly far: Raw
  /** What has come at the far end, behind the answer to the handshake. */
  received(): Buffer
}

/** One WebSocket of ours, and the bare connection that is its other end. */
async function openPair(t: TestContext): Promise<Pair> {
  const acceptor = createWebSocketAcceptor(BOUNDS, createWheel(realClock))
  const server = createServer()
  const closed = Promise.withResolvers<void>()
  const opened = new Promise<WebSocketConnection>((resolve) => {
    server.on('upgrade', (message, socket, head) => {
      const connection = acceptor.accept(message, socket, head, { message() {}, closed: closed.resolve })
      if (connection !== undefined) resolve(connection)
    })
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  t.after(() => server.close())
  const far = await raw(t, (server.address() as AddressInfo).port)
  far.send(handshake('/'))
  const head = await far.until((received) => received.includes('\r\n\r\n'))
  const start = head.indexOf('\r\n\r\n') + 4
  const connection = await opened
  t.after(() => connection.destroy())
  return { connection, closed: closed.promise, far, received: () => far.received().subarray(start) }
}

sinkContract('a WebSocket', async (t) => {
  const { connection, closed, far, received } = await openPair(t)
  // A client answers a Close; the texts of the contract have no such byte.
  far.socket.on('data', (chunk: Buffer) => {
    if (chunk.includes(0x88)) far.send(clientFrame(OPCODE.close, ''))
  })
  return {
    sink: connection,
    async arrived(length) {
      await until(() => received().length >= length, `${length} bytes at the far end`)
      return received()
    },
    stall: () => far.socket.pause(),
    take: () => far.socket.resume(),
    async leave() {
      far.socket.destroy()
      await closed
    },
    ended: closed,
  }
}, { saysEnough: true })

subscriberContract('a fan-out of WebSockets', async (t) => {
  const events = { delivered() {}, slow() {}, lost() {}, empty() {} }
  const fanOut = createFanOut({ encoder: bare, turn: createTurn(realClock), clock: realClock, maxPendingBytes: BOUNDS.maxPendingBytes, events })
  const pairs = await Promise.all([openPair(t), openPair(t)])
  for (const { connection } of pairs) fanOut.add(connection)
  const [{ connection, received }] = pairs as [Pair, Pair]
  let marks = 0
  return {
    subscriber: fanOut,
    receivers: 2,
    async arrived() {
      // Behind everything that was handed in, something whose coming can be waited for.
      const mark = `mark ${++marks}`
      await new Promise<void>((resolve) => realClock.endOfTurn(resolve))
      connection.write(Buffer.concat([Buffer.from([0x8a, mark.length]), Buffer.from(mark)]))
      await until(() => received().includes(mark) || readFrames(received()).frames.some(({ opcode }) => opcode === OPCODE.close), 'the mark behind the messages')
      return readFrames(received()).frames.filter(({ opcode }) => opcode === OPCODE.text).map(({ payload }) => payload.toString())
    },
    async leave() {
      for (const { far } of pairs) far.socket.destroy()
      await Promise.all(pairs.map(({ closed }) => closed))
    },
  }
}, { gaps: false })
