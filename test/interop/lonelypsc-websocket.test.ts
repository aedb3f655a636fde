import assert from 'node:assert/strict'
import { createHash, randomBytes } from 'node:crypto'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test, type TestContext } from 'node:test'
import type { Config } from '../../src/index.ts'
import type { HeaderForm } from '../../src/protocol/lonelyps/stateful/messages.ts'
import { temporaryFolder } from '../support/certificates.ts'
import { until } from '../support/events.ts'
import { COMBINATIONS, createClient, schemes, type SchemeName } from '../support/lonelyps.ts'
import { needs, PYTHON } from '../support/parts.ts'
import { startServer } from '../support/server.ts'
import { secretsFile, startPython, type Python, type PythonMessage, type PythonSocketClient, type PythonSocketOptions } from './python-peer.ts'
import { startTap, type Tap } from '../support/lonelyps-tap.ts'

// The WebSocket client of the Python subscriber library from its package registry, as it is, against the hub. What
// passes between them is looked at on the way.

const MIB = 1024 * 1024
/** From here on a compressor has a dictionary that was trained for the connection. */
const FIRST_CUSTOM = 65_536

interface Scene {
  readonly port: number
  readonly url: string
  readonly tap: Tap
  readonly secrets: string
  open(name: string, options?: PythonSocketOptions): Promise<PythonSocketClient>
}

async function scene(t: TestContext, python: Python, [toBroadcasters, toSubscribers]: readonly [SchemeName, SchemeName], config: Config = {}): Promise<Scene> {
  const { port, url, options } = await startServer(t, { dataDir: temporaryFolder(t), ...schemes(toBroadcasters, toSubscribers), ...config })
  const secrets = secretsFile(t, options)
  const tap = await startTap(t, port)
  return {
    port, url, tap, secrets,
    async open(name, options) {
      const client = await python.openSocket(`${name} ${url}`, tap.ws, secrets, options)
      t.after(() => client.close().catch(() => {}))
      return client
    },
  }
}

const shown = ({ subscription, topic, data }: PythonMessage): string[] => [subscription, topic, String(data)]
const text = ({ data }: PythonMessage): string => String(data)
const digest = (body: Buffer): string => createHash('sha512').update(body).digest('hex')
const lines = (size: number): Buffer => Buffer.alloc(size, 'A line that comes again.\n')
/** What applications send: alike, and each one different. */
const record = (i: number): string => JSON.stringify({ event: 'order-filled', account: `acct-${i % 17}`, instrument: { exchange: 'XNAS', symbol: 'ACME' }, quantity: i, price: 100 + i / 8, sequence: i })

/** Messages with a body that one side sent, with the compressor that each was sent with. */
function sent({ fromSubscriber, fromHub }: Tap, by: 'subscriber' | 'hub') {
  const all = by === 'subscriber' ? fromSubscriber : fromHub
  return all.flatMap(({ message, size, form }) => ('head' in message && message.head !== undefined ? [{ ...message.head, type: message.type, frame: size, form }] : []))
}

/** Fails when something was not understood, or a connection was lost meanwhile. */
function undisturbed(tap: Tap, connections: number): void {
  assert.deepEqual(tap.wrong, [])
  assert.equal(tap.connections, connections, 'no client had to come again')
}

async function playThrough({ port, url, tap, open }: Scene, scheme: SchemeName): Promise<void> {
  const [one, many] = await Promise.all([open('one'), open('many')])
  await one.subscribe('exact', { exact: ['foo/bar'] })
  await many.subscribe('glob', { glob: ['foo/*'] })

  assert.equal(await one.notify('foo/bar', 'to both'), 2)
  assert.equal(await many.notify('foo/baz', 'to the glob'), 1)
  assert.equal(await one.notify('foo', 'to nobody'), 0)
  assert.deepEqual(shown(await one.inbox.next()), ['exact', 'foo/bar', 'to both'])
  assert.deepEqual((await many.inbox.take(2)).map(shown), [['glob', 'foo/bar', 'to both'], ['glob', 'foo/baz', 'to the glob']])

  const posted = await fetch(`${url}/foo/bar`, { method: 'POST', body: 'by POST' })
  assert.equal(posted.status, 200)
  assert.equal((await createClient(port, scheme).notify('foo/bar', 'by HTTP')).subscribers, 2)
  assert.deepEqual((await one.inbox.take(2)).map(shown), [['exact', 'foo/bar', 'by POST'], ['exact', 'foo/bar', 'by HTTP']])
  assert.deepEqual((await many.inbox.take(2)).map(shown), [['glob', 'foo/bar', 'by POST'], ['glob', 'foo/bar', 'by HTTP']])

  const row = Array.from({ length: 100 }, (_, i) => `message ${i}`)
  assert.deepEqual(await one.notifyAll('foo/bar', row), row.map(() => 2))
  assert.deepEqual((await one.inbox.take(row.length)).map(text), row, 'in the order of sending')
  assert.deepEqual((await many.inbox.take(row.length)).map(text), row, 'in the order of sending')

  await one.subscribe('both', { exact: ['both/ways'], glob: ['both/*'] })
  assert.equal(await many.notify('both/ways', 'wanted twice'), 1)
  assert.deepEqual(shown(await one.inbox.next()), ['both', 'both/ways', 'wanted twice'])

  await one.unsubscribe('exact')
  assert.equal(await one.notify('foo/bar', 'to the glob alone'), 1)
  assert.deepEqual(shown(await many.inbox.next()), ['glob', 'foo/bar', 'to the glob alone'])
  await many.unsubscribe('glob')
  assert.equal(await many.notify('foo/bar', 'to nobody'), 0)
  await Promise.all([one.close(), many.close()])
  assert.deepEqual([one.inbox.taken(), many.inbox.taken()], [[], []], 'nothing came twice, or to somebody else')
  undisturbed(tap, 2)
}

test('the Python library subscribes, receives, notifies and unsubscribes over WebSockets in all nine combinations of schemes', needs(PYTHON), async (t) => {
  const python = await startPython(t)
  for (const combination of COMBINATIONS) {
    await t.test(`${combination[0]} to broadcasters, ${combination[1]} to subscribers`, async (t) => playThrough(await scene(t, python, combination), combination[0]))
  }
  assert.equal(python.process.stderr(), '')
})

test('24 MiB go to and from the Python library in parts, and messages after them arrive', needs(PYTHON), async (t) => {
  const python = await startPython(t)
  for (const [compression, compressor] of [[true, 1], [false, 0]] as const) {
    await t.test(compression ? 'compressed' : 'as they are', async (t) => {
      const { port, tap, open } = await scene(t, python, ['hmac', 'hmac'])
      const client = await open('large', { compression })
      await client.subscribe('large', { exact: ['large', 'small'] })
      const there = await client.notifyFile('large', 24 * MIB)
      assert.equal(there.notified, 1)
      const back = await client.inbox.next()
      assert.deepEqual([back.topic, back.size, back.sha512], ['large', 24 * MIB, there.sha512])
      assert.equal(await client.notify('small', 'after one in parts'), 1)
      assert.equal(text(await client.inbox.next()), 'after one in parts')

      const body = randomBytes(24 * MIB)
      assert.equal((await createClient(port, 'hmac').notify('large', body)).subscribers, 1)
      const got = await client.inbox.next()
      assert.deepEqual([got.size, got.sha512], [body.length, digest(body)])
      assert.equal(await client.notify('small', 'after another'), 1)
      assert.equal(text(await client.inbox.next()), 'after another')

      const parts = tap.fromHub.filter(({ message }) => message.type === 'receive_stream').length
      assert.ok(parts >= 2 * 7 + 2, `${parts} parts came`)
      assert.deepEqual(sent(tap, 'hub').map((one) => one.compressor), [compressor, 0, compressor, 0])
      assert.deepEqual(sent(tap, 'subscriber').map(({ type, compressor }) => [type, compressor]), [['notify_stream', compressor], ['notify', 0], ['notify', 0]])
      undisturbed(tap, 1)
    })
  }
})

test('hundreds of small parts go both ways, and of a message that has too many the Python library is told that it missed one', needs(PYTHON), async (t) => {
  const python = await startPython(t)
  for (const scheme of ['none', 'hmac'] as const) {
    await t.test(`with ${scheme}`, async (t) => {
      const { port, tap, open } = await scene(t, python, [scheme, scheme], { maxPartBytes: 2_048, spoolAbove: 65_536 })
      const client = await open('parts', { maxMessageBytes: 1_024 })
      await client.subscribe('large', { exact: ['large'] })
      const size = scheme === 'none' ? 700_000 : 240_000
      const there = await client.notifyFile('large', size)
      assert.equal(there.notified, 1)
      const back = await client.inbox.next()
      assert.deepEqual([back.size, back.sha512], [size, there.sha512])
      const parts = (type: string) => Math.max(...[...tap.fromHub, ...tap.fromSubscriber].map(({ message }) => (message.type === type && 'part' in message ? message.part : -1)))
      assert.ok(parts('receive_stream') > (scheme === 'none' ? 300 : 100), `${parts('receive_stream')} parts came`)
      assert.ok(parts('notify_stream') > 255, `${parts('notify_stream')} parts went`)

      client.again.taken()
      const sender = createClient(port, scheme)
      const another = randomBytes(240_000)
      assert.equal((await sender.notify('large', another)).subscribers, 1)
      let coming: PythonMessage | undefined
      const come = client.inbox.next().then((message) => (coming = message))
      // Signed acknowledgements cannot name as many parts as this would have. It is told while the other goes out.
      if (scheme === 'hmac') do await sender.notify('large', randomBytes(300_000)); while (coming === undefined)
      assert.equal((await come).sha512, digest(another))
      assert.equal(await client.notify('large', 'afterwards'), 1)
      assert.equal(text(await client.inbox.next()), 'afterwards')
      if (scheme === 'hmac') assert.equal(await client.again.next(), 'large', 'the library tells of it with the next message')
      assert.equal(tap.fromHub.some(({ message }) => message.type === 'missed'), scheme === 'hmac')
      undisturbed(tap, 1)
    })
  }
})

test('large messages of the Python library are compressed both ways', needs(PYTHON), async (t) => {
  const { port, tap, open } = await scene(t, await startPython(t), ['hmac', 'hmac'])
  const client = await open('compressed')
  await client.subscribe('large', { exact: ['large'] })
  for (const size of [MIB, 24 * MIB]) {
    const there = await client.notifyFile('large', size, 'lines')
    assert.equal(there.notified, 1)
    const back = await client.inbox.next()
    assert.deepEqual([back.size, back.sha512], [size, there.sha512])
    assert.equal((await createClient(port, 'hmac').notify('large', lines(size))).subscribers, 1)
    const got = await client.inbox.next()
    assert.deepEqual([got.size, got.sha512], [size, digest(lines(size))])
  }
  for (const by of ['hub', 'subscriber'] as const) {
    const all = sent(tap, by)
    assert.equal(all.length, by === 'hub' ? 4 : 2)
    for (const { compressor, frame, decompressedLength } of all) {
      assert.equal(compressor, 1)
      assert.ok(frame * 100 < decompressedLength, `${frame} bytes for ${decompressedLength}`)
    }
  }
  undisturbed(tap, 1)
})

for (const form of ['minimal', 'expanded'] as const) {
  test(`dictionaries are trained for the Python library, used both ways, and followed by others, with ${form} headers`, needs(PYTHON), async (t) => {
    const { tap, open } = await scene(t, await startPython(t), ['hmac', 'hmac'], { minimalHeaders: form === 'minimal', trainingLowWatermark: 4_096, trainingHighWatermark: 16_384, retrainInterval: 1_000 })
    const client = await open('trained', { form })
    await client.subscribe('records', { exact: ['records'] })
    let count = 0
    /** Sends records until it is so, and looks at each that comes. */
    async function sendUntil(done: () => boolean, what: string): Promise<void> {
      for (const from = count; !done(); ) {
        assert.ok(count - from < 20_000, what)
        const some = Array.from({ length: 20 }, () => record(count++))
        assert.deepEqual(await client.notifyAll('records', some), some.map(() => 1))
        assert.deepEqual((await client.inbox.take(some.length)).map(text), some)
      }
    }
    const told = () => tap.fromHub.flatMap(({ message }) => (message.type === 'enable_zstd_custom' || message.type === 'disable_zstd_custom' ? [`${message.type} ${message.compressor - FIRST_CUSTOM}`] : []))
    const uses = (by: 'hub' | 'subscriber', compressor: number) => sent(tap, by).some((one) => one.compressor === compressor)

    await sendUntil(() => told().length >= 1, 'a first dictionary')
    await sendUntil(() => uses('hub', FIRST_CUSTOM) && uses('subscriber', FIRST_CUSTOM), 'messages with it')
    for (const by of ['hub', 'subscriber'] as const) {
      for (const { compressor, compressedLength, decompressedLength } of sent(tap, by)) {
        if (compressor === FIRST_CUSTOM) assert.ok(compressedLength * 2n < decompressedLength, `${by}: ${compressedLength} bytes for ${decompressedLength}`)
      }
    }
    await sendUntil(() => uses('hub', FIRST_CUSTOM + 1), 'a second, and messages with it')
    await sendUntil(() => uses('hub', FIRST_CUSTOM + 2), 'a third, and messages with it')
    await sendUntil(() => uses('subscriber', FIRST_CUSTOM + 1) || uses('subscriber', FIRST_CUSTOM + 2), 'messages from there without the first')
    assert.deepEqual(told().slice(0, 4), ['enable_zstd_custom 0', 'enable_zstd_custom 1', 'disable_zstd_custom 0', 'enable_zstd_custom 2'])
    undisturbed(tap, 1)
  })
}

test('a dictionary that the Python library and the hub both have is used both ways', needs(PYTHON), async (t) => {
  const file = join(temporaryFolder(t), 'records')
  const data = Buffer.from(Array.from({ length: 20 }, (_, i) => record(i)).join(''))
  writeFileSync(file, data)
  const { url, tap, open } = await scene(t, await startPython(t), ['hmac', 'hmac'], { compressionDictionaries: [`258:5:${file}`] })
  const dictionaries = [{ id: 258, level: 5, data }]
  const client = await open('preset', { dictionaries, initialDictionary: 258, training: false })
  await client.subscribe('records', { exact: ['records'] })
  const all = Array.from({ length: 50 }, (_, i) => record(1_000 + i))
  for (const one of all) assert.equal(await client.notify('records', one), 1)
  assert.deepEqual((await client.inbox.take(all.length)).map(text), all)
  assert.equal((await fetch(`${url}/records`, { method: 'POST', body: record(7_777) })).status, 200)
  assert.equal(text(await client.inbox.next()), record(7_777))

  const announced = tap.fromHub.flatMap(({ message }) => (message.type === 'enable_zstd_preset' ? [[message.compressor, message.level]] : []))
  assert.deepEqual(announced, [[1, 3], [258, 5]])
  for (const [by, least] of [['hub', all.length + 1], ['subscriber', all.length - 1]] as const) {
    const used = sent(tap, by).filter(({ compressor }) => compressor === 258)
    assert.ok(used.length >= least, `${by} used it ${used.length} times`)
    for (const { compressedLength, decompressedLength } of used) assert.ok(compressedLength * 2n < decompressedLength, `${compressedLength} bytes for ${decompressedLength}`)
  }
  undisturbed(tap, 1)
})

for (const [hub, client] of [['expanded', 'expanded'], ['expanded', 'minimal'], ['minimal', 'expanded']] as const satisfies readonly (readonly [HeaderForm, HeaderForm])[]) {
  test(`the Python library understands the hub, and the hub it, with ${hub} headers from the hub and ${client} ones to it`, needs(PYTHON), async (t) => {
    const world = await scene(t, await startPython(t), ['hmac', 'hmac'], { minimalHeaders: hub === 'minimal' })
    const { tap } = world
    await playThrough({ ...world, open: (name) => world.open(name, { form: client }) }, 'hmac')
    assert.deepEqual(new Set(tap.fromHub.map(({ form }) => form)), new Set([hub]))
    assert.deepEqual(new Set(tap.fromSubscriber.map(({ form }) => form)), new Set([client]))
  })
}

test('the Python library comes again after the hub has gone, and after its connection broke, with all its subscriptions', needs(PYTHON), async (t) => {
  const python = await startPython(t)
  const first = await startServer(t, { dataDir: temporaryFolder(t), ...schemes('hmac', 'hmac') })
  const second = await startServer(t, { dataDir: temporaryFolder(t), ...schemes('hmac', 'hmac') })
  const tap = await startTap(t, first.port)
  const client = await python.openSocket('again', tap.ws, secretsFile(t, first.options))
  await client.subscribe('exact', { exact: ['a', 'b'] })
  await client.subscribe('glob', { glob: ['c/*'] })
  assert.equal((await createClient(first.port, 'hmac').notify('a', 'before')).subscribers, 1)
  assert.equal(text(await client.inbox.next()), 'before')

  const confirmed = () => tap.fromHub.filter(({ message }) => message.type.startsWith('confirm_subscribe')).length

  tap.redirect(second.port)
  for (const [lose, connections] of [[() => first.close(AbortSignal.abort()), 2], [() => tap.cut(), 3]] as const) {
    client.again.taken()
    await lose()
    const meanwhile = client.notify('b', 'sent meanwhile')
    const told = new Set<string>()
    while (told.size < 2) told.add(await client.again.next())
    assert.equal(confirmed(), 3 * connections)
    assert.equal(await meanwhile, 1)
    assert.equal(text(await client.inbox.next()), 'sent meanwhile')
    for (const topic of ['a', 'b', 'c/d']) {
      assert.equal((await createClient(second.port, 'hmac').notify(topic, `after ${connections}`)).subscribers, 1)
      const { topic: on, data } = await client.inbox.next()
      assert.deepEqual([on, String(data)], [topic, `after ${connections}`])
    }
    assert.equal(await client.notify('b', 'from it'), 1)
    assert.equal(text(await client.inbox.next()), 'from it')
    undisturbed(tap, connections)
  }
  await client.unsubscribe('exact')
  // The library does not wait for it.
  await until(() => tap.fromHub.filter(({ message }) => message.type === 'confirm_unsubscribe_exact').length === 2, 'unsubscribing to be confirmed')
  assert.equal((await createClient(second.port, 'hmac').notify('a', 'to nobody')).subscribers, 0)
  await client.close()
  assert.deepEqual(client.inbox.taken(), [])
})
