import assert from 'node:assert/strict'
import { test } from 'node:test'
import { limitsWith, type LimitName } from '../../src/core/limits.ts'
import type { Member, Wish } from '../../src/services/pool-ports.ts'
import { createPools, type PoolsParts } from '../../src/services/pools.ts'
import { createManualClock, createSeededRandom } from '../../src/testing/index.ts'
import { createTestWorker, textOf, wish, type TestWorker } from './pool-parts.ts'

function open(stated?: PoolsParts['stated'], limits: Partial<Record<LimitName, number>> = {}) {
  const clock = createManualClock()
  const pools = createPools({ clock, random: createSeededRandom(1), limits: limitsWith(limits), ...(stated !== undefined && { stated }) })
  const results: string[] = []
  return {
    clock,
    pools,
    results,
    join(service: string, id = 'a', slots = 1): TestWorker & Member {
      const worker = createTestWorker()
      return Object.assign(worker, pools.join(service, { id, slots, callee: worker }))
    },
    call: (service: string, request: string, more?: Partial<Wish>) => pools.call(service, wish(request, more), (result) => void results.push(`${request}: ${textOf(result)}`)),
    /** What a call comes to that cannot even wait. */
    code(service: string): string | undefined {
      let code: string | undefined
      pools.call(service, wish('x'), (result) => void (code = textOf(result)))
      clock.endTurn()
      return code
    },
  }
}

test('a service comes with its first worker, and a minute after its last is not known any more', () => {
  const { clock, pools, join, code } = open()
  assert.equal(code('sums'), 'no_service, no')
  assert.equal(pools.cast('sums', wish('x'))?.code, 'no_service')
  const [first, second] = [join('sums'), join('sums', 'b')]
  first.gone()
  assert.equal(pools.has('sums'), true)
  second.gone()
  assert.deepEqual([pools.has('sums'), pools.views, code('sums'), pools.cast('sums', wish('x'))?.code], [false, [], 'no_worker, no', 'no_worker'])
  clock.advance(59_999)
  assert.equal(code('sums'), 'no_worker, no')
  clock.advance(1)
  assert.equal(code('sums'), 'no_service, no')
})

test('a stated service is always here, with its policy', () => {
  const { clock, pools, join, code } = open(new Map([['sums', 'hash']]))
  assert.equal(code('sums'), 'no_worker, no')
  join('sums').gone()
  clock.advance(1e9)
  assert.equal(code('sums'), 'no_worker, no')
  join('other')
  assert.deepEqual(pools.views.map(({ name, policy, members }) => [name, policy, members.length]), [['sums', 'hash', 0], ['other', 'least', 1]])
})

test('services that have gone are remembered up to a thousand, the newest', () => {
  const { join, code } = open()
  for (let i = 0; i < 1_001; i++) join(`s${i}`).gone()
  assert.deepEqual([code('s0'), code('s1'), code('s1000')], ['no_service, no', 'no_worker, no', 'no_worker, no'])
})

test('what the workers of a service still do is not lost when the last has gone and another comes', () => {
  const { pools, join, call, results } = open()
  const worker = join('sums')
  call('sums', '1', { times: 'repeatable' })
  worker.gone()
  assert.equal(pools.has('sums'), true)
  const next = join('sums', 'b')
  worker.lose()
  next.answer()
  assert.deepEqual([results, pools.views.length, pools.calls], [['1: 1'], 1, 0])
})

test('the bounds hold over all services together', () => {
  const { pools, join, call, code } = open(undefined, { maxCalls: 2 })
  join('a')
  join('b')
  call('a', '1')
  call('b', '23')
  assert.deepEqual([code('a'), pools.calls, pools.bytes], ['too_many_calls, no', 2, 3])
})

test('views show what is where', () => {
  const { pools, join, call } = open()
  join('sums', 'a').drain()
  join('sums', 'b')
  call('sums', '1')
  call('sums', '2')
  assert.deepEqual(pools.views, [{
    name: 'sums', policy: 'least', waiting: 1, running: 1, moved: 0, dropped: 0,
    members: [{ id: 'a', slots: 1, running: 0, state: 'draining' }, { id: 'b', slots: 1, running: 1, state: 'open' }],
  }])
})

test('stopping takes no more calls, and waits for those that are here', async () => {
  const { pools, join, call, code, results } = open()
  await open().pools.stop(new AbortController().signal)
  const worker = join('sums')
  call('sums', '1')
  call('sums', '2')
  const stopped = pools.stop(new AbortController().signal)
  assert.deepEqual([code('sums'), pools.cast('sums', wish('x'))?.code], ['stopped, no', 'stopped'])
  worker.answer()
  worker.answer()
  await Promise.all([stopped, pools.stop(new AbortController().signal)])
  assert.deepEqual(results, ['1: 1', '2: 2'])
})

test('stopping with a deadline that has passed ends all at once, also when who is told abandons another', async () => {
  const { clock, pools, join, call, results } = open()
  const worker = join('sums', 'a', 2)
  const others: (() => void)[] = []
  pools.call('sums', wish('1'), (result) => {
    results.push(`1: ${textOf(result)}`)
    for (const abandon of others) abandon()
  })
  others.push(call('sums', '2'))
  await pools.stop(AbortSignal.abort())
  assert.deepEqual([results, worker.abandoned, worker.held, pools.calls, clock.timers], [['1: worker_lost, perhaps'], ['1', '2'], [], 0, 0])
  assert.deepEqual(pools.views[0]?.members[0]?.running, 0)
})

test('the deadline of stopping ends what is left: undone where it waits, unknown where a worker has it', async () => {
  const { clock, pools, join, call, results } = open()
  const [worker, other] = [join('sums'), join('other')]
  call('sums', '1')
  call('sums', '2')
  call('other', '3')
  const deadline = new AbortController()
  const both = Promise.all([pools.stop(deadline.signal), pools.stop(deadline.signal)])
  deadline.abort()
  await both
  assert.deepEqual(results, ['2: stopped, no', '1: worker_lost, perhaps', '3: worker_lost, perhaps'])
  assert.deepEqual([worker.abandoned, other.abandoned, pools.calls, clock.timers], [['1'], ['3'], 0, 0])
})
