import assert from 'node:assert/strict'
import { test } from 'node:test'
import { limitsWith } from '../../src/core/limits.ts'
import { createWheel } from '../../src/core/wheel.ts'
import { TakerConnection } from '../../src/links/taker-connection.ts'
import { MOST_STEPS } from '../../src/links/wish-bounds.ts'
import { createManualClock } from '../../src/testing/manual-clock.ts'
import { createWire } from '../links/wire.ts'
import { connectTaker, startLinkDaemon } from '../support/links.ts'

/** Globs that nothing rules out, each tried at every sign of a topic. */
function dearGlobs(count: number, steps: number): string[] {
  return Array.from({ length: count }, (_, i) => `*${'?'.repeat(steps - 5)}${`${i}`.padStart(5, '0')}*`)
}

test('a wish whose globs would make every message dear is refused, and there is room again when such a taker has gone', async (t) => {
  const daemon = await startLinkDaemon(t)
  const greedy = await connectTaker(t, daemon.port)
  assert.deepEqual(await greedy.wish({ patterns: dearGlobs(9_000, 100) }), { kind: 'refused', why: 'too_many_topics' })
  assert.equal(await greedy.ended, 'orderly')
  const full = await connectTaker(t, daemon.port)
  const wish = { patterns: dearGlobs(MOST_STEPS / 64, 64) }
  assert.equal((await full.wish(wish)).kind, 'ready')
  const late = await connectTaker(t, daemon.port)
  assert.deepEqual(await late.wish({ patterns: dearGlobs(1, 65) }), { kind: 'refused', why: 'too_many_topics' })
  const same = await connectTaker(t, daemon.port)
  assert.equal((await same.wish(wish)).kind, 'ready')
  for (const taker of [full, same]) {
    taker.socket.end()
    await taker.ended
  }
  const next = await connectTaker(t, daemon.port)
  assert.equal((await next.wish({ patterns: dearGlobs(1, 65) })).kind, 'ready')
})

test('with globs that are dear a taker begins at the present: the log is not asked for them', async (t) => {
  const daemon = await startLinkDaemon(t, { rules: [{ topics: '*', keep: { messages: 10, ms: 1e12 } }] })
  await daemon.publish('a', 'x')
  const after = daemon.hub.cursor
  await daemon.publish('a', 'y')
  const at = async (steps: number) => (await (await connectTaker(t, daemon.port)).wish({ patterns: dearGlobs(10, steps), after }))
  assert.deepEqual(await at(20), { kind: 'ready', at: after, hub: after.epoch })
  assert.deepEqual(await at(30), { kind: 'ready', at: daemon.hub.cursor, hub: after.epoch })
})

test('all that one taker of PonyExpress asks for is no longer than what could be asked for at once', async (t) => {
  const daemon = await startLinkDaemon(t, { limits: { maxLinkRequestBytes: 2_000 } })
  const taker = await connectTaker(t, daemon.port)
  for (const name of ['a', 'b']) taker.subscribe(name.repeat(900))
  await daemon.subscribed(2)
  taker.subscribe('b'.repeat(900))
  await daemon.publish('a'.repeat(900), 'still here')
  assert.equal(await taker.body(), 'still here')
  taker.subscribe('c'.repeat(900))
  assert.equal(await taker.ended, 'orderly')
  assert.deepEqual(daemon.refusals, ['too_many_topics'])
})

test('history that waits for a taker that does not read is a megabyte, however much may wait of what is live', () => {
  const limits = limitsWith()
  const clock = createManualClock()
  const taker = (bytes: number) => {
    const connection = new TakerConnection(createWire().giver, new Set(), { limits, wheel: createWheel(clock) }, { said() {}, ended() {}, closed() {} })
    connection.write(Buffer.alloc(bytes))
    return connection
  }
  assert.equal(taker(1_000_000).room(), undefined)
  const waiting = taker(1_100_000)
  const room = waiting.room()
  assert.ok(room instanceof Promise)
  room.catch(() => {})
  waiting.destroy()
})
