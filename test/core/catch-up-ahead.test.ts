import assert from 'node:assert/strict'
import { test } from 'node:test'
import { catchUp } from '../../src/core/catch-up.ts'
import { formatCursor } from '../../src/core/cursor.ts'
import { interestIn } from '../../src/core/interest.ts'
import { draft, type Message } from '../../src/core/message.ts'
import type { Log } from '../../src/core/ports.ts'
import { createRouter } from '../../src/core/router.ts'
import { topicFromText } from '../../src/core/topic.ts'

const TOPIC = topicFromText('a')

function message(offset: number): Message {
  return { ...draft(TOPIC, Buffer.from(`${offset}`)), offset, epoch: 'e', time: 0 }
}

/** A log whose appends settle late: it has given three offsets and shown them, and keeps only the last by now. */
const log: Log = {
  epoch: 'e',
  head: 3,
  append: () => Promise.reject(new Error('nothing is appended here')),
  lose: () => Promise.reject(new Error('nothing is lost here')),
  read(_, after) {
    if (after.epoch !== 'e' || after.offset < 2 || after.offset > 3) return 'lost'
    return [message(3)].filter(({ offset }) => offset > after.offset)
  },
  sweep() {},
}

for (const { after, expected } of [
  { after: { epoch: 'e', offset: 0 }, expected: ['1', '2', '3', '4'] },
  { after: { epoch: 'e', offset: 1 }, expected: ['2', '3', '4'] },
  { after: { epoch: 'e', offset: 3 }, expected: ['4'] },
  { after: { epoch: 'e', offset: 4 }, expected: ['gap 4 to 0', '1', '2', '3', '4'] },
  { after: { epoch: 'x', offset: 1 }, expected: ['gap 1 to 0', '1', '2', '3', '4'] },
]) {
  test(`where the log is ahead of the router, all that is still to come comes once, behind ${formatCursor(after)}`, async () => {
    const lines: string[] = []
    const router = createRouter()
    let routed = 0
    catchUp({
      interest: interestIn(['a']),
      after,
      late: {
        count: 1,
        deliver: ({ offset }) => void lines.push(`${offset}`),
        gap: (gone, to) => void lines.push(`gap ${gone.offset} to ${to.offset}`),
        room: () => undefined,
        live() {
          router.join(interestIn(['a']), { count: 1, deliver: ({ offset }) => void lines.push(`${offset}`), gap() {} })
        },
      },
      log,
      router,
      routed: () => routed,
      maxHeldBytes: 1_000,
    })
    for (const offset of [1, 2, 3, 4]) {
      routed = offset
      for (const subscriber of router.match(TOPIC)) subscriber.deliver(message(offset))
      await new Promise((resolve) => setImmediate(resolve))
    }
    assert.deepEqual(lines, expected)
  })
}

test('what the log takes for a loss of this one, and the router does not, is waited for all the same', async () => {
  const lines: string[] = []
  const router = createRouter()
  let routed = 0
  const live = new Promise<void>((resolve) => {
    catchUp({
      interest: interestIn(['a*']),
      after: { epoch: 'e', offset: 0 },
      late: {
        count: 1,
        deliver: ({ offset }) => void lines.push(`${offset}`),
        gap: (from, to) => void lines.push(`gap ${from.offset} to ${to.offset}`),
        room: () => undefined,
        live: () => (lines.push('live'), resolve()),
      },
      log: { ...log, head: 1, read: (_, { offset }) => (offset === 0 ? [{ epoch: 'e', offset: 1, time: 0, lost: interestIn(['b']) }] : []) },
      router,
      routed: () => routed,
      maxHeldBytes: 1_000,
    })
  })
  await new Promise((resolve) => setImmediate(resolve))
  assert.deepEqual(lines, ['gap 0 to 1'])
  routed = 1
  for (const subscriber of router.everywhere) subscriber.gap({ epoch: 'e', offset: 0 }, { epoch: 'e', offset: 1 }, interestIn(['b']))
  await live
  assert.deepEqual([lines, router.everywhere, router.patterns], [['gap 0 to 1', 'live'], [], 0])
})
