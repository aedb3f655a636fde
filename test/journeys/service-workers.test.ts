import assert from 'node:assert/strict'
import { test, type TestContext } from 'node:test'
import { WaystationError } from '../../src/core/errors.ts'
import { limitsWith } from '../../src/core/limits.ts'
import { createAdmission } from '../../src/http/admission.ts'
import { Atom, Tuple, type Term } from '../../src/protocol/etf/term.ts'
import { encode } from '../../src/protocol/etf/encode.ts'
import { decode } from '../../src/protocol/etf/decode.ts'
import { randomBytes, realClock, realRandom } from '../../src/server/real-world.ts'
import { connectService } from '../../src/server/connect-service.ts'
import { serveService } from '../../src/server/serve-service.ts'
import { workService, type RunningWorker, type WorkerState, type WorkServiceOptions } from '../../src/server/work-service.ts'
import type { ServiceHandlers } from '../../src/services/handlers.ts'
import { createServiceDaemon } from '../../src/services/daemon.ts'
import { createPools } from '../../src/services/pools.ts'
import { createInbox } from '../support/events.ts'
import { rawErpsServer } from '../support/raw-erps-server.ts'

/* Workers that dial out to a hub, and services of ours, over real sockets. */

const QUIET = { info() {}, warn() {}, error() {} }

/** The part of a hub that workers know: a daemon, and the pools behind it. */
async function hubFor(t: TestContext, { taken = () => true, port = 0 }: { taken?: (service: string) => boolean; port?: number } = {}) {
  const limits = limitsWith()
  const pools = createPools({ clock: realClock, random: realRandom, limits })
  const events = createInbox<string>('event of a worker')
  let count = 0
  const daemon = createServiceDaemon({
    clock: realClock, limits, randomBytes,
    listen: { port, host: '127.0.0.1' },
    security: { kind: 'tcp' },
    admission: createAdmission({ total: 100, perAddress: 100 }),
    judgement: {},
    signing: undefined,
    decode: {},
    packetGap: undefined,
    answering: () => ({ call: (_request, from) => void from.fail('no_service'), cast() {}, ended() {} }),
    worked(caller, { service, slots }) {
      if (!taken(service)) return undefined
      const member = pools.join(service, { id: `${++count}`, slots, callee: caller })
      events.push(`${service} ${slots}`)
      return {
        draining() {
          member.drain()
          events.push('draining')
        },
        ended() {
          member.gone()
          events.push('gone')
        },
      }
    },
    events: { refused: (why) => events.push(`refused ${why}`), failed: (error) => events.push(String(error)) },
  })
  await daemon.start()
  const stop = (): Promise<void> => daemon.stop(AbortSignal.abort())
  t.after(stop)
  const call = (service: string, request: Term, deadline = 5_000): Promise<Term> => new Promise((resolve, reject) => {
    pools.call(service, { request: encode(request).subarray(1), deadline, times: 'once' }, (result) => {
      if (result.kind === 'answer') resolve(decode(Buffer.concat([Buffer.of(131), result.term])).term)
      else reject(result.error)
    })
  })
  return { daemon, pools, events, call, stop }
}

async function workerFor(t: TestContext, port: number, handlers: ServiceHandlers<Term>, options: Partial<WorkServiceOptions> = {}) {
  const states = createInbox<WorkerState>('state')
  const worker = await workService({ hub: `127.0.0.1:${port}`, name: 'sums', transport: 'tcp', logger: QUIET, onState: (state) => states.push(state), limits: { serviceRetry: 20, maxServiceRetry: 40 }, ...options }, handlers)
  t.after(() => worker.close())
  return { worker, states }
}

const double: ServiceHandlers<Term> = { call: (request) => 2 * (request as number) }

test('a worker answers what the hub hands on, at once and later, and says what it cannot do', async (t) => {
  const { daemon, events, call } = await hubFor(t)
  const { states } = await workerFor(t, daemon.port, {
    async call(request, from) {
      if (request instanceof Tuple) return new Tuple(new Atom('ok'), request.elements[1] as Term)
      if (request instanceof Atom) return true
      if (request === 0) throw new Error('not zero')
      if (request === 1) return void setImmediate(() => from.reply('later'))
      return from.deadline === undefined ? null : 2 * (request as number)
    },
  }, { slots: 3 })
  assert.equal(await events.next(), 'sums 3')
  assert.equal((await states.next()).state, 'working')
  assert.equal(await call('sums', 21), 42)
  assert.deepEqual(await call('sums', 1), new Uint8Array(Buffer.from('later')))
  assert.deepEqual(await call('sums', new Tuple(7, 8)), new Tuple(new Atom('ok'), 8))
  await assert.rejects(call('sums', 0), { code: 'call_failed' })
  // An atom that was not stated fails its own call alone.
  await assert.rejects(call('sums', new Atom('unheard_of')), { code: 'call_failed' })
  assert.equal(await call('sums', 3), 6)
})

test('a worker that stops answers what it has, and the hub gives it no more', async (t) => {
  const { daemon, events, call } = await hubFor(t)
  const asked = Promise.withResolvers<void>()
  const answer = Promise.withResolvers<Term>()
  const { worker, states } = await workerFor(t, daemon.port, {
    call() {
      asked.resolve()
      return answer.promise
    },
  })
  await events.next()
  await states.next()
  const pending = call('sums', 1)
  await asked.promise
  const closed = worker.close()
  assert.equal(await events.next(), 'draining')
  assert.equal(worker.state.state, 'draining')
  await assert.rejects(call('sums', 2), { code: 'no_worker' })
  answer.resolve('done')
  assert.deepEqual(await pending, new Uint8Array(Buffer.from('done')))
  await closed
  assert.equal(await events.next(), 'gone')
  assert.deepEqual(states.taken().map(({ state }) => state), ['draining', 'stopped'])
})

test('a worker comes back to a hub that has restarted', async (t) => {
  const first = await hubFor(t)
  const { port } = first.daemon
  const { states } = await workerFor(t, port, double)
  await first.events.next()
  assert.equal((await states.next()).state, 'working')
  await first.stop()
  assert.equal((await states.next()).state, 'down')
  const second = await hubFor(t, { port })
  await second.events.next()
  assert.equal(await second.call('sums', 4), 8)
})

test('a hub that does not want the worker says so, and what is no hub is told as such', async (t) => {
  const { daemon, events } = await hubFor(t, { taken: (service) => service !== 'sums' })
  const { states } = await workerFor(t, daemon.port, double)
  assert.equal(await events.next(), 'refused refused')
  assert.deepEqual(await states.next(), { state: 'down', why: 'the hub refuses this worker: forbidden' })

  const original = await rawErpsServer()
  t.after(() => original.close())
  const lost = await workerFor(t, original.port, double, { limits: { serviceHandshakeTimeout: 100, serviceRetry: 60_000, maxServiceRetry: 60_000 } })
  const down = await lost.states.next()
  assert.match(down.state === 'down' ? down.why : '', /has not taken the offer of work, as a hub of Waystation does: .* within 100 ms that it is a Waystation/)
})

test('the options of a worker that cannot be used are named', async () => {
  const wrong = async (options: object): Promise<string> => {
    const error: WaystationError = await workService(options as WorkServiceOptions, double).then((worker: RunningWorker) => worker.close().then(() => assert.fail('it was taken')), (failed) => failed)
    assert.equal(error.code, 'config_invalid')
    return error.detail
  }
  const fine = { hub: 'localhost:1', name: 'sums', transport: 'tcp' }
  assert.match(await wrong({ ...fine, hub: 'localhost' }), /hub must be host:port, not "localhost"/)
  assert.match(await wrong({ ...fine, hub: 'localhost:70000' }), /hub must be host:port/)
  assert.match(await wrong({ ...fine, hub: '[::2]:4747' }), /is not this machine/)
  assert.match(await wrong({ ...fine, name: '' }), /name is empty/)
  assert.match(await wrong({ hub: 'localhost:1', transport: 'tcp' }), /name is missing/)
  assert.match(await wrong({ ...fine, slots: 0 }), /slots must be/)
  assert.match(await wrong({ hub: 'localhost:1', name: 'sums' }), /tls is missing/)
})

test('a client of ours and a service of ours find each other out, and leave the brakes behind', async (t) => {
  const service = await serveService({ transport: 'tcp', as: 'json', logger: QUIET }, {
    call: async (request) => request,
    connected: (connection) => void connection.push('welcome'),
  })
  t.after(() => service.close())
  const states = createInbox<string>('state')
  const pushes = createInbox<unknown>('push')
  const client = await connectService({
    server: '127.0.0.1', port: service.port, transport: 'tcp', as: 'json', logger: QUIET,
    onState: (state) => states.push('peer' in state ? state.peer : state.state), onPush: (value) => pushes.push(value),
  })
  t.after(() => client.close())
  const since = performance.now()
  const answers = await Promise.all(Array.from({ length: 100 }, (_, n) => client.call({ n })))
  assert.deepEqual(answers.map((value) => (value as { n: number }).n), Array.from({ length: 100 }, (_, n) => n))
  // With the brakes of an original each would take 120 ms.
  assert.ok(performance.now() - since < 3_000)
  assert.equal(await pushes.next(), 'welcome')
  while (await states.next() !== 'waystation');
  assert.deepEqual(client.counters, { late: 0, dropped: 0, unusable: 0 })
})

test('signed packets are answered where both ends have the key, and refused where they do not', async (t) => {
  const keys = (secret: string) => ({ keys: [{ id: 'k1', secret }] })
  const service = await serveService({ transport: 'tcp', signing: keys('a secret that is long'), logger: QUIET }, { call: () => 1 })
  t.after(() => service.close())
  const connect = async (signing?: ReturnType<typeof keys>) => {
    const client = await connectService({ server: '127.0.0.1', port: service.port, transport: 'tcp', logger: QUIET, ...(signing !== undefined && { signing }) })
    t.after(() => client.close())
    return client
  }
  assert.equal(await (await connect(keys('a secret that is long'))).call(1), 1)
  await assert.rejects((await connect(keys('another one that is long'))).call(1), { code: /^(service_refused|disconnected)$/ })
  await assert.rejects((await connect()).call(1), { code: 'service_refused' })
})
