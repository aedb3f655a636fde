import assert from 'node:assert/strict'
import { test } from 'node:test'
import { interestIn, wants } from '../../src/core/interest.ts'
import { createMemoryLog } from '../../src/core/log.ts'
import { draft, type Message } from '../../src/core/message.ts'
import { createRules, type Rule } from '../../src/core/rules.ts'
import { topicFromText } from '../../src/core/topic.ts'
import { createManualClock, createSeededRandom, logContract, type ManualClock } from '../../src/testing/index.ts'

const DAY = 86_400_000
const KEEP_ALL: readonly Rule[] = [{ topics: '*', keep: { messages: 1_000_000, ms: DAY } }]

logContract('the log in memory', (parts) => createMemoryLog({ ...parts, maxBytes: 1_000_000 }))

type MemoryLog = ReturnType<typeof createMemoryLog>

function open(rules: readonly Rule[], maxBytes = Infinity): { log: MemoryLog; clock: ManualClock } {
  const clock = createManualClock()
  return { clock, log: createMemoryLog({ rules: createRules(rules), clock, random: createSeededRandom(1), maxBytes }) }
}

function append(log: MemoryLog, topic: string, body: string | Buffer = 'x'): Message {
  return log.append(draft(topicFromText(topic), Buffer.from(body as string))) as Message
}

/** Offsets, or 'lost'. */
function read(log: MemoryLog, sources: string[], after: number): number[] | 'lost' {
  const history = log.read(interestIn(sources), { epoch: log.epoch, offset: after })
  return history === 'lost' ? 'lost' : [...(history as Message[])].map((message) => message.offset)
}

test('an epoch is twelve signs drawn from chance', () => {
  const epoch = (seed: number): string => createMemoryLog({ rules: createRules([]), clock: createManualClock(), random: createSeededRandom(seed), maxBytes: 1 }).epoch
  assert.match(epoch(1), /^[0-9a-z]{12}$/)
  assert.equal(epoch(1), epoch(1))
  assert.notEqual(epoch(1), epoch(2))
})

test('all that is kept stays within the bound, and counts for what it holds', () => {
  const { log } = open(KEEP_ALL, 100_000)
  for (let i = 0; i < 2_000; i++) {
    append(log, `t${i % 7}`, 'x'.repeat((i * 37) % 3_000))
    assert.ok(log.bytes <= 100_000, `${log.bytes} bytes after ${i}`)
    assert.ok(log.bytes > 0)
  }
  assert.ok(log.bytes > 90_000, 'no more than needed goes')
})

test('past the bound the topic that has been quiet longest loses first, its oldest first', () => {
  // Room for fifteen of these.
  const { log } = open(KEEP_ALL, 20_000)
  for (let i = 1; i <= 5; i++) append(log, 'quiet', 'x'.repeat(1_000))
  for (let i = 6; i <= 17; i++) append(log, 'busy', 'x'.repeat(1_000))
  assert.equal(read(log, ['quiet'], 1), 'lost')
  assert.deepEqual(read(log, ['quiet'], 2), [3, 4, 5])
  assert.deepEqual(read(log, ['busy'], 5), [6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17])
  for (let i = 18; i <= 40; i++) append(log, 'busy', 'x'.repeat(1_000))
  assert.equal(read(log, ['quiet'], 4), 'lost')
  assert.equal(read(log, ['busy'], 24), 'lost')
  assert.equal(read(log, ['busy'], 25).length, 15)
})

test('a message that is larger than the bound is not kept, and nothing stays of it', () => {
  const { log } = open(KEEP_ALL, 10_000)
  append(log, 'a')
  append(log, 'b', 'x'.repeat(20_000))
  assert.equal(log.bytes, 0)
  assert.equal(read(log, ['b'], 1), 'lost')
  assert.deepEqual(read(log, ['b'], 2), [])
  append(log, 'b')
  assert.deepEqual(read(log, ['b'], 2), [3])
})

test('with a bound of nothing, nothing is kept', () => {
  const { log } = open(KEEP_ALL, 0)
  append(log, 'a')
  assert.equal(log.bytes, 0)
  assert.equal(read(log, ['a'], 0), 'lost')
})

test('topics that come, grow old and go leave nothing behind', () => {
  const { log, clock } = open([{ topics: '*', keep: { messages: 3, ms: 60_000 } }])
  for (let round = 0; round < 5; round++) {
    for (let i = 0; i < 300; i++) append(log, `round ${round} topic ${i}`)
    clock.advance(61_000)
    for (let sweeps = 0; sweeps < 4; sweeps++) log.sweep()
    assert.equal(log.bytes, 0)
  }
})

test('one sweep looks at a bounded number of topics, and the sweeps after it at the others', () => {
  const { log, clock } = open([{ topics: '*', keep: { messages: 3, ms: 60_000 } }])
  for (let i = 0; i < 10_000; i++) append(log, `t${i}`)
  const full = log.bytes
  clock.advance(61_000)
  log.sweep()
  assert.ok(log.bytes > full * 0.9, 'one sweep did it all')
  for (let i = 0; i < 50; i++) log.sweep()
  assert.equal(log.bytes, 0)
})

test('a topic that was emptied remembers where: before it is lost, behind it is not', () => {
  const { log, clock } = open([{ topics: '*', keep: { messages: 9, ms: 60_000 } }])
  append(log, 'a')
  append(log, 'a')
  clock.advance(61_000)
  log.sweep()
  assert.equal(read(log, ['a'], 1), 'lost')
  assert.deepEqual(read(log, ['a'], 2), [])
  append(log, 'b')
  append(log, 'a')
  assert.equal(read(log, ['a'], 1), 'lost')
  assert.deepEqual(read(log, ['a'], 2), [4])
})

test('what other topics lose, or do not keep, is not held against one that has kept all', () => {
  const { log, clock } = open([
    { topics: 'long', keep: { messages: 1_000, ms: DAY } },
    { topics: 'brief/*', keep: { messages: 2, ms: 1_000 } },
  ])
  append(log, 'long')
  for (let i = 0; i < 20; i++) {
    append(log, `brief/${i % 3}`)
    append(log, 'unkept')
    clock.advance(2_000)
    log.sweep()
  }
  append(log, 'long')
  assert.deepEqual(read(log, ['long'], 0), [1, 42])
  assert.equal(read(log, ['long', 'unkept'], 0), 'lost')
  assert.equal(read(log, ['long', 'brief/1'], 0), 'lost')
  assert.equal(read(log, ['l*'], 0), 'lost', 'which topics were forgotten is not known by name, and a pattern may have wanted them')
  assert.deepEqual(read(log, ['l*'], 41), [42])
})

test('when the time of day is put back, nothing is lost and nothing stays too long for it', () => {
  const { log, clock } = open([{ topics: '*', keep: { messages: 9, ms: 60_000 } }])
  append(log, 'a')
  clock.adjust(-3_600_000)
  append(log, 'a')
  assert.deepEqual(read(log, ['a'], 0), [1, 2])
  clock.adjust(3_600_000)
  clock.advance(61_000)
  assert.equal(read(log, ['a'], 1), 'lost')
})

test('many messages on one topic are let go without the rest being moved each time', () => {
  const { log } = open([{ topics: '*', keep: { messages: 1_000, ms: DAY } }])
  for (let i = 1; i <= 50_000; i++) append(log, 'a')
  assert.deepEqual(read(log, ['a'], 49_997), [49_998, 49_999, 50_000])
  assert.equal(read(log, ['a'], 49_000)?.length, 1_000)
  assert.equal(read(log, ['a'], 48_999), 'lost')
})

test('to read a topic by its name, no other topic is looked at, however many there are', () => {
  const { log } = open(KEEP_ALL)
  append(log, 'mine')
  for (let i = 0; i < 10_000; i++) append(log, `topic ${i}`)
  let asked = 0
  const topics = new Proxy([topicFromText('mine')], { get: (list, key) => (asked++, Reflect.get(list, key)) })
  assert.equal([...(log.read({ topics, patterns: [] }, { epoch: log.epoch, offset: 0 }) as Message[])].length, 1)
  assert.ok(asked < 50, `the name was asked for ${asked} times`)
})

test('a kept body does not keep alive the large buffer that it was read in', () => {
  const { log } = open([{ topics: 'kept', keep: { messages: 9, ms: DAY } }])
  const large = Buffer.alloc(1_000_000, 'x')
  for (const length of [0, 1, 100, 5_000, 400_000]) {
    const { body } = append(log, 'kept', 'unused') && log.append({ topic: topicFromText('kept'), body: large.subarray(7, 7 + length), contentType: '', text: true }) as Message
    assert.equal(body.length, length)
    assert.ok(body.buffer.byteLength <= 2 * length + 64, `a body of ${length} bytes keeps ${body.buffer.byteLength}`)
  }
  const whole = Buffer.alloc(100_000)
  assert.equal((log.append({ topic: topicFromText('kept'), body: whole, contentType: '', text: true }) as Message).body, whole, 'what is its own buffer is not copied')
  const passing = large.subarray(0, 10)
  assert.equal((log.append({ topic: topicFromText('unkept'), body: passing, contentType: '', text: true }) as Message).body, passing, 'what is not kept is not copied')
})

/** What is known of a topic by somebody who remembers everything. */
interface Known {
  readonly rule: { messages: number; ms: number } | undefined
  readonly all: { offset: number; time: number }[]
  /** The last offset at which nothing of it was held any more. */
  emptied: number
}

test('against a list that forgets nothing: never a part, and "lost" only where something went', () => {
  const rules: readonly Rule[] = [
    { topics: 'few/*', keep: { messages: 2, ms: DAY } },
    { topics: 'brief/*', keep: { messages: 50, ms: 5_000 } },
    { topics: 'long/*', keep: { messages: 10_000, ms: DAY } },
  ]
  const names = ['few/a', 'few/b', 'brief/a', 'brief/b', 'long/a', 'unkept/a']
  const interests = [['few/a'], ['brief/a'], ['brief/a', 'long/a'], ['long/a'], ['unkept/a', 'long/a'], ['few/*'], ['long/*'], ['*/a'], ['*'], ['never/heard/of']]
  const tally = { lost: 0, whole: 0 }
  for (let seed = 1; seed <= 30; seed++) {
    const random = createSeededRandom(seed)
    const { log, clock } = open(rules)
    const known = new Map<string, Known>(names.map((name) => [name, { rule: createRules(rules).for(topicFromText(name)).keep, all: [], emptied: 0 }]))
    const isHeld = ({ rule, all }: Known, one: Known['all'][number]): boolean =>
      rule !== undefined && all.indexOf(one) >= all.length - rule.messages && one.time >= clock.now() - rule.ms
    for (let step = 0; step < 400; step++) {
      const what = random.below(10)
      if (what < 5) {
        const name = random.pick(names)
        const { offset, time } = append(log, name)
        known.get(name)?.all.push({ offset, time })
      } else if (what === 5) {
        clock.advance(random.below(3_000))
        for (const one of known.values()) if (one.all.every((message) => !isHeld(one, message))) one.emptied = one.all.at(-1)?.offset ?? 0
      } else if (what === 6) log.sweep()
      else {
        const sources = random.pick(interests)
        const after = random.below(log.head + 1)
        const interest = interestIn(sources)
        const behind = [...known].flatMap(([name, one]) => one.all.filter(({ offset }) => offset > after).map((message) => ({ name, one, message })))
        const wanted = behind.filter(({ name }) => wants(interest, topicFromText(name)))
        const gone = wanted.filter(({ one, message }) => !isHeld(one, message))
        const got = read(log, sources, after)
        const at = `seed ${seed}, step ${step}: ${sources.join(' ')} after ${after}`
        if (got !== 'lost') {
          tally.whole++
          assert.deepEqual(gone, [], `${at}: something was missing`)
          assert.deepEqual(got, wanted.map(({ message }) => message.offset).sort((a, b) => a - b), at)
          continue
        }
        tally.lost++
        // The log may forget the names of topics of which it holds nothing: then any of them may have been wanted.
        const nameless = behind.filter(({ one, message }) => one.rule === undefined || message.offset <= one.emptied)
        assert.ok(gone.length > 0 || nameless.length > 0, `${at}: nothing went, and still it is lost`)
      }
    }
  }
  assert.ok(tally.lost > 500 && tally.whole > 500, JSON.stringify(tally))
})
