import assert from 'node:assert/strict'
import { test } from 'node:test'
import { universe } from '../../src/testing/universe.ts'

const never = new Promise<never>(() => {})

test('a caller by Erps says by its key which worker gets its calls, from the first one on, and its casts', async () => {
  await using world = await universe({ services: [{ name: 'pool', policy: 'hash' }] })
  const casts: string[] = []
  const cast = Promise.withResolvers<void>()
  for (const own of ['a', 'b', 'c']) {
    await world.workService('pool', { as: 'json' }, {
      call: () => own,
      cast(request) {
        casts.push(`${String(request)} by ${own}`)
        if (casts.length === 2) cast.resolve()
      },
    })
  }
  const keys = Array.from({ length: 20 }, (_, i) => `key ${i}`)
  const homes = new Map<string, unknown>()
  for (const key of keys) {
    // Each on a connection of its own: its hello goes with the call.
    const first = await world.connectService('pool', { as: 'json' })
    homes.set(key, await first.call(1, { key }))
    for (const again of [1, 2]) assert.equal(await first.call(again, { key }), homes.get(key))
    await first.close()
  }
  assert.deepEqual([...new Set(homes.values())].sort(), ['a', 'b', 'c'])
  const one = await world.connectService('pool', { as: 'json' })
  for (const key of ['key 0', 'key 1']) one.cast(key, { key })
  await cast.promise
  assert.deepEqual(casts.sort(), ['key 0', 'key 1'].map((key) => `${key} by ${String(homes.get(key))}`).sort())
})

test('what a caller by Erps says may be done twice goes to another worker when one is lost, and nothing else does', async () => {
  await using world = await universe()
  const begun = [Promise.withResolvers<void>(), Promise.withResolvers<void>()]
  let calls = 0
  const lost = await world.workService('pool', { as: 'json' }, {
    call() {
      begun[calls++]?.resolve()
      return never
    },
  })
  const one = await world.connectService('pool', { as: 'json' })
  const once = assert.rejects(one.call('once'), { code: 'worker_lost' })
  await begun[0]?.promise
  const twice = one.call('twice', { idempotent: true })
  await begun[1]?.promise
  await world.workService('pool', { as: 'json' }, { call: (request) => `${String(request)} here` })
  await lost.close()
  await once
  assert.equal(await twice, 'twice here')
})
