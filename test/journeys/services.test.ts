import assert from 'node:assert/strict'
import { AsyncLocalStorage } from 'node:async_hooks'
import { createServer as createTcpServer } from 'node:net'
import { test, type TestContext } from 'node:test'
import type { ConnectionOptions } from 'node:tls'
import { encode } from '../../src/protocol/etf/encode.ts'
import { Tuple, type Term } from '../../src/protocol/etf/term.ts'
import { serveService, type HandlersOf, type ServeServiceOptions, type Service, type ServiceConnection, type ServiceFrom, type ServiceHandlers } from '../../src/server/serve-service.ts'
import { workService } from '../../src/server/work-service.ts'
import { testAuthority, type Made } from '../support/authority.ts'
import { atom, connectErps, packetBytes, sayHello, type ErpsClient } from '../support/erps-client.ts'
import { createInbox, until } from '../support/events.ts'
import { raw } from '../support/raw.ts'

/* What the tests of the original ask of servers and daemons (`erps.md`, section 16), and what it gets wrong. */

interface Served extends Service<Term> {
  /** What was logged. */
  readonly lines: string[]
}

/** Over TCP, without gaps between packets. */
async function serve(t: TestContext, handlers: HandlersOf<Term>, options?: ServeServiceOptions): Promise<Served>
async function serve(t: TestContext, handlers: ServiceHandlers<Term>, options?: ServeServiceOptions): Promise<Served>
async function serve(t: TestContext, handlers: ServiceHandlers<Term> | HandlersOf<Term>, options: ServeServiceOptions = {}): Promise<Served> {
  const lines: string[] = []
  const line = (what: object, text: string): void => void lines.push(`${text} ${JSON.stringify(what)} ${'err' in what ? String(what.err) : ''}`)
  const service = await serveService({
    transport: 'tcp', packetGap: 0, atoms: PINGS, limits: { drainTime: 500 },
    logger: { info() {}, warn: line, error: line },
    ...options,
  }, handlers as ServiceHandlers<Term>)
  t.after(() => service.close())
  return { ...service, get port() { return service.port }, lines }
}

const ping: ServiceHandlers<Term> = { call: () => atom('pong') }
const PINGS = ['ping', 'pong']

/** The one connection that a service has. */
async function only(service: Service<Term>): Promise<ServiceConnection<Term>> {
  await until(() => service.connections().length === 1, 'a connection')
  return service.connections()[0] as ServiceConnection<Term>
}

test('a call of ping gives pong, over TCP and by the name localhost; a cast changes the state', async (t) => {
  let state: Term = 0
  const cast = createInbox<void>('cast')
  const service = await serve(t, {
    call: (request) => (request instanceof Tuple ? state : atom('pong')),
    cast(request) {
      state = request
      cast.push()
    },
  })
  const client = await connectErps(t, service.port)
  assert.deepEqual(await client.ask(atom('ping')), atom('pong'))
  client.cast(47)
  await cast.next()
  assert.equal(await service.call(new Tuple()), 47)
  const named = await connectErps(t, service.port, { host: 'localhost' })
  assert.deepEqual(await named.ask(atom('ping')), atom('pong'))
})

test('two clients of one service get their own answers and pushes', async (t) => {
  const service = await serve(t, { call: (request, from) => [request, from.connection?.id ?? 0] })
  const [one, two] = [await connectErps(t, service.port), await connectErps(t, service.port)]
  assert.deepEqual([await one.ask(1), await two.ask(2)], [[1, 1], [2, 2]])
  assert.equal(service.connections()[1]?.push('for two'), true)
  assert.deepEqual(await two.next(), ['push', 'for two'])
  assert.equal(service.push('for all'), 2)
  assert.deepEqual([await one.next(), await two.next()], [['push', 'for all'], ['push', 'for all']])
})

test('connected is told before anything else, and a push comes after it', async (t) => {
  const told: string[] = []
  const service = await serve(t, {
    connected: ({ address, names, peer, push }) => {
      told.push(`${address} ${names.length} ${peer}`)
      push('welcome')
    },
    call: () => (told.push('call'), 'called'),
  })
  const client = await connectErps(t, service.port)
  client.call(1, 1)
  assert.deepEqual(await client.next(), ['push', 'welcome'])
  assert.deepEqual(await client.next(), ['reply', new Tuple('called', 1)])
  assert.deepEqual(told, ['127.0.0.1 0 erps', 'call'])
  ;(await only(service)).push('later')
  assert.deepEqual(await client.next(), ['push', 'later'])
})

test('the program lets somebody go: he sees the end, and the others nothing', async (t) => {
  const ends = createInbox<string>('end')
  const service = await serve(t, { ...ping, disconnected: ({ id }, why) => ends.push(`${id} ${why}`) })
  const [one, two] = [await connectErps(t, service.port), await connectErps(t, service.port)]
  await until(() => service.connections().length === 2, 'both')
  service.connections()[0]?.disconnect()
  await one.ended
  assert.equal(await ends.next(), '1 stopped')
  assert.deepEqual(await two.ask(1), atom('pong'))
  two.socket.destroy()
  assert.equal(await ends.next(), '2 lost')
  const again = await connectErps(t, service.port)
  await again.ask(1)
  ;(await only(service)).push('again')
  assert.deepEqual(await again.next(), ['push', 'again'])
})

test('every way to answer reaches a remote caller: at once, by a promise, later from another call, last words, and none', async (t) => {
  const held: ServiceFrom<Term>[] = []
  const ways: Record<number, NonNullable<ServiceHandlers<Term>['call']>> = {
    1: () => 'at once',
    2: async () => 'promised',
    3: (_request, from) => void held.push(from),
    4: () => (held.shift()?.reply('by another'), 'done'),
    5(_request, from) {
      setImmediate(() => from.reply('from anywhere'))
      return undefined
    },
    6(_request, from) {
      from.reply('last words')
      from.connection?.disconnect()
      return undefined
    },
    7: (_request, from) => from.connection?.disconnect(),
  }
  const service = await serve(t, { call: (request, from) => ways[request as number]?.(request, from) })
  const client = await connectErps(t, service.port)
  assert.deepEqual([await client.ask(1), await client.ask(2), await client.ask(5)], ['at once', 'promised', 'from anywhere'])
  client.call('late', 3)
  client.call('other', 4)
  assert.deepEqual(await client.next(), ['reply', new Tuple('by another', 'late')])
  assert.deepEqual(await client.next(), ['reply', new Tuple('done', 'other')])
  assert.equal(await client.ask(6), 'last words')
  await client.ended
  const other = await connectErps(t, service.port)
  other.call(1, 7)
  await other.ended
  assert.deepEqual(other.taken(), [])
})

test('a call that is answered late does not hold up another', async (t) => {
  const held: ServiceFrom<Term>[] = []
  const service = await serve(t, { call: (_request, from) => void held.push(from) })
  const client = await connectErps(t, service.port)
  client.call(1, 'a')
  client.call(2, 'b')
  await until(() => held.length === 2, 'both calls')
  held[1]?.reply('b')
  assert.deepEqual(await client.next(), ['reply', new Tuple('b', 2)])
  held[0]?.reply('a')
  assert.deepEqual(await client.next(), ['reply', new Tuple('a', 1)])
  assert.equal(service.connections().length, 1)
})

test('a handler tells remote callers from local ones', async (t) => {
  const service = await serve(t, { call: (_request, from) => [from.remote, from.connection !== undefined] })
  const client = await connectErps(t, service.port)
  assert.deepEqual(await client.ask(0), [true, true])
  assert.deepEqual(await service.call(0), [false, false])
})

test('10,240 bytes, and a megabyte, pass whole in a call and in a push', async (t) => {
  const service = await serve(t, { call: (request) => (request as Uint8Array).length })
  const client = await connectErps(t, service.port)
  for (const size of [10_240, 1_000_000]) {
    const bytes = Buffer.alloc(size)
    assert.equal(await client.ask(bytes), size)
    service.push(bytes)
    const [type, term] = await client.next()
    assert.deepEqual([type, (term as string).length], ['push', size])
  }
})

test('handlers run in the context of whoever has served them, or in none', async (t) => {
  const world = new AsyncLocalStorage<string>()
  const see = (): Term => [world.getStore() ?? 'none']
  const handlers: ServiceHandlers<Term> = { call: () => Promise.resolve().then(see) }
  const [inside, outside] = await world.run('universe', () => Promise.all([serve(t, handlers, { forwardCallers: true }), serve(t, handlers)]))
  const seen = await world.run('wormhole', async () => {
    const clients = await Promise.all([connectErps(t, inside.port), connectErps(t, outside.port)])
    return Promise.all([...clients.map((client) => client.ask(0)), inside.call(0)])
  })
  assert.deepEqual(seen, [['universe'], ['none'], [Buffer.from('universe')].map((bytes) => Uint8Array.from(bytes))])
})

test('without a transport the process itself calls and casts, each of its worlds its own', async (t) => {
  const make: HandlersOf<Term> = () => {
    let state: Term = 0
    return {
      call: () => state,
      cast(request) {
        state = request
      },
    }
  }
  const [one, two] = [await serve(t, make, { transport: 'none' }), await serve(t, make, { transport: 'none' })]
  one.cast(1)
  two.cast(2)
  assert.deepEqual([await one.call(0), await two.call(0), one.port, one.connections(), one.push('x')], [1, 2, 0, [], 0])
  await one.close()
  await assert.rejects(one.call(0), { code: 'stopped' })
  assert.equal(await two.call(0), 2)
})

test('who states the wrong identifier or version is told so in one packet, heard no more, and let go; who states the right one is heard', async (t) => {
  const casts: Term[] = []
  const service = await serve(t, { cast: (request) => void casts.push(request) }, { identifier: 'foobar', versions: '~> 0.1.3' })
  const wrong = [
    [{ identifier: 'foobar', version: '0.0.0' }, 'incompatible version'], [{ identifier: 'foobar', version: '0.0.3' }, 'incompatible version'],
    [{ identifier: 'foobar', version: '2.1.3' }, 'incompatible version'], [{ version: '0.1.3' }, 'wrong identifier'],
    [{ identifier: 'barquux', version: '2.1.3' }, 'wrong identifier'], [{ identifier: 'foobarr', version: '0.1.3' }, 'wrong identifier'],
  ] as const
  await Promise.all(wrong.map(async ([stated, text]) => {
    const client = await connectErps(t, service.port, stated)
    client.cast(0)
    client.send(packetBytes('cast', encode(0), { identifier: 'foobar', version: '0.1.3' }))
    assert.deepEqual(await client.next(), ['error', text])
    await client.ended
    assert.deepEqual(client.taken(), [])
  }))
  const right = await connectErps(t, service.port, { identifier: 'foobar', version: '0.1.3' })
  right.cast(1)
  await until(() => casts.length === 1, 'the cast')
  assert.deepEqual(casts, [1])
  assert.ok(service.lines.every((line) => line.includes('turned away') && line.includes('"refused"')), service.lines.join('\n'))
})

test('an atom that was declared is taken, another ends the connection, unless everything is wanted', async (t) => {
  const casts = createInbox<Term>('cast')
  const handlers = { cast: (request: Term) => casts.push(request) }
  const [strict, any] = [await serve(t, handlers, { atoms: ['value'] }), await serve(t, handlers, { safe: false })]
  const bad = await connectErps(t, strict.port)
  bad.cast(atom('unheard_of'))
  await bad.ended
  assert.match(strict.lines.join('\n'), /^a caller of the service was turned away .*"bad_term"[^\n]*$/)
  const good = await connectErps(t, strict.port)
  good.cast(atom('value'))
  assert.deepEqual(await casts.next(), atom('value'))
  ;(await connectErps(t, any.port)).cast(atom('unheard_of'))
  assert.deepEqual(await casts.next(), atom('unheard_of'))
})

test('as JSON a program sees plain values', async (t) => {
  const service = await serveService({ transport: 'tcp', packetGap: 0, as: 'json' }, { call: (request) => ({ got: request, list: [1, null, 'x'] }) })
  t.after(() => service.close())
  const client = await connectErps(t, service.port)
  client.call(1, ['a', 2])
  const [, term] = await client.next()
  assert.match(JSON.stringify(term), /"got",\["a",2\]/)
  assert.deepEqual(await service.call({ a: 1 }), { got: { a: 1 }, list: [1, null, 'x'] })
})

test('packets that are glued, cut anywhere, compressed or followed by other bytes are all taken', async (t) => {
  const service = await serve(t, { call: (request) => request })
  const keepalive = Buffer.from('657270730000000000', 'hex')
  const call = (ref: number): Buffer => packetBytes('call', encode(new Tuple(ref, ref)))
  const latin1 = packetBytes('call', Buffer.from('836802610164000470696e67', 'hex'))
  const trailing = packetBytes('call', Buffer.concat([encode(new Tuple(2, 2)), Buffer.from('junk')]))
  const client = await connectErps(t, service.port)
  client.send(Buffer.concat([keepalive, latin1, keepalive, keepalive, trailing, call(3)]))
  assert.deepEqual([await client.next(), await client.next(), await client.next()], [['reply', new Tuple(atom('ping'), 1)], ['reply', new Tuple(2, 2)], ['reply', new Tuple(3, 3)]])
  client.socket.setNoDelay(true)
  for (const byte of Buffer.concat([call(4), keepalive, call(5)])) client.send(Buffer.of(byte))
  assert.deepEqual([await client.next(), await client.next()], [['reply', new Tuple(4, 4)], ['reply', new Tuple(5, 5)]])
})

test('what a server of the original ends its connection for ends ours, without a word, and no other', async (t) => {
  const service = await serve(t, ping)
  const other = await connectErps(t, service.port)
  const pair = encode(new Tuple(1, 2))
  const seven = packetBytes('cast', pair)
  seven[8] = 7
  const faults: [string, Buffer][] = [
    ['junk', Buffer.from('GET / HTTP/1.1\r\n\r\n')],
    ['an unknown type', seven],
    ['a reply', packetBytes('reply', pair)], ['a push', packetBytes('push', pair)], ['an error', packetBytes('error', pair)],
    ['a call of no tuple', packetBytes('call', encode([1, 2]))],
    ['a call of three', packetBytes('call', encode(new Tuple(1, 2, 3)))],
    ['no term', packetBytes('cast', Buffer.from('not a term'))],
    ['an empty payload', packetBytes('cast', Buffer.alloc(0))],
    ['a cut term', packetBytes('cast', Buffer.from('836d0000000961', 'hex'))],
    ['a function', packetBytes('cast', Buffer.from('8371770164770166' + '6101', 'hex'))],
    ['a payload without end', Buffer.from('65727073ffffffff0800000000', 'hex')],
  ]
  for (const [what, bytes] of faults) {
    const client = await raw(t, service.port)
    client.send(bytes)
    assert.equal((await client.ended).length, 0, what)
  }
  assert.deepEqual(await other.ask(1), atom('pong'))
})

test('a handler that fails ends the connection of an original, and only the call of a Waystation; neither hears why', async (t) => {
  const ends = createInbox<string>('end')
  const service = await serve(t, {
    call(request) { if (request === 0) throw new Error('a secret'); return request },
    disconnected: (_connection, why) => ends.push(why),
  })
  const [original, other] = [await connectErps(t, service.port), await connectErps(t, service.port)]
  await sayHello(other)
  other.call(1, 0)
  assert.deepEqual(await other.next(), ['error', new Tuple('call_failed', 1)])
  original.call(1, 1)
  original.call(2, 0)
  await original.ended
  assert.deepEqual(original.taken(), [['reply', new Tuple(1, 1)]])
  assert.equal(await ends.next(), 'failed')
  other.call(2, 2)
  assert.deepEqual(await other.next(), ['reply', new Tuple(2, 2)])
  assert.deepEqual(service.lines.map((line) => line.includes('a secret')), [true, true])
})

test('what is refused by the filter an original hears as its older servers say it, and goes on', async (t) => {
  const reached: Term[] = []
  const service = await serve(t, { call: (request) => (reached.push(request), request), cast: (request) => void reached.push(request), filter: (request) => request !== 0 })
  const client = await connectErps(t, service.port)
  client.call(1, 0)
  client.cast(0)
  assert.deepEqual([await client.next(), await client.next()], [['error', 'filtered'], ['error', 'filtered']])
  assert.equal(await client.ask(2), 2)
  await sayHello(client)
  client.call(3, 0)
  assert.deepEqual(await client.next(), ['error', new Tuple('forbidden', 3)])
  assert.deepEqual(reached, [2])
  assert.equal(await service.call(0), 0)
})

test('an original gets its packets one by one with the gap between them, a Waystation at once', async (t) => {
  const service = await serve(t, { call: (request) => request }, { packetGap: 60 })
  const [original, waystation] = [await connectErps(t, service.port), await connectErps(t, service.port)]
  await sayHello(waystation)
  const since = performance.now()
  const came: number[] = []
  for (const client of [original, waystation]) for (let i = 0; i < 4; i++) client.call(i, i)
  for (let i = 0; i < 4; i++) await waystation.next()
  const quick = performance.now() - since
  for (let i = 0; i < 4; i++) {
    await original.next()
    came.push(performance.now() - since)
  }
  assert.ok((came[3] ?? 0) >= 170, `${came}`)
  assert.ok(quick < (came[3] ?? 0), `${quick} ${came}`)
})

test('an original never hears a keepalive; a Waystation that is silent too long is let go', async (t) => {
  const service = await serve(t, ping, { limits: { serviceKeepalive: 50, serviceDeadline: 400, drainTime: 500 } })
  const [original, other] = [await connectErps(t, service.port), await connectErps(t, service.port)]
  await sayHello(other)
  assert.deepEqual(await other.next(), ['keepalive', []])
  await other.ended
  assert.deepEqual(original.taken(), [])
  assert.deepEqual(await original.ask(1), atom('pong'))
})

test('a Waystation states deadlines and takes calls back, and the handler sees it', async (t) => {
  const froms = createInbox<ServiceFrom<Term>>('call')
  const service = await serve(t, { call: (_request, from) => froms.push(from) })
  const client = await connectErps(t, service.port)
  await sayHello(client)
  client.packet('call', new Tuple(1, 0), { kind: 'terms', deadline: 100, times: 'once', key: undefined })
  client.packet('call', new Tuple(2, 0), { kind: 'terms', deadline: 60_000, times: 'once', key: undefined })
  const [brief, long] = [await froms.next(), await froms.next()]
  assert.deepEqual([brief.deadline, long.deadline], [100, 60_000])
  await new Promise((resolve) => brief.signal.addEventListener('abort', resolve))
  assert.equal(long.signal.aborted, false)
  client.packet('keepalive', new Tuple(2, []), { kind: 'cancel' })
  await new Promise((resolve) => long.signal.addEventListener('abort', resolve))
  assert.deepEqual([brief.reply(1), long.reply(1)], [false, false])
})

test('who offers work to a service is let go', async (t) => {
  const service = await serve(t, ping)
  const client = await connectErps(t, service.port)
  client.packet('keepalive', [], { kind: 'hello', nonce: Buffer.alloc(16), work: { service: 'x', slots: 1 } })
  await client.ended
  await until(() => service.lines.length > 0, 'a line')
  assert.match(service.lines[0] ?? '', /offers work/)
})

test('a service that closes answers what it has, takes no more, and settles', async (t) => {
  const froms = createInbox<ServiceFrom<Term>>('call')
  const service = await serve(t, { call: (_request, from) => froms.push(from) }, { limits: { drainTime: 20_000 } })
  const { port } = service
  const [busy, idle] = [await connectErps(t, port), await connectErps(t, port)]
  busy.call(1, 0)
  const from = await froms.next()
  await until(() => service.connections().length === 2, 'both')
  const closed = service.close()
  await idle.ended
  await assert.rejects(connectErps(t, port))
  busy.call(2, 0)
  assert.deepEqual(await busy.next(), ['error', new Tuple('stopped', 2)])
  assert.equal(from.reply('in time'), true)
  assert.deepEqual(await busy.next(), ['reply', new Tuple('in time', 1)])
  await Promise.all([busy.ended, closed])
})

test('what is not answered in time does not keep a service from closing', async (t) => {
  const froms = createInbox<ServiceFrom<Term>>('call')
  const service = await serve(t, { call: (_request, from) => froms.push(from) }, { limits: { drainTime: 50 } })
  const client = await connectErps(t, service.port)
  client.call(1, 0)
  const from = await froms.next()
  await service.close()
  await client.ended
  assert.deepEqual([from.signal.aborted, from.reply(0)], [true, false])
})

test('options that cannot be used are refused with sentences, and without secrets', async (t) => {
  const detail = async (options: ServeServiceOptions): Promise<string> => {
    const error = await serveService(options, ping).then(() => undefined, (thrown: Error & { code?: string; detail?: string }) => thrown)
    return `${error?.code} ${error?.detail}`
  }
  const tcp = { transport: 'tcp' } as const
  for (const [options, pattern] of [
    [{}, /^config_invalid\s+tls is missing/],
    [{ ...tcp, identifier: 'x'.repeat(37) }, /identifier has 37 bytes; 36 fit/],
    [{ ...tcp, identifier: 'x\0' }, /identifier must/],
    ...['1.0', '~> 1', 'latest', '', '=> 1.0.0', '>= 1.0.0 and'].map((versions) => [{ ...tcp, versions }, /no requirement of versions/] as const),
    [{ ...tcp, host: '0.0.0.0' }, /not this machine/],
    [{ ...tcp, matchAddress: true }, /matchAddress/],
    [{ ...tcp, packetGap: -1 }, /packetGap/],
    [{ ...tcp, port: 70_000 }, /port/],
    [{ ...tcp, limits: { maxCalls: 0 } }, /limits.maxCalls must/],
    [{ ...tcp, limits: { maxCalls: 1.5 } }, /limits.maxCalls must be a whole number of calls/],
    [{ ...tcp, limits: { maxNothing: 1 } as never }, /limits.maxNothing is no limit/],
    [{ ...tcp, signing: { keys: [] } }, /signing.*empty/],
    [{ ...tcp, signing: { keys: [{ id: 'a', secret: 'too short' }] } }, /^config_invalid\s+(?!.*too short).*16 bytes/],
    [{ ...tcp, transport: 'udp' as never }, /transport must be/],
    [{ ...tcp, identifer: 'x' } as never, /identifer is no option of serveService; did you mean identifier/],
    [{ tls: { cacertfile: 'a', certfile: 'b', keyfile: 'c', crlFile: 'd' } as never }, /tls.crlFile is no key of serveService; did you mean crlfile/],
  ] as const) assert.match(await detail(options), pattern)
  for (const [handlers, pattern] of [
    [undefined, /handlers are missing/],
    [{ cal: () => 1 }, /no handler is stated.*did you mean call/],
    [{ ...ping, filter: true }, /filter must be a function/],
  ] as const) {
    await assert.rejects(serveService(tcp, handlers as never), pattern)
    await assert.rejects(workService({ ...tcp, hub: '127.0.0.1:1', name: 'math' }, handlers as never), pattern)
  }
  const taken = createTcpServer().listen(0, '127.0.0.1')
  t.after(() => taken.close())
  await until(() => taken.listening, 'listening')
  assert.match(await detail({ ...tcp, port: (taken.address() as { port: number }).port }), /^listen_failed services: .* in use/)
})

/** What a client shows and trusts. */
const shows = (made: Made, ca: Made, more: ConnectionOptions = {}): ConnectionOptions => ({ cert: made.cert, key: made.key, ca: ca.cert, checkServerIdentity: () => undefined, ...more })

test('over TLS both ends prove who they are, by 1.2 and by 1.3, and the handler sees the names', async (t) => {
  const ca = await testAuthority(t)
  // As the tests of the original have it: the address as a DNS name, no common name.
  const tls = ca.write(await ca.server({ cn: '', ips: [], dns: ['127.0.0.1'] }))
  const service = await serve(t, { call: (_request, from) => [...(from.connection?.names ?? [])] }, { transport: 'tls', tls })
  const client = await ca.client({ cn: '', dns: ['127.0.0.1'], ips: ['192.0.2.7'] })
  for (const version of ['TLSv1.2', 'TLSv1.3'] as const) {
    const one = await connectErps(t, service.port, { tls: shows(client, ca.ca, { minVersion: version, maxVersion: version }) })
    assert.deepEqual(await one.ask(0), ['ip:192.0.2.7', 'dns:127.0.0.1'])
    one.socket.destroy()
  }
})

test('where the address is matched, a certificate must be for the one that its client comes from', async (t) => {
  const ca = await testAuthority(t)
  const service = await serve(t, ping, { transport: 'tls', tls: ca.write(await ca.server()), matchAddress: true })
  const good = await connectErps(t, service.port, { tls: shows(await ca.client({ ips: ['127.0.0.1'] }), ca.ca) })
  assert.deepEqual(await good.ask(0), atom('pong'))
  for (const wish of [{ ips: ['1.1.1.1'] }, { dns: ['127.0.0.1'] }, { cn: '127.0.0.1' }]) assert.equal(await attempt(t, service.port, shows(await ca.client(wish), ca.ca)), 'closed')
})

/** What becomes of a client that calls: an answer, or a connection that is closed by either end. */
async function attempt(t: TestContext, port: number, tls: ConnectionOptions): Promise<string> {
  const client: ErpsClient | Error = await connectErps(t, port, { tls }).catch((error: Error) => error)
  if (client instanceof Error) return 'closed'
  client.call(1, 1)
  return Promise.race([client.ended.then(() => 'closed'), client.next().then(() => 'answer', () => 'closed')])
}

test('of the faults of TLS each ends in its handshake, is logged once, and leaves the others alone', async (t) => {
  const ca = await testAuthority(t)
  const stranger = await testAuthority(t)
  const service = await serve(t, ping, { transport: 'tls', tls: ca.write(await ca.server()), limits: { serviceHandshakeTimeout: 300, drainTime: 500 } })
  const [good, foreign] = [await ca.client(), await stranger.client()]
  const stays = await connectErps(t, service.port, { tls: shows(good, ca.ca) })
  for (const version of ['TLSv1.2', 'TLSv1.3'] as const) {
    const bounds = { minVersion: version, maxVersion: version }
    const cases: [string, ConnectionOptions, string][] = [
      ['another CA on both sides', shows(foreign, stranger.ca, bounds), 'closed'],
      ['a certificate of another CA', shows(foreign, ca.ca, bounds), 'closed'],
      ['no certificate', { ca: ca.ca.cert, checkServerIdentity: () => undefined, ...bounds }, 'closed'],
      ['a certificate for servers', shows(await ca.server(), ca.ca, bounds), 'closed'],
      ['good', shows(good, ca.ca, bounds), 'answer'],
    ]
    for (const [what, options, expected] of cases) assert.equal(await attempt(t, service.port, options), expected, `${what} ${version}`)
  }
  const plain = await raw(t, service.port)
  plain.send(packetBytes('cast', encode(0)))
  const silent = await raw(t, service.port)
  await Promise.all([plain.ended, silent.ended])
  assert.deepEqual(await stays.ask(0), atom('pong'))
  await until(() => service.lines.length > 0, 'a line')
})

test('with a key that is not its certificate\'s nobody gets in, and a daemon does not start', async (t) => {
  const ca = await testAuthority(t)
  const [mine, other] = [await ca.server(), await ca.server()]
  await assert.rejects(serveService({ tls: ca.write({ cert: mine.cert, key: other.key }) }, ping), (error: Error & { code: string }) => error.code === 'config_invalid' && /is not the key of/.test(error.message))
})
