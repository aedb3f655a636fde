import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createMemoryLog } from '../../src/core/log.ts'
import { createSeededRandom } from '../../src/testing/index.ts'
import { connectTaker, startLinkDaemon } from '../support/links.ts'

test('a taker that has had more than is routed goes on behind it when it comes back, and gets nothing twice', async (t) => {
  const routed = Promise.withResolvers<void>()
  const daemon = await startLinkDaemon(t, {
    hub: {
      rules: [{ topics: '*', keep: { messages: 10, ms: 1e12 } }],
      log(rules, clock) {
        const log = createMemoryLog({ rules, clock, random: createSeededRandom(1), maxBytes: 1_000_000 })
        // What is appended can be read at once, and settles when the test says so.
        const later = async <T>(one: T | Promise<T>): Promise<T> => routed.promise.then(() => one)
        return { ...log, get head() { return log.head }, append: (draft) => later(log.append(draft)) }
      },
    },
  })
  const { epoch } = daemon.log
  for (const body of ['1', '2']) daemon.put({ topic: 'a', body: Buffer.from(body) })

  const taker = await connectTaker(t, daemon.port)
  assert.deepEqual(await taker.wish({ topics: ['a'], after: { epoch, offset: 0 } }), { kind: 'ready', at: { epoch, offset: 0 }, hub: epoch })
  // Nothing has been routed, so it is not live yet: a keepalive brings out what it has been shown.
  taker.keepalive()
  assert.deepEqual(await taker.bodies(2), ['1', '2'])
  taker.socket.destroy()

  const again = await connectTaker(t, daemon.port)
  assert.deepEqual(await again.wish({ topics: ['a'], after: { epoch, offset: 2 } }), { kind: 'ready', at: { epoch, offset: 2 }, hub: epoch })
  const beyond = await connectTaker(t, daemon.port)
  assert.deepEqual(await beyond.wish({ topics: ['a'], after: { epoch, offset: 3 } }), { kind: 'ready', at: { epoch, offset: 0 }, hub: epoch }, 'a place that was never given is of no use')
  routed.resolve()
  daemon.put({ topic: 'a', body: Buffer.from('3') })
  assert.equal(await again.body(), '3')
})
