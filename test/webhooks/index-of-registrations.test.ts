import assert from 'node:assert/strict'
import { test } from 'node:test'
import { draft, type Draft } from '../../src/core/message.ts'
import type { HubPort } from '../../src/core/ports.ts'
import type { Registration } from '../../src/core/registry.ts'
import { createRouter } from '../../src/core/router.ts'
import { topicFromText } from '../../src/core/topic.ts'
import { createSeededRandom } from '../../src/testing/seeded-random.ts'
import { createRegistrationIndex } from '../../src/webhooks/index-of-registrations.ts'

function open() {
  const router = createRouter()
  const got: string[] = []
  const unusable: number[] = []
  const hub = { join: router.join } as unknown as HubPort
  const index = createRegistrationIndex(hub, (registration, message) => void got.push(`${registration.id}:${message.topic}:${registration.recovery ?? ''}`), ({ id }) => void unusable.push(id))
  let offset = 0
  return {
    router, index, unusable,
    publish(topic: string, more: Partial<Draft> = {}): string[] {
      const message = { ...draft(topicFromText(topic), Buffer.from('x')), ...more, offset: ++offset, epoch: 'e', time: 0 }
      for (const subscriber of router.match(message.topic)) subscriber.deliver(message)
      return got.splice(0).sort()
    },
  }
}

const one = (id: number, kind: 'exact' | 'glob', target: string, recovery?: string): Registration => ({ id, kind, target: topicFromText(target), url: 'http://a/', recovery })
const added = (...all: Registration[]) => all.map((registration) => ({ type: 'added', registration }) as const)

test('one url gets a message once for each of its registrations: an exact and two globs are three', () => {
  const { index, publish } = open()
  index.apply(added(one(1, 'exact', 'a/b'), one(2, 'glob', 'a/*'), one(3, 'glob', '*b'), one(4, 'exact', 'a/c')))
  assert.deepEqual(publish('a/b'), ['1:a/b:', '2:a/b:', '3:a/b:'])
  assert.deepEqual(publish('a/c'), ['2:a/c:', '4:a/c:'])
})

test('what is told again with another recovery url is changed, and counts once', () => {
  const { index, publish } = open()
  index.apply(added(one(1, 'exact', 'a')))
  index.apply(added(one(1, 'exact', 'a', 'http://r/')))
  assert.deepEqual([publish('a'), index.size], [['1:a:http://r/'], 1])
})

test('what another hub relays is not sent again', () => {
  const { index, publish } = open()
  index.apply(added(one(1, 'exact', 'a')))
  assert.deepEqual(publish('a', { relayed: true }), [])
})

test('a glob that cannot be compiled is told of, stands, matches nothing, and can be taken away', () => {
  const { index, publish, unusable, router } = open()
  const bad = `${'[a-'.repeat(40_000)}`
  index.apply(added(one(1, 'glob', bad), one(2, 'exact', 'a')))
  if (unusable.length > 0) assert.deepEqual(unusable, [1])
  assert.ok(index.has(1))
  assert.deepEqual(publish('a'), ['2:a:'])
  index.apply([{ type: 'removed', id: 1 }, { type: 'removed', id: 2 }, { type: 'removed', id: 99 }])
  assert.deepEqual([index.size, router.topics, router.patterns], [0, 0, 0])
})

test('after any sequence of changes exactly those that stand are told, and the end leaves nothing in the hub', () => {
  const random = createSeededRandom(9)
  const { index, publish, router } = open()
  const standing = new Map<number, Registration>()
  for (let id = 1; id <= 2_000; id++) {
    const gone = random.next() < 0.5 ? random.pick([...standing.keys(), 0]) : 0
    standing.delete(gone)
    const kind = random.pick(['exact', 'glob'] as const)
    const registration = one(id, kind, kind === 'exact' ? `t${random.below(5)}` : `t[${random.below(5)}]`)
    standing.set(id, registration)
    index.apply([{ type: 'removed', id: gone }, ...added(registration)])
    if (id % 100 !== 0) continue
    const n = random.below(5)
    const expected = [...standing.values()].filter(({ target }) => target === `t${n}` || target === `t[${n}]`).map((r) => `${r.id}:t${n}:`).sort()
    assert.deepEqual(publish(`t${n}`), expected)
  }
  assert.equal(index.size, standing.size)
  index.close()
  assert.deepEqual([index.size, router.topics, router.patterns], [0, 0, 0])
})
