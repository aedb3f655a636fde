import assert from 'node:assert/strict'
import { test } from 'node:test'
import { topicFromText, type Topic } from '../../../src/core/topic.ts'
import { createManualClock } from '../../../src/testing/manual-clock.ts'
import { createSeededRandom } from '../../../src/testing/seeded-random.ts'
import { createTopics, type TopicNews } from '../../../src/transports/wspubsub/topics.ts'

const GRACE = 10_000
const T = topicFromText('acme/prices')

function world() {
  const clock = createManualClock()
  const news: [Topic, TopicNews][] = []
  const topics = createTopics({ clock, graceTime: GRACE, isStanding: (topic) => topic.startsWith('always/'), told: (topic, what) => news.push([topic, what]) })
  return { clock, topics, news: () => news.splice(0).map(([, what]) => what) }
}

test('a topic is there from its first publisher on, and has one at a time', () => {
  const { topics, news } = world()
  assert.equal(topics.has(T), false)
  assert.equal(topics.join(T, () => {}), undefined)
  const leave = topics.claim(T)
  assert.ok(leave)
  assert.equal(topics.claim(T), undefined)
  assert.deepEqual([topics.has(T), topics.hasPublisher(T), topics.publishers, topics.size], [true, true, 1, 1])
  leave()
  leave()
  assert.deepEqual([topics.has(T), topics.hasPublisher(T), topics.publishers, topics.size], [true, false, 0, 1])
  assert.deepEqual(news(), ['opened', 'orphaned'])
})

test('without a publisher it stays for the grace time, may be joined in it, and then ends for everybody', () => {
  const { clock, topics, news } = world()
  const ended: string[] = []
  const leave = topics.claim(T)
  topics.join(T, () => ended.push('early'))
  const left = topics.join(T, () => ended.push('left'))
  leave?.()
  clock.advance(GRACE - 1)
  topics.join(T, () => ended.push('late'))
  left?.()
  assert.deepEqual(ended, [])
  clock.advance(1)
  assert.deepEqual(ended, ['early', 'late'])
  assert.deepEqual([topics.has(T), topics.size, clock.timers], [false, 0, 0])
  assert.deepEqual(news(), ['opened', 'orphaned', 'ended'])
})

test('it is taken over any number of times, and every successor is watched alike', () => {
  const { clock, topics } = world()
  let ended = 0
  let leave = topics.claim(T)
  topics.join(T, () => ended++)
  for (let i = 0; i < 20; i++) {
    leave?.()
    clock.advance(GRACE - 1)
    leave = topics.claim(T)
    assert.ok(leave)
    clock.advance(5 * GRACE)
    assert.equal(ended, 0)
  }
  leave?.()
  clock.advance(GRACE)
  assert.equal(ended, 1)
})

test('who takes back a subscription after its topic has ended does nothing to the next of the same name', () => {
  const { clock, topics } = world()
  topics.claim('always/x' as Topic)?.()
  const leave = topics.claim(T)
  const left = topics.join(T, () => {})
  leave?.()
  clock.advance(GRACE)
  topics.claim(T)
  left?.()
  leave?.()
  assert.equal(topics.hasPublisher(T), true)
})

test('a standing topic is there without a publisher, never ends, and is not remembered when nobody uses it', () => {
  const { clock, topics } = world()
  const topic = topicFromText('always/news')
  let ended = 0
  assert.equal(topics.has(topic), true)
  const left = topics.join(topic, () => ended++)
  const leave = topics.claim(topic)
  assert.equal(topics.claim(topic), undefined)
  leave?.()
  clock.advance(10 * GRACE)
  assert.deepEqual([ended, topics.size, topics.has(topic)], [0, 1, true])
  left?.()
  left?.()
  assert.deepEqual([topics.size, clock.timers], [0, 0])
})

test('after a stop no topic ends', () => {
  const { clock, topics } = world()
  let ended = 0
  const [orphaned, leave] = [topics.claim(topicFromText('a/b')), topics.claim(T)]
  topics.join(T, () => ended++)
  orphaned?.()
  topics.stop()
  assert.equal(clock.timers, 0)
  leave?.()
  clock.advance(10 * GRACE)
  assert.deepEqual([ended, clock.timers], [0, 0])
})

interface Modelled {
  publisher: object | undefined
  endsAt: number
  /** Which came first, where two end together. */
  armed: number
  readonly subscribers: Set<number>
}

test('whatever happens in whatever order, it is as a simple model says (4,000 sequences from a seed)', () => {
  const names = ['a/1', 'a/2', 'always/1'].map(topicFromText)
  for (let seed = 1; seed <= 4_000; seed++) {
    const random = createSeededRandom(seed)
    const { clock, topics } = world()
    const model = new Map<Topic, Modelled>()
    const leaves: { topic: Topic; token: object; leave: () => void }[] = []
    const joins: { id: number; topic: Topic; leave: () => void }[] = []
    const [ended, expected] = [[] as number[], [] as number[]]
    let [now, ids, armed] = [0, 0, 0]

    const isStanding = (topic: Topic): boolean => topic.startsWith('always/')
    const there = (topic: Topic): boolean => isStanding(topic) || model.has(topic)
    const entry = (topic: Topic): Modelled => {
      const known = model.get(topic) ?? { publisher: undefined, endsAt: Infinity, armed: 0, subscribers: new Set<number>() }
      model.set(topic, known)
      return known
    }
    const steps: (() => void)[] = [
      function claim() {
        const topic = random.pick(names)
        const leave = topics.claim(topic)
        assert.equal(leave !== undefined, model.get(topic)?.publisher === undefined)
        if (leave === undefined) return
        const token = {}
        Object.assign(entry(topic), { publisher: token, endsAt: Infinity })
        leaves.push({ topic, token, leave })
      },
      /** Also one that has left before: a revoked key, and then the end of its connection. */
      function leave() {
        if (leaves.length === 0) return
        const one = random.pick(leaves)
        one.leave()
        const known = model.get(one.topic)
        if (known?.publisher !== one.token) return
        known.publisher = undefined
        if (!isStanding(one.topic)) Object.assign(known, { endsAt: now + GRACE, armed: ++armed })
      },
      function join() {
        const topic = random.pick(names)
        const id = ++ids
        const leave = topics.join(topic, () => ended.push(id))
        assert.equal(leave !== undefined, there(topic))
        if (leave === undefined) return
        entry(topic).subscribers.add(id)
        joins.push({ id, topic, leave })
      },
      function part() {
        if (joins.length === 0) return
        const one = random.pick(joins)
        one.leave()
        model.get(one.topic)?.subscribers.delete(one.id)
      },
      function wait() {
        const ms = random.pick([1, GRACE / 2, GRACE - 1, GRACE, 3 * GRACE])
        clock.advance(ms)
        now += ms
        const over = [...model].filter(([, { endsAt }]) => endsAt <= now).sort(([, a], [, b]) => a.endsAt - b.endsAt || a.armed - b.armed)
        for (const [topic, { subscribers }] of over) {
          expected.push(...subscribers)
          model.delete(topic)
        }
      },
    ]
    for (let i = 0; i < 40; i++) {
      random.pick(steps)()
      for (const [topic, { publisher, subscribers }] of model) if (isStanding(topic) && publisher === undefined && subscribers.size === 0) model.delete(topic)
      const published = [...model.values()].filter(({ publisher }) => publisher !== undefined)
      assert.deepEqual(
        [topics.size, topics.publishers, names.map(topics.has), names.map(topics.hasPublisher), ended],
        [model.size, published.length, names.map(there), names.map((topic) => model.get(topic)?.publisher !== undefined), expected],
        `seed ${seed}, step ${i}`,
      )
    }
  }
})
