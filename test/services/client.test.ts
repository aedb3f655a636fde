import assert from 'node:assert/strict'
import { test } from 'node:test'
import { limitsWith } from '../../src/core/limits.ts'
import { createServiceClient, type ClientState, type ConnectedCaller } from '../../src/services/client.ts'
import type { CallWish, Outcome } from '../../src/services/ports.ts'
import { createManualClock } from '../../src/testing/manual-clock.ts'
import { fakeConnection, fakeDial, type FakeConnection } from '../support/service-fakes.ts'

const bare = (n: number): Buffer => Buffer.from([97, n])

/** A caller that keeps what it is asked to send, and ends it when the connection does. */
function fakeCaller() {
  const calls: { wish: CallWish; settle: (outcome: Outcome) => void }[] = []
  const casts: Buffer[] = []
  const caller: ConnectedCaller & { late: number } = {
    late: 0,
    get pending() { return calls.length },
    call(wish, settle) {
      const one = { wish, settle }
      calls.push(one)
      return () => void calls.splice(calls.indexOf(one), 1)
    },
    cast: (request) => casts.push(request) > 0,
    packet: () => void caller.late++,
    ended(_why, detail) {
      for (const { settle } of calls.splice(0)) settle({ kind: 'lost', detail })
    },
  }
  return { caller, calls, casts }
}

function clientWith(limits: Parameters<typeof limitsWith>[0] = {}) {
  const clock = createManualClock()
  const net = fakeDial()
  const states: string[] = []
  const lines: (ReturnType<typeof fakeCaller> & { connection: FakeConnection })[] = []
  const client = createServiceClient({
    dial: net.dial, clock, random: { next: () => 0.5 }, limits: limitsWith(limits), keepalive: 60_000, reconnect: 60_000,
    open(_dialled, events) {
      const connection = fakeConnection(events)
      lines.push({ ...fakeCaller(), connection })
      return connection
    },
    caller: () => line().caller,
    changed: (state: ClientState) => states.push([state.state, 'why' in state ? state.why : 'peer' in state ? state.peer : ''].filter((text) => text !== '').join(': ')),
  })
  const line = () => lines.at(-1) as (typeof lines)[number]
  /** What becomes of a call, once something does. */
  const call = (n: number, deadline = 5_000) => {
    const outcomes: Outcome[] = []
    const cancel = client.call({ request: bare(n), deadline }, (outcome) => outcomes.push(outcome))
    return { outcomes, cancel }
  }
  const connected = async (): Promise<void> => {
    net.succeed()
    await clock.settle()
  }
  const up = async (): Promise<void> => {
    await connected()
    clock.advance(200)
  }
  const failed = async (detail: string): Promise<void> => {
    net.fail('refused', detail)
    await clock.settle()
  }
  return { clock, net, client, states, line, lines, call, connected, up, failed }
}

test('what is asked for during the first try waits for it, in order, and each call with the time that it has left', async () => {
  const { clock, client, call, connected, line } = clientWith()
  client.connect()
  const first = call(1)
  assert.equal(client.cast(bare(2)), true)
  clock.advance(1_000)
  const second = call(3)
  const third = call(4)
  third.cancel()
  await connected()
  assert.deepEqual(line().calls.map(({ wish }) => [wish.request[1], wish.deadline]), [[1, 4_000], [3, 5_000]])
  assert.deepEqual(line().casts, [bare(2)])
  assert.equal(client.state.state, 'connecting')
  second.cancel()
  assert.equal(line().calls.length, 1)
  line().calls[0]?.settle({ kind: 'answer', term: bare(9) })
  assert.deepEqual(first.outcomes, [{ kind: 'answer', term: bare(9) }])
})

test('a call that waits for the first try ends at its deadline, or when the try fails', async () => {
  const { clock, client, call, failed } = clientWith()
  client.connect()
  const short = call(1, 100)
  const long = call(2)
  const left = call(3)
  client.cast(bare(4))
  clock.advance(100)
  assert.deepEqual(short.outcomes, [{ kind: 'deadline' }])
  left.cancel()
  await failed('connect ECONNREFUSED')
  assert.deepEqual(long.outcomes, [{ kind: 'unsent', code: 'disconnected', detail: 'connect ECONNREFUSED' }])
  assert.equal(client.counters.dropped, 1)
  clock.advance(100_000)
  assert.deepEqual([short.outcomes.length, long.outcomes.length, left.outcomes.length], [1, 1, 0])
})

test('without a connection a call fails at once, in a later turn, and a cast is dropped', async () => {
  const { clock, client, call, failed, net, states } = clientWith()
  client.connect()
  await failed('connect ECONNREFUSED')
  const { outcomes } = call(1)
  const cancelled = call(2)
  assert.deepEqual(outcomes, [])
  cancelled.cancel()
  clock.endTurn()
  assert.deepEqual(outcomes, [{ kind: 'unsent', code: 'disconnected', detail: 'connect ECONNREFUSED' }])
  assert.deepEqual(cancelled.outcomes, [])
  assert.equal(client.cast(bare(1)), false)
  assert.equal(client.counters.dropped, 1)
  // The next try is not the first: nothing waits for it.
  clock.advance(1_000)
  assert.equal(net.attempts, 2)
  const during = call(3)
  clock.endTurn()
  assert.equal(during.outcomes.length, 1)
  assert.deepEqual(states, ['connecting', 'down: connect ECONNREFUSED'])
})

test('what waits for the first try is bounded in number and in bytes, though one may always wait', async () => {
  const few = clientWith({ maxCallsPerConnection: 2 })
  few.client.connect()
  few.client.cast(bare(1))
  few.call(2)
  const third = few.call(3)
  few.clock.endTurn()
  assert.deepEqual(third.outcomes.map((outcome) => outcome.kind === 'unsent' && outcome.code), ['too_many_calls'])
  assert.equal(few.client.cast(bare(4)), false)

  const small = clientWith({ maxServicePendingBytes: 10 })
  small.client.connect()
  assert.equal(small.client.cast(Buffer.alloc(20)), true)
  assert.equal(small.client.cast(bare(1)), false)
  await small.connected()
  assert.deepEqual(small.line().casts.map((one) => one.length), [20])

  const again = clientWith({ maxServicePendingBytes: 10 })
  again.client.connect()
  for (let n = 0; n < 9; n++) again.call(n).cancel()
  assert.equal(again.client.cast(Buffer.alloc(10)), true)
})

test('a call is sent at once over a connection that does not count yet; it counts after 200 ms, or the first byte', async () => {
  const { clock, client, call, connected, line, states } = clientWith()
  client.connect()
  await connected()
  call(1)
  assert.equal(line().calls.length, 1)
  clock.advance(199)
  assert.deepEqual(states, ['connecting'])
  clock.advance(1)
  assert.deepEqual(states, ['connecting', 'up: erps'])

  const other = clientWith()
  other.client.connect()
  await other.connected()
  other.line().connection.events.seen?.()
  other.line().connection.isWaystation = true
  other.line().connection.events.shown?.(undefined)
  assert.deepEqual(other.states, ['connecting', 'up: erps', 'up: waystation'])
})

test('a connection that ends before it counts is a failed try: the next waits', async () => {
  const { clock, client, net, connected, line, states } = clientWith()
  client.connect()
  await connected()
  clock.advance(199)
  line().connection.end('lost', 'tlsv13 alert certificate required')
  assert.deepEqual(states, ['connecting', 'down: tlsv13 alert certificate required, right after connecting'])
  clock.advance(999)
  assert.equal(net.attempts, 1)
  clock.advance(1)
  assert.equal(net.attempts, 2)
})

test('a connection that is lost fails all that waits at once, and is made again at once, three times in five seconds', async () => {
  const { clock, client, net, call, up, line, states } = clientWith()
  client.connect()
  await up()
  const pending = [call(1), call(2)]
  for (let i = 1; i <= 3; i++) {
    line().connection.end('lost', 'closed')
    assert.equal(net.attempts, i)
    assert.equal(client.state.state, 'down')
    clock.advance(0)
    assert.equal(net.attempts, i + 1)
    await up()
  }
  assert.deepEqual(pending.map(({ outcomes }) => outcomes), [[{ kind: 'lost', detail: 'closed' }], [{ kind: 'lost', detail: 'closed' }]])
  line().connection.end('lost', 'closed')
  clock.advance(999)
  assert.equal(net.attempts, 4)
  clock.advance(1)
  assert.equal(net.attempts, 5)
  assert.deepEqual(states.slice(0, 4), ['connecting', 'up: erps', 'down: closed', 'up: erps'])
})

test('who is refused waits for the longest wait, also when the refusal is the first that comes', async () => {
  const { clock, client, net, connected, line, states } = clientWith()
  client.connect()
  await connected()
  line().connection.events.seen?.()
  line().connection.end('refused', 'wrong identifier')
  assert.deepEqual(states.at(-1), 'down: the service refuses this client: wrong identifier')
  // Half of the range of the longest wait, whose least is 30 s.
  clock.advance(44_999)
  assert.equal(net.attempts, 1)
  clock.advance(1)
  assert.equal(net.attempts, 2)
})

test('what the other end does wrong is no reason to come back at once', async () => {
  const { clock, client, net, up, line } = clientWith()
  client.connect()
  await up()
  line().connection.end('bad_packet', 'a wrong cookie')
  clock.advance(999)
  assert.equal(net.attempts, 1)
  clock.advance(1)
  assert.equal(net.attempts, 2)
})

test('an original gets a keepalive each minute, whatever else goes on; a Waystation none from here', async () => {
  const { clock, client, connected, line } = clientWith()
  client.connect()
  await connected()
  const { connection } = line()
  clock.advance(59_999)
  assert.deepEqual(connection.told, [])
  clock.advance(1)
  clock.advance(60_000)
  assert.deepEqual(connection.told, ['keepalive', 'keepalive'])
  connection.isWaystation = true
  clock.advance(120_000)
  assert.equal(connection.told.length, 2)
  connection.end('lost', 'closed')
  connection.isWaystation = false
  clock.advance(0)
  clock.advance(120_000)
  assert.equal(connection.told.length, 2)
})

test('disconnect ends what is pending and stays down until connect, which calls wait for again', async () => {
  const { clock, client, net, call, up, connected, line, states } = clientWith()
  client.connect()
  await up()
  const pending = call(1)
  client.disconnect()
  client.disconnect()
  assert.deepEqual(pending.outcomes, [{ kind: 'lost', detail: 'disconnect() was called' }])
  assert.deepEqual(line().connection.told, ['close'])
  clock.advance(600_000)
  assert.equal(net.attempts, 1)
  const refused = call(2)
  clock.endTurn()
  assert.deepEqual(refused.outcomes.map((outcome) => outcome.kind === 'unsent' && outcome.code), ['disconnected'])
  client.connect()
  client.connect()
  assert.equal(net.attempts, 2)
  call(3)
  await connected()
  assert.equal(line().calls.length, 1)
  client.connect()
  assert.equal(net.attempts, 2)
  assert.deepEqual(states, ['connecting', 'up: erps', 'disconnected', 'connecting'])
})

test('disconnect during a try lets go of what the try gives; connect during a wait tries at once', async () => {
  const { clock, client, net, call, failed } = clientWith()
  client.connect()
  const waiting = call(1)
  const cancelled = call(2)
  client.disconnect()
  cancelled.cancel()
  clock.endTurn()
  assert.deepEqual([waiting.outcomes.length, cancelled.outcomes.length], [1, 0])
  net.succeed()
  await clock.settle()
  assert.equal(net.streams[0]?.destroyed, true)
  client.connect()
  await failed('refused')
  client.connect()
  assert.equal(net.attempts, 3)
  clock.advance(10_000)
  assert.equal(net.attempts, 3)
  await failed('refused')
  client.disconnect()
  clock.advance(600_000)
  assert.equal(net.attempts, 3)
})

test('connect during a try that goes on by itself makes no second one, but calls wait for it', async () => {
  const { clock, client, net, call, connected, failed, line } = clientWith()
  client.connect()
  await failed('refused')
  clock.advance(1_500)
  assert.equal(net.attempts, 2)
  client.connect()
  assert.deepEqual([net.attempts, client.state.state], [2, 'connecting'])
  call(1)
  await connected()
  assert.equal(line().calls.length, 1)
})

test('a client that is closed stays closed, and leaves no timer', async () => {
  const { clock, client, net, call, up, line } = clientWith()
  client.connect()
  await up()
  const pending = call(1)
  await client.close(AbortSignal.abort())
  assert.deepEqual(line().connection.told, ['close now'])
  assert.equal(pending.outcomes.length, 1)
  client.connect()
  client.disconnect()
  await client.close(new AbortController().signal)
  assert.deepEqual([client.state.state, net.attempts, clock.timers], ['closed', 1, 0])
  const after = call(2)
  clock.endTurn()
  assert.deepEqual(after.outcomes.map((outcome) => outcome.kind === 'unsent' && outcome.code), ['stopped'])
})

test('late answers are counted over all connections', async () => {
  const { clock, client, up, line } = clientWith()
  client.connect()
  await up()
  const { connection, caller } = line()
  caller.late = 2
  assert.equal(client.counters.late, 2)
  connection.end('lost', 'closed')
  assert.equal(client.counters.late, 2)
  clock.advance(0)
  await up()
  line().caller.late = 3
  assert.equal(client.counters.late, 5)
})
