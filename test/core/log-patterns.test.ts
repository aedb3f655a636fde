import assert from 'node:assert/strict'
import { test } from 'node:test'
import { exactly, interestIn } from '../../src/core/interest.ts'
import { createMemoryLog } from '../../src/core/log.ts'
import { draft, type Message } from '../../src/core/message.ts'
import { createRules, type Rule } from '../../src/core/rules.ts'
import { topicFromText } from '../../src/core/topic.ts'
import { createManualClock, createSeededRandom } from '../../src/testing/index.ts'

const HOUR = 3_600_000

function open(rules: readonly Rule[]) {
  const clock = createManualClock()
  const log = createMemoryLog({ rules: createRules(rules), clock, random: createSeededRandom(1), maxBytes: 1_000_000 })
  const append = (topic: string): number => (log.append(draft(topicFromText(topic), Buffer.from('x'))) as Message).offset
  const read = (pattern: string, offset: number): number[] | 'lost' => {
    const found = log.read(interestIn([pattern]), { epoch: log.epoch, offset })
    return found === 'lost' ? 'lost' : [...(found as Iterable<Message>)].map((message) => message.offset)
  }
  return { clock, log, append, read }
}

test('a pattern whose topics one rule keeps is answered exactly, whatever passes on other topics', () => {
  const { append, read } = open([{ topics: 'news/*', keep: { messages: 10, ms: HOUR } }])
  const at = append('news/eu')
  append('unkept')
  const next = append('news/us')
  assert.deepEqual(read('news/*', at), [next])
  assert.deepEqual(read('news/u*', at), [next])
  assert.equal(read('*', at), 'lost', 'the unkept one is wanted too')
  assert.equal(read('n*', at), 'lost', 'no rule speaks for all of it')
})

test('a narrower rule before the wide one takes the certainty away, in both directions', () => {
  const { append, read } = open([
    { topics: 'news/secret/*', keep: { messages: 0, ms: HOUR } },
    { topics: 'news/*', keep: { messages: 10, ms: HOUR } },
  ])
  const at = append('news/eu')
  append('news/secret/x')
  assert.equal(read('news/*', at), 'lost')
  assert.deepEqual(read('news/eu*', at), [], 'the narrow rule has nothing to do with these')
})

test('what one rule has forgotten is not held against the topics of another', () => {
  const { clock, log, append, read } = open([
    { topics: 'brief/*', keep: { messages: 10, ms: 1_000 } },
    { topics: 'news/*', keep: { messages: 10, ms: HOUR } },
  ])
  const at = append('news/eu')
  append('brief/a')
  clock.advance(2_000)
  log.sweep()
  append('other')
  assert.deepEqual(read('news/*', at), [])
  assert.deepEqual(log.read(exactly(topicFromText('news/quiet')), { epoch: log.epoch, offset: at }), [])
  assert.equal(read('brief/*', at), 'lost')
})

test('a log with many topics is asked about many names in one go, not name by name', () => {
  const { log, append } = open([{ topics: '*', keep: { messages: 10, ms: HOUR } }])
  for (let i = 0; i < 300; i++) append(`kept/${i}`)
  let looks = 0
  const names = Array.from({ length: 1_000 }, (_, i) => topicFromText(`wanted/${i}`))
  const counted = new Proxy(names, {
    get(target, key, receiver) {
      looks++
      return Reflect.get(target, key, receiver) as unknown
    },
  })
  assert.deepEqual(log.read({ topics: counted, patterns: interestIn(['other/*']).patterns }, { epoch: log.epoch, offset: 1 }), [])
  assert.ok(looks < 20_000, `${looks} looks at a thousand names`)
})
