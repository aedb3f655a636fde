import assert from 'node:assert/strict'
import { connect, createServer, type AddressInfo } from 'node:net'
import { test, type TestContext } from 'node:test'
import { temporaryFolder } from '../support/certificates.ts'
import { createClient, openReceiver } from '../support/lonelyps.ts'
import { startServer } from '../support/server.ts'
import { openStream } from '../support/sse.ts'

/** A way to the hub that it cannot know of: a proxy that forwards bytes. */
async function openRelay(t: TestContext, to: () => number): Promise<number> {
  const server = createServer((from) => {
    const socket = connect(to(), '127.0.0.1')
    from.pipe(socket).pipe(from)
    for (const one of [from, socket]) one.on('error', () => one.destroy())
    t.after(() => from.destroy())
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  t.after(() => server.close())
  return (server.address() as AddressInfo).port
}

test('what comes back to the hub by a way that it does not know is refused, and no message goes round or comes twice', async (t) => {
  let port = 0
  const relay = await openRelay(t, () => port)
  const hub = await startServer(t, { dataDir: temporaryFolder(t), allowPrivate: true })
  port = hub.port
  const client = createClient(port)
  const receiver = await openReceiver(t)
  for (const path of ['/loop', '/v1/receive_for_websockets', '/v1/notify']) {
    assert.equal((await client.subscribe('glob', `http://127.0.0.1:${relay}${path}`, '*loop*')).status, 200)
  }
  assert.equal((await client.subscribe('exact', receiver.url(), 'loop')).status, 200)
  const stream = await openStream(t, `${hub.url}/loop`)
  const before = hub.hub.cursor
  assert.equal((await client.notify('loop', 'x')).subscribers, 2)
  assert.equal((await client.notify('loop', 'y')).subscribers, 2)
  assert.deepEqual((await stream.inbox.take(2)).map(({ data }) => data), ['x', 'y'])
  assert.equal(Number(hub.hub.cursor.split(':')[1]), Number(before.split(':')[1]) + 2)
  const mark = hub.hub.cursor.split(':')[0] as string
  assert.equal((await receiver.inbox.next()).headers['waystation-hub'], mark)
  assert.equal((await fetch(`${hub.url}/loop`, { method: 'POST', body: 'z', headers: { 'Waystation-Hub': mark } })).status, 508)
  assert.equal((await fetch(`${hub.url}/loop`, { method: 'POST', body: 'z', headers: { 'Waystation-Hub': 'another' } })).status, 200)
})

test('where the public url says that the hub is, no webhook goes, by name or address', async (t) => {
  let port = 0
  const relay = await openRelay(t, () => port)
  for (const publicUrl of [`http://127.0.0.1:${relay}`, `http://localhost:${relay}/`, `http://Hub.Example.com:${relay}`]) {
    const hub = await startServer(t, { dataDir: temporaryFolder(t), allowPrivate: true, publicUrl })
    port = hub.port
    const client = createClient(port)
    const { hostname } = new URL(publicUrl)
    for (const own of [`${publicUrl.replace(/\/$/, '')}/x`, `http://${hostname}.:${relay}/v1/receive_for_websockets`]) {
      // A trailing dot makes no other host; of an address it makes no address at all.
      if (own.includes('127.0.0.1.:')) continue
      assert.equal((await client.subscribe('exact', own, 'a')).status, 403, own)
      assert.equal((await client.subscribe('exact', 'http://127.0.0.1:9/a', 'a', own)).status, 403, own)
    }
    assert.equal((await client.subscribe('exact', `http://${hostname}:1/x`, 'a')).status, 200)
  }
})
