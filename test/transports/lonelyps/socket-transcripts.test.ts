import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { test, type TestContext } from 'node:test'
import { zstdDecompressSync } from 'node:zlib'
import { WebSocket } from 'ws'
import { createChecker, prove, type Scheme } from '../../../src/protocol/lonelyps/authorization.ts'
import { claims } from '../../../src/protocol/lonelyps/claims.ts'
import { connectionNonce, pseudoUrl } from '../../../src/protocol/lonelyps/stateful/connection.ts'
import type { ToBroadcaster, ToSubscriber } from '../../../src/protocol/lonelyps/stateful/messages.ts'
import { encodeToBroadcaster } from '../../../src/protocol/lonelyps/stateful/to-broadcaster.ts'
import { createManualClock } from '../../../src/testing/manual-clock.ts'
import { createClaims } from '../../protocol/lonelyps/stateful-claims.ts'
import { formOf, read, type RecordedFrame, vectors } from '../../protocol/lonelyps/stateful-vectors.ts'
import { hex, vectors as httpVectors } from '../../protocol/lonelyps/vectors.ts'
import { until } from '../../support/events.ts'
import { post } from '../../support/lonelyps.ts'
import { openWorld } from '../../support/lonelyps-world.ts'
import { encodeMissed } from '../../../src/protocol/lonelyps/requests.ts'

/*
 * What the original's client said to the original's broadcaster, said to ours. Its bytes are sent as they were recorded, but
 * for acknowledgements: they name the message by an identifier that the broadcaster chose, and ours chooses another. They are
 * signed anew for that, with the recorded pseudo-url. Q2 changes nothing in them: it is the original's own count of the parts
 * that it sends which runs ahead, and the client's acknowledgements take one value each on both sides.
 */
const { keys } = httpVectors
const NONE = Buffer.alloc(0)
const PUBLIC = 'http://hub.example'
const sessions = Object.entries(vectors.ws_transcripts).flatMap(([name, session]) => (typeof session === 'string' ? [] : [{ name, ...session }]))

/** What the client did not ask for; the order among these is one, and that among answers another. */
const UNASKED = new Set(['receive_stream', 'missed', 'enable_zstd_preset'])

function schemeOf(session: string, side: 'subscriber' | 'broadcaster'): Scheme {
  if (session.startsWith('ws_none')) return { type: 'none' }
  if (session.startsWith('ws_token')) return { type: 'token', secret: keys[`to_${side}_secret`] }
  return { type: 'hmac', key: hex(keys[`to_${side}_key_hex`]) }
}

type Recorded<M> = { readonly frame: RecordedFrame; readonly message: M }
type Session = (typeof sessions)[number]

async function play(t: TestContext, { name, frames }: Session) {
  const recorded = frames.map((frame) => ({ frame, message: read(frame.direction, hex(frame.hex)) }))
  const confirmed = recorded[1]?.message
  assert.ok(confirmed?.type === 'confirm_configure')
  const [toBroadcasters, toSubscribers] = [schemeOf(name, 'broadcaster'), schemeOf(name, 'subscriber')]
  const isParts = name.includes('multipart')
  const clock = createManualClock(1_000 * (frames[0] as RecordedFrame).time_unix)
  const world = await openWorld(t, {
    clock, toBroadcasters, toSubscribers, publicUrl: PUBLIC,
    form: name.endsWith('expanded') ? 'expanded' : 'minimal',
    compression: { allowed: isParts ? 'no' : 'yes' },
    ...(isParts && { limits: { maxPartBytes: 1_024 } }),
    randomBytes: (size) => (size === 32 ? confirmed.nonce : randomBytes(size)),
  })
  const ws = new WebSocket(`ws://127.0.0.1:${world.port}/v1/websocket`, { perMessageDeflate: false })
  t.after(() => ws.terminate())
  const received: { bytes: Buffer; message: ToSubscriber }[] = []
  ws.on('message', (bytes: Buffer) => void received.push({ bytes, message: read('B2S', bytes) as ToSubscriber }))
  await once(ws, 'open')
  let acknowledged = 0
  let awaited = 0
  for (const { frame, message } of recorded) {
    clock.adjust(frame.time_unix * 1_000 - clock.now())
    const before = awaited
    if (frame.direction === 'B2S') {
      // Told by another broadcaster, as a peer's notice: after all that it was recorded after.
      if (message.type === 'missed') {
        await until(() => received.length >= before, 'what came before')
        const claim = claims.missed({ url: `${PUBLIC}/v1/missed_for_websockets`, topic: message.topic, tracing: NONE })
        const proof = prove(toSubscribers, claim, { now: Math.floor(clock.now() / 1_000), nonce: 'n' })
        assert.equal((await post(world.port, '/v1/missed_for_websockets', encodeMissed({ topic: message.topic, tracing: NONE }), proof, { Host: 'hub.example' })).status, 200)
      }
      awaited++
      continue
    }
    await until(() => received.length >= before || ws.readyState !== ws.OPEN, `${before} frames before ${message.type}`)
    assert.deepEqual(world.ended, [])
    if (message.type !== 'continue_receive' && message.type !== 'confirm_receive') {
      ws.send(hex(frame.hex))
      continue
    }
    const part = received.map((one) => one.message).filter((one) => one.type === 'receive_stream')[acknowledged++]
    assert.ok(part !== undefined)
    ws.send(acknowledge(message, part.identifier, toBroadcasters, frame))
  }
  await until(() => received.length >= awaited || ws.readyState !== ws.OPEN, 'the last answers')
  ws.close()
  await once(ws, 'close')
  assert.deepEqual([world.ended, world.failures], [[], []])
  return { recorded: recorded.filter(({ frame }) => frame.direction === 'B2S') as Recorded<ToSubscriber>[], sent: recorded.filter(({ frame }) => frame.direction === 'S2B') as Recorded<ToBroadcaster>[], received, clock, toSubscribers, nonce: confirmed.nonce }
}

function acknowledge(message: Extract<ToBroadcaster, { type: 'continue_receive' | 'confirm_receive' }>, identifier: Buffer, scheme: Scheme, { time_unix, authorized_with_url: url, hex: bytes }: RecordedFrame): Buffer {
  assert.ok(url !== undefined)
  const own = { ...message, identifier }
  const claim = own.type === 'continue_receive' ? claims.continueReceive({ ...own, url }) : claims.confirmReceive({ ...own, url })
  return encodeToBroadcaster({ ...own, authorization: prove(scheme, claim, { now: Math.floor(time_unix), nonce: 'n' }) }, formOf(hex(bytes)))
}

/** What is the same whoever answers. */
function essence(message: ToSubscriber): unknown {
  const { authorization: _, tracing: __, ...rest } = message
  if (rest.type !== 'receive_stream') return rest
  // The identifier is the broadcaster's own, so the first bytes of a part may be some more or fewer.
  const { topic, compressor, decompressedLength } = rest.head ?? {}
  return { type: rest.type, part: rest.part, topic, compressor, decompressedLength }
}

for (const session of sessions) {
  test(`${session.name}: everything that the recorded client said is accepted, and answered as it was`, async (t) => {
    const { recorded, received } = await play(t, session)
    const [theirs, ours] = [recorded, received].map((all) => all.map(({ message }) => message)) as [ToSubscriber[], ToSubscriber[]]
    for (const isUnasked of [false, true]) {
      const of = (all: ToSubscriber[]): unknown[] => all.filter(({ type }) => UNASKED.has(type) === isUnasked).map(essence)
      assert.deepEqual(of(ours), of(theirs), isUnasked ? 'unasked' : 'answers')
    }
    assert.deepEqual(bodiesOf(ours), bodiesOf(theirs))
    assert.equal(ours[0]?.type, 'confirm_configure')
    const types = ours.map(({ type }) => type)
    assert.ok(types.indexOf('receive_stream') > types.findIndex((type) => type.startsWith('confirm_subscribe')), 'nothing comes before the confirmation')
    // Rule 2 of section 4.14.
    const [first, last] = [types.indexOf('receive_stream'), types.lastIndexOf('receive_stream')]
    if (session.name.includes('multipart')) assert.ok(!types.slice(first, last).some((type) => type === 'missed' || type.startsWith('enable')))
    for (const { bytes } of received) {
      assert.equal(formOf(bytes), session.name.endsWith('expanded') ? 'expanded' : 'minimal')
      if (session.name.includes('multipart')) assert.ok(bytes.length <= 1_024, `${bytes.length} bytes`)
    }
  })

  test(`${session.name}: every answer proves itself, one count for each message`, async (t) => {
    const { received, sent, clock, toSubscribers, nonce } = await play(t, session)
    const checker = createChecker(toSubscribers, { now: clock.now, lifetime: 120_000, remember: () => true })
    const configured = sent[0]?.message
    assert.ok(configured?.type === 'configure')
    const connection = connectionNonce(configured.nonce, nonce)
    const claimOf = createClaims()
    for (const { frame, message } of sent) claimOf(message, frame.authorized_with_url)
    let counter = 0
    for (const { message } of received) {
      if (UNASKED.has(message.type) && (message.type !== 'receive_stream' || message.part === 0)) counter++
      const claim = claimOf(message, pseudoUrl(connection, counter))
      assert.equal(checker.checkBound(message.authorization, claim), 'ok', message.type)
      if (toSubscribers.type === 'hmac') assert.notEqual(checker.checkBound(message.authorization, claims.missed({ url: 'x', topic: NONE, tracing: NONE })), 'ok')
      else assert.equal(message.authorization === undefined, toSubscribers.type === 'none')
    }
    assert.equal(counter, session.name.includes('multipart') ? 1 : 4)
  })
}

function bodiesOf(messages: readonly ToSubscriber[]): string[] {
  const all: { compressor: number; pieces: Buffer[] }[] = []
  for (const message of messages) {
    if (message.type !== 'receive_stream') continue
    if (message.head !== undefined) all.push({ compressor: message.head.compressor, pieces: [] })
    all.at(-1)?.pieces.push(message.body)
  }
  return all.map(({ compressor, pieces }) => (compressor === 0 ? Buffer.concat(pieces) : zstdDecompressSync(Buffer.concat(pieces))).toString('hex'))
}
