import assert from 'node:assert/strict'
import { test } from 'node:test'
import { WaystationError, type ErrorCode } from '../../src/core/errors.ts'
import { interestIn } from '../../src/core/interest.ts'
import { draft, type Draft, type LargeBody, type Lost, type Message } from '../../src/core/message.ts'
import type { Log, Receipt } from '../../src/core/ports.ts'
import { topicFromText } from '../../src/core/topic.ts'
import { createRecorder, createTestHub, OURSELVES, STRANGER } from '../../src/testing/index.ts'

function text(topic: string, body: string): Draft {
  return draft(topicFromText(topic), Buffer.from(body))
}

function coded(code: ErrorCode) {
  return (error: unknown): boolean => error instanceof WaystationError && error.code === code
}

/** A log whose appends settle when they are told to, in their order, or come back at once. */
function heldLog(): Log & { settle(): void; fail(): void; readonly waiting: number; direct: boolean } {
  const waiting: { settle(): void; reject(error: Error): void }[] = []
  let head = 0
  const number = <T>(make: () => T): Promise<T> => new Promise((resolve, reject) => waiting.push({ settle: () => resolve(make()), reject }))
  const made = (one: Draft): Message => ({ ...one, offset: ++head, epoch: 'held', time: 0 })
  return {
    epoch: 'held',
    direct: false,
    get head() { return head },
    get waiting() { return waiting.length },
    append(one) {
      return this.direct ? made(one) : number(() => made(one))
    },
    lose(lost) {
      const made = (): Lost => ({ lost, offset: ++head, epoch: 'held', time: 0 })
      return this.direct ? made() : number(made)
    },
    read: () => 'lost',
    sweep() {},
    settle: () => waiting.shift()?.settle(),
    fail: () => waiting.shift()?.reject(new Error('the disk is full')),
  }
}

test('what is published is there when publish returns: numbered, delivered, counted', () => {
  const { hub } = createTestHub()
  const [one, three, other] = [createRecorder(), createRecorder(3), createRecorder()]
  hub.join(interestIn(['a']), one)
  hub.join(interestIn(['*']), three)
  hub.join(interestIn(['b']), other)
  const receipt = hub.publish(text('a', 'hello'), STRANGER) as Receipt
  assert.equal(receipt.subscribers, 4)
  assert.equal(receipt.message.offset, 1)
  assert.deepEqual([one.messages(), three.messages(), other.messages()], [[receipt.message], [receipt.message], []])
  assert.deepEqual(hub.cursor, { epoch: receipt.message.epoch, offset: 1 })
  assert.deepEqual([hub.topics, hub.patterns], [2, 1])
})

test('one that hears of everything gets each message after those who want it, counts for nobody, and takes large ones only if it says so', () => {
  const { hub } = createTestHub()
  const [wanting, all, large] = [createRecorder(), createRecorder(0), { ...createRecorder(0), takesLarge: true }]
  const order: string[] = []
  hub.joinAll({ ...all, deliver: (message) => (order.push('all'), all.deliver(message)) })
  const leave = hub.joinAll(large)
  hub.join(interestIn(['a']), { ...wanting, deliver: () => void order.push('wanting') })
  assert.equal((hub.publish(text('a', '1'), STRANGER) as Receipt).subscribers, 1)
  assert.equal((hub.publish(text('b', '2'), STRANGER) as Receipt).subscribers, 0)
  assert.deepEqual([order, hub.audience(topicFromText('b')), hub.topics, hub.patterns], [['wanting', 'all', 'all'], 0, 1, 0])
  const body: LargeBody = { size: 3, hold() {}, letGo() {}, read: () => assert.fail('nobody reads') }
  hub.publish({ ...text('b', '3'), large: body }, STRANGER)
  leave()
  hub.publish(text('b', '4'), STRANGER)
  assert.deepEqual([all.texts(), large.texts()], [['1', '2', '(gap)', '4'], ['1', '2', '3']])
})

test('all subscribers of a topic see one order, that of the offsets', () => {
  const { hub } = createTestHub()
  const recorders = Array.from({ length: 3 }, () => createRecorder())
  for (const [i, recorder] of recorders.entries()) hub.join(interestIn([['a', '*', '?'][i] as string]), recorder)
  for (let i = 1; i <= 100; i++) hub.publish(text('a', `${i}`), STRANGER)
  const offsets = Array.from({ length: 100 }, (_, i) => i + 1)
  for (const recorder of recorders) assert.deepEqual(recorder.messages().map((message) => message.offset), offsets)
})

test('a subscriber that has left gets nothing more', () => {
  const { hub } = createTestHub()
  const recorder = createRecorder()
  const leave = hub.join(interestIn(['a']), recorder)
  hub.publish(text('a', '1'), STRANGER)
  leave()
  const receipt = hub.publish(text('a', '2'), STRANGER) as Receipt
  assert.deepEqual(recorder.texts(), ['1'])
  assert.equal(receipt.subscribers, 0)
})

test('what a rule forbids is neither numbered nor delivered', () => {
  const { hub, log } = createTestHub({ rules: [{ topics: 'closed', publish: 'nobody' }] })
  const recorder = createRecorder()
  hub.join(interestIn(['closed']), recorder)
  assert.throws(() => hub.publish(text('closed', 'x'), STRANGER), coded('forbidden'))
  assert.equal(log.head, 0)
  assert.deepEqual(recorder.texts(), [])
  hub.publish(text('closed', 'from the process'), OURSELVES)
  assert.deepEqual(recorder.texts(), ['from the process'])
  assert.equal(hub.may('publish', topicFromText('closed'), STRANGER), false)
  assert.equal(hub.maySubscribe(interestIn(['*']), STRANGER), true)
})

test('after the stop nothing is taken any more', () => {
  const { hub, log } = createTestHub()
  hub.stop()
  assert.throws(() => hub.publish(text('a', 'x'), OURSELVES), coded('stopped'))
  assert.equal(log.head, 0)
})

test('with a log that takes its time, delivery follows the appends, in their order', async () => {
  const log = heldLog()
  const { hub } = createTestHub({ log: () => log })
  const recorder = createRecorder()
  hub.join(interestIn(['*']), recorder)
  const receipts = [1, 2, 3].map((i) => hub.publish(text('a', `${i}`), STRANGER) as Promise<Receipt>)
  assert.deepEqual(recorder.texts(), [])
  assert.equal(hub.cursor.offset, 0)
  log.settle()
  assert.equal((await receipts[0])?.message.offset, 1)
  assert.deepEqual(recorder.texts(), ['1'])
  assert.equal(hub.cursor.offset, 1, 'the cursor is the place of what was routed, not of what was appended')
  log.settle()
  log.settle()
  await Promise.all(receipts)
  assert.deepEqual(recorder.texts(), ['1', '2', '3'])
})

test('an append that is done at once does not overtake one that is on its way', async () => {
  const log = heldLog()
  const { hub } = createTestHub({ log: () => log })
  const recorder = createRecorder()
  hub.join(interestIn(['*']), recorder)
  const slow = hub.publish(text('kept', 'first'), STRANGER)
  log.direct = true
  const quick = hub.publish(text('unkept', 'second'), STRANGER)
  assert.ok(quick instanceof Promise)
  assert.deepEqual(recorder.texts(), [])
  log.settle()
  await Promise.all([slow, quick])
  assert.deepEqual(recorder.texts(), ['first', 'second'])
  await new Promise((resolve) => setImmediate(resolve))
  assert.ok(!(hub.publish(text('unkept', 'third'), STRANGER) instanceof Promise), 'once nothing is on its way, a publication is synchronous again')
  assert.deepEqual(recorder.texts(), ['first', 'second', 'third'])
})

test('a failed append fails alone: its publisher is told, the others come through in their order', async () => {
  const log = heldLog()
  const { hub } = createTestHub({ log: () => log })
  const recorder = createRecorder()
  hub.join(interestIn(['*']), recorder)
  const [first, failing, third] = ['1', '2', '3'].map((body) => hub.publish(text('a', body), STRANGER) as Promise<Receipt>)
  log.settle()
  log.fail()
  log.settle()
  await assert.rejects(failing as Promise<Receipt>, /the disk is full/)
  await Promise.all([first, third])
  assert.deepEqual(recorder.texts(), ['1', '3'])
})

test('an append that fails before the one ahead of it has settled is no rejection without a handler', async () => {
  const unhandled: unknown[] = []
  const listener = (reason: unknown): void => void unhandled.push(reason)
  process.on('unhandledRejection', listener)
  try {
    const settlers: { resolve(message: Message): void; reject(error: Error): void }[] = []
    const log = heldLog()
    log.append = () => new Promise((resolve, reject) => settlers.push({ resolve, reject }))
    const { hub } = createTestHub({ log: () => log })
    const first = hub.publish(text('a', '1'), STRANGER) as Promise<Receipt>
    const second = hub.publish(text('a', '2'), STRANGER) as Promise<Receipt>
    const failed = assert.rejects(second, /broken/)
    settlers[1]?.reject(new Error('broken'))
    await new Promise((resolve) => setImmediate(resolve))
    assert.deepEqual(unhandled, [])
    settlers[0]?.resolve({ ...text('a', '1'), offset: 1, epoch: 'held', time: 0 })
    assert.equal((await first).message.offset, 1)
    await failed
  } finally {
    process.off('unhandledRejection', listener)
  }
})

test('what is on its way at the stop still arrives', async () => {
  const log = heldLog()
  const { hub } = createTestHub({ log: () => log })
  const recorder = createRecorder()
  hub.join(interestIn(['*']), recorder)
  const receipt = hub.publish(text('a', 'x'), STRANGER)
  hub.stop()
  log.settle()
  await receipt
  assert.deepEqual(recorder.texts(), ['x'])
})

test('a hub that begins on a log with history begins at its head', () => {
  const log = heldLog()
  log.direct = true
  log.append(text('a', 'before'))
  const { hub } = createTestHub({ log: () => log })
  assert.deepEqual(hub.cursor, { epoch: 'held', offset: 1 })
})
