import assert from 'node:assert/strict'
import { test } from 'node:test'
import { interestIn, wants, type Interest } from '../../src/core/interest.ts'
import type { Latecomer } from '../../src/core/ports.ts'
import { topicFromText } from '../../src/core/topic.ts'
import { createSeededRandom, createTestHub, type TestHub } from '../../src/testing/index.ts'

const KEEP = [{ topics: 'kept/*', keep: { messages: 1_000, ms: 86_400_000 } }]
const NAMES = ['kept/a', 'kept/b*', 'loose/a', 'loose/b']
const TOPICS = ['kept/a', 'kept/b', 'loose/a', 'loose/b']

interface Diary extends Latecomer {
  readonly lines: string[]
  shut(): void
  open(): void
}

/** A latecomer that can tell which topics a gap is of. */
function createDiary(world: TestHub, names: readonly string[], parts: { takesParts?: true } = { takesParts: true }): Diary {
  const lines: string[] = []
  let gate: PromiseWithResolvers<void> | undefined
  const inWords = ({ topics, patterns }: Interest): string => [...topics, ...patterns.map(({ source }) => source)].join(' ')
  const diary: Diary = {
    lines,
    ...parts,
    count: 1,
    deliver: ({ topic, body }) => void lines.push(`${topic} ${body.toString()}`),
    gap: (from, to, lost) => void lines.push(`gap ${from.offset} to ${to.offset}${lost === undefined ? '' : ` of ${inWords(lost)}`}`),
    room: () => gate?.promise,
    live() {
      lines.push('live')
      world.hub.join(interestIn(names), diary)
    },
    shut: () => void (gate ??= Promise.withResolvers()),
    open() {
      gate?.resolve()
      gate = undefined
    },
  }
  return diary
}

test('of an interest that is kept in part, this part comes in full, and the gap says which the rest is', async () => {
  const world = createTestHub({ rules: KEEP })
  for (let i = 1; i <= 3; i++) for (const topic of ['kept/a', 'loose/a']) await world.publish(topic, String(i))
  const diary = createDiary(world, NAMES)
  const other = createDiary(world, NAMES, {})
  for (const one of [diary, other]) world.hub.resume(interestIn(NAMES), { epoch: world.log.epoch, offset: 2 }, one)
  await world.clock.settle()
  await world.publish('loose/a', '4')
  assert.deepEqual(diary.lines, ['gap 2 to 2 of loose/a loose/b', 'kept/a 2', 'kept/a 3', 'live', 'loose/a 4'])
  assert.deepEqual(other.lines, ['gap 2 to 6', 'live', 'loose/a 4'], 'who cannot tell has lost everything')
})

test('where nothing of it is there the gap is one of everything', async () => {
  const world = createTestHub({ rules: KEEP })
  for (const topic of TOPICS) await world.publish(topic, '1')
  const diary = createDiary(world, ['loose/a', 'loose/b'])
  world.hub.resume(interestIn(['loose/a', 'loose/b']), { epoch: world.log.epoch, offset: 0 }, diary)
  const stranger = createDiary(world, NAMES)
  world.hub.resume(interestIn(NAMES), { epoch: 'another', offset: 0 }, stranger)
  await world.clock.settle()
  assert.deepEqual([diary.lines, stranger.lines], [['gap 0 to 4', 'live'], ['gap 0 to 4', 'live']])
})

test('however slowly it is taken, and however much comes meanwhile: all that is kept comes once and in order, and what else is missing has been announced', async () => {
  for (let seed = 1; seed <= 200; seed++) {
    const random = createSeededRandom(seed)
    const world = createTestHub({ rules: KEEP, maxHeldBytes: 400 })
    const last = new Map(TOPICS.map((topic) => [topic, 0]))
    const publish = async (): Promise<void> => {
      const topic = random.pick(TOPICS)
      last.set(topic, (last.get(topic) ?? 0) + 1)
      await world.publish(topic, String(last.get(topic)))
    }
    for (let i = 0; i < 10; i++) await publish()
    const diary = createDiary(world, NAMES)
    world.hub.resume(interestIn(NAMES), { epoch: world.log.epoch, offset: 0 }, diary)
    for (let i = 0; i < 60; i++) {
      await publish()
      if (random.next() < 0.3) diary.shut()
      else if (random.next() < 0.5) diary.open()
      if (random.next() < 0.5) await world.clock.settle()
    }
    diary.open()
    await world.clock.settle()
    for (const topic of TOPICS) await world.publish(topic, String((last.get(topic) ?? 0) + 1))
    for (const topic of TOPICS) {
      let expected = 1
      let told = false
      for (const line of diary.lines) {
        const [, of] = /^gap \d+ to \d+ of (.*)$/.exec(line) ?? []
        if (of !== undefined && wants(interestIn(of.split(' ')), topicFromText(topic))) told = true
        if (!line.startsWith(`${topic} `)) continue
        const n = Number(line.slice(topic.length))
        assert.ok(n === expected || (n > expected && told && !topic.startsWith('kept/')), `seed ${seed}: ${topic} ${n} instead of ${expected}\n${diary.lines.join('\n')}`)
        expected = n + 1
        told = false
      }
      assert.equal(expected, (last.get(topic) ?? 0) + 2, `seed ${seed}: the last of ${topic}`)
    }
  }
})
