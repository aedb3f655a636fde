import assert from 'node:assert/strict'
import { test, type TestContext } from 'node:test'
import type { LimitName } from '../../src/core/limits.ts'
import { openCredentials } from '../../src/zones/credentials.ts'
import { createDial } from '../../src/zones/dial.ts'
import { ZoneDialError } from '../../src/zones/dial-error.ts'
import { Tuple, type Term } from '../../src/protocol/etf/term.ts'
import { createTestHub } from '../../src/testing/test-hub.ts'
import { temporaryFolder } from '../support/certificates.ts'
import { linkCertificates } from '../support/link-certificates.ts'
import { createPlayedGiver, createTestLink, type PlayedConnection } from '../support/link-giver.ts'
import { linked as linkedWith, ready } from '../support/linked.ts'
import { connectTaker, startLinkDaemon } from '../support/links.ts'
import { connect, createServer, type AddressInfo } from 'node:net'

/** A link of one topic to a daemon that a test plays, on a made-up clock. */
async function linked(limits: Partial<Record<LimitName, number>>, played: (connection: PlayedConnection) => void = () => {}) {
  const world = await linkedWith({ topics: ['prices'], limits, played })
  await world.link.pass(0)
  return { ...world, seen: world.everything }
}

function nested(levels: number): Term {
  let term: Term = new Tuple()
  for (let i = 1; i < levels; i++) term = new Tuple(term)
  return term
}

test('maxLinkFrameBytes: a larger frame from a daemon ends the connection before it is read', async () => {
  const { seen, link, last } = await linked({ maxLinkFrameBytes: 65_536 })
  const first = last()
  first.broadcast(Buffer.alloc(60_000, 'x'))
  await link.pass(0)
  assert.equal(seen.texts().length, 1)
  const head = Buffer.from('0744074500000000', 'hex')
  head.writeUInt32BE(65_537, 4)
  first.raw(head)
  await link.pass(0)
  assert.ok(first.isClosed)
  assert.match(link.state(), /^down: .*65537 bytes, 65536 at most/)
})

test('maxTermDepth: a deeper term from a daemon ends the connection and is not published', async () => {
  const { seen, link, last } = await linked({ maxTermDepth: 16 })
  const first = last()
  // The tuple around it is a level, too.
  first.broadcast(nested(15))
  await link.pass(0)
  assert.equal(seen.texts().length, 1)
  first.broadcast(nested(40))
  await link.pass(0)
  assert.ok(first.isClosed)
  assert.equal(seen.texts().length, 1)
})

test('linkAnswerTimeout: a daemon that owes an answer for longer is taken for PonyExpress', async () => {
  const { link } = await linked({ linkAnswerTimeout: 700 })
  await link.pass(650)
  assert.match(link.state(), /^down/)
  await link.pass(100)
  assert.equal(link.state(), 'up ponyexpress')
})

test('linkKeepalive: as often as that a taker shows that it is there', async () => {
  const { link, last } = await linked({ linkKeepalive: 500 }, ready)
  await link.pass(2_600)
  assert.ok(last().keepalives >= 4 && last().keepalives <= 5, String(last().keepalives))
})

test('linkDeadline: a Waystation that is silent for longer is gone', async () => {
  const { link, last } = await linked({ linkKeepalive: 500, linkDeadline: 2_000 }, ready)
  const first = last()
  await link.pass(1_900)
  assert.ok(!first.isClosed)
  await link.pass(200)
  assert.ok(first.isClosed)
})

/** Tries at a daemon that refuses, within ten seconds. */
async function tries(limits: Partial<Record<LimitName, number>>): Promise<number> {
  const giver = createPlayedGiver()
  giver.fail('refused')
  const link = createTestLink({ hub: createTestHub().hub, dial: giver.dial, topics: ['prices'], limits })
  await link.start()
  for (let i = 0; i < 10; i++) await link.pass(1_000)
  return giver.dials
}

test('linkRetry: a link that cannot be made is tried again after that, and after twice as long each time', async () => {
  const count = await tries({ linkRetry: 100, maxLinkRetry: 1_000_000 })
  assert.ok(count >= 5 && count <= 9, `${count} tries`)
})

test('maxLinkRetry: the waits do not grow past it', async () => {
  const count = await tries({ linkRetry: 100, maxLinkRetry: 100 })
  assert.ok(count >= 60 && count <= 210, `${count} tries`)
})

test('linkHandshakeTimeout: a daemon that connects and says nothing does not hold the taker up', async (t) => {
  const port = await silent(t)
  const dial = createDial({ server: '127.0.0.1', port, timeout: 150, security: { kind: 'tls', credentials: { context: { ca: '', cert: '', key: '', minVersion: 'TLSv1.2' }, isRevoked: () => false, onChange: () => () => {}, stop() {} } } })
  await assert.rejects(dial(new AbortController().signal), (error) => error instanceof ZoneDialError && error.kind === 'timeout')
})

async function silent(t: TestContext): Promise<number> {
  const server = createServer((socket) => socket.on('error', () => {}).resume())
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  t.after(() => server.close())
  return (server.address() as AddressInfo).port
}

test('maxLinkHandshakes: strangers who only connect take no more places than that, and leave them in time', async (t) => {
  const credentials = await openCredentials(await linkCertificates(temporaryFolder(t)).server('hub'), { reloaded() {}, alarm() {} })
  t.after(() => credentials.stop())
  const daemon = await startLinkDaemon(t, { limits: { maxLinkHandshakes: 2, linkHandshakeTimeout: 400 }, security: { kind: 'tls', credentials, matchAddress: 'unchecked' } })
  const strangers = Array.from({ length: 5 }, () => connect(daemon.port, '127.0.0.1').on('error', () => {}).resume())
  t.after(() => strangers.forEach((socket) => socket.destroy()))
  await Promise.all(strangers.map((socket) => new Promise((resolve) => socket.once('close', resolve))))
  assert.deepEqual(daemon.refusals.sort(), ['handshake', 'handshake', 'too_many_handshakes', 'too_many_handshakes', 'too_many_handshakes'])
})

test('maxLinkRequestBytes: a larger frame from a taker ends its connection before it is read', async (t) => {
  const daemon = await startLinkDaemon(t, { limits: { maxLinkRequestBytes: 1_024 } })
  const taker = await connectTaker(t, daemon.port)
  taker.subscribe('x'.repeat(2_000))
  await taker.ended
  assert.deepEqual(daemon.refusals, ['too_large'])
})
