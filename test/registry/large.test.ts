import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setImmediate as turn } from 'node:timers/promises'
import type { Worker } from 'node:worker_threads'
import type { RegistryChange, Wanted } from '../../src/core/registry.ts'
import { packer, PIECE } from '../../src/registry/sqlite/pack.ts'
import { teller, TOLD_AT_ONCE } from '../../src/registry/sqlite/told.ts'
import { databasePath, exact, openRegistry, startAndKeep, URL } from './open-registry.ts'

const MANY = 10 * PIECE

function many(prefix: string, n = MANY): Wanted[] {
  return Array.from({ length: n }, (_, i) => exact(`${prefix}/${i}`))
}

/** Counts turns of the event loop. */
function countTurns(): { readonly now: () => number; end(): void } {
  let turns = 0
  let going = true
  void (async () => {
    for (; going; turns++) await turn()
  })()
  return {
    now: () => turns,
    end() {
      going = false
    },
  }
}

for (const [what, next] of [['adds', many('new')], ['takes away', []], ['changes nothing', many('old')]] as const) {
  test(`what others ask for is answered between the pieces of a large set that ${what}`, async (t) => {
    let thread: Worker | undefined
    process.once('worker', (worker) => (thread = worker))
    const registry = openRegistry(t, databasePath(t))
    await registry.set(URL, many('old'))
    let over = false
    let given = false
    const post = thread?.postMessage.bind(thread) as Worker['postMessage']
    assert.ok(thread)
    thread.postMessage = (value: { call: { do: string } }, transfer?: readonly unknown[]): void => {
      given ||= value.call.do === 'set'
      Reflect.apply(post, thread, [value, transfer])
    }
    const setting = registry.set(URL, next).finally(() => (over = true))
    let between = 0
    while (!over) {
      const counts = given
      await registry.forget(Buffer.from(`signature ${between}`))
      if (!over && counts) between++
    }
    await setting
    assert.ok(between >= 4, `${between} in between`)
    assert.deepEqual((await registry.list(URL)).map((one) => one.target).sort(), next.map((one) => one.target).sort())
  })
}

test('a large set is packed over several turns, and its memory is handed to the thread', async (t) => {
  let thread: Worker | undefined
  process.once('worker', (worker) => (thread = worker))
  const registry = openRegistry(t, databasePath(t))
  await registry.list(URL)
  const turns = countTurns()
  const setting = registry.set(URL, many('a'))
  let asked: { after: number; given: number } | undefined
  const post = thread?.postMessage.bind(thread) as Worker['postMessage']
  assert.ok(thread)
  thread.postMessage = (value: unknown, transfer?: readonly unknown[]): void => {
    asked ??= { after: turns.now(), given: transfer?.length ?? 0 }
    Reflect.apply(post, thread, [value, transfer])
  }
  await setting
  turns.end()
  assert.ok(asked)
  assert.ok(asked.after >= MANY / PIECE - 2, `after ${asked.after} turns`)
  assert.equal(asked.given, MANY / PIECE)
})

test('a large change is told some at a time, in turns of their own, additions first, and before its answer', async (t) => {
  const registry = openRegistry(t, databasePath(t))
  const calls: { readonly turn: number; readonly changes: readonly RegistryChange[] }[] = []
  const turns = countTurns()
  t.after(turns.end)
  await registry.start((changes) => void calls.push({ turn: turns.now(), changes }))
  await registry.set(URL, many('old'))
  calls.splice(0)
  await registry.set(URL, many('new'))
  const types = calls.flatMap(({ changes }) => changes.map((change) => change.type))
  assert.equal(types.length, 2 * MANY, 'not all was told before the answer')
  assert.equal(types.lastIndexOf('added'), MANY - 1, 'something was removed before all was added')
  assert.ok(calls.every(({ changes }) => changes.length <= TOLD_AT_ONCE), 'too many in one call')
  const perTurn = new Map<number, number>()
  for (const { turn: at, changes } of calls) perTurn.set(at, (perTurn.get(at) ?? 0) + changes.length)
  assert.ok(Math.max(...perTurn.values()) <= 2 * TOLD_AT_ONCE, `${Math.max(...perTurn.values())} in one turn`)
})

test('between two calls that tell of many, the event loop turns', async () => {
  const rows = packer()
  for (let id = 1; id <= 10 * TOLD_AT_ONCE; id++) rows.put({ id, kind: 'exact', target: Buffer.from('a'), url: URL, recovery: undefined })
  const turns = countTurns()
  const at: number[] = []
  await teller().tell({ rows: rows.take() }, () => void at.push(turns.now()))
  turns.end()
  assert.equal(at.length, 10)
  assert.ok(new Set(at).size >= 9, at.join())
})

test('two sets for one url at the same time are done one after the other', async (t) => {
  const registry = openRegistry(t, databasePath(t))
  const told = await startAndKeep(registry)
  const [first, second, third] = [many('first'), many('second'), [exact('third')]]
  await Promise.all([registry.set(URL, first), registry.set(URL, second)])
  assert.deepEqual([...told.there.values()].map((one) => one.target).sort(), second.map((one) => one.target).sort())
  await Promise.all([registry.set(URL, first), registry.set(URL, third)])
  assert.deepEqual([...told.there.values()].map((one) => one.target), ['third'])
})

test('in a large set too, of repetitions the last counts, and what stays is the same registration', async (t) => {
  const registry = openRegistry(t, databasePath(t))
  await registry.set(URL, [exact('a', 'http://old/'), exact('same', 'http://r/')])
  const before = new Map((await registry.list(URL)).map((one) => [one.target, one.id]))
  const again = ['http://x/', 'http://old/', 'http://last/']
  await registry.set(URL, [...again.flatMap((r) => [exact('a', r), exact('b', r)]), exact('same', 'http://x/'), exact('same', 'http://r/'), ...many('c')])
  const there = new Map((await registry.list(URL)).map((one) => [one.target as string, one]))
  assert.equal(there.size, MANY + 3)
  assert.deepEqual(['a', 'b', 'same'].map((target) => there.get(target)?.recovery), ['http://last/', 'http://last/', 'http://r/'])
  for (const [target, id] of before) assert.equal(there.get(target)?.id, id)
})

test('closing waits for a large set that was asked for before', async (t) => {
  const file = databasePath(t)
  const registry = openRegistry(t, file)
  await registry.list(URL)
  const setting = registry.set(URL, many('a'))
  await registry.close()
  await setting
  assert.equal((await openRegistry(t, file).list(URL)).length, MANY)
})
