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
import { answer, given, hostileHub } from '../support/hostile-services.ts'
import { linkCertificates } from '../support/link-certificates.ts'
import { raw } from '../support/raw.ts'
import { fakeConnection, fakeDial } from '../support/service-fakes.ts'

const QUIET = { info() {}, warn() {}, error() {} }

test('maxServiceConnections: callers and workers together are no more than that, and one that goes makes room', async (t) => {
  const hub = await hostileHub(t, { maxServiceConnections: 2 })
  const [caller] = [await hub.caller('math'), await hub.worker('math')]
  await (await raw(t, hub.port)).ended
  assert.deepEqual(await hub.refused(), { too_many_connections: 1 })
  caller.socket.destroy()
  await until(async () => {
    const again = await hub.caller('math')
    again.call(1, 0)
    return again.next().then(() => true, () => false)
  }, 'a place')
})

test('maxServiceHandshakes: strangers who only connect take no more places than that, and leave them in time', async (t) => {
  const { cacertfile, certfile, keyfile } = await linkCertificates(temporaryFolder(t)).server('hub')
  const hub = await hostileHub(t, { serviceTransport: 'tls', serviceCacertfile: cacertfile, serviceCertfile: certfile, serviceKeyfile: keyfile, maxServiceHandshakes: 2, serviceHandshakeTimeout: 400 })
  const strangers = await Promise.all(Array.from({ length: 5 }, () => raw(t, hub.port)))
  await Promise.all(strangers.map(({ ended }) => ended))
  assert.deepEqual(await hub.refused(), { too_many_handshakes: 3, handshake: 2 })
})

test('maxPacketBytes: a larger packet ends the connection before it is read, and so does what would be larger uncompressed', async (t) => {
  const hub = await hostileHub(t, { maxPacketBytes: 1_024 })
  const [fits, large, bomb] = [await hub.caller('math'), await hub.caller('math'), await hub.caller('math')]
  // The tuple, the ref and the head of the binary are ten bytes.
  fits.call(1, Buffer.alloc(1_024 - 10))
  assert.deepEqual(await fits.next(), ['error', new Tuple('no_service', 1)])
  const packet = packetBytes('call', encode(new Tuple(1, Buffer.alloc(1_024 - 9))))
  large.send(packet.subarray(0, 9))
  bomb.send(packetBytes('call', encode(new Tuple(1, Buffer.alloc(2_000)), { compressed: true })))
  await Promise.all([large.ended, bomb.ended])
  assert.deepEqual(await hub.refused(), { too_large: 2 })
})

test('maxServicePendingBytes: whoever takes nothing of what he is sent is let go when more waits for him', async (t) => {
  const hub = await hostileHub(t, { maxServicePendingBytes: 65_536 })
  const echo = await hub.world.workService('echo', {}, { call: (request) => request })
  t.after(() => echo.close())
  const caller = await hub.caller('echo')
  // An original gets one packet in 120 ms, and all others wait.
  for (let ref = 1; ref < 5; ref++) caller.call(ref, Buffer.alloc(40_000))
  await caller.ended
  assert.deepEqual(await hub.refused(), { slow_consumer: 1 })
})

test('maxCalls, maxCallBytes: what waits for an answer is bounded in number and in bytes, and answers make room', async (t) => {
  const hub = await hostileHub(t, { maxCalls: 3, maxCallBytes: 65_536 })
  const worker = await hub.worker('math')
  const first = Array.from({ length: 3 }, (_, i) => hub.post('math', i))
  const refs = [await given(worker), await given(worker), await given(worker)]
  const refused = await hub.post('math', 4)
  assert.deepEqual([refused.status, refused.body.code, /maxCalls/.test(refused.body.detail ?? '')], [503, 'too_many_calls', true])
  for (const { ref } of refs) answer(worker, ref, 1)
  assert.deepEqual((await Promise.all(first)).map(({ status }) => status), [200, 200, 200])
})

test('maxCalls: calls without an answer are no more than that, however they come', async (t) => {
  const hub = await hostileHub(t, { maxCalls: 2 })
  const [worker, caller] = [await hub.worker('math'), await hub.caller('math')]
  caller.call(1, 1)
  const posted = hub.post('math', 2)
  const [one] = [await given(worker), await given(worker)]
  const refused = await hub.post('math', 3)
  assert.deepEqual([refused.status, refused.body.code], [503, 'too_many_calls'])
  assert.match(refused.body.detail ?? '', /maxCalls/)
  caller.call(2, 2)
  assert.deepEqual(await caller.next(), ['error', new Tuple('too_many_calls', 2)])
  answer(worker, one.ref, 'room')
  await until(async () => await hub.gauge('waystation_calls{state="running"}') < 2, 'room')
  caller.call(3, 3)
  answer(worker, (await given(worker)).ref, 'done')
  posted.catch(() => {})
})
