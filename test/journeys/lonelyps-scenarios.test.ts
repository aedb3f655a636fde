import assert from 'node:assert/strict'
import { createHash, randomBytes } from 'node:crypto'
import { connect } from 'node:net'
import { test, type TestContext } from 'node:test'
import { temporaryFolder } from '../support/certificates.ts'
import { COMBINATIONS, schemes } from '../support/lonelyps.ts'
import { startServer } from '../support/server.ts'
import { nextOf, openSubscriber, type Pair } from '../support/subscriber.ts'

/* The scenarios of the lonelypst suite that are HTTP only (lonelyps, section 9.3), with our own subscriber. */

const LARGE = 24 * 1_048_576
const large = randomBytes(LARGE)
const largeDigest = createHash('sha512').update(large).digest('hex')

function isOpen(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1', () => {
      socket.destroy()
      resolve(true)
    })
    socket.on('error', () => resolve(false))
  })
}

async function reusable(t: TestContext, hub: number, pair: Pair): Promise<void> {
  const first = await openSubscriber(t, hub, { pair })
  const port = first.port as number
  await first.close()
  assert.equal(await isOpen(port), false)
  const second = await openSubscriber(t, hub, { pair, receive: { port } })
  assert.equal(await isOpen(port), true)
  await second.close()
}

async function notifyNobody(t: TestContext, hub: number, pair: Pair): Promise<void> {
  const one = await openSubscriber(t, hub, { pair })
  assert.deepEqual(await one.notify('foo/bar', ''), { subscribers: 0 })
  await one.close()
}

/** Each has its own program, gets the message, and leaves while the notify may still be pending. */
async function notifyMany(t: TestContext, hub: number, pair: Pair, count: number, body: Buffer = randomBytes(4)): Promise<void> {
  const topic = randomBytes(4)
  const publisher = await openSubscriber(t, hub, { pair })
  const subscribers = await Promise.all(Array.from({ length: count }, () => openSubscriber(t, hub, { pair })))
  const feeds = subscribers.map((one) => one.subscribe(topic))
  await Promise.all(feeds.map(({ ready }) => ready))
  const sent = publisher.notify(topic, body)
  const digest = body === large ? largeDigest : createHash('sha512').update(body).digest('hex')
  for (const feed of feeds) {
    const message = await nextOf(feed)
    assert.ok(message.topicBytes.equals(topic))
    const hash = createHash('sha512')
    for await (const piece of message.stream()) hash.update(piece as Buffer)
    assert.equal(hash.digest('hex'), digest)
    await feed.close()
  }
  assert.deepEqual(await sent, { subscribers: count })
  assert.deepEqual(await publisher.notify(topic, ''), { subscribers: 0 })
  await Promise.all([publisher, ...subscribers].map((one) => one.close()))
}

for (const pair of COMBINATIONS) {
  test(`the HTTP scenarios with ${pair[0]} to broadcasters and ${pair[1]} to subscribers`, async (t) => {
    const { port } = await startServer(t, { ...schemes(...pair), dataDir: temporaryFolder(t), allowPrivate: true })
    await reusable(t, port, pair)
    await notifyNobody(t, port, pair)
    for (const count of [1, 2, 3, 5]) await notifyMany(t, port, pair, count)
    await notifyMany(t, port, pair, 1, large)
  })
}
