import assert from 'node:assert/strict'
import { randomBytes, X509Certificate } from 'node:crypto'
import { once } from 'node:events'
import { createServer as createTcpServer, type AddressInfo, type Socket } from 'node:net'
import { before, test, type TestContext } from 'node:test'
import { createServer as createTlsServer, type TLSSocket, type TlsOptions } from 'node:tls'
import { issueLeaf, makeAuthority, serialOf, type Issued, type Leaf } from '../../src/zones/authority/issue.ts'
import { createDial, type DialParts } from '../../src/zones/dial.ts'
import type { ZoneDialError } from '../../src/zones/dial-error.ts'
import type { Credentials } from '../../src/zones/ports.ts'

const DAY = 86_400_000
const span = (from = -DAY, until = DAY) => ({ from: Date.now() + from, until: Date.now() + until })
const serial = (): string => serialOf(randomBytes(16))
let ca: Issued
let edge: Issued
const leaf = (stated: Partial<Leaf>, authority = ca): Promise<Issued> =>
  issueLeaf(authority, { kind: 'server', name: 'hub', ips: [], dns: [], serial: serial(), span: span(), ...stated })

before(async () => {
  ca = await makeAuthority({ name: 'Test CA', serial: serial(), span: span() })
  edge = await leaf({ kind: 'client', name: 'edge' })
})

/** Credentials of which a test decides what is revoked. */
function credentials(own = edge, authority = ca) {
  const revoked = new Set<string>()
  const listeners = new Set<() => void>()
  const current: { context: Credentials['context'] } & Credentials = {
    context: { ca: authority.cert, cert: own.cert, key: own.key, minVersion: 'TLSv1.2' },
    isRevoked: (certificate: X509Certificate) => [certificate, certificate.issuerCertificate].some((one) => one !== undefined && revoked.has(one.fingerprint256)),
    onChange(listener) {
      listeners.add(listener)
      return () => void listeners.delete(listener)
    },
    stop() {},
  }
  return {
    current,
    listeners,
    use(next: Issued) {
      Object.assign(current, { context: { ...current.context, cert: next.cert, key: next.key } })
    },
    revoke({ cert }: Issued) {
      revoked.add(new X509Certificate(cert).fingerprint256)
      for (const listener of listeners) listener()
    },
  }
}

interface TestDaemon {
  readonly port: number
  /** Every connection whose handshake is done. */
  readonly takers: TLSSocket[]
}

async function daemonWith(t: TestContext, { cert, key }: Issued, options: TlsOptions = {}): Promise<TestDaemon> {
  const takers: TLSSocket[] = []
  const sockets = new Set<Socket>()
  const server = createTlsServer({ cert, key, ca: ca.cert, requestCert: true, rejectUnauthorized: true, ...options }, (socket) => {
    socket.on('error', () => {})
    socket.resume()
    takers.push(socket)
  })
  server.on('connection', (socket) => void sockets.add(socket))
  server.on('tlsClientError', () => {})
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.after(() => {
    for (const socket of sockets) socket.destroy()
    server.close()
  })
  return { port: (server.address() as AddressInfo).port, takers }
}

const forever = new AbortController().signal

async function dialled(t: TestContext, parts: Omit<DialParts, 'timeout'> & { timeout?: number }, signal = forever) {
  const made = await createDial({ timeout: 5_000, ...parts })(signal)
  t.after(() => made.stream.destroy())
  return made
}

const rows: { name: string; server: string; servername?: string; cert: Partial<Leaf>; sni: string | false; fails?: RegExp }[] = [
  { name: 'an address that stands in the certificate', server: '127.0.0.1', cert: { ips: ['127.0.0.1'], dns: ['localhost'] }, sni: false },
  { name: 'an address of several', server: '127.0.0.1', cert: { ips: ['10.0.0.1', '127.0.0.1'] }, sni: false },
  { name: 'another address', server: '127.0.0.1', cert: { ips: ['1.1.1.1'] }, sni: false, fails: /has not the IP address 127\.0\.0\.1: it is for IP Address:1\.1\.1\.1/ },
  { name: 'an address that stands there as a DNS name', server: '127.0.0.1', cert: { dns: ['127.0.0.1'] }, sni: false, fails: /has not the IP address/ },
  { name: 'an address, and only the name of this machine', server: '127.0.0.1', cert: { dns: ['localhost'] }, sni: false, fails: /it is for DNS:localhost/ },
  { name: 'an address that is the common name', server: '127.0.0.1', cert: { name: '127.0.0.1' }, sni: false, fails: /it is for no name at all/ },
  { name: 'a name that stands in the certificate', server: 'localhost', cert: { dns: ['localhost'] }, sni: 'localhost' },
  { name: 'a name, and only the address', server: 'localhost', cert: { ips: ['127.0.0.1'] }, sni: 'localhost', fails: /has not the DNS name localhost/ },
  { name: 'a name that is the common name', server: 'localhost', cert: { name: 'localhost' }, sni: 'localhost', fails: /has not the DNS name/ },
  { name: 'a stated name', server: '127.0.0.1', servername: 'hub.test', cert: { dns: ['hub.test'] }, sni: 'hub.test' },
  { name: 'a stated name under a wildcard', server: '127.0.0.1', servername: 'hub.test.example', cert: { dns: ['*.test.example'] }, sni: 'hub.test.example' },
  { name: 'a stated name, and only the address', server: '127.0.0.1', servername: 'hub.test', cert: { ips: ['127.0.0.1'] }, sni: 'hub.test', fails: /has not the DNS name hub\.test/ },
  { name: 'a stated address that stands there as a DNS name', server: '127.0.0.1', servername: '127.0.0.1', cert: { dns: ['127.0.0.1'] }, sni: false },
  { name: 'a stated address under a wildcard', server: '127.0.0.1', servername: '127.0.0.1', cert: { dns: ['*.0.0.1'] }, sni: false, fails: /has not the DNS name 127/ },
  { name: 'a stated address that stands there as an address', server: '127.0.0.1', servername: '127.0.0.1', cert: { ips: ['127.0.0.1'] }, sni: false, fails: /has not the DNS name 127/ },
  { name: 'a certificate that has expired', server: '127.0.0.1', cert: { ips: ['127.0.0.1'], span: { from: 0, until: 1_000 } }, sni: false, fails: /expired/ },
  { name: 'a certificate of a taker', server: '127.0.0.1', cert: { kind: 'client', ips: ['127.0.0.1'] }, sni: false, fails: /purpose/ },
]

for (const maxVersion of ['TLSv1.2', 'TLSv1.3'] as const) {
  test(`whom a taker trusts, over ${maxVersion}`, async (t) => {
    for (const { name, server, servername, cert, sni, fails } of rows) {
      const certificate = await leaf(cert)
      const asked: string[] = []
      const { port, takers } = await daemonWith(t, certificate, {
        maxVersion,
        SNICallback(named, done) {
          asked.push(named)
          done(null)
        },
      })
      const { current } = credentials()
      const made = dialled(t, { server, port, security: { kind: 'tls', credentials: current, ...(servername !== undefined && { servername }) } })
      if (fails !== undefined) {
        await assert.rejects(made, (error: ZoneDialError) => {
          assert.equal(error.kind, 'tls', name)
          assert.match(error.detail, fails, name)
          return true
        })
      } else {
        const { stream } = await made
        assert.equal((stream as TLSSocket).getProtocol(), maxVersion, name)
        // In TLS 1.3 the daemon is done a little later.
        while (takers.length === 0) await new Promise((resolve) => setImmediate(resolve))
        assert.equal(takers[0]?.getPeerX509Certificate()?.subject, 'CN=edge', name)
      }
      assert.deepEqual(asked, sni === false ? [] : [sni], name)
    }
  })
}

/** 127.0.0.1 and localhost are asked for, and 127.0.0.1 answers (`erps.md`, 10.3). */
const serviceRows: { name: string; server: string; servername?: string; cert: Partial<Leaf>; sni: string | false; fails?: RegExp }[] = [
  { name: 'an address, and a name beside it', server: '127.0.0.1', cert: { ips: ['127.0.0.1'], dns: ['localhost'] }, sni: false },
  { name: 'a name, and the address beside it', server: 'localhost', cert: { ips: ['127.0.0.1'], dns: ['localhost'] }, sni: 'localhost' },
  { name: 'a name, and only the address that answers', server: 'localhost', cert: { ips: ['127.0.0.1'] }, sni: 'localhost' },
  { name: 'a name, and only itself', server: 'localhost', cert: { dns: ['localhost'] }, sni: 'localhost' },
  { name: 'a name, and the address that answers as a DNS name', server: 'localhost', cert: { dns: ['127.0.0.1'] }, sni: 'localhost', fails: /has not the DNS name localhost/ },
  { name: 'an address as a DNS name', server: '127.0.0.1', cert: { dns: ['127.0.0.1'] }, sni: false, fails: /has not the IP address/ },
  { name: 'the same where it is stated', server: '127.0.0.1', servername: '127.0.0.1', cert: { dns: ['127.0.0.1'] }, sni: false },
  { name: 'an address, and only a name', server: '127.0.0.1', cert: { dns: ['localhost'] }, sni: false, fails: /has not the IP address/ },
  { name: 'the same where the name is stated', server: '127.0.0.1', servername: 'localhost', cert: { dns: ['localhost'] }, sni: 'localhost' },
  { name: 'another address', server: 'localhost', cert: { ips: ['1.1.1.1'] }, sni: 'localhost', fails: /has not the DNS name localhost/ },
  { name: 'only a common name', server: '127.0.0.1', cert: { name: '127.0.0.1' }, sni: false, fails: /no name at all/ },
  { name: 'a stated name, and only the address that answers', server: 'localhost', servername: 'hub.test', cert: { ips: ['127.0.0.1'], dns: ['localhost'] }, sni: 'hub.test', fails: /has not the DNS name hub\.test/ },
]

for (const maxVersion of ['TLSv1.2', 'TLSv1.3'] as const) {
  test(`whom a client of services trusts, over ${maxVersion}: who stands in the certificate by what was asked for, or by the address that answers`, async (t) => {
    for (const { name, server, servername, cert, sni, fails } of serviceRows) {
      const asked: string[] = []
      const { port } = await daemonWith(t, await leaf(cert), {
        maxVersion,
        SNICallback(named, done) {
          asked.push(named)
          done(null)
        },
      })
      const made = dialled(t, { server, port, security: { kind: 'tls', credentials: credentials().current, identity: 'asked or peer', ...(servername !== undefined && { servername }) } })
      if (fails === undefined) await assert.doesNotReject(made, name)
      else await assert.rejects(made, (error: ZoneDialError) => error.kind === 'tls' && fails.test(error.detail), name)
      assert.deepEqual(asked, sni === false ? [] : [sni], name)
    }
  })
}

test('only the given CA counts, and nothing older than TLS 1.2', async (t) => {
  const other = await makeAuthority({ name: 'Test CA', serial: serial(), span: span() })
  const foreign = await daemonWith(t, await leaf({ ips: ['127.0.0.1'] }, other))
  await assert.rejects(dialled(t, { server: '127.0.0.1', port: foreign.port, security: { kind: 'tls', credentials: credentials().current } }), { kind: 'tls' })
  const old = await daemonWith(t, await leaf({ ips: ['127.0.0.1'] }), { minVersion: 'TLSv1', maxVersion: 'TLSv1.1', ciphers: 'DEFAULT@SECLEVEL=0' })
  await assert.rejects(dialled(t, { server: '127.0.0.1', port: old.port, security: { kind: 'tls', credentials: credentials().current } }), { kind: 'tls' })
})

test('a revoked certificate is refused; one that is revoked later ends its connection, and is not watched any longer', async (t) => {
  const certificate = await leaf({ ips: ['127.0.0.1'] })
  const { port } = await daemonWith(t, certificate)
  const { current, revoke, listeners } = credentials()
  const { stream } = await dialled(t, { server: '127.0.0.1', port, security: { kind: 'tls', credentials: current } })
  const ended = once(stream, 'error') as Promise<[Error]>
  revoke(await leaf({}))
  assert.equal(stream.destroyed, false)
  revoke(certificate)
  assert.match((await ended)[0].message, /revoked/)
  await assert.rejects(dialled(t, { server: '127.0.0.1', port, security: { kind: 'tls', credentials: current } }), { kind: 'tls', detail: 'the certificate of the daemon is revoked' })
  while (listeners.size > 0) await new Promise((resolve) => setImmediate(resolve))
})

test('a daemon whose CA was revoked is refused', async (t) => {
  const { port } = await daemonWith(t, await leaf({ ips: ['127.0.0.1'] }))
  const { current, revoke } = credentials()
  revoke(ca)
  await assert.rejects(dialled(t, { server: '127.0.0.1', port, security: { kind: 'tls', credentials: current } }), { detail: 'the certificate of the daemon is revoked' })
})

test('new files are used by the next connection, and no session is used again', async (t) => {
  const { port, takers } = await daemonWith(t, await leaf({ ips: ['127.0.0.1'] }), { maxVersion: 'TLSv1.2' })
  const { current, use } = credentials()
  const dial = createDial({ server: '127.0.0.1', port, timeout: 5_000, security: { kind: 'tls', credentials: current } })
  for (const own of [edge, edge, await leaf({ kind: 'client', name: 'renewed' })]) {
    use(own)
    const { stream } = await dial(forever)
    assert.equal((stream as TLSSocket).isSessionReused(), false)
    t.after(() => stream.destroy())
  }
  while (takers.length < 3) await new Promise((resolve) => setImmediate(resolve))
  assert.deepEqual(takers.map((one) => one.getPeerX509Certificate()?.subject), ['CN=edge', 'CN=edge', 'CN=renewed'])
})

test('a daemon is known again by the names of its certificate, but not by what all on a machine have; over TCP by its address', async (t) => {
  const { port } = await daemonWith(t, await leaf({ name: 'hub', ips: ['127.0.0.1', '10.1.2.3', '::1'], dns: ['localhost', 'hub.test'] }))
  const { names } = await dialled(t, { server: '127.0.0.1', port, security: { kind: 'tls', credentials: credentials().current } })
  assert.deepEqual(names, ['cn:hub', 'ip:10.1.2.3', 'dns:hub.test'])
  const plain = createTcpServer((socket) => socket.resume()).listen(0, '127.0.0.1')
  await once(plain, 'listening')
  t.after(() => plain.close())
  const { names: over, stream } = await dialled(t, { server: 'localhost', port: (plain.address() as AddressInfo).port, security: { kind: 'tcp' } })
  assert.deepEqual(over, ['ip:127.0.0.1'])
  stream.destroy()
})

test('what goes wrong is told by its kind, and leaves nothing open', async (t) => {
  const sockets: Socket[] = []
  const silent = createTcpServer((socket) => void sockets.push(socket.on('error', () => {}))).listen(0, '127.0.0.1')
  await once(silent, 'listening')
  t.after(() => silent.close())
  const { port } = silent.address() as AddressInfo
  const security = { kind: 'tls', credentials: credentials().current } as const
  const failed = (parts: Partial<DialParts>, signal = forever) => dialled(t, { server: '127.0.0.1', port, security, timeout: 100, ...parts }, signal).then(() => assert.fail('it was made'), (error: ZoneDialError) => error)
  assert.equal((await failed({})).message, 'the TLS handshake took longer than 100 ms')
  const patience = new AbortController()
  const aborted = failed({ timeout: 5_000 }, patience.signal)
  await once(silent, 'connection')
  patience.abort(new Error('stopped'))
  assert.equal((await aborted).message, 'stopped')
  assert.equal((await failed({}, AbortSignal.abort(new Error('before')))).message, 'before')
  const gone = createTcpServer().listen(0, '127.0.0.1')
  await once(gone, 'listening')
  const { port: closed } = gone.address() as AddressInfo
  await new Promise((resolve) => gone.close(resolve))
  const refused = await failed({ port: closed, timeout: 5_000 })
  assert.deepEqual([refused.kind, /ECONNREFUSED/.test(refused.detail)], ['refused', true])
  while (sockets.some((socket) => !socket.destroyed)) {
    for (const socket of sockets) socket.resume()
    await new Promise((resolve) => setImmediate(resolve))
  }
})

test('a daemon that does not speak TLS is told as such', async (t) => {
  const server = createTcpServer((socket) => void socket.end('hello, this is no TLS\r\n')).listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.after(() => server.close())
  await assert.rejects(dialled(t, { server: '127.0.0.1', port: (server.address() as AddressInfo).port, security: { kind: 'tls', credentials: credentials().current } }), { kind: 'tls' })
})
