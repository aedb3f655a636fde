import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Tuple, type Term } from '../../src/protocol/etf/term.ts'
import { serveService, type ServiceConnection, type ServiceHandlers } from '../../src/server/serve-service.ts'
import { connectErps, sayHello } from '../support/erps-client.ts'
import { createInbox, until, type Inbox } from '../support/events.ts'
import { answer, given, hostileHub } from '../support/hostile-services.ts'
import { clientFrame, handshake, raw } from '../support/raw.ts'

// Those who do not take what they are sent. More waits for them than the network takes on its way, which is some megabytes.

const LARGE = Buffer.alloc(1_000_000)
const QUIET = { info() {}, warn() {}, error() {} }

/** Answers large, and `held` not at all: it tells when nobody waits for that any more. */
function heldOr<V>(large: V, abandoned: Inbox<unknown>): NonNullable<ServiceHandlers<V>['call']> {
  return (request, from) => {
    const text = request instanceof Uint8Array ? Buffer.from(request).toString() : request
    if (text !== 'held') return large
    from.signal.addEventListener('abort', () => abandoned.push(text))
    return undefined
  }
}

test('a Waystation that does not read its answers is let go, and its other calls are taken back; who reads gets all', async (t) => {
  const hub = await hostileHub(t, { maxServicePendingBytes: 2_000_000 })
  const abandoned = createInbox<unknown>('call that nobody waits for')
  await hub.world.workService('large', {}, { call: heldOr<Term>(LARGE, abandoned) })
  const [slow, reads] = [await hub.caller('large'), await hub.caller('large')]
  await Promise.all([sayHello(slow), sayHello(reads)])
  slow.call(0, 'held')
  slow.socket.pause()
  for (let ref = 1; ref < 15; ref++) slow.call(ref, ref)
  await hub.refusedFor('slow_consumer')
  await abandoned.next()
  for (let ref = 0; ref < 3; ref++) reads.call(ref, ref)
  for (let ref = 0; ref < 3; ref++) assert.deepEqual((await reads.next())[0], 'reply')
})

test('a worker that does not read its calls is let go in time, and they end: those that have left as lost, all others with another worker', async (t) => {
  const hub = await hostileHub(t, { writeTimeout: 300 })
  const [stuck, caller] = [await hub.worker('math', 100), await hub.caller('math')]
  await sayHello(caller)
  stuck.socket.pause()
  for (let ref = 0; ref < 14; ref++) caller.call(ref, LARGE)
  await hub.refusedFor('stalled')
  const works = await hub.worker('math', 100)
  const results = new Map<string, number>()
  for (let left = 14; left > 0; left--) {
    const [, term] = await caller.next()
    const reason = (term as Tuple).elements[0] as string
    results.set(reason, (results.get(reason) ?? 0) + 1)
  }
  assert.deepEqual([...results.keys()].filter((reason) => !['worker_lost', 'no_worker', 'too_many_calls'].includes(reason)), [], JSON.stringify([...results]))
  assert.ok((results.get('worker_lost') ?? 0) > 0)
  caller.call(20, 'small')
  answer(works, (await given(works)).ref, 'yes')
  assert.deepEqual(await caller.next(), ['reply', new Tuple('yes', 20)])
})

test('who does not take pushes is let go, an original when its pace leaves too much behind, a Waystation when its network does; others get theirs', async (t) => {
  const ends = createInbox<string>('end')
  const here = createInbox<ServiceConnection<Term>>('connection')
  const service = await serveService({ transport: 'tcp', logger: QUIET, limits: { maxServicePendingBytes: 2_500_000 } }, {
    connected: (connection) => here.push(connection),
    disconnected: (connection, why) => ends.push(`${connection.peer} ${why}`),
  })
  t.after(() => service.close())
  const original = await connectErps(t, service.port)
  const first = await here.next()
  // An original has one each 120 ms, however fast it reads.
  for (let i = 0; i < 5; i++) first.push(LARGE)
  assert.equal(await ends.next(), 'erps slow_consumer')
  await original.ended
  const [slow, reads] = [await connectErps(t, service.port), await connectErps(t, service.port)]
  await Promise.all([sayHello(slow), sayHello(reads)])
  slow.socket.pause()
  for (let i = 0; service.connections().length > 1; i++) {
    assert.ok(i < 60, 'nothing came of 60 MB')
    service.push(LARGE)
    assert.equal((await reads.next())[0], 'push')
  }
  assert.equal(await ends.next(), 'waystation slow_consumer')
})

test('who calls over HTTP or a WebSocket and reads no answer is let go when more waits for him than may, with all that he has asked for', async (t) => {
  const hub = await hostileHub(t, { writeTimeout: 500, maxServicePendingBytes: 1_000_000 })
  const text = 'x'.repeat(1_000_000)
  const abandoned = createInbox<unknown>('call that nobody waits for')
  await hub.world.workService('large', { as: 'json' }, { call: heldOr(text, abandoned) })
  const port = Number(new URL(hub.world.url).port)
  const socket = await raw(t, port)
  socket.send(handshake('/_/call'))
  await socket.until((bytes) => bytes.includes('\r\n\r\n'))
  assert.equal(await hub.gauge('waystation_connections{transport="calls"}'), 1)
  socket.socket.pause()
  const ask = (id: number): void => socket.send(clientFrame(1, JSON.stringify({ id, service: 'large', call: 0 })))
  for (let id = 0; id < 14; id++) ask(id)
  await until(async () => await hub.gauge('waystation_calls_total{result="ok"}') === 14, 'all answers')
  // What waits is looked at when more comes.
  ask(14)
  await until(async () => await hub.gauge('waystation_connections{transport="calls"}') === 0, 'the WebSocket is gone')
  assert.equal(await hub.gauge('waystation_slow_consumers_total{transport="calls"}'), 1)
  const http = await raw(t, port)
  http.socket.pause()
  const post = (body: string): string => `POST /_/call/large HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nContent-Length: ${body.length}\r\n\r\n${body}`
  http.send(post('1').repeat(14) + post('"held"'))
  assert.equal(await abandoned.next(), 'held')
  http.socket.resume()
  assert.ok((await http.ended).length < 14 * text.length)
})
