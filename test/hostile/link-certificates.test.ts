import assert from 'node:assert/strict'
import { writeFileSync } from 'node:fs'
import { createServer as createTcpServer, type AddressInfo } from 'node:net'
import { test, type TestContext } from 'node:test'
import { connect, createServer, type ConnectionOptions, type TLSSocket, type TlsOptions } from 'node:tls'
import { topicFromText } from '../../src/core/topic.ts'
import { createAdmission } from '../../src/http/admission.ts'
import { openCredentials, type WatchedCredentials } from '../../src/zones/credentials.ts'
import { createLinkDaemon } from '../../src/links/daemon.ts'
import { createDial } from '../../src/zones/dial.ts'
import { ZoneDialError } from '../../src/zones/dial-error.ts'
import type { TlsFiles } from '../../src/zones/ports.ts'
import { subscribeFrame } from '../../src/protocol/pony-express/from-taker.ts'
import { createTestHub, type TestHub } from '../../src/testing/test-hub.ts'
import { make, makeList, testAuthority } from '../support/authority.ts'
import { badFamily, goodFamily, makeFamily, revokedFamily, type Shown } from '../support/certificate-cases.ts'
import { createInbox, until } from '../support/events.ts'
import { transportKit } from '../support/transport-port.ts'

/*
 * Who is let in with which certificate. Those who come are raw: they show what no end of ours would. "In" is a taker who
 * has had a message, and a daemon to whom a connection was made; everyone else must be out.
 */

/** TLS without any bound, so that it is the other end that refuses. */
const LAX = { ciphers: 'DEFAULT:@SECLEVEL=0', minVersion: 'TLSv1', rejectUnauthorized: false } as const
const VERSIONS = ['TLSv1.2', 'TLSv1.3'] as const

async function opened(t: TestContext, files: TlsFiles): Promise<{ credentials: WatchedCredentials; told: string[] }> {
  const told: string[] = []
  const credentials = await openCredentials(files, { reloaded: () => told.push('reloaded'), alarm: ({ message }) => told.push(message) })
  t.after(() => credentials.stop())
  return { credentials, told }
}

interface Giver {
  readonly port: number
  readonly world: TestHub
  /** Why somebody was sent away. */
  readonly refused: string[]
}

async function startGiver(t: TestContext, credentials: WatchedCredentials, matchAddress: 'checked' | 'unchecked' = 'unchecked'): Promise<Giver> {
  const world = createTestHub()
  const refused: string[] = []
  const daemon = createLinkDaemon({
    kit: transportKit({ drainTime: 100 }), hubId: () => world.hub.cursor.epoch, listen: { port: 0, host: '127.0.0.1' }, security: { kind: 'tls', credentials, matchAddress },
    grants: undefined, atoms: new Set(), admission: createAdmission({ total: 1_000, perAddress: 1_000 }), events: { refused: (why) => refused.push(why) },
  })
  await daemon.start(world.hub)
  t.after(() => daemon.stop(AbortSignal.abort()))
  return { port: daemon.port, world, refused }
}

let count = 0

interface Taker {
  readonly socket: TLSSocket
  readonly topic: string
  readonly isOut: () => boolean
  /** How many bytes have come. */
  readonly received: () => number
}

/** Comes as a taker of a topic of his own, whatever he shows. */
function come(t: TestContext, { port }: Giver, options: ConnectionOptions): Taker {
  const topic = `topic${++count}`
  const socket = connect({ host: '127.0.0.1', port, ...LAX, ...options })
  t.after(() => socket.destroy())
  let [received, isOut] = [0, false]
  socket.on('data', (chunk: Buffer) => (received += chunk.length))
  socket.on('error', () => {})
  socket.on('close', () => (isOut = true))
  socket.write(subscribeFrame(Buffer.from(topic)))
  return { socket, topic, isOut: () => isOut, received: () => received }
}

/** Whether a message comes through to him. */
async function isIn(t: TestContext, giver: Giver, options: ConnectionOptions): Promise<boolean> {
  const taker = come(t, giver, options)
  await until(() => taker.isOut() || giver.world.hub.audience(topicFromText(taker.topic)) > 0, `${taker.topic} is subscribed to, or refused`)
  // Also where he seems to be out: what he must not get is there to be got.
  await giver.world.publish(taker.topic, 'secret')
  await until(() => taker.isOut() || taker.received() > 0, `${taker.topic} comes, or not`)
  taker.socket.destroy()
  return taker.received() > 0
}

/** Whether our own end connects to a daemon that is like this. */
async function isDialled(t: TestContext, credentials: WatchedCredentials, options: TlsOptions, { server = '127.0.0.1', servername }: { server?: string; servername?: string } = {}): Promise<boolean> {
  const daemon = createServer({ ...LAX, ...options })
  daemon.on('tlsClientError', () => {})
  daemon.on('secureConnection', (socket) => socket.on('error', () => {}))
  await new Promise<void>((resolve) => daemon.listen(0, '127.0.0.1', resolve))
  t.after(() => daemon.close())
  const dial = createDial({ server, port: (daemon.address() as AddressInfo).port, timeout: 5_000, security: { kind: 'tls', credentials, ...(servername !== undefined && { servername }) } })
  try {
    const { stream } = await dial(t.signal)
    stream.destroy()
    return true
  } catch (error) {
    assert.ok(error instanceof ZoneDialError && error.kind === 'tls', String(error))
    assert.doesNotMatch(error.detail, /system-ca|SSL routines/, 'it is words for an operator, and no advice to trust others')
    return false
  }
}

/** The names of those who are in, of all, each with both versions of TLS. */
async function whoIsIn(cases: readonly [string, Shown][], isLetIn: (shown: Shown, version: (typeof VERSIONS)[number]) => Promise<boolean>): Promise<string[]> {
  const asked = cases.flatMap(([what, shown]) => VERSIONS.map(async (version): Promise<string[]> => (await isLetIn(shown, version) ? [`${what} (${version})`] : [])))
  return (await Promise.all(asked)).flat()
}

const everyone = (cases: readonly [string, Shown][]): string[] => cases.flatMap(([what]) => VERSIONS.map((version) => `${what} (${version})`))

/** An end that judges certificates of a family: `lists` with its lists of the revoked, `bare` without, where each fault stands alone. */
async function setUp(t: TestContext, side: 'server' | 'client') {
  const family = await makeFamily(side)
  const { write } = await testAuthority(t)
  const own = await family.leaf(side === 'client' ? { ips: ['127.0.0.1'], uses: [] } : { ips: [], uses: [] })
  const { credentials } = await opened(t, write({ ...own, ca: family.trusted, crl: family.lists }))
  const { credentials: bare } = await opened(t, write({ ...own, ca: family.root.cert }))
  return { family, credentials, bare }
}

test('of takers with a bad certificate none is let in, and of those with a good one none is refused', async (t) => {
  const { family, credentials, bare } = await setUp(t, 'client')
  const [giver, bareGiver] = [await startGiver(t, credentials), await startGiver(t, bare)]
  const [bad, revoked, good] = await Promise.all([badFamily('client', family), revokedFamily(family), goodFamily(family)])
  good.push(['without any name', await family.leaf({ cn: '' })])
  assert.ok(bad.length + revoked.length >= 36 && good.length >= 18)
  const at = (which: Giver) => (shown: Shown, version: (typeof VERSIONS)[number]): Promise<boolean> => isIn(t, which, { cert: shown.cert, key: shown.key, minVersion: version, maxVersion: version })
  assert.deepEqual([await whoIsIn(bad, at(bareGiver)), await whoIsIn(revoked, at(giver))], [[], []])
  assert.equal(bareGiver.refused.length + giver.refused.length, (bad.length + revoked.length) * VERSIONS.length)
  assert.deepEqual(await whoIsIn([['nothing', { cert: '', key: '' }]], (_, version) => isIn(t, giver, { minVersion: version, maxVersion: version })), [], 'without a certificate')
  const { cert, key } = await family.leaf()
  for (const version of ['TLSv1', 'TLSv1.1'] as const) assert.equal(await isIn(t, giver, { cert, key, minVersion: version, maxVersion: version }), false, version)
  assert.deepEqual(await whoIsIn(good, at(giver)), everyone(good))
})

test('where the address is checked, a taker whose certificate is not for the one he comes from is not let in', async (t) => {
  const { family, credentials } = await setUp(t, 'client')
  const giver = await startGiver(t, credentials, 'checked')
  const isLetIn = ({ cert, key }: Shown): Promise<boolean> => isIn(t, giver, { cert, key })
  const bad = [{}, { ips: ['10.0.0.7'] }, { ips: ['::1'] }, { dns: ['127.0.0.1'] }, { cn: '127.0.0.1' }]
  for (const wish of bad) assert.equal(await isLetIn(await family.leaf(wish)), false, JSON.stringify(wish))
  assert.deepEqual(giver.refused, bad.map(() => 'address'))
  assert.equal(await isLetIn(await family.leaf({ ips: ['10.0.0.7', '127.0.0.1'] })), true)
})

test('to daemons with a bad certificate no link is made, and to those with a good one each is', async (t) => {
  const { family, credentials, bare } = await setUp(t, 'server')
  const [bad, revoked, good] = await Promise.all([badFamily('server', family), revokedFamily(family), goodFamily(family)])
  const named: [string, Parameters<typeof family.leaf>[0]][] = [
    ['for another address', { ips: ['127.0.0.2'] }],
    ['for the same address inside IPv6', { ips: ['::ffff:127.0.0.1'] }],
    ['for a DNS name only', { ips: [], dns: ['localhost'] }],
    ['with the address as a DNS name', { ips: [], dns: ['127.0.0.1'] }],
    ['with the address as its common name', { ips: [], cn: '127.0.0.1' }],
    ['for nobody', { ips: [] }],
    ['for every DNS name', { ips: [], dns: ['*'] }],
  ]
  for (const [what, wish] of named) bad.push([what, await family.leaf(wish)])
  assert.ok(bad.length + revoked.length >= 43)
  const by = (which: WatchedCredentials) => ({ cert, key }: Shown, version: (typeof VERSIONS)[number]): Promise<boolean> => isDialled(t, which, { cert, key, minVersion: version, maxVersion: version })
  assert.deepEqual([await whoIsIn(bad, by(bare)), await whoIsIn(revoked, by(credentials))], [[], []])
  assert.deepEqual(await whoIsIn(good, by(credentials)), everyone(good))
  const { cert, key } = await family.leaf()
  for (const version of ['TLSv1', 'TLSv1.1'] as const) assert.equal(await isDialled(t, credentials, { cert, key, minVersion: version, maxVersion: version }), false, version)
  assert.equal(await isDialled(t, credentials, { ciphers: 'ADH:@SECLEVEL=0', maxVersion: 'TLSv1.2' }), false, 'no certificate at all')
  assert.equal(await isDialled(t, credentials, { cert, key, requestCert: true, ca: family.trusted, rejectUnauthorized: true }), true)
})

test('a daemon that is known by a name must have that name', async (t) => {
  const { family, credentials } = await setUp(t, 'server')
  const isLetIn = async (wish: Parameters<typeof family.leaf>[0], to: { server?: string; servername?: string }): Promise<boolean> => {
    const { cert, key } = await family.leaf(wish)
    return isDialled(t, credentials, { cert, key }, to)
  }
  const [name, deep] = [{ servername: 'hub.b.test' }, { servername: 'a.hub.b.test' }]
  for (const [wish, to] of [
    [{ dns: ['other.b.test'] }, name], [{ dns: ['*.test'] }, name], [{ dns: ['h*.b.test'] }, name], [{ dns: ['*.b.test'] }, deep], [{ cn: 'hub.b.test' }, name], [{ ips: ['127.0.0.1'] }, name],
    [{ dns: ['hub.b.test\0.evil.test'] }, name], [{ ips: ['127.0.0.1'] }, { server: 'localhost' }],
  ] as const) assert.equal(await isLetIn(wish, to), false, `${JSON.stringify(wish)} as ${JSON.stringify(to)}`)
  for (const [wish, to] of [
    [{ ips: [], dns: ['hub.b.test'] }, name], [{ ips: [], dns: ['*.b.test'] }, name], [{ dns: ['HUB.B.test'] }, name], [{ ips: [], dns: ['localhost'] }, { server: 'localhost' }], [{ ips: [], dns: ['127.0.0.1'] }, { servername: '127.0.0.1' }],
  ] as const) assert.equal(await isLetIn(wish, to), true, `${JSON.stringify(wish)} as ${JSON.stringify(to)}`)
})

test('to a daemon that answers without TLS, or not at all, no link is made', async (t) => {
  const { credentials } = await setUp(t, 'server')
  const answers: ((socket: import('node:net').Socket) => void)[] = [(socket) => socket.write('HTTP/1.1 200 OK\r\n\r\n'), (socket) => socket.pipe(socket), (socket) => socket.destroy(), (socket) => socket.end(Buffer.from('15030300020 20a'.replaceAll(' ', ''), 'hex'))]
  for (const answer of answers) {
    const server = createTcpServer((socket) => {
      socket.on('error', () => {})
      answer(socket)
    })
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    t.after(() => server.close())
    const dial = createDial({ server: '127.0.0.1', port: (server.address() as AddressInfo).port, timeout: 5_000, security: { kind: 'tls', credentials } })
    await assert.rejects(dial(t.signal), (error) => error instanceof ZoneDialError)
  }
})

test('who is revoked while he is here goes within five seconds, by a look of the hub itself; those beside him stay, and no session of before lets him in again', async (t) => {
  const { server, client, list, write } = await testAuthority(t)
  const [edge, ...gone] = await Promise.all([client(), client(), client()])
  const files = write({ ...await server(), crl: await list() })
  const { credentials, told } = await opened(t, files)
  const giver = await startGiver(t, credentials)
  const sessions: Buffer[] = []
  const enter = async ({ cert, key }: Shown, version: (typeof VERSIONS)[number]): Promise<Taker> => {
    const taker = come(t, giver, { cert, key, minVersion: version, maxVersion: version })
    taker.socket.on('session', (session) => sessions.push(session))
    await until(() => giver.world.hub.audience(topicFromText(taker.topic)) > 0, 'is here')
    await giver.world.publish(taker.topic, 'hello')
    await until(() => taker.received() > 0, 'has had a message')
    // What TLS 1.2 has as a session comes with no event.
    const session = taker.socket.getSession()
    if (session !== undefined) sessions.push(session)
    return taker
  }
  const stays = await enter(edge, 'TLSv1.3')
  const leave = [await enter(gone[0] as Shown, 'TLSv1.2'), await enter(gone[1] as Shown, 'TLSv1.3')]
  const since = performance.now()
  writeFileSync(files.crlfile as string, await list(gone))
  await until(() => leave.every((one) => one.isOut()), 'the revoked are gone', 5_000)
  assert.ok(performance.now() - since < 5_000)
  assert.deepEqual([told, giver.refused], [['reloaded'], ['revoked', 'revoked']])
  const had = stays.received()
  await giver.world.publish(stays.topic, 'more')
  await until(() => stays.received() > had, 'whoever is not revoked stays')
  assert.ok(sessions.length >= 2)
  for (const session of sessions) {
    for (const [i, version] of VERSIONS.entries()) {
      const { cert, key } = gone[i] as Shown
      assert.equal(await isIn(t, giver, { cert, key, session, minVersion: version, maxVersion: version }), false)
      assert.equal(await isIn(t, giver, { session, minVersion: version, maxVersion: version }), false, 'nor without the certificate')
    }
  }
  assert.equal(await isIn(t, giver, { cert: edge.cert, key: edge.key, session: stays.socket.getSession() as Buffer }), true)
})

test('a daemon that is revoked while a link to it is up loses the link', async (t) => {
  const { ca, server, client, list, write } = await testAuthority(t)
  const hub = await server()
  const giver = await startGiver(t, (await opened(t, write(hub))).credentials)
  const files = write({ ...await client(), crl: await list() })
  const { credentials } = await opened(t, files)
  const dial = createDial({ server: '127.0.0.1', port: giver.port, timeout: 5_000, security: { kind: 'tls', credentials } })
  const { stream } = await dial(t.signal)
  const ended = createInbox<void>('end of the link')
  stream.on('error', () => {})
  stream.once('close', () => ended.push())
  writeFileSync(files.crlfile as string, await makeList(ca, { revoked: [hub] }))
  await credentials.reload()
  await ended.next(5_000)
  await assert.rejects(dial(t.signal), (error) => error instanceof ZoneDialError && error.kind === 'tls')
})

test('new files are used for newcomers and old links stay; broken ones change nothing, and are told', async (t) => {
  const { server, client, write } = await testAuthority(t)
  const [one, two, edge] = await Promise.all([server(), server({ cn: 'hub, later' }), client()])
  const files = write(one)
  const { credentials, told } = await opened(t, files)
  const giver = await startGiver(t, credentials)
  const shown = async (): Promise<string | undefined> => {
    const taker = come(t, giver, { cert: edge.cert, key: edge.key })
    await until(() => taker.isOut() || giver.world.hub.audience(topicFromText(taker.topic)) > 0, 'is here')
    return taker.socket.getPeerX509Certificate()?.fingerprint256
  }
  const old = come(t, giver, { cert: edge.cert, key: edge.key })
  await until(() => giver.world.hub.audience(topicFromText(old.topic)) > 0, 'is here')
  const had = async (): Promise<void> => {
    const before = old.received()
    await giver.world.publish(old.topic, 'more')
    await until(() => old.received() > before, 'the old link goes on')
  }
  writeFileSync(files.certfile, two.cert)
  await credentials.reload()
  assert.match(told.splice(0).join(), /^[^,]*\.key is not the key of [^,]*\.pem$/)
  assert.equal(await shown(), one.certificate.fingerprint256)
  writeFileSync(files.keyfile, two.key)
  await credentials.reload()
  assert.deepEqual(told.splice(0), ['reloaded'])
  assert.equal(await shown(), two.certificate.fingerprint256)
  await had()
  const other = await make({ by: 'self', cn: 'another CA', ca: 'any' })
  writeFileSync(files.cacertfile, other.cert)
  await credentials.reload()
  assert.match(told.splice(0).join(), /is not issued by a CA of/)
  assert.equal(await shown(), two.certificate.fingerprint256)
  await had()
})

test('a list that is out of date lets nobody in, and says so', async (t) => {
  const { server, client, list, write } = await testAuthority(t)
  const { credentials, told } = await opened(t, write({ ...await server(), crl: await list([], { until: -1_000 }) }))
  const giver = await startGiver(t, credentials)
  const { cert, key } = await client()
  assert.equal(await isIn(t, giver, { cert, key }), false)
  assert.match(told.join(), /is out of date: .* nobody is let in before there is a newer one/)
})
