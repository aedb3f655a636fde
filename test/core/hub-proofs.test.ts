import assert from 'node:assert/strict'
import { test } from 'node:test'
import { WaystationError } from '../../src/core/errors.ts'
import { createHubProofs, type HubProofs } from '../../src/core/hub-proofs.ts'
import { claims } from '../../src/protocol/lonelyps/claims.ts'
import { createManualClock } from '../../src/testing/index.ts'
import { createMemoryRegistry, createRegistryStore } from '../support/memory-registry.ts'

const NONE = Buffer.alloc(0)
const about = (topic: string) => claims.missed({ url: 'http://one.example/', topic: Buffer.from(topic), tracing: NONE })

/** Hubs, each with bytes of its own, and what their registry refuses. */
function hubs() {
  const clock = createManualClock(1_700_000_000_000)
  const store = createRegistryStore()
  const mood = { down: false, asked: 0 }
  let chance = 0
  const open = (of = store): HubProofs => {
    const registry = createMemoryRegistry(of, clock)
    return createHubProofs({
      now: clock.now, lifetime: 60_000, remember: registry.remember,
      randomBytes: (size) => Buffer.alloc(size, ++chance),
      registry: { hubSecret(fresh) {
        mood.asked++
        return mood.down ? Promise.reject(new WaystationError('registry_unavailable', 'by the test')) : registry.hubSecret(fresh)
      } },
    })
  }
  return { clock, mood, open }
}

test('a hub knows what another on its registry has proved, once, for as long as a signature is good, and nobody else', async () => {
  const { clock, open } = hubs()
  const [one, other, stranger] = [open(), open(), open(createRegistryStore())]
  const proof = await one.prove(about('a'))
  assert.equal(await other.check(undefined, about('a')), 'unauthorized')
  assert.equal(await other.check(proof, about('b')), 'forbidden')
  assert.equal(await stranger.check(proof, about('a')), 'forbidden')
  assert.equal(await other.check(proof, about('a')), 'ok')
  assert.equal(await other.check(proof, about('a')), 'forbidden')
  const late = await one.prove(about('a'))
  clock.advance(61_000)
  assert.equal(await other.check(late, about('a')), 'forbidden')
})

test('the registry is asked when something is to be proved or checked, until it has answered', async () => {
  const { mood, open } = hubs()
  const [one, other] = [open(), open()]
  await other.check(undefined, about('a'))
  assert.equal(mood.asked, 0)
  mood.down = true
  assert.equal(await one.prove(about('a')), undefined)
  assert.equal(await other.check('X-HMAC whatever', about('a')), 'unavailable')
  mood.down = false
  const proofs = await Promise.all([one.prove(about('a')), one.prove(about('a'))])
  assert.deepEqual(await Promise.all(proofs.map((proof) => other.check(proof, about('a')))), ['ok', 'ok'])
  assert.equal(mood.asked, 4)
})
