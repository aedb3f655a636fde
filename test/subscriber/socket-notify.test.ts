import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { test } from 'node:test'
import { until } from '../support/events.ts'
import { openFakeBroadcaster, openSocketSubscriber, sha512, streamOf } from '../support/lonelyps-broadcaster.ts'

const pair = ['hmac', 'hmac'] as const

/** A body that is not in memory, in pieces of these bytes, and how many were read. */
function source(size: number, piece: number): { size: number; taken: number; bytes: Buffer; read(): AsyncIterable<Buffer> } {
  const bytes = randomBytes(size)
  const body = {
    size, bytes, taken: 0,
    async *read() {
      for (let at = 0; at < size; at += piece) {
        body.taken = at
        yield Buffer.from(bytes.subarray(at, at + piece))
      }
    },
  }
  return body
}

test('a frame up to the limit goes as one, and a larger message in parts of at most that size, without waiting for answers', async (t) => {
  const fake = await openFakeBroadcaster(t, { pair })
  const most = 2_000
  const one = await openSocketSubscriber(t, fake, { pair, websocket: { maxMessageSize: most, compression: false } })
  const probe = one.notify('a', 'x')
  const line = await fake.lines.next()
  const sizes: number[] = []
  line.ws.on('message', (data: Buffer) => sizes.push(data.length))
  const first = await line.next('notify')
  line.confirmNotify(first, 0)
  await probe
  // The length takes one byte more than that of the probe.
  const bytes = randomBytes(most)
  for (let n = most - 300; n < most; n++) {
    const count = one.notify('a', bytes.subarray(0, n))
    const [message] = await line.inbox.take(1)
    assert.ok(message?.type === 'notify' || message?.type === 'notify_stream')
    if (message.type === 'notify') {
      line.confirmNotify(message, n)
      assert.ok((sizes.at(-1) as number) <= most)
    } else {
      const rest = await line.next('notify_stream')
      // The frame would have had more bytes than that by one or so.
      assert.ok(sizes.at(-2) === most && n > most - 300 + 5)
      assert.deepEqual(Buffer.concat([message.body, rest.body]), bytes.subarray(0, n))
      line.say({ type: 'continue_notify', identifier: message.identifier, part: 0 })
      line.confirmNotify(message, n)
      assert.deepEqual(await count, { subscribers: n })
      break
    }
    assert.deepEqual(await count, { subscribers: n })
  }
  assert.ok(sizes.includes(most) && Math.max(...sizes) === most)
})

test('many parts come from memory and from a source alike, whatever pieces it gives', async (t) => {
  const fake = await openFakeBroadcaster(t, { pair })
  const one = await openSocketSubscriber(t, fake, { pair, websocket: { maxMessageSize: 1_500, compression: false } })
  const bodies = [source(20_000, 100), source(20_000, 7_000), source(20_000, 1_111), source(20_000, 20_000), source(0, 1)]
  const counts = [one.notify('a', bodies[0]?.bytes as Buffer), ...bodies.map((body) => one.notify('a', body)), one.notify('a', 'last')]
  const line = await fake.lines.next()
  const got: Buffer[] = []
  for (let i = 0; i < 6; i++) {
    const { parts, bytes } = await streamOf(line)
    got.push(bytes)
    line.confirmNotify(parts[0] as never, i)
    assert.deepEqual(parts.map(({ part }) => part), parts.map((_, n) => n))
    assert.deepEqual(parts[0]?.head?.sha512, sha512(bytes))
    if (i === 0) line.confirmNotify(await line.next('notify'), 9)
  }
  assert.deepEqual(got.map((bytes) => bytes.length).sort(), [0, 20_000, 20_000, 20_000, 20_000, 20_000])
  for (const { bytes } of bodies) assert.ok(got.some((one) => one.equals(bytes)))
  assert.equal((await counts.at(-1))?.subscribers, 9)
  await Promise.all(counts)
})

test('parts wait for a broadcaster that does not read', async (t) => {
  const fake = await openFakeBroadcaster(t)
  const one = await openSocketSubscriber(t, fake, { websocket: { maxMessageSize: 262_144 } })
  const feed = one.subscribe('a')
  await feed.ready
  const line = await fake.lines.next()
  await line.next('subscribe_exact')
  line.ws.pause()
  const body = source(33_554_432, 262_144)
  let reads = 0
  const count = one.notify('a', { size: body.size, read: () => (reads++, body.read()) })
  let before = -1
  let same = 0
  // Hashed first, from beginning to end.
  await until(() => reads === 2 && body.taken > 0 && body.taken < body.size / 2, 'the hash')
  await until(() => {
    same = body.taken === before && body.taken > 0 ? same + 1 : 0
    before = body.taken
    return same === 20
  }, 'a halt')
  assert.ok(before < body.size / 2, `${before} bytes were read`)
  line.ws.resume()
  const { parts, bytes } = await streamOf(line)
  assert.ok(bytes.equals(body.bytes))
  line.confirmNotify(parts[0] as never, 1)
  assert.deepEqual(await count, { subscribers: 1 })
})

test('past the bounds a notify waits its turn, by number and by bytes, and all go in the order of the calls', async (t) => {
  const fake = await openFakeBroadcaster(t)
  const one = await openSocketSubscriber(t, fake, { bounds: { notifies: 3, notifyBytes: 100 } })
  const sizes = [10, 20, 10, 30, 60, 50, 300, 1]
  const counts = sizes.map((size) => one.notify('a', Buffer.alloc(size)))
  const line = await fake.lines.next()
  const seen: number[][] = []
  const flow = async (): Promise<void> => {
    // Acknowledged behind everything that was sent before.
    line.deliver('nobody', [Buffer.alloc(0)])
    const group: number[] = []
    for (let message = await line.inbox.next(); message.type === 'notify'; message = await line.inbox.next()) {
      group.push(message.body.length)
      held.push(message)
    }
    seen.push(group)
  }
  const held: Parameters<typeof line.confirmNotify>[0][] = []
  await flow()
  for (let i = 0; i < sizes.length; i++) {
    line.confirmNotify(held[i] as never, i)
    await counts[i]
    await flow()
  }
  assert.deepEqual(seen, [[10, 20, 10], [30], [60], [], [], [50], [300], [1], []])
})

test('a source that fails in the middle costs its own notify, and the others go out again', async (t) => {
  const fake = await openFakeBroadcaster(t)
  const one = await openSocketSubscriber(t, [fake, fake], { websocket: { maxMessageSize: 1_000 } })
  let reads = 0
  const body = {
    size: 5_000,
    async *read() {
      reads++
      yield Buffer.alloc(2_500)
      if (reads === 2) throw new Error('the disk is gone')
      yield Buffer.alloc(2_500)
    },
  }
  const failed = assert.rejects(one.notify('a', body), { code: 'bad_request', detail: 'the body cannot be sent: the disk is gone' })
  const line = await fake.lines.next()
  await line.next('notify_stream')
  const count = one.notify('a', 'after')
  await failed
  await line.closed
  const next = await fake.lines.next()
  const again = await next.next('notify')
  next.confirmNotify(again, 1)
  assert.deepEqual([await count, again.body.toString(), reads], [{ subscribers: 1 }, 'after', 2])
  await assert.rejects(one.notify('a', { ...body, size: 4_000 }), { code: 'bad_request' })
})
