import assert from 'node:assert/strict'
import type { IncomingMessage } from 'node:http'
import { duplexPair } from 'node:stream'
import { test } from 'node:test'
import { gapReason } from '../../src/core/fan-out.ts'
import { createWheel } from '../../src/core/wheel.ts'
import { createWebSocketAcceptor } from '../../src/http/websocket.ts'
import { frame } from '../../src/protocol/websocket/frame.ts'
import { createManualClock } from '../../src/testing/manual-clock.ts'
import { OPCODE } from '../support/frames.ts'
import { clientFrame } from '../support/raw.ts'
import { KEY, openInMemory } from '../support/websocket-pair.ts'

// What a WebSocket does when things end and overlap. What clients see of it whole: test/transports/pinghub/, test/hostile/.

const { text, close, ping, pong } = OPCODE
/** Looks come up to one tick of the wheel late. */
const TICK = 250

function say(word: string): Buffer {
  return frame(text, Buffer.from(word))
}

function goodbye(code: number, reason = ''): Buffer {
  return clientFrame(close, Buffer.concat([Buffer.from([code >> 8, code & 0xff]), Buffer.from(reason)]))
}

/** Something that waits elsewhere until it is asked to come. */
function owing(write: (chunk: Buffer) => void, word: string) {
  const chunk = say(word)
  return { bytes: chunk.length, drained() {}, settle: () => write(chunk) }
}

test('the answer to a handshake is that of RFC 6455, and takes no subprotocol and no extension', async () => {
  const pair = openInMemory()
  await pair.quiet()
  assert.equal(pair.head(), 'HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=')
})

test('what came behind the handshake in one segment is read first, and not before the connection is there', async () => {
  const pair = openInMemory({ head: Buffer.concat([clientFrame(text, 'first'), clientFrame(text, 'second').subarray(0, 7)]) })
  pair.far.write(clientFrame(text, 'second').subarray(7))
  await pair.quiet()
  assert.deepEqual(pair.told, ['text first', 'text second'])
})

test('a handshake on a connection that is gone, or that the client has ended, is let go without a word', async () => {
  for (const leave of ['destroy', 'end'] as const) {
    const [near, far] = duplexPair()
    near.resume()
    const ended = new Promise((resolve) => near.on(leave === 'end' ? 'end' : 'close', resolve))
    if (leave === 'end') far.end()
    else near.destroy()
    await ended
    const acceptor = createWebSocketAcceptor({ maxFrameBytes: 10, maxPendingBytes: 10, writeTimeout: 10, pingInterval: 10, pongDeadline: 10 }, createWheel(createManualClock()))
    const events = { message() {}, closed: () => assert.fail('it was never there') }
    assert.equal(acceptor.accept({ headers: { 'sec-websocket-key': KEY } } as IncomingMessage, near, Buffer.alloc(0), events), undefined)
    assert.deepEqual([near.destroyed, far.read()], [true, null])
  }
})

test('a client that has ended its side without a goodbye gets what it was owed, and nothing that comes later', async () => {
  const pair = openInMemory({ reads: 'later' })
  const { connection, far } = pair
  connection.write(say('pending'))
  connection.arrears = owing((chunk) => connection.write(chunk), 'owed')
  far.write(clientFrame(text, 'last').subarray(0, 8))
  far.end()
  await pair.quiet()
  assert.deepEqual([connection.open, connection.write(say('later')), connection.writeAll([say('later')])], [false, true, true])
  connection.close(1000, 'later')
  far.resume()
  await pair.quiet()
  assert.deepEqual([pair.came(), pair.told, pair.near.errored], [['1:pending', '1:owed'], ['closed'], null])
})

test('a client that has ended its side and takes nothing is cut when the time for a goodbye is up', async () => {
  const pair = openInMemory({ reads: 'later' })
  pair.clock.advance(26_900)
  pair.connection.write(Buffer.alloc(1_000_000))
  pair.far.end()
  await pair.quiet()
  pair.clock.advance(3_000)
  assert.equal(pair.near.destroyed, false, 'it had its ping to come')
  pair.clock.advance(7_000 + TICK)
  await pair.quiet()
  assert.deepEqual(pair.told, ['closed'])
})

test('two goodbyes that cross are one from each side, and the end', async () => {
  const pair = openInMemory()
  pair.far.write(goodbye(4000, 'mine'))
  pair.connection.close(1001, 'ours')
  pair.connection.close(1001, 'again')
  await pair.quiet()
  assert.deepEqual([pair.came(), pair.far.readableEnded], [['8:1001ours'], true])
  pair.far.end()
  await pair.quiet()
  assert.deepEqual(pair.told, ['closed'])
})

test('that a client has said goodbye, or what is wrong, is known at once, also while it does not end its side', async () => {
  const lasts = [goodbye(1000), clientFrame(text, 'x', { rsv: 4 }), clientFrame(text, Uint8Array.of(0xff))]
  for (const last of lasts) {
    const pair = openInMemory()
    pair.far.write(Buffer.concat([clientFrame(text, 'hello'), last]))
    await pair.quiet()
    assert.deepEqual([pair.told[0], pair.arrivals, pair.unfinished, pair.told.includes('closed')], ['text hello', [false], undefined, false])
    pair.far.write(clientFrame(text, 'late'))
    await pair.quiet()
    assert.deepEqual([pair.arrivals, pair.told.includes('text late')], [[false], false])
  }
})

test('a goodbye on a connection that is not read from is answered all the same, and what was owed goes out before it', async () => {
  const pair = openInMemory()
  const { connection } = pair
  connection.pause()
  pair.far.write(Buffer.concat([clientFrame(text, 'before'), clientFrame(ping, 'p')]))
  await pair.quiet()
  assert.deepEqual(pair.told, [])
  connection.arrears = owing((chunk) => connection.write(chunk), 'owed')
  connection.close(1000, 'bye')
  assert.equal(connection.write(say('later')), true)
  pair.far.end(goodbye(1000))
  await pair.quiet()
  assert.deepEqual([pair.came(), pair.told], [['1:owed', '8:1000bye'], ['closed']])
})

test('of a message that is on its way when the goodbye is said nothing more is kept, and nothing is told', async () => {
  const pair = openInMemory()
  const bytes = clientFrame(text, Buffer.alloc(8_000_000, 'x'))
  pair.far.write(bytes.subarray(0, 100_000))
  await pair.quiet()
  const kept = pair.unfinished?.kept ?? 0
  assert.ok(kept >= 100_000 - 14 && kept < 300_000, String(kept))
  pair.connection.close(1000, '')
  for (let at = 100_000; at < 7_900_000; at += 600_000) {
    pair.far.write(bytes.subarray(at, at + 600_000))
    await pair.quiet()
    assert.ok((pair.unfinished?.kept ?? 0) <= kept)
  }
  assert.equal(pair.unfinished?.announced, 8_000_000)
  // Another one, of more bytes than a message may have.
  pair.far.write(Buffer.concat([bytes.subarray(7_900_000), clientFrame(text, Buffer.alloc(17_000_000)).subarray(0, 1_000)]))
  await pair.quiet()
  assert.ok((pair.unfinished?.kept ?? 0) < 2_000, 'what begins behind the goodbye costs nothing')
  pair.connection.destroy()
  await pair.quiet()
  assert.deepEqual([pair.came(), pair.told], [['8:1000'], ['closed']])
})

test('a client that does not answer a goodbye is cut when its time is up, not before, and gets no pings meanwhile', async () => {
  const pair = openInMemory()
  pair.clock.advance(26_000)
  pair.connection.close(1000, 'bye')
  for (let passed = 0; passed < 9; passed++) {
    pair.clock.advance(1_000)
    pair.far.write(clientFrame(pong, ''))
    await pair.quiet()
  }
  pair.clock.advance(900)
  assert.equal(pair.near.destroyed, false)
  pair.clock.advance(100 + TICK)
  await pair.quiet()
  assert.deepEqual([pair.near.destroyed, pair.came(), pair.told], [true, ['8:1000bye'], ['closed']])
})

test('a client that answers the goodbye and does not end its side is cut as well', async () => {
  const pair = openInMemory()
  pair.far.write(goodbye(1000))
  await pair.quiet()
  assert.deepEqual([pair.came(), pair.told], [['8:1000'], []])
  pair.far.write(clientFrame(text, 'too late'))
  await pair.quiet()
  pair.clock.advance(10_000 + TICK)
  await pair.quiet()
  assert.deepEqual(pair.told, ['closed'])
  assert.equal(pair.clock.timers, 0, 'a timer is left for nobody')
})

test('once it is over, everything may be said to it, and nothing happens', async () => {
  const pair = openInMemory()
  const { connection } = pair
  connection.destroy()
  connection.destroy()
  await pair.quiet()
  assert.deepEqual([connection.write(say('x')), connection.writeAll([say('x'), say('y')]), connection.open], [true, true, false])
  connection.evict()
  connection.gone('why')
  connection.pause()
  connection.resume()
  connection.destroy()
  await assert.rejects(connection.room() as Promise<void>)
  await pair.quiet()
  pair.clock.advance(TICK)
  assert.deepEqual([pair.came(), pair.told, pair.clock.timers], [[], ['closed'], 0])
})

test('sixty pings in one read are answered, the next read may have as many; one more is a flood, and nothing behind it is read', async () => {
  const pings = (count: number): Buffer => Buffer.concat(Array.from({ length: count }, () => clientFrame(ping, 'p')))
  const pair = openInMemory()
  for (let round = 0; round < 3; round++) {
    pair.far.write(pings(60))
    await pair.quiet()
    assert.equal(pair.came().length, 60)
  }
  pair.far.write(Buffer.concat([pings(61), clientFrame(text, 'late')]))
  await pair.quiet()
  assert.deepEqual(pair.told, ['closed'])
})

test('pings of one that does not read are not answered behind what waits for it, and its messages are taken', async () => {
  const pair = openInMemory({ reads: 'later' })
  pair.connection.write(frame(text, Buffer.alloc(65_532)))
  pair.far.write(clientFrame(ping, 'in time'))
  await pair.quiet()
  const pending = pair.connection.pendingBytes
  pair.far.write(Buffer.concat([clientFrame(ping, 'too much'), clientFrame(text, 'hello')]))
  await pair.quiet()
  assert.deepEqual([pair.told, pair.connection.pendingBytes], [['text hello'], pending])
  pair.far.resume()
  await pair.quiet()
  pair.far.write(clientFrame(ping, 'again'))
  await pair.quiet()
  assert.deepEqual(pair.came(), ['1:65532 bytes', '10:in time', '10:again'])
})

test('the longest reason that is said on its own account fits into a Close', async () => {
  const reason = gapReason({ epoch: 'z'.repeat(32), offset: Number.MAX_SAFE_INTEGER })
  const pair = openInMemory()
  pair.connection.gone(reason)
  await pair.quiet()
  assert.deepEqual(pair.came(), [`8:4410${reason}`])
})
