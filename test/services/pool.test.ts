import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Callee } from '../../src/services/ports.ts'
import { createTestPool, reasonOf } from './pool-parts.ts'

test('a call is answered by a worker, after the call has returned', () => {
  const { pool, join, call, results, account } = createTestPool()
  const worker = join('a')
  call('one')
  assert.equal(worker.held[0]?.wish.deadline, 1_000)
  assert.deepEqual([results, account.calls, account.bytes], [[], 1, 3])
  worker.answer()
  assert.deepEqual([results, account.calls, account.bytes, pool.isIdle], [['one: one'], 0, 0, true])
})

test('a worker that is a hub itself hears the key, and whether it may be done twice', () => {
  const { pool } = createTestPool()
  const told: unknown[] = []
  const callee: Callee = {
    call({ times, key }) {
      told.push([times, `${key}`])
      return () => {}
    },
    cast: (request, identifier, key) => told.push([`${request}`, identifier, `${key}`]) > 0,
  }
  pool.join({ id: 'hub', slots: 4, callee })
  const [request, key] = [Buffer.from('1'), Buffer.from('k')]
  pool.call({ request, key, deadline: 1_000, times: 'repeatable' }, () => {})
  pool.cast({ request, key })
  assert.deepEqual(told, [['repeatable', 'k'], ['1', undefined, 'k']])
})

test('where no worker is, or all drain, a call fails at once, though not before it has returned', () => {
  const { join, call, cast, clock, results, account } = createTestPool()
  call('early')
  assert.deepEqual(results, [])
  join('a').drain()
  call('late')
  clock.endTurn()
  assert.deepEqual(results, ['early: no_worker, no', 'late: no_worker, no'])
  assert.deepEqual([cast('x'), account.calls, clock.timers], ['no_worker', 0, 0])
})

test('calls wait for a free worker, the oldest first, and past the bound they fail', () => {
  const { pool, join, call, clock, results } = createTestPool({ maxPoolQueue: 2 })
  const worker = join('a')
  for (const request of ['1', '2', '3', '4']) call(request)
  clock.endTurn()
  assert.deepEqual([results, pool.view.waiting], [['4: too_many_calls, no'], 2])
  for (let i = 0; i < 3; i++) worker.answer()
  assert.deepEqual(results.slice(1), ['1: 1', '2: 2', '3: 3'])
})

test('whoever calls again when told of an answer does not get ahead of those that wait', () => {
  const { pool, join, call } = createTestPool()
  const worker = join('a')
  pool.call({ request: Buffer.from('1'), deadline: 1_000, times: 'once' }, () => void call('3'))
  call('2')
  worker.answer()
  worker.answer()
  assert.equal(worker.held[0]?.request, '3')
})

test('a call that waits past its deadline fails, as not done; the time that it has waited is gone for the worker', () => {
  const { pool, join, call, clock, results } = createTestPool()
  const worker = join('a')
  call('1')
  call('2', { deadline: 100 })
  call('3', { deadline: 500 })
  clock.advance(100)
  assert.deepEqual(results, ['2: deadline, no'])
  worker.answer()
  assert.equal(worker.held[0]?.wish.deadline, 400)
  worker.held[0]?.settle({ kind: 'deadline' })
  assert.deepEqual([results[2], pool.isIdle, clock.timers], ['3: deadline, perhaps', true, 0])
})

test('an abandoned call leaves the line or its worker, and its place goes to the next', () => {
  const { pool, join, call, clock, results, account } = createTestPool()
  const worker = join('a')
  const [first, second] = [call('1'), call('2')]
  call('3')
  second()
  first()
  first()
  assert.deepEqual([worker.abandoned, worker.held.map(({ request }) => request)], [['1'], ['3']])
  worker.answer()
  assert.deepEqual([results, account.calls, clock.timers, pool.view.running], [['3: 3'], 0, 0, 0])
})

test('a call that was surely not sent goes to another worker; one that may have been done only where it is repeatable', () => {
  const { pool, join, call, results } = createTestPool({ policy: 'round-robin' })
  const [a, b, c] = [join('a'), join('b'), join('c')]
  call('once')
  a.refuse('disconnected')
  b.lose()
  assert.deepEqual(results, ['once: worker_lost, perhaps'])
  call('repeatable', { times: 'repeatable' })
  c.lose()
  assert.deepEqual(results.slice(1), ['repeatable: worker_lost, perhaps'], 'the other two have just failed')
  const d = join('d')
  const e = join('e')
  call('again', { times: 'repeatable' })
  d.lose()
  e.answer()
  assert.deepEqual([results.slice(2), pool.view.moved], [['again: again'], 2])
})

test('a repeatable call is lost with three workers at most, and goes to none of them twice', () => {
  const { join, call, clock, results } = createTestPool({ policy: 'round-robin' })
  const workers = ['a', 'b', 'c', 'd'].map((id) => join(id, 2))
  call('1', { times: 'repeatable', deadline: 10_000 })
  for (const worker of workers.slice(0, 3)) {
    worker.lose()
    clock.advance(200)
  }
  assert.deepEqual([results, workers[3]?.held], [['1: worker_lost, perhaps'], []])
})

test('a call that was lost waits for a worker that it was not tried on, while others pass it', () => {
  const { pool, join, call, clock, results } = createTestPool({ policy: 'round-robin' })
  const [a, b] = [join('a'), join('b')]
  call('moving', { times: 'repeatable' })
  call('lasting')
  a.lose()
  assert.equal(pool.view.waiting, 1)
  clock.advance(200)
  call('new')
  assert.equal(a.held[0]?.request, 'new')
  b.answer()
  assert.equal(b.held[0]?.request, 'moving')
  b.lose()
  assert.deepEqual(results, ['lasting: lasting', 'moving: worker_lost, perhaps'])
})

test('when the last worker goes or drains, those that wait fail; what a draining one has it answers', () => {
  const { pool, join, call, clock, results } = createTestPool()
  const worker = join('a')
  call('1')
  call('2')
  worker.drain()
  assert.deepEqual(results, ['2: no_worker, no'])
  worker.answer()
  worker.gone()
  assert.deepEqual([results[1], pool.members, pool.isIdle, clock.timers], ['1: 1', 0, true, 0])
})

test('who waits only for a worker that goes fails with why it was not taken before', () => {
  const { join, call, results } = createTestPool({ policy: 'round-robin' })
  const [a, b] = [join('a'), join('b')]
  call('1')
  call('2')
  a.refuse('too_many_calls')
  b.gone()
  assert.deepEqual(results, ['1: too_many_calls, no'])
})

test('who waits only for a worker that fails now does not wait until it is back', () => {
  const { join, call, results } = createTestPool({ policy: 'round-robin' })
  const [a, b] = [join('a'), join('b')]
  call('1')
  call('2')
  a.refuse('too_many_calls')
  b.lose()
  assert.deepEqual(results, ['2: worker_lost, perhaps', '1: too_many_calls, no'])
})

test('a call that is lost past its deadline goes nowhere else', () => {
  const { join, call, clock, results } = createTestPool({ policy: 'round-robin' })
  const [a, b] = [join('a'), join('b')]
  call('1', { times: 'repeatable' })
  clock.advance(1_000)
  a.lose()
  assert.deepEqual([results, b.held], [['1: deadline, perhaps'], []])
})

test('whoever is told that nobody is left can abandon another that would be told so', () => {
  const { pool, join, call, results, account } = createTestPool()
  const worker = join('a')
  call('1')
  pool.call({ request: Buffer.from('2'), deadline: 1_000, times: 'once' }, () => abandon())
  const abandon = call('3')
  worker.drain()
  assert.deepEqual([results, account.calls, pool.view.waiting], [[], 1, 0])
})

test('a worker that joins gets what waits, as much as it has slots', () => {
  const { join, call } = createTestPool()
  join('a')
  for (let i = 0; i < 4; i++) call(`${i}`)
  assert.deepEqual(join('b', 2).held.map(({ request }) => request), ['1', '2'])
})

test('a worker that could not take a call gets none for a moment, and those that wait for it get it then', () => {
  const { join, call, clock } = createTestPool()
  const worker = join('a', 2)
  call('1')
  worker.refuse('too_many_calls')
  call('2')
  assert.deepEqual(worker.held, [])
  clock.advance(100)
  assert.deepEqual(worker.held.map(({ request }) => request), ['2'])
})

test('a request that no worker would take is no reason to spare the workers', () => {
  const { join, call, results } = createTestPool({ policy: 'round-robin' })
  const [a, b] = [join('a'), join('b')]
  call('large')
  a.refuse('message_too_large')
  assert.deepEqual([results, b.held], [['large: message_too_large, no'], []])
  call('1')
  call('2')
  assert.deepEqual([a.held.length, b.held.length], [1, 1])
})

test('what a worker says is told by its code; what is no code is a failure with its text', () => {
  const { join, call, results } = createTestPool()
  const worker = join('a', 9)
  const reasons = [reasonOf('too_many_calls'), reasonOf('call_failed'), reasonOf('worker_lost'), reasonOf('division by zero'), reasonOf('toString'), Buffer.of(106)]
  for (const [index, reason] of reasons.entries()) {
    call(`${index}`)
    worker.held.shift()?.settle({ kind: 'failed', reason })
  }
  assert.deepEqual(results, ['0: too_many_calls, no', '1: call_failed, perhaps', '2: worker_lost, perhaps', '3: call_failed, perhaps', '4: call_failed, perhaps', '5: call_failed, perhaps'])
})

test('what a worker that drains was sent before the pool knew of it goes to another', () => {
  const { results, join, call } = createTestPool()
  const going = join('a')
  call('x')
  const other = join('b')
  going.held.shift()?.settle({ kind: 'failed', reason: reasonOf('stopped') })
  assert.deepEqual(other.held.map(({ request }) => request), ['x'])
  other.held.shift()?.settle({ kind: 'failed', reason: reasonOf('stopped') })
  assert.deepEqual(results, ['x: no_worker, no'])
})

test('a repeatable call that was lost once is never told to be undone', () => {
  const { join, call, clock, results } = createTestPool({ policy: 'round-robin', maxPoolQueue: 0 })
  const [a, b] = [join('a'), join('b')]
  call('1', { times: 'repeatable' })
  a.lose()
  b.held.shift()?.settle({ kind: 'failed', reason: reasonOf('forbidden') })
  clock.advance(200)
  call('2', { times: 'repeatable' })
  call('3')
  a.lose()
  assert.deepEqual(results, ['1: forbidden, perhaps', '2: worker_lost, perhaps'])
})

test('a cast goes to one worker, waits where all are full, and is dropped where that takes too long', () => {
  const { pool, join, call, cast, clock, account } = createTestPool({ callTimeout: 500, maxPoolQueue: 1 })
  const worker = join('a')
  assert.equal(cast('1'), undefined)
  call('x')
  assert.equal(cast('2'), undefined)
  assert.equal(cast('3'), 'too_many_calls')
  assert.deepEqual([pool.view.waiting, account.calls, worker.casts], [1, 2, ['1']])
  worker.answer()
  assert.deepEqual([worker.casts, worker.held, account.calls], [['1', '2'], [], 0])
  call('y')
  cast('4')
  clock.advance(500)
  assert.deepEqual([pool.view.dropped, pool.view.waiting, account.calls], [1, 0, 1])
})

test('a cast that one worker cannot take goes to another', () => {
  const { join, cast } = createTestPool({ policy: 'round-robin' })
  const [a, b] = [join('a'), join('b')]
  a.takesCasts = false
  assert.deepEqual([cast('1'), b.casts], [undefined, ['1']])
  b.takesCasts = false
  assert.equal(cast('2'), 'no_worker')
})

test('a cast that waited and is not taken goes to another, waits for another, or is dropped', () => {
  const { pool, join, call, cast, account } = createTestPool({ policy: 'round-robin' })
  const [a, b] = [join('a'), join('b')]
  call('x')
  call('y')
  cast('1')
  a.takesCasts = false
  a.answer()
  assert.equal(pool.view.waiting, 1)
  b.answer()
  assert.deepEqual([b.casts, account.calls], [['1'], 0])
  call('x')
  call('y')
  cast('2')
  b.gone()
  a.answer()
  assert.deepEqual([a.casts, pool.view.dropped, pool.view.waiting], [[], 1, 0])
})

test('the bounds of all calls together hold for those that wait too', () => {
  const { join, call, clock, results, account } = createTestPool({ maxCalls: 3, maxCallBytes: 10 })
  const worker = join('a')
  call('1')
  call('12345')
  call('12345')
  call('1')
  call('1')
  clock.endTurn()
  assert.deepEqual(results, ['12345: too_many_calls, no', '1: too_many_calls, no'])
  worker.answer()
  worker.answer()
  worker.answer()
  assert.deepEqual([account.calls, account.bytes], [0, 0])
})
