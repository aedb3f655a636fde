import assert from 'node:assert/strict'
import { existsSync } from 'node:fs'
import { test, type TestContext } from 'node:test'
import { universe, type Universe } from '../../src/testing/universe.ts'
import { until } from '../support/events.ts'
import { hashed, openDatabase } from '../support/keys.ts'

const TOGETHER = 20

/** Everything that has a name, by the same names in each universe: what comes back must be of this one. */
async function journey(t: TestContext, own: number, outer: Universe, inner: Universe): Promise<void> {
  await Promise.all([topics(own, outer, inner), calls(own, outer), keys(t, own, outer)])
}

async function topics(own: number, outer: Universe, inner: Universe): Promise<void> {
  const link = await outer.takeFrom(inner, ['news'])
  await until(() => link.state.state === 'up', 'the link')
  await using heard = outer.hub.subscribe('news')
  for (const n of [1, 2, 3]) await inner.hub.publish('news', `${n} of ${own}`)
  for (const n of [1, 2, 3]) {
    const { value } = await heard.next()
    assert.equal(value.text(), `${n} of ${own}`)
  }
}

async function calls(own: number, outer: Universe): Promise<void> {
  await outer.serveService('alone', { as: 'json', identifier: 'alone' }, { call: () => `alone in ${own}` })
  for (const worker of [1, 2]) await outer.workService('pool', { as: 'json' }, { call: () => `worker ${worker} in ${own}` })
  const [alone, pool] = await Promise.all([outer.connectService('alone', { as: 'json' }), outer.connectService('pool', { as: 'json' })])
  assert.equal(await alone.call(0), `alone in ${own}`)
  const answers = await Promise.all(Array.from({ length: 20 }, (_, i) => pool.call(i)))
  assert.deepEqual([...new Set(answers)].sort(), [`worker 1 in ${own}`, `worker 2 in ${own}`])
}

/** Only every other one has a key for the domain, each another. */
async function keys(t: TestContext, own: number, outer: Universe): Promise<void> {
  const publish = async (key: string): Promise<number> => (await fetch(`${outer.url}/acme/prices`, { method: 'POST', body: 'x', headers: { Authorization: `Bearer ${key}` } })).status
  if (own % 2 === 1) return assert.equal(await publish('any'), 200)
  await openDatabase(t, outer.server.options).addKey(hashed('acme', `key-${own}`))
  await until(async () => (await publish('any')) === 403, 'the domain that is owned')
  assert.deepEqual([await publish(`key-${own}`), await publish(`key-${own + 2}`)], [200, 403])
}

test('twenty universes in one process have the same names, and nothing of one is seen in another', async (t) => {
  const all = await Promise.all(Array.from({ length: TOGETHER }, async (_, own) => ({ own, outer: await universe(), inner: await universe() })))
  t.after(() => Promise.all(all.flatMap(({ outer, inner }) => [outer.close(), inner.close()])))
  await Promise.all(all.map(({ own, outer, inner }) => journey(t, own, outer, inner)))
})

test('a universe that is closed leaves nothing: no folder, no port, no timer', async () => {
  const one = await universe()
  await one.workService('pool', { as: 'json' }, { call: () => 1 })
  const client = await one.connectService('pool', { as: 'json' })
  assert.equal(await client.call(0), 1)
  const { dataDir } = one.server.options
  const { url } = one
  await one.close()
  assert.equal(existsSync(dataDir), false)
  await assert.rejects(fetch(url))
  await assert.rejects(client.call(0), { code: 'stopped' })
})
