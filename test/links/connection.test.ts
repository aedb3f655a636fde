import assert from 'node:assert/strict'
import { duplexPair } from 'node:stream'
import { test } from 'node:test'
import { limitsWith } from '../../src/core/limits.ts'
import type { Clock } from '../../src/core/ports.ts'
import { openConnection } from '../../src/links/connection.ts'
import { broadcastFrame } from '../support/link-giver.ts'

test('what makes much work is done over several turns of the event loop, in order, and nothing more is read meanwhile', async () => {
  const turns: (() => void)[] = []
  let now = 0
  // Each look takes a while: as if every frame were dear.
  const clock: Clock = { now: () => now, monotonic: () => (now += 15), after: () => () => {}, endOfTurn: (fn) => void turns.push(fn) }
  const [near, far] = duplexPair()
  const heard: number[] = []
  const connection = openConnection({ stream: near, names: [], address: '127.0.0.1', certificateNames: [] }, { clock, limits: limitsWith() }, {
    up() {},
    said: (said) => void heard.push(said.kind === 'pubsub' ? (said.term.at(-1) as number) : -1),
    closed: (_ending, why) => assert.equal(why, 'the end'),
  })
  const all = Array.from({ length: 100 }, (_, i) => i)
  far.write(Buffer.concat(all.map((i) => broadcastFrame(Buffer.from([131, 97, i])))))
  await new Promise((resolve) => setImmediate(resolve))
  assert.ok(heard.length > 0 && heard.length < 50, `${heard.length} at once`)
  assert.ok(near.isPaused())
  // Somebody else's reason to pause, and its end, do not let more in.
  connection.pause()
  connection.resume()
  assert.ok(near.isPaused())
  for (let turn = turns.shift(); turn !== undefined; turn = turns.shift()) turn()
  assert.deepEqual(heard, all)
  assert.ok(!near.isPaused())
  connection.drop('failed', 'the end')
})
