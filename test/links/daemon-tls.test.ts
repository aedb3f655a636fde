import assert from 'node:assert/strict'
import { X509Certificate } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { connect as connectTcp } from 'node:net'
import { join } from 'node:path'
import { after, before, test, type TestContext } from 'node:test'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { connect as connectTls, type ConnectionOptions, type TLSSocket } from 'node:tls'
import { openAuthority, type Authority } from '../../src/zones/authority/authority.ts'
import { openCredentials } from '../../src/zones/credentials.ts'
import type { Credentials, TlsFiles } from '../../src/zones/ports.ts'
import { until } from '../support/events.ts'
import { connectTaker, startLinkDaemon, type LinkDaemonOptions } from '../support/links.ts'
import { raw } from '../support/raw.ts'

let folder: string
let ca: Authority
const files = (name: string): TlsFiles => ({ cacertfile: join(folder, 'ca.pem'), certfile: join(folder, `${name}.pem`), keyfile: join(folder, `${name}.key`) })

before(async () => {
  folder = mkdtempSync(join(tmpdir(), 'waystation-'))
  ca = openAuthority(folder, Date.now)
  const days = 1
  await ca.issue({ kind: 'server', name: 'hub', ips: ['127.0.0.1'], dns: ['localhost'], days }, 'kept')
  await ca.issue({ kind: 'server', name: 'hub-2', ips: ['127.0.0.1'], dns: ['localhost'], days }, 'kept')
  await ca.issue({ kind: 'client', name: 'edge', ips: ['192.0.2.7'], dns: ['edge.example'], days }, 'kept')
  await ca.issue({ kind: 'client', name: 'here', ips: ['127.0.0.1'], dns: [], days }, 'kept')
})
after(() => rmSync(folder, { recursive: true, force: true }))

/** A daemon with the certificate `hub`. The list of the revoked, and what is told of a change, are the test's. */
async function start(t: TestContext, options: Omit<LinkDaemonOptions, 'security'> & { matchAddress?: 'checked' | 'unchecked' } = {}) {
  const opened = await openCredentials(files('hub'), { reloaded() {}, alarm() {} })
  t.after(() => opened.stop())
  let context = opened.context
  const listeners = new Set<() => void>()
  const revoked = new Set<string>()
  const credentials: Credentials = {
    get context() { return context },
    isRevoked: ({ serialNumber }) => revoked.has(serialNumber),
    onChange(listener) {
      listeners.add(listener)
      return () => void listeners.delete(listener)
    },
    stop() {},
  }
  const daemon = await startLinkDaemon(t, { ...options, security: { kind: 'tls', credentials, matchAddress: options.matchAddress ?? 'unchecked' } })
  return Object.assign(daemon, {
    listeners,
    revoke(name: string) {
      revoked.add(new X509Certificate(readFileSync(files(name).certfile)).serialNumber)
    },
    use(name: string) {
      context = { ...context, cert: readFileSync(files(name).certfile, 'utf8'), key: readFileSync(files(name).keyfile, 'utf8') }
    },
    changed() {
      for (const listener of listeners) listener()
    },
  })
}

test('over TLS both ends show a certificate, by 1.3 and by 1.2, and the same is said as over TCP', async (t) => {
  const daemon = await start(t)
  for (const version of ['TLSv1.3', 'TLSv1.2'] as const) {
    const taker = await connectTaker(t, daemon.port, files('edge'), { minVersion: version, maxVersion: version })
    assert.equal((taker.socket as TLSSocket).getProtocol(), version)
    taker.subscribe('a')
    await daemon.subscribed(1)
    await daemon.publish('a', version)
    assert.equal(await taker.body(), version)
    taker.socket.end()
    assert.equal(await taker.ended, 'orderly')
    await daemon.subscribed(0)
  }
  assert.deepEqual(daemon.refusals, [])
})

test('a Waystation over TLS is greeted, and large frames pass whole', async (t) => {
  const daemon = await start(t)
  const taker = await connectTaker(t, daemon.port, files('edge'))
  assert.equal((await taker.wish({ topics: ['a'] })).kind, 'ready')
  const body = Buffer.alloc(1_000_000, 'x')
  daemon.put({ topic: 'a', body })
  assert.equal((await taker.body()).length, body.length)
})

/** Tries to get in; settles when the other end has closed. */
function attempt(t: TestContext, port: number, options: ConnectionOptions): Promise<string> {
  return new Promise((resolve) => {
    const socket = connectTls({ port, host: '127.0.0.1', ca: readFileSync(files('hub').cacertfile), ...options })
    t.after(() => socket.destroy())
    let said = ''
    socket.on('data', (chunk: Buffer) => (said += chunk.toString()))
    socket.on('secureConnect', () => void socket.write('anything'))
    socket.on('error', () => {})
    socket.on('close', () => resolve(said))
  })
}

const pair = (name: string) => ({ cert: readFileSync(files(name).certfile), key: readFileSync(files(name).keyfile) })

test('nobody comes in without a certificate, with one from elsewhere, one for servers only, or an older TLS', async (t) => {
  const daemon = await start(t)
  const other = openAuthority(join(folder, `other-${process.pid}`), Date.now)
  const [cert = '', key = ''] = await other.issue({ kind: 'client', name: 'stranger', ips: [], dns: [], days: 1 }, 'kept').then((made) => [made.find((one) => one.endsWith('stranger.pem')), made.find((one) => one.endsWith('stranger.key'))])
  const attempts: readonly (readonly [ConnectionOptions, string])[] = [
    [{}, 'certificate'],
    [{ cert: readFileSync(cert), key: readFileSync(key) }, 'certificate'],
    [pair('hub'), 'certificate'],
    [{ ...pair('edge'), maxVersion: 'TLSv1.1', minVersion: 'TLSv1.1', ciphers: 'DEFAULT@SECLEVEL=0' }, 'handshake'],
  ]
  for (const [options, why] of attempts) {
    assert.equal(await attempt(t, daemon.port, options), '', why)
    await until(() => daemon.refusals.length > 0, 'the refusal')
    assert.deepEqual(daemon.refusals.splice(0), [why], String(options.maxVersion))
  }
  assert.equal(daemon.daemon.takers, 0)
})

test('plain bytes to a TLS daemon are no handshake', async (t) => {
  const daemon = await start(t)
  const one = await raw(t, daemon.port)
  one.send('07440745 is no ClientHello')
  await one.ended
  await until(() => daemon.refusals.length === 1, 'the refusal')
  assert.deepEqual(daemon.refusals, ['handshake'])
})

test('whoever does not shake hands is let go in time, and holds nobody up meanwhile', async (t) => {
  const daemon = await start(t, { limits: { linkHandshakeTimeout: 300 } })
  const silent = await raw(t, daemon.port)
  const taker = await connectTaker(t, daemon.port, files('edge'))
  assert.equal((await taker.wish({ topics: ['a'] })).kind, 'ready')
  await silent.ended
  assert.deepEqual(daemon.refusals, ['handshake'])
})

test('a place is taken before the handshake and given back after it, whatever comes of it', async (t) => {
  const daemon = await start(t, { limits: { maxLinks: 2 } })
  const silent = [await raw(t, daemon.port), await raw(t, daemon.port)]
  const third = await raw(t, daemon.port)
  await third.ended
  assert.deepEqual(daemon.refusals, ['too_many_connections'])
  silent[0]?.socket.destroy()
  await until(() => daemon.refusals.length === 2, 'the handshake that broke off')
  const taker = await connectTaker(t, daemon.port, files('edge'))
  assert.equal((await taker.wish({ topics: ['a'] })).kind, 'ready')
  assert.equal(daemon.daemon.takers, 1)
  taker.socket.destroy()
  await until(() => daemon.daemon.takers === 0, 'the taker is gone')
  assert.equal((await (await connectTaker(t, daemon.port, files('edge'))).wish({ topics: ['a'] })).kind, 'ready')
})

test('a session is not resumed: every connection shows its certificate', async (t) => {
  const daemon = await start(t)
  for (const version of ['TLSv1.2', 'TLSv1.3'] as const) {
    const first = await connectTaker(t, daemon.port, files('edge'), { maxVersion: version, minVersion: version })
    const sessions: Buffer[] = []
    first.socket.on('session', (session: Buffer) => void sessions.push(session))
    assert.equal((await first.wish({ topics: ['a'] })).kind, 'ready')
    const session = sessions[0] ?? (first.socket as TLSSocket).getSession()
    const second = await connectTaker(t, daemon.port, files('edge'), { maxVersion: version, minVersion: version, ...(session !== undefined && { session }) })
    assert.equal((second.socket as TLSSocket).isSessionReused(), false, version)
    assert.equal((await second.wish({ topics: ['a'] })).kind, 'ready')
  }
})

test('a revoked certificate is not let in, and its live links end at once; the others stay', async (t) => {
  const daemon = await start(t)
  const [edge, here] = [await connectTaker(t, daemon.port, files('edge')), await connectTaker(t, daemon.port, files('here'))]
  for (const taker of [edge, here]) await taker.wish({ topics: ['a'] })
  daemon.revoke('edge')
  daemon.changed()
  await edge.ended
  assert.equal(await attempt(t, daemon.port, pair('edge')), '')
  await until(() => daemon.refusals.length === 2, 'both refusals')
  assert.deepEqual(daemon.refusals, ['revoked', 'revoked'])
  await daemon.publish('a', 'still here')
  assert.equal(await here.body(), 'still here')
  await daemon.daemon.stop(AbortSignal.abort())
  assert.equal(daemon.listeners.size, 0)
})

test('new certificates are used for the next connection, and drop none', async (t) => {
  const daemon = await start(t)
  const nameOf = ({ socket }: { socket: unknown }): string => (socket as TLSSocket).getPeerCertificate().subject.CN as string
  const first = await connectTaker(t, daemon.port, files('edge'))
  await first.wish({ topics: ['a'] })
  daemon.use('hub-2')
  daemon.changed()
  const second = await connectTaker(t, daemon.port, files('edge'))
  await second.wish({ topics: ['a'] })
  assert.deepEqual([nameOf(first), nameOf(second)], ['hub', 'hub-2'])
  await daemon.publish('a', 'to both')
  assert.deepEqual([await first.body(), await second.body()], ['to both', 'to both'])
})

test('the address that a certificate is for is checked where that is asked for', async (t) => {
  const daemon = await start(t, { matchAddress: 'checked' })
  assert.equal(await attempt(t, daemon.port, pair('edge')), '')
  await until(() => daemon.refusals.length === 1, 'the refusal')
  assert.deepEqual(daemon.refusals, ['address'])
  const here = await connectTaker(t, daemon.port, files('here'))
  assert.equal((await here.wish({ topics: ['a'] })).kind, 'ready')
})

test('a grant says which topics and globs whose certificate may ask for, by any of its names', async (t) => {
  const daemon = await start(t, {
    grants: [
      { certificate: 'edge', topics: ['news/*', 'prices', 'x/?/y'] },
      { certificate: '*.example', topics: ['by-dns'] },
      { certificate: '192.0.2.*', topics: ['by-ip'] },
      { certificate: '127.0.0.1', topics: ['not/for/edge'] },
    ],
  })
  const granted = [{ topics: ['news/eu', 'prices', 'by-dns', 'by-ip'] }, { patterns: ['news/*', 'news/e?', 'news/eu/*'] }, { patterns: ['prices', 'x/?/y'] }]
  const refused = [{ topics: ['news/eu', 'other'] }, { topics: ['not/for/edge'] }, { patterns: ['*'] }, { patterns: ['new*'] }, { patterns: ['price?'] }, { patterns: ['x/*/y'] }, { topics: ['newsx'] }]
  for (const wish of granted) {
    const taker = await connectTaker(t, daemon.port, files('edge'))
    assert.equal((await taker.wish(wish)).kind, 'ready', JSON.stringify(wish))
    taker.socket.destroy()
  }
  for (const wish of refused) {
    const taker = await connectTaker(t, daemon.port, files('edge'))
    assert.deepEqual(await taker.wish(wish), { kind: 'refused', why: 'forbidden' }, JSON.stringify(wish))
  }
  const old = await connectTaker(t, daemon.port, files('edge'))
  old.subscribe('news/eu')
  await daemon.subscribed(1)
  old.subscribe('not/for/edge')
  assert.equal(await old.ended, 'orderly')
})

test('over TLS the rules see somebody who has signed', async (t) => {
  const daemon = await start(t, { rules: [{ topics: 'secret/*', subscribe: 'signed' }] })
  const taker = await connectTaker(t, daemon.port, files('edge'))
  assert.equal((await taker.wish({ topics: ['secret/a'] })).kind, 'ready')
})

test('a taker of PonyExpress is known again by each name of its certificate, and not by a loopback address', async (t) => {
  const daemon = await start(t)
  const taker = await connectTaker(t, daemon.port, files('edge'))
  taker.subscribe('a')
  await daemon.subscribed(1)
  for (const name of ['cn:edge', 'dns:edge.example', 'ip:192.0.2.7', 'ip:127.0.0.1', 'cn:hub']) daemon.put({ topic: 'a', body: Buffer.from(name), via: [name] })
  assert.deepEqual(await taker.bodies(2), ['ip:127.0.0.1', 'cn:hub'])
})

test('a stop ends handshakes that are on their way', async (t) => {
  const daemon = await start(t, { limits: { linkHandshakeTimeout: 60_000 } })
  const silent = connectTcp(daemon.port, '127.0.0.1')
  t.after(() => silent.destroy())
  const closed = new Promise((resolve) => silent.once('close', resolve))
  silent.on('error', () => {})
  await new Promise((resolve) => silent.once('connect', resolve))
  const taker = await connectTaker(t, daemon.port, files('edge'))
  await taker.wish({ topics: ['a'] })
  await daemon.daemon.stop(new AbortController().signal)
  await closed
  assert.equal(await taker.ended, 'orderly')
})
