import assert from 'node:assert/strict'
import { createHash, randomBytes } from 'node:crypto'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test, type TestContext } from 'node:test'
import { claims, type Claim } from '../../../src/protocol/lonelyps/claims.ts'
import { pseudoUrl } from '../../../src/protocol/lonelyps/stateful/connection.ts'
import type { ReceivePart } from '../../../src/protocol/lonelyps/stateful/messages.ts'
import { compress, decompress } from '../../../src/protocol/lonelyps/zstd.ts'
import { createChecker, readScheme } from '../../../src/protocol/lonelyps/authorization.ts'
import { formOf } from '../../protocol/lonelyps/stateful-vectors.ts'
import { temporaryFolder } from '../../support/certificates.ts'
import { createClient, schemes } from '../../support/lonelyps.ts'
import { connectSocket, headOf, type SocketClient } from '../../support/lonelyps-socket.ts'
import { startServer } from '../../support/server.ts'

/* Messages in parts and compressed, both ways (lonelyps, sections 4.10 to 4.13). */
const NONE = Buffer.alloc(0)
const sha512 = (bytes: Buffer): Buffer => createHash('sha512').update(bytes).digest()

/** Takes one message, acknowledging its parts. */
async function take(client: SocketClient): Promise<{ parts: ReceivePart[]; body: Buffer }> {
  const parts: ReceivePart[] = []
  for (let left = Infinity; left > 0 || parts.length === 0;) {
    const part = await client.next('receive_stream')
    if (part.head !== undefined) left = Number(part.head.compressedLength)
    left -= part.body.length
    parts.push(part)
    client.acknowledge(part, left > 0 ? 'earlier' : 'last')
  }
  return { parts, body: Buffer.concat(parts.map(({ body }) => body)) }
}

async function subscribe(client: SocketClient, topic: string): Promise<SocketClient> {
  client.subscribe('exact', topic)
  await client.next('confirm_subscribe_exact')
  return client
}

function checkerOfHub(secret: string) {
  const scheme = readScheme('hmac', secret)
  assert.ok(typeof scheme !== 'string')
  return createChecker(scheme, { now: Date.now, lifetime: 120_000, remember: () => true })
}

for (const form of ['minimal', 'expanded'] as const) {
  test(`in ${form} form, every part is within the limit and proves itself with the one count of its message`, async (t) => {
    const options = schemes('hmac', 'hmac')
    const hub = await startServer(t, { ...options, dataDir: temporaryFolder(t), maxPartBytes: 1_200, minimalHeaders: form === 'minimal' })
    const client = await subscribe(await connectSocket(t, hub.port, { scheme: 'hmac', form: form === 'minimal' ? 'expanded' : 'minimal' }), 'a')
    const frames: Buffer[] = []
    client.ws.on('message', (data: Buffer) => frames.push(data))
    const checker = checkerOfHub(options.toSubscribersSecret as string)
    const bodies = [5_000, 0, 100, 2_500, 1].map((size) => randomBytes(size))
    for (const [i, body] of bodies.entries()) {
      await hub.hub.publish('a', body)
      const { parts, body: got } = await take(client)
      assert.ok(got.equals(body))
      assert.deepEqual(parts.map(({ part }) => part), parts.map((_, n) => n))
      const { head, identifier } = parts[0] as ReceivePart
      assert.ok(head !== undefined && head.sha512.equals(sha512(body)))
      for (const part of parts) {
        const claim = (counter: number): Claim => claims.receive({ url: pseudoUrl(client.nonce, counter), topic: head.topic, sha512: head.sha512, identifier, tracing: NONE })
        assert.ok(part.identifier.equals(identifier))
        assert.equal(checker.checkBound(part.authorization, claim(i + 1)), 'ok')
        assert.equal(checker.checkBound(part.authorization, claim(i + 2)), 'forbidden')
      }
    }
    assert.deepEqual([...new Set(frames.map(formOf))], [form])
    assert.equal(Math.max(...frames.map(({ length }) => length)), 1_200)
    // As many as are needed, and no more.
    assert.ok(frames.length < 30)
  })
}

test('what lies on disk goes out as what is in memory, whole and compressed', async (t) => {
  const body = Buffer.from(Array.from({ length: 60_000 }, (_, i) => `${i % 977} `).join(''))
  for (const zstd of [false, true]) {
    const got: Buffer[][] = []
    for (const spoolAbove of [1_000, 10_000_000]) {
      const hub = await startServer(t, { dataDir: temporaryFolder(t), spoolAbove, maxPartBytes: 20_000 })
      const client = await connectSocket(t, hub.port, { zstd })
      if (zstd) await client.next('enable_zstd_preset')
      await subscribe(client, 'a')
      assert.equal((await createClient(hub.port).notify('a', body)).subscribers, 1)
      const { parts, body: sent } = await take(client)
      const head = parts[0]?.head
      assert.ok(head !== undefined && head.sha512.equals(sha512(sent)))
      assert.deepEqual([head.compressor, head.decompressedLength], [zstd ? 1 : 0, BigInt(body.length)])
      const plain = zstd ? decompress(sent, body.length, 0) : sent
      assert.ok(plain?.equals(body))
      got.push(parts.map((part) => part.body))
    }
    if (!zstd) assert.deepEqual(got[0], got[1])
  }
})

test('a message that comes in parts is the message, in memory and on disk, whatever the parts are', async (t) => {
  for (const spoolAbove of [1_000, 10_000_000]) {
    const hub = await startServer(t, { dataDir: temporaryFolder(t), spoolAbove })
    const [client, publisher] = [await subscribe(await connectSocket(t, hub.port), 'a'), await connectSocket(t, hub.port)]
    for (const [size, step] of [[0, 1], [1, 1], [40, 7], [50_000, 999], [200_000, 65_536], [3_000, 3_000]] as const) {
      const body = randomBytes(size)
      const identifier = publisher.notifyParts('a', body, step)
      assert.ok((await take(client)).body.equals(body), `${size} bytes by ${step}`)
      for (let part = 0; (part + 1) * step < size; part++) {
        const { identifier: named, part: continued } = await publisher.next('continue_notify')
        assert.deepEqual([named, continued], [identifier, part])
      }
      assert.deepEqual(await publisher.next('confirm_notify').then((one) => [one.identifier, one.subscribers]), [identifier, 1])
    }
  }
})

async function openWithPreset(t: TestContext) {
  const dictionary = Buffer.from('{"station":"s1","name":"outside temperature","unit":"celsius","value":'.repeat(8))
  const file = join(temporaryFolder(t), 'words')
  writeFileSync(file, dictionary)
  const hub = await startServer(t, { dataDir: temporaryFolder(t), compressionDictionaries: [`7:5:${file}`], minimalHeaders: false })
  const open = async (initialDictionary: number) => {
    const client = await connectSocket(t, hub.port, { zstd: true, initialDictionary })
    const enabled = [await client.next('enable_zstd_preset')]
    if (initialDictionary > 1) enabled.push(await client.next('enable_zstd_preset'))
    return { client, enabled: enabled.map(({ compressor, level, minSize, maxSize }) => [compressor, level, minSize, maxSize]) }
  }
  return { dictionary, open }
}

test('with a dictionary that both sides have, messages are compressed both ways, and each gets what it can read', async (t) => {
  const { dictionary, open } = await openWithPreset(t)
  const [with7, without] = [await open(7), await open(0)]
  const most = 2n ** 64n - 1n
  assert.deepEqual([with7.enabled, without.enabled], [[[1, 3, 16_384, most], [7, 5, 32, most]], [[1, 3, 16_384, most]]])
  for (const { client } of [with7, without]) await subscribe(client, 'a')
  const body = Buffer.from('{"station":"s1","name":"outside temperature","unit":"celsius","value":21.5}')
  const frame = compress(body, 5, dictionary)
  assert.ok(frame.length < body.length / 2)
  with7.client.send({ type: 'notify', identifier: Buffer.from('n'), head: { ...headOf(Buffer.from('a'), frame), compressor: 7, decompressedLength: BigInt(body.length) }, body: frame, tracing: NONE, authorization: undefined })
  const own = await with7.client.inbox.take(2)
  const part = own.find(({ type }) => type === 'receive_stream')
  assert.ok(part?.type === 'receive_stream' && part.head?.compressor === 7)
  assert.ok(decompress(part.body, body.length, 0, dictionary)?.equals(body))
  const plain = await take(without.client)
  assert.deepEqual([plain.parts[0]?.head?.compressor, plain.body], [0, body])
})

test('every message of a size that a compressor is meant for is compressed, and no other', async (t) => {
  const { open } = await openWithPreset(t)
  const { client } = await open(0)
  await subscribe(client, 'a')
  for (const [size, compressor] of [[0, 0], [16_383, 0], [16_384, 1], [100_000, 1]] as const) {
    const body = Buffer.alloc(size, 'words ')
    client.notify('a', body)
    const got = (await client.inbox.take(2)).find(({ type }) => type === 'receive_stream')
    assert.ok(got?.type === 'receive_stream')
    client.acknowledge(got)
    assert.equal(got.head?.compressor, compressor)
    assert.ok((compressor === 0 ? got.body : decompress(got.body, size, 0))?.equals(body))
  }
})
