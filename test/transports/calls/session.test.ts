import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { LimitName } from '../../../src/core/limits.ts'
import { encode } from '../../../src/protocol/etf/encode.ts'
import { Atom, Float } from '../../../src/protocol/etf/term.ts'
import { createSession, type Session } from '../../../src/transports/calls/session.ts'
import { callsOptions, type FakeServices } from '../../support/calls.ts'
import { createInbox, type Inbox } from '../../support/events.ts'
import { readFrames } from '../../support/frames.ts'
import { anonymous } from '../../support/transport-port.ts'

interface World {
  readonly session: Session
  readonly services: FakeServices
  readonly said: Inbox<string>
  readonly closes: Inbox<number>
  readonly failures: unknown[]
  readonly slow: string[]
  /** How many frames were written together. */
  readonly writes: number[]
  pending: number
  isOpen: boolean
  send(frame: unknown): void
}

/** A session on a connection that a test holds the other end of. */
function begin(limits: Partial<Record<LimitName, number>> = {}): World {
  const { options, services, failures, slow } = callsOptions({ limits })
  const [said, closes] = [createInbox<string>('frame'), createInbox<number>('close')]
  let open = true
  const writes: number[] = []
  const world = { services, failures, slow, said, closes, writes, pending: 0, isOpen: true }
  const close = (code: number): void => {
    if (open) closes.push(code)
    open = false
  }
  const session = createSession(
    { ...options, bounds: { atoms: options.atoms, termAtoms: 'any', maxDepth: 1_000, maxBytes: 1_000_000 }, isOpen: () => world.isOpen, allowsOrigin: () => true },
    {
      get open() { return open },
      get pendingBytes() { return world.pending },
      writeAll(chunks) {
        writes.push(chunks.length)
        for (const { payload } of readFrames(Buffer.concat(chunks)).frames) said.push(payload.toString())
      },
      close,
      evict: () => close(1013),
      destroy: () => close(0),
    },
    anonymous(),
  )
  return Object.assign(world, { session, send: (frame: unknown) => session.receive(Buffer.from(typeof frame === 'string' ? frame : JSON.stringify(frame)), false) })
}

const term = (...parameters: Parameters<typeof encode>): Buffer => encode(...parameters).subarray(1)
const problem = (text: string): { id?: unknown; code: string; status: number } => {
  const { id, error } = JSON.parse(text) as { id?: unknown; error: { code: string; status: number } }
  return { ...(id !== undefined && { id }), code: error.code, status: error.status }
}

test('answers come as they are ready, those of one turn together, each with the id of its call as the client wrote it', async () => {
  const { services, said, send, writes } = begin()
  const ids = ['1', '"a"', '1.0e2', '"\\u0061b"', '12345678901234567890', '""', '-0.5', '"1"']
  for (const id of ids) send(`{"id": ${id} ,"service":"held","call":[1,1.0]}`)
  const held = await services.calls.take(ids.length)
  assert.deepEqual(held[0]?.wish.request, term([1, new Float(1)]))
  for (const [at, call] of [...held.entries()].toReversed()) call.answer(term(at))
  assert.deepEqual(await said.take(ids.length), ids.map((id, at) => `{"id":${id},"answer":${at}}`).toReversed())
  assert.deepEqual(writes, [ids.length])
})

test('a request is a term as over HTTP, and deadline and keys are members', async () => {
  const { services, said, send } = begin()
  send('{"id":1,"service":"echo","call":{"n":1,"x":1.0},"deadline":250,"key":"k","idempotencyKey":"i"}')
  const { wish } = await services.calls.next()
  assert.deepEqual([wish.deadline, wish.key, wish.idempotencyKey], [250, Buffer.from('k'), 'i'])
  assert.equal(await said.next(), '{"id":1,"answer":{"n":1,"x":1.0}}')
  send('{"id":1,"service":"echo","call":null,"deadline":"2s"}')
  assert.equal((await services.calls.next()).wish.deadline, 2_000)
  assert.equal(await said.next(), '{"id":1,"answer":null}')
})

test('a failed call is a problem with its id, and an answer without JSON comes in Base64', async () => {
  const { services, said, send } = begin()
  send({ id: 'x', service: 'fail/no_worker', call: 1 })
  assert.deepEqual(problem(await said.next()), { id: 'x', code: 'no_worker', status: 503 })
  await services.calls.next()
  send({ id: 'y', service: 'held', call: 1 })
  const callback = Buffer.concat([Buffer.of(113), term(new Atom('m')), term(new Atom('f')), term(1)])
  const held = await services.calls.next()
  held.answer(callback)
  assert.deepEqual(JSON.parse(await said.next()), { id: 'y', term: Buffer.concat([Buffer.of(131), callback]).toString('base64') })
})

test('a cast is taken in the order of the frames, and answered only where it has an id or was not taken', async () => {
  const { services, said, send } = begin()
  for (const n of [1, 2, 3]) send({ service: 'log', cast: n, ...(n === 2 && { id: 'two', key: 'k' }) })
  const casts = await services.casts.take(3)
  assert.deepEqual(casts.map(({ wish }) => wish.request), [term(1), term(2), term(3)])
  assert.deepEqual(casts.map(({ wish }) => wish.key?.toString()), [undefined, 'k', undefined])
  assert.equal(await said.next(), '{"id":"two","accepted":true}')
  send({ service: 'fail/no_service', cast: 1 })
  assert.deepEqual(problem(await said.next()), { code: 'no_service', status: 404 })
  services.forbidden.add('secret')
  send({ service: 'secret', cast: 1, id: 5 })
  assert.deepEqual(problem(await said.next()), { id: 5, code: 'forbidden', status: 403 })
})

test('a frame that is JSON and no call is told so, with its id where it has one, and the connection stays', async () => {
  const { services, said, closes, send } = begin()
  const faults: [unknown, unknown?][] = [
    ['[]'], ['1'], ['null'], ['{}'], ['"a"'],
    [{ id: {}, service: 's', call: 1 }], [{ id: null, service: 's', call: 1 }], [{ id: true, service: 's', call: 1 }], [{ id: [1], service: 's', call: 1 }], [{ id: 'a'.repeat(300), service: 's', call: 1 }],
    [{ service: 's', call: 1 }],
    [{ id: 1 }, 1], [{ id: 1, service: 's' }, 1], [{ id: 1, call: 1 }, 1], [{ id: 1, service: '', call: 1 }, 1], [{ id: 1, service: 7, call: 1 }, 1], ['{"id":1,"service":"\\ud800","call":1}', 1],
    [{ id: 1, service: 's', call: 1, cast: 1 }, 1], [{ id: 1, service: 's', call: 1, deadine: 5 }, 1],
    [{ id: 1, service: 's', call: 1, deadline: 0 }, 1], [{ id: 1, service: 's', call: 1, deadline: null }, 1], [{ id: 1, service: 's', call: 1, deadline: 600_001 }, 1],
    [{ id: 1, service: 's', call: 1, key: '' }, 1], [{ id: 1, service: 's', call: 1, key: 5 }, 1], [{ id: 1, service: 's', call: 1, idempotencyKey: 'a'.repeat(256) }, 1], ['{"id":1,"service":"s","call":1,"idempotencyKey":"\\ud800"}', 1],
    [{ id: 1, service: 's', cast: 1, deadline: 5 }, 1],
    [`{"id":1,"service":"s","call":${'['.repeat(5_000)}${']'.repeat(5_000)}}`, 1], ['{"id":1,"service":"s","call":1e999}', 1],
    [Object.fromEntries(Array.from({ length: 50 }, (_, at) => [`m${at}`, 1]))],
  ]
  for (const [frame, id] of faults) {
    send(frame)
    assert.deepEqual(problem(await said.next()), { ...(id !== undefined && { id }), code: 'bad_request', status: 400 }, JSON.stringify(frame))
  }
  assert.deepEqual([services.calls.taken(), closes.taken()], [[], []])
})

test('a frame that is no JSON ends the connection with 1007, bytes with 1003', async () => {
  for (const text of ['', 'hello', '{"id":1,"service":"s","call":1', '{"id":1,"service":"s","call":1}}', '{"id":1,"service":"s","call":[}', '{"id":01,"service":"s","call":1}', '{"id":1,"service":"s","call":,}', '{"id":1,"service":"s","call":[1}}', '{"id":1,"service":"s","cast":1 2}', '{"id":1,"service":"s","call":1,"deadline":x}']) {
    const { services, said, closes, send } = begin()
    send(text)
    assert.equal(problem(await said.next()).code, 'bad_request', text)
    assert.deepEqual([closes.taken(), services.calls.taken()], [[1007], []], text)
  }
  const { session, closes } = begin()
  session.receive(Buffer.from('{"id":1,"service":"echo","call":1}'), true)
  assert.equal(await closes.next(), 1003)
})

test('an id that belongs to a call without its answer is refused without an id, and is free again after the answer', async () => {
  const { services, said, send } = begin()
  send('{"id":1,"service":"held","call":1}')
  const held = await services.calls.next()
  for (const id of ['1', '1.0', '10e-1']) {
    send(`{"id":${id},"service":"held","call":2}`)
    assert.deepEqual(problem(await said.next()), { code: 'bad_request', status: 400 })
  }
  send('{"id":1,"bad":true}')
  assert.deepEqual(problem(await said.next()), { code: 'bad_request', status: 400 })
  assert.deepEqual(services.calls.taken(), [])
  held.answer(term('one'))
  assert.equal(await said.next(), '{"id":1,"answer":"one"}')
  send('{"id":1,"service":"echo","call":3}')
  assert.equal(await said.next(), '{"id":1,"answer":3}')
})

test('past the calls that may be unanswered a further one is refused', async () => {
  const { services, said, send, session } = begin({ maxUnanswered: 2 })
  for (const id of [1, 2, 3]) send({ id, service: 'held', call: id })
  assert.deepEqual(problem(await said.next()), { id: 3, code: 'too_many_calls', status: 503 })
  assert.equal(session.unanswered, 2)
  const [first] = await services.calls.take(2)
  first?.answer(term(1))
  await said.next()
  send({ id: 4, service: 'echo', call: 4 })
  assert.equal(await said.next(), '{"id":4,"answer":4}')
})

test('when nobody is there any more all calls are abandoned, once', async () => {
  const { services, send, session, said } = begin()
  for (const id of [1, 2, 3]) send({ id, service: `held ${id}`, call: id })
  const held = await services.calls.take(3)
  held[1]?.answer(term(2))
  await said.next()
  session.gone()
  session.gone()
  assert.deepEqual(services.abandoned.taken(), ['held 1', 'held 3'])
  assert.equal(session.unanswered, 0)
})

test('one that does not take its answers is let go', async () => {
  const world = begin({ maxServicePendingBytes: 1_024 })
  world.send({ id: 1, service: 'echo', call: 1 })
  await world.said.next()
  world.pending = 1_025
  world.send({ id: 2, service: 'echo', call: 2 })
  assert.equal(await world.closes.next(), 1013)
  assert.deepEqual([world.slow, world.said.taken()], [['calls'], []])
})

test('at the goodbye the calls that are on their way are answered first', async () => {
  const { services, send, session, said, closes } = begin()
  send({ id: 1, service: 'held', call: 1 })
  const held = await services.calls.next()
  session.close(1001, 'going')
  send({ id: 2, service: 'echo', call: 2 })
  assert.deepEqual(problem(await said.next()), { id: 2, code: 'stopped', status: 503 })
  assert.deepEqual(closes.taken(), [])
  held.answer(term(1))
  assert.equal(await said.next(), '{"id":1,"answer":1}')
  assert.deepEqual(closes.taken(), [1001])
  const idle = begin()
  idle.session.close(1001, 'going')
  assert.deepEqual(idle.closes.taken(), [1001])
})

test('a fault of the services behind it becomes a problem that tells nothing', async () => {
  const { services, failures, said, send } = begin()
  services.call = () => {
    throw new Error('secret text')
  }
  send({ id: 1, service: 'held', call: 1 })
  const text = await said.next()
  assert.deepEqual(problem(text), { id: 1, code: 'call_failed', status: 500 })
  assert.doesNotMatch(text, /secret/)
  assert.equal(failures.length, 1)
})
