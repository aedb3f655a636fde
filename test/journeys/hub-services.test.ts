import assert from 'node:assert/strict'
import { once } from 'node:events'
import { writeFileSync } from 'node:fs'
import { createServer as createTcpServer, type AddressInfo } from 'node:net'
import { join } from 'node:path'
import { test, type TestContext } from 'node:test'
import { drawSnapshot } from '../../src/cli/attach-view.ts'
import { attach } from '../../src/cli/attach.ts'
import { status } from '../../src/cli/status.ts'
import { createServer } from '../../src/index.ts'
import { encode } from '../../src/protocol/etf/encode.ts'
import { Atom, Tuple, type Term } from '../../src/protocol/etf/term.ts'
import { connectService } from '../../src/server/connect-service.ts'
import type { Snapshot } from '../../src/server/control-messages.ts'
import { createLogger } from '../../src/server/log.ts'
import { serveService } from '../../src/server/serve-service.ts'
import { workService, type WorkerState } from '../../src/server/work-service.ts'
import { universe, type Universe } from '../../src/testing/universe.ts'
import { temporaryFolder } from '../support/certificates.ts'
import { runCommand } from '../support/command.ts'
import { createInbox, until, type Inbox } from '../support/events.ts'
import { hashed, openDatabase } from '../support/keys.ts'
import { knownHub } from '../support/known-hub.ts'
import { linkCertificates } from '../support/link-certificates.ts'
import { rawErpsServer, requestOf } from '../support/raw-erps-server.ts'
import { startServer } from '../support/server.ts'
import { connect } from '../support/websocket.ts'

/* A hub as those see it who call by way of it: over HTTP, a WebSocket and Erps, to its workers and to daemons that it calls. */

const QUIET = createLogger('silent')
const QUICK = { serviceRetry: 10, maxServiceRetry: 20 } as const
const never = new Promise<never>(() => {})

interface Answer {
  readonly status: number
  readonly body: unknown
  readonly headers: Headers
}

async function post(url: string, path: string, value: unknown, headers: Record<string, string> = {}): Promise<Answer> {
  const isTerm = value instanceof Uint8Array
  const response = await fetch(`${url}/_/${path}`, { method: 'POST', headers: { 'Content-Type': isTerm ? 'application/x-erlang-term' : 'application/json', ...headers }, body: isTerm ? value as Uint8Array<ArrayBuffer> : JSON.stringify(value) })
  const text = await response.text()
  return { status: response.status, headers: response.headers, body: text === '' ? '' : JSON.parse(text) }
}

/** The status, and the code of an error or the answer. */
async function ask(url: string, path: string, value: unknown, headers: Record<string, string> = {}): Promise<[number, unknown]> {
  const { status: got, body } = await post(url, path, value, headers)
  return [got, got < 400 ? body : (body as { code: string }).code]
}

/** A call that somebody holds until the test answers it. */
interface Held {
  readonly by: string
  readonly request: unknown
  answer(value: string): void
}

async function holder(world: Universe, calls: Inbox<Held>, by: string, drainTime = 20_000): ReturnType<Universe['workService']> {
  return world.workService('held', { as: 'json', limits: { drainTime, ...QUICK } }, {
    call: (request) => new Promise<string>((resolve) => calls.push({ by, request, answer: resolve })),
  })
}

async function takenPort(t: TestContext): Promise<{ port: number; free(): Promise<void> }> {
  const other = createTcpServer().listen(0, '127.0.0.1')
  t.after(() => other.close())
  await once(other, 'listening')
  return {
    port: (other.address() as AddressInfo).port,
    async free() {
      other.close()
      await once(other, 'close')
    },
  }
}

test('whichever way it comes in, a call reaches a worker or a daemon; metrics, status and readiness say how they are', async (t) => {
  const casts = createInbox<unknown>('cast')
  const daemonAt = (port: number): ReturnType<typeof serveService> => serveService({ transport: 'tcp', port, packetGap: 0, as: 'json', logger: QUIET, limits: { drainTime: 10 } }, { call: (request) => ({ daemon: request }), cast: casts.push })
  const daemon = await daemonAt(0)
  const { port } = daemon
  const { server, folder } = await knownHub(t, {
    ...QUICK, serviceServer: { port: 0, transport: 'tcp' }, drainTime: 100,
    serviceRules: [{ services: '*', call: 'anyone' }],
    services: [{ name: 'far', servers: [{ server: '127.0.0.1', port }], transport: 'tcp', packetGap: 0 }, { name: 'idle' }],
  })
  await using worker = await workService({ hub: `127.0.0.1:${server.servicePort}`, name: 'near', transport: 'tcp', as: 'json', logger: QUIET }, { call: (request) => ({ worker: request }), cast: casts.push })
  const { url } = server
  const ready = async (query = ''): Promise<[number, string]> => {
    const response = await fetch(`${url}/_/readyz${query}`)
    return [response.status, await response.text()]
  }
  await until(async () => (await ready())[0] === 200 && worker.state.state === 'working', 'both')

  assert.deepEqual([await ask(url, 'call/near', 1), await ask(url, 'call/far', [2])], [[200, { worker: 1 }], [200, { daemon: [2] }]])
  assert.deepEqual([await ask(url, 'cast/near', 'n'), await ask(url, 'cast/far', 'f')], [[202, ''], [202, '']])
  assert.deepEqual((await casts.take(2)).sort(), ['f', 'n'])
  const socket = await connect(t, `${url.replace('http', 'ws')}/_/call`)
  for (const [id, service] of [[1, 'near'], [2, 'far']]) {
    socket.send(JSON.stringify({ id, service, call: id }))
    assert.deepEqual(JSON.parse(await socket.next()), { id, answer: { [id === 1 ? 'worker' : 'daemon']: id } })
  }
  for (const [identifier, expected] of [['near', { worker: 'x' }], ['far', { daemon: 'x' }]] as const) {
    await using caller = await connectService({ server: '127.0.0.1', port: server.servicePort as number, transport: 'tcp', as: 'json', identifier, logger: QUIET })
    assert.deepEqual(await caller.call('x'), expected)
  }
  const none = await post(url, 'call/idle', 1)
  assert.deepEqual([none.status, (none.body as { code: string }).code, none.headers.get('retry-after')], [503, 'no_worker', '1'])
  assert.deepEqual(await ask(url, 'call/nothing', 1), [404, 'no_service'])

  const page = await (await fetch(`${url}/_/metrics`)).text()
  for (const line of [
    'waystation_calls_total{result="ok"} 6', 'waystation_calls_total{result="no_worker"} 1', 'waystation_calls_total{result="no_service"} 1',
    'waystation_calls{state="running"} 0', 'waystation_workers{service="near"} 1', 'waystation_workers{service="far"} 1', 'waystation_workers{service="idle"} 0',
    'waystation_connections{transport="calls"} 1',
  ]) assert.ok(page.split('\n').includes(line), line)
  assert.match(page, /^waystation_connections\{transport="service"\} [123]$/m)

  await daemon.close()
  await until(async () => (await ready())[0] === 503, 'readiness to say so')
  assert.deepEqual(await ready(), [503, 'a service is down\n'])
  assert.deepEqual(await ready('?exclude=services'), [200, 'ready, without its services\n'])
  assert.deepEqual(await ask(url, 'call/far', 1), [503, 'no_worker'])
  const shown = async (): Promise<string> => (await runCommand(status, ['--data-dir', folder], { cwd: folder })).out
  await until(async () => (await shown()).includes('ECONNREFUSED'), 'the reason')
  const out = await shown()
  assert.ok(out.includes(`\n  service:      far, 0 workers, 0 calls running, 0 waiting; down: 127.0.0.1:${port}: connect ECONNREFUSED 127.0.0.1:${port}\n`), out)
  assert.ok(out.includes('\n  service:      near, 1 worker, 0 calls running, 0 waiting\n'), out)
  const snapshot = JSON.parse((await runCommand(attach, ['--data-dir', folder, '--json'], { cwd: folder, stop: AbortSignal.timeout(200) })).out.split('\n')[0] as string) as Snapshot
  const lines = drawSnapshot(snapshot, { columns: 120, rows: 40, colour: 'no' }).filter((line) => line.startsWith('service '))
  assert.deepEqual(lines.sort(), [`service      far  0 workers  0 running  0 waiting  127.0.0.1:${port}: connect ECONNREFUSED 127.0.0.1:${port}`, 'service      near  1 worker  0 running  0 waiting'])

  const again = await daemonAt(port)
  await until(async () => (await ready())[0] === 200, 'readiness to come back')
  assert.deepEqual(await ask(url, 'call/far', 3), [200, { daemon: 3 }])
  await again.close()
})

test('what a daemon of Erps cannot know fails its own call or cast, is never sent, and leaves the connection to the others', async (t) => {
  const erps = await rawErpsServer()
  t.after(() => erps.close())
  await using world = await universe({
    ...QUICK, serviceAtoms: ['ping'],
    services: [{ name: 'legacy', servers: [{ server: '127.0.0.1', port: erps.port }], transport: 'tcp', packetGap: 0 }],
  })
  const { url } = world
  const client = await erps.clients.next()
  const term = (value: Term): Uint8Array => Uint8Array.from(encode(value))
  await until(async () => (await ask(url, 'cast/legacy', 'there'))[0] === 202, 'the daemon')
  assert.equal((await client.inbox.next()).type, 'cast')

  const unknown = term([new Tuple(new Atom('unheard_of'), 1)])
  const refused = await post(url, 'call/legacy', unknown)
  assert.deepEqual([refused.status, (refused.body as { code: string }).code], [400, 'bad_request'])
  assert.match((refused.body as { detail: string }).detail, /an atom that is not known; the option serviceAtoms says which/)
  const cast = await post(url, 'cast/legacy', unknown)
  assert.deepEqual([cast.status, (cast.body as { code: string }).code], [400, 'bad_request'])
  await using caller = await world.connectService('legacy', { atoms: ['unheard_of'] })
  await assert.rejects(caller.call(new Atom('unheard_of')), { code: 'bad_request' })

  const known = ask(url, 'call/legacy', term(new Atom('ping')))
  const packet = await client.inbox.next()
  assert.deepEqual([packet.type, requestOf(packet)], ['call', new Atom('ping')])
  client.reply(packet, 7)
  assert.deepEqual(await known, [200, 7])

  // A worker looks at what it gets by itself, so it gets what the daemon does not.
  await world.workService('legacy', { safe: false }, { call: () => 'worker' })
  assert.deepEqual(await ask(url, 'call/legacy', unknown), [200, 'worker'])
  assert.deepEqual([client.inbox.taken(), erps.clients.taken()], [[], []])
})

test('the rules say who may call over HTTP: anyone, whoever has proved himself, this machine, or nobody', async (t) => {
  const services = ['anyone', 'signed', 'local', 'nobody', 'unstated']
  const away = { 'X-Forwarded-For': '192.0.2.1' }
  const token = { Authorization: 'Bearer the-token' }
  const hub = await startServer(t, {
    trustedProxies: ['127.0.0.1'], toBroadcastersAuth: 'token', toBroadcastersSecret: 'the-token',
    serviceServer: { port: 0, transport: 'tcp', rules: (['anyone', 'signed', 'local', 'nobody'] as const).map((call) => ({ services: call, call })) }, services: services.map((name) => ({ name })),
  })
  // Nobody works here: whoever may call is told that, and not 403.
  const may = async (name: string, headers: Record<string, string>): Promise<boolean> => {
    const [code, what] = await ask(hub.url, `call/${name}`, 1, headers)
    assert.deepEqual([code, what], code === 503 ? [503, 'no_worker'] : [403, 'forbidden'])
    assert.equal((await ask(hub.url, `cast/${name}`, 1, headers))[0], code)
    return code === 503
  }
  const table = await Promise.all([{}, away, token, { ...away, ...token }].map((headers) => Promise.all(services.map((name) => may(name, headers)))))
  assert.deepEqual(table, [
    [true, false, true, false, true],
    [true, false, false, false, false],
    [true, true, true, false, true],
    [true, true, false, false, true],
  ])
  for (const Authorization of ['Bearer another', 'Bearer', 'Bearer the-token twice']) assert.deepEqual(await ask(hub.url, 'call/anyone', 1, { Authorization }), [403, 'key_refused'], Authorization)
  // Over plain TCP nobody has proved himself.
  for (const [identifier, code] of [['signed', 'forbidden'], ['local', 'no_worker']] as const) {
    await using caller = await connectService({ server: '127.0.0.1', port: hub.servicePort as number, transport: 'tcp', identifier, logger: QUIET })
    await assert.rejects(caller.call(1), { code })
  }
})

test('by Erps certificates say who calls and who works, in globs over their names', async (t) => {
  const ca = linkCertificates(temporaryFolder(t))
  const [tls, shop, pay, other] = [await ca.server('hub'), await ca.client('shop-1'), await ca.client('pay-1'), await ca.client('other')]
  const { servicePort: port = 0, url } = await startServer(t, {
    drainTime: 200,
    serviceServer: { port: 0, tls, rules: [{ services: 'pay', callers: ['shop-*'], workers: ['pay-*'] }, { services: 'shut', call: 'nobody' }] },
    services: [{ name: 'shut' }],
  })
  const at = { server: '127.0.0.1', port } as const
  const states = createInbox<WorkerState>('state')
  const handlers = { call: (request: unknown) => `${String(request)} paid` } as const
  await using stranger = await workService({ hub: at, name: 'pay', tls: other, as: 'json', logger: QUIET, onState: states.push }, handlers)
  assert.deepEqual(await states.next(), { state: 'down', why: 'the hub refuses this worker: forbidden' })
  await stranger.close()
  const working = Promise.withResolvers<void>()
  await using worker = await workService({ hub: at, name: 'pay', tls: pay, as: 'json', logger: QUIET, onState: ({ state }) => state === 'working' && working.resolve() }, handlers)
  await working.promise
  const call = async (whose: typeof shop, identifier: string): Promise<unknown> => {
    await using caller = await connectService({ ...at, tls: whose, as: 'json', identifier, logger: QUIET })
    return await caller.call(5).catch((error: { code: string }) => error.code)
  }
  assert.deepEqual([await call(shop, 'pay'), await call(pay, 'pay'), await call(other, 'pay')], ['5 paid', 'forbidden', 'forbidden'])
  assert.deepEqual([await call(shop, 'shut'), await call(shop, 'none')], ['forbidden', 'no_service'])
  assert.equal(worker.pending, 0)
  // The names are for Erps; over HTTP this machine calls.
  assert.deepEqual(await ask(url, 'call/pay', 6), [200, '6 paid'])
})

test('where every packet is signed, whoever has a key has proved himself, and the hub signs what it sends to daemons', async (t) => {
  const file = join(temporaryFolder(t), 'keys.json')
  writeFileSync(file, '{ "zone-1": "a secret of sixteen bytes or more" }')
  const signing = { keys: [{ id: 'zone-1', secret: 'a secret of sixteen bytes or more' }] }
  const tcp = { transport: 'tcp', as: 'json', logger: QUIET } as const
  await using daemon = await serveService({ ...tcp, port: 0, signing }, { call: () => 'far' })
  const { servicePort: port = 0, url } = await startServer(t, {
    ...QUICK, drainTime: 200, serviceServer: { port: 0, transport: 'tcp', keys: file, rules: [{ services: '*', call: 'signed' }, { services: 'near' }] },
    services: [{ name: 'far', servers: [{ server: '127.0.0.1', port: daemon.port }], transport: 'tcp' }],
  })
  const working = Promise.withResolvers<void>()
  await using worker = await workService({ ...tcp, hub: { server: '127.0.0.1', port }, name: 'near', signing, onState: ({ state }) => state === 'working' && working.resolve() }, { call: () => 'near' })
  await working.promise
  await until(async () => (await fetch(`${url}/_/readyz`)).status === 200, 'the daemon')
  for (const identifier of ['near', 'far']) {
    await using caller = await connectService({ ...tcp, server: '127.0.0.1', port, identifier, signing })
    assert.equal(await caller.call(1), identifier)
  }
  await using unsigned = await connectService({ ...tcp, server: '127.0.0.1', port, identifier: 'near' })
  await assert.rejects(unsigned.call(1), { code: 'service_refused' })
  assert.equal(worker.state.state, 'working')
})

test('services under a domain that has an API key are called with it; a WebSocket ends when the key is taken away', async (t) => {
  await using world = await universe({ serviceRules: [{ services: '*', call: 'anyone' }] })
  const { url, server } = world
  const database = openDatabase(t, server.options)
  await database.addKey(hashed('acme', 'the-key'))
  await world.workService('acme/math', { as: 'json' }, { call: (request) => request })
  await until(async () => (await ask(url, 'call/acme/math', 1))[0] === 403, 'the domain to be owned')
  const key = { Authorization: 'Bearer the-key' }
  assert.deepEqual(await ask(url, 'call/acme/math', 1), [403, 'forbidden'])
  assert.deepEqual(await ask(url, 'call/acme/math', 2, key), [200, 2])
  assert.deepEqual(await ask(url, 'cast/acme/math', 2, key), [202, ''])
  assert.deepEqual(await ask(url, 'call/acme/math', 3, { Authorization: 'Bearer wrong' }), [403, 'key_refused'])
  assert.deepEqual(await ask(url, 'call/other/math', 3, key), [403, 'key_refused'])
  await using caller = await world.connectService('acme/math')
  await assert.rejects(caller.call(1), { code: 'forbidden' })

  const ws = `${url.replace('http', 'ws')}/_/call`
  await assert.rejects(connect(t, ws, { headers: key }), { status: 403 })
  await assert.rejects(connect(t, `${ws}?domain=other`, { headers: key }), { status: 403 })
  const [plain, keyed] = [await connect(t, `${ws}?domain=acme`), await connect(t, `${ws}?domain=acme`, { headers: key })]
  for (const socket of [plain, keyed]) socket.send(JSON.stringify({ id: 1, service: 'acme/math', call: 4 }))
  assert.equal((JSON.parse(await plain.next()) as { error: { code: string } }).error.code, 'forbidden')
  assert.deepEqual(JSON.parse(await keyed.next()), { id: 1, answer: 4 })
  await database.changeKey('acme', { active: false })
  assert.deepEqual(await keyed.closed, { code: 1008, reason: 'the key was taken away' })
  assert.deepEqual(await ask(url, 'call/acme/math', 5, key), [403, 'key_refused'])
  assert.equal(plain.ws.readyState, plain.ws.OPEN)
})

test('an idempotency key stands for one call: its answer again, its conflict, those who join, and another worker when one is lost', async () => {
  await using world = await universe({ maxCallTimeout: 60_000 })
  const { url } = world
  const calls = createInbox<Held>('call')
  const first = await holder(world, calls, 'first', 10)
  const keyed = (key: string): Record<string, string> => ({ 'Idempotency-Key': key, 'Waystation-Deadline': '30s' })

  const joined = [ask(url, 'call/held', 'x', keyed('a')), ask(url, 'call/held', 'x', keyed('a'))]
  const one = await calls.next()
  assert.deepEqual(await ask(url, 'call/held', 'y', keyed('a')), [422, 'idempotency_conflict'])
  // Who waits less long goes first, and the call goes on for the others.
  assert.deepEqual(await ask(url, 'call/held', 'x', { ...keyed('a'), 'Waystation-Deadline': '20ms' }), [504, 'deadline'])
  one.answer('done once')
  assert.deepEqual(await Promise.all(joined), [[200, 'done once'], [200, 'done once']])
  assert.deepEqual(await ask(url, 'call/held', 'x', keyed('a')), [200, 'done once'])
  assert.deepEqual(await ask(url, 'call/held', 'y', keyed('a')), [422, 'idempotency_conflict'])
  assert.deepEqual(calls.taken(), [])

  const [repeatable, only] = [ask(url, 'call/held', 'again', keyed('b')), ask(url, 'call/held', 'never again', { 'Waystation-Deadline': '30s' })]
  assert.deepEqual((await calls.take(2)).map(({ by }) => by), ['first', 'first'])
  await holder(world, calls, 'second')
  await first.close()
  assert.deepEqual(await only, [502, 'worker_lost'])
  const moved = await calls.next()
  assert.deepEqual([moved.by, moved.request], ['second', 'again'])
  moved.answer('by the second')
  assert.deepEqual(await repeatable, [200, 'by the second'])
  assert.deepEqual(calls.taken(), [])
})

test('a call that is not answered by its deadline is told so; the draining of a worker costs no call', async () => {
  await using world = await universe()
  const { url } = world
  const calls = createInbox<Held>('call')
  const leaving = await holder(world, calls, 'leaving')
  assert.deepEqual(await ask(url, 'call/held', 0, { 'Waystation-Deadline': '30ms' }), [504, 'deadline'])
  await calls.next()
  const before = [1, 2, 3].map((i) => ask(url, 'call/held', i))
  const held = await calls.take(3)
  await holder(world, calls, 'staying')
  const closed = leaving.close()
  await until(() => leaving.state.state === 'draining', 'the draining')
  const after = [4, 5, 6].map((i) => ask(url, 'call/held', i))
  const taken = await calls.take(3)
  assert.deepEqual([...held, ...taken].map(({ by }) => by), ['leaving', 'leaving', 'leaving', 'staying', 'staying', 'staying'])
  for (const { request, answer } of [...held, ...taken]) answer(`answer ${String(request)}`)
  assert.deepEqual(await Promise.all([...before, ...after]), [1, 2, 3, 4, 5, 6].map((i) => [200, `answer ${i}`]))
  await closed
})

test('a hub that stops answers the calls that end within its drain time, refuses new ones, and tells the others that it has stopped', async () => {
  const calls = createInbox<Held>('call')
  await using patient = await universe({ drainTime: 20_000 })
  await holder(patient, calls, 'patient')
  await using caller = await patient.connectService('held')
  const [http, erps] = [ask(patient.url, 'call/held', 1), caller.call(2)]
  const held = await calls.take(2)
  const closed = patient.server.close()
  await assert.rejects(caller.call(3), { code: 'stopped' })
  for (const { answer } of held) answer('in time')
  assert.deepEqual([await http, Buffer.from(await erps as Uint8Array).toString()], [[200, 'in time'], 'in time'])
  await closed

  await using brief = await universe({ drainTime: 50 })
  await brief.workService('never', {}, { call: () => never })
  const lost = post(brief.url, 'call/never', 1, { 'Idempotency-Key': 'a' })
  await until(() => brief.server.servicePort !== undefined && metricsOf(brief).then((page) => page.includes('waystation_calls{state="running"} 1')), 'the call')
  await brief.server.close()
  const { status: code, body, headers } = await lost
  assert.deepEqual([code, (body as { code: string }).code, headers.get('retry-after')], [503, 'stopped', '1'])
})

async function metricsOf({ url }: Universe): Promise<string> {
  return (await fetch(`${url}/_/metrics`)).text()
}

test('where the port for services is taken nothing is open, links neither; a second try has both', async (t) => {
  const taken = await takenPort(t)
  const server = createServer({
    ...QUICK, addr: '127.0.0.1:0', logLevel: 'silent', dataDir: temporaryFolder(t), drainTime: 100,
    linkServer: { port: 0, transport: 'tcp' }, serviceServer: { port: taken.port, transport: 'tcp' },
    links: [{ server: '127.0.0.1', port: taken.port, topics: ['a'], transport: 'tcp' }],
    services: [{ name: 'far', servers: [{ server: '127.0.0.1', port: taken.port }], transport: 'tcp' }],
  })
  t.after(() => server.close(AbortSignal.abort()))
  for (let i = 0; i < 2; i++) {
    await assert.rejects(server.listen(), { code: 'listen_failed' })
    assert.deepEqual([server.linkPort, server.servicePort], [undefined, undefined])
  }
  await taken.free()
  await server.listen()
  assert.equal(server.servicePort, taken.port)
  assert.ok((server.linkPort ?? 0) > 0)
  assert.equal((await (await fetch(`${server.url}/_/metrics`)).text()).match(/^waystation_link_up/gm)?.length, 1)
})

test('a hub that is closed while the port of its services is still being opened opens none, and says so', async (t) => {
  const server = createServer({ addr: '127.0.0.1:0', logLevel: 'silent', dataDir: temporaryFolder(t), serviceServer: { port: 0, transport: 'tcp', host: 'localhost' } })
  const refused = assert.rejects(server.listen(), { code: 'stopped' })
  await server.close()
  await refused
  assert.equal(server.servicePort, undefined)
})

test('where files of a service cannot be read nothing is open', async (t) => {
  const tls = { cacertfile: 'none.pem', certfile: 'none.pem', keyfile: 'none.key' }
  const server = createServer({ addr: '127.0.0.1:0', logLevel: 'silent', dataDir: temporaryFolder(t), serviceServer: { port: 0, transport: 'tcp' }, services: [{ name: 'far', servers: [{ server: '127.0.0.1', port: 1 }], tls }] })
  t.after(() => server.close(AbortSignal.abort()))
  await assert.rejects(server.listen(), { code: 'config_invalid' })
  assert.equal(server.servicePort, undefined)
})
