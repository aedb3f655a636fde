import assert from 'node:assert/strict'
import type { IncomingMessage } from 'node:http'
import { createServer as createTcp, type Socket } from 'node:net'
import { join } from 'node:path'
import { test } from 'node:test'
import { addressSet } from '../../src/http/address.ts'
import { directAddress, peerOf, type Peer } from '../../src/http/peer.ts'
import { temporaryFolder } from '../support/certificates.ts'
import { createInbox } from '../support/events.ts'
import { raw } from '../support/raw.ts'

/** A request as the parser gives it, from this address; `unix` for one over a UNIX socket. */
function from(address: string, headers: Record<string, string> = {}): IncomingMessage {
  const socket = address === 'unix' ? { remoteAddress: undefined, server: { address: () => '/run/hub.sock' } } : { remoteAddress: address }
  return { socket, headers } as unknown as IncomingMessage
}

const PROXY = '10.0.0.1'

function peer(address: string, headers: Record<string, string>, trusted: string[] = []): Peer {
  return peerOf(from(address, headers), addressSet(trusted))
}

test('without a proxy the peer is who is at the other end', () => {
  assert.deepEqual(peer('192.0.2.1', {}), { address: '192.0.2.1', local: false })
  assert.deepEqual(peer('127.0.0.1', {}), { address: '127.0.0.1', local: true })
  assert.deepEqual(peer('::1', {}), { address: '::1', local: true })
  assert.deepEqual(peer('::ffff:127.0.0.1', {}), { address: '::ffff:127.0.0.1', local: true })
  assert.deepEqual(peer('unix', {}), { address: 'unix', local: true })
})

test('X-Forwarded-For is not believed from somebody who is not trusted', () => {
  for (const trusted of [[], ['10.0.0.0/8']]) {
    assert.deepEqual(peer('192.0.2.1', { 'x-forwarded-for': '198.51.100.7' }, trusted), { address: '192.0.2.1', local: false })
    assert.deepEqual(peer('192.0.2.1', { 'x-forwarded-for': '127.0.0.1' }, trusted), { address: '192.0.2.1', local: false })
  }
})

const chains: [forwarded: string, address: string][] = [
  ['198.51.100.7', '198.51.100.7'],
  ['198.51.100.7, 10.0.0.2', '198.51.100.7'],
  ['198.51.100.7,10.0.0.2 , 10.9.9.9', '198.51.100.7'],
  ['203.0.113.9, 198.51.100.7', '198.51.100.7'],
  ['127.0.0.1, 198.51.100.7', '198.51.100.7'],
  ['10.0.0.3, 10.0.0.2', '10.0.0.3'],
  ['198.51.100.7:4711', '198.51.100.7'],
  ['[2001:db8::1]:4711', '2001:db8::1'],
  ['198.51.100.7, unknown', 'unknown'],
  ['', 'unknown'],
]

for (const [forwarded, address] of chains) {
  test(`a trusted proxy that says ${JSON.stringify(forwarded)} speaks for ${address}: the last that is not a proxy itself`, () => {
    assert.deepEqual(peer(PROXY, { 'x-forwarded-for': forwarded }, ['10.0.0.0/8']), { address, local: false })
  })
}

test('whoever comes through a proxy is never local, even if it says so', () => {
  assert.equal(peer(PROXY, { 'x-forwarded-for': '127.0.0.1' }, [PROXY]).local, false)
  assert.equal(peer('127.0.0.1', { 'x-forwarded-for': '127.0.0.1' }, ['127.0.0.1']).local, false)
  assert.equal(peer('unix', { 'x-forwarded-for': '::1' }).local, false)
})

test('a UNIX socket is behind a proxy that was put there, and is believed', () => {
  assert.deepEqual(peer('unix', { 'x-forwarded-for': '198.51.100.7' }), { address: '198.51.100.7', local: false })
})

for (const header of ['x-forwarded-for', 'forwarded', 'x-forwarded-host', 'x-forwarded-proto', 'x-forwarded-port', 'x-real-ip', 'via', 'x-client-ip', 'true-client-ip', 'cf-connecting-ip', 'fly-client-ip']) {
  test(`a request from this machine with ${header} came through a proxy that nobody named, and is not local`, () => {
    assert.deepEqual(peer('127.0.0.1', { [header]: 'x' }), { address: '127.0.0.1', local: false })
  })
}

test('a page from elsewhere does not become local by a browser on this machine', () => {
  for (const origin of ['https://evil.example', 'null', 'http://127.0.0.1.evil.example', 'http://localhost.evil.example', '%zz', 'https://[2001:db8::1]']) {
    assert.equal(peer('127.0.0.1', { origin }).local, false, origin)
  }
  for (const origin of ['http://localhost:8081', 'http://127.0.0.1:8081', 'http://[::1]:3000', 'https://LOCALHOST']) {
    assert.equal(peer('127.0.0.1', { origin }).local, true, origin)
  }
})

test('a TCP connection that has lost its address does not pass for a UNIX socket', () => {
  const gone = { remoteAddress: undefined, server: { address: () => ({ port: 8081 }) } } as unknown as Socket
  assert.equal(directAddress(gone), 'gone')
  assert.equal(directAddress({ remoteAddress: undefined } as unknown as Socket), 'gone')
  assert.equal(peerOf({ socket: gone, headers: {} } as unknown as IncomingMessage, addressSet([])).local, false)
})

test('real sockets say who they are, TCP and UNIX', async (t) => {
  const path = join(temporaryFolder(t), 'hub.sock')
  for (const [listenOn, connectTo, expected] of [[path, { path }, 'unix'], [0, undefined, '127.0.0.1']] as const) {
    const seen = createInbox<string>('connection')
    const server = createTcp((socket) => seen.push(directAddress(socket)))
    await new Promise<void>((resolve) => (typeof listenOn === 'string' ? server.listen(listenOn, resolve) : server.listen(0, '127.0.0.1', resolve)))
    t.after(() => server.close())
    await raw(t, connectTo ?? (server.address() as { port: number }).port)
    assert.equal(await seen.next(), expected)
  }
})
