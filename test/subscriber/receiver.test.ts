import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { test, type TestContext } from 'node:test'
import type { Subscriber, SubscriberOptions } from '../../src/subscriber/index.ts'
import { claims } from '../../src/protocol/lonelyps/claims.ts'
import { encodeMissed, encodeReceivePrefix, reprDigest } from '../../src/protocol/lonelyps/requests.ts'
import { parseConfirmMissed, parseConfirmReceive } from '../../src/protocol/lonelyps/responses.ts'
import { post, schemes, sign, type Reply } from '../support/lonelyps.ts'
import { nextOf, openSubscriber } from '../support/subscriber.ts'
import { startServer } from '../support/server.ts'
import { temporaryFolder } from '../support/certificates.ts'

const NONE = Buffer.alloc(0)
const UNSUBSCRIBE = '000a'
const sha512 = (bytes: Buffer): Buffer => createHash('sha512').update(bytes).digest()

async function open(t: TestContext, options: Partial<SubscriberOptions> = {}): Promise<{ one: Subscriber; port: number; hub: number }> {
  const hub = await startServer(t, { ...schemes('hmac', 'hmac'), dataDir: temporaryFolder(t), allowPrivate: true })
  const one = await openSubscriber(t, hub.port, { pair: ['hmac', 'hmac'], ...options })
  return { one, port: one.port as number, hub: hub.port }
}

interface Call {
  body: Buffer
  headers: Record<string, string>
  authorization: string | undefined
}

/** A webhook as a broadcaster would send it, signed over what it says. */
function receive(one: Subscriber, topic: string, message: string, changed: { length?: number; digest?: Buffer } = {}): Call {
  const body = Buffer.from(message)
  const about = { topic: Buffer.from(topic), identifier: Buffer.from('12345678'), tracing: NONE }
  const digest = changed.digest ?? sha512(body)
  const claim = claims.receive({ ...about, url: `${one.receiveUrl}/v1/receive`, sha512: digest })
  return {
    body: Buffer.concat([encodeReceivePrefix({ ...about, length: BigInt(changed.length ?? body.length) }), body]),
    headers: { 'Repr-Digest': reprDigest(digest) },
    authorization: sign('hmac', claim, Date.now(), 'subscribers'),
  }
}

const send = (port: number, { body, headers, authorization }: Call, path = '/v1/receive'): Promise<Reply> => post(port, path, body, authorization, headers)
const short = ({ status, body }: Reply): [number, string] => [status, body.toString('hex')]

test('each row of the table: accepted, then every flaw with its status and body', async (t) => {
  const { one, port } = await open(t)
  const feed = one.subscribe('t')
  await feed.ready
  const good = receive(one, 't', 'hello')
  const sent = send(port, good)
  assert.equal(await (await nextOf(feed)).text(), 'hello')
  const pending = feed.next()
  const answer = await sent
  const confirmed = parseConfirmReceive(answer.body)
  assert.deepEqual([answer.status, confirmed?.subscribers, confirmed?.identifier.toString()], [200, 1, '12345678'])

  assert.deepEqual(short(await send(port, good)), [403, UNSUBSCRIBE], 'a signature that was used')
  for (const digest of [undefined, 'sha-256=AAAA', 'sha-512=%%%', ' sha-512=AAAA']) {
    const headers = digest === undefined ? {} : { 'Repr-Digest': digest }
    assert.deepEqual(short(await send(port, { ...receive(one, 't', 'x'), headers: headers as Record<string, string> })), [400, UNSUBSCRIBE], `digest ${digest}`)
  }
  assert.deepEqual(short(await send(port, { ...receive(one, 't', 'x'), body: Buffer.from([0, 0, 0]) })), [400, ''], 'a truncated prefix')
  assert.deepEqual(short(await send(port, { ...receive(one, 't', 'x'), authorization: undefined })), [403, UNSUBSCRIBE], 'no authorization')
  assert.deepEqual(short(await send(port, { ...receive(one, 't', 'x'), authorization: good.authorization })), [403, UNSUBSCRIBE], 'another one')
  assert.deepEqual(short(await send(port, receive(one, 't', 'x'), '/v1/receive/1')), [403, UNSUBSCRIBE], 'signed for another url')
  assert.deepEqual(short(await send(port, receive(one, 't', 'xy', { length: 3 }))), [400, UNSUBSCRIBE], 'too short')
  assert.deepEqual(short(await send(port, receive(one, 't', 'xy', { length: 1 }))), [400, UNSUBSCRIBE], 'too long')
  assert.deepEqual(short(await send(port, receive(one, 't', 'xy', { digest: sha512(Buffer.from('z')) }))), [403, UNSUBSCRIBE], 'another digest')
  assert.equal((await post(port, '/v1/other', NONE)).status, 404)
  const none = parseConfirmReceive((await send(port, receive(one, 'unwanted', 'x'))).body)
  assert.equal(none?.subscribers, 0)
  await feed.close()
  assert.equal((await pending).done, true, 'none of these reached the feed')
  assert.deepEqual(one.gauges(), { waiting: 0, bytes: 0, spoolBytes: 0 })
})

test('a full replay store, a full waiting room and a large message without room are answered 503, and nothing comes of it', async (t) => {
  const { one, port } = await open(t, { bounds: { signatures: 3, waiting: 1, spoolBytes: 10 }, spoolAbove: 4 })
  const feed = one.subscribe('t')
  await feed.ready
  assert.deepEqual(short(await send(port, receive(one, 't', 'x'.repeat(11)))), [503, ''], 'the spool')
  const waiting = send(port, receive(one, 't', '1'))
  assert.equal(await (await nextOf(feed)).text(), '1')
  assert.deepEqual(short(await send(port, receive(one, 't', '2'))), [503, ''], 'the waiting room')
  const pending = feed.next()
  assert.equal((await waiting).status, 200)
  const last = send(port, receive(one, 't', '3'))
  assert.equal(await ((await pending).value as { text(): Promise<string> }).text(), '3')
  const after = feed.next()
  assert.equal((await last).status, 200)
  assert.deepEqual(short(await send(port, receive(one, 't', '4'))), [503, ''], 'the replay store')
  await feed.close()
  assert.equal((await after).done, true)
})

test('a notice that something was missed is verified before it is believed', async (t) => {
  const { one, port } = await open(t)
  const told: string[] = []
  const feed = one.subscribe('m/*', { onMissed: (topic) => told.push(topic) })
  await feed.ready
  const topic = Buffer.from('m/1')
  const claim = claims.missed({ url: `${one.receiveUrl}/v1/recover`, topic, tracing: NONE })
  const body = encodeMissed({ topic, tracing: NONE })
  assert.deepEqual(short(await post(port, '/v1/recover', body)), [403, ''])
  assert.deepEqual(short(await post(port, '/v1/recover', body, sign('hmac', claim))), [403, ''], 'the other key')
  assert.deepEqual(told, [])
  const good = sign('hmac', claim, Date.now(), 'subscribers')
  const answer = await post(port, '/v1/recover', body, good)
  assert.equal(answer.status, 200)
  assert.ok(parseConfirmMissed(answer.body)?.authorization.startsWith('X-HMAC '))
  assert.deepEqual(short(await post(port, '/v1/recover', body, good)), [403, ''], 'a replay')
  assert.deepEqual(told, ['m/1'])
})
