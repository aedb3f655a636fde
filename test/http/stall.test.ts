import assert from 'node:assert/strict'
import { connect, createServer, type AddressInfo, type Socket } from 'node:net'
import { test, type TestContext } from 'node:test'
import { roomOn, StallWatch } from '../../src/http/stall.ts'
import { until } from '../support/events.ts'

/** What a watch looks at: what was handed to the socket, and how much of it the peer has not taken. */
function createTap() {
  const tap = { bytesWritten: 0, writableLength: 0 }
  return {
    socket: tap as unknown as Socket,
    write(bytes: number) {
      tap.bytesWritten += bytes
      tap.writableLength += bytes
    },
    take(bytes: number) {
      tap.writableLength -= bytes
    },
  }
}

test('while nothing is owed there is nothing to watch', () => {
  const { socket, write, take } = createTap()
  const watch = new StallWatch(socket, 1_000)
  write(10)
  take(10)
  assert.equal(watch.begin(0), false)
  assert.equal(watch.due, Infinity)
  assert.equal(watch.overdue(1_000_000), false)
})

test('a write that is still owed when its time is up is overdue, and not a moment before', () => {
  const { socket, write } = createTap()
  const watch = new StallWatch(socket, 1_000)
  write(10)
  assert.equal(watch.begin(500), true)
  assert.equal(watch.due, 1_500)
  assert.equal(watch.begin(600), false, 'one watch at a time')
  assert.equal(watch.overdue(1_499), false)
  assert.equal(watch.overdue(1_500), true)
})

test('a peer that takes a part of what it was owed is overdue all the same', () => {
  const { socket, write, take } = createTap()
  const watch = new StallWatch(socket, 1_000)
  write(100)
  watch.begin(0)
  take(99)
  write(100)
  assert.equal(watch.overdue(1_000), true)
})

test('when all that was owed has gone, what was written since has its own time', () => {
  const { socket, write, take } = createTap()
  const watch = new StallWatch(socket, 1_000)
  write(100)
  watch.begin(0)
  write(50)
  take(100)
  assert.equal(watch.overdue(1_000), false)
  assert.equal(watch.due, 2_000)
  assert.equal(watch.overdue(1_999), false)
  assert.equal(watch.overdue(2_000), true)
})

test('when nothing is owed any more the watch is over, and can begin again', () => {
  const { socket, write, take } = createTap()
  const watch = new StallWatch(socket, 1_000)
  write(100)
  watch.begin(0)
  take(100)
  assert.equal(watch.overdue(1_000), false)
  assert.equal(watch.due, Infinity)
  write(1)
  assert.equal(watch.begin(5_000), true)
  assert.equal(watch.overdue(6_000), true)
})

async function socketPair(t: TestContext): Promise<{ near: Socket; far: Socket }> {
  const server = createServer()
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const accepted = new Promise<Socket>((resolve) => server.once('connection', resolve))
  const far = connect((server.address() as AddressInfo).port, '127.0.0.1')
  const near = await accepted
  near.on('error', () => {})
  far.on('error', () => {})
  t.after(() => {
    near.destroy()
    far.destroy()
    server.close()
  })
  return { near, far }
}

test('there is room until more waits than is allowed, and again when the peer has taken it', async (t) => {
  const { near, far } = await socketPair(t)
  assert.equal(roomOn(near, 100), undefined)
  far.pause()
  near.write(Buffer.alloc(50_000_000))
  const room = roomOn(near, 100_000)
  assert.ok(room !== undefined)
  far.resume()
  await room
  assert.equal(near.writableLength, 0)
  assert.equal(near.listenerCount('drain'), 0)
})

test('whoever waits for room is told when the connection ends, and later at once', async (t) => {
  const { near, far } = await socketPair(t)
  far.pause()
  near.write(Buffer.alloc(50_000_000))
  const room = roomOn(near, 0)
  const told = assert.rejects(room as Promise<void>, /closed/)
  far.destroy()
  await told
  await until(() => near.destroyed, 'the end of the near side')
  await assert.rejects(roomOn(near, 0) as Promise<void>, /closed/)
})
