import assert from 'node:assert/strict'
import { test } from 'node:test'
import { openDatabase, plain } from '../support/keys.ts'
import { until } from '../support/events.ts'
import { openFrames, OPCODE } from '../support/frames.ts'
import { handshake, raw, type Raw } from '../support/raw.ts'
import { startServer } from '../support/server.ts'
import { connect } from '../support/websocket.ts'
import { startKeyedHub } from '../support/wspubsub.ts'

/* What a publisher may send, and what waits for a subscriber. */

const [PUB, SUB] = ['/ws/pub/good/acme/prices', '/ws/sub/acme/prices']
const partly = { fin: false }
const MIB = 1_048_576

/** The beginning of a binary frame of so many bytes. */
function begun(announced: number, come: number): Buffer {
  const head = Buffer.alloc(14)
  head.set([0x82, 0xff])
  head.writeBigUInt64BE(BigInt(announced), 2)
  return Buffer.concat([head, Buffer.alloc(come)])
}

test('maxKeyedMessageBytes: a message of the limit goes through, a longer one ends its publisher with 1009, whole or in fragments, and others go on', async (t) => {
  const server = await startServer(t, { maxKeyedMessageBytes: 100_000 })
  const database = openDatabase(t, server.options)
  await database.addKey(plain('acme', 'good'))
  const other = await connect(t, `${server.ws}/ws/pub/good/acme/other`)
  const elsewhere = await connect(t, `${server.ws}/ws/sub/acme/other`)
  const tooLong: Buffer[][] = [[begun(100_001, 0)], [begun(2 ** 40, 10)]]
  for (const chunks of tooLong) {
    const publisher = await openFrames(t, server.port, PUB)
    const subscriber = await openFrames(t, server.port, SUB)
    publisher.send(OPCODE.binary, Buffer.alloc(60_000), partly)
    publisher.send(OPCODE.continuation, Buffer.alloc(40_000))
    assert.equal((await subscriber.frames.next()).payload.length, 100_000)
    for (const chunk of chunks) publisher.raw.send(chunk)
    assert.equal((await publisher.close()).code, 1009)
    publisher.raw.socket.destroy()
    await until(async () => (await fetch(`${server.url}/_/metrics`).then((page) => page.text())).includes('waystation_connections{transport="wspubsub"} 3\n'), 'that it is gone')
    subscriber.raw.socket.destroy()
    await until(async () => (await fetch(`${server.url}/_/metrics`).then((page) => page.text())).includes('waystation_connections{transport="wspubsub"} 2\n'), 'that both are gone')
  }
  const publisher = await openFrames(t, server.port, PUB)
  publisher.send(OPCODE.binary, Buffer.alloc(60_000), partly)
  publisher.send(OPCODE.continuation, Buffer.alloc(40_001))
  assert.equal((await publisher.close()).code, 1009)
  other.send('undisturbed')
  assert.equal(await elsewhere.next(), 'undisturbed')
})

test('maxKeyedPendingBytes: a subscriber that does not read is let go with a reason, and the others get everything in time', async (t) => {
  const hub = await startKeyedHub(t, { limits: { maxKeyedPendingBytes: 100_000 } })
  const source = await hub.publisher()
  const [slow, quick] = [await openFrames(t, hub.port, SUB), await hub.subscriber()]
  slow.raw.socket.pause()
  const body = Buffer.alloc(60_000, 'x')
  let sent = 0
  // One at a time, and each has reached the quick one before the next is sent.
  for (; hub.slow.length === 0 && sent < 2_000; sent++) {
    source.send(body)
    assert.equal((await quick.next()).length, body.length)
  }
  assert.deepEqual(hub.slow, ['acme/prices'])
  slow.raw.socket.resume()
  let got = 0
  for (;;) {
    const { opcode, payload } = await slow.frames.next()
    if (opcode === OPCODE.binary) got++
    else if (opcode === OPCODE.close) {
      assert.deepEqual([payload.readUInt16BE(0), payload.toString('utf8', 2)], [1013, 'slow consumer'])
      break
    }
  }
  assert.ok(got > 0 && got < sent)
  source.send('next')
  assert.equal(await quick.next(), 'next')
})

test('graceTime: a topic ends when its publisher has been gone for so long', async (t) => {
  const server = await startServer(t, { graceTime: 100 })
  const database = openDatabase(t, server.options)
  await database.addKey(plain('acme', 'good'))
  const source = await connect(t, server.ws + PUB)
  const reader = await connect(t, server.ws + SUB)
  const before = performance.now()
  source.ws.terminate()
  assert.deepEqual(await reader.closed, { code: 1000, reason: '' })
  assert.ok(performance.now() - before >= 99)
  await assert.rejects(connect(t, server.ws + SUB), { status: 404 })
})

test('maxUnfinishedBytes: holds for publishers from the first packet of a message, and what was held is given back', async (t) => {
  const hub = await startKeyedHub(t, { unfinished: 3 * MIB })
  const [first, second] = [await openFrames(t, hub.port, '/ws/pub/good/acme/1'), await openFrames(t, hub.port, '/ws/pub/good/acme/2')]
  first.raw.send(begun(2 * MIB, 2 * MIB - 1))
  await until(() => hub.booked > 2 * MIB - 100_000, 'what is booked')
  second.raw.send(begun(2 * MIB, 2 * MIB - 1))
  assert.deepEqual(await second.close(), { code: 1013, reason: 'too much is on its way' })
  // Free at once, though the other end has not gone.
  const successor = await hub.publisher('good/acme/2')
  const reader = await hub.subscriber('acme/1')
  first.raw.send(Buffer.alloc(1))
  assert.equal((await reader.next()).length, 2 * MIB)
  await until(() => hub.booked === 0, 'that everything is given back')
  successor.ws.send(Buffer.alloc(100_000), { fin: false })
  await until(() => hub.booked >= 100_000, 'what is booked')
  successor.ws.terminate()
  await until(() => hub.booked === 0, 'that everything is given back')
})

test('maxUnfinishedBytes: holds also for what comes while a key is checked; past it the connection ends, and what was held is given back', async (t) => {
  const hub = await startKeyedHub(t, { unfinished: 100_000 })
  hub.keys.state = 'stuck'
  const wait = async (topic: number): Promise<Raw> => {
    const before = hub.places
    const one = await raw(t, hub.port)
    one.send(handshake(`/ws/pub/good/acme/${topic}`))
    await until(() => hub.places > before, 'its check')
    return one
  }
  const [first, second, short] = [await wait(1), await wait(2), await wait(3)]
  // Also with the handshake.
  const whole = await raw(t, hub.port)
  whole.send(Buffer.concat([Buffer.from(handshake('/ws/pub/good/acme/0')), Buffer.alloc(20_000)]))
  await until(() => hub.booked > 4_096, 'what is booked')
  whole.socket.destroy()
  await until(() => hub.booked === 0, 'that it is given back')
  first.send(begun(200_000, 60_000))
  await until(() => hub.booked >= 60_000, 'what is booked')
  second.send(begun(200_000, 60_000))
  await second.ended
  assert.ok(hub.booked < 100_000)
  short.send(begun(200_000, 1_000))
  first.socket.destroy()
  await until(() => hub.booked === 0, 'that everything is given back')
  short.send(Buffer.alloc(50_000))
  await until(() => hub.booked > 50_000, 'what is booked')
  await hub.transport.stop(AbortSignal.abort())
  assert.equal(hub.booked, 0)
})

test('requestTimeout: ends a publisher whose message was begun and does not come, and no other', async (t) => {
  const hub = await startKeyedHub(t, { limits: { requestTimeout: 150 } })
  const [publisher, idle] = [await openFrames(t, hub.port, PUB), await openFrames(t, hub.port, '/ws/pub/good/acme/idle')]
  const reader = await hub.subscriber('acme/idle')
  // One that was begun and has come is over.
  idle.raw.send(begun(10_000, 9_000))
  await until(() => hub.booked > 0, 'what is booked')
  idle.raw.send(Buffer.alloc(1_000))
  assert.equal((await reader.next()).length, 10_000)
  publisher.send(OPCODE.text, 'x', partly)
  assert.deepEqual(await publisher.close(), { code: 1008, reason: 'a message that was begun does not come' })
  idle.send(OPCODE.text, 'still here')
  assert.equal(await reader.next(), 'still here')
})
