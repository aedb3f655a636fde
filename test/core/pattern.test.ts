import assert from 'node:assert/strict'
import { test } from 'node:test'
import { WaystationError } from '../../src/core/errors.ts'
import { compilePattern } from '../../src/core/pattern.ts'
import { topicFromBytes, topicFromText } from '../../src/core/topic.ts'
import { createSeededRandom, type SeededRandom } from '../../src/testing/index.ts'
import vectors from '../vectors/globs.json' with { type: 'json' }

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
  const known = new Map<number, boolean>()

  function rest(i: number, j: number): boolean {
    const key = i * (t.length + 1) + j
    let answer = known.get(key)
    if (answer === undefined) known.set(key, (answer = tryAll(i, j)))
    return answer
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

/** A pattern, and a topic that has some chance of matching it. */
function generate(random: SeededRandom): [pattern: string, topic: string] {
  const pieces = Array.from({ length: random.below(7) }, () => random.pick(PATTERN_PIECES))
  const some = (): string => Array.from({ length: random.below(3) }, () => random.pick(TOPIC_PIECES)).join('')
  const filled = pieces.map((piece) => {
    if (random.below(12) === 0) return some()
    if (piece === '*' || piece === '**') return some()
    if (piece.endsWith('**/')) return piece.slice(0, -3) + random.pick(['', `${some()}/`])
    return piece === '?' || piece.length > 1 ? random.pick(TOPIC_PIECES) : piece
  })
  return [pieces.join(''), filled.join('')]
}

test('two hundred thousand patterns and topics: matched exactly as by trying every way', () => {
  const random = createSeededRandom(20_260_105)
  let matched = 0
  for (let i = 0; i < 200_000; i++) {
    const [source, topic] = generate(random)
    const pattern = compilePattern(source)
    const expected = plainly(source, topic)
    assert.equal(pattern.matches(topicFromText(topic)), expected, `pair ${i}: ${JSON.stringify([source, topic])}`)
    if (!expected) continue
    matched++
    assert.ok(topic.startsWith(pattern.prefix), `${JSON.stringify(topic)} does not begin with ${JSON.stringify(pattern.prefix)}`)
    if (pattern.literal) assert.equal(topic, source)
  }
  assert.ok(matched > 40_000 && matched < 160_000, `${matched} of the pairs matched: too one-sided to prove anything`)
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

/** Counts the signs of the topic that are looked at. */
function steps(source: string, topic: string): number {
  const pattern = compilePattern(source)
  const { codePointAt, indexOf } = String.prototype
  let count = 0
  String.prototype.codePointAt = function (at) {
    count++
    return codePointAt.call(this, at)
  }
  String.prototype.indexOf = function (text, from = 0) {
    const found = indexOf.call(this, text, from)
    count += (found === -1 ? this.length : found) - from
    return found
  }
  try {
    pattern.matches(topicFromText(topic))
  } finally {
    Object.assign(String.prototype, { codePointAt, indexOf })
  }
  return count
}

const evil: [what: string, pattern: (n: number) => string, topic: (n: number) => string][] = [
  ['many stars that nearly match', (n) => `${'a*'.repeat(n)}b`, (n) => 'a'.repeat(n)],
  ['stars between long runs', (n) => `*${'a'.repeat(n)}*${'a'.repeat(n)}b`, (n) => 'a'.repeat(4 * n)],
  ['a star before a run that fails at its end', (n) => `*${'a'.repeat(n)}b`, (n) => 'a'.repeat(2 * n)],
  ['stars and single signs', (n) => `${'*?'.repeat(n)}b`, (n) => 'a'.repeat(2 * n)],
  ['many ** segments', (n) => `${'**/a/'.repeat(n)}b`, (n) => 'a/'.repeat(2 * n)],
  ['** segments over slashes alone', (n) => `${'**/'.repeat(n)}b`, (n) => '/'.repeat(2 * n)],
  ['stars and ** segments mixed', (n) => `${'**/*a/'.repeat(n)}b`, (n) => 'aa/'.repeat(2 * n)],
  ['stars and sets', (n) => `${'*[ab]'.repeat(n)}c`, (n) => 'ab'.repeat(n)],
  ['signs beyond the BMP', (n) => `${'*😀'.repeat(n)}b`, (n) => '😀'.repeat(n)],
]

for (const [what, pattern, topic] of evil) {
  test(`${what} cost no more than the product of the lengths`, () => {
    for (const n of [10, 40, 160]) {
      const [p, t] = [pattern(n), topic(n)]
      const taken = steps(p, t)
      assert.ok(taken <= 2 * p.length * t.length, `${taken} steps for ${p.length} by ${t.length}`)
    }
  })
}

test('a topic that does not begin as the pattern does costs nothing more', () => {
  assert.equal(steps(`news/${'*a'.repeat(100)}`, 'a'.repeat(1_000)), 0)
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

test('bytes that are no UTF-8 are matched by no pattern, also not by *', () => {
  const topic = topicFromBytes(Buffer.from([0x61, 0xff]))
  for (const source of ['*', '**', 'a*', 'a?', 'a[!b]']) assert.equal(compilePattern(source).matches(topic), false)
})
