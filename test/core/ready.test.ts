import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createMemoryLog } from '../../src/core/log.ts'
import type { Draft, Message } from '../../src/core/message.ts'
import { own } from '../../src/core/own-bytes.ts'
import { readyFrames } from '../../src/core/ready.ts'
import { createRules, type Rule } from '../../src/core/rules.ts'
import { topicFromText } from '../../src/core/topic.ts'
import { BINARY, frame, TEXT } from '../../src/protocol/websocket/frame.ts'
import { readFrames, type UnfinishedMessage } from '../../src/protocol/websocket/reader.ts'
import { createManualClock, createSeededRandom } from '../../src/testing/index.ts'
import { bare } from '../../src/transports/pinghub/encoders.ts'
import { clientFrame } from '../support/raw.ts'

const TOPIC = topicFromText('t')

/** What a client's bytes become, read by one connection in these pieces; empty messages are not published. */
function published(pieces: readonly Buffer[], rules: readonly Rule[] = []): Message[] {
  const log = createMemoryLog({ rules: createRules(rules), clock: createManualClock(), random: createSeededRandom(1), maxBytes: Infinity })
  const messages: Message[] = []
  let left: UnfinishedMessage | undefined
  for (const piece of pieces) {
    left = readFrames(piece, left, { maxFrameBytes: 1_000_000, maxPieces: 100 }, {
      message(body, binary) {
        if (body.length === 0) return
        const draft: Draft = { topic: TOPIC, body, contentType: '', text: !binary, framed: true }
        messages.push(log.append(draft) as Message)
      },
      ping() {},
      closing() {},
      broken: (_, why) => assert.fail(why),
    })
  }
  return messages
}

/** The bytes of a read, in memory of their own. */
function chunk(...frames: Buffer[]): Buffer {
  const bytes = Buffer.concat(frames)
  return Buffer.from(bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.length))
}

/** As a fan-out does it. */
function joined(messages: readonly Message[]): Buffer {
  const ready = readyFrames(messages)
  if (ready !== undefined) return ready
  const buffer = Buffer.alloc(messages.reduce((sum, message) => sum + bare.size(message), 0))
  let at = 0
  for (const message of messages) at = bare.write(message, buffer, at)
  return buffer
}

function asSent(messages: readonly Message[]): Buffer {
  return Buffer.concat(messages.map(({ text, body }) => frame(text ? TEXT : BINARY, body)))
}

/** Whether they lie ready; either way, what goes out must be right. */
function lieReady(messages: readonly Message[]): boolean {
  const before = messages.map(({ body }) => Buffer.from(body))
  const expected = asSent(messages)
  assert.deepEqual(joined(messages), expected)
  assert.deepEqual(messages.map(({ body }) => body), before)
  return readyFrames(messages) !== undefined
}

const text = (size: number): Buffer => clientFrame(TEXT, 'x'.repeat(size))
const binary = (size: number): Buffer => clientFrame(BINARY, Buffer.alloc(size, 0xff))

test('messages of one read are one buffer, without a copy, whichever their lengths', () => {
  for (const sizes of [[1], [5, 5, 5], [125, 126, 127], [65_535, 65_536, 1], [200, 1, 70_000, 126]]) {
    const bytes = chunk(...sizes.map(text))
    const messages = published([bytes])
    assert.equal(messages.length, sizes.length)
    // One short message alone is less than half of its read: the mask and its header are the rest.
    if (sizes.length === 1) continue
    assert.equal(lieReady(messages), true, sizes.join())
    const ready = readyFrames(messages) as Buffer
    assert.equal(ready.buffer, bytes.buffer)
    for (const { body } of messages) assert.equal(body.buffer, bytes.buffer)
  }
})

test('text and bytes of one read lie ready as what they are', () => {
  assert.equal(lieReady(published([chunk(text(300), binary(300), text(300))])), true)
})

test('bytes that are published as text have another header than stands before them', () => {
  const messages = published([chunk(text(300), clientFrame(BINARY, 'y'.repeat(300)))])
  const asText = messages.map((message, i) => ({ ...message, text: true, framed: i === 0 }))
  assert.equal(lieReady(asText), false)
})

for (const [what, between] of [['an empty message', text(0)], ['a ping', clientFrame(9, '')]] as const) {
  test(`with ${what} between them, messages do not lie together, and go out right`, () => {
    assert.equal(lieReady(published([chunk(text(300), between, text(300))])), false)
  })
}

test('with a message of another read between them, in another order, or with one left out, they go out right', () => {
  const [a, b, c] = published([chunk(text(300), text(301), text(302))]) as [Message, Message, Message]
  const [other, otherB] = published([chunk(text(300), text(301))]) as [Message, Message]
  for (const messages of [[a, otherB], [a, other, b], [other, a, b], [a, b, other], [a, c], [b, a], [a, a], [c, b, a]]) assert.equal(lieReady(messages), false)
  for (const messages of [[a, b, c], [a, b], [b, c]]) assert.equal(lieReady(messages), true)
})

test('a message of the hub itself has no header, and is joined with those that have', () => {
  const [a, b] = published([chunk(text(300), text(301))]) as [Message, Message]
  const plain: Message = { topic: TOPIC, body: Buffer.from('from here'), contentType: '', text: true, offset: 1, epoch: 'e', time: 0 }
  const roomy: Message = { ...plain, body: Buffer.allocUnsafeSlow(20).fill('x').subarray(4) }
  for (const messages of [[plain], [roomy], [{ ...plain, body: Buffer.allocUnsafeSlow(20) }], [plain, a, b], [a, plain, b], [a, b, plain]]) assert.equal(lieReady(messages), false)
  assert.equal(readyFrames([]), undefined)
})

test('a message that came in several reads or fragments lies ready by itself', () => {
  const bytes = clientFrame(TEXT, 'z'.repeat(3_000))
  const [cut, next] = published([chunk(bytes.subarray(0, 1_000)), chunk(bytes.subarray(1_000), text(300))]) as [Message, Message]
  assert.equal(lieReady([cut]), true)
  assert.equal(lieReady([cut, next]), false)
  const fragments = [clientFrame(TEXT, 'one'.repeat(100), { fin: false }), clientFrame(0, 'two'.repeat(100))]
  assert.equal(lieReady(published([chunk(...fragments)])), true)
})

test('a small message of a large read does not keep it alive', () => {
  const messages = published([chunk(text(10), text(60_000))])
  assert.equal(lieReady([messages[0] as Message]), false)
  assert.equal(lieReady([messages[1] as Message]), true)
})

test('what is kept has memory of its own, and no header before it', () => {
  const bytes = chunk(text(300), text(301), text(302), text(303))
  const messages = published([bytes], [{ topics: '*', keep: { messages: 10, ms: 1_000 } }])
  assert.equal(lieReady(messages), false)
  for (const { body, framed } of messages) assert.deepEqual([body.buffer.byteLength, framed], [body.length, undefined])
  const [large] = published([chunk(text(70_000))], [{ topics: '*', keep: { messages: 10, ms: 1_000 } }]) as [Message]
  assert.equal(lieReady([large]), true, 'one that fills its read is kept as it is')
})

test('a buffer is copied where it is less than half of the memory that it keeps', () => {
  const memory = Buffer.allocUnsafeSlow(100)
  assert.equal(own(memory), memory)
  assert.equal(own(memory.subarray(50)).buffer, memory.buffer)
  const copy = own(memory.subarray(51))
  assert.deepEqual([copy.buffer.byteLength, copy.equals(memory.subarray(51))], [49, true])
  assert.equal(own(Buffer.alloc(0)).length, 0)
})
