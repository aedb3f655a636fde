import assert from 'node:assert/strict'
import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import { test, type TestContext } from 'node:test'
import { NO_KEYS } from '../../../src/core/keys.ts'
import { limitsWith } from '../../../src/core/limits.ts'
import type { Meter } from '../../../src/core/ports.ts'
import { createTurn } from '../../../src/core/turn.ts'
import { createWheel } from '../../../src/core/wheel.ts'
import { addressSet } from '../../../src/http/address.ts'
import { createAdmission } from '../../../src/http/admission.ts'
import { createOrigins } from '../../../src/http/origin.ts'
import { createDispatch, createPort } from '../../../src/http/server.ts'
import { realClock } from '../../../src/server/real-world.ts'
import { createManualClock } from '../../../src/testing/manual-clock.ts'
import { createTestHub, STRANGER } from '../../../src/testing/test-hub.ts'
import { createMetricsPort, createPinghubStats, type PinghubStats } from '../../../src/transports/pinghub/metrics-port.ts'
import { createPinghub } from '../../../src/transports/pinghub/pinghub.ts'
import { until } from '../../support/events.ts'
import { openFrames, OPCODE } from '../../support/frames.ts'
import { raw } from '../../support/raw.ts'
import { ask, request } from '../../support/responses.ts'
import { createBodyAccount } from '../../../src/http/body-account.ts'

// pinghub, section 10.

const NONE = { channels: 0, websockets: 0 }
const TICK = 5_000

/** The rate of one name in a report. */
function rate(stats: PinghubStats, name: string): string {
  return new RegExp(`^${name}5m\\.value (.*)$`, 'm').exec(stats.report(NONE))?.[1] as string
}

test('the report has six lines from the start, in their order', () => {
  const report = createPinghubStats(createManualClock()).report({ channels: 3, websockets: 12 })
  assert.equal(report, 'channels.value 3\ndrops5m.value 0.000\npostmsgs5m.value 0.000\nsends5m.value 0.000\nwebsocketmsgs5m.value 0.000\nwebsockets.value 12\n')
})

test('a rate is zero before the first tick, and the plain rate of those five seconds after it', () => {
  const clock = createManualClock()
  const stats = createPinghubStats(clock)
  stats.start()
  stats.count('sends', 7)
  stats.count('sends', 4)
  clock.advance(TICK - 1)
  assert.equal(rate(stats, 'sends'), '0.000')
  clock.advance(1)
  assert.equal(rate(stats, 'sends'), '2.200')
  assert.equal(rate(stats, 'drops'), '0.000')
})

test('later ticks move a rate by 1 - e^(-1/60) of the way to the rate of their five seconds', () => {
  const clock = createManualClock()
  const stats = createPinghubStats(clock)
  stats.start()
  const counts = [500, 0, 0, 1_000, 35, 0, 0, 2, 100_000, 0]
  const weight = -Math.expm1(-1 / 60)
  let expected: number | undefined
  for (const count of counts) {
    if (count > 0) stats.count('postmsgs', count)
    clock.advance(TICK)
    expected = expected === undefined ? count / 5 : expected + weight * (count / 5 - expected)
    assert.equal(rate(stats, 'postmsgs'), expected.toFixed(3))
  }
  // After five quiet minutes an e-th of it is left.
  const before = Number(rate(stats, 'postmsgs'))
  clock.advance(60 * TICK)
  assert.ok(Math.abs(Number(rate(stats, 'postmsgs')) - before / Math.E) < 0.01)
})

test('all rates tick together', () => {
  const clock = createManualClock()
  const stats = createPinghubStats(clock)
  stats.start()
  clock.advance(TICK)
  // What is counted first after the first tick of all is no first tick of its own.
  stats.count('drops', 5)
  clock.advance(TICK)
  assert.equal(rate(stats, 'drops'), '0.017')
})

test('before the start and after the stop nothing ticks', () => {
  const clock = createManualClock()
  const stats = createPinghubStats(clock)
  assert.equal(clock.timers, 0)
  stats.start()
  stats.start()
  assert.equal(clock.timers, 1)
  stats.stop()
  assert.equal(clock.timers, 0)
})

test('the metrics port gives the report to whoever connects, reads nothing first, and closes', async (t) => {
  let reports = 0
  const server = createMetricsPort(() => `channels.value ${reports++}\n`).listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.after(() => server.close())
  const { port } = server.address() as AddressInfo
  const silent = await raw(t, port)
  assert.equal((await silent.ended).toString(), 'channels.value 0\n')
  const talkative = await raw(t, port)
  talkative.send('GET / HTTP/1.1\r\nHost: hub\r\n\r\n')
  assert.equal((await talkative.ended).toString(), 'channels.value 1\n')
})

const SILENT: Meter = { published() {}, delivered() {}, slow() {}, gap() {}, failed() {} }

/** The transport on a port of its own, with rates that tick when they are told to. */
async function startPinghub(t: TestContext): Promise<{ port: number; rates(): Record<string, number>; report(): string }> {
  const clock = createManualClock()
  const stats = createPinghubStats(clock)
  stats.start()
  const limits = limitsWith({ maxPathLength: 64 })
  const kit = { limits, clock: realClock, turn: createTurn(realClock), wheel: createWheel(realClock), meter: SILENT }
  const pinghub = createPinghub({ kit, bodies: createBodyAccount(1_000_000), origins: createOrigins([]), admit: () => () => {}, stats, keys: NO_KEYS, identify: () => STRANGER })
  await pinghub.start(createTestHub().hub)
  const trusted = addressSet([])
  const dispatch = createDispatch([pinghub.route], trusted, (error) => assert.fail(String(error)))
  const server = createPort({ dispatch, bounds: limits, admission: createAdmission({ total: 100, perAddress: 100 }), trusted, refused() {} })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.after(async () => {
    await pinghub.stop(AbortSignal.abort())
    server.closeAllConnections()
    server.close()
  })
  return {
    port: (server.address() as AddressInfo).port,
    report: () => stats.report(pinghub.gauges()),
    rates() {
      // The first tick shows the plain rate, so that counts can be read from it.
      clock.advance(TICK)
      const lines = stats.report(pinghub.gauges()).trim().split('\n').filter((line) => line.includes('5m'))
      return Object.fromEntries(lines.map((line) => [line.slice(0, line.indexOf('5m')), 5 * Number(line.slice(line.lastIndexOf(' ')))]))
    },
  }
}

test('postmsgs counts accepted POSTs, empty and dropped ones too; drops counts those to a path where nobody is', async (t) => {
  const { port, rates } = await startPinghub(t)
  await openFrames(t, port, '/a')
  const counted = [
    request('POST /a', { body: 'x' }), request('POST /a'), request('POST /a?q', { body: 'x' }),
    request('POST /nobody', { body: 'x' }), request('POST /nobody'),
  ]
  const refused = [
    request('POST //a', { body: 'x' }), request('POST /%ff', { body: 'x' }), request(`POST /${'x'.repeat(64)}`, { body: 'x' }), request('POST /a', { body: '\xff' }),
    request('POST /a', { headers: { 'Content-Length': '2000000' } }), request('PUT /a', { body: 'x' }), request('GET /a'),
  ]
  for (const text of [...counted, ...refused]) await ask(t, port, text)
  assert.deepEqual(rates(), { drops: 2, postmsgs: 5, sends: 2, websocketmsgs: 0 })
})

test('websocketmsgs counts messages that are not empty; sends counts frames to each recipient, and no pings, pongs or closes', async (t) => {
  const { port, rates } = await startPinghub(t)
  const [sender, other] = await Promise.all([openFrames(t, port, '/a'), openFrames(t, port, '/a')])
  sender.send(OPCODE.text, 'one')
  sender.send(OPCODE.text, '')
  sender.send(OPCODE.ping, 'x')
  sender.send(OPCODE.binary, 'two')
  sender.send(OPCODE.text, 'th', { fin: false })
  sender.send(OPCODE.continuation, 'ree')
  const bad = await openFrames(t, port, '/b')
  bad.send(OPCODE.text, Uint8Array.of(0xff))
  await bad.close()
  assert.deepEqual([await other.text(), await other.text(), await other.text()], ['one', 'two', 'three'])
  await sender.frames.take(4)
  assert.deepEqual(rates(), { drops: 0, postmsgs: 0, sends: 6, websocketmsgs: 3 })
})

test('channels and websockets count what is here now', async (t) => {
  const { port, report } = await startPinghub(t)
  const gauges = (): string => report().split('\n').filter((line) => /^(channels|websockets)\./.test(line)).join(' ')
  const first = await openFrames(t, port, '/a')
  await openFrames(t, port, '/a')
  await openFrames(t, port, '/b')
  assert.equal(gauges(), 'channels.value 2 websockets.value 3')
  first.raw.socket.destroy()
  await until(() => gauges() === 'channels.value 2 websockets.value 2', 'one to be gone')
})
