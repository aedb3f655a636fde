import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createHub } from '../../src/core/hub.ts'
import { exactly } from '../../src/core/interest.ts'
import { createMemoryLog } from '../../src/core/log.ts'
import { draft, type Message } from '../../src/core/message.ts'
import { createRouter } from '../../src/core/router.ts'
import { createRules } from '../../src/core/rules.ts'
import { topicFromText } from '../../src/core/topic.ts'
import { createManualClock } from '../../src/testing/manual-clock.ts'
import { startServer } from '../support/server.ts'
import { openStream } from '../support/sse.ts'

/* What is kept for those who come back: maxLogBytes, maxHeldBytes. */

async function logBytes(url: string): Promise<number> {
  const page = await (await fetch(`${url}/_/metrics`)).text()
  return Number(/^waystation_log_bytes (\d+)$/m.exec(page)?.[1])
}

test('maxLogBytes: publishers cannot fill the memory with what is kept, neither in one topic nor in many', async (t) => {
  const server = await startServer(t, { maxLogBytes: 100_000, rules: [{ topics: '*', keep: { messages: 1_000_000 } }] })
  const start = server.hub.cursor
  for (let i = 0; i < 300; i++) {
    await server.hub.publish('one', 'x'.repeat(1_000))
    await server.hub.publish(`many/${i}`, '')
    assert.ok((await logBytes(server.url)) <= 100_000)
  }
  const last = `${server.hub.cursor.split(':')[0]}:599`
  assert.equal((await openStream(t, `${server.url}/_/sse?topic=*&since=${last}`).then((stream) => stream.next())).topic, 'many/299')
  assert.equal((await openStream(t, `${server.url}/one?since=${start}`).then((stream) => stream.next())).event, 'gap')
})

test('maxLogBytes: a message that is larger than all of it is delivered and not kept', async (t) => {
  const server = await startServer(t, { maxLogBytes: 10_000, rules: [{ topics: '*', keep: { messages: 10 } }] })
  const [stream, start] = [await openStream(t, `${server.url}/a`), server.hub.cursor]
  await server.hub.publish('a', 'x'.repeat(20_000))
  assert.equal((await stream.next()).data.length, 20_000)
  assert.equal(await logBytes(server.url), 0)
  assert.equal((await openStream(t, `${server.url}/a?since=${start}`).then((again) => again.next())).event, 'gap')
})

/** A latecomer that takes nothing while there are `published` live messages, from a log that keeps ten. */
async function latecomer(maxHeldBytes: number, published: number): Promise<(number | 'gap')[]> {
  const clock = createManualClock()
  const rules = createRules([{ topics: '*', keep: { messages: 10, ms: 60_000 } }])
  const log = createMemoryLog({ rules, clock, random: { next: () => 0.5 }, maxBytes: 1_000_000 })
  const hub = createHub({ log, router: createRouter(), rules, maxHeldBytes })
  const topic = topicFromText('a')
  const publish = (): unknown => hub.publish(draft(topic, Buffer.alloc(1_000)), { kind: 'embedded', local: true, address: 'test' })
  const start = hub.cursor
  publish()
  const got: (number | 'gap')[] = []
  let takes: (() => void) | undefined
  const room = new Promise<void>((resolve) => (takes = resolve))
  const done = new Promise<void>((resolve) => {
    hub.resume(exactly(topic), start, {
      count: 1,
      deliver: (message: Message) => void got.push(message.offset),
      gap: () => void got.push('gap'),
      room: () => room,
      live: resolve,
    })
  })
  for (let i = 0; i < published; i++) publish()
  takes?.()
  await done
  return got
}

test('maxHeldBytes: what is published while one is being caught up is held for it', async () => {
  assert.deepEqual(await latecomer(1_000_000, 30), Array.from({ length: 31 }, (_, i) => i + 1))
})

test('maxHeldBytes: past it nothing is held, and what the log still has is read from there', async () => {
  assert.deepEqual(await latecomer(5_000, 9), Array.from({ length: 10 }, (_, i) => i + 1))
})

test('maxHeldBytes: past it, one that was too slow for the log is told of the gap', async () => {
  assert.deepEqual(await latecomer(5_000, 30), [1, 'gap'])
})
