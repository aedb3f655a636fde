import assert from 'node:assert/strict'
import { test } from 'node:test'
import { compress } from '../../../src/protocol/lonelyps/zstd.ts'
import { createManualClock, createSeededRandom } from '../../../src/testing/index.ts'
import { createReservoir } from '../../../src/transports/lonelyps/socket/reservoir.ts'
import { createTraining, createTrainingBudget, type TrainingBudget, type TrainingOptions, type TrainingStep } from '../../../src/transports/lonelyps/socket/training.ts'
import { traffic } from '../../support/zstd-vectors.ts'

const HOUR = 3_600_000
const OPTIONS: TrainingOptions = { minSize: 32, maxSize: 16_384, lowWatermark: 102_400, highWatermark: 1_048_576, retrainInterval: HOUR }
const PLENTY = 67_108_864

function world(budget: TrainingBudget = createTrainingBudget(PLENTY), options: TrainingOptions = OPTIONS, clock = createManualClock()) {
  const steps: TrainingStep[] = []
  const training = createTraining({ clock, random: createSeededRandom(1), budget, options, tell: (step) => steps.push(step) })
  const next = traffic(11).json
  return {
    clock, steps, training, budget,
    /** Sees so many bytes of messages, at least, and lets what is built be built. */
    see(bytes: number): void {
      for (let size = 0; size < bytes; ) {
        const message = next()
        training.sample(message)
        size += message.length
      }
      clock.advance(1_000)
    },
    told: () => steps.map(({ type, id }) => `${type} ${id}`),
  }
}

test('the first dictionary comes when the low watermark is reached, and not before', () => {
  const { see, steps, training } = world()
  see(101_000)
  assert.equal(steps.length, 0)
  see(2_000)
  assert.equal(steps.length, 1)
  const [step] = steps
  assert.ok(step?.type === 'enable')
  assert.deepEqual({ ...step, dictionary: 0 }, { type: 'enable', id: 65_536, dictionary: 0, level: 3, minSize: 32, maxSize: 16_384 })
  assert.ok(step.dictionary.length <= 16_384 && step.dictionary.length > 1_000)
  const message = traffic(12).json()
  assert.ok(compress(message, step.level, step.dictionary).length < message.length / 2)
  training.end()
})

test('the second is larger and comes at the high watermark, counted from the beginning', () => {
  const { see, steps, told, training } = world()
  see(103_000)
  see(900_000)
  assert.equal(steps.length, 1)
  see(50_000)
  assert.deepEqual(told(), ['enable 65536', 'enable 65537'])
  const step = steps[1]
  assert.ok(step?.type === 'enable' && step.dictionary.length > 16_384 && step.dictionary.length <= 65_536)
  training.end()
})

test('from then on one is made after the interval, of fresh messages alone, and the oldest is dropped first', () => {
  const { see, told, training, clock, steps } = world()
  see(103_000)
  see(1_000_000)
  clock.advance(HOUR)
  see(90_000)
  assert.equal(steps.length, 2, 'there is too little that is fresh')
  const fresh = traffic(13)['log lines']
  for (let size = 0; size < 30_000; size += 150) training.sample(fresh())
  clock.advance(1_000)
  assert.deepEqual(told().slice(2), ['disable 65536', 'enable 65538'])
  see(300_000)
  clock.advance(HOUR - 2_000_000)
  see(1_000)
  assert.equal(steps.length, 4, 'the interval is not over')
  clock.advance(HOUR)
  see(1_000)
  assert.deepEqual(told().slice(4), ['disable 65537', 'enable 65539'])
  training.end()
})

test('what a later dictionary is made of came after the one before it', () => {
  const { see, training, clock, steps } = world()
  see(103_000)
  see(1_000_000)
  clock.advance(HOUR)
  const fresh = traffic(13)['log lines']
  for (let size = 0; size < 200_000; size += 150) training.sample(fresh())
  clock.advance(1_000)
  const last = steps.at(-1)
  assert.ok(last?.type === 'enable' && last.dictionary.length > 1_000 && !last.dictionary.includes('favorite_color'))
  training.end()
})

test('messages below the least size, and of the largest size, teach nothing', () => {
  const { training, clock, steps, budget } = world()
  const [small, large] = [Buffer.alloc(31, 'a small message'), Buffer.alloc(16_384, 'a large message')]
  for (let i = 0; i < 10_000; i++) training.sample(small)
  for (let i = 0; i < 20; i++) training.sample(large)
  clock.advance(1_000)
  assert.deepEqual([steps.length, budget.taken], [0, 0])
  const next = traffic(10).json
  const long = Buffer.concat(Array.from({ length: 100 }, next)).subarray(0, 16_383)
  for (let i = 0; i < 7; i++) training.sample(long)
  clock.advance(1_000)
  assert.equal(steps.length, 1)
  const before = budget.taken
  training.sample(Buffer.alloc(32))
  assert.ok(before > 0)
  training.end()
})

test('samples are copies: the buffer that a message lay in may be written to', () => {
  const { training, clock, steps } = world()
  const buffer = Buffer.alloc(200)
  for (let i = 0; i < 600; i++) {
    buffer.fill(`what stands in every message, and ${i * 7919}`)
    training.sample(buffer)
  }
  buffer.fill(0)
  clock.advance(1_000)
  const [step] = steps
  assert.ok(step?.type === 'enable' && step.dictionary.includes('what stands in every message'))
  training.end()
})

test('nothing is told from within sample, nor after the end', () => {
  const { training, clock, steps, budget } = world()
  const next = traffic(14).json
  for (let size = 0; size < 110_000; size += 190) training.sample(next())
  assert.equal(steps.length, 0)
  training.end()
  clock.advance(HOUR)
  training.sample(next())
  training.end()
  assert.deepEqual([steps.length, budget.taken, clock.timers], [0, 0, 0])
})

test('a build goes on in slices, between which other things happen', () => {
  const { training, clock, steps } = world()
  const next = traffic(14).json
  for (let size = 0; size < 110_000; size += 190) training.sample(next())
  let slices = 0
  while (steps.length === 0) {
    clock.advance(1)
    slices++
  }
  assert.ok(slices >= 5, `${slices} slices`)
  training.end()
})

test('messages that have nothing in common make no dictionary, and cost nothing afterwards', () => {
  const { training, clock, steps, budget } = world(createTrainingBudget(PLENTY), { ...OPTIONS, lowWatermark: 3_000, highWatermark: 6_000 })
  const random = createSeededRandom(3)
  for (let i = 0; i < 30; i++) {
    training.sample(Buffer.from(Array.from({ length: 250 }, () => random.below(256))))
    clock.advance(100)
  }
  assert.equal(steps.length, 0)
  assert.ok(budget.taken <= 16_384)
  training.end()
  assert.equal(budget.taken, 0)
})

test('memory stays bounded over 20 MB, with all that it took on the budget, and is given back', () => {
  const { see, training, budget, clock } = world(createTrainingBudget(PLENTY), { ...OPTIONS, highWatermark: 10_485_760 })
  let most = 0
  for (let i = 0; i < 100; i++) {
    see(200_000)
    clock.advance(HOUR / 8)
    most = Math.max(most, budget.taken)
  }
  assert.ok(most > 524_288, `${most}`)
  // The samples, two dictionaries, one that is retired, and the one that is made.
  assert.ok(most <= 524_288 + 4 * 65_536, `${most}`)
  training.end()
  training.sample(Buffer.alloc(100))
  assert.equal(budget.taken, 0)
})

test('a connection that gets no room does not train, and trains when there is some', () => {
  const budget = createTrainingBudget(200_000)
  const first = world(budget)
  const second = world(budget)
  first.see(103_000)
  assert.equal(first.steps.length, 1)
  const rest = 200_000 - budget.taken
  budget.take(rest)
  second.see(300_000)
  assert.equal(second.steps.length, 0)
  const held = budget.taken
  first.training.end()
  assert.ok(budget.taken < held)
  budget.giveBack(rest)
  second.see(103_000)
  assert.equal(second.steps.length, 1)
  second.training.end()
})

test('where there is room for samples but not for the dictionary, the samples are let go of', () => {
  const budget = createTrainingBudget(131_072 + 16_383)
  const { see, steps, training } = world(budget)
  see(104_000)
  assert.equal(steps.length, 0)
  assert.ok(budget.taken <= 16_384)
  training.end()
  assert.equal(budget.taken, 0)
})

test('one connection builds at a time, and one that ends meanwhile does not hold up the others', () => {
  const budget = createTrainingBudget(PLENTY)
  const clock = createManualClock()
  const worlds = [1, 2, 3].map(() => world(budget, OPTIONS, clock))
  const next = traffic(15).json
  for (let size = 0; size < 110_000; size += 190) for (const { training } of worlds) training.sample(next())
  assert.equal(clock.timers, 1)
  clock.advance(2)
  worlds[0]?.training.end()
  assert.equal(clock.timers, 1)
  clock.advance(1_000)
  assert.deepEqual(worlds.map(({ steps }) => steps.length), [0, 1, 1])
  for (const { training } of worlds) training.end()
  assert.deepEqual([budget.taken, clock.timers], [0, 0])
})

test('every message has the same chance to be kept, however early it came', () => {
  const thirds = [0, 0, 0]
  for (let seed = 0; seed < 20; seed++) {
    const reservoir = createReservoir(32_768, createSeededRandom(seed), createTrainingBudget(PLENTY))
    for (let i = 0; i < 6_000; i++) reservoir.offer(Buffer.alloc(100, Math.floor(i / 2_000)))
    for (const sample of reservoir.samples()) thirds[sample[0] as number]!++
  }
  const all = thirds[0]! + thirds[1]! + thirds[2]!
  for (const third of thirds) assert.ok(Math.abs(third / all - 1 / 3) < 0.04, thirds.join(' '))
})

test('a reservoir is whole after thinning, takes what is larger than half of it, and ends with chance that never varies', () => {
  for (const chance of [0, 0.4, 0.999]) {
    const budget = createTrainingBudget(PLENTY)
    const reservoir = createReservoir(40_000, { next: () => chance }, budget)
    for (let i = 0; i < 2_000; i++) reservoir.offer(Buffer.alloc(i % 50 === 0 ? 30_000 : 33 + (i % 90), i % 251))
    const samples = reservoir.samples()
    if (chance === 0) assert.ok(samples.length > 0)
    for (const sample of samples) assert.ok(sample.every((byte) => byte === sample[0]))
    assert.equal(budget.taken, 40_000)
    reservoir.offer(Buffer.alloc(50_000))
    reservoir.clear()
    assert.deepEqual([reservoir.samples().length, reservoir.seen, budget.taken], [0, 0, 0])
  }
})
