import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { test } from 'node:test'
import { draft, type Message } from '../../src/core/message.ts'
import type { Registration } from '../../src/core/registry.ts'
import { topicFromText } from '../../src/core/topic.ts'
import type { Verdict } from '../../src/protocol/lonelyps/authorization.ts'
import { parseReceivePrefix } from '../../src/protocol/lonelyps/requests.ts'
import { encodeConfirmReceive, UNSUBSCRIBE_IMMEDIATE } from '../../src/protocol/lonelyps/responses.ts'
import { createManualClock } from '../../src/testing/manual-clock.ts'
import { createBatches } from '../../src/webhooks/batches.ts'
import type { Answer, Outgoing } from '../../src/webhooks/caller.ts'
import { createDeliveries, type Outcome } from '../../src/webhooks/deliveries.ts'
import { createLanes } from '../../src/webhooks/lanes.ts'

const NONE = Buffer.alloc(0)
const one = (id: number, url = 'http://a/receive'): Registration => ({ id, url, kind: 'exact', target: topicFromText('t'), recovery: undefined })

interface Sent {
  readonly url: string
  readonly text: string
  readonly headers: Readonly<Record<string, string>>
  confirm(subscribers?: number, more?: { identifier?: Buffer; status?: number; trailing?: string }): void
  answer(answer: Answer): void
  late(): void
}

/** Deliveries whose calls end when the test says so. */
function open(options: { queue?: number; maxBytes?: number; share?: number; verdict?: Verdict } = {}) {
  const clock = createManualClock()
  const batches = createBatches(options.maxBytes ?? 1e6)
  const sent: Sent[] = []
  const settled: [id: number, Outcome][] = []
  const gone = new Set<number>()
  let offset = 0
  const call = ({ target, headers, parts }: Outgoing, late = (): void => {}): Promise<Answer> => new Promise((answer) => {
    const body = Buffer.concat(parts)
    const prefix = parseReceivePrefix(body)
    assert.ok(prefix !== 'more')
    const { identifier: own, size } = prefix
    sent.push({
      url: target.signed, text: body.subarray(size).toString(), headers, late, answer,
      confirm: (subscribers = 1, { identifier = own, status = 200, trailing = '' } = {}) =>
        answer({ status, body: Buffer.concat([encodeConfirmReceive({ authorization: '', tracing: NONE, identifier, subscribers }), Buffer.from(trailing)]) }),
    })
  })
  const verdict = options.verdict ?? 'ok'
  const deliveries = createDeliveries({
    caller: { call, close: () => Promise.resolve() },
    lanes: createLanes(options.queue ?? 100),
    batches, clock, randomBytes,
    share: options.share ?? 1e6,
    prover: () => undefined,
    checker: { check: () => verdict, checkBound: () => verdict },
    isThere: ({ id }) => !gone.has(id),
    events: { settled: ({ id }, _topic, outcome) => void settled.push([id, outcome]) },
  })
  return {
    clock, batches, sent, settled, gone, deliveries,
    message: (text: string, topic = 't'): Message => ({ ...draft(topicFromText(topic), Buffer.from(text)), offset: ++offset, epoch: 'e', time: 0 }),
    texts: () => sent.map(({ text }) => text),
  }
}

test('messages of one topic go to one registration one after the other, in order; other topics and registrations do not wait', async () => {
  const { deliveries, message, sent, clock, texts } = open()
  for (const text of ['a1', 'a2', 'a3']) deliveries.deliver(one(1), message(text, 'a'))
  deliveries.deliver(one(1), message('b1', 'b'))
  deliveries.deliver(one(2), message('c1', 'a'))
  await clock.settle()
  assert.deepEqual(texts(), ['a1', 'b1', 'c1'])
  sent[0]?.confirm()
  await clock.settle()
  assert.deepEqual(texts(), ['a1', 'b1', 'c1', 'a2'])
  sent[3]?.answer({ failure: 'broken' })
  await clock.settle()
  assert.deepEqual(texts(), ['a1', 'b1', 'c1', 'a2', 'a3'])
})

const ANSWERS: [what: string, (sent: Sent) => void, counted: number, type: Outcome['type']][] = [
  ['its count as it is: none', (s) => s.confirm(0), 0, 'confirmed'],
  ['its count as it is: five', (s) => s.confirm(5), 5, 'confirmed'],
  ['whatever its status', (s) => s.confirm(1, { status: 500 }), 1, 'confirmed'],
  ['whatever comes behind it', (s) => s.confirm(1, { trailing: 'abc' }), 1, 'confirmed'],
  ['an end of the registration, which counts nothing', (s) => s.answer({ status: 403, body: UNSUBSCRIBE_IMMEDIATE }), 0, 'unsubscribe'],
  ['an end of the registration with more behind it', (s) => s.answer({ status: 200, body: Buffer.from([0, 10, 1, 2]) }), 0, 'unsubscribe'],
  ['the identifier of another delivery', (s) => s.confirm(1, { identifier: Buffer.alloc(8) }), 0, 'failed'],
  ['nothing', (s) => s.answer({ status: 200, body: NONE }), 0, 'failed'],
  ['too little', (s) => s.answer({ status: 200, body: Buffer.from([0, 8, 0, 0, 0, 0, 8]) }), 0, 'failed'],
  ['another type', (s) => s.answer({ status: 200, body: Buffer.from('000300000000', 'hex') }), 0, 'failed'],
  ['an authorization that is no UTF-8', (s) => s.answer({ status: 200, body: Buffer.from('00080001ff0000', 'hex') }), 0, 'failed'],
  ['no answer', (s) => s.answer({ failure: 'refused' }), 0, 'failed'],
]
for (const [what, answer, counted, type] of ANSWERS) {
  test(`an answer counts by its body alone: ${what}`, async () => {
    const { deliveries, message, sent, settled, clock, batches } = open()
    const it = message('x')
    deliveries.deliver(one(1), it)
    await clock.settle()
    answer(sent[0] as Sent)
    assert.equal(await batches.confirmed(it), counted)
    await clock.settle()
    assert.deepEqual([settled.length, settled[0]?.[1].type, batches.bytes, deliveries.open], [1, type, 0, 0])
  })
}

test('an answer with a wrong authorization is a failed delivery', async () => {
  for (const verdict of ['forbidden', 'unauthorized'] as const) {
    const { deliveries, message, sent, settled, clock } = open({ verdict })
    deliveries.deliver(one(1), message('x'))
    await clock.settle()
    sent[0]?.confirm()
    await clock.settle()
    assert.equal(settled[0]?.[1].type, 'failed')
  }
})

test('a late answer is not counted, but its message was taken, and the next goes out meanwhile (Q16)', async () => {
  const { deliveries, message, sent, settled, clock, batches, texts } = open()
  const first = message('first')
  deliveries.deliver(one(1), first)
  deliveries.deliver(one(1), message('second'))
  await clock.settle()
  const counted = batches.confirmed(first)
  sent[0]?.late()
  assert.equal(await counted, 0)
  await clock.settle()
  assert.deepEqual([texts(), settled], [['first', 'second'], []])
  sent[1]?.confirm()
  sent[0]?.confirm(3)
  await clock.settle()
  assert.deepEqual(settled.map(([, { type }]) => type), ['confirmed', 'confirmed'])
  assert.equal(await batches.confirmed(first), 0)
  assert.equal(batches.bytes, 0)
})

test('a registration that goes while messages wait for it gets none of them, and misses nothing', async () => {
  const { deliveries, message, sent, settled, gone, clock, batches } = open()
  for (const text of ['1', '2', '3']) deliveries.deliver(one(1), message(text))
  await clock.settle()
  gone.add(1)
  sent[0]?.confirm()
  await deliveries.idle()
  await clock.settle()
  assert.deepEqual([sent.length, settled.map(([, { type }]) => type), batches.bytes], [1, ['confirmed', 'gone', 'gone'], 0])
})

test('what one registration may keep waiting is a share of the memory: the others get their messages', async () => {
  const { deliveries, message, sent, settled, clock } = open({ maxBytes: 200_000, share: 25_000 })
  for (let i = 0; i < 300; i++) {
    deliveries.deliver(one(1, 'http://hangs/'), message('x'.repeat(10_000)))
    deliveries.deliver(one(2), message('y'))
    await clock.settle()
    sent.findLast(({ url }) => url === 'http://a/receive')?.confirm()
    await clock.settle()
  }
  assert.equal(settled.filter(([id, { type }]) => id === 2 && type === 'confirmed').length, 300)
  assert.equal(settled.filter(([id, { type }]) => id === 1 && type === 'failed').length, 298)
})

test('past the bounds of a lane and of the memory a delivery fails at once, and keeps nothing', async () => {
  const { deliveries, message, sent, settled, clock, batches } = open({ queue: 1, maxBytes: 5_000 })
  for (const text of ['1', '2', '3']) deliveries.deliver(one(1), message(text))
  assert.deepEqual(settled.map(([, outcome]) => outcome), [{ type: 'failed', why: 'too many messages wait for this url' }])
  deliveries.deliver(one(2), message('x'.repeat(5_000)))
  assert.deepEqual(settled[1]?.[1], { type: 'failed', why: 'too much is on its way' })
  deliveries.deliver(one(3, 'ftp://a/'), message('4'))
  assert.equal(settled[2]?.[1].type, 'failed')
  await clock.settle()
  sent[0]?.confirm()
  await clock.settle()
  sent[1]?.confirm()
  await deliveries.idle()
  assert.equal(batches.bytes, 0)
})

test('a thousand deliveries of one message begin in order, some in each turn', async () => {
  const { deliveries, message, sent, clock } = open({ maxBytes: 1e7 })
  const it = message('x')
  for (let i = 0; i < 1_000; i++) deliveries.deliver(one(i, `http://a/${i}`), it)
  assert.ok(sent.length <= 64)
  await clock.settle()
  assert.deepEqual(sent.map(({ url }) => url), Array.from({ length: 1_000 }, (_, i) => `http://a/${i}`))
})

test('each message states its own digest, and all are binary', async () => {
  const { deliveries, message, sent, clock } = open()
  deliveries.deliver(one(1), message('1'))
  deliveries.deliver(one(2), message('2'))
  await clock.settle()
  assert.deepEqual([sent.length, sent[0]?.headers['Content-Type'], typeof sent[0]?.headers['Repr-Digest']], [2, 'application/octet-stream', 'string'])
  assert.notEqual(sent[0]?.headers['Repr-Digest'], sent[1]?.headers['Repr-Digest'])
})
