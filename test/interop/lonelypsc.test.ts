import assert from 'node:assert/strict'
import { createHash, randomBytes } from 'node:crypto'
import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import { test, type TestContext } from 'node:test'
import { parseCheckResponse } from '../../src/protocol/lonelyps/responses.ts'
import { strongEtag } from '../../src/protocol/lonelyps/strong-etag.ts'
import { temporaryFolder } from '../support/certificates.ts'
import { until } from '../support/events.ts'
import { COMBINATIONS, createClient, schemes, type SchemeName } from '../support/lonelyps.ts'
import { needs, PYTHON } from '../support/parts.ts'
import { startServer } from '../support/server.ts'
import { connect } from '../support/websocket.ts'
import { secretsFile, startPython, type Python, type PythonClient } from './python-peer.ts'

// The Python subscriber library from its package registry, as it is, against the hub.

const MIB = 1024 * 1024

interface Scene {
  readonly port: number
  readonly url: string
  readonly dataDir: string
  open(name: string): Promise<PythonClient>
  /** Fails unless the hub has exactly this for the client. */
  registered(client: PythonClient, exact: readonly (string | Buffer)[], globs: readonly string[]): Promise<void>
}

async function scene(t: TestContext, python: Python, toBroadcasters: SchemeName, toSubscribers: SchemeName): Promise<Scene> {
  const dataDir = temporaryFolder(t)
  const { port, url, options } = await startServer(t, { allowPrivate: true, dataDir, ...schemes(toBroadcasters, toSubscribers) })
  const secrets = secretsFile(t, options)
  const prober = createClient(port, toBroadcasters)
  return {
    port, url, dataDir,
    async open(name) {
      const client = await python.open(`${name} ${url}`, url, secrets)
      t.after(() => client.close().catch(() => {}))
      return client
    },
    async registered(client, exact, globs) {
      const entry = (target: string | Buffer) => ({ target: Buffer.from(target as string), recovery: client.recovery })
      const reply = await prober.check(client.url)
      assert.equal(reply.status, 200)
      assert.deepEqual(parseCheckResponse(reply.body)?.etag, strongEtag(client.url, exact.map(entry), globs.map(entry)))
    },
  }
}

const shown = ({ subscription, topic, data }: { subscription: string; topic: string; data: Buffer | undefined }): string[] => [subscription, topic, String(data)]

/** Subscribes by exact topic and by glob, receives what is published by each way in, counts, and leaves. */
async function playThrough({ url, open, registered }: Scene): Promise<void> {
  const [one, many] = await Promise.all([open('one'), open('many')])
  await one.subscribe('exact', { exact: ['foo/bar'] })
  await many.subscribe('glob', { glob: ['foo/*'] })
  await Promise.all([registered(one, ['foo/bar'], []), registered(many, [], ['foo/*'])])

  assert.equal(await one.notify('foo/bar', 'to both'), 2)
  assert.equal(await many.notify('foo/baz', 'to the glob'), 1)
  assert.equal(await one.notify('foo', 'to nobody'), 0)
  assert.deepEqual(shown(await one.inbox.next()), ['exact', 'foo/bar', 'to both'])
  assert.deepEqual((await many.inbox.take(2)).map(shown), [['glob', 'foo/bar', 'to both'], ['glob', 'foo/baz', 'to the glob']])

  const posted = await fetch(`${url}/foo/bar`, { method: 'POST', body: 'by POST' })
  assert.equal(posted.status, 200)
  assert.deepEqual(shown(await one.inbox.next()), ['exact', 'foo/bar', 'by POST'])
  assert.deepEqual(shown(await many.inbox.next()), ['glob', 'foo/bar', 'by POST'])

  await one.unsubscribe('exact')
  await registered(one, [], [])
  assert.equal(await one.notify('foo/bar', 'to the glob alone'), 1)
  assert.deepEqual(shown(await many.inbox.next()), ['glob', 'foo/bar', 'to the glob alone'])
  await many.unsubscribe('glob')
  await registered(many, [], [])
  assert.equal(await one.notify('foo/bar', 'to nobody'), 0)
  await Promise.all([one.close(), many.close()])
  assert.deepEqual([one.inbox.taken(), many.inbox.taken()], [[], []], 'nothing came twice, or to somebody else')
}

/** 24 MiB from the library, and to it from another publisher: more than either side keeps in memory. */
async function playLarge({ port, dataDir, open }: Scene, scheme: SchemeName): Promise<void> {
  const client = await open('large')
  await client.subscribe('large', { exact: ['large'] })
  const there = await client.notifyFile('large', 24 * MIB)
  assert.equal(there.notified, 1)
  const back = await client.inbox.next()
  assert.deepEqual([back.topic, back.size, back.sha512, back.stated], ['large', 24 * MIB, there.sha512, there.sha512])
  const body = randomBytes(24 * MIB)
  assert.equal((await createClient(port, scheme).notify('large', body)).subscribers, 1)
  const got = await client.inbox.next()
  assert.deepEqual([got.size, got.sha512], [body.length, createHash('sha512').update(body).digest('hex')])
  await until(() => readdirSync(join(dataDir, 'spool')).length === 0, 'the spool to be empty')
}

test('the Python library subscribes, receives, notifies and unsubscribes in all nine combinations of schemes', needs(PYTHON), async (t) => {
  const python = await startPython(t)
  for (const [toBroadcasters, toSubscribers] of COMBINATIONS) {
    await t.test(`${toBroadcasters} to broadcasters, ${toSubscribers} to subscribers`, async (t) => playThrough(await scene(t, python, toBroadcasters, toSubscribers)))
  }
  assert.equal(python.process.stderr(), '')
})

for (const scheme of ['none', 'hmac'] as const) {
  test(`the Python library sends and receives 24 MiB in one message, with ${scheme}`, needs(PYTHON), async (t) => {
    await playLarge(await scene(t, await startPython(t), scheme, scheme), scheme)
  })
}

test('any bytes are a topic and a message for the Python library, and what it sends reaches a WebSocket', needs(PYTHON), async (t) => {
  const { open, registered, port } = await scene(t, await startPython(t), 'hmac', 'hmac')
  const client = await open('bytes')
  const topic = Buffer.from([0xff, 0x00, 0x2f, 0xfe])
  const everyByte = Buffer.from(Array.from({ length: 256 }, (_, i) => i))
  await client.subscribe('bytes', { exact: [topic, 'empty'] })
  await registered(client, [topic, 'empty'], [])
  assert.equal(await client.notify(topic, everyByte), 1)
  const got = await client.inbox.next()
  assert.deepEqual([got.topic, got.data], [topic.toString('latin1'), everyByte])
  assert.equal(await client.notify('empty', ''), 1)
  assert.equal((await client.inbox.next()).size, 0)

  const socket = await connect(t, `ws://127.0.0.1:${port}/live`)
  assert.equal(await client.notify('live', 'hello'), 1)
  assert.equal(String(await socket.next()), 'hello')
})

test('a hundred notifications of the Python library arrive once each, and a subscription added later leaves the others alone', needs(PYTHON), async (t) => {
  const { open, registered } = await scene(t, await startPython(t), 'hmac', 'hmac')
  const [sender, receiver] = await Promise.all([open('sender'), open('receiver')])
  await receiver.subscribe('first', { exact: ['a'] })
  const sent = Array.from({ length: 100 }, (_, i) => `message ${i}`)
  const counts = Promise.all(sent.map((text) => sender.notify('a', text)))
  // Twenty topics in one list: where the original loses some of them.
  const topics = Array.from({ length: 20 }, (_, i) => `later/${i}`)
  await receiver.subscribe('later', { exact: topics, glob: ['other/*'] })
  assert.deepEqual(await counts, sent.map(() => 1))
  assert.deepEqual((await receiver.inbox.take(sent.length)).map(({ data }) => String(data)).sort(), sent.toSorted())
  await registered(receiver, ['a', ...topics], ['other/*'])
  await receiver.unsubscribe('first')
  await registered(receiver, topics, ['other/*'])
  await receiver.close()
  await registered(receiver, [], [])
})
