import assert from 'node:assert/strict'
import { test } from 'node:test'
import { WaystationError } from '../../src/core/errors.ts'
import { limitsWith } from '../../src/core/limits.ts'
import { createWheel } from '../../src/core/wheel.ts'
import { encode } from '../../src/protocol/etf/encode.ts'
import { ExternalFunction, Tuple, type Term } from '../../src/protocol/etf/term.ts'
import { createAnswerer, type Answerer } from '../../src/services/answerer.ts'
import type { ServiceConnection, ServiceFrom, ServiceHandlers } from '../../src/services/handlers.ts'
import { createProgramWorld, type HandlersOf } from '../../src/services/program.ts'
import { createValues } from '../../src/services/values.ts'
import { createManualClock } from '../../src/testing/manual-clock.ts'
import { atom, callOf, packetOf, recordConnection, type RecordedConnection } from './recorded-connection.ts'

const text = (request: Term): string => (request instanceof Uint8Array ? Buffer.from(request).toString() : '')
const soon = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))


function start(handlers: ServiceHandlers<Term>) {
  return startWith(handlers)
}

function startWith(handlers: ServiceHandlers<Term> | HandlersOf<Term>) {
  const clock = createManualClock()
  const limits = limitsWith({ callTimeout: 100, maxCallsPerConnection: 100 })
  const failures: [string, number | undefined][] = []
  const runs = { count: 0 }
  const program = createProgramWorld<Term>({
    handlers, clock, limits,
    values: createValues({ as: 'terms', atoms: new Set(['ping', 'pong', 'boom']), safety: 'strict', maxDepth: 100, maxBytes: 1_000 }),
    run(handler) {
      runs.count++
      return handler()
    },
    failed: (error, who) => void failures.push([error instanceof Error ? error.message : String(error), who?.id]),
  })
  const connect = (peer: 'erps' | 'waystation' = 'erps') => {
    const here: { answerer?: Answerer } = {}
    let tell = (): void => {}
    const connection: RecordedConnection = recordConnection(peer, (why, detail) => (tell = () => here.answerer?.ended(why, detail))())
    const answerer = (here.answerer = createAnswerer(connection, program.accept(connection), { limits, wheel: createWheel(clock, 50) }))
    tell()
    return {
      connection, answerer,
      call: (ref: Term, request: Term) => answerer.packet(callOf(ref, request, 'id'), undefined),
      cast: (request: Term) => answerer.packet(packetOf('cast', encode(request)), undefined),
    }
  }
  return { clock, program, failures, runs, connect }
}

test('casts that take their time are bounded as calls are: past so many nothing more is read until one is done', async () => {
  const running: { resolve(): void; reject(error: Error): void }[] = []
  const { connect, failures } = start({ cast: (request) => (request === 0 ? undefined : new Promise<void>((resolve, reject) => void running.push({ resolve, reject }))) })
  const { cast, connection } = connect('waystation')
  const held: string[] = []
  connection.pause = () => void held.push('pause')
  connection.resume = () => void held.push('resume')
  for (let i = 0; i < 99; i++) cast(1)
  for (let i = 0; i < 500; i++) cast(0)
  assert.deepEqual(held, [])
  cast(1)
  assert.deepEqual(held, ['pause'])
  running[0]?.reject(new Error('no'))
  await soon()
  assert.deepEqual([held, failures], [['pause', 'resume'], [['no', 1]]])
  cast(1)
  for (const one of running) one.resolve()
  await soon()
  assert.deepEqual(held, ['pause', 'resume', 'pause', 'resume'])
})

test('the value of a handler is the answer, and so is what its promise gives', async () => {
  const { connect, runs } = start({ call: (request) => (request === 1 ? atom('pong') : Promise.resolve([request])) })
  const { call, connection } = connect()
  call(1, 1)
  call(2, 2)
  assert.deepEqual(connection.sent(), [['reply', new Tuple(atom('pong'), 1)]])
  await soon()
  assert.deepEqual(connection.sent(), [['reply', new Tuple([2], 2)]])
  assert.ok(runs.count >= 2)
})

test('an answer that is nil or false is one; undefined, now or promised, says that it comes later, from anywhere, once', async () => {
  const later: ServiceFrom<Term>[] = []
  const answers: Term[] = [null, false]
  const { connect } = start({
    call(request, from) {
      if (typeof request === 'number' && request < 2) return answers[request]
      later.push(from)
      return request === 2 ? undefined : Promise.resolve(undefined)
    },
  })
  const { call, connection } = connect()
  for (let i = 0; i < 4; i++) call(i, i)
  await soon()
  assert.deepEqual(connection.sent(), [['reply', new Tuple(null, 0)], ['reply', new Tuple(false, 1)]])
  assert.deepEqual(later.map((from) => from.reply('late')), [true, true])
  assert.deepEqual(later.map((from) => from.reply('again')), [false, false])
  assert.deepEqual(connection.sent(), [['reply', new Tuple('late', 2)], ['reply', new Tuple('late', 3)]])
})

test('an original whose call throws or rejects is let go without a word, what was answered before goes out, and what comes behind is left undone', async () => {
  const faults: ServiceHandlers<Term>['call'][] = [
    () => { throw new Error('secret') },
    () => Promise.reject(new Error('secret')),
    () => new ExternalFunction('m', 'f', 1),
    () => Promise.resolve(atom('undeclared')),
    (_request, from) => void from.reply({} as Term),
  ]
  for (const [i, fault] of [...faults, undefined].entries()) {
    const ends: string[] = []
    let calls = 0
    const { connect, failures } = start({
      ...(fault !== undefined && { call: (request: Term, from: ServiceFrom<Term>) => (++calls, text(request) === 'fine' ? 'yes' : fault(request, from)) }),
      disconnected: (_connection, why) => void ends.push(why),
    })
    const { call, connection } = connect('erps')
    if (fault !== undefined) call(1, 'fine')
    const closed = connection.close
    // It takes a while until what waits is out.
    connection.close = async () => {}
    call(2, 'bad')
    await soon()
    call(3, 'fine')
    assert.equal(calls, fault === undefined ? 0 : 2, String(i))
    await closed(AbortSignal.timeout(1))
    assert.deepEqual(connection.sent(), fault === undefined ? [] : [['reply', new Tuple('yes', 1)]], String(i))
    assert.deepEqual([ends, failures.length, connection.over], [['failed'], 1, ['closed']])
  }
})

test('to a Waystation only that call fails, by a code, without the reason', async () => {
  const { connect, failures } = start({ call(request) { throw new Error(`secret ${String(request)}`) } })
  const { call, cast, connection } = connect('waystation')
  call(1, 1)
  cast(2)
  call(3, 3)
  assert.deepEqual(connection.sent(), [['error', new Tuple('call_failed', 1)], ['error', new Tuple('call_failed', 3)]])
  assert.deepEqual(connection.over, [])
  assert.deepEqual(failures.map(([why]) => why.replace(/.*: /, '')), ['secret 1', 'the service has no handler for casts', 'secret 3'])
})

test('an original whose cast throws, rejects or has no handler is let go', async () => {
  for (const cast of [() => { throw new Error('no') }, () => Promise.reject(new Error('no')), undefined]) {
    const { connect, failures } = start({ ...(cast !== undefined && { cast }) })
    const one = connect('erps')
    one.cast('x')
    await soon()
    assert.deepEqual([one.connection.over, failures.length, one.connection.sent()], [['closed'], 1, []])
  }
})

test('a handler that gives up when nobody waits has not failed', async () => {
  const { connect, failures } = start({
    call: (request, { signal }) => new Promise((_resolve, reject) => signal.addEventListener('abort', () => reject(text(request) === 'other' ? new Error('other') : signal.reason))),
  })
  const { call, answerer } = connect()
  call(1, 'right')
  call(2, 'other')
  answerer.ended('lost', '')
  await soon()
  assert.deepEqual(failures, [['other', 1]])
})

test('what the filter refuses does not reach the handler: an original hears filtered, a Waystation forbidden', () => {
  const reached: Term[] = []
  const seen: unknown[] = []
  const { connect } = start({
    call: (request) => (reached.push(request), 'yes'),
    cast: (request) => void reached.push(request),
    filter(request, mode, from) {
      seen.push([mode, from.remote, from.identifier, from.version, from.connection?.address])
      return request === 1
    },
  })
  const original = connect('erps')
  original.call(1, 1)
  original.call(2, 2)
  original.cast(3)
  original.cast(1)
  assert.deepEqual(original.connection.sent(), [['reply', new Tuple('yes', 1)], ['error', 'filtered'], ['error', 'filtered']])
  assert.deepEqual([reached.splice(0), original.connection.over, original.answerer.pending], [[1, 1], [], 0])
  assert.deepEqual(seen.slice(0, 3), [['call', true, 'id', '1.2.3', '192.0.2.1'], ['call', true, 'id', '1.2.3', '192.0.2.1'], ['cast', true, '', '1.2.3', '192.0.2.1']])
  const waystation = connect('waystation')
  waystation.call(1, 2)
  waystation.cast(2)
  assert.deepEqual([waystation.connection.sent(), reached], [[['error', new Tuple('forbidden', 1)]], []])
})

test('a filter that throws, or gives a promise, lets nothing through', () => {
  for (const filter of [() => { throw new Error('no') }, async () => true]) {
    const { connect, failures } = start({ call: () => 'yes', filter: filter as never })
    const { call, connection } = connect('waystation')
    call(1, 1)
    assert.deepEqual([connection.sent(), failures.length], [[['error', new Tuple('call_failed', 1)]], 1])
  }
})

test('calls of this process are not filtered, are told from others, and see the same handlers', async () => {
  let state = 0
  const { program, connect } = start({
    call: (request, from) => [request, state, from.remote, from.connection?.id ?? null],
    cast: (request) => void (state = request as number),
    filter: () => false,
  })
  assert.deepEqual(await program.call('text'), [Uint8Array.from(Buffer.from('text')), 0, false, null])
  program.cast(7)
  assert.deepEqual(await program.call(1), [1, 7, false, null])
  connect().cast(9)
  assert.deepEqual(await program.call(1), [1, 7, false, null])
})

test('a call of this process ends by its answer, its deadline, or what the handler has thrown', async () => {
  const froms: ServiceFrom<Term>[] = []
  const { program, clock, failures } = start({
    call(request, from) {
      if (text(request) === 'throw') throw new Error('mine')
      froms.push(from)
      return undefined
    },
  })
  const code = (wanted: string) => (error: WaystationError): boolean => error.code === wanted
  await assert.rejects(program.call('throw'), (error: WaystationError) => error.code === 'call_failed' && (error.cause as Error).message === 'mine')
  const [brief, usual, long] = [program.call(1, { timeout: 20 }), program.call(2), program.call(3, { timeout: 5_000 })]
  const all = Promise.all([assert.rejects(brief, code('deadline')), assert.rejects(usual, code('deadline'))])
  clock.advance(100)
  await all
  assert.deepEqual(froms.map((from) => [from.signal.aborted, from.deadline]), [[true, 20], [true, 100], [false, 5_000]])
  assert.deepEqual([froms[0]?.reply('late'), froms[2]?.reply('in time'), froms[2]?.reply('again')], [false, true, false])
  assert.equal(text(await long), 'in time')
  await assert.rejects(program.call({} as Term), code('bad_request'))
  assert.throws(() => program.cast({} as Term), code('bad_request'))
  assert.deepEqual([failures, clock.timers], [[], 0])
})

test('what this process waits for when the service is closed has until the deadline', async () => {
  const froms: ServiceFrom<Term>[] = []
  const { program } = start({ call: (_request, from) => void froms.push(from) })
  const [answered, late] = [program.call(1), program.call(2)]
  const deadline = new AbortController()
  const closed = program.close(deadline.signal)
  await assert.rejects(program.call(3), { code: 'stopped' })
  froms[0]?.reply('yes')
  assert.equal(text(await answered), 'yes')
  deadline.abort()
  await assert.rejects(late, { code: 'stopped' })
  await closed
})

test('a function gives handlers for each connection, and for this process once', async () => {
  const made: (number | undefined)[] = []
  const { program, connect } = startWith((connection: ServiceConnection<Term> | undefined) => {
    made.push(connection?.id)
    let calls = 0
    return { call: () => ++calls }
  })
  const [one, two] = [connect(), connect()]
  one.call(1, 0)
  one.call(2, 0)
  two.call(3, 0)
  assert.deepEqual([...one.connection.sent(), ...two.connection.sent()].map(([, term]) => (term as Tuple).elements[0]), [1, 2, 1])
  assert.deepEqual([await program.call(0), await program.call(0)], [1, 2])
  assert.deepEqual(made, [1, 2, undefined])
})

test('who is connected is told, listed, pushed to, and let go', () => {
  const told: string[] = []
  const { program, connect } = start({
    connected: ({ id }) => void told.push(`+${id}`),
    disconnected: ({ id }, why, detail) => void told.push(`-${id} ${why} ${detail}`),
  })
  const [one, two] = [connect('erps'), connect('waystation')]
  assert.deepEqual(program.connections().map(({ address, names, peer }) => [address, names, peer]), [['192.0.2.1', ['cn:edge'], 'erps'], ['192.0.2.1', ['cn:edge'], 'waystation']])
  assert.equal(program.push(atom('ping')), 2)
  const [first, second] = program.connections() as [ServiceConnection<Term>, ServiceConnection<Term>]
  assert.equal(second.push(2), true)
  assert.throws(() => second.push(atom('undeclared')), { code: 'bad_request' })
  assert.deepEqual([one.connection.sent(), two.connection.sent()], [[['push', atom('ping')]], [['push', atom('ping')], ['push', 2]]])
  first.disconnect()
  two.connection.drop('revoked', 'list')
  assert.deepEqual([program.connections(), program.push(1), first.push(1)], [[], 0, false])
  assert.deepEqual(told, ['+1', '+2', '-1 stopped ', '-2 revoked list'])
})

test('a handler of connections that throws is reported, and the others go on', () => {
  const { program, connect, failures } = start({
    connected({ id }) { if (id === 1) throw new Error('connected') },
    disconnected() { throw new Error('disconnected') },
    call: () => 'yes',
  })
  const [one, two] = [connect('erps'), connect('erps')]
  two.call(1, 1)
  assert.deepEqual([one.connection.over, two.connection.sent().length, program.connections().length], [['closed'], 1, 1])
  assert.deepEqual(failures, [['connected', 1], ['disconnected', 1]])
})
