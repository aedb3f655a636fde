import assert from 'node:assert/strict'
import { test } from 'node:test'
import { WaystationError } from '../../src/core/errors.ts'
import { BUDGET, compilePattern } from '../../src/core/pattern.ts'
import { topicFromBytes, topicFromText } from '../../src/core/topic.ts'
import { createSeededRandom, type SeededRandom } from '../../src/testing/index.ts'
import lonelyps from '../vectors/lonelyps.json' with { type: 'json' }

const vectors = lonelyps.globs

function matches(pattern: string, topic: string): boolean {
  return compilePattern(pattern).matches(topicFromText(topic))
}

const table: [pattern: string, yes: string[], no: string[]][] = [
  ['', [''], ['a', '/']],
  ['news/eu', ['news/eu'], ['news', 'news/eu/', 'News/eu', 'news/eux']],
  ['*', ['', 'a', 'a/b', '/', '\n', '😀'], []],
  ['news/*', ['news/', 'news/a', 'news/a/b'], ['news', 'new/a']],
  ['*/eu', ['/eu', 'a/eu', 'a/b/eu'], ['eu', 'a/eu/']],
  ['a*b*c', ['abc', 'a1b2c', 'abcabc', 'a/b/c'], ['ab', 'acb', 'abcd']],
  ['?', ['a', '/', 'é', '😀', '\n'], ['', 'ab']],
  ['??', ['ab', '😀😀'], ['a', 'é', 'abc']],
  ['[abc]', ['a', 'b', 'c'], ['', 'd', 'ab', '[abc]']],
  ['[a-c]x', ['ax', 'bx', 'cx'], ['dx', '-x', 'x']],
  ['[!a]', ['b', '!', '/', '😀'], ['a', '', 'bb']],
  ['[!a-c]', ['d', '-'], ['a', 'b', 'c']],
  ['[😀-😂]', ['😀', '😁', '😂'], ['😃', 'a']],
  ['[]]', [']'], ['[', '']],
  ['[!]]', ['[', 'a'], [']']],
  ['[]a]', [']', 'a'], ['b']],
  ['[a-]', ['a', '-'], ['b']],
  ['[-a]', ['a', '-'], ['b']],
  ['[c-a]', [], ['a', 'b', 'c', '-']],
  ['[!c-a]', ['a', 'b'], ['']],
  ['[a-c-e]', ['b', '-', 'e'], ['d']],
  ['[a!]', ['a', '!'], ['b']],
  ['[^a]', ['^', 'a'], ['b']],
  ['[/]', ['/'], ['a']],
  ['[*]', ['*'], ['a', '']],
  ['[?]', ['?'], ['a']],
  ['[[]', ['['], [']']],
  ['a[', ['a['], ['a']],
  ['[a', ['[a'], ['a']],
  ['[]', ['[]'], ['']],
  ['[!]', ['[!]'], ['a']],
  ['a]', ['a]'], ['a']],
  ['\\*', ['\\', '\\x'], ['*', '']],
  ['{a,b}', ['{a,b}'], ['a', 'b']],
  ['**', ['', 'a', 'a/b'], []],
  ['**/b', ['b', 'a/b', 'x/y/b', '/b'], ['ab', 'b/', 'a/bb']],
  ['a/**/b', ['a/b', 'a/x/b', 'a/x/y/b', 'a//b'], ['ab', 'a/xb', 'a/b/c']],
  ['**/**/b', ['b', 'a/b', 'a/b/b'], ['ab']],
  ['a**/b', ['a/b', 'ax/y/b'], ['ab', 'a', 'b']],
  ['***/b', ['/b', 'a/b'], ['b']],
  ['**/', ['', '/', 'a/', 'a/b/'], ['a']],
  ['**/*/b', ['a/b', 'a/x/b', '/b'], ['b']],
]

for (const [pattern, yes, no] of table) {
  test(`${JSON.stringify(pattern)} matches what it says, and nothing else`, () => {
    for (const topic of yes) assert.equal(matches(pattern, topic), true, JSON.stringify(topic))
    for (const topic of no) assert.equal(matches(pattern, topic), false, JSON.stringify(topic))
  })
}

/** The same semantics written down in the plainest way: every way of matching is tried. */
function plainly(pattern: string, topic: string): boolean {
  const p = Array.from(pattern)
  const t = Array.from(topic)
  const known = new Uint8Array((p.length + 1) * (t.length + 1))

  function rest(i: number, j: number): boolean {
    const key = i * (t.length + 1) + j
    if (known[key] === 0) known[key] = tryAll(i, j) ? 1 : 2
    return known[key] === 1
  }
  function tryAll(i: number, j: number): boolean {
    if (i === p.length) return j === t.length
    if (p[i] === '*') {
      let end = i
      while (p[end] === '*') end++
      const wholeSegment = end - i === 2 && (i === 0 || p[i - 1] === '/') && p[end] === '/'
      if (wholeSegment && rest(end + 1, j)) return true
      for (let k = j; k <= t.length; k++) if (rest(end, k)) return true
      return false
    }
    if (j === t.length) return false
    if (p[i] === '?') return rest(i + 1, j + 1)
    if (p[i] === '[') {
      const close = p.indexOf(']', i + (p[i + 1] === '!' ? 3 : 2))
      const negated = p[i + 1] === '!'
      if (close !== -1) return inSet(p.slice(i + (negated ? 2 : 1), close), t[j] as string) !== negated && rest(close + 1, j + 1)
    }
    return p[i] === t[j] && rest(i + 1, j + 1)
  }
  return rest(0, 0)
}

function inSet(members: string[], char: string): boolean {
  const point = char.codePointAt(0) as number
  for (let i = 0; i < members.length; i++) {
    const isRange = members[i + 1] === '-' && members[i + 2] !== undefined
    const low = (members[i] as string).codePointAt(0) as number
    const high = isRange ? (members[i + 2] as string).codePointAt(0) as number : low
    if (low <= point && point <= high) return true
    if (isRange) i += 2
  }
  return false
}

const PATTERN_PIECES = [
  'a', 'b', '/', '/', '*', '**', '**/', '/**/', '?', '[ab]', '[!a]', '[a-c]', '[]]', '[!]]', '[/]', '[!/]', '[a-', '[--c]', '[z-a]', '[!z-a]',
  '[]-a]', '[[]', '[^a]', '[😀é]', '[!😀]', '[', '[!', ']', '-', '!', '^', '\\', 'é', '😀',
]
const TOPIC_PIECES = ['a', 'b', 'c', '/', '/', '-', ']', '[', '!', '^', 'é', '😀', '*', '?', '\n', '\\', 'z']

/** A topic that has some chance of matching the pattern of these pieces. */
function fill(random: SeededRandom, pieces: readonly string[]): string {
  const some = (): string => Array.from({ length: random.below(3) }, () => random.pick(TOPIC_PIECES)).join('')
  const filled = pieces.map((piece) => {
    if (random.below(12) === 0) return some()
    if (piece === '*' || piece === '**') return some()
    if (piece.endsWith('**/')) return piece.slice(0, -3) + random.pick(['', `${some()}/`])
    return piece === '?' || piece.length > 1 ? random.pick(TOPIC_PIECES) : piece
  })
  return filled.join('')
}

test('a million patterns and topics: matched exactly as by trying every way', () => {
  const random = createSeededRandom(20_260_105)
  let matched = 0
  let pieces: string[] = []
  let pattern = compilePattern('')
  for (let i = 0; i < 1_000_000; i++) {
    // Four topics for each pattern.
    if (i % 4 === 0) pieces = Array.from({ length: random.below(7) }, () => random.pick(PATTERN_PIECES))
    if (i % 4 === 0) pattern = compilePattern(pieces.join(''))
    const { source } = pattern
    const topic = fill(random, pieces)
    const expected = plainly(source, topic)
    if (pattern.matches(topicFromText(topic)) !== expected) assert.fail(`pair ${i}: ${JSON.stringify([source, topic])} is ${expected}`)
    if (pattern.covers(topicFromText(topic)) !== expected) assert.fail(`pair ${i}, as a rule: ${JSON.stringify([source, topic])} is ${expected}`)
    if (!expected) continue
    matched++
    const { prefix, suffix, inside } = pattern
    const has = topic.startsWith(prefix) && topic.endsWith(suffix) && topic.includes(inside)
    if (!has) assert.fail(`${JSON.stringify(topic)} lacks one of ${JSON.stringify([prefix, suffix, inside])}, and ${JSON.stringify(source)} matches it`)
    if (pattern.literal) assert.equal(topic, source)
  }
  assert.ok(matched > 200_000 && matched < 800_000, `${matched} of the pairs matched: too one-sided to prove anything`)
})

test('a topic that fnmatch or glob lets through is matched, and one that is no UTF-8 never is', () => {
  let utf8 = 0
  for (const { glob, topic_hex, fnmatch, glob_translate } of vectors.cases) {
    const topic = topicFromBytes(Buffer.from(topic_hex, 'hex'))
    const ours = compilePattern(glob).matches(topic)
    if (!topic.isWellFormed()) assert.equal(ours, false, `${glob} matched ${topic_hex}`)
    else if (++utf8 && (fnmatch || glob_translate)) assert.equal(ours, true, `${glob} did not match ${topic_hex}`)
    else assert.equal(ours, false, `${glob} matched ${topic_hex}, and neither of the two does`)
  }
  assert.ok(utf8 > 50)
})

test('where fnmatch lets less through it is only ** before a slash, which glob knows', () => {
  const more = vectors.cases.filter(({ glob, topic_hex, fnmatch }) => !fnmatch && compilePattern(glob).matches(topicFromBytes(Buffer.from(topic_hex, 'hex'))))
  assert.deepEqual(more.map(({ glob, topic_hex }) => [glob, Buffer.from(topic_hex, 'hex').toString()]), [
    ['**/bar', 'bar'],
    ['foo/**/bar', 'foo/bar'],
  ])
})

test('two oddities of Python are not followed', () => {
  // glob cuts at slashes first, so that these are two segments with a plain sign each.
  assert.equal(matches('a[/]b', 'a[/]b'), false)
  assert.equal(matches('a[/]b', 'a/b'), true)
  // fnmatch takes the empty range away, and finds the ! in front.
  assert.equal(matches('[b-a!c]', 'x'), false)
  assert.equal(matches('[b-a!c]', '!'), true)
})

test('long pieces of plain text are found where trying every way finds them', () => {
  const random = createSeededRandom(20_260_106)
  let matched = 0
  for (let i = 0; i < 20_000; i++) {
    // Few signs, in repeats: what begins anew inside of itself is what a search gets wrong.
    const unit = Array.from({ length: 1 + random.below(4) }, () => random.pick(['a', 'b', '/'])).join('')
    const long = unit.repeat(12).slice(random.below(4), 17 + random.below(8)) + random.pick(['', 'a', 'b', 'ab'])
    const source = random.pick(['*', '**/', 'a*']) + long + random.pick(['*', '*b', '?*', '/**/b'])
    const topic = unit.repeat(random.below(20)) + random.pick(['', 'a', 'b/']) + long.slice(random.below(3)) + random.pick(['', 'b', '/', '/b', 'aab'])
    const expected = plainly(source, topic)
    if (expected) matched++
    assert.equal(matches(source, topic), expected, `pair ${i}: ${JSON.stringify([source, topic])}`)
  }
  assert.ok(matched > 4_000 && matched < 16_000, `${matched} of the pairs matched`)
})

const kinds: [pattern: string, prefix: string, literal: boolean][] = [
  ['', '', true],
  ['news/eu', 'news/eu', true],
  ['news/*', 'news/', false],
  ['*', '', false],
  ['new?', 'new', false],
  ['a[b]', 'a', false],
  ['a[b', 'a[b', true],
  ['a/**/b', 'a/', false],
  ['😀*', '😀', false],
]

for (const [source, prefix, literal] of kinds) {
  test(`${JSON.stringify(source)} begins with ${JSON.stringify(prefix)} and ${literal ? 'names one topic' : 'may match several'}`, () => {
    const pattern = compilePattern(source)
    assert.deepEqual([pattern.source, pattern.prefix, pattern.literal], [source, prefix, literal])
  })
}

test('a pattern may have 65,535 signs and not one more, and must be well-formed', () => {
  const long = 'a'.repeat(65_535)
  assert.equal(compilePattern(long).matches(topicFromText(long)), true)
  assert.equal(matches(`${'a'.repeat(65_534)}*`, long), true)
  assert.equal(matches(`${'a'.repeat(65_534)}*`, 'a'.repeat(65_533)), false)
  for (const bad of [`${long}a`, 'a\ud800', '\udc80*']) {
    assert.throws(() => compilePattern(bad), (error: unknown) => error instanceof WaystationError && error.code === 'bad_pattern')
  }
})

const long: [what: string, pattern: string, topic: string, matches: boolean][] = [
  ['many stars', 'ab*'.repeat(21_000), 'abc'.repeat(21_000), true],
  ['many stars, and one sign missing at the end', `${'ab*'.repeat(21_000)}d`, 'abc'.repeat(21_000), false],
  ['a long text between stars', `*${'a'.repeat(30_000)}b*`, `${'a'.repeat(60_000)}b${'a'.repeat(1_000)}`, true],
  ['a long text between stars that is not there', `*${'a'.repeat(30_000)}b*`, 'a'.repeat(65_535), false],
  ['single signs and stars', '*?'.repeat(32_000), 'a'.repeat(65_535), true],
  ['sets at both ends', `${'[ab]'.repeat(8_000)}*${'[!b]'.repeat(8_000)}`, 'a'.repeat(65_535), true],
  ['segments', '**/a/'.repeat(13_000), 'b/a/'.repeat(16_000), true],
  ['a short piece with a set that is at the very end', '*[0-9]x*', `${'y'.repeat(65_000)}1x`, true],
  ['a piece with a set that is nowhere', '*[0-9]x*', '1y'.repeat(32_000), false],
]

for (const [what, source, topic, expected] of long) {
  test(`of full length: ${what}, answered rightly`, () => assert.equal(matches(source, topic), expected))
}

test('what needs more than the budget is no match; a rule covers it all the same', () => {
  const pattern = compilePattern(`*?${'a'.repeat(2_000)}b*`)
  const topic = topicFromText(`${'a'.repeat(4_000)}b`)
  assert.equal(pattern.matches(topic), false)
  assert.equal(pattern.covers(topic), true)
})

test('a piece whose length times that of the topic is within the budget is always found', () => {
  const [piece, topic] = [400, Math.floor(BUDGET / 400)]
  assert.equal(matches(`*?${'a'.repeat(piece - 2)}b*`, `${'a'.repeat(topic - 1)}b`), true)
})

test('bytes that are no UTF-8 are matched by no pattern, also not by *', () => {
  const topic = topicFromBytes(Buffer.from([0x61, 0xff]))
  for (const source of ['*', '**', 'a*', 'a?', 'a[!b]']) assert.equal(compilePattern(source).matches(topic), false)
})
