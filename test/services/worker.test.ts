import assert from 'node:assert/strict'
import { test } from 'node:test'
import { limitsWith } from '../../src/core/limits.ts'
import type { Packet } from '../../src/protocol/erps/messages.ts'
import { writeText } from '../../src/protocol/erps/payload.ts'
import type { Answerer } from '../../src/services/answerer.ts'
import { createWorker, type WorkerState } from '../../src/services/worker.ts'
import { createManualClock } from '../../src/testing/manual-clock.ts'
import { fakeConnection, fakeDial, type FakeConnection } from '../support/service-fakes.ts'

const forever = new AbortController().signal

/** An answerer that has as many calls as the test says. */
function fakeAnswerer() {
  const { promise, resolve } = Promise.withResolvers<void>()
  const got: string[] = []
  const answerer: Answerer = {
    pending: 0,
    late: 1,
    packet: ({ type }) => void got.push(type),
    ended(why) {
      got.push(why)
      resolve()
    },
    drain() {
      got.push('drain')
      return promise
    },
  }
  return { answerer, got, answered: resolve }
}

function workerWith() {
  const clock = createManualClock()
  const net = fakeDial()
  const states: string[] = []
  const lines: (ReturnType<typeof fakeAnswerer> & { connection: FakeConnection })[] = []
  const worker = createWorker({
    dial: net.dial, clock, random: { next: () => 0.5 }, limits: limitsWith(),
    open(_dialled, events) {
      const connection = fakeConnection(events)
      connection.isWaystation = true
      lines.push({ ...fakeAnswerer(), connection })
      return connection
    },
    answerer: () => line().answerer,
    changed: (state: WorkerState) => states.push('why' in state ? `${state.state}: ${state.why}` : state.state),
  })
  const line = () => lines.at(-1) as (typeof lines)[number]
  const connected = async (): Promise<void> => {
    net.succeed()
    await clock.settle()
  }
  const working = async (): Promise<void> => {
    await connected()
    line().connection.events.shown?.(undefined)
    clock.endTurn()
  }
  return { clock, net, worker, states, line, connected, working }
}

const packet = (type: Packet['type'], payload = Buffer.from([131, 106])): Packet =>
  ({ type, payload, version: { major: 0, minor: 0, patch: 0 }, identifier: Buffer.alloc(0), key: Buffer.alloc(16), signature: Buffer.alloc(32), bytes: payload })

test('a worker that is refused right behind the welcome never was at work', async () => {
  const { worker, states, line, connected } = workerWith()
  worker.start()
  await connected()
  line().connection.events.shown?.(undefined)
  line().connection.end('refused', 'forbidden')
  await worker.stop(AbortSignal.abort())
  assert.deepEqual(states, ['down: the hub refuses this worker: forbidden', 'stopped'])
})

test('a worker works once the hub has taken its offer, and comes back at once when the connection is lost', async () => {
  const { clock, net, worker, states, line, connected, working } = workerWith()
  worker.start()
  await connected()
  assert.equal(worker.state.state, 'connecting')
  line().connection.events.shown?.(undefined)
  line().connection.events.packet(packet('call'), undefined)
  clock.advance(6_000)
  line().connection.end('lost', 'closed')
  assert.deepEqual(line().got, ['call', 'lost'])
  clock.advance(0)
  assert.equal(net.attempts, 2)
  await working()
  assert.deepEqual(states, ['working', 'down: closed', 'working'])
  assert.equal(worker.late, 2)
})

test('where there is no hub it is tried for ever, later and later', async () => {
  const { clock, net, worker, states } = workerWith()
  worker.start()
  const waits: number[] = []
  for (let i = 0; i < 7; i++) {
    net.fail('refused', 'connect ECONNREFUSED')
    await clock.settle()
    const since = clock.monotonic()
    for (const before = net.attempts; net.attempts === before;) clock.advance(500)
    waits.push(clock.monotonic() - since)
  }
  assert.deepEqual(waits, [1_000, 2_000, 4_000, 8_000, 11_500, 11_500, 11_500])
  assert.deepEqual(states, ['down: connect ECONNREFUSED'])
})

test('what is no hub of Waystation is told as such, whether it says nothing or closes', async () => {
  const { clock, net, worker, states, line, connected } = workerWith()
  worker.start()
  await connected()
  line().connection.end('timeout', 'the other end has not said within 5000 ms that it is a Waystation')
  assert.deepEqual(states, ['down: what answers there has not taken the offer of work, as a hub of Waystation does: the other end has not said within 5000 ms that it is a Waystation'])
  clock.advance(999)
  assert.equal(net.attempts, 1)
  clock.advance(1)
  await connected()
  line().connection.end('lost', 'the other end has closed the connection')
  assert.match(states[1] ?? '', /has not taken the offer of work.*: the other end has closed the connection; a hub that refuses the certificate/)
})

test('a hub that refuses the work says why, and is asked again after the longest wait', async () => {
  const { clock, net, worker, states, line, working } = workerWith()
  worker.start()
  await working()
  line().connection.events.packet(packet('error', Buffer.concat([Buffer.of(131), writeText('forbidden')])), undefined)
  assert.deepEqual(line().connection.told, ['drop refused'])
  assert.deepEqual(states.at(-1), 'down: the hub refuses this worker: forbidden')
  clock.advance(11_000)
  assert.equal(net.attempts, 1)
  clock.advance(500)
  assert.equal(net.attempts, 2)
})

test('a worker that stops says so, answers what it has, and then goes; it does not come back', async () => {
  const { clock, net, worker, states, line, working } = workerWith()
  worker.start()
  await working()
  const stopped = worker.stop(forever)
  await clock.settle()
  assert.deepEqual(line().connection.told, ['keepalive 836a drain'])
  assert.deepEqual(line().got, ['drain'])
  assert.equal(worker.state.state, 'draining')
  line().answered()
  await clock.settle()
  // What is under way to it still gets an answer.
  clock.advance(199)
  await clock.settle()
  assert.equal(worker.state.state, 'draining')
  clock.advance(1)
  await stopped
  assert.deepEqual(line().connection.told.slice(1), ['close'])
  assert.deepEqual(states, ['working', 'draining', 'stopped'])
  worker.start()
  assert.equal(worker.stop(forever), stopped)
  assert.deepEqual([net.attempts, clock.timers], [1, 0])
})

test('a worker that has no more time goes with calls that are not answered', async () => {
  const { clock, worker, line, working } = workerWith()
  worker.start()
  await working()
  const patience = new AbortController()
  const stopped = worker.stop(patience.signal)
  await clock.settle()
  patience.abort()
  await stopped
  assert.deepEqual(line().connection.told.at(-1), 'close now')
  assert.equal(worker.state.state, 'stopped')
})

test('a worker that stops while it connects lets go of what comes of that, and one that has offered its work takes it back', async () => {
  const early = workerWith()
  early.worker.start()
  await early.worker.stop(forever)
  await early.connected()
  assert.equal(early.net.streams[0]?.destroyed, true)

  const offering = workerWith()
  offering.worker.start()
  await offering.connected()
  await offering.worker.stop(forever)
  assert.deepEqual(offering.line().connection.told, ['close'])
  assert.equal(offering.clock.timers, 0)
  assert.deepEqual(offering.states, ['stopped'])
})

test('a worker that was stopped while it offered its work takes none of what the hub hands it all the same', async () => {
  const { clock, worker, states, line, connected } = workerWith()
  worker.start()
  await connected()
  line().connection.close = async () => {}
  void worker.stop(forever)
  await clock.settle()
  line().connection.events.shown?.(undefined)
  assert.deepEqual(line().connection.told, ['keepalive 836a drain'])
  assert.deepEqual(line().got, ['drain'])
  assert.deepEqual(states, ['stopped'])
})
