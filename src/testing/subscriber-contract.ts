import assert from 'node:assert/strict'
import { suite, test, type TestContext } from 'node:test'
import type { Cursor } from '../core/cursor.ts'
import type { Message } from '../core/message.ts'
import type { Subscriber } from '../core/ports.ts'
import { topicFromText } from '../core/topic.ts'

/** What stands in `arrived` where the receiver was told of a gap. */
export const GAP = '(gap)'

export interface SubscriberUnderTest {
  readonly subscriber: Subscriber
  /** How many receivers stand behind it. */
  readonly receivers: number
  /** What one receiver has got so far, in order: bodies as text, and `GAP`. Everything handed in must have gone out. */
  arrived(): Promise<readonly string[]> | readonly string[]
  /** All receivers go away. */
  leave(): Promise<void> | void
}

/** What a subscriber promises beyond the contract. */
export interface SubscriberPromises {
  /** Whether its receivers can be told of a gap. True when not stated. Those that cannot end where something was lost on its way. */
  readonly gaps?: boolean
}

/** What every `Subscriber` must do. Bodies are texts without line ends. */
export function subscriberContract(
  name: string,
  create: (t: TestContext) => Promise<SubscriberUnderTest> | SubscriberUnderTest,
  { gaps = true }: SubscriberPromises = {},
): void {
  suite(`${name}, as a subscriber`, () => {
    test('its count is the number of receivers behind it', async (t) => {
      const one = await create(t)
      assert.equal(one.subscriber.count, one.receivers)
      assert.ok(one.receivers > 0, 'the contract wants at least one receiver')
    })

    test('it takes a message without waiting for anything', async (t) => {
      const { subscriber } = await create(t)
      assert.equal(subscriber.deliver(message(1)), undefined)
      assert.equal(subscriber.gap(at(1), at(2)), undefined)
    })

    test('the order of calls is the order of arrival, within a turn and over turns', async (t) => {
      const { subscriber, arrived } = await create(t)
      const expected: string[] = []
      for (let offset = 1; offset <= 300; offset++) {
        subscriber.deliver(message(offset))
        expected.push(`message ${offset}`)
        if (offset % 100 === 0) assert.deepEqual(await arrived(), expected)
      }
    })

    test('a gap stands between what came before it and what came after it', async (t) => {
      const { subscriber, arrived } = await create(t)
      subscriber.deliver(message(1))
      subscriber.gap(at(1), at(5))
      subscriber.deliver(message(6))
      assert.deepEqual(await arrived(), gaps ? ['message 1', GAP, 'message 6'] : ['message 1', 'message 6'])
    })

    test('something that was lost on its way to the hub is told in its place, or nothing comes behind it', async (t) => {
      const { subscriber, arrived } = await create(t)
      subscriber.deliver(message(1))
      assert.equal(subscriber.gap(at(1), at(2), { topics: [message(1).topic], patterns: [] }), undefined)
      subscriber.deliver(message(3))
      assert.deepEqual(await arrived(), gaps ? ['message 1', GAP, 'message 3'] : ['message 1'])
    })

    test('an empty, a large and a binary body do not make it throw', async (t) => {
      const { subscriber } = await create(t)
      const bodies = [Buffer.alloc(0), Buffer.alloc(300_000, 0x61), Buffer.from([0, 0xff, 0xfe, 0x0a, 0x0d])]
      for (const [i, body] of bodies.entries()) subscriber.deliver({ ...message(i + 1), body, text: i < 2 })
    })

    test('it does not write to the body', async (t) => {
      const { subscriber, arrived } = await create(t)
      const one = message(1)
      subscriber.deliver(one)
      await arrived()
      assert.equal(one.body.toString(), 'message 1')
    })

    test('when its receivers are gone it still never throws', async (t) => {
      const one = await create(t)
      one.subscriber.deliver(message(1))
      await one.leave()
      one.subscriber.deliver(message(2))
      one.subscriber.gap(at(2), at(3))
      one.subscriber.gap(at(2), at(3), { topics: [message(1).topic], patterns: [] })
      assert.equal(one.subscriber.deliver(message(4)), undefined)
    })
  })
}

function at(offset: number): Cursor {
  return { epoch: 'contract', offset }
}

function message(offset: number): Message {
  const body = Buffer.from(`message ${offset}`)
  return { topic: topicFromText('contract'), body, contentType: 'text/plain', text: true, offset, epoch: 'contract', time: 1_767_225_600_000 }
}
