import assert from 'node:assert/strict'
import { createServer, type AddressInfo } from 'node:net'
import { test, type TestContext } from 'node:test'
import { limitsWith, type LimitName } from '../../src/core/limits.ts'
import { encode } from '../../src/protocol/etf/encode.ts'
import { Tuple } from '../../src/protocol/etf/term.ts'
import { connectService } from '../../src/server/connect-service.ts'
import { createWorker } from '../../src/services/worker.ts'
import { createManualClock } from '../../src/testing/manual-clock.ts'
import { temporaryFolder } from '../support/certificates.ts'
import { packetBytes, sayHello } from '../support/erps-client.ts'
import { until } from '../support/events.ts'
import { answer, compressed, given, hostileHub } from '../support/hostile-services.ts'
import { linkCertificates } from '../support/link-certificates.ts'
import { raw } from '../support/raw.ts'
import { fakeConnection, fakeDial } from '../support/service-fakes.ts'

const QUIET = { info() {}, warn() {}, error() {} }

test('maxServiceConnections: callers and workers together are no more than that, and one that goes makes room', async (t) => {
  const hub = await hostileHub(t, { maxServiceConnections: 2 })
  const [caller] = [await hub.caller('math'), await hub.worker('math')]
  const third = await raw(t, hub.port)
  await hub.refusedFor('too_many_connections')
  await third.ended
  caller.socket.destroy()
  await until(async () => {
    const again = await hub.caller('nobody')
    again.call(1, 0)
    return again.next().then(() => true, () => false)
  }, 'a place')
})

test('maxServiceHandshakes: strangers who only connect take no more places than that, and leave them in time', async (t) => {
  const { cacertfile, certfile, keyfile } = await linkCertificates(temporaryFolder(t)).server('hub')
  const hub = await hostileHub(t, { serviceTransport: 'tls', serviceCacertfile: cacertfile, serviceCertfile: certfile, serviceKeyfile: keyfile, maxServiceHandshakes: 2, serviceHandshakeTimeout: 400 })
  const since = performance.now()
  const strangers = await Promise.all(Array.from({ length: 5 }, () => raw(t, hub.port)))
  await Promise.all(strangers.map(({ ended }) => ended))
  assert.deepEqual(await hub.refused(), { too_many_handshakes: 3, handshake: 2 })
  assert.ok(performance.now() - since < 4_000, 'in their own time')
})

test('maxPacketBytes: a larger packet ends the connection before it is read, and so does what would be larger uncompressed', async (t) => {
  const hub = await hostileHub(t, { maxPacketBytes: 1_024 })
  const [fits, large, bomb] = [await hub.caller('math'), await hub.caller('math'), await hub.caller('math')]
  // The tuple, the ref and the head of the binary are ten bytes.
  fits.call(1, Buffer.alloc(1_024 - 10))
  assert.deepEqual(await fits.next(), ['error', new Tuple('no_service', 1)])
  const packet = packetBytes('call', encode(new Tuple(1, Buffer.alloc(1_024 - 9))))
  large.send(packet.subarray(0, 9))
  bomb.send(packetBytes('call', compressed(new Tuple(1, Buffer.alloc(2_000)))))
  await hub.refusedFor('too_large', 2)
  await Promise.all([large.ended, bomb.ended])
})

test('maxServicePendingBytes: whoever takes nothing of what he is sent is let go when more waits for him', async (t) => {
  const hub = await hostileHub(t, { maxServicePendingBytes: 65_536 })
  await hub.world.workService('large', {}, { call: () => Buffer.alloc(40_000) })
  const caller = await hub.caller('large')
  // An original gets one packet in 120 ms, and all others wait.
  for (let ref = 1; ref < 5; ref++) caller.call(ref, 0)
  await hub.refusedFor('slow_consumer')
  await caller.ended
  assert.deepEqual(await hub.refused(), { slow_consumer: 1 })
})

test('maxCalls: calls without an answer are no more than that, however they come, and one that is answered makes room', async (t) => {
  const hub = await hostileHub(t, { maxCalls: 2 })
  const [worker, caller] = [await hub.worker('math'), await hub.caller('math')]
  caller.call(1, 1)
  const { ref } = await given(worker)
  const posted = hub.post('math', 2)
  const second = await given(worker)
  const refused = await hub.post('math', 3)
  assert.deepEqual([refused.status, refused.body.code], [503, 'too_many_calls'])
  assert.match(refused.body.detail ?? '', /maxCalls/)
  caller.call(2, 2)
  assert.deepEqual(await caller.next(), ['error', new Tuple('too_many_calls', 2)])
  answer(worker, ref, 'one')
  answer(worker, second.ref, 2)
  assert.equal((await posted).status, 200)
  assert.deepEqual(await caller.next(), ['reply', new Tuple('one', 1)])
  caller.call(3, 3)
  assert.equal((await given(worker)).request, 3)
})

test('maxCallBytes: the requests of all calls without an answer have no more than that together', async (t) => {
  const hub = await hostileHub(t, { maxCallBytes: 65_536 })
  const [worker, caller] = [await hub.worker('math'), await hub.caller('math')]
  caller.call(1, Buffer.alloc(40_000))
  const { ref } = await given(worker)
  const refused = await hub.post('math', 'x'.repeat(30_000))
  assert.deepEqual([refused.status, refused.body.code], [503, 'too_many_calls'])
  assert.match(refused.body.detail ?? '', /maxCallBytes/)
  answer(worker, ref, 1)
  await caller.next()
  void hub.post('math', 'x'.repeat(30_000)).catch(() => {})
  await given(worker)
})

test('maxCallsPerConnection: one connection has no more calls without an answer, and costs no other its own', async (t) => {
  const hub = await hostileHub(t, { maxCallsPerConnection: 2 })
  const [worker, greedy, other] = [await hub.worker('math', 1_000), await hub.caller('math'), await hub.caller('math')]
  for (const ref of [1, 2, 3]) greedy.call(ref, ref)
  assert.deepEqual(await greedy.next(), ['error', new Tuple('too_many_calls', 3)])
  // Nor does a worker get more, whatever it says of its slots.
  other.call(1, 'waits')
  const [first] = [await given(worker), await given(worker)]
  answer(worker, first.ref, 1)
  assert.equal((await given(worker)).request, 'waits')
})

test('maxPoolQueue: no more calls and casts than that wait for a worker that has its hands full', async (t) => {
  const hub = await hostileHub(t, { maxPoolQueue: 2 })
  const [worker, caller] = [await hub.worker('math', 1), await hub.caller('math')]
  for (const ref of [1, 2]) caller.call(ref, ref)
  caller.cast('cast')
  for (const ref of [3, 4]) caller.call(ref, ref)
  assert.deepEqual([await caller.next(), await caller.next()], [['error', new Tuple('too_many_calls', 3)], ['error', new Tuple('too_many_calls', 4)]])
  const { ref } = await given(worker)
  answer(worker, ref, 1)
  assert.equal((await given(worker)).request, 2)
})

test('serviceHandshakeTimeout: what takes a connection and says nothing does not hold a client up', async (t) => {
  const { cacertfile, certfile, keyfile } = await linkCertificates(temporaryFolder(t)).client('edge')
  const client = await connectService({ server: '127.0.0.1', port: await silent(t), tls: { cacertfile, certfile, keyfile }, logger: QUIET, limits: { serviceHandshakeTimeout: 150 } })
  t.after(() => client.close())
  await assert.rejects(client.call(1, { timeout: 4_000 }), { code: 'disconnected' })
})

async function silent(t: TestContext): Promise<number> {
  const server = createServer((socket) => socket.on('error', () => {}).resume())
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  t.after(() => server.close())
  return (server.address() as AddressInfo).port
}

test('packetTimeout: a packet that has begun and does not go on ends its connection, and no other', async (t) => {
  const hub = await hostileHub(t, { packetTimeout: 100 })
  const [slow, other] = [await hub.caller('math'), await hub.caller('math')]
  slow.send(packetBytes('call', encode(new Tuple(1, 2))).subarray(0, 50))
  await hub.refusedFor('timeout')
  await slow.ended
  other.call(1, 2)
  assert.deepEqual(await other.next(), ['error', new Tuple('no_service', 1)])
})

test('callTimeout: a call that states no time ends then, whether a worker has it or it waits for one', async (t) => {
  const hub = await hostileHub(t, { callTimeout: 100 })
  const [worker, caller] = [await hub.worker('math', 1), await hub.caller('math')]
  const since = performance.now()
  caller.call(1, 1)
  caller.call(2, 2)
  assert.deepEqual([await caller.next(), await caller.next()].map(([, term]) => (term as Tuple).elements[0]), ['deadline', 'deadline'])
  const posted = await hub.post('math', 3)
  assert.deepEqual([posted.status, posted.body.code], [504, 'deadline'])
  assert.ok(performance.now() - since < 4_000, 'in their own time')
  worker.socket.destroy()
})

test('maxCallTimeout: nobody waits longer than that, whatever he asks for', async (t) => {
  const hub = await hostileHub(t, { callTimeout: 50, maxCallTimeout: 100 })
  await hub.worker('math')
  const caller = await hub.caller('math')
  await sayHello(caller)
  caller.packet('call', new Tuple(1, 1), { kind: 'terms', deadline: 4_294_967_295, times: 'once', key: undefined })
  assert.deepEqual(await caller.next(), ['error', new Tuple('deadline', 1)])
  const posted = await hub.post('math', 2, { 'Waystation-Deadline': '101' })
  assert.deepEqual([posted.status, posted.body.code], [400, 'bad_request'])
})

test('serviceKeepalive: as often as that a Waystation hears that the hub is there', async (t) => {
  const hub = await hostileHub(t, { serviceKeepalive: 50 })
  const caller = await hub.caller('math')
  await sayHello(caller)
  const since = performance.now()
  for (let i = 0; i < 3; i++) assert.deepEqual(await caller.next(), ['keepalive', []])
  assert.ok(performance.now() - since < 10_000, 'in its own time')
})

test('serviceDeadline: a Waystation that is silent for longer is gone, and its calls with it', async (t) => {
  const hub = await hostileHub(t, { serviceKeepalive: 50, serviceDeadline: 200 })
  const [worker, caller] = [await hub.worker('math'), await hub.caller('math')]
  caller.call(1, 1)
  await hub.refusedFor('silent')
  await worker.ended
  assert.deepEqual(await caller.next(), ['error', new Tuple('worker_lost', 1)])
})

/** Tries of a worker at a hub that is not there, within ten seconds of a made-up clock. */
async function tries(stated: Partial<Record<LimitName, number>>): Promise<number> {
  let failed = 0
  const [clock, net] = [createManualClock(), fakeDial()]
  const worker = createWorker({
    dial: net.dial, clock, random: { next: () => 0.5 }, limits: limitsWith(stated), changed() {},
    open: (_dialled, events) => fakeConnection(events),
    answerer: () => assert.fail('nothing answers'),
  })
  worker.start()
  for (let ms = 0; ms < 10_000; ms += 10) {
    await clock.settle()
    if (net.attempts > failed) {
      failed++
      net.fail('refused', 'nobody is there')
      await clock.settle()
    }
    clock.advance(10)
  }
  return net.attempts
}

test('serviceRetry: a connection that cannot be made is tried again after that, and after twice as long each time', async () => {
  const count = await tries({ serviceRetry: 100, maxServiceRetry: 1_000_000 })
  assert.ok(count >= 5 && count <= 9, `${count} tries`)
})

test('maxServiceRetry: the waits do not grow past it', async () => {
  const count = await tries({ serviceRetry: 100, maxServiceRetry: 100 })
  assert.ok(count >= 60 && count <= 210, `${count} tries`)
})

/** A hub with a service that says how often it was called. */
async function countingHub(t: TestContext, limits: Partial<Record<LimitName, number>>) {
  const hub = await hostileHub(t, limits)
  let calls = 0
  await hub.world.workService('count', { as: 'json' }, { call: () => ++calls })
  return async (key: string): Promise<unknown> => (await hub.post('count', 0, { 'Idempotency-Key': key })).body
}

test('idempotencyTime: an answer is kept for that long, and then its call is a new one', async (t) => {
  const call = await countingHub(t, { idempotencyTime: 100 })
  const first = await call('a')
  await until(async () => await call('a') !== first, 'a new answer', 5_000)
})

test('maxIdempotentBytes: the answers that are kept have no more than that together, and the oldest go first', async (t) => {
  const call = await countingHub(t, { maxIdempotentBytes: 1_300 })
  const [a, b, c] = [await call('a'), await call('b'), await call('c')]
  assert.deepEqual([a, b, c], [1, 2, 3])
  assert.deepEqual([await call('c'), await call('b'), await call('a')], [3, 2, 4])
})
