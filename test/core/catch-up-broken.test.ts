import assert from 'node:assert/strict'
import { test } from 'node:test'
import { catchUp } from '../../src/core/catch-up.ts'
import { interestIn } from '../../src/core/interest.ts'
import { draft, type Message } from '../../src/core/message.ts'
import type { Log } from '../../src/core/ports.ts'
import { createRouter } from '../../src/core/router.ts'
import { topicFromText } from '../../src/core/topic.ts'

const TOPIC = topicFromText('a')

function message(offset: number): Message {
  return { ...draft(TOPIC, Buffer.from(`${offset}`)), offset, epoch: 'e', time: 0 }
}

/** A log of five messages whose disk fails behind the second. */
const broken: Log = {
  epoch: 'e',
  head: 5,
  append: () => Promise.reject(new Error('nothing is appended here')),
  lose: () => Promise.reject(new Error('nothing is lost here')),
  async *read() {
    yield message(1)
    yield message(2)
    throw new Error('the disk is gone')
  },
  sweep() {},
}

test('a log that breaks off in the middle of a replay is a gap, and live messages go on behind it', async () => {
  const lines: string[] = []
  const router = createRouter()
  await new Promise<void>((resolve) => {
    catchUp({
      interest: interestIn(['a']),
      after: { epoch: 'e', offset: 0 },
      late: {
        count: 1,
        deliver: ({ offset }) => void lines.push(`${offset}`),
        gap: (from, to) => void lines.push(`gap ${from.offset} to ${to.offset}`),
        room: () => undefined,
        live() {
          lines.push('live')
          resolve()
        },
      },
      log: broken,
      router,
      routed: () => 6,
      maxHeldBytes: 1_000,
    })
    for (const subscriber of router.match(TOPIC)) subscriber.deliver(message(6))
  })
  assert.deepEqual(lines, ['1', '2', 'gap 2 to 5', '6', 'live'])
  assert.equal(router.topics, 0)
})

test('a receiver that goes while it is waited for gets no further call and leaves the router', async () => {
  const lines: string[] = []
  const router = createRouter()
  let fail: (error: Error) => void = () => {}
  const waiting = new Promise<void>((_, reject) => (fail = reject))
  catchUp({
    interest: interestIn(['a']),
    after: { epoch: 'e', offset: 0 },
    late: { count: 1, deliver: () => void lines.push('deliver'), gap: () => void lines.push('gap'), room: () => waiting, live: () => void lines.push('live') },
    log: broken,
    router,
    routed: () => 5,
    maxHeldBytes: 1_000,
  })
  fail(new Error('the connection is closed'))
  for (let i = 0; i < 5; i++) await new Promise((resolve) => setImmediate(resolve))
  assert.deepEqual(lines, [])
  assert.equal(router.topics, 0)
})
