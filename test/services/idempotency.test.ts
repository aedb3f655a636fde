import assert from 'node:assert/strict'
import { test } from 'node:test'
import { limitsWith, type LimitName } from '../../src/core/limits.ts'
import { createIdempotency } from '../../src/services/idempotency.ts'
import { failure, type Result } from '../../src/services/result.ts'
import { createManualClock } from '../../src/testing/index.ts'
import { textOf } from './pool-parts.ts'

function open(limits: Partial<Record<LimitName, number>> = {}, mostKept?: number) {
  const clock = createManualClock()
  const idempotency = createIdempotency({ clock, limits: limitsWith(limits), ...(mostKept !== undefined && { mostKept }) })
  const results: string[] = []
  const started: ((result: Result) => void)[] = []
  return {
    clock,
    idempotency,
    results,
    started,
    /** Asks by a name under a key, `who/service/key`. */
    ask(name: string, path = 'me/sums/k', request = '1+1', deadline = 1_000): () => void {
      const [who = '', service = '', key = ''] = path.split('/')
      return idempotency.run({ who, service, key, request: Buffer.from(request), deadline }, (settle) => void started.push(settle), (result) => void results.push(`${name}: ${textOf(result)}`))
    },
    answer: (text: string) => started.shift()?.({ kind: 'answer', term: Buffer.from(text) }),
    fail: (...how: Parameters<typeof failure>) => started.shift()?.(failure(...how)),
  }
}

test('calls with one key run once, however often they are asked for, and all get the same', () => {
  const { clock, ask, answer, started, results, idempotency } = open()
  ask('first')
  ask('second')
  assert.deepEqual([started.length, idempotency.running], [1, 1])
  answer('2')
  ask('third')
  assert.deepEqual(results, ['first: 2', 'second: 2'], 'nobody is told before his asking has returned')
  clock.endTurn()
  assert.deepEqual([results[2], started.length, idempotency.running, idempotency.kept], ['third: 2', 0, 0, 1])
})

test('another caller, service or key is another call', () => {
  const { ask, started } = open()
  for (const path of ['me/sums/k', 'you/sums/k', 'me/other/k', 'me/sums/l', 'me,sums//k', '/me/sumsk']) ask('x', path)
  assert.equal(started.length, 6)
})

test('another request under the same key is a conflict, while the first runs and after', () => {
  const { clock, ask, answer, started, results } = open()
  ask('first')
  ask('other', 'me/sums/k', '1+2')
  clock.endTurn()
  answer('2')
  ask('late', 'me/sums/k', '1+3')
  clock.endTurn()
  assert.deepEqual([results, started.length], [['other: idempotency_conflict, no', 'first: 2', 'late: idempotency_conflict, no'], 0])
})

test('a failure after which the call may be done is kept; one that says that it is not lets it run again', () => {
  const { clock, ask, fail, started, results } = open()
  ask('1')
  fail('no_worker', '', 'no')
  ask('2')
  assert.equal(started.length, 1)
  fail('worker_lost', 'cut', 'perhaps')
  ask('3')
  clock.endTurn()
  assert.deepEqual([results, started.length], [['1: no_worker, no', '2: worker_lost, perhaps', '3: worker_lost, perhaps'], 0])
})

test('a result is kept for its time, and its memory goes without anybody asking', () => {
  const { clock, ask, answer, started, idempotency } = open({ idempotencyTime: 1_000 })
  ask('1')
  clock.advance(500)
  answer('2')
  clock.advance(600)
  ask('2', 'me/sums/l')
  answer('2')
  clock.advance(399)
  ask('3')
  assert.deepEqual([started.length, idempotency.kept], [0, 2])
  clock.advance(1)
  assert.equal(idempotency.kept, 1)
  clock.advance(1_000)
  assert.deepEqual([idempotency.kept, idempotency.bytes, clock.timers], [0, 0, 0])
  ask('4')
  assert.equal(started.length, 1)
})

test('who waits for the result of another waits no longer than he wanted to', () => {
  const { clock, ask, answer, results } = open()
  ask('first')
  ask('second', 'me/sums/k', '1+1', 100)
  ask('third', 'me/sums/k', '1+1', 900)
  clock.advance(100)
  assert.deepEqual(results, ['second: deadline, perhaps'])
  answer('2')
  assert.deepEqual(results.slice(1), ['first: 2', 'third: 2'])
  clock.advance(1_000)
  assert.equal(results.length, 3)
})

test('a call that everybody has abandoned goes on, for whoever asks again', () => {
  const { clock, ask, answer, results, started } = open()
  ask('first')()
  ask('second')()
  assert.equal(clock.timers, 0)
  clock.advance(5_000)
  answer('2')
  ask('third')
  ask('fourth')()
  clock.endTurn()
  assert.deepEqual([results, started.length], [['third: 2'], 0])
})

test('past the bound of memory the oldest go, entries count beside their answers, and one that never fits costs nobody else', () => {
  const { ask, answer, started, idempotency } = open({ maxIdempotentBytes: 10_000 })
  for (let i = 0; i < 40; i++) {
    ask('x', `me/sums/${i}`)
    answer('2')
  }
  assert.deepEqual([idempotency.kept, idempotency.bytes], [19, 19 * 513])
  ask('x', 'me/sums/large')
  answer('2'.repeat(10_000))
  assert.equal(idempotency.kept, 19)
  ask('x', 'me/sums/20')
  assert.equal(started.length, 1)
  ask('x', 'me/sums/21')
  assert.equal(started.length, 1)
  ask('x', 'me/sums/medium')
  started[1]?.({ kind: 'answer', term: Buffer.alloc(9_000) })
  assert.deepEqual([idempotency.kept, idempotency.bytes], [1, 9_512])
})

test('there are never more results than may be, the newest, however small they are', () => {
  const { ask, answer, started, idempotency } = open({ maxIdempotentBytes: 1e9 }, 3)
  for (let i = 0; i < 10; i++) {
    ask('x', `me/sums/${i}`)
    answer('2')
  }
  assert.equal(idempotency.kept, 3)
  ask('x', 'me/sums/7')
  assert.equal(started.length, 0)
  ask('x', 'me/sums/6')
  assert.equal(started.length, 1)
})

test('what is kept is the answer alone, not the packet that it came in', () => {
  const { ask, started, clock, idempotency } = open()
  const packet = Buffer.alloc(100_000)
  let kept: Result | undefined
  ask('first')
  started[0]?.({ kind: 'answer', term: packet.subarray(0, 1) })
  idempotency.run({ who: 'me', service: 'sums', key: 'k', request: Buffer.from('1+1'), deadline: 1 }, () => {}, (result) => void (kept = result))
  clock.endTurn()
  assert.equal(kept?.kind === 'answer' && kept.term.buffer.byteLength, 1)
})

test('with no time or no memory nothing is kept, and calls that come while it runs are one all the same', () => {
  for (const limits of [{ idempotencyTime: 0 }, { maxIdempotentBytes: 0 }]) {
    const { ask, answer, started, results, idempotency, clock } = open(limits)
    ask('1')
    ask('2')
    answer('2')
    assert.deepEqual([results, idempotency.kept, clock.timers], [['1: 2', '2: 2'], 0, 0])
    ask('3')
    assert.equal(started.length, 1)
  }
})
