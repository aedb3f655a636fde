import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { writeFileSync } from 'node:fs'
import type { Socket } from 'node:net'
import { join } from 'node:path'
import { test } from 'node:test'
import { constants, zstdCompressSync } from 'node:zlib'
import { temporaryFolder } from '../support/certificates.ts'
import { until } from '../support/events.ts'
import { createClient, openReceiver } from '../support/lonelyps.ts'
import { openCompany, TOPIC, type Company } from '../support/lonelyps-company.ts'
import { headOf, openSocket, type SocketClient } from '../support/lonelyps-socket.ts'

/* What one lonelyps WebSocket may cost, and all of them together. */
const NONE = Buffer.alloc(0)
const MIB = 1_048_576

const tcp = (client: SocketClient): Socket => (client.ws as unknown as { _socket: Socket })._socket

/** Nothing has come, and everything before is done: the next thing that comes is the answer to this. */
async function nothingMore(client: SocketClient): Promise<void> {
  const name = randomBytes(4).toString('hex')
  client.subscribe('exact', name)
  assert.equal((await client.next('confirm_subscribe_exact')).topic.toString(), name)
}

test('maxSocketMessageBytes: a longer frame ends its socket before it has come', async (t) => {
  for (const [maxSocketMessageBytes, size] of [[65_536, 65_537], [undefined, 17 * MIB]] as const) {
    const company = await openCompany(t, maxSocketMessageBytes === undefined ? {} : { maxSocketMessageBytes })
    const client = await company.join()
    const length = Buffer.alloc(8)
    length.writeBigUInt64BE(BigInt(size))
    tcp(client).write(Buffer.concat([Buffer.from([0x82, 0xff]), length, Buffer.alloc(4 + 1_000)]))
    assert.equal(await client.closed, 1009)
    await until(() => company.reasons.length === 1, 'the reason in the log')
    assert.match(company.reasons[0] as string, /payload/)
    await company.othersGoOn()
  }
})

test('maxPartBytes: no frame that goes out is longer, headers included', async (t) => {
  const company = await openCompany(t, { maxPartBytes: 2_000 })
  const client = await company.join()
  const sizes: number[] = []
  client.ws.on('message', (data: Buffer) => sizes.push(data.length))
  await company.server.hub.publish(TOPIC, 'x'.repeat(1_500))
  client.acknowledge(await client.next('receive_stream'))
  await company.server.hub.publish(TOPIC, 'x'.repeat(5_000))
  for (let left = 5_000; left > 0;) {
    const part = await client.next('receive_stream')
    left -= part.body.length
    client.acknowledge(part, left > 0 ? 'earlier' : 'last')
  }
  assert.deepEqual([sizes.length, Math.max(...sizes)], [4, 2_000])
})

test('maxUnacknowledged: so many parts are sent and no more, of one message or of several', async (t) => {
  const company = await openCompany(t, { maxUnacknowledged: 2, maxPartBytes: 1_024 })
  const client = await company.connect()
  for (const topic of ['long', 'short']) {
    client.subscribe('exact', topic)
    await client.next('confirm_subscribe_exact')
  }
  await company.server.hub.publish('long', 'x'.repeat(3_500))
  for (let i = 0; i < 3; i++) await company.server.hub.publish('short', `${i}`)
  const parts = [await client.next('receive_stream'), await client.next('receive_stream')]
  await nothingMore(client)
  for (let got = 2; got < 4; got++) {
    client.acknowledge(parts[got - 2] as (typeof parts)[0], 'earlier')
    parts.push(await client.next('receive_stream'))
    await nothingMore(client)
  }
  assert.deepEqual(parts.map(({ part }) => part), [0, 1, 2, 3])
  client.acknowledge(parts[2] as (typeof parts)[0], 'earlier')
  const next = await client.next('receive_stream')
  await nothingMore(client)
  client.acknowledge(parts[3] as (typeof parts)[0])
  assert.deepEqual([next, await client.next('receive_stream')].map(({ body }) => body.toString()), ['0', '1'])
  await nothingMore(client)
})

test('maxUnanswered: past it nothing more is read of a socket until answers are given, and nothing is lost', async (t) => {
  const company = await openCompany(t, { maxUnanswered: 2, allowPrivate: true })
  const receiver = await openReceiver(t, { manual: true })
  const client = await company.connect()
  const identifiers: Buffer[] = []
  const calls = []
  for (let i = 0; i < 2; i++) {
    await createClient(company.port).subscribe('exact', receiver.url(), `hook ${i}`)
    identifiers.push(client.notify(`hook ${i}`, 'x'))
    calls.push(await receiver.inbox.next())
  }
  for (let i = 2; i < 20; i++) identifiers.push(client.notify(TOPIC, `${i}`))
  const other = await company.join()
  other.notify('elsewhere', 'a way there and back')
  await other.next('confirm_notify')
  assert.deepEqual(client.inbox.taken(), [])
  for (const call of calls) call.confirm()
  for (const identifier of identifiers) assert.deepEqual((await client.next('confirm_notify')).identifier, identifier)
  for (let i = 2; i < 20; i++) {
    const part = await other.next('receive_stream')
    assert.equal(part.body.toString(), `${i}`)
    other.acknowledge(part)
  }
})

test('maxSocketQueue: one that acknowledges nothing is let go, having got what it may', async (t) => {
  const company = await openCompany(t, { maxSocketQueue: 10 })
  const client = await company.join()
  for (let i = 0; i < 3 + 10; i++) await company.othersGoOn(3)
  assert.deepEqual(company.reasons, [])
  await company.server.hub.publish(TOPIC, 'one too many')
  assert.equal(await client.closed, 1000)
  assert.equal(client.inbox.taken().length, 3)
  assert.deepEqual(company.reasons, ['too much waits for it'])
  assert.equal(await company.metric('waystation_slow_consumers_total{transport="lonelyps"}'), 1)
})

test('maxSocketQueue: one that does not read is let go, and the others lose nothing', async (t) => {
  const company = await openCompany(t, { maxSocketQueue: 50, maxUnacknowledged: 0, maxPendingBytes: 65_536 })
  const [client, other] = [await company.connect(), await company.connect()]
  for (const one of [client, other]) {
    one.subscribe('exact', 'much')
    await one.next('confirm_subscribe_exact')
  }
  tcp(client).pause()
  const filling = 'x'.repeat(65_000)
  let n = 0
  for (; company.reasons.length === 0; n++) {
    assert.ok(n < 2_000, 'nothing came of 130 MB')
    await company.server.hub.publish('much', `${n} ${filling}`)
    const part = await other.next('receive_stream')
    assert.equal(part.body.toString('utf8', 0, part.body.indexOf(' ')), `${n}`)
    other.acknowledge(part)
  }
  assert.match(company.reasons[0] as string, /too much waits/)
  tcp(client).resume()
  assert.equal(await client.closed, 1000)
  const got = client.inbox.taken()
  assert.ok(got.length < n)
  got.forEach((part, i) => assert.ok(part.type === 'receive_stream' && part.body.toString().startsWith(`${i} `), 'what was taken has no hole'))
  await company.othersGoOn()
})

test('maxSocketBytes: one that acknowledges nothing keeps an eighth of it, whatever it has in messages', async (t) => {
  const company = await openCompany(t, { maxSocketBytes: 65_536 })
  const client = await company.connect()
  client.subscribe('exact', 'much')
  await client.next('confirm_subscribe_exact')
  // Three go out; two of 256 bytes more than twice their body are less than 8 KiB, and three are not.
  for (let i = 0; i < 3 + 2; i++) await company.server.hub.publish('much', 'x'.repeat(1_300))
  await company.othersGoOn()
  assert.deepEqual(company.reasons, [])
  await company.server.hub.publish('much', 'x'.repeat(1_300))
  await company.endedFor(client, /too much waits/)
})

test('maxSocketSubscriptions: one more ends the socket', async (t) => {
  const company = await openCompany(t, { maxSocketSubscriptions: 3 })
  const client = await company.join()
  client.subscribe('exact', 'a')
  client.subscribe('glob', 'a')
  await client.inbox.take(2)
  client.unsubscribe('exact', 'a')
  await client.next('confirm_unsubscribe_exact')
  client.subscribe('exact', 'b')
  await client.next('confirm_subscribe_exact')
  client.subscribe('exact', 'c')
  await company.endedFor(client, /more than 3 subscriptions/)
})

test('maxSocketSubscriptions: a long topic counts as several, so that their bytes are bounded, too', async (t) => {
  const company = await openCompany(t, { maxSocketSubscriptions: 60 })
  const client = await company.connect()
  client.subscribe('exact', Buffer.alloc(58 * 1_024, 'a'))
  await client.next('confirm_subscribe_exact')
  client.subscribe('exact', 'b')
  await client.next('confirm_subscribe_exact')
  client.subscribe('exact', 'c')
  await company.endedFor(client, /more than 60 subscriptions/)
})

test('maxRegistrations: bounds the subscriptions of all sockets together, too, by those that there are', async (t) => {
  const company = await openCompany(t, { maxRegistrations: 3 })
  const [first, second] = [await company.connect(), await company.connect()]
  for (const [client, kind] of [[first, 'exact'], [second, 'glob']] as const) {
    client.subscribe(kind, 'a')
    await client.next(`confirm_subscribe_${kind}`)
  }
  second.subscribe('exact', 'b')
  await company.endedFor(second, /all the subscriptions/)
  first.subscribe('exact', 'b')
  await first.next('confirm_subscribe_exact')
})

test('maxSocketGlobs: one different glob more ends its socket, whosever the others are; what nobody has is not counted', async (t) => {
  const company = await openCompany(t, { maxSocketGlobs: 2 })
  const [first, second] = [await company.connect(), await company.connect()]
  for (const [client, glob] of [[first, 'a*'], [second, 'b*'], [second, 'a*']] as const) {
    client.subscribe('glob', glob)
    await client.next('confirm_subscribe_glob')
  }
  second.subscribe('glob', 'c*')
  await company.endedFor(second, /all the globs/)
  first.subscribe('glob', 'c*')
  await first.next('confirm_subscribe_glob')
})

test('maxSocketGlobs: those that wait for their confirmation count, too', async (t) => {
  const company = await openCompany(t, { maxSocketGlobs: 2, allowPrivate: true })
  const receiver = await openReceiver(t, { manual: true })
  await createClient(company.port).subscribe('exact', receiver.url(), 'hook')
  const client = await company.connect()
  client.notify('hook', 'hold up all that follows')
  const call = await receiver.inbox.next()
  for (const glob of ['a*', 'b*', 'c*']) client.subscribe('glob', glob)
  await company.endedFor(client, /all the globs/)
  call.confirm()
  // Nothing is left of those that never were.
  const other = await company.connect()
  for (const glob of ['d*', 'e*']) {
    other.subscribe('glob', glob)
    await other.next('confirm_subscribe_glob')
  }
})

test('maxGlobBytes: a longer glob ends the socket, one of that length does not', async (t) => {
  const company = await openCompany(t, { maxGlobBytes: 20 })
  const client = await company.join()
  client.subscribe('glob', `${'x'.repeat(19)}*`)
  await client.next('confirm_subscribe_glob')
  client.subscribe('glob', `${'x'.repeat(20)}*`)
  await company.endedFor(client, /a glob of 21 bytes/)
})

test('configureTimeout: one that never says who it is is let go', async (t) => {
  const company = await openCompany(t, { configureTimeout: 100 })
  const client = await openSocket(t, company.port)
  await company.endedFor(client, /never said who it is/)
})

test('acknowledgeTimeout: one that never acknowledges is let go, and one that has nothing to acknowledge is not', async (t) => {
  const company = await openCompany(t, { configureTimeout: 100, acknowledgeTimeout: 100 })
  const client = await company.join()
  await company.server.hub.publish(TOPIC, 'x')
  assert.equal(await client.closed, 1000)
  assert.ok(company.reasons.length >= 1)
  for (const reason of company.reasons) assert.match(reason, /acknowledges nothing/)
})

test('acknowledgeTimeout: does not run while the hub itself does not listen', async (t) => {
  const company = await openCompany(t, { configureTimeout: 100, acknowledgeTimeout: 100, maxUnanswered: 1, allowPrivate: true })
  const receiver = await openReceiver(t, { manual: true })
  await createClient(company.port).subscribe('exact', receiver.url(), 'hook')
  const client = await company.connect()
  client.subscribe('exact', 'own')
  await client.next('confirm_subscribe_exact')
  client.notify('hook', 'held up')
  const call = await receiver.inbox.next()
  await company.server.hub.publish('own', 'x')
  client.acknowledge(await client.next('receive_stream'))
  // One that came later, and is heard, has had its time twice over.
  for (let i = 0; i < 2; i++) {
    const other = await company.connect()
    other.subscribe('exact', 'others')
    await other.next('confirm_subscribe_exact')
    await company.server.hub.publish('others', 'x')
    assert.equal(await other.closed, 1000)
  }
  assert.equal(company.reasons.length, 2)
  call.confirm()
  await client.next('confirm_notify')
  await nothingMore(client)
})

test('compressionMinSize: what is shorter is not compressed with a dictionary', async (t) => {
  const file = join(temporaryFolder(t), 'words')
  writeFileSync(file, 'the words that messages are made of '.repeat(20))
  const company = await openCompany(t, { compressionMinSize: 100, compressionDictionaries: [`2:3:${file}`] })
  const client = await company.connect({ zstd: true, initialDictionary: 2 })
  assert.deepEqual([await client.next('enable_zstd_preset')].map(({ compressor, minSize }) => [compressor, minSize]), [[2, 100]])
  assert.deepEqual(await compressorsFor(company, client, [99, 100]), [0, 2])
})

test('compressionTrainedMaxSize: from there on messages are compressed without a dictionary, and none shorter', async (t) => {
  const company = await openCompany(t, { compressionTrainedMaxSize: 500 })
  const client = await company.connect({ zstd: true })
  assert.deepEqual(await compressorsFor(company, client, [499, 500]), [0, 1])
})

async function compressorsFor(company: Company, client: SocketClient, sizes: readonly number[]): Promise<(number | undefined)[]> {
  client.subscribe('exact', 'words')
  await client.next('confirm_subscribe_exact')
  const found: (number | undefined)[] = []
  for (const size of sizes) {
    await company.server.hub.publish('words', 'x'.repeat(size))
    const part = await client.next('receive_stream')
    client.acknowledge(part)
    found.push(part.head?.compressor)
  }
  return found
}

test('maxWindowBytes: a frame that looks back further ends its socket', async (t) => {
  const body = Buffer.alloc(3 * MIB, 'x')
  const frame = zstdCompressSync(body, { params: { [constants.ZSTD_c_windowLog]: 22, [constants.ZSTD_c_contentSizeFlag]: 0 } })
  for (const [maxWindowBytes, isGood] of [[4 * MIB, true], [MIB, false]] as const) {
    const company = await openCompany(t, { maxWindowBytes })
    const client = await company.connect({ zstd: true })
    const head = { ...headOf(Buffer.from('x'), frame), compressor: 1, decompressedLength: BigInt(body.length) }
    client.send({ type: 'notify', identifier: Buffer.from('n'), head, body: frame, tracing: NONE, authorization: undefined })
    if (isGood) await client.next('confirm_notify')
    else await company.endedFor(client, /not what was announced/)
  }
})

/** Bytes of messages that a socket has got when its next dictionary comes; `undefined` when none comes within `most`. */
async function bytesBefore(company: Company, client: SocketClient, most: number, enough: () => boolean = () => false): Promise<{ bytes: number; compressor: number } | undefined> {
  for (let [n, bytes] = [0, 0]; bytes < most && !enough(); n++) {
    const body = JSON.stringify({ station: `s${n % 7}`, name: 'outside temperature', unit: 'celsius', value: n / 10, at: 1_767_225_600 + n })
    await company.server.hub.publish('words', body)
    for (;;) {
      const message = await client.inbox.next()
      if (message.type === 'enable_zstd_custom') return { bytes, compressor: message.compressor }
      if (message.type !== 'receive_stream') continue
      client.acknowledge(message)
      break
    }
    bytes += body.length
  }
  return undefined
}

async function inTraining(company: Company): Promise<SocketClient> {
  const client = await company.connect({ zstd: true, training: true })
  client.subscribe('exact', 'words')
  await client.next('confirm_subscribe_exact')
  return client
}

const TRAINING = { trainingLowWatermark: 5_000, trainingHighWatermark: 20_000, retrainInterval: 1_000 }

test('trainingLowWatermark: no dictionary is trained before so much was seen', async (t) => {
  const company = await openCompany(t, TRAINING)
  const first = await bytesBefore(company, await inTraining(company), MIB)
  assert.equal(first?.compressor, 65_536)
  assert.ok(first.bytes >= 5_000 && first.bytes < 20_000, `${first.bytes}`)
})

test('trainingHighWatermark: nor a second one before so much was', async (t) => {
  const company = await openCompany(t, TRAINING)
  const client = await inTraining(company)
  const first = await bytesBefore(company, client, MIB)
  const second = await bytesBefore(company, client, MIB)
  assert.equal(second?.compressor, 65_537)
  assert.ok((first?.bytes ?? 0) + second.bytes >= 20_000, `${first?.bytes} and ${second.bytes}`)
})

test('retrainInterval: nor a third one before that time has passed', async (t) => {
  const company = await openCompany(t, { ...TRAINING, trainingHighWatermark: 10_000 })
  const client = await inTraining(company)
  for (let i = 0; i < 2; i++) await bytesBefore(company, client, MIB)
  const began = performance.now()
  const third = await bytesBefore(company, client, Infinity, () => performance.now() - began > 15_000)
  assert.equal(third?.compressor, 65_538)
  assert.ok(performance.now() - began > 900, 'too early')
})

test('maxTrainingBytes: past it a socket trains none', async (t) => {
  const company = await openCompany(t, { ...TRAINING, maxTrainingBytes: 0 })
  const client = await inTraining(company)
  assert.equal(await bytesBefore(company, client, 40_000), undefined)
})
