import assert from 'node:assert/strict'
import { test } from 'node:test'
import { WaystationError } from '../../src/core/errors.ts'
import { interestIn } from '../../src/core/interest.ts'
import { compilePattern } from '../../src/core/pattern.ts'
import type { Identity } from '../../src/core/ports.ts'
import { createRules, openToAll, type Rule } from '../../src/core/rules.ts'
import { topicFromBytes, topicFromText } from '../../src/core/topic.ts'
import { createSeededRandom, OURSELVES, STRANGER } from '../../src/testing/index.ts'
import { heapUsed } from '../support/memory.ts'

const NEIGHBOUR: Identity = { kind: 'anonymous', local: true, address: '127.0.0.1' }
const DAY = 86_400_000

test('without a rule anyone publishes, anyone subscribes, and nothing is kept', () => {
  assert.deepEqual(createRules([]).for(topicFromText('a')), { publish: 'anyone', subscribe: 'anyone', keep: undefined })
})

test('each property comes from the first rule that matches and states it', () => {
  const rules = createRules([
    { topics: 'news/eu', publish: 'local' },
    { topics: 'news/*', publish: 'nobody', keep: { messages: 5, ms: DAY } },
    { topics: '*', subscribe: 'local', publish: 'anyone', keep: { messages: 1, ms: 1 } },
  ])
  assert.deepEqual(rules.for(topicFromText('news/eu')), { publish: 'local', subscribe: 'local', keep: { messages: 5, ms: DAY } })
  assert.deepEqual(rules.for(topicFromText('news/us')), { publish: 'nobody', subscribe: 'local', keep: { messages: 5, ms: DAY } })
  assert.deepEqual(rules.for(topicFromText('else')), { publish: 'anyone', subscribe: 'local', keep: { messages: 1, ms: 1 } })
})

test('to keep no messages, or for no time, is to keep nothing, also against a later rule', () => {
  for (const keep of [{ messages: 0, ms: DAY }, { messages: 5, ms: 0 }]) {
    const rules = createRules([{ topics: 'quiet', keep }, { topics: '*', keep: { messages: 9, ms: DAY } }])
    assert.equal(rules.for(topicFromText('quiet')).keep, undefined)
    assert.deepEqual(rules.for(topicFromText('else')).keep, { messages: 9, ms: DAY })
  }
})

for (const verb of ['publish', 'subscribe'] as const) {
  test(`${verb}: anyone is everybody, local those on this machine, nobody only the process itself`, () => {
    const rules = createRules([
      { topics: 'anyone', [verb]: 'anyone' },
      { topics: 'local', [verb]: 'local' },
      { topics: 'nobody', [verb]: 'nobody' },
    ])
    const may = (by: Identity): boolean[] => ['anyone', 'local', 'nobody', 'unstated'].map((name) => rules.may(verb, topicFromText(name), by))
    assert.deepEqual(may(STRANGER), [true, false, false, true])
    assert.deepEqual(may(NEIGHBOUR), [true, true, false, true])
    assert.deepEqual(may(OURSELVES), [true, true, true, true])
    assert.deepEqual(may({ kind: 'hub', local: false, address: '192.0.2.1' }), [true, true, true, true], 'the rules of the hub that it comes from have judged')
    assert.deepEqual(may({ kind: 'link', local: false, address: '192.0.2.1' }), [true, true, true, true], 'its operator has stated what it brings')
    const other = verb === 'publish' ? 'subscribe' : 'publish'
    assert.equal(rules.may(other, topicFromText('nobody'), STRANGER), true)
  })
}

test('a pattern is refused when a rule that may speak of one of its topics refuses', () => {
  const rules = createRules([{ topics: 'secret/*', subscribe: 'nobody' }, { topics: 'office/plan', subscribe: 'local' }])
  const may = (pattern: string, by = STRANGER): boolean => rules.maySubscribe(interestIn([pattern]), by)
  assert.deepEqual(['*', 's*', 'secret/*', 'secret/a?', 'secre[t]/*', '*/a', '?', '[s]ecret/a'].map((pattern) => may(pattern)), Array(8).fill(false))
  assert.deepEqual(['public/*', 'secrets/*', 'office/q*', 't?'].map((pattern) => may(pattern)), Array(4).fill(true))
  assert.equal(may('office/*'), false)
  assert.equal(may('office/*', NEIGHBOUR), true)
  assert.equal(may('*', NEIGHBOUR), false)
  assert.equal(may('*', OURSELVES), true)
})

test('behind a rule that speaks of all topics of a pattern, no other has a say', () => {
  const rules = createRules([
    { topics: 'public/*', subscribe: 'anyone' },
    { topics: 'public/not', subscribe: 'nobody' },
    { topics: '*', subscribe: 'nobody' },
  ])
  const may = (pattern: string): boolean => rules.maySubscribe(interestIn([pattern]), STRANGER)
  assert.deepEqual(['public/*', 'public/eu/*', 'public/?'].map(may), [true, true, true])
  assert.deepEqual(['publi*', '*', '*/public/', 'public*', '[p]ublic/*'].map(may), Array(5).fill(false))
})

test('a rule that states nothing about subscribing has no say in it', () => {
  const rules = createRules([{ topics: '*', publish: 'nobody' }, { topics: '*', subscribe: 'local' }])
  assert.equal(rules.maySubscribe(interestIn(['a*']), STRANGER), false)
  assert.equal(rules.maySubscribe(interestIn(['a*']), NEIGHBOUR), true)
})

test('an interest of several names is let in only as a whole', () => {
  const rules = createRules([{ topics: 'secret', subscribe: 'nobody' }])
  assert.equal(rules.maySubscribe(interestIn(['a', 'b', 'c*']), STRANGER), true)
  assert.equal(rules.maySubscribe(interestIn(['a', 'secret', 'c*']), STRANGER), false)
  assert.equal(rules.maySubscribe(interestIn(['a', 's*']), STRANGER), false)
  assert.equal(rules.maySubscribe(interestIn([]), STRANGER), true)
})

test('whatever the rules, a pattern that is let in reaches no topic that is refused', () => {
  const random = createSeededRandom(7)
  const sources = ['*', 'a', 'a*', 'a/*', 'a/b', 'a/b/*', '*/b', '?', '[ab]*', 'b/*', 'a/?', 'ab', '**/b']
  const topics = ['', 'a', 'b', 'ab', 'a/', 'a/b', 'a/c', 'a/b/c', 'b/b', 'c'].map(topicFromText)
  let admitted = 0
  for (let round = 0; round < 20_000; round++) {
    const rules = createRules(Array.from({ length: random.below(4) }, () => ({ topics: random.pick(sources), subscribe: random.pick(['anyone', 'local', 'nobody'] as const) })))
    const source = random.pick(sources)
    const by = random.pick([STRANGER, NEIGHBOUR])
    if (!rules.maySubscribe(interestIn([source]), by)) continue
    admitted++
    for (const topic of topics) {
      if (compilePattern(source).matches(topic)) assert.ok(rules.may('subscribe', topic, by), `round ${round}: ${source} reaches ${topic}`)
    }
  }
  assert.ok(admitted > 4_000)
})

test('a rule whose pattern cannot be used is an error', () => {
  assert.throws(() => createRules([{ topics: 'a\ud800' }]), (error: unknown) => error instanceof WaystationError && error.code === 'bad_pattern')
})

test('answers that are remembered do not grow with the topics that were asked about', () => {
  const rules = createRules([{ topics: 'a*', publish: 'local' }])
  const ask = (from: number, to: number): void => {
    for (let i = from; i < to; i++) assert.equal(rules.for(topicFromText(`${i}`.padEnd(200, 'x'))).publish, 'anyone')
  }
  ask(0, 15_000)
  const before = heapUsed()
  ask(15_000, 215_000)
  const grown = heapUsed() - before
  // Two hundred thousand names alone would be forty megabytes.
  assert.ok(grown < 10_000_000, `${grown} bytes more`)
  assert.equal(rules.for(topicFromText('a')).publish, 'local')
})

const openness: [what: string, rules: Rule[], open: boolean][] = [
  ['no rule', [], true],
  ['a rule for a part only', [{ topics: 'news/*', publish: 'nobody' }], true],
  ['a rule for all', [{ topics: '*', publish: 'local' }], false],
  ['a rule for all that lets all', [{ topics: '*', publish: 'anyone' }], true],
  ['an open part before a rule for all', [{ topics: 'in/*', publish: 'anyone' }, { topics: '*', publish: 'nobody' }], false],
  ['a rule for all about subscribing', [{ topics: '*', subscribe: 'nobody' }], true],
  ['a rule for all written with two stars', [{ topics: '**', publish: 'nobody' }], false],
]

for (const [what, rules, open] of openness) {
  test(`with ${what} the hub is ${open ? '' : 'not '}open to all`, () => assert.equal(openToAll(rules), open))
}

test('a topic that is no UTF-8 does not get round a rule', () => {
  const rules = createRules([{ topics: 'open/*', publish: 'anyone' }, { topics: '*', publish: 'nobody' }])
  assert.equal(rules.may('publish', topicFromBytes(Buffer.from([0xff])), NEIGHBOUR), false)
  assert.equal(rules.may('publish', topicFromBytes(Buffer.from('open/\xff', 'latin1')), NEIGHBOUR), true)
})

test('what is remembered of topics stays small, however long they are', () => {
  const rules = createRules([{ topics: 'a*', publish: 'nobody' }])
  const before = heapUsed()
  // Flat texts of their own, as they come off the wire.
  for (let i = 0; i < 2_000; i++) rules.may('publish', topicFromBytes(Buffer.from(`${i} `.padEnd(30_000, 'x'))), OURSELVES)
  const more = (heapUsed() - before) / 2 ** 20
  // Still in use: else it would all have been let go of before it was measured.
  assert.equal(rules.may('publish', topicFromText('a'), STRANGER), false)
  assert.ok(more < 20, `${more.toFixed(0)} MiB for topics that nobody has`)
})

test('under a domain that has a key only those publish who have proved themselves, whatever the rules say; anyone subscribes', () => {
  const owns = (topic: string): boolean => topic.startsWith('acme/')
  const keyed: Identity = { kind: 'keyed', domain: 'acme', local: false, address: '192.0.2.1' }
  const others: readonly Identity[] = [STRANGER, NEIGHBOUR, { ...keyed, domain: 'other' }, { ...keyed, domain: 'acm' }]
  const proved: readonly Identity[] = [keyed, { ...STRANGER, kind: 'signed' }, { ...STRANGER, kind: 'hub' }, { ...STRANGER, kind: 'link' }, OURSELVES]
  const [prices, open] = [topicFromText('acme/prices'), topicFromText('acm/prices')]
  for (const rules of [createRules([], owns), createRules([{ topics: '*', publish: 'anyone' }], owns)]) {
    for (const one of others) assert.deepEqual([rules.may('publish', prices, one), rules.may('publish', open, one), rules.may('subscribe', prices, one)], [false, true, true], JSON.stringify(one))
    for (const one of proved) assert.equal(rules.may('publish', prices, one), true, JSON.stringify(one))
  }
})

test('whoever has the key is no further than the rules: signed includes them, local and nobody do not', () => {
  const keyed: Identity = { kind: 'keyed', domain: 'acme', local: false, address: '192.0.2.1' }
  const topic = topicFromText('acme/prices')
  const may = (publish: 'anyone' | 'signed' | 'local' | 'nobody', by: Identity): boolean => createRules([{ topics: '*', publish }], () => true).may('publish', topic, by)
  assert.deepEqual([may('anyone', keyed), may('signed', keyed), may('local', keyed), may('nobody', keyed)], [true, true, false, false])
  assert.equal(may('local', { ...keyed, local: true }), true)
})
