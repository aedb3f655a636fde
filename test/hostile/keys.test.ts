import assert from 'node:assert/strict'
import { test } from 'node:test'
import { until } from '../support/events.ts'
import { startKeyedHub } from '../support/wspubsub.ts'

test('maxKeyChecks: past so many keys that wait to be looked up a publisher is answered 503 at once, and let in again when they are answered', async (t) => {
  const hub = await startKeyedHub(t, { limits: { maxKeyChecks: 3 } })
  hub.keys.state = 'stuck'
  const waiting = [1, 2, 3].map((i) => hub.status(`/ws/pub/guess${i}/acme/prices`))
  await until(() => hub.places === 3, 'three to wait')
  assert.equal(await hub.status('/ws/pub/good/acme/prices'), 503)
  // Each check is given up after five seconds; whoever waited is told so.
  assert.deepEqual(await Promise.all(waiting), [503, 503, 503])
  assert.equal(hub.places, 0)
})

test('maxCachedKeys: no more keys are remembered, and strangers with bad ones push out none', async (t) => {
  const hub = await startKeyedHub(t, { limits: { maxCachedKeys: 2 } })
  for (const domain of ['one', 'two', 'three']) hub.keys.put(domain, 'good')
  for (const domain of ['one', 'two', 'three']) (await hub.publisher(`good/${domain}/a`)).ws.close()
  assert.deepEqual(await Promise.all(Array.from({ length: 50 }, (_, i) => hub.status(`/ws/pub/guess${i}/one/a`))), Array.from({ length: 50 }, () => 403))
  hub.keys.state = 'away'
  assert.deepEqual(await Promise.all(['one', 'two', 'three'].map((domain) => hub.status(`/ws/pub/good/${domain}/b`))), [503, 101, 101])
})

test('keyCacheTime: a key that was good is good without the database for so long, and no longer', async (t) => {
  const hub = await startKeyedHub(t, { limits: { keyCacheTime: 300 } })
  ;(await hub.publisher('good/acme/a')).ws.close()
  hub.keys.state = 'away'
  assert.equal(await hub.status('/ws/pub/good/acme/b'), 101)
  await until(async () => (await hub.status('/ws/pub/good/acme/c')) === 503, 'the key to be forgotten')
})
