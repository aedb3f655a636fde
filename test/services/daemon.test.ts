import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { connect } from 'node:net'
import { test, type TestContext } from 'node:test'
import { limitsWith, type LimitName } from '../../src/core/limits.ts'
import { createAdmission } from '../../src/http/admission.ts'
import { realClock } from '../../src/http/real-world.ts'
import type { Work } from '../../src/protocol/erps/messages.ts'
import { Tuple } from '../../src/protocol/etf/term.ts'
import { createCaller } from '../../src/services/caller.ts'
import { openConnection } from '../../src/services/connection.ts'
import { createServiceDaemon, type ServiceDaemonParts } from '../../src/services/daemon.ts'
import type { Answering, Caller, Connection, From, Outcome } from '../../src/services/ports.ts'
import { openCredentials } from '../../src/zones/credentials.ts'
import type { Credentials } from '../../src/zones/ports.ts'
import { testAuthority } from '../support/authority.ts'
import { connectErps, sayHello, type ErpsClient } from '../support/erps-client.ts'
import { createInbox, until } from '../support/events.ts'
import { raw } from '../support/raw.ts'
import { bare, unbare } from './recorded-connection.ts'

interface Wish extends Partial<Omit<ServiceDaemonParts, 'limits' | 'events'>> {
  readonly limits?: Partial<Record<LimitName, number>>
}

/** A daemon on a free loopback port, that tells all. */
async function start(t: TestContext, wish: Wish = {}) {
  const { limits: stated = {}, ...more } = wish
  const limits = limitsWith(stated)
  const calls = createInbox<From>('call')
  const told: string[] = []
  const refusals: string[] = []
  const failures: string[] = []
  const admission = createAdmission({ total: limits.maxServiceConnections, perAddress: 1_000 })
  const daemon = createServiceDaemon({
    clock: realClock, limits, randomBytes, admission,
    listen: { port: 0, host: '127.0.0.1' },
    security: { kind: 'tcp' },
    judgement: {},
    signing: undefined,
    decode: {},
    packetGap: 0,
    answering: (): Answering => ({
      call: (_request, from) => calls.push(from),
      cast: () => {},
      ended: (why) => void told.push(`ended ${why}`),
    }),
    events: { refused: (why) => void refusals.push(why), failed: (error) => void failures.push((error as Error).message) },
    ...more,
  })
  await daemon.start()
  t.after(() => daemon.stop(AbortSignal.abort()))
  return { daemon, calls, told, refusals, failures, admission, get port() { return daemon.port } }
}

const hello = (client: ErpsClient, work: Work): void => client.packet('keepalive', [], { kind: 'hello', nonce: Buffer.alloc(16, 9), work })

test('connections are bounded from before the handshake, and a place is given back', async (t) => {
  const service = await start(t, { limits: { maxServiceConnections: 2 } })
  const [one] = [await connectErps(t, service.port), await connectErps(t, service.port)]
  await until(() => service.daemon.connections === 2, 'both')
  const third = await raw(t, service.port)
  await third.ended
  assert.deepEqual(service.refusals, ['too_many_connections'])
  one.socket.destroy()
  await until(() => service.admission.count === 1, 'a place')
  await sayHello(await connectErps(t, service.port))
})

test('handshakes that are on their way are bounded by number and by time', async (t) => {
  const ca = await testAuthority(t)
  const credentials = await openCredentials(ca.write(await ca.server()), { reloaded() {}, alarm() {} })
  t.after(() => credentials.stop())
  const service = await start(t, { security: { kind: 'tls', credentials, matchAddress: 'unchecked' }, limits: { maxServiceHandshakes: 2, serviceHandshakeTimeout: 200 } })
  const silent = [await raw(t, service.port), await raw(t, service.port)]
  const third = await raw(t, service.port)
  await third.ended
  assert.deepEqual(service.refusals, ['too_many_handshakes'])
  await Promise.all(silent.map(({ ended }) => ended))
  assert.deepEqual(service.refusals, ['too_many_handshakes', 'handshake', 'handshake'])
  await until(() => service.admission.count === 0, 'all places')
})

test('a certificate that is taken back ends its live connections, and the others stay', async (t) => {
  const ca = await testAuthority(t)
  const opened = await openCredentials(ca.write(await ca.server()), { reloaded() {}, alarm() {} })
  t.after(() => opened.stop())
  const revoked = new Set<string>()
  const listeners = new Set<() => void>()
  const credentials: Credentials = {
    context: opened.context,
    isRevoked: ({ serialNumber }) => revoked.has(serialNumber),
    onChange: (listener) => (listeners.add(listener), () => void listeners.delete(listener)),
    stop() {},
  }
  const service = await start(t, { security: { kind: 'tls', credentials, matchAddress: 'unchecked' } })
  const [gone, stays] = [await ca.client(), await ca.client()]
  const enter = (made: typeof gone) => connectErps(t, service.port, { tls: { cert: made.cert, key: made.key, ca: ca.ca.cert } })
  const [one, two] = [await enter(gone), await enter(stays)]
  await Promise.all([sayHello(one), sayHello(two)])
  revoked.add(gone.certificate.serialNumber)
  for (const listener of listeners) listener()
  await one.ended
  two.call(1, 0)
  await service.calls.next()
  assert.deepEqual([service.told, service.refusals, service.daemon.connections], [['ended revoked'], ['revoked'], 1])
  await service.daemon.stop(AbortSignal.abort())
  assert.equal(listeners.size, 0)
})

test('a worker is handed over with what calls it, and is told as draining and as gone, before its calls are lost', async (t) => {
  const order: string[] = []
  const workers = createInbox<[Caller, Work, Connection]>('worker')
  const service = await start(t, {
    worked(caller, work, connection) {
      workers.push([caller, work, connection])
      return { draining: () => void order.push('draining'), ended: (why) => void order.push(`gone ${why}`) }
    },
  })
  const client = await connectErps(t, service.port)
  hello(client, { service: 'images', slots: 3 })
  await client.next()
  const [caller, work] = await workers.next()
  assert.deepEqual(work, { service: 'images', slots: 3 })
  const outcomes = createInbox<Outcome>('outcome')
  const call = (request: number): void => void caller.call({ request: bare(request), deadline: 20_000 }, (outcome) => {
    order.push(outcome.kind)
    outcomes.push(outcome)
  })
  call(47)
  const [type, term] = await client.next()
  const [ref, request] = (term as Tuple).elements
  assert.deepEqual([type, request], ['call', 47])
  client.packet('reply', new Tuple(94, ref as number))
  const outcome = await outcomes.next()
  assert.equal(outcome.kind === 'answer' && unbare(outcome.term), 94)
  client.packet('keepalive', [], { kind: 'drain' })
  await until(() => order.includes('draining'), 'draining')
  call(48)
  await client.next()
  client.socket.destroy()
  await outcomes.next()
  assert.deepEqual(order, ['answer', 'draining', 'gone lost', 'lost'])
})

test('who offers work that is not wanted, or has called before, is let go', async (t) => {
  const service = await start(t, { worked: ({ pending }, { service }) => (service === 'wanted' ? { draining() {}, ended() {} } : (assert.equal(pending, 0), undefined)) })
  const unwanted = await connectErps(t, service.port)
  hello(unwanted, { service: 'unwanted', slots: 1 })
  await unwanted.ended
  assert.deepEqual(unwanted.taken(), [['reply', new Tuple([], [])], ['error', 'forbidden']])
  const caller = await connectErps(t, service.port)
  caller.call(1, 0)
  await service.calls.next()
  hello(caller, { service: 'wanted', slots: 1 })
  await caller.ended
  assert.deepEqual(service.refusals, ['refused', 'bad_packet'])
})

test('a program that fails on a connection, or ends it at once, costs that one, and is told of its end', async (t) => {
  const told: string[] = []
  let count = 0
  const service = await start(t, {
    answering(connection) {
      if (++count === 1) throw new Error('it fails')
      if (count === 2) connection.drop('stopped', 'at once')
      const own = count
      return { call: (_request, from) => void from.reply(bare(own)), cast() {}, ended: (why, detail) => void told.push(`${own} ${why} ${detail}`) }
    },
  })
  for (let i = 0; i < 2; i++) await (await raw(t, service.port)).ended
  const third = await connectErps(t, service.port)
  assert.equal(await third.ask(0), 3)
  assert.deepEqual([service.failures, told, service.daemon.connections], [['it fails'], ['2 stopped at once'], 1])
})

test('a stop waits for the calls of callers before it lets workers go', async (t) => {
  const order: string[] = []
  const service = await start(t, { worked: () => ({ draining() {}, ended: (why) => void order.push(`worker ${why}`) }) })
  const { port } = service
  const [worker, caller] = [await connectErps(t, port), await connectErps(t, port)]
  hello(worker, { service: 'x', slots: 1 })
  await worker.next()
  caller.call(1, 0)
  const from = await service.calls.next()
  const stopped = service.daemon.stop(new AbortController().signal)
  await assert.rejects(raw(t, port))
  caller.call(2, 0)
  assert.deepEqual(await caller.next(), ['error', new Tuple('stopped', 2)])
  order.push('answered')
  from.reply(bare('yes'))
  assert.deepEqual(await caller.next(), ['reply', new Tuple('yes', 1)])
  await stopped
  assert.deepEqual([order, service.daemon.connections], [['answered', 'worker stopped'], 0])
})

test('a stop ends those as well who were sent away and have not left, and those who shake hands', async (t) => {
  const ca = await testAuthority(t)
  const credentials = await openCredentials(ca.write(await ca.server()), { reloaded() {}, alarm() {} })
  t.after(() => credentials.stop())
  // No time is ever over.
  const clock = { ...realClock, after: () => () => {} }
  const [plain, secure] = [await start(t, { clock, judgement: { identifier: Buffer.from('x') } }), await start(t, { clock, security: { kind: 'tls', credentials, matchAddress: 'unchecked' } })]
  const client = await connectErps(t, plain.port)
  client.cast(0)
  assert.deepEqual(await client.next(), ['error', 'wrong identifier'])
  const silent = await raw(t, secure.port)
  await until(() => secure.admission.count === 1, 'the one that is silent')
  await Promise.all([plain, secure].map(({ daemon }) => daemon.stop(AbortSignal.abort())))
  await Promise.all([client.ended, silent.ended])
})

test('with keys only what is signed with one of them is answered', async (t) => {
  const keys = (secret: string) => ({ keys: [{ id: 'k', secret: Buffer.from(secret.padEnd(16)) }] as const })
  const service = await start(t, { signing: keys('right') })
  const open = (secret: string): Promise<Outcome> => new Promise((resolve) => {
    const stream = connect({ port: service.port, host: '127.0.0.1' })
    t.after(() => stream.destroy())
    const limits = limitsWith()
    const connection: Connection = openConnection({
      stream, limits, randomBytes, clock: realClock,
      peer: { address: '127.0.0.1', local: true, names: [], certificateNames: [] },
      role: 'connector',
      brake: { gap: 20, calls: 'many' },
      sender: { version: { major: 0, minor: 0, patch: 0 }, identifier: Buffer.alloc(0) },
      judge: () => undefined,
      decode: {},
      signing: keys(secret),
    }, { packet: (packet, extension) => caller.packet(packet, extension), ended: (why, detail) => caller.ended(why, detail) })
    const caller = createCaller(connection, { clock: realClock, limits })
    caller.call({ request: bare(0), deadline: 20_000 }, resolve)
  })
  const answer = open('right')
  ;(await service.calls.next()).reply(bare(47))
  const outcome = await answer
  assert.equal(outcome.kind === 'answer' && unbare(outcome.term), 47)
  assert.notEqual((await open('wrong')).kind, 'answer')
  const plain = await connectErps(t, service.port)
  plain.call(1, 0)
  assert.deepEqual(await plain.next(), ['error', 'authentication required'])
  assert.deepEqual(service.refusals, ['refused', 'refused'])
})
