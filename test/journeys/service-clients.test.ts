import assert from 'node:assert/strict'
import { AsyncLocalStorage } from 'node:async_hooks'
import { once } from 'node:events'
import { createServer, type AddressInfo } from 'node:net'
import { test, type TestContext } from 'node:test'
import { WaystationError } from '../../src/core/errors.ts'
import { Atom, Tuple, type Term } from '../../src/protocol/etf/term.ts'
import { connectService, type ClientState, type ConnectServiceOptions } from '../../src/server/connect-service.ts'
import { createInbox, until } from '../support/events.ts'
import { rawErpsServer, refOf, requestOf, type RawClient, type RawServer } from '../support/raw-erps-server.ts'

/* Counterparts of the scenarios of `erps.md`, section 16, that a client takes part in. */

const QUIET = { info() {}, warn() {}, error() {} }

/** A server by hand that is gone with the test. */
async function serverFor(t: TestContext, options: Parameters<typeof rawErpsServer>[0] = {}): Promise<RawServer> {
  const server = await rawErpsServer(options)
  t.after(() => server.close())
  return server
}

async function connected(t: TestContext, options: Partial<ConnectServiceOptions> = {}) {
  const server = await serverFor(t)
  const states = createInbox<ClientState>('state')
  const pushes = createInbox<Term>('push')
  const service = await connectService({
    server: '127.0.0.1', port: server.port, transport: 'tcp', packetGap: 0, reconnect: 50, logger: QUIET,
    onState: (state) => states.push(state), onPush: (term) => pushes.push(term), ...options,
  })
  t.after(() => service.close())
  return { server, service, states, pushes }
}

/** With the client's end of the connection, and the server's. */
async function both(t: TestContext, options: Partial<ConnectServiceOptions> = {}) {
  const ends = await connected(t, options)
  return { ...ends, peer: await ends.server.clients.next() }
}

/** Until it is in this state. */
async function becomes(states: ReturnType<typeof createInbox<ClientState>>, state: ClientState['state']): Promise<ClientState> {
  for (;;) {
    const next = await states.next()
    if (next.state === state) return next
  }
}

async function answer(peer: RawClient, value: Term): Promise<void> {
  peer.reply(await peer.inbox.next(), value)
}

async function closedPort(): Promise<number> {
  const gone = createServer().listen(0, '127.0.0.1')
  await once(gone, 'listening')
  const { port } = gone.address() as AddressInfo
  await new Promise((resolve) => gone.close(resolve))
  return port
}

const words = (): Term => [Array.from({ length: 60 }, (_, i) => `some words ${i % 9} ${i * i}`), 'more of them']

test('each packet says the version and the identifier of the client, and nothing else but who it is', async (t) => {
  const { service, peer } = await both(t, { version: '0.1.3-rc.1+7', identifier: 'erpstest' })
  service.cast('a cast')
  const cast = await peer.inbox.next()
  const called = service.call('a call')
  const call = await peer.inbox.next()
  assert.deepEqual([cast, call].map(({ type, version, identifier }) => [type, version, identifier]), [['cast', '0.1.3', 'erpstest'], ['call', '0.1.3', 'erpstest']])
  assert.deepEqual([cast.behind.length > 0, call.behind.length], [true, 0])
  assert.deepEqual([Buffer.from(cast.term as Uint8Array).toString(), Buffer.from(requestOf(call) as Uint8Array).toString()], ['a cast', 'a call'])
  peer.reply(call, new Atom('pong'))
  assert.deepEqual(await called, new Atom('pong'))
})

test('what a client compresses is shorter, and at the highest level shortest', async (t) => {
  const sizes: number[] = []
  for (const compressed of [false, true, 1, 9]) {
    const { service, peer } = await both(t, { compressed })
    service.cast(words())
    const { termBytes, term } = await peer.inbox.next()
    assert.equal((term as Term[]).length, 2)
    sizes.push(termBytes)
    const call = service.call(words())
    await answer(peer, 'short')
    await call
    await service.close()
  }
  const [plain, usual, low, high] = sizes as [number, number, number, number]
  assert.ok(usual < plain && high < low && low < plain, sizes.join())
})

test('a keepalive of nine bytes goes out in its time', async (t) => {
  const { peer } = await both(t, { keepalive: 100 })
  const since = performance.now()
  const { size, at } = await peer.keepalives.next()
  assert.equal(size, 9)
  assert.ok(at - since < 1_000)
  await peer.keepalives.next()
})

test('without a server a call fails at once and a cast does no harm; the client stays, and finds the server when that is there', async (t) => {
  const port = await closedPort()
  const { service, states } = await connected(t, { port })
  // The first call waits for the first try.
  await assert.rejects(service.call('x', { timeout: 5_000 }), { code: 'disconnected' })
  const down = await becomes(states, 'down')
  assert.match('why' in down ? down.why : '', /ECONNREFUSED/)
  await assert.rejects(service.call('x', { timeout: 5_000 }), { code: 'disconnected' })
  assert.equal(service.cast('x'), false)
  assert.equal(service.counters.dropped, 1)
  const late = await serverFor(t, { port })
  const peer = await late.clients.next()
  await becomes(states, 'up')
  const called = service.call(1)
  await answer(peer, 2)
  assert.equal(await called, 2)
})

test('a call that is made at once waits for the connection, a cast before it goes before it', async (t) => {
  const { service, server } = await connected(t)
  assert.equal(service.state.state, 'connecting')
  service.cast(1)
  const called = service.call(2)
  const peer = await server.clients.next()
  assert.equal((await peer.inbox.next()).term, 1)
  await answer(peer, 3)
  assert.equal(await called, 3)
})

test('a server is found by its name', async (t) => {
  const { service, peer } = await both(t, { server: 'localhost' })
  const called = service.call('ping')
  await answer(peer, new Atom('pong'))
  assert.deepEqual(await called, new Atom('pong'))
})

test('pushes arrive in their order, also when they come together; what a handler throws is no end of it', async (t) => {
  const errors = createInbox<object>('error')
  const got = createInbox<Term>('push')
  const { peer, service } = await both(t, {
    logger: { ...QUIET, error: (what) => errors.push(what) },
    onPush(term, from) {
      assert.equal(from.server, '127.0.0.1')
      if (term === 0) throw new Error('not this one')
      got.push(term)
    },
  })
  for (const term of [0, 1, new Atom('two'), [3]]) peer.push(term)
  assert.deepEqual(await got.take(3), [1, new Atom('two'), [3]])
  assert.match(((await errors.next()) as { err: Error }).err.message, /not this one/)
  assert.equal(service.counters.unusable, 0)
})

test('answers come in any order, each to its own call', async (t) => {
  const { service, peer } = await both(t)
  const first = service.call('a')
  const second = service.call('b')
  const [a, b] = await peer.inbox.take(2)
  assert.ok(a !== undefined && b !== undefined && refOf(a) !== refOf(b))
  peer.reply(b, 'to b')
  assert.equal(Buffer.from(await second as Uint8Array).toString(), 'to b')
  peer.reply(a, 'to a')
  assert.equal(Buffer.from(await first as Uint8Array).toString(), 'to a')
  // A second reply, and one to nothing.
  peer.reply(a, 'again')
  peer.push('after')
  await service.call('c', { timeout: 1 }).catch(() => {})
  assert.equal(service.counters.late, 1)
})

test('ten thousand bytes arrive whole, both ways', async (t) => {
  const { service, peer, pushes } = await both(t)
  const zeros = Buffer.alloc(10_240)
  const called = service.call(new Tuple('send', zeros))
  const call = await peer.inbox.next()
  assert.deepEqual(Buffer.from((requestOf(call) as Tuple).elements[1] as Uint8Array), zeros)
  peer.reply(call, new Atom('ok'))
  assert.deepEqual(await called, new Atom('ok'))
  peer.push(new Tuple('push', zeros))
  assert.equal(((await pushes.next() as Tuple).elements[1] as Uint8Array).length, 10_240)
})

test('a connection that is lost fails what waits at once, and is made again at once', async (t) => {
  const { service, peer, states, pushes, server } = await both(t)
  await becomes(states, 'up')
  const pending = [service.call(1), service.call(2)].map((call) => assert.rejects(call, { code: 'worker_lost' }))
  await peer.inbox.take(2)
  const since = performance.now()
  peer.socket.end()
  await Promise.all(pending)
  const again = await server.clients.next()
  assert.ok(performance.now() - since < 2_000)
  again.push('here')
  await pushes.next()
  await becomes(states, 'up')
})

test('disconnect stays down, connect comes back, close is for good', async (t) => {
  const { service, peer, states, server } = await both(t)
  await becomes(states, 'up')
  const gone = once(peer.socket, 'close')
  const pending = assert.rejects(service.call(1), { code: 'disconnected' })
  service.disconnect()
  await Promise.all([gone, pending, becomes(states, 'disconnected')])
  await assert.rejects(service.call(1), { code: 'disconnected' })
  assert.equal(service.state.state, 'disconnected')
  service.connect()
  const called = service.call(2)
  await answer(await server.clients.next(), 3)
  assert.equal(await called, 3)
  await service.close()
  await assert.rejects(service.call(1), { code: 'stopped' })
  assert.throws(() => service.cast(1), { code: 'stopped' })
})

test('a service that refuses the client fails all that waits with its reason', async (t) => {
  const { service, peer, states } = await both(t, { identifier: 'barquux', reconnect: 60_000 })
  const pending = [1, 2].map((n) => assert.rejects(service.call(n), (error: WaystationError) => error.code === 'service_refused' && error.message.includes('wrong identifier')))
  await peer.inbox.take(2)
  const gone = once(peer.socket, 'close')
  peer.error('wrong identifier')
  await Promise.all([...pending, gone])
  const down = await becomes(states, 'down')
  assert.match('why' in down ? down.why : '', /the service refuses this client: wrong identifier/)
  await assert.rejects(service.call(1), { code: 'disconnected' })
})

test('one call may fail alone: with a code of ours, or with whatever the service says', async (t) => {
  const { service, peer } = await both(t)
  for (const [reason, code] of [['no_worker', 'no_worker'], ['what a day', 'call_failed'], [new Atom('enoent'), 'call_failed']] as const) {
    const called = assert.rejects(service.call(1), { code })
    const call = await peer.inbox.next()
    peer.error(new Tuple(reason, refOf(call)))
    await called
  }
  const fine = service.call(1)
  await answer(peer, 2)
  assert.equal(await fine, 2)
})

test('a call ends by its timeout, or when its signal aborts; what comes later is counted', async (t) => {
  const { service, peer } = await both(t, { timeout: 60 })
  await assert.rejects(service.call(1), { code: 'deadline', detail: '60 ms' })
  const patience = new AbortController()
  const called = assert.rejects(service.call(2, { signal: patience.signal, timeout: 5_000 }), { message: 'enough' })
  const [late, given] = await peer.inbox.take(2)
  patience.abort(new Error('enough'))
  await called
  await assert.rejects(service.call(3, { signal: AbortSignal.abort(new Error('before')) }), { message: 'before' })
  if (late === undefined || given === undefined) return assert.fail()
  peer.reply(late, 1)
  peer.reply(given, 1)
  const fine = service.call(4, { timeout: 5_000 })
  await answer(peer, 5)
  assert.equal(await fine, 5)
  assert.equal(service.counters.late, 2)
})

test('an original is spared: one call at a time over TCP, and never two packets together', async (t) => {
  const server = await serverFor(t)
  const service = await connectService({ server: '127.0.0.1', port: server.port, transport: 'tcp', logger: QUIET })
  t.after(() => service.close())
  const peer = await server.clients.next()
  const calls = [service.call(1), service.call(2)]
  service.cast(3)
  const first = await peer.inbox.next()
  await until(() => performance.now() > first.at + 60, 'three gaps')
  assert.equal(peer.inbox.taken().length, 0)
  peer.reply(first, 1)
  const second = await peer.inbox.next()
  peer.reply(second, 2)
  const third = await peer.inbox.next()
  assert.deepEqual(await Promise.all(calls), [1, 2])
  assert.ok(second.at - first.at > 15 && third.at - second.at > 15, `${second.at - first.at} ${third.at - second.at}`)
})

test('values are plain JSON where that is asked for, and atoms only those that were stated', async (t) => {
  const server = await serverFor(t)
  const service = await connectService({ server: '127.0.0.1', port: server.port, transport: 'tcp', as: 'json', atoms: ['double'], logger: QUIET })
  t.after(() => service.close())
  const peer = await server.clients.next()
  const called = service.call({ n: 21 })
  await answer(peer, [42, 'text', null])
  assert.deepEqual(await called, [42, 'text', null])

  const strict = await connected(t, { atoms: ['double'] })
  const other = await strict.server.clients.next()
  await assert.rejects(strict.service.call(new Atom('triple')), { code: 'bad_request' })
  const fine = strict.service.call(new Atom('double'))
  await answer(other, new Atom('unheard_of'))
  assert.deepEqual(await fine, new Atom('unheard_of'))
})

test('several servers share the calls; where one is lost, a call that may be repeated goes to another', async (t) => {
  const [server, second] = [await serverFor(t), await serverFor(t)]
  const up = createInbox<number>('server')
  const service = await connectService({
    servers: [{ server: '127.0.0.1', port: server.port }, { server: '127.0.0.1', port: second.port }], policy: 'round-robin',
    transport: 'tcp', packetGap: 0, logger: QUIET,
    onState: (state, { port }) => state.state === 'up' && up.push(port),
  })
  t.after(() => service.close())
  const [one, other] = [await server.clients.next(), await second.clients.next()]
  await up.take(2)
  const two = [service.call(1), service.call(2)]
  await Promise.all([answer(one, 'one'), answer(other, 'other')])
  assert.deepEqual((await Promise.all(two)).map((text) => Buffer.from(text as Uint8Array).toString()).toSorted(), ['one', 'other'])

  const repeatable = service.call(3, { idempotent: true })
  const once_ = assert.rejects(service.call(4), { code: 'worker_lost' })
  const [mine] = await Promise.all([one.inbox.next(), other.inbox.next()])
  const [lost, left] = requestOf(mine) === 3 ? [one, other] : [other, one]
  // The one that has the call that may be repeated goes, then the other.
  lost.socket.destroy()
  await answer(left, 'done')
  assert.equal(Buffer.from(await repeatable as Uint8Array).toString(), 'done')
  left.socket.destroy()
  await once_
})

test('the first call to several servers waits until one of them is there', async (t) => {
  const server = await serverFor(t)
  const service = await connectService({ servers: [{ server: '127.0.0.1', port: await closedPort() }, { server: '127.0.0.1', port: server.port }], transport: 'tcp', logger: QUIET })
  t.after(() => service.close())
  const called = service.call(1)
  await answer(await server.clients.next(), 2)
  assert.equal(await called, 2)
  assert.equal(service.state.state, 'up')
})

test('with none of several servers there, a call fails as disconnected', async (t) => {
  const service = await connectService({ servers: [{ server: '127.0.0.1', port: await closedPort() }, { server: '127.0.0.1', port: await closedPort() }], transport: 'tcp', logger: QUIET })
  t.after(() => service.close())
  await assert.rejects(service.call(1), { code: 'disconnected' })
  assert.equal(service.cast(1), false)
  assert.deepEqual(service.servers.map(({ state }) => state.state), ['down', 'down'])
})

test('what a client is told runs in the context of whoever has connected it only where that is asked for', async (t) => {
  const context = new AsyncLocalStorage<string>()
  for (const [forwardCallers, expected] of [[true, 'a universe'], [false, undefined]] as const) {
    const got = createInbox<string | undefined>('context')
    const { service, server } = await context.run('a universe', () => connected(t, { forwardCallers, onPush: () => got.push(context.getStore()) }))
    ;(await server.clients.next()).push(1)
    assert.equal(await got.next(), expected)
    await service.close()
  }
})

test('options that cannot be used are named', async () => {
  const wrong = async (options: object): Promise<string> => {
    const error: WaystationError = await connectService(options as ConnectServiceOptions).then(() => assert.fail('it was taken'), (failed) => failed)
    assert.equal(error.code, 'config_invalid')
    return error.detail
  }
  const fine = { server: '127.0.0.1', port: 1, transport: 'tcp' }
  assert.match(await wrong({}), /server is missing/)
  assert.match(await wrong({ server: 'a' }), /port is missing/)
  assert.match(await wrong({ ...fine, port: 70_000 }), /port must be/)
  assert.match(await wrong({ ...fine, servers: [{ server: 'a', port: 1 }] }), /servers is stated, and server or port as well/)
  assert.match(await wrong({ ...fine, policy: 'hash' }), /policy is stated, but there is only one server/)
  assert.match(await wrong({ ...fine, transport: 'tls' }), /tls is missing/)
  assert.match(await wrong({ ...fine, server: '192.0.2.1' }), /is not this machine/)
  assert.match(await wrong({ ...fine, identifier: 'i'.repeat(37) }), /identifier has 37 bytes; 36 fit/)
  assert.match(await wrong({ ...fine, version: 'latest' }), /version must be a version/)
  assert.match(await wrong({ ...fine, compressed: 10 }), /compressed/)
  assert.match(await wrong({ ...fine, timeout: 0 }), /timeout must be/)
  assert.match(await wrong({ ...fine, reconect: 5 }), /reconect is no key of connectService; did you mean reconnect\?/)
  assert.match(await wrong({ ...fine, limits: { maxCals: 1 } }), /limits\.maxCals is no limit; did you mean maxCalls\?/)
  assert.match(await wrong({ ...fine, limits: { maxCalls: 0 } }), /limits\.maxCalls must be a whole number of calls from 1 on, not 0/)
  assert.match(await wrong({ ...fine, limits: { maxCalls: 1.5 } }), /limits\.maxCalls must be a whole number of calls/)
  const secret = await wrong({ ...fine, signing: { keys: [{ id: 'k', secret: 'hunter2' }] } })
  assert.match(secret, /signing\.keys\[0\]\.secret must be a text or bytes, 16 bytes at least/)
  assert.doesNotMatch(secret, /hunter2/)
})
