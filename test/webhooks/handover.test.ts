import assert from 'node:assert/strict'
import { test } from 'node:test'
import { draft, type LargeBody, type Message } from '../../src/core/message.ts'
import type { Registration } from '../../src/core/registry.ts'
import { topicFromText } from '../../src/core/topic.ts'
import { createManualClock } from '../../src/testing/manual-clock.ts'
import { createBatches } from '../../src/webhooks/batches.ts'
import { createHandover } from '../../src/webhooks/handover.ts'
import { createRegistrationIndex, type RegistrationIndex } from '../../src/webhooks/index-of-registrations.ts'

/** A handover that is two thousandths of a millisecond older at each registration, and a millisecond at each glob asked. */
function open(kind: 'named' | 'matching', { maxBytes = 1e7, tick = 0.002 } = {}) {
  const manual = createManualClock()
  let at = 0
  const clock = { ...manual, monotonic: () => at }
  const batches = createBatches(maxBytes)
  const index: RegistrationIndex = createRegistrationIndex(() => assert.fail('all globs are sound'))
  const got: string[] = []
  const missed: string[] = []
  let lost = 0
  let turn = 0
  const turns = new Map<string, Set<number>>()
  const handover = createHandover({
    clock, batches, name: kind,
    newest: () => index.newest,
    find: (topic, newest) => {
      const found = index[kind](topic, newest)
      return found && {
        next() {
          const next = found.next()
          at += next.value === undefined ? 1 : tick
          return next
        },
      }
    },
    deliver(registration, message) {
      got.push(`${registration.id}:${message.body.toString()}`)
      const key = message.body.toString()
      turns.set(key, (turns.get(key) ?? new Set()).add(turn))
    },
    missed: (registration, topic) => void missed.push(`${registration.id}:${topic}`),
    lost: () => void lost++,
  })
  let offset = 0
  let nextId = 0
  return {
    batches, index, got, missed, handover, turns,
    get lost() { return lost },
    register(n: number, target: string | ((i: number) => string), recovery?: string): void {
      const registrations = Array.from({ length: n }, (_, i): Registration => ({
        id: ++nextId, url: 'http://a/', recovery, kind: kind === 'named' ? 'exact' : 'glob', target: topicFromText(typeof target === 'string' ? target : target(i)),
      }))
      index.apply(registrations.map((registration) => ({ type: 'added', registration })))
    },
    publish(topic: string, text: string, large?: LargeBody): Message {
      const message: Message = { ...draft(topicFromText(topic), Buffer.from(text)), offset: ++offset, epoch: 'e', time: 0, ...(large && { large }) }
      handover.take(message)
      return message
    },
    endTurn(): void {
      turn++
      manual.endTurn()
    },
    /** Ends turns until nothing waits; how many that took. */
    end(): number {
      const before = turn
      while (handover.open > 0) {
        assert.ok(turn - before < 100_000, 'it does not end')
        this.endTurn()
      }
      return turn - before
    },
  }
}

test('what a slice is enough for is handed over before the publication returns, and waits for nothing', () => {
  const { register, publish, got, handover, batches } = open('named')
  register(1_000, 'a')
  const message = publish('a', 'x')
  assert.deepEqual([got.length, handover.open, batches.bytes, batches.confirmed(message)], [1_000, 0, 0, 0])
})

test('a topic of a hundred thousand registrations is handed over in many turns, to each once, in order', () => {
  const world = open('named')
  world.register(100_000, 'a')
  world.publish('a', 'x')
  assert.ok(world.got.length <= 2_600, `${world.got.length} in the turn of the publication`)
  const turns = world.end()
  assert.ok(turns >= 38, `${turns} turns`)
  assert.deepEqual(world.got, Array.from({ length: 100_000 }, (_, i) => `${i + 1}:x`))
})

test('a thousand globs that each take a millisecond are asked few in each turn', () => {
  const world = open('matching')
  world.register(1_000, (i) => `*${'?'.repeat(i)}[b]*`)
  world.publish('b'.repeat(2_000), 'x')
  assert.ok(world.got.length <= 5, `${world.got.length} in the turn of the publication`)
  const turns = world.end()
  assert.ok(turns >= 199 && turns <= 201, `${turns} turns`)
  assert.equal(new Set(world.got).size, 1_000)
})

test('many messages of one turn share its slice', () => {
  const world = open('matching')
  world.register(4, (i) => `*${'?'.repeat(i)}*`)
  for (let i = 0; i < 10; i++) world.publish('abcdef', `m${i}`)
  assert.ok(world.got.length <= 5)
  assert.ok(world.end() >= 7)
  world.endTurn()
  world.publish('abcdef', 'later')
  assert.equal(world.got.at(-1)?.slice(-5), 'later', 'a new turn has a new slice')
})

for (const kind of ['named', 'matching'] as const) {
  test(`however the slices fall, each ${kind} registration gets the messages in their order`, () => {
    const world = open(kind, { tick: 0.4 })
    world.register(kind === 'named' ? 100 : 7, kind === 'named' ? 'a' : (i) => `${'*'.repeat(i + 1)}a`)
    for (let i = 0; i < 50; i++) {
      world.publish('a', `${i}`)
      if (i % 3 === 0) world.endTurn()
    }
    world.end()
    const of = new Map<string, number[]>()
    for (const one of world.got) {
      const [id, text] = one.split(':') as [string, string]
      of.set(id, [...(of.get(id) ?? []), Number(text)])
    }
    assert.equal(of.size, kind === 'named' ? 100 : 7)
    for (const texts of of.values()) assert.deepEqual(texts, Array.from({ length: 50 }, (_, i) => i))
  })
}

test('one that is taken away in the middle gets nothing more, and one that is added then gets only what is published after it', () => {
  const world = open('named')
  world.register(10_000, 'a')
  world.publish('a', 'one')
  world.publish('a', 'two')
  assert.ok(world.handover.open === 2 && world.got.length < 9_000)
  world.index.apply([{ type: 'removed', id: 9_500 }])
  world.register(1, 'a')
  world.publish('a', 'three')
  world.end()
  assert.deepEqual(world.got.filter((one) => one.startsWith('9500:')), [])
  assert.deepEqual(world.got.filter((one) => one.startsWith('10001:')), ['10001:three'])
  assert.equal(world.got.length, 9_999 * 3 + 1)
})

test('whoever asks for the confirmations of a message waits for its handover too, and its body on disk is held', async () => {
  const world = open('named')
  let holders = 0
  const large: LargeBody = { size: 1e9, hold: () => void holders++, letGo: () => void holders--, read: () => { throw new Error('nobody reads') } }
  world.register(10_000, 'a')
  const [first, second] = [world.publish('a', 'one', large), world.publish('a', 'two')]
  assert.equal(holders, 1)
  const asked = [first, second].map((message) => world.batches.confirmed(message))
  const told: number[] = []
  for (const [i, one] of asked.entries()) void Promise.resolve(one).then(() => told.push(i))
  world.endTurn()
  await new Promise((resolve) => setImmediate(resolve))
  assert.deepEqual([told, holders], [[], 1])
  const idle = world.handover.idle()
  world.end()
  await idle
  assert.deepEqual([await Promise.all(asked), holders, world.batches.bytes], [[0, 0], 0, 0])
})

test('where there is no room for a message, all who want it miss it, in its place; one topic is found once', () => {
  const world = open('named', { maxBytes: 10_000 })
  world.register(10_000, 'a')
  world.register(1, 'b')
  world.publish('a', 'one')
  for (let i = 0; i < 3; i++) world.publish('b', 'x'.repeat(20_000))
  world.register(1, 'b')
  world.publish('b', 'x'.repeat(20_000))
  world.register(1, 'b')
  assert.deepEqual([world.missed, world.handover.open], [[], 2])
  world.end()
  assert.deepEqual([world.missed, world.got.length, world.lost], [['10001:b', '10002:b'], 10_000, 0])
})

test('what is too large to wait is missed by those that it was not yet handed to', () => {
  const world = open('named', { maxBytes: 10_000 })
  world.register(10_000, 'a')
  const message = world.publish('a', 'x'.repeat(20_000))
  const got = world.got.length
  assert.equal(world.batches.confirmed(message), 0)
  world.end()
  assert.ok(got > 0)
  assert.deepEqual([world.got.length, world.missed.length], [got, 10_000 - got])
})

test('past the bound of topics that wait to be missed nobody is found for them, and that is counted', () => {
  const world = open('matching', { maxBytes: 2_000 })
  world.register(10, (i) => `*${'?'.repeat(i)}*`)
  world.publish('abcdefghijkl', 'one')
  for (let i = 0; i < 1_100; i++) world.publish(`topic-number-${i}`, 'x'.repeat(20_000))
  assert.equal(world.lost, 100)
  world.end()
  assert.equal(world.missed.length, 10_000)
})

test('a close lets go of all that waits, and of its memory', async () => {
  const world = open('matching')
  world.register(100, (i) => `*${'?'.repeat(i)}*`)
  const message = world.publish('a', 'one')
  world.publish('a', 'two')
  const idle = world.handover.idle()
  world.handover.close()
  await idle
  assert.deepEqual([world.handover.open, world.batches.bytes, world.lost, await world.batches.confirmed(message)], [0, 0, 2, 0])
})
