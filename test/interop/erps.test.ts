import assert from 'node:assert/strict'
import { join } from 'node:path'
import { test } from 'node:test'
import { WaystationError } from '../../src/core/errors.ts'
import { Atom, Tuple, type Term } from '../../src/protocol/etf/term.ts'
import { connectService, type ConnectedService, type ConnectServiceOptions } from '../../src/server/connect-service.ts'
import { serveService, type ServeServiceOptions, type ServiceConnection, type ServiceFrom, type ServiceHandlers } from '../../src/server/serve-service.ts'
import { temporaryFolder } from '../support/certificates.ts'
import { createInbox, until, type Inbox } from '../support/events.ts'
import { linkCertificates } from '../support/link-certificates.ts'
import { needs } from '../support/parts.ts'
import { startServer } from '../support/server.ts'
import { ERLANG_WITH_SSL } from './erlang-node.ts'
import { security, startErps, unique, WAYS, type Way } from './erps-peer.ts'

/*
 * A real Erlang node at the other end of the wire: its runtime's TLS, its coder of terms, its table of atoms. The client and
 * the server are written from the protocol document, with what is wrong with them: see `erps-peer.test.ts`. The tests run
 * side by side, for mostly they wait for an original client, which looks for an answer ten times a second.
 */

const atom = (name: string): Atom => new Atom(name)
const tuple = (...elements: readonly Term[]): Tuple => new Tuple(...elements)
const zeros = new Uint8Array(10_240)
const ATOMS = ['ping', 'pong', 'echo', 'hold', 'push', 'put', 'stop', 'is_remote', 'send']
/**
 * ms between two packets where no more is said: as long as the node may be without a processor before it finds two at
 * once. What is left where nobody says is tested on a clock that is turned by hand.
 */
const GAP = 60
/** What is said to the log here is what is tested. */
const quiet = { info() {}, warn() {}, error() {} }

/** A service of ours, and what it is asked. */
interface Ours {
  readonly port: number
  readonly casts: Inbox<Term>
  readonly held: Inbox<ServiceFrom<Term>>
  readonly connected: Inbox<ServiceConnection<Term>>
  readonly disconnected: Inbox<string>
  close(): Promise<void>
}

test('Erps, a real Erlang node at the other end', { ...needs(ERLANG_WITH_SSL), concurrency: true }, async (t) => {
  const erps = await startErps(t)
  const certificates = linkCertificates(join(temporaryFolder(t), 'ca'))
  const files = { daemon: await certificates.server('daemon'), client: await certificates.client('client') }
  const subtests: Promise<void>[] = []
  const it = (name: string, body: () => Promise<void>): void => void subtests.push(t.test(name, () => erps.undisturbed(GAP / 2, body)))

  async function serve(way: Way, options: Partial<ServeServiceOptions> = {}, handlers: ServiceHandlers<Term> = {}): Promise<Ours> {
    const casts = createInbox<Term>('cast')
    const held = createInbox<ServiceFrom<Term>>('call that is held')
    const connected = createInbox<ServiceConnection<Term>>('connection')
    const disconnected = createInbox<string>('end of a connection')
    const service = await serveService({ ...(way === 'tcp' ? { transport: 'tcp' } : { tls: files.daemon, host: '127.0.0.1' }), atoms: ATOMS, packetGap: way === 'tcp' ? 120 : GAP, logger: quiet, ...options }, {
      call(request: Term, from: ServiceFrom<Term>) {
        if (request instanceof Atom && request.name === 'ping') return atom('pong')
        if (request instanceof Atom && request.name === 'is_remote') return from.remote
        if (!(request instanceof Tuple)) throw new Error('what is this?')
        const [what, term] = request.elements as [Atom, Term]
        if (what.name === 'echo') return term
        if (what.name === 'send') return atom('ok')
        held.push(from)
        return undefined
      },
      cast: (request) => casts.push(request),
      connected: (connection) => connected.push(connection),
      disconnected: (_, why, detail) => disconnected.push(`${why} ${detail}`),
      ...handlers,
    })
    t.after(service.close)
    return { port: service.port, casts, held, connected, disconnected, close: service.close }
  }

  /** A client over there of a service of ours. */
  async function original(way: Way, { port, connected }: Ours, more = ''): Promise<{ client: string; connection: ServiceConnection<Term> }> {
    const client = unique('client')
    const tls = security(way, files.client)
    await erps.client(client, `port => ${port}${tls && `, ${tls}`}${more && `, ${more}`}`)
    return { client, connection: await connected.next() }
  }

  for (const way of WAYS) {
    it(`over ${way} an original client calls, casts and is pushed to, and notices nothing`, async () => {
      const ours = await serve(way, { identifier: 'my_api', versions: '~> 0.2.4' })
      const { client, connection } = await original(way, ours, 'version => {0, 2, 5}, identifier => <<"my_api">>, compressed => true')
      assert.deepEqual([connection.peer, connection.address], ['erps', '127.0.0.1'])
      // All at once, as an original cannot take them itself.
      const terms = ['ok', '#{<<"n">> => [1, 2.5, nil, ok, <<"x">>]}', '{1 bsl 100, -1, "text", [ok | error], <<5:3>>}', '{self(), make_ref()}']
      const calls = terms.map((term) => erps.evaluate(`T = ${term}, call(${client}, {echo, T}, 5000) =:= T`))
      for (let i = 0; i < 10; i++) void erps.cast(client, `{put, ${i}}`)
      const large = erps.evaluate(`call(${client}, {echo, <<0:81920>>}, 5000) =:= <<0:81920>>`)
      assert.deepEqual(await Promise.all([...calls, large, erps.call(client, 'is_remote')]), [...terms.map(() => 'true'), 'true', 'true'])
      const casts = (await ours.casts.take(10)).map((term) => (term as Tuple).elements[1])
      assert.deepEqual(casts.toSorted(), [0, 1, 2, 3, 4, 5, 6, 7, 8, 9])

      erps.events('got', client).taken()
      connection.push(tuple(atom('push'), zeros))
      for (let i = 1; i < 20; i++) connection.push(tuple(atom('push'), i))
      const [first, ...pushed] = await erps.events('got', client).take(20, 5_000)
      assert.equal(`<<"${(first as string[])[3]}">>`, await erps.evaluate('digest({push, <<0:81920>>})'))
      assert.deepEqual(pushed.map(([, type, term]) => `${type} ${term}`), Array.from({ length: 19 }, (_, i) => `push {push,${i + 1}}`))
      assert.deepEqual(erps.complaints(client), [])
      await erps.stop(client)
      assert.match(await ours.disconnected.next(), /^lost/)
      await ours.close()
    })

    it(`over ${way} answers reach an original client late, in another order, and two at once`, async () => {
      const ours = await serve(way)
      const { client } = await original(way, ours, 'keepalive => 70')
      const call = async (key: number, timeout?: number): Promise<{ answer: Promise<string>; from: ServiceFrom<Term> }> => {
        const answer = erps.call(client, `{hold, ${key}}`, timeout)
        return { answer, from: await ours.held.next(5_000) }
      }
      const late = await call(0, 1)
      assert.equal(await late.answer, '{exit,timeout}')
      const [one, two] = [await call(1), await call(2)]
      for (const [{ from }, answer] of [[two, 2], [late, 0], [one, 1]] as const) assert.equal(from.reply(answer), true)
      assert.deepEqual(await Promise.all([one.answer, two.answer]), ['1', '2'])
      assert.equal(one.from.reply(17), false)
      assert.equal(await erps.call(client, 'ping'), 'pong')
      assert.deepEqual(erps.complaints(client), [])
      await erps.stop(client)
      await ours.close()
    })
  }

  it('an original client reads why it is refused, and is let go', async () => {
    const cases: [string, string][] = [['', 'wrong identifier'], ['identifier => <<"my_api">>, version => {0, 3, 0}', 'incompatible version']]
    await Promise.all(cases.map(async ([stated, text]) => {
      const ours = await serve('tcp', { identifier: 'my_api', versions: '~> 0.2.4' })
      const { client } = await original('tcp', ours, stated)
      assert.equal(await erps.call(client, 'ping'), '{exit,disconnected}')
      assert.deepEqual((await erps.events('got', client).next()).slice(1, 3), ['error', `<<"${text}">>`])
      assert.equal(await ours.disconnected.next(), `refused ${text}`)
      assert.deepEqual(erps.complaints(client), [])
      await ours.close()
    }))
  })

  it('an original client is told what is filtered, and what it may not do ends its connection, without a word of why', async () => {
    const ours = await serve('tcp', {}, { filter: (request) => !(request instanceof Atom && request.name === 'stop') })
    const filtered = await original('tcp', ours)
    const call = erps.call(filtered.client, 'stop', 250)
    await erps.cast(filtered.client, 'stop')
    await erps.cast(filtered.client, '{put, 1}')
    assert.deepEqual((await ours.casts.next() as Tuple).elements[1], 1)
    for (const [, type, text] of await erps.events('got', filtered.client).take(2)) assert.deepEqual([type, text], ['error', '<<"filtered">>'])
    assert.equal(await call, '{exit,timeout}')
    assert.equal(await erps.call(filtered.client, 'ping'), 'pong')
    assert.deepEqual([ours.casts.taken(), erps.complaints(filtered.client)], [[], []])

    for (const [request, why] of [['gen_server', /^bad_term/], ['ok', /^failed what is this\?/]] as const) {
      const { client } = await original('tcp', ours)
      assert.equal(await erps.call(client, request), '{exit,disconnected}')
      assert.match(await ours.disconnected.next(), why)
      assert.deepEqual([erps.events('got', client).taken(), erps.complaints(client)], [[], []])
    }
    filtered.connection.disconnect()
    assert.deepEqual(await erps.events('ended', filtered.client).next(), ['1', 'disconnected'])
    await ours.close()
  })

  /** A daemon over there with a client of ours. */
  async function connected(way: Way, ofDaemon = '', more: Partial<ConnectServiceOptions> = {}): Promise<{ daemon: string; port: number; service: ConnectedService<Term>; pushes: Inbox<Term> }> {
    const daemon = unique('daemon')
    const pushes = createInbox<Term>(`push of ${daemon}`)
    const port = await erps.daemon(daemon, [security(way, files.daemon), ofDaemon].filter((text) => text !== '').join())
    const service = await connectService({ server: '127.0.0.1', port, ...(way === 'tcp' ? { transport: 'tcp' } : { tls: files.client }), reconnect: 50, packetGap: GAP, onPush: (term) => pushes.push(term), logger: quiet, ...more })
    t.after(service.close)
    // A handshake may take longer than the limit over there; then there is another.
    await until(() => service.state.state === 'up', 'the client is connected')
    return { daemon, port, service, pushes }
  }
  const code = (promise: Promise<unknown>): Promise<unknown> => promise.then((value) => `answered ${String(value)}`, (error: WaystationError) => error.code)

  for (const way of WAYS) {
    it(`over ${way} our client calls an original server and casts to it, many at once, and the server notices nothing`, async () => {
      const { daemon, service, pushes } = await connected(way, 'identifier => <<"my_api">>', { identifier: 'my_api', version: '0.2.5', compressed: true })
      const answers = Array.from({ length: 20 }, (_, i) => service.call(tuple(atom('echo'), i)))
      assert.deepEqual(await Promise.all(answers), Array.from({ length: 20 }, (_, i) => i))
      const [first, ...rest] = erps.events('got', daemon).taken()
      assert.ok(Number((first as string[])[4]) > 0, 'what a Waystation says first stands behind the first term')
      assert.deepEqual(rest.filter(([, , , , behind]) => behind !== '0'), [])
      assert.deepEqual((first as string[]).slice(5), ['{0,2,5}', 'my_api'])

      for (let i = 0; i < 3; i++) service.cast(tuple(atom('put'), i))
      assert.deepEqual(await service.call(atom('state')), 2)
      assert.deepEqual([await service.call(atom('ping')), await service.call(atom('is_remote'))], [atom('pong'), true])
      assert.deepEqual(await service.call(tuple(atom('echo'), zeros)), zeros)
      // Without any gap, as originals do.
      await erps.evaluate(`send_to(${daemon}, [packet(push, N) || N <- lists:seq(1, 20)], 0)`)
      assert.deepEqual(await pushes.take(20, 5_000), Array.from({ length: 20 }, (_, i) => i + 1))
      assert.equal(service.state.state === 'up' && service.state.peer, 'erps')
      await service.close()
      assert.deepEqual((await erps.events('ended', daemon).next())[1], 'disconnected')
      assert.deepEqual(erps.complaints(daemon), [])
      await erps.stop(daemon)
    })
  }

  it('over TCP our client spares a server whose callbacks take long, over TLS it need not', async () => {
    await Promise.all((['tcp', 'tlsv1.3'] as const).map(async (way) => {
      const { daemon, service } = await connected(way)
      const answers = [1, 2, 3].map((n) => service.call(tuple(atom('busy'), n === 1 ? 250 : 0, n)))
      assert.deepEqual(await Promise.all(answers), [1, 2, 3])
      assert.deepEqual(erps.complaints(daemon), [])
      await service.close()
      await erps.stop(daemon)
    }))
  })

  it('answers of an original server come in another order, and too late, and never to another call', async () => {
    const { daemon, service } = await connected('tlsv1.3')
    assert.deepEqual(await service.call(atom('ping')), atom('pong'))
    const late = code(service.call(tuple(atom('hold'), 0), { timeout: 2 * GAP }))
    await erps.events('held', daemon).next()
    assert.equal(await late, 'deadline')
    const calls = [1, 2, 3].map((key) => service.call(tuple(atom('hold'), key)))
    await erps.events('held', daemon).take(3)
    for (const key of [3, 0, 1, 2]) await erps.evaluate(`answer(${daemon}, ${key}, {push, ${key}})`)
    assert.deepEqual(await Promise.all(calls), [1, 2, 3].map((key) => tuple(atom('push'), key)))
    assert.equal(service.counters.late, 1)
    assert.equal(await service.call(tuple(atom('stop_reply'), 1)), 1)
    assert.deepEqual(erps.complaints(daemon), [])
    await service.close()
    await erps.stop(daemon)
  })

  it('our client survives the death of an original server, and of its daemon', async () => {
    const { daemon, port, service } = await connected('tlsv1.2')
    const lost = code(service.call(tuple(atom('hold'), 1)))
    await erps.events('held', daemon).next()
    await erps.evaluate(`kill_servers(${daemon})`)
    assert.equal(await lost, 'worker_lost')
    await until(() => service.state.state === 'up', 'the client is back')
    assert.deepEqual(await service.call(atom('ping')), atom('pong'))
    await erps.stop(daemon)
    await until(() => service.state.state === 'down', 'the daemon is gone')
    assert.equal(await code(service.call(atom('ping'))), 'disconnected')
    await erps.daemon(daemon, `port => ${port}, ${security('tlsv1.2', files.daemon)}`)
    await until(() => service.state.state === 'up', 'the client is back again')
    assert.deepEqual(await service.call(atom('ping')), atom('pong'))
    await service.close()
    await erps.stop(daemon)
  })

  it('all calls to a server that is deaf fail at once, with its reason', async () => {
    const { daemon, service } = await connected('tcp', 'identifier => <<"my_api">>', { reconnect: 60_000, timeout: 30_000 })
    const calls = [1, 2, 3].map((n) => service.call(tuple(atom('echo'), n)).catch((error: WaystationError) => `${error.code} ${error.detail}`))
    for (const outcome of await Promise.all(calls)) assert.match(String(outcome), /^(service_refused|disconnected) .*wrong identifier/)
    assert.deepEqual(await erps.events('deaf', daemon).next(), ['1', 'wrong identifier'])
    assert.deepEqual(erps.complaints(daemon), [])
    await service.close()
    await erps.stop(daemon)
  })

  it('our client keeps an original server alive, and never with two packets at once', async () => {
    const { daemon, service } = await connected('tcp', '', { keepalive: 60 })
    const keepalives = async (n: number): Promise<void> => {
      while (n > 0) if ((await erps.events('got', daemon).next())[1] === 'keepalive') n--
    }
    await Promise.all([keepalives(4), ...[1, 2, 3, 4].map((n) => service.call(tuple(atom('busy'), 20, n)))])
    assert.deepEqual(erps.complaints(daemon), [])
    await service.close()
    await erps.stop(daemon)
  })

  it('an original client calls an original server through a hub, by its identifier, and so does whoever speaks HTTP', async () => {
    const daemon = unique('daemon')
    const port = await erps.daemon(daemon, `${security('tlsv1.3', files.daemon)}, identifier => <<"my_api">>`)
    const { cacertfile: serviceCacertfile, certfile: serviceCertfile, keyfile: serviceKeyfile } = files.daemon
    const hub = await startServer(t, {
      servicePort: 0, serviceHost: '127.0.0.1', serviceAtoms: ['ping', 'echo', 'put', 'state'], serviceCacertfile, serviceCertfile, serviceKeyfile,
      services: [{ name: 'my_api', servers: [{ server: '127.0.0.1', port }], tls: files.client, identifier: 'my_api', packetGap: GAP }],
    })
    const client = unique('client')
    await erps.client(client, `port => ${hub.servicePort}, identifier => <<"my_api">>, ${security('tlsv1.3', files.client)}`)
    // The hub itself may not be connected yet.
    await until(async () => await erps.call(client, 'ping') === 'pong', 'the call arrives')
    assert.equal(await erps.evaluate(`T = {echo, #{self() => [1.0, <<5:3>>]}}, {echo, E} = T, call(${client}, T, 5000) =:= E`), 'true')
    await erps.cast(client, '{put, <<"through a hub">>}')
    await until(async () => await erps.evaluate(`local(${daemon}, state)`) === '<<"through a hub">>', 'the cast arrives')
    const response = await fetch(new URL('/_/call/my_api', hub.url), { method: 'POST', body: '{"$atom":"state"}', headers: { 'content-type': 'application/json' } })
    assert.deepEqual([response.status, await response.text()], [200, '"through a hub"'])
    assert.deepEqual([erps.complaints(client), erps.complaints(daemon)], [[], []])
    await erps.stop(client)
    await erps.stop(daemon)
  })

  await Promise.all(subtests)
})
