import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import { temporaryFolder } from '../../support/certificates.ts'
import { startServer } from '../../support/server.ts'
import { COMBINATIONS, schemes } from '../../support/lonelyps.ts'
import { connectSocket } from '../../support/lonelyps-socket.ts'

suite('lonelyps over WebSocket', () => {
  for (const [toBroadcasters, toSubscribers] of COMBINATIONS) {
    test(`a message goes from one socket to another, ${toBroadcasters} to the hub and ${toSubscribers} from it`, async (t) => {
      const hub = await startServer(t, { ...schemes(toBroadcasters, toSubscribers), dataDir: temporaryFolder(t) })
      const [subscriber, publisher] = [await connectSocket(t, hub.port, { scheme: toBroadcasters }), await connectSocket(t, hub.port, { scheme: toBroadcasters })]
      subscriber.subscribe('exact', 'news')
      assert.equal((await subscriber.next('confirm_subscribe_exact')).topic.toString(), 'news')
      const identifier = publisher.notify('news', 'hello')
      const part = await subscriber.next('receive_stream')
      assert.equal(part.body.toString(), 'hello')
      subscriber.acknowledge(part)
      const confirmed = await publisher.next('confirm_notify')
      assert.equal(confirmed.subscribers, 1)
      assert.deepEqual(confirmed.identifier, identifier)
    })
  }
})
