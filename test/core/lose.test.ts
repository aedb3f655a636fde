import assert from 'node:assert/strict'
import { test } from 'node:test'
import { formatCursor } from '../../src/core/cursor.ts'
import { interestIn } from '../../src/core/interest.ts'
import type { Draft, Lost, LostInterest, Message } from '../../src/core/message.ts'
import type { Latecomer, Log } from '../../src/core/ports.ts'
import { createRecorder, createTestHub, type Recorder, type TestHub } from '../../src/testing/index.ts'

const KEEP = [{ topics: 'kept/*', keep: { messages: 1_000, ms: 86_400_000 } }]

/** What came, in order: texts, and gaps with both ends. */
function told({ arrivals }: Recorder): string[] {
  return arrivals.map((one) => ('message' in one ? one.message.body.toString() : `${one.lost === undefined ? 'gap' : 'lost'} ${one.gap[0].offset} to ${one.gap[1].offset}`))
}

/** Someone who comes back, writes down what comes, and then stays. */
function comeBack(world: TestHub, names: readonly string[], after: number, more: Partial<Latecomer> = {}): Recorder {
  const recorder = createRecorder()
  const late: Latecomer = { ...recorder, room: () => undefined, live: () => void world.hub.join(interestIn(names), recorder), ...more }
  world.hub.resume(interestIn(names), { epoch: world.log.epoch, offset: after }, late)
  return recorder
}

test('a loss takes a place in the order, and whoever may want something of it is told, once', async () => {
  const world = createTestHub()
  const { hub } = world
  const everyone = { 'a b': true, 'a*': true, '*': true, 'g/1': true, 'g/?': true, 'a/b': false, 'b': false, 'h/*': false }
  const recorders = Object.keys(everyone).map((names) => {
    const recorder = createRecorder()
    hub.join(interestIn(names.split(' ')), recorder)
    return recorder
  })
  const all = createRecorder()
  const leave = hub.joinAll(all)
  await world.publish('a', '1')
  hub.lose(interestIn(['a', 'aa', 'g/*']))
  assert.deepEqual(hub.cursor.offset, 2)
  await world.publish('b', '3')
  for (const [i, [names, isTold]] of Object.entries(everyone).entries()) {
    assert.deepEqual(told(recorders[i] as Recorder).filter((line) => line.startsWith('lost')), isTold ? ['lost 1 to 2'] : [], names)
  }
  assert.deepEqual(told(all), ['1', 'lost 1 to 2', '3'])
  leave()
  hub.lose(interestIn(['a']))
  assert.equal(all.arrivals.length, 3)
})

test('whoever is told of a loss is told what is lost', () => {
  const { hub } = createTestHub()
  const recorder = createRecorder()
  hub.join(interestIn(['*']), recorder)
  const lost: LostInterest = { ...interestIn(['a', 'b/*']), via: ['another'] }
  hub.lose(lost)
  assert.deepEqual(recorder.arrivals, [{ gap: [{ epoch: hub.cursor.epoch, offset: 0 }, hub.cursor], lost }])
})

test('after the stop nothing is lost any more', () => {
  const { hub, log } = createTestHub()
  hub.stop()
  hub.lose(interestIn(['a']))
  assert.equal(log.head, 0)
})

test('a subscriber that leaves when it is told keeps nobody from being told', () => {
  const { hub } = createTestHub()
  const leave: (() => void)[] = []
  const recorders = [1, 2, 3].map(() => {
    const recorder = createRecorder()
    leave.push(hub.join(interestIn(['a']), { ...recorder, gap(from, to) { recorder.gap(from, to); for (const one of leave) one() } }))
    return recorder
  })
  hub.lose(interestIn(['a']))
  assert.deepEqual(recorders.map((one) => one.texts()), [['(gap)'], ['(gap)'], ['(gap)']])
})

test('with a log that takes its time, a loss has its turn among the messages', async () => {
  const world = createTestHub({ log: slowLog })
  const recorder = createRecorder()
  world.hub.join(interestIn(['*']), recorder)
  const first = world.publish('a', '1')
  world.hub.lose(interestIn(['a']))
  const last = world.publish('a', '3')
  assert.deepEqual(told(recorder), [])
  await Promise.all([first, last])
  assert.deepEqual(told(recorder), ['1', 'lost 1 to 2', '3'])
})

test('whoever resumes across a loss is told in its place; whoever is behind it, or wants something else, is not', async () => {
  const world = createTestHub({ rules: KEEP })
  await world.publish('kept/a', '1')
  world.hub.lose(interestIn(['kept/a']))
  await world.publish('kept/a', '3')
  world.hub.lose(interestIn(['kept/a', 'kept/b']))
  const cases = [
    [['kept/a'], 0, ['1', 'lost 1 to 2', '3', 'lost 3 to 4']],
    [['kept/*'], 1, ['lost 1 to 2', '3', 'lost 3 to 4']],
    [['kept/a'], 2, ['3', 'lost 3 to 4']],
    [['kept/b'], 0, ['lost 3 to 4']],
    [['kept/a'], 4, []],
    [['kept/c'], 0, []],
  ] as const
  const recorders = cases.map(([names, after]) => comeBack(world, names, after))
  await world.clock.settle()
  await world.publish('kept/c', '5')
  for (const [i, [names, after, expected]] of cases.entries()) {
    assert.deepEqual(told(recorders[i] as Recorder).filter((line) => line !== '5'), expected, `${names} after ${after}`)
  }
})

test('a topic that no rule keeps is told of a loss as well, and its own messages are lost as ever', async () => {
  const world = createTestHub({ rules: KEEP })
  world.hub.lose(interestIn(['unkept']))
  const before = comeBack(world, ['unkept'], 0)
  await world.clock.settle()
  assert.deepEqual(told(before), ['lost 0 to 1'])
  await world.publish('unkept', '2')
  const [across, behind] = [comeBack(world, ['unkept'], 0), comeBack(world, ['unkept'], 2)]
  await world.clock.settle()
  assert.deepEqual([told(across), told(behind)], [['gap 0 to 2'], []])
})

test('a loss during a replay is held in its place, and told once', async () => {
  const world = createTestHub({ rules: KEEP })
  await world.publish('kept/a', '1')
  const gate = Promise.withResolvers<void>()
  let shut = true
  const recorder = comeBack(world, ['kept/*'], 0, { room: () => (shut ? gate.promise : undefined) })
  await world.clock.settle()
  await world.publish('kept/a', '2')
  world.hub.lose(interestIn(['kept/b']))
  world.hub.lose(interestIn(['other']))
  await world.publish('kept/a', '5')
  assert.deepEqual(told(recorder), [])
  shut = false
  gate.resolve()
  await world.clock.settle()
  world.hub.lose(interestIn(['kept/a']))
  assert.deepEqual(told(recorder), ['1', '2', 'lost 2 to 3', '5', 'lost 5 to 6'])
})

test('a loss that could not be held is read from the log', async () => {
  const world = createTestHub({ rules: KEEP, maxHeldBytes: 200 })
  await world.publish('kept/a', '1')
  const gate = Promise.withResolvers<void>()
  let shut = true
  const recorder = comeBack(world, ['kept/a'], 0, { room: () => (shut ? gate.promise : undefined) })
  await world.clock.settle()
  for (let i = 0; i < 5; i++) world.hub.lose(interestIn(['kept/a']))
  await world.publish('kept/a', '7')
  shut = false
  gate.resolve()
  await world.clock.settle()
  assert.deepEqual(told(recorder), ['1', ...[1, 2, 3, 4, 5].map((at) => `lost ${at} to ${at + 1}`), '7'])
})

test('a receiver that ends when it is told gets nothing behind it', async () => {
  const world = createTestHub({ rules: KEEP })
  world.hub.lose(interestIn(['kept/a']))
  await world.publish('kept/a', '2')
  const lines: string[] = []
  let end = (): void => {}
  end = world.hub.resume(interestIn(['kept/a']), { epoch: world.log.epoch, offset: 0 }, {
    count: 1,
    room: () => undefined,
    deliver: ({ offset }) => void lines.push(`${offset}`),
    gap(_, to) {
      lines.push(`gap to ${formatCursor(to).split(':')[1]}`)
      end()
    },
    live: () => void lines.push('live'),
  })
  await world.clock.settle()
  assert.deepEqual(lines, ['gap to 1'])
})

/** Each append, and each loss, settles a turn later. */
function slowLog(): Log {
  let head = 0
  const later = <T>(make: () => T): Promise<T> => new Promise((resolve) => setImmediate(() => resolve(make())))
  return {
    epoch: 'slow',
    get head() { return head },
    append: (one: Draft) => later((): Message => ({ ...one, offset: ++head, epoch: 'slow', time: 0 })),
    lose: (lost) => later((): Lost => ({ lost, offset: ++head, epoch: 'slow', time: 0 })),
    read: () => 'lost',
    sweep() {},
  }
}

test('a loss of ten thousand names takes a moment, whoever is there', () => {
  const { hub } = createTestHub()
  const names = Array.from({ length: 10_000 }, (_, i) => `n/${i}`)
  const recorders = names.map((name) => {
    const recorder = createRecorder()
    hub.join(interestIn([name]), recorder)
    return recorder
  })
  for (let i = 0; i < 500; i++) hub.join(interestIn([`m/${i}*`]), createRecorder())
  const before = performance.now()
  hub.lose(interestIn(names))
  hub.lose(interestIn(names.map((name) => `${name}*`)))
  assert.ok(performance.now() - before < 2_000)
  assert.equal(recorders.filter(({ arrivals }) => arrivals.length === 2).length, 10_000)
})
