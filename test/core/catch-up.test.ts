import assert from 'node:assert/strict'
import { test } from 'node:test'
import { catchUp } from '../../src/core/catch-up.ts'
import { formatCursor } from '../../src/core/cursor.ts'
import { interestIn } from '../../src/core/interest.ts'
import { draft, type Message } from '../../src/core/message.ts'
import type { Latecomer, Log } from '../../src/core/ports.ts'
import { createRouter } from '../../src/core/router.ts'
import { topicFromText } from '../../src/core/topic.ts'
import { createRecorder, createSeededRandom, createTestHub, OURSELVES, type Recorder, type TestHub } from '../../src/testing/index.ts'

const KEEP = [{ topics: 'kept/*', keep: { messages: 1_000, ms: 86_400_000 } }]

/** A latecomer that writes down all that happens to it; from `live` on it is an ordinary subscriber. */
interface Diary extends Latecomer {
  readonly lines: string[]
  /** Nothing more is taken until `open` is called. */
  shut(): void
  open(): void
  breakDown(): void
  /** Called at every line. */
  onLine: (line: string) => void
}

function createDiary(world: TestHub, names: readonly string[]): Diary {
  let gate: { promise: Promise<void>; resolve(): void; reject(error: Error): void } | undefined
  const lines: string[] = []
  const write = (line: string): void => {
    lines.push(line)
    diary.onLine(line)
  }
  const diary: Diary = {
    lines,
    onLine: () => {},
    count: 1,
    deliver: (message) => write(message.body.toString()),
    gap: (from, to) => write(`gap ${from.offset} to ${formatCursor(to).split(':')[1]}`),
    room: () => gate?.promise,
    live() {
      write('live')
      world.hub.join(interestIn(names), diary)
    },
    shut: () => void (gate = Promise.withResolvers<void>()),
    open() {
      gate?.resolve()
      gate = undefined
    },
    breakDown: () => gate?.reject(new Error('the receiver is gone')),
  }
  return diary
}

function resume(world: TestHub, diary: Diary, names: readonly string[], after: number, epoch = world.log.epoch): () => void {
  return world.hub.resume(interestIn(names), { epoch, offset: after }, diary)
}

test('history comes first, then everything live, without a hole and without a repeat', async () => {
  const world = createTestHub({ rules: KEEP })
  for (let i = 1; i <= 5; i++) await world.publish('kept/a', `${i}`)
  const diary = createDiary(world, ['kept/a'])
  resume(world, diary, ['kept/a'], 2)
  await world.publish('kept/a', '6')
  await world.clock.settle()
  await world.publish('kept/a', '7')
  assert.deepEqual(diary.lines, ['3', '4', '5', '6', 'live', '7'])
  assert.deepEqual(world.router.match(topicFromText('kept/a')), [diary], 'whoever held messages for it has left')
})

test('what is published during a slow replay is held and comes behind it, once', async () => {
  const world = createTestHub({ rules: KEEP })
  for (let i = 1; i <= 3; i++) await world.publish('kept/a', `${i}`)
  const diary = createDiary(world, ['kept/*'])
  diary.shut()
  resume(world, diary, ['kept/*'], 0)
  for (let i = 4; i <= 6; i++) {
    await world.publish('kept/b', `${i}`)
    await world.clock.settle()
  }
  assert.deepEqual(diary.lines, [])
  diary.open()
  await world.clock.settle()
  assert.deepEqual(diary.lines, ['1', '2', '3', '4', '5', '6', 'live'])
  assert.equal(world.hub.patterns, 1, 'the holding subscriber has left, the live one is there')
})

test('what was published before it came and is on no list of the log does not come', async () => {
  const world = createTestHub({ rules: KEEP })
  await world.publish('kept/a', '1')
  await world.publish('kept/b', 'not wanted')
  const diary = createDiary(world, ['kept/a'])
  resume(world, diary, ['kept/a'], 0)
  await world.clock.settle()
  assert.deepEqual(diary.lines, ['1', 'live'])
})

test('a cursor of another epoch gets a gap up to here, and goes on live', async () => {
  const world = createTestHub({ rules: KEEP })
  for (let i = 1; i <= 4; i++) await world.publish('kept/a', `${i}`)
  const diary = createDiary(world, ['kept/a'])
  resume(world, diary, ['kept/a'], 2, 'another')
  await world.publish('kept/a', '5')
  await world.clock.settle()
  assert.deepEqual(diary.lines, ['gap 2 to 4', '5', 'live'])
})

test('what the log no longer has is a gap', async () => {
  const world = createTestHub({ rules: [{ topics: 'kept/*', keep: { messages: 2, ms: 86_400_000 } }] })
  for (let i = 1; i <= 5; i++) await world.publish('kept/a', `${i}`)
  const diary = createDiary(world, ['kept/a'])
  resume(world, diary, ['kept/a'], 1)
  await world.clock.settle()
  await world.publish('kept/a', '6')
  assert.deepEqual(diary.lines, ['gap 1 to 5', 'live', '6'])
})

test('more live messages than may be held are let go and read from the log again', async () => {
  const world = createTestHub({ rules: KEEP, maxHeldBytes: 500 })
  const expected: string[] = []
  for (let i = 1; i <= 3; i++) expected.push((await world.publish('kept/a', `${i}`)).body.toString())
  const diary = createDiary(world, ['kept/a'])
  diary.shut()
  resume(world, diary, ['kept/a'], 0)
  for (let i = 4; i <= 200; i++) expected.push((await world.publish('kept/a', `${i}`)).body.toString())
  diary.open()
  await world.clock.settle()
  assert.deepEqual(diary.lines, [...expected, 'live'])
})

test('what was let go and is no longer in the log either is a gap, from the last that came', async () => {
  const world = createTestHub({ rules: [{ topics: 'kept/*', keep: { messages: 3, ms: 86_400_000 } }], maxHeldBytes: 500 })
  for (let i = 1; i <= 3; i++) await world.publish('kept/a', `${i}`)
  const diary = createDiary(world, ['kept/a'])
  diary.shut()
  resume(world, diary, ['kept/a'], 0)
  for (let i = 4; i <= 50; i++) await world.publish('kept/a', `${i}`)
  diary.open()
  await world.clock.settle()
  await world.publish('kept/a', '51')
  assert.deepEqual(diary.lines, ['1', '2', '3', 'gap 3 to 50', 'live', '51'])
})

test('nothing comes any more once it is ended: from outside', async () => {
  const world = createTestHub({ rules: KEEP })
  for (let i = 1; i <= 3; i++) await world.publish('kept/a', `${i}`)
  const diary = createDiary(world, ['kept/a'])
  diary.shut()
  const end = resume(world, diary, ['kept/a'], 0)
  await world.clock.settle()
  end()
  end()
  diary.open()
  await world.publish('kept/a', '4')
  await world.clock.settle()
  assert.deepEqual(diary.lines, [])
  assert.equal(world.hub.topics, 0)
})

for (const [where, until] of [['a message of the history', '2'], ['the last of the history', '3'], ['a held message', '4'], ['the last held one', '5']] as const) {
  test(`nothing comes any more once it is ended: by ${where}`, async () => {
    const world = createTestHub({ rules: KEEP })
    for (let i = 1; i <= 3; i++) await world.publish('kept/a', `${i}`)
    const diary = createDiary(world, ['kept/a'])
    const end = resume(world, diary, ['kept/a'], 0)
    let asked = 0
    diary.onLine = (line) => line === until && (end(), (diary.room = () => void asked++))
    for (let i = 4; i <= 5; i++) await world.publish('kept/a', `${i}`)
    await world.clock.settle()
    await world.publish('kept/a', '6')
    assert.equal(diary.lines.at(-1), until)
    assert.equal(asked, 0, 'it was asked for room after the end')
    assert.equal(world.hub.topics, 0)
  })
}

test('nothing comes any more once it is ended: by the gap', async () => {
  const world = createTestHub()
  await world.publish('a', '1')
  const diary = createDiary(world, ['a'])
  let end = (): void => {}
  // The gap of a foreign cursor comes before `resume` has returned, a later one after it.
  diary.onLine = () => end()
  end = resume(world, diary, ['a'], 0, 'another')
  end()
  await world.clock.settle()
  assert.deepEqual(diary.lines, ['gap 0 to 1'])

  const kept = createTestHub({ rules: [{ topics: '*', keep: { messages: 1, ms: 1_000 } }], maxHeldBytes: 100 })
  await kept.publish('a', '1')
  const other = createDiary(kept, ['a'])
  other.shut()
  const endOther = resume(kept, other, ['a'], 0)
  other.onLine = (line) => line.startsWith('gap') && endOther()
  for (let i = 2; i <= 20; i++) await kept.publish('a', `${i}`)
  other.open()
  await kept.clock.settle()
  assert.deepEqual(other.lines, ['1', 'gap 1 to 20'])
  assert.equal(kept.hub.topics, 0)
})

test('a receiver that breaks down ends it, and leaves nothing behind', async () => {
  const world = createTestHub({ rules: KEEP })
  await world.publish('kept/a', '1')
  const diary = createDiary(world, ['kept/a'])
  diary.shut()
  resume(world, diary, ['kept/a'], 0)
  await world.clock.settle()
  diary.breakDown()
  await world.clock.settle()
  await world.publish('kept/a', '2')
  assert.deepEqual(diary.lines, [])
  assert.equal(world.hub.topics, 0)
})

interface SlowWorld {
  readonly lines: string[]
  /** Who came over to the live stream gets what comes here. */
  readonly live: Recorder
  /** The log shows its next message. */
  step(): Promise<void>
  /** The log breaks off instead. */
  breakOff(): Promise<void>
  /** The hub comes to this message, and asks the router. */
  route(offset: number): Promise<void>
}

/**
 * A catch-up over a log whose history of three comes one message at a time, when it is let, and which can be ahead of the
 * router. One of the three has been routed.
 */
function createSlowWorld(): SlowWorld {
  const { clock } = createTestHub()
  const messages = [1, 2, 3].map((offset): Message => ({ ...draft(topicFromText('a'), Buffer.from(`${offset}`)), offset, epoch: 'e', time: 0 }))
  const router = createRouter()
  const live = createRecorder()
  const lines: string[] = []
  let routed = 1
  let next = Promise.withResolvers<void>()
  const log: Log = {
    epoch: 'e',
    head: 3,
    append: () => { throw new Error('not here') },
    lose: () => { throw new Error('not here') },
    sweep() {},
    async *read(_, after) {
      for (const message of messages) {
        if (message.offset <= after.offset) continue
        await next.promise
        next = Promise.withResolvers()
        yield message
      }
    },
  }
  const late: Latecomer = {
    count: 1,
    deliver: (message) => void lines.push(message.body.toString()),
    gap: (from, to) => void lines.push(`gap ${from.offset} to ${to.offset}`),
    room: () => undefined,
    live() {
      lines.push('live')
      router.join(interestIn(['a']), live)
    },
  }
  catchUp({ interest: interestIn(['a']), after: { epoch: 'e', offset: 0 }, late, log, router, routed: () => routed, maxHeldBytes: 1_000 })
  return {
    lines,
    live,
    async step() {
      next.resolve()
      await clock.settle()
    },
    async breakOff() {
      next.reject(new Error('the disk is gone'))
      next = Promise.withResolvers()
      await clock.settle()
    },
    async route(offset) {
      routed = offset
      const message = messages[offset - 1] as Message
      for (const subscriber of router.match(message.topic)) subscriber.deliver(message)
      await clock.settle()
    },
  }
}

test('what the log shows before it was routed comes once, and live comes when the router has passed it', async () => {
  const { lines, live, step, route } = createSlowWorld()
  for (let i = 0; i < 3; i++) await step()
  assert.deepEqual(lines, ['1', '2', '3'])
  await route(2)
  assert.deepEqual(lines, ['1', '2', '3'])
  await route(3)
  assert.deepEqual(lines, ['1', '2', '3', 'live'])
  assert.deepEqual(live.texts(), [])
})

test('what is routed, and held, before the log shows it comes once as well', async () => {
  const { lines, live, step, route } = createSlowWorld()
  await step()
  await route(2)
  await route(3)
  assert.deepEqual(lines, ['1'])
  await step()
  await step()
  assert.deepEqual(lines, ['1', '2', '3', 'live'])
  assert.deepEqual(live.texts(), [])
})

test('a log that breaks off is a gap, and what is held behind it still comes', async () => {
  const { lines, step, breakOff, route } = createSlowWorld()
  await step()
  await route(2)
  await route(3)
  await breakOff()
  assert.deepEqual(lines, ['1', '2', '3', 'live'], 'nothing was missing that was not held')

  const other = createSlowWorld()
  await other.breakOff()
  await other.route(2)
  assert.deepEqual(other.lines, ['gap 0 to 1', 'live'])
  assert.deepEqual(other.live.texts(), ['2'])
})

test('whatever comes in between, each of many latecomers gets every message once and in order, or is told of a gap', async () => {
  for (let seed = 1; seed <= 40; seed++) {
    const random = createSeededRandom(seed)
    const world = createTestHub({ rules: [{ topics: 'kept/*', keep: { messages: 1 + random.below(30), ms: 60_000 } }], maxHeldBytes: 100 + random.below(2_000), seed })
    const latecomers: { diary: Diary; from: number }[] = []
    for (let step = 0; step < 200; step++) {
      const what = random.below(8)
      if (what < 4) world.hub.publish(draft(topicFromText(`kept/${random.pick(['a', 'b'])}`), Buffer.from(`${world.log.head + 1}`)), OURSELVES)
      else if (what === 4) world.clock.advance(random.below(3_000))
      else if (what === 5) {
        const diary = createDiary(world, ['kept/*'])
        const from = random.below(world.log.head + 1)
        if (random.below(2) === 0) diary.shut()
        resume(world, diary, ['kept/*'], from)
        latecomers.push({ diary, from })
      } else if (what === 6 && latecomers.length > 0) random.pick(latecomers).diary.open()
      else await world.clock.settle()
    }
    for (const { diary } of latecomers) diary.open()
    await world.clock.settle()
    for (const { diary, from } of latecomers) {
      let at = from
      for (const line of diary.lines) {
        if (line === 'live') continue
        const gap = /^gap (\d+) to (\d+)$/.exec(line)
        if (gap === null) assert.equal(Number(line), at + 1, `seed ${seed}: ${diary.lines.join(' ')}`)
        else assert.equal(Number(gap[1]), at, `seed ${seed}: ${diary.lines.join(' ')}`)
        at = gap === null ? Number(line) : Number(gap[2])
      }
      assert.equal(at, world.log.head, `seed ${seed}: it has not come to the end`)
      assert.ok(diary.lines.includes('live'), `seed ${seed}`)
    }
  }
})
