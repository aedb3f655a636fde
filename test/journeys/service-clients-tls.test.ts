import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createServer, type AddressInfo, type Socket } from 'node:net'
import { test, type TestContext } from 'node:test'
import type { TlsOptions } from 'node:tls'
import { Atom } from '../../src/protocol/etf/term.ts'
import { connectService, type ClientState, type ConnectServiceOptions } from '../../src/server/connect-service.ts'
import { make, testAuthority, USES } from '../support/authority.ts'
import { createInbox } from '../support/events.ts'
import { rawErpsServer, type RawServer } from '../support/raw-erps-server.ts'

/* What a client of services trusts, and who lets it in (`erps.md`, 10.3 and 10.4). */

const QUIET = { info() {}, warn() {}, error() {} }
const VERSIONS = ['TLSv1.2', 'TLSv1.3'] as const

async function world(t: TestContext) {
  const authority = await testAuthority(t)
  const files = authority.write(await authority.client())
  /** A server by hand that asks for certificates of this CA. */
  const serve = async ({ cert, key }: { cert: string; key: string }, options: TlsOptions = {}): Promise<RawServer> => {
    const server = await rawErpsServer({ tls: { cert, key, ca: authority.ca.cert, requestCert: true, rejectUnauthorized: true, ...options } })
    t.after(() => server.close())
    return server
  }
  const connect = async (port: number, options: Partial<ConnectServiceOptions> = {}) => {
    const states = createInbox<ClientState>('state')
    const service = await connectService({ server: '127.0.0.1', port, tls: files, logger: QUIET, onState: (state) => states.push(state), ...options })
    t.after(() => service.close())
    return { service, states }
  }
  return { authority, files, serve, connect }
}

/** Why the first try has failed; `undefined` where the service answers. */
async function fault(server: RawServer | undefined, { service, states }: { service: Awaited<ReturnType<typeof connectService>>; states: ReturnType<typeof createInbox<ClientState>> }): Promise<string | undefined> {
  const answered = service.call(1).then(() => undefined, () => 'failed')
  const state = (async () => {
    for (;;) {
      const next = await states.next()
      if (next.state === 'down') return next.why
      if (next.state === 'up') return undefined
    }
  })()
  if (server !== undefined) {
    void server.clients.next().then(async (peer) => peer.reply(await peer.inbox.next(), new Atom('ok'))).catch(() => {})
  }
  const why = await state
  assert.equal(await answered, why === undefined ? undefined : 'failed')
  // It lingers for an original, which need not hold up what is next.
  void service.close()
  return why
}

for (const maxVersion of VERSIONS) {
  test(`a client trusts who is named by what it asked for, or by the address that answers, over ${maxVersion}`, async (t) => {
    const { authority, files, serve, connect } = await world(t)
    const foreign = await make({ by: 'self', cn: 'another CA', ca: 'any' })
    const rows: [string, Partial<ConnectServiceOptions>, Parameters<typeof authority.server>[0], RegExp | undefined][] = [
      ['the address and a name', {}, { ips: ['127.0.0.1'], dns: ['localhost'] }, undefined],
      ['the same, asked for by name', { server: 'localhost' }, { ips: ['127.0.0.1'], dns: ['localhost'] }, undefined],
      ['the address, asked for by name', { server: 'localhost' }, { ips: ['127.0.0.1'] }, undefined],
      ['the name, asked for by name', { server: 'localhost' }, { ips: [], dns: ['localhost'] }, undefined],
      ['the address as a DNS name', {}, { ips: [], dns: ['127.0.0.1'] }, /has not the IP address 127\.0\.0\.1/],
      ['the address as a DNS name that is stated', { tls: { ...files, servername: '127.0.0.1' } }, { ips: [], dns: ['127.0.0.1'] }, undefined],
      ['a name only', {}, { ips: [], dns: ['localhost'] }, /has not the IP address/],
      ['a name that is stated', { tls: { ...files, servername: 'localhost' } }, { ips: [], dns: ['localhost'] }, undefined],
      ['another address', {}, { ips: ['1.1.1.1'] }, /has not the IP address/],
      ['a common name only', {}, { ips: [], cn: '127.0.0.1' }, /no name at all/],
      ['no name at all', {}, { ips: [], cn: '' }, /no name at all/],
      ['another CA', {}, { by: foreign }, /does not come from a CA of cacertfile/],
    ]
    for (const [name, options, wish, expected] of rows) {
      const server = await serve(await authority.server(wish), { maxVersion })
      const why = await fault(server, await connect(server.port, options))
      if (expected === undefined) assert.equal(why, undefined, name)
      else assert.match(why ?? 'it was trusted', expected, name)
      await server.close()
    }
  })

  test(`a client that is not let in hears of it, though its handshake was done, over ${maxVersion}`, async (t) => {
    const { authority, serve, connect } = await world(t)
    const foreign = await make({ by: 'self', cn: 'another CA', ca: 'any' })
    const own = await make({ by: foreign, cn: 'edge', uses: [USES.client] })
    const server = await serve(await authority.server(), { maxVersion })
    const { service, states } = await connect(server.port, { tls: authority.write({ cert: own.cert + foreign.cert, key: own.key }) })
    const called = assert.rejects(service.call(1, { timeout: 10_000 }), { code: /^(disconnected|worker_lost)$/ })
    const seen = await states.take(2)
    // It was never up, so that the next try waits.
    assert.deepEqual(seen.map(({ state }) => state), ['connecting', 'down'])
    const why = seen[1]?.state === 'down' ? seen[1].why : ''
    assert.match(why, maxVersion === 'TLSv1.3' ? /right after connecting$/ : /before secure TLS connection was established/)
    await called
  })
}

test('a key that does not belong to its certificate, and files that are not there, are told before anything is connected', async (t) => {
  const { authority } = await world(t)
  const [one, other] = [await authority.client(), await authority.client()]
  await assert.rejects(connectService({ server: '127.0.0.1', port: 1, tls: authority.write({ cert: one.cert, key: other.key }), logger: QUIET }), { code: 'config_invalid' })
  await assert.rejects(connectService({ server: '127.0.0.1', port: 1, tls: { cacertfile: '/nowhere', certfile: '/nowhere', keyfile: '/nowhere' }, logger: QUIET }), { code: 'config_invalid' })
})

test('a server that does not speak TLS is told as such, and one that says nothing is given up in time', async (t) => {
  const { connect } = await world(t)
  const plain = async (welcome: (socket: Socket) => void): Promise<number> => {
    const server = createServer((socket) => welcome(socket.on('error', () => {}))).listen(0, '127.0.0.1')
    await once(server, 'listening')
    t.after(() => server.close())
    return (server.address() as AddressInfo).port
  }
  const silent = await connect(await plain(() => {}), { limits: { serviceHandshakeTimeout: 150 } })
  assert.match(await fault(undefined, silent) ?? '', /the TLS handshake took longer than 150 ms/)
  const rude = await connect(await plain((socket) => void socket.end('this is no TLS\r\n')))
  assert.match(await fault(undefined, rude) ?? '', /does not speak TLS/)
})

test('a plain client of a TLS server hears that it is not let in, and never counts as connected', async (t) => {
  const { authority, serve } = await world(t)
  const server = await serve(await authority.server())
  const states = createInbox<ClientState>('state')
  const service = await connectService({ server: '127.0.0.1', port: server.port, transport: 'tcp', packetGap: 0, logger: QUIET, onState: (state) => states.push(state) })
  t.after(() => service.close())
  await assert.rejects(service.call(1), { code: 'worker_lost' })
  for (let state = await states.next(); state.state !== 'down'; state = await states.next()) assert.notEqual(state.state, 'closed')
})
