import assert from 'node:assert/strict'
import { once } from 'node:events'
import { connect, createServer, type AddressInfo, type Socket } from 'node:net'
import { test } from 'node:test'
import { rawReply } from '../../src/http/reply.ts'

test('an answer by hand to a peer that has reset its connection does not end the process', async (t) => {
  // Nobody listens for errors of this socket, as after an upgrade, and nothing is read that would tell of the reset first.
  const server = createServer({ pauseOnConnect: true }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.after(() => server.close())
  const client = connect((server.address() as AddressInfo).port, '127.0.0.1')
  const [socket] = (await once(server, 'connection')) as [Socket]
  client.resetAndDestroy()
  await once(client, 'close')
  const closed = new Promise((resolve) => socket.once('close', resolve))
  rawReply(socket, 503)
  // The reply fails: without a listener the error would be nobody's, and this test's process would end with it.
  await closed
  assert.equal(socket.destroyed, true)
})
