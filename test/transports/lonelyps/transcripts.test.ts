import assert from 'node:assert/strict'
import { createServer, type IncomingHttpHeaders } from 'node:http'
import type { AddressInfo } from 'node:net'
import { buffer } from 'node:stream/consumers'
import { test, type TestContext } from 'node:test'
import { buildConnector } from 'undici'
import { draft } from '../../../src/core/message.ts'
import { topicFromText } from '../../../src/core/topic.ts'
import { createChecker, prove, readScheme, type Scheme } from '../../../src/protocol/lonelyps/authorization.ts'
import { claims, type Claim } from '../../../src/protocol/lonelyps/claims.ts'
import { parseMissed, parseReceivePrefix } from '../../../src/protocol/lonelyps/requests.ts'
import { encodeConfirmMissed, encodeConfirmReceive, parseNotifyResponse } from '../../../src/protocol/lonelyps/responses.ts'
import { parseTracing } from '../../../src/protocol/lonelyps/tracing.ts'
import { createManualClock } from '../../../src/testing/manual-clock.ts'
import { OURSELVES } from '../../../src/testing/test-hub.ts'
import { claimsOf, must } from '../../protocol/lonelyps/exchange-claims.ts'
import { type Exchange, hex, vectors } from '../../protocol/lonelyps/vectors.ts'
import { createInbox, until, type Inbox } from '../../support/events.ts'
import { post, type Reply } from '../../support/lonelyps.ts'
import { openWorld, type LonelypsWorld } from '../../support/lonelyps-world.ts'

type Mode = 'none' | 'token' | 'hmac'
const { to_broadcaster_secret, to_subscriber_secret } = vectors.keys
const NONE = Buffer.alloc(0)
/** Where the recorded client was. */
const CLIENT = '3114'
/** Not sent by a broadcaster: whoever recorded the sessions tried what a client makes of them. */
const BY_HAND = /without/

function schemeOf(mode: Mode, secret: string): Scheme {
  const scheme = readScheme(mode, mode === 'none' ? undefined : secret)
  assert.ok(typeof scheme !== 'string')
  return scheme
}

interface Call {
  readonly line: string
  readonly headers: IncomingHttpHeaders
  readonly names: readonly string[]
  readonly body: Buffer
}

/** A client that answers as the recorded one did, at another port; it can be told to be out of order. */
async function openClient(t: TestContext, scheme: Scheme, now: () => number): Promise<{ port: number; calls: Inbox<Call>; broken: { value: boolean } }> {
  const calls = createInbox<Call>('call of the client')
  const broken = { value: false }
  const server = createServer(async (message, response) => {
    const body = await buffer(message)
    const line = `${message.method} ${message.url} HTTP/${message.httpVersion}`
    calls.push({ line, headers: message.headers, names: message.rawHeaders.filter((_, i) => i % 2 === 0), body })
    if (broken.value) return void response.writeHead(500).end()
    const url = `http://${message.headers.host}${message.url}`
    const signed = (claim: Claim): string => prove(scheme, claim, { now: Math.floor(now() / 1_000), nonce: 'AbC-_9' }) ?? ''
    const headers = { 'Content-Type': 'application/octet-stream' }
    if (message.url === '/v1/recover') {
      const { topic } = must(parseMissed(body))
      return void response.writeHead(200, headers).end(encodeConfirmMissed(signed(claims.confirmMissed({ topic, url, tracing: NONE })), NONE))
    }
    const prefix = parseReceivePrefix(body)
    assert.ok(prefix !== 'more')
    const said = { identifier: prefix.identifier, subscribers: 1, tracing: NONE }
    response.writeHead(200, headers).end(encodeConfirmReceive({ ...said, authorization: signed(claims.confirmReceive({ ...said, url })) }))
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  t.after(() => {
    server.close()
    server.closeAllConnections()
  })
  return { port: (server.address() as AddressInfo).port, calls, broken }
}

async function openRecorded(t: TestContext, mode: Mode) {
  const clock = createManualClock()
  const toBroadcasters = schemeOf(mode, to_broadcaster_secret)
  const toSubscribers = schemeOf(mode, to_subscriber_secret)
  const client = await openClient(t, toBroadcasters, clock.now)
  const connect = buildConnector({})
  // The recorded port stands in what is signed; it may be anyone's here.
  const connector: buildConnector.connector = (to, callback) => connect(to.port === CLIENT ? { ...to, port: String(client.port) } : to, callback)
  const world = await openWorld(t, { clock, toBroadcasters, toSubscribers, connector, limits: { missedInterval: 10 } })
  return { world, client, toSubscribers }
}

function setTime({ clock }: LonelypsWorld, unix: number): void {
  clock.adjust(unix * 1_000 - clock.now())
}

function asRecorded(reply: Reply, one: Exchange): void {
  const type = (headers: Readonly<Record<string, unknown>>): unknown => headers['content-type']
  assert.deepEqual([reply.status, type(reply.headers)], [one.status, type(one.response_headers)], one.step)
}

function notifyAsRecorded(reply: Buffer, recorded: Buffer, one: Exchange): void {
  const [ours, theirs] = [must(parseNotifyResponse(reply)), must(parseNotifyResponse(recorded))]
  assert.deepEqual([ours.subscribers, ours.identifier], [theirs.subscribers, theirs.identifier])
  const tracing = must(parseTracing(ours.tracing))
  assert.equal(tracing.entries.at(-1)?.name, must(parseTracing(theirs.tracing)).entries.at(-1)?.name)
  assert.equal(tracing.received / 1_000_000_000n, BigInt(one.recorded_at_unix))
}

function sameCall(call: Call, recorded: Exchange, mode: Mode, toSubscribers: Scheme): void {
  assert.equal(call.line, recorded.request_line)
  const body = hex(recorded.request_body_hex)
  for (const name of ['Host', 'Content-Type', 'Repr-Digest', 'Content-Length']) assert.equal(call.headers[name.toLowerCase()], recorded.request_headers[name], name)
  const named = (names: readonly string[]): string[] => names.map((name) => name.toLowerCase()).filter((name) => name !== 'connection').sort()
  assert.deepEqual(named(call.names), named(Object.keys(recorded.request_headers)))
  if (mode === 'token') assert.equal(call.headers.authorization, recorded.request_headers['Authorization'])
  if (mode === 'hmac') {
    const of = { request_headers: { ...recorded.request_headers }, request_body_hex: call.body.toString('hex') }
    const { request } = claimsOf(must(call.line.split(' ')[1]), { ...recorded, ...of })
    const checker = createChecker(toSubscribers, { now: () => recorded.recorded_at_unix * 1_000, lifetime: 120_000, remember: () => true })
    assert.equal(checker.checkBound(call.headers.authorization, request), 'ok')
  }
  const ours = parseReceivePrefix(call.body)
  const theirs = parseReceivePrefix(body)
  if (call.line.includes('/v1/recover')) return assert.deepEqual(call.body, body)
  assert.ok(ours !== 'more' && theirs !== 'more')
  // Only the identifier is anyone's choice.
  assert.notDeepEqual(ours.identifier, theirs.identifier)
  assert.deepEqual({ ...ours, identifier: 0 }, { ...theirs, identifier: 0 })
  assert.deepEqual(call.body.subarray(ours.size), body.subarray(theirs.size))
}

for (const mode of ['none', 'token', 'hmac'] as const) {
  test(`the session that was recorded with ${mode} goes the same way here, request by request and webhook by webhook`, async (t) => {
    const { world, client, toSubscribers } = await openRecorded(t, mode)
    const recorded = vectors.http_transcripts[mode].filter(({ step }) => !BY_HAND.test(step))
    const checker = createChecker(toSubscribers, { now: world.clock.now, lifetime: 120_000, remember: () => true })
    let played = 0
    for (const one of recorded) {
      const path = must(one.request_line.split(' ')[1])
      if (path === '/v1/recover') continue
      played++
      if (one.direction === 'broadcaster->client') {
        sameCall(await client.calls.next(), one, mode, toSubscribers)
        continue
      }
      setTime(world, one.recorded_at_unix)
      const headers = Object.fromEntries(Object.entries(one.request_headers).filter(([name]) => name !== 'Authorization'))
      const reply = await post(world.port, path, hex(one.request_body_hex), one.request_headers['Authorization'], headers)
      asRecorded(reply, one)
      const body = hex(one.response_body_hex)
      if (body.length > 0 && path === '/v1/notify') notifyAsRecorded(reply.body, body, one)
      else if (mode !== 'hmac' || body.length === 0) assert.deepEqual(reply.body, body, one.step)
      else assert.equal(reply.body.length, body.length, one.step)
      if (body.length === 0) continue
      const { answer } = claimsOf(path, { ...one, response_body_hex: reply.body.toString('hex') })
      const { authorization, claim } = must(answer)
      assert.equal(await checker.check(authorization === '' ? undefined : authorization, claim), 'ok', one.step)
    }
    assert.equal(played, 14)
    assert.deepEqual(client.calls.taken(), [])
    assert.deepEqual(world.failures, [])
  })

  test(`the notice that was recorded with ${mode} is the one that goes out here`, async (t) => {
    const { world, client, toSubscribers } = await openRecorded(t, mode)
    const notice = must(vectors.http_transcripts[mode].find(({ request_line }) => request_line.includes('/v1/recover')))
    setTime(world, notice.recorded_at_unix)
    const url = `http://127.0.0.1:${CLIENT}/v1/receive`
    await world.registry.add(url, { kind: 'exact', target: topicFromText('foo/bar'), recovery: `http://127.0.0.1:${CLIENT}/v1/recover` })
    client.broken.value = true
    const failed = world.hub.publish(draft(topicFromText('foo/bar'), Buffer.from('x')), OURSELVES)
    await failed
    await client.calls.next()
    client.broken.value = false
    // It is sent once its delay has passed; the time of day is ours to put forward.
    setTime(world, notice.recorded_at_unix)
    let call: Call | undefined
    void client.calls.next().then((one) => (call = one))
    await until(() => {
      world.clock.adjust(1_000)
      return call !== undefined
    }, 'the notice')
    setTime(world, notice.recorded_at_unix)
    sameCall(must(call), notice, mode, toSubscribers)
  })
}
