import assert from 'node:assert/strict'
import type { IncomingMessage } from 'node:http'
import type { AddressInfo } from 'node:net'
import { test, type TestContext } from 'node:test'
import { connect, createServer, type TLSSocket } from 'node:tls'
import { createFanOut } from '../../src/core/fan-out.ts'
import { topicFromText } from '../../src/core/topic.ts'
import { createTurn } from '../../src/core/turn.ts'
import { createWheel } from '../../src/core/wheel.ts'
import { createWebSocketAcceptor } from '../../src/http/websocket.ts'
import type { WebSocketConnection } from '../../src/http/websocket-connection.ts'
import { frame } from '../../src/protocol/websocket/frame.ts'
import { createManualClock } from '../../src/testing/manual-clock.ts'
import { bare } from '../../src/transports/pinghub/encoders.ts'
import { selfSigned, temporaryFolder } from '../support/certificates.ts'
import { until } from '../support/events.ts'
import { OPCODE, readFrames } from '../support/frames.ts'
import { clientFrame } from '../support/raw.ts'
import { KEY } from '../support/websocket-pair.ts'

// A TLS socket takes writes later than a plain one does, and in pieces of its own.

const BOUNDS = { maxFrameBytes: 1_000_000, maxPendingBytes: 64_000_000, writeTimeout: 10_000, pingInterval: 27_000, pongDeadline: 30_000 }

interface Pair {
  readonly connection: WebSocketConnection
  readonly far: TLSSocket
  readonly heard: string[]
  readonly closed: Promise<void>
  /** Everything behind the handshake. */
  received(): Buffer
}

async function openPair(t: TestContext): Promise<Pair> {
  const { cert, key } = selfSigned(temporaryFolder(t), 'hub')
  const heard: string[] = []
  const accepted = Promise.withResolvers<WebSocketConnection>()
  const closed = Promise.withResolvers<void>()
  const acceptor = createWebSocketAcceptor(BOUNDS, createWheel(createManualClock()))
  // As the HTTP server opens its sockets: each side ends by itself.
  const server = createServer({ cert, key, allowHalfOpen: true }, (socket) => {
    const events = { message: (data: Buffer) => void heard.push(data.toString()), closed: closed.resolve }
    accepted.resolve(acceptor.accept({ headers: { 'sec-websocket-key': KEY } } as IncomingMessage, socket, Buffer.alloc(0), events) as WebSocketConnection)
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  t.after(() => server.close())
  const far = connect({ port: (server.address() as AddressInfo).port, host: '127.0.0.1', rejectUnauthorized: false })
  t.after(() => far.destroy())
  const chunks: Buffer[] = []
  far.on('data', (chunk: Buffer) => chunks.push(chunk)).on('error', () => {})
  const received = (): Buffer => {
    const all = Buffer.concat(chunks)
    return all.subarray(all.indexOf('\r\n\r\n') + 4)
  }
  const connection = await accepted.promise
  t.after(() => connection.destroy())
  await until(() => chunks.length > 0, 'the answer to the handshake')
  return { connection, far, heard, closed: closed.promise, received }
}

test('over TLS, one that stops reading and goes on gets everything in order, and is as quick as any other then', async (t) => {
  const { connection, far, received, closed } = await openPair(t)
  const clock = createManualClock()
  const late: number[] = []
  const events = { delivered: (messages: number, seconds: number | undefined) => void (seconds === undefined && late.push(messages)), slow() {}, lost() {}, empty() {} }
  const fanOut = createFanOut({ encoder: bare, turn: createTurn(clock), clock, maxPendingBytes: BOUNDS.maxPendingBytes, events })
  fanOut.add(connection)
  far.pause()
  const sent: string[] = []
  async function publish(text: string): Promise<void> {
    sent.push(text)
    fanOut.deliver({ topic: topicFromText('t'), body: Buffer.from(text), contentType: '', text: true, offset: sent.length, epoch: 'e', time: 0 })
    clock.endTurn()
    await new Promise((resolve) => setImmediate(resolve))
  }
  for (let i = 0; i < 20 || connection.arrears === undefined; i++) await publish(`${i} `.padEnd(200_000, 'x'))
  for (let i = 0; i < 300; i++) await publish(`small ${i}`)
  assert.ok((connection.arrears?.bytes ?? 0) > 0)
  far.resume()
  await until(() => connection.arrears === undefined, 'nothing to be owed')
  await publish('the last')
  connection.close(1000, 'done')
  await until(() => received().subarray(-4).equals(Buffer.from('done')), 'the goodbye')
  assert.deepEqual(readFrames(received()).frames.map(({ payload }) => payload.toString()).slice(0, -1), sent)
  assert.ok(late.reduce((sum, messages) => sum + messages, 0) >= 300)
  far.end(clientFrame(OPCODE.close, ''))
  await closed
})

test('over TLS, messages and pings are read, and a client that has ended its side gets what was written before', async (t) => {
  const { connection, far, heard, closed, received } = await openPair(t)
  far.write(Buffer.concat([clientFrame(OPCODE.text, 'one'), clientFrame(OPCODE.ping, 'p'), clientFrame(OPCODE.text, 'y'.repeat(100_000))]))
  await until(() => heard.length === 2, 'two messages')
  assert.deepEqual(heard.map(({ length }) => length), [3, 100_000])
  far.pause()
  for (let i = 0; i < 12; i++) connection.write(frame(OPCODE.binary, Buffer.alloc(1_000_000)))
  far.end()
  await until(() => !connection.open, 'the end of the other side')
  assert.ok(connection.pendingBytes > 0)
  far.resume()
  await closed
  await until(() => readFrames(received()).frames.length === 13, 'everything')
  assert.deepEqual(readFrames(received()).frames.map(({ opcode, payload }) => [opcode, payload.length]), [[OPCODE.pong, 1], ...Array(12).fill([OPCODE.binary, 1_000_000])])
})
