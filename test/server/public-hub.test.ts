import assert from 'node:assert/strict'
import { test } from 'node:test'
import { WaystationError, type ErrorCode } from '../../src/core/errors.ts'
import type { Meter } from '../../src/core/ports.ts'
import { createPublicHub, type PublicHub, type ReceivedMessage, type SubscribeOptions } from '../../src/server/public-hub.ts'
import { createTestHub, type TestHub } from '../../src/testing/index.ts'

const KEEP = [{ topics: '*', keep: { messages: 10_000, ms: 86_400_000 } }]

interface World extends TestHub {
  readonly program: PublicHub
  readonly published: string[]
  stop(): void
}

function createWorld(options: Parameters<typeof createTestHub>[0] = {}): World {
  const world = createTestHub(options)
  const published: string[] = []
  const meter: Meter = { published: (transport, bytes) => void published.push(`${transport} ${bytes}`), delivered() {}, slow() {}, gap() {}, failed() {} }
  const { hub: program, stop } = createPublicHub(world.hub, meter)
  return { ...world, program, published, stop }
}

type Reading = ReturnType<PublicHub['subscribe']>

async function next(reading: Reading): Promise<string> {
  const { done, value } = await reading.next()
  return done === true ? '(end)' : (value as ReceivedMessage).text()
}

function coded(code: ErrorCode) {
  return (error: unknown): boolean => error instanceof WaystationError && error.code === code
}

test('a publication is told where it stands and how many it was handed to, and is counted', async () => {
  const { program, published, log } = createWorld()
  program.subscribe('a')
  program.subscribe(['*', 'b'])
  assert.deepEqual(await program.publish('a', 'héllo'), { epoch: log.epoch, offset: 1, subscribers: 2 })
  assert.deepEqual(await program.publish('b', new Uint8Array([1, 2, 3])), { epoch: log.epoch, offset: 2, subscribers: 1 })
  assert.equal(program.cursor, `${log.epoch}:2`)
  assert.deepEqual(published, ['embedded 6', 'embedded 3'])
})

test('a message comes with all that belongs to it', async () => {
  const { program, clock, log } = createWorld()
  const reading = program.subscribe('a')
  clock.advance(1_500)
  await program.publish('a', 'text')
  const { value } = await reading.next() as { value: ReceivedMessage }
  assert.deepEqual([value.topic, value.text(), value.contentType, value.cursor, value.time.getTime()], ['a', 'text', 'text/plain; charset=utf-8', `${log.epoch}:1`, clock.now()])
  assert.deepEqual([value.topicBytes, value.body], [Buffer.from('a'), Buffer.from('text')])
})

test('bytes are an octet stream unless they are said to be something else, and no text when they are none', async () => {
  const { program } = createWorld()
  const reading = program.subscribe('a')
  await program.publish('a', new Uint8Array([0xff]))
  await program.publish('a', Buffer.from('{}'), 'application/json')
  const [raw, json] = [(await reading.next()).value as ReceivedMessage, (await reading.next()).value as ReceivedMessage]
  assert.equal(raw.contentType, 'application/octet-stream')
  assert.throws(() => raw.text(), TypeError)
  assert.deepEqual([json.contentType, json.text()], ['application/json', '{}'])
})

test('a topic of bytes that are no text comes as the same bytes', async () => {
  const { program } = createWorld({ rules: KEEP })
  const bytes = new Uint8Array([0x61, 0xff])
  const { offset } = await program.publish(bytes, 'x')
  assert.equal(offset, 1)
  const reading = program.subscribe(['*', 'a'])
  await program.publish(bytes, 'y')
  await program.publish('a', 'z')
  assert.equal(await next(reading), 'z', 'no glob and no text names such a topic')
})

test('text that is no text is refused, as a topic and as a glob', async () => {
  const { program, log } = createWorld()
  await assert.rejects(program.publish('a\ud800', 'x'), RangeError)
  assert.throws(() => program.subscribe('a\ud800'), coded('bad_pattern'))
  assert.equal(log.head, 0)
})

test('a cursor that is none is refused at once', () => {
  const { program, hub } = createWorld()
  for (const since of ['', 'x', 'a:-1', 'A:1']) assert.throws(() => program.subscribe('a', { since }), coded('bad_cursor'))
  assert.throws(() => program.subscribe('a', { maxWaiting: 0 }), RangeError)
  assert.throws(() => program.subscribe('a', { maxWaiting: Number.NaN }), RangeError)
  assert.equal(hub.topics, 0, 'a refused subscription leaves nothing behind')
})

test('the rules for clients do not bind the program', async () => {
  const { program } = createWorld({ rules: [{ topics: '*', publish: 'nobody', subscribe: 'nobody' }] })
  const reading = program.subscribe('a')
  await program.publish('a', 'x')
  assert.equal(await next(reading), 'x')
})

test('a slow reader of a long history is waited for, however short its queue: everything comes, then live', async () => {
  for (const maxWaiting of [1, 2, 3, 10, 1_000]) {
    const { program, clock, log } = createWorld({ rules: KEEP })
    for (let i = 1; i <= 100; i++) await program.publish('a', `${i}`)
    const reading = program.subscribe('a', { since: `${log.epoch}:0`, maxWaiting })
    await clock.settle()
    const got: string[] = []
    while (got.length < 100) {
      got.push(await next(reading))
      if (got.length % 10 === 0) await clock.settle()
    }
    assert.deepEqual(got, Array.from({ length: 100 }, (_, i) => `${i + 1}`), `${maxWaiting} may wait`)
    const waiting = next(reading)
    await clock.settle()
    await program.publish('a', 'live')
    assert.equal(await waiting, 'live', `${maxWaiting} may wait`)
  }
})

test('a reader of live messages that falls too far behind gets what waited, then the error, then the end', async () => {
  const { program, hub } = createWorld()
  const reading = program.subscribe('a', { maxWaiting: 3 })
  for (let i = 1; i <= 5; i++) await program.publish('a', `${i}`)
  assert.equal(hub.topics, 0, 'it has been let go')
  assert.deepEqual([await next(reading), await next(reading), await next(reading)], ['1', '2', '3'])
  await assert.rejects(reading.next(), coded('slow_consumer'))
  assert.equal(await next(reading), '(end)')
})

test('a gap is an error without a listener, and with one a call, in its place', async () => {
  const { program, clock, log } = createWorld({ rules: [{ topics: '*', keep: { messages: 2, ms: 1_000_000 } }] })
  for (let i = 1; i <= 5; i++) await program.publish('a', `${i}`)
  const since = `${log.epoch}:1`
  const failing = program.subscribe('a', { since })
  await clock.settle()
  await assert.rejects(failing.next(), coded('gap'))
  const gaps: string[][] = []
  const told = program.subscribe('a', { since, onGap: (from, to) => void gaps.push([from, to]) })
  await clock.settle()
  assert.deepEqual(gaps, [[since, `${log.epoch}:5`]])
  await program.publish('a', '6')
  assert.equal(await next(told), '6')
})

test('a subscription that resumes where it stopped misses nothing and repeats nothing', async () => {
  const { program, clock, log } = createWorld({ rules: KEEP })
  let since = `${log.epoch}:0`
  const got: string[] = []
  for (let round = 0; round < 10; round++) {
    for (let i = 0; i < 7; i++) await program.publish(i % 2 === 0 ? 'a' : 'b', `${round}.${i}`)
    const reading = program.subscribe(['a', 'b*'], { since })
    await clock.settle()
    for (let i = 0; i < 5 + (round % 3); i++) {
      const { value } = await reading.next() as { value: ReceivedMessage }
      got.push(value.text())
      since = value.cursor
    }
    await reading.return?.()
  }
  const expected = Array.from({ length: 70 }, (_, i) => `${Math.floor(i / 7)}.${i % 7}`)
  assert.deepEqual(got, expected.slice(0, got.length))
  assert.ok(got.length >= 50)
})

const endings: [how: string, end: (reading: Reading, abort: AbortController, world: World) => unknown][] = [
  ['by its signal', (_, abort) => abort.abort()],
  ['by return', (reading) => reading.return?.()],
  ['by its block', (reading) => reading[Symbol.asyncDispose]()],
  ['by the stop of the hub', (_reading, _abort, { stop }) => stop()],
]

for (const [how, end] of endings) {
  for (const since of [false, true]) {
    test(`ended ${how}, ${since ? 'while it catches up' : 'while it waits'}: the step that waits ends, and nothing stays in the hub`, async () => {
      const world = createWorld({ rules: KEEP })
      const { program, clock, hub, log } = world
      await program.publish('a', 'before')
      const abort = new AbortController()
      const options: SubscribeOptions = { signal: abort.signal, ...(since ? { since: `${log.epoch}:1` } : {}) }
      const reading = program.subscribe(['a', 'b*'], options)
      const waiting = reading.next()
      await end(reading, abort, world)
      await clock.settle()
      assert.deepEqual(await waiting, { done: true, value: undefined })
      assert.deepEqual([hub.topics, hub.patterns], [0, 0])
      if (how !== 'by the stop of the hub') await program.publish('a', 'after')
      assert.equal(await next(reading), '(end)')
    })
  }
}

test('with a signal that is aborted already, it never begins', async () => {
  const { program, hub } = createWorld()
  const reading = program.subscribe('a', { signal: AbortSignal.abort() })
  await program.publish('a', 'x')
  assert.equal(await next(reading), '(end)')
  assert.equal(hub.topics, 0)
})

test('leaving the loop ends the subscription; a second loop over it is over at once', async () => {
  const { program, hub } = createWorld()
  const reading = program.subscribe('a')
  for (let i = 0; i < 5; i++) await program.publish('a', `${i}`)
  for await (const message of reading) if (message.text() === '2') break
  assert.equal(hub.topics, 0)
  for await (const message of reading) assert.fail(`${message.text()} came`)
})

test('after the stop no subscription begins', () => {
  const { program, stop } = createWorld()
  stop()
  assert.throws(() => program.subscribe('a'), coded('stopped'))
})

test('a subscription does not keep the messages that its reader has taken', async () => {
  const { program } = createWorld()
  const reading = program.subscribe('a', { maxWaiting: 5 })
  for (let i = 0; i < 10_000; i++) {
    await program.publish('a', `${i}`)
    assert.equal(await next(reading), `${i}`)
  }
})
