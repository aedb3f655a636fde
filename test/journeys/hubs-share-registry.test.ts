import assert from 'node:assert/strict'
import { createServer, type AddressInfo } from 'node:net'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { suite, test, type TestContext } from 'node:test'
import type { Config, WaystationServer } from '../../src/index.ts'
import { temporaryFolder } from '../support/certificates.ts'
import { until } from '../support/events.ts'
import { startHubProcess } from '../support/hub.ts'
import { createClient, openReceiver, schemes } from '../support/lonelyps.ts'
import { connectSocket, type SocketClient } from '../support/lonelyps-socket.ts'
import { startServer } from '../support/server.ts'
import { registerAndNotify, TIMES } from '../support/two-hubs.ts'

// Hubs that share a database: each registers itself for what its WebSockets want, and the others send it there.

interface Row {
  readonly kind: string
  readonly target: string
  readonly url: string
}

function rowsIn(database: string): Row[] {
  using opened = new DatabaseSync(database, { readOnly: true })
  return opened.prepare('SELECT kind, CAST(target AS TEXT) AS target, url FROM subscriptions ORDER BY url, kind, target').all() as unknown as Row[]
}

async function freePort(): Promise<number> {
  const server = createServer()
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo
  await new Promise((resolve) => server.close(resolve))
  return port
}

async function startHub(t: TestContext, database: string, port?: number, config: Config = {}): Promise<WaystationServer & { port: number; url: string }> {
  const own = port ?? await freePort()
  return startServer(t, {
    ...schemes('hmac', 'hmac'), addr: `127.0.0.1:${own}`, publicUrl: `http://127.0.0.1:${own}`, database, dataDir: temporaryFolder(t), allowPrivate: true, ...config,
  })
}

async function subscribe(client: SocketClient, kind: 'exact' | 'glob', target: string): Promise<void> {
  client.subscribe(kind, target)
  await client.next(`confirm_subscribe_${kind}`)
}

/** Publishes: whoever has subscribed at any hub is reached. */
async function publishTo(port: number, topic: string, expected: number): Promise<void> {
  assert.equal((await createClient(port, 'hmac').notify(topic, 'are you there?')).subscribers, expected)
}

async function take(client: SocketClient): Promise<string> {
  const part = await client.next('receive_stream')
  client.acknowledge(part)
  return part.body.toString()
}

async function takeUntil(client: SocketClient, body: string): Promise<string[]> {
  for (const before: string[] = []; ;) {
    const taken = await take(client)
    if (taken === body) return before
    before.push(taken)
  }
}

suite('hubs that share a registry', () => {
  test('a message reaches the sockets of every hub once, and counts each once', async (t) => {
    const database = join(temporaryFolder(t), 'shared.db')
    const [here, there] = [await startHub(t, database), await startHub(t, database)]
    const [one, two, own] = await Promise.all([there.port, there.port, here.port].map((port) => connectSocket(t, port, { scheme: 'hmac' })))
    await subscribe(one as SocketClient, 'exact', 'news')
    await subscribe(one as SocketClient, 'glob', 'n*')
    await subscribe(two as SocketClient, 'glob', 'ne*')
    await subscribe(own as SocketClient, 'exact', 'news')
    assert.deepEqual(rowsIn(database).filter(({ url }) => url.startsWith(there.url)).map(({ kind, target }) => `${kind} ${target}`), ['exact news', 'glob n*', 'glob ne*'])
    await publishTo(here.port, 'news', 3)
    const publisher = await connectSocket(t, here.port, { scheme: 'hmac' })
    publisher.notify('news', 'hello')
    assert.equal((await publisher.next('confirm_notify')).subscribers, 3)
    publisher.notify('news', 'bye')
    assert.equal((await publisher.next('confirm_notify')).subscribers, 3)
    for (const client of [one, two, own]) {
      await takeUntil(client as SocketClient, 'hello')
      assert.equal(await take(client as SocketClient), 'bye', 'nothing came twice')
    }
    // The other way round, the hub that has the sockets needs nobody's help.
    assert.equal((await createClient(there.port, 'hmac').notify('no', 'x')).subscribers, 1)
    assert.equal(await take(one as SocketClient), 'x')
  })

  for (const publish of ['signed', 'nobody'] as const) {
    test(`a rule is asked where a message is published, and not by the hub that it goes on to: ${publish}`, async (t) => {
      const database = join(temporaryFolder(t), 'shared.db')
      const here = await startHub(t, database, undefined, { rules: [{ topics: '*', publish: 'signed' }] })
      const there = await startHub(t, database, undefined, { rules: [{ topics: '*', publish }] })
      const client = await connectSocket(t, there.port, { scheme: 'hmac' })
      await subscribe(client, 'exact', 'news')
      await publishTo(here.port, 'news', 1)
      assert.equal((await createClient(here.port, 'hmac').notify('news', 'ruled')).subscribers, 1)
      await takeUntil(client, 'ruled')
    })
  }

  test('what is published at another hub after the confirmation arrives', async (t) => {
    const database = join(temporaryFolder(t), 'shared.db')
    const [here, there] = [await startHub(t, database), await startHub(t, database)]
    for (let i = 0; i < 50; i++) {
      await subscribe(await connectSocket(t, there.port, { scheme: 'hmac' }), 'exact', `news/${i}`)
      assert.equal((await createClient(here.port, 'hmac').notify(`news/${i}`, 'x')).subscribers, 1)
    }
  })

  test(`a registration that one hub has answered is honoured by every notify that reaches the other, ${TIMES} times`, async (t) => {
    const database = join(temporaryFolder(t), 'shared.db')
    t.diagnostic(await registerAndNotify(t, [database, database], TIMES))
  })

  test('a hub that is alone on its registry reaches its own sockets in memory', async (t) => {
    const database = join(temporaryFolder(t), 'shared.db')
    const hub = await startHub(t, database)
    const receiver = await openReceiver(t, { toBroadcasters: 'hmac', toSubscribers: 'hmac' })
    const client = await connectSocket(t, hub.port, { scheme: 'hmac' })
    await subscribe(client, 'exact', 'a')
    await subscribe(client, 'glob', '*')
    assert.equal((await createClient(hub.port, 'hmac').subscribe('exact', receiver.url(), 'a')).status, 200)
    assert.equal((await createClient(hub.port, 'hmac').notify('a', '1')).subscribers, 2)
    assert.equal((await createClient(hub.port, 'hmac').notify('b', '2')).subscribers, 1)
    assert.deepEqual([await take(client), await take(client)], ['1', '2'])
    assert.equal((await receiver.inbox.next()).message.toString(), '1')
  })

  test('what a hub registered is gone when its last socket leaves, and after a clean stop', async (t) => {
    const database = join(temporaryFolder(t), 'shared.db')
    const hub = await startHub(t, database)
    const [one, two] = [await connectSocket(t, hub.port, { scheme: 'hmac' }), await connectSocket(t, hub.port, { scheme: 'hmac' })]
    for (const client of [one, two]) await subscribe(client, 'exact', 'a')
    await subscribe(two, 'glob', 'b*')
    one.unsubscribe('exact', 'a')
    await one.next('confirm_unsubscribe_exact')
    assert.deepEqual(rowsIn(database).map(({ target }) => target), ['a', 'b*'])
    two.ws.close()
    await until(() => rowsIn(database).length === 0, 'the rows to go')
    await subscribe(one, 'exact', 'c')
    assert.deepEqual(rowsIn(database).map(({ target }) => target), ['c'])
    await hub.close()
    assert.deepEqual(rowsIn(database), [])
  })

  test('what a killed hub left is taken away by the answer of whoever has its address now', async (t) => {
    const database = join(temporaryFolder(t), 'shared.db')
    const here = await startHub(t, database)
    const port = await freePort()
    const { toBroadcastersSecret, toSubscribersSecret } = schemes('hmac', 'hmac')
    const killed = await startHubProcess(t, '--addr', `127.0.0.1:${port}`, '--public-url', `http://127.0.0.1:${port}`, '--database', database, '--data-dir', temporaryFolder(t), '--allow-private',
      '--to-broadcasters-auth', 'hmac', '--to-broadcasters-secret', String(toBroadcastersSecret), '--to-subscribers-auth', 'hmac', '--to-subscribers-secret', String(toSubscribersSecret))
    const client = await connectSocket(t, port, { scheme: 'hmac' })
    await subscribe(client, 'exact', 'a')
    await publishTo(here.port, 'a', 1)
    killed.child.kill('SIGKILL')
    await killed.exited
    assert.deepEqual(rowsIn(database).map(({ target }) => target), ['a'])
    // On a registry of its own: it knows nothing of the row, and nobody here wants the topic.
    await startHub(t, join(temporaryFolder(t), 'other.db'), port)
    assert.equal((await createClient(here.port, 'hmac').notify('a', 'x')).subscribers, 0)
    await until(() => rowsIn(database).length === 0, 'the row to go')
  })

  test('a hub that comes back takes away what it left when it was killed', async (t) => {
    const database = join(temporaryFolder(t), 'shared.db')
    const port = await freePort()
    const first = await startHub(t, database)
    await subscribe(await connectSocket(t, first.port, { scheme: 'hmac' }), 'exact', 'to make the database')
    await first.close()
    using opened = new DatabaseSync(database)
    opened.exec(`INSERT INTO subscriptions (kind, target, url) VALUES ('exact', CAST('a' AS BLOB), 'http://127.0.0.1:${port}/v1/receive_for_websockets')`)
    await startHub(t, database, port)
    assert.deepEqual(rowsIn(database), [])
  })
})
