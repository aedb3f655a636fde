import assert from 'node:assert/strict'
import { test, type TestContext } from 'node:test'
import type { Registry } from '../core/registry.ts'
import { topicFromBytes, topicFromText } from '../core/topic.ts'
import type { ManualClock } from './manual-clock.ts'
import { exact, glob, made, URL } from './registry-view.ts'

export interface OpenedRegistry {
  readonly registry: Registry
  readonly clock: ManualClock
  another(): Promise<Registry>
}

/** The part of the registry's contract that is about notices of what was missed. */
export function registryNoticesContract(open: (t: TestContext) => Promise<OpenedRegistry>): void {
  test('a notice waits until it is due, and is taken with its registration', async (t) => {
    const { registry, clock } = await open(t)
    const [id] = await made(registry, exact('a', 'http://r/'))
    const topic = topicFromBytes(Buffer.from([0x61, 0xff]))
    await registry.postpone({ id, topic, attempts: 3, dueAt: clock.now() + 1_000 })
    assert.deepEqual(await registry.claim(clock.now() + 999, 30_000, 10), [])
    const [claim, ...more] = await registry.claim(clock.now() + 1_000, 30_000, 10)
    assert.equal(more.length, 0)
    assert.deepEqual({ ...claim, lock: '' }, { id, topic, attempts: 3, dueAt: clock.now() + 1_000, registration: (await registry.list(URL))[0], lock: '' })
  })

  test('notices are taken exact registrations first, then the longest due, and not more than asked for', async (t) => {
    const { registry } = await open(t)
    const ids = await made(registry, glob('g1'), exact('e1'), glob('g2'), exact('e2'))
    for (const [i, dueAt] of [100, 400, 200, 300].entries()) await registry.postpone({ id: ids[i] as number, topic: topicFromText('t'), attempts: 0, dueAt })
    const first = await registry.claim(500, 30_000, 3)
    assert.deepEqual(first.map((one) => one.registration.target), ['e2', 'e1', 'g1'])
    assert.deepEqual((await registry.claim(500, 30_000, 3)).map((one) => one.registration.target), ['g2'])
  })

  test('a notice that is locked is nobody else\'s until the lock runs out; the claim that came too late ends nothing', async (t) => {
    const { registry, another } = await open(t)
    const elsewhere = await another()
    const [id] = await made(registry, exact('a'))
    await registry.postpone({ id, topic: topicFromText('a'), attempts: 0, dueAt: 100 })
    const [late] = await registry.claim(1_000, 500, 10)
    assert.ok(late)
    for (const one of [registry, elsewhere]) assert.deepEqual(await one.claim(1_499, 500, 10), [])
    const [current] = await elsewhere.claim(1_500, 500, 10)
    assert.ok(current)
    await registry.settle(late, undefined)
    await registry.settle(late, { attempts: 9, dueAt: 0 })
    assert.deepEqual(await registry.claim(1_999, 500, 10), [])
    await elsewhere.settle(current, { attempts: 1, dueAt: 5_000 })
    assert.deepEqual(await registry.claim(4_999, 500, 10), [])
    const [again] = await registry.claim(5_000, 500, 10)
    assert.equal(again?.attempts, 1)
    // One registry's own claims are told apart too.
    const [own] = await registry.claim(5_500, 500, 10)
    await registry.settle(again as typeof late, undefined)
    assert.equal((await registry.claim(6_000, 500, 10)).length, 1)
    assert.ok(own)
  })

  test('a notice that was settled for good does not come back', async (t) => {
    const { registry } = await open(t)
    const [id] = await made(registry, exact('a'))
    await registry.postpone({ id, topic: topicFromText('a'), attempts: 0, dueAt: 100 })
    const [claim] = await registry.claim(100, 500, 10)
    await registry.settle(claim as NonNullable<typeof claim>, undefined)
    assert.deepEqual(await registry.claim(1_000_000, 500, 10), [])
    assert.equal((await registry.list(URL)).length, 1, 'the registration went with it')
  })

  test('of two notices for one registration the newer counts, and lets go of the lock', async (t) => {
    const { registry, another } = await open(t)
    const elsewhere = await another()
    const [id] = await made(registry, glob('*'))
    await registry.postpone({ id, topic: topicFromText('old'), attempts: 5, dueAt: 100 })
    const [old] = await registry.claim(100, 30_000, 10)
    await elsewhere.postpone({ id, topic: topicFromText('new'), attempts: 0, dueAt: 200 })
    await registry.settle(old as NonNullable<typeof old>, undefined)
    const claims = await registry.claim(200, 30_000, 10)
    assert.deepEqual(claims.map(({ topic, attempts, dueAt }) => ({ topic, attempts, dueAt })), [{ topic: 'new', attempts: 0, dueAt: 200 }])
  })

  test('a notice ends with its registration, and none begins for one that is gone', async (t) => {
    const { registry } = await open(t)
    const [first, second] = await made(registry, exact('a'), exact('b'))
    const notice = { topic: topicFromText('a'), attempts: 0, dueAt: 100 }
    await registry.postpone({ id: first as number, ...notice })
    await registry.removeId(first as number)
    await registry.removeId(second as number)
    await registry.postpone({ id: second as number, ...notice })
    await made(registry, exact('a'), exact('b'))
    assert.deepEqual(await registry.claim(1_000, 500, 10), [])
  })

  test('no notice is taken by two at once, and none is left out', async (t) => {
    const { registry, another } = await open(t)
    const both = [registry, await another()]
    const ids = await made(registry, ...Array.from({ length: 60 }, (_, i) => exact(`a/${i}`)))
    await Promise.all(ids.map((id) => registry.postpone({ id, topic: topicFromText('a'), attempts: 0, dueAt: 100 })))
    const taken = (await Promise.all(Array.from({ length: 40 }, (_, i) => (both[i % 2] as Registry).claim(100, 30_000, 2)))).flat()
    assert.deepEqual(taken.map((one) => one.id).sort((a, b) => a - b), [...ids].sort((a, b) => a - b))
  })
}
