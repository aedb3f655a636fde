import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { test } from 'node:test'
import { COMBINATIONS, createClient, openReceiver, schemes } from '../../support/lonelyps.ts'
import { connect } from '../../support/websocket.ts'
import { openStream } from '../../support/sse.ts'
import { startServer } from '../../support/server.ts'
import { temporaryFolder } from '../../support/certificates.ts'

for (const [toBroadcasters, toSubscribers] of COMBINATIONS) {
  test(`a notify reaches its webhooks and counts them, with ${toBroadcasters} to broadcasters and ${toSubscribers} to subscribers`, async (t) => {
    const { port } = await startServer(t, { ...schemes(toBroadcasters, toSubscribers), dataDir: temporaryFolder(t), allowPrivate: true })
    const receiver = await openReceiver(t, { toBroadcasters, toSubscribers })
    const client = createClient(port, toBroadcasters)
    assert.equal((await client.subscribe('exact', receiver.url(), 'foo/bar')).status, 200)
    assert.equal((await client.subscribe('glob', receiver.url(), 'foo/*')).status, 200)
    assert.equal((await client.notify('foo/bar', 'hello')).subscribers, 2)
    for (const one of await receiver.inbox.take(2)) {
      assert.deepEqual([one.topic, one.message.toString(), one.verdict], ['foo/bar', 'hello', 'ok'])
      assert.equal(one.digest, `sha-512=${createHash('sha512').update('hello').digest('base64')}`)
    }
    assert.equal((await client.unsubscribe('exact', receiver.url(), 'foo/bar')).status, 200)
    assert.equal((await client.notify('foo/bar', '')).subscribers, 1)
    assert.equal((await receiver.inbox.next()).message.length, 0)
    assert.equal((await client.notify('bar', 'x')).subscribers, 0)
  })
}

test('what comes in by one protocol goes out by all others, in one order', async (t) => {
  const hub = await startServer(t, { dataDir: temporaryFolder(t), allowPrivate: true })
  const receiver = await openReceiver(t)
  const client = createClient(hub.port)
  await client.subscribe('glob', receiver.url(), 'news/*')
  const socket = await connect(t, `${hub.ws}/news/eu`)
  const stream = await openStream(t, `${hub.url}/news/eu`)
  for (let i = 0; i < 20; i += 2) {
    assert.equal((await client.notify('news/eu', `m${i}`)).subscribers, 3)
    assert.equal((await fetch(`${hub.url}/news/eu`, { method: 'POST', body: `m${i + 1}` })).status, 200)
  }
  const expected = Array.from({ length: 20 }, (_, i) => `m${i}`)
  assert.deepEqual((await receiver.inbox.take(20)).map(({ message }) => message.toString()), expected)
  for (const text of expected) assert.equal(await socket.next(), text)
  for (const text of expected) assert.equal((await stream.next()).data, text)
})
