import assert from 'node:assert/strict'
import { createHash, randomBytes } from 'node:crypto'
import { existsSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { suite, test } from 'node:test'
import { zstdCompressSync } from 'node:zlib'
import { claims } from '../../src/protocol/lonelyps/claims.ts'
import type { MessageHead, ToBroadcaster } from '../../src/protocol/lonelyps/stateful/messages.ts'
import { encodeToBroadcaster } from '../../src/protocol/lonelyps/stateful/to-broadcaster.ts'
import { until } from '../support/events.ts'
import { buffersUsed } from '../support/memory.ts'
import { openCompany, TOPIC, type Company } from '../support/lonelyps-company.ts'
import { headOf, openSocket, type SocketClient } from '../support/lonelyps-socket.ts'

/* Sockets that break the rules of the protocol: each ends, with 1000 and a reason in the log, and nobody else notices. */
const NONE = Buffer.alloc(0)
const MIB = 1_048_576
const bare = { tracing: NONE, authorization: undefined }
const sha512 = (bytes: Buffer): Buffer => createHash('sha512').update(bytes).digest()
const configure = (): ToBroadcaster => ({ type: 'configure', nonce: randomBytes(32), zstd: false, training: false, initialDictionary: 0, ...bare })
const hello = Buffer.from('hello')

const notify = (head: Partial<MessageHead> = {}, body: Buffer = hello): ToBroadcaster => ({ type: 'notify', identifier: Buffer.from('n'), head: { ...headOf(Buffer.from('x'), body), ...head }, body, ...bare })
const part = (number: number, body: Buffer, head?: Partial<MessageHead>, identifier = 's'): ToBroadcaster => ({
  type: 'notify_stream', identifier: Buffer.from(identifier), part: number, head: head && { ...headOf(Buffer.from('x'), hello), ...head }, body, ...bare,
})
const compressedHead = (frame: Buffer, compressor: number, size: number | bigint): Partial<MessageHead> => ({ compressor, compressedLength: BigInt(frame.length), decompressedLength: BigInt(size), sha512: sha512(frame) })

/** So many zeros, in one frame. */
const bomb = (size: number): Buffer => zstdCompressSync(Buffer.alloc(size))
const BOMB = bomb(64 * MIB)

type Deed = (client: SocketClient, company: Company) => void | Promise<void>
const deeds: readonly [what: string, reason: RegExp, deed: Deed][] = [
  ['a second CONFIGURE', /^a second CONFIGURE$/, (client) => client.send(configure())],
  ['a text message', /^a text message$/, (client) => client.raw('hello')],
  ['an empty message', /./, (client) => client.raw(NONE)],
  ['the first part of a message that is not its first', /not begun/, (client) => client.send(part(1, hello))],
  ['a part left out', /part 2 where 1 was next/, (client) => [part(0, hello.subarray(0, 1), {}), part(2, hello.subarray(1))].forEach(client.send)],
  ['a part twice', /part 1 where 2 was next/, (client) => [part(0, hello.subarray(0, 1), {}), part(1, hello.subarray(1, 2)), part(1, hello.subarray(1, 2))].forEach(client.send)],
  ['parts of two messages at once', /two messages at once/, (client) => [part(0, hello.subarray(0, 1), {}), part(0, hello.subarray(0, 1), {}, 'other')].forEach(client.send)],
  ['the same message begun again', /part 0 where 1 was next/, (client) => [part(0, hello.subarray(0, 1), {}), part(0, hello.subarray(0, 1), {})].forEach(client.send)],
  ['a message of 16 GiB and a byte', /no room for 17179869185 bytes/, (client) => client.send(part(0, hello, { compressedLength: 17_179_869_185n, decompressedLength: 17_179_869_185n }))],
  ['a message of 2^64-1 bytes', /no room for/, (client) => client.send(part(0, hello, { compressedLength: 2n ** 64n - 1n, decompressedLength: 2n ** 64n - 1n }))],
  ['more in parts than announced', /more bytes than announced/, (client) => [part(0, hello, { compressedLength: 6n, decompressedLength: 6n }), part(1, hello)].forEach(client.send)],
  ['parts that have another hash', /another SHA-512/, (client) => [part(0, hello.subarray(0, 2), {}), part(1, Buffer.from('lxo'))].forEach(client.send)],
  ['more at once than announced', /./, (client) => client.raw(Buffer.concat([encodeToBroadcaster(notify(), 'minimal'), Buffer.from('hello!')]))],
  ['less at once than announced', /./, (client) => client.raw(Buffer.concat([encodeToBroadcaster(notify(), 'minimal'), Buffer.from('hell')]))],
  ['another hash than announced', /./, (client) => client.send(notify({ sha512: sha512(NONE) }))],
  ['a message compressed with what was not announced', /compressed with 77, which was not announced/, (client) => client.send(notify(compressedHead(BOMB, 77, 5), BOMB))],
  ['parts compressed with what was not announced', /compressed with 65536, which was not announced/, (client) => client.send(part(0, BOMB, compressedHead(BOMB, 65_536, 5)))],
  ['nothing in parts, compressed', /nothing, compressed/, (client) => client.send(part(0, NONE, compressedHead(NONE, 1, 0)))],
  ['compressed with zstd, but not so', /not what was announced/, (client) => client.send(notify(compressedHead(hello, 1, 5)))],
  ['a zip bomb', /not what was announced/, (client) => client.send(notify(compressedHead(BOMB, 1, 5), BOMB))],
  ['a zip bomb in parts', /not what was announced/, (client) => [part(0, BOMB.subarray(0, 1_000), compressedHead(BOMB, 1, 5)), part(1, BOMB.subarray(1_000))].forEach(client.send)],
  ['a zip bomb that goes to disk', /longer than announced/, (client) => client.send(notify(compressedHead(BOMB, 1, 20 * MIB), BOMB))],
  ['a compressed message that is shorter than announced', /shorter than announced/, (client) => client.send(notify(compressedHead(BOMB, 1, 65 * MIB), BOMB))],
  ['a compressed message of 2^64-1 bytes', /no room for/, (client) => client.send(notify(compressedHead(BOMB, 1, 2n ** 64n - 1n), BOMB))],
  ['an acknowledgement of nothing', /acknowledged what was not sent/, (client) => client.send({ type: 'confirm_receive', identifier: hello, subscribers: 1, ...bare })],
  ['a part asked for where nothing was sent', /acknowledged what was not sent/, (client) => client.send({ type: 'continue_receive', identifier: hello, part: 0, ...bare })],
  ['the same subscription twice', /subscribed to that already/, (client) => client.subscribe('exact', TOPIC)],
  ['the same glob twice', /subscribed to that already/, (client) => [1, 2].forEach(() => client.subscribe('glob', 'n*'))],
  ['unsubscribing what it has not', /not subscribed to that/, (client) => client.unsubscribe('exact', 'other')],
  ['unsubscribing a topic as a glob', /not subscribed to that/, (client) => client.unsubscribe('glob', TOPIC)],
  ['unsubscribing twice', /not subscribed to that/, (client) => [1, 2].forEach(() => client.unsubscribe('exact', TOPIC))],
]

suite('a socket that breaks the rules ends alone', () => {
  for (const [what, reason, deed] of deeds) {
    test(what, async (t) => {
      const company = await openCompany(t)
      const client = await company.join({ zstd: true })
      await deed(client, company)
      await company.endedFor(client, reason)
      await nothingOnDisk(company)
    })
  }

  const acknowledging: readonly [what: string, reason: RegExp, said: (identifier: Buffer) => ToBroadcaster][] = [
    ['an acknowledgement of another message', /another message/, () => ({ type: 'continue_receive', identifier: hello, part: 0, ...bare })],
    ['an acknowledgement of another part', /another part/, (identifier) => ({ type: 'continue_receive', identifier, part: 1, ...bare })],
    ['a whole message confirmed in its middle', /in its middle/, (identifier) => ({ type: 'confirm_receive', identifier, subscribers: 1, ...bare })],
  ]
  for (const [what, reason, said] of acknowledging) {
    test(what, async (t) => {
      const company = await openCompany(t, { maxPartBytes: 1_024 })
      const client = await company.connect()
      client.subscribe('exact', 'long')
      await client.next('confirm_subscribe_exact')
      await company.server.hub.publish('long', 'x'.repeat(3_000))
      const { identifier } = await client.next('receive_stream')
      client.send(said(identifier))
      await company.endedFor(client, reason)
    })
  }

  test('the last part of a message acknowledged as if more were to come', async (t) => {
    const company = await openCompany(t)
    const client = await company.join()
    await company.server.hub.publish('other', 'x')
    client.subscribe('exact', 'other')
    await client.next('confirm_subscribe_exact')
    await company.server.hub.publish('other', 'x')
    client.acknowledge(await client.next('receive_stream'), 'earlier')
    await company.endedFor(client, /more of a whole message/)
  })

  test('a frame of 1 MiB before it has said who it is, though it never comes to its end', async (t) => {
    const company = await openCompany(t)
    const client = await openSocket(t, company.port)
    const raw = (client.ws as unknown as { _socket: import('node:net').Socket })._socket
    // A binary frame that announces a MiB.
    raw.write(Buffer.concat([Buffer.from([0x82, 0xff, 0, 0, 0, 0, 0, 16, 0, 0]), Buffer.alloc(4 + MIB - 1_000)]))
    await company.endedFor(client, /a long message before CONFIGURE/)
  })

  test('whatever else first, it is not done', async (t) => {
    const company = await openCompany(t)
    const client = await openSocket(t, company.port)
    client.notify(TOPIC, 'not said who it is')
    await company.endedFor(client, /notify before CONFIGURE/)
  })
})

test('a message announced with 16 GiB, of which little comes, takes no more than that little, and nothing when its socket is gone', async (t) => {
  const company = await openCompany(t)
  const client = await company.connect()
  client.send(part(0, hello, { compressedLength: 17_179_869_184n, decompressedLength: 17_179_869_184n }))
  await client.next('continue_notify')
  assert.equal(await company.metric('waystation_spool_bytes'), 5)
  client.ws.close()
  await nothingOnDisk(company)
  await company.othersGoOn()
})

for (const way of ['at once', 'in parts'] as const) {
  test(`64 MiB of zeros in a few KiB, honestly announced, ${way}: they come, and cost at most that`, async (t) => {
    const company = await openCompany(t)
    const client = await company.connect({ zstd: true })
    const head = compressedHead(BOMB, 1, 64 * MIB)
    assert.ok(BOMB.length < 8_000)
    if (way === 'at once') client.send(notify(head, BOMB))
    else for (let i = 0; i * 4_000 < BOMB.length; i++) client.send(part(i, BOMB.subarray(4_000 * i, 4_000 * (i + 1)), i === 0 ? head : undefined))
    let [most, isDone] = [0, false]
    const looking = until(async () => {
      most = Math.max(most, await company.metric('waystation_spool_bytes'))
      return isDone
    }, 'the message')
    if (way === 'in parts') for (let i = 1; i * 4_000 < BOMB.length; i++) await client.next('continue_notify')
    assert.equal((await client.next('confirm_notify')).subscribers, 0)
    isDone = true
    await looking
    assert.ok(most <= 64 * MIB, `${most} bytes on disk`)
    await nothingOnDisk(company)
  })
}

test('a message of many parts that hold next to nothing costs what it holds, and no more', async (t) => {
  const company = await openCompany(t)
  const client = await company.connect()
  const rounds = 1_500
  const tracing = Buffer.alloc(65_000)
  const before = await buffersUsed()
  client.send({ ...part(0, NONE, { compressedLength: 1_000_000n, decompressedLength: 1_000_000n }), tracing })
  const acknowledged = client.inbox.take(1 + rounds)
  for (let i = 1; i <= rounds; i++) client.send({ ...part(i, Buffer.from(i % 2 === 0 ? 'x' : '')), tracing })
  await acknowledged
  assert.ok(await buffersUsed() - before < 40 * MIB, 'parts are not kept with all that came with them')
  client.ws.close()
  await company.othersGoOn()
})

test('a wrong signature ends a socket whichever request has it', async (t) => {
  const company = await openCompany(t, {}, 'hmac')
  const others: readonly ((client: SocketClient, proof: string | undefined) => ToBroadcaster)[] = [
    (_, authorization) => ({ type: 'subscribe_exact', topic: hello, tracing: NONE, authorization }),
    (_, authorization) => ({ type: 'unsubscribe_glob', glob: hello, tracing: NONE, authorization }),
    (_, authorization) => ({ ...notify(), authorization }),
    (_, authorization) => ({ ...part(0, hello, {}), authorization }),
    (_, authorization) => ({ type: 'confirm_receive', identifier: hello, subscribers: 1, tracing: NONE, authorization }),
  ]
  for (const [i, message] of others.entries()) {
    const client = await company.join()
    client.send(message(client, client.prove(claims.missed({ url: 'x', topic: hello, tracing: NONE }))))
    assert.equal(await client.closed, 1000)
    await until(() => company.reasons.length === i + 1, 'the reason')
    assert.match(company.reasons[i] as string, /^the authorization of .* is forbidden$/)
  }
  await company.othersGoOn()
})

test('a recorded SUBSCRIBE is good on its own connection only, and there once', async (t) => {
  const company = await openCompany(t, {}, 'hmac')
  const [first, second] = [await company.connect(), await company.connect()]
  const authorization = first.prove(claims.subscribeExact({ url: first.url(), recovery: undefined, topic: hello, tracing: NONE }))
  const message: ToBroadcaster = { type: 'subscribe_exact', topic: hello, tracing: NONE, authorization }
  second.send(message)
  assert.equal(await second.closed, 1000)
  first.send(message)
  await first.next('confirm_subscribe_exact')
  first.send(message)
  assert.equal(await first.closed, 1000)
  await until(() => company.reasons.length === 2, 'the reasons')
  assert.deepEqual(company.reasons, Array(2).fill('the authorization of subscribe_exact is forbidden'))
  await company.othersGoOn()
})

/** After whatever was refused. */
async function nothingOnDisk(company: Company): Promise<void> {
  await until(async () => (await company.metric('waystation_spool_bytes')) === 0, 'an empty spool')
  const folder = join(company.dataDir, 'spool')
  assert.deepEqual(existsSync(folder) ? readdirSync(folder) : [], [])
}
