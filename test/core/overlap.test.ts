import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import { interestIn, wants, type Interest } from '../../src/core/interest.ts'
import { overlapOf } from '../../src/core/overlap.ts'
import { areApart, compilePattern, coversAll } from '../../src/core/pattern.ts'
import { createRouter } from '../../src/core/router.ts'
import { topicFromText, type Topic } from '../../src/core/topic.ts'
import { createRecorder, createSeededRandom } from '../../src/testing/index.ts'

/** Who of these is told of a loss; names and globs stand for subscribers. */
function told(lost: readonly string[], everyone: readonly string[]): string[] {
  const router = createRouter()
  const names = new Map<unknown, string>()
  for (const sources of everyone) {
    const subscriber = createRecorder()
    names.set(subscriber, sources)
    router.join(interestIn(sources.split(' ')), subscriber)
  }
  return router.overlapping(interestIn(lost)).map((subscriber) => names.get(subscriber) as string).sort()
}

suite('who may want something of what is lost', () => {
  test('a name touches its own name and the globs that match it', () => {
    assert.deepEqual(told(['a/1'], ['a/1', 'a/2', 'a/*', '*/1', 'b/*', 'a/1*', 'x a/?']), ['*/1', 'a/*', 'a/1', 'a/1*', 'x a/?'])
  })
  test('a glob touches the names that it matches and every glob that may have one in common', () => {
    assert.deepEqual(told(['a/*.eu'], ['a/x.eu', 'a/x.us', 'a/x.us.eu', 'b/x.eu', '*', 'a/*', 'a/x.*', '*.eu', '*.us', 'b/*', 'a/b/*']),
      ['*', '*.eu', 'a/*', 'a/b/*', 'a/x.*', 'a/x.eu', 'a/x.us.eu'])
  })
  test('whoever several parts of it touch is told once', () => {
    assert.deepEqual(told(['a', 'b', 'a*', '*'], ['a b', 'a* b*']), ['a b', 'a* b*'])
  })
  test('a topic that is no text is touched by its name, and by no glob', () => {
    const router = createRouter()
    const [raw, all] = [createRecorder(), createRecorder()]
    const topic = '\udcff' as Topic
    router.join({ topics: [topic], patterns: [] }, raw)
    router.join(interestIn(['*']), all)
    assert.deepEqual(router.overlapping({ topics: [topic], patterns: [] }), [raw])
    assert.deepEqual(router.overlapping(interestIn(['?', '*'])), [all])
  })
  test('whoever has left is not told', () => {
    const router = createRouter()
    const leave = [router.join(interestIn(['a', 'a*']), createRecorder()), router.join(interestIn(['?']), createRecorder())]
    for (const one of leave) one()
    assert.deepEqual(router.overlapping(interestIn(['*', 'a'])), [])
  })
  test('past a million comparisons of globs everyone counts as touched, and nobody waits for it', () => {
    const router = createRouter()
    const lost = interestIn(Array.from({ length: 2_000 }, (_, i) => `lost/${i}/*`))
    const everyone = Array.from({ length: 2_000 }, (_, i) => `kept/${i}/*`)
    const recorders = everyone.map((source) => {
      const recorder = createRecorder()
      router.join(interestIn([source]), recorder)
      return recorder
    })
    const found = new Set<unknown>(router.overlapping(lost))
    assert.equal(recorders.filter((one) => found.has(one)).length, 1_500)
  })

  test('past so many questions a glob that is like a lost name in its ends counts as touched, in the router and in the log', () => {
    const names = (count: number): string[] => Array.from({ length: count }, (_, i) => `n${i}z`)
    const globs = Array.from({ length: 600 }, (_, i) => `n*[q${String.fromCharCode(0x4e00 + i)}]*z`)
    assert.equal(told(names(160), globs).length, 0)
    assert.equal(told(names(170), globs).length, 600)
    assert.equal(overlapOf(interestIn(names(9_999))).touches(interestIn(['n*[q]*z'])), false)
    assert.equal(overlapOf(interestIn(names(10_001))).touches(interestIn(['n*[q]*z'])), true)
  })

  const PIECES = ['a', 'b', '/', '*', '?', '[ab]', '**/', 'é', '☃']
  test('in ten thousand drawn pairs nobody is left out who wants one of the topics', () => {
    const random = createSeededRandom(7)
    const draw = (pieces: readonly string[]): string => Array.from({ length: 1 + random.below(4) }, () => random.pick(pieces)).join('')
    const topics = Array.from({ length: 400 }, () => topicFromText(draw(['a', 'b', '/', 'é', '☃'])))
    let [apart, together] = [0, 0]
    for (let round = 0; round < 10_000; round++) {
      const [lost, wish] = [interestIn([draw(PIECES), draw(PIECES)]), interestIn([draw(PIECES)])]
      const common = topics.filter((topic) => wants(lost, topic) && wants(wish, topic))
      const router = createRouter()
      const recorder = createRecorder()
      router.join(wish, recorder)
      const isTold = router.overlapping(lost).length > 0
      assert.equal(overlapOf(lost).touches(wish), isTold, `the log and the router are of two minds about ${text(lost)} and ${text(wish)}`)
      if (!isTold) apart++
      if (common.length > 0) together++
      assert.ok(isTold || common.length === 0, `${text(wish)} is not told of ${text(lost)}, and both want ${common[0]}`)
    }
    assert.ok(apart > 1_000 && together > 1_000, `${apart} apart, ${together} together`)
  })
})

suite('an overlap', () => {
  test('says the same of many names and globs as of few', () => {
    const few = interestIn(['n/3', 'n/9', 'g3/*', 'g9/*'])
    const many = interestIn([...Array.from({ length: 100 }, (_, i) => `n/${i * 3}`), ...Array.from({ length: 100 }, (_, i) => `g${i * 3}/*`)])
    for (const topic of ['n/3', 'n/9', 'n/4', 'n/', 'n/99', 'g3/x', 'g9/', 'g4/x', 'g3'].map(topicFromText)) {
      if (overlapOf(few).wants(topic)) assert.ok(overlapOf(many).wants(topic), topic)
      assert.equal(overlapOf(many).wants(topic), wants(many, topic), topic)
    }
  })
  test('gives the names that a glob matches, wherever they stand', () => {
    const names = ['a/1', 'a/2', 'b/1', 'a', 'a/10', 'c/1']
    const overlap = overlapOf(interestIn(names))
    for (const [glob, expected] of [['a/*', ['a/1', 'a/10', 'a/2']], ['*/1', ['a/1', 'b/1', 'c/1']], ['c*', ['c/1']], ['d*', []], ['?', ['a']]] as const) {
      assert.deepEqual([...overlap.namesIn(compilePattern(glob))].filter((name) => name !== undefined), expected, glob)
    }
  })
})

test('two globs are apart where their beginnings or their ends are', () => {
  const cases = [['a*', 'b*', true], ['*a', '*b', true], ['a/*', 'a/b/*', false], ['a*x', 'a*y', true], ['a*yx', 'a*x', false], ['*', 'a', false], ['a*', '*a', false], ['a/*/b', 'a/**/b', false]] as const
  for (const [a, b, expected] of cases) {
    assert.equal(areApart(compilePattern(a), compilePattern(b)), expected, `${a} and ${b}`)
    assert.equal(areApart(compilePattern(b), compilePattern(a)), expected, `${b} and ${a}`)
  }
})

test('one glob covers another surely only where it is a beginning and a star', () => {
  const cases = [['*', 'a?', true], ['a/*', 'a/b/*', true], ['a/*', 'a*', false], ['a/?', 'a/?', false], ['a/**', 'a/[b]', true]] as const
  for (const [wide, narrow, expected] of cases) assert.equal(coversAll(compilePattern(wide), compilePattern(narrow)), expected, `${wide} over ${narrow}`)
})

function text({ topics, patterns }: Interest): string {
  return [...topics, ...patterns.map(({ source }) => source)].join(' ')
}
