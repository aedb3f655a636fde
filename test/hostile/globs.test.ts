import assert from 'node:assert/strict'
import { test } from 'node:test'
import { BUDGET, compilePattern } from '../../src/core/pattern.ts'
import { topicFromText } from '../../src/core/topic.ts'

/** Counts the signs that are looked at while `act` runs; those of whole texts at their length. */
function signs(act: () => void): number {
  const { codePointAt, charCodeAt, indexOf, startsWith } = String.prototype
  let count = 0
  Object.assign(String.prototype, {
    codePointAt(this: string, at: number) {
      count++
      return codePointAt.call(this, at)
    },
    charCodeAt(this: string, at: number) {
      count++
      return charCodeAt.call(this, at)
    },
    indexOf(this: string, text: string, from = 0) {
      const found = indexOf.call(this, text, from)
      count += ((found === -1 ? this.length : found) - from + 1) * text.length
      return found
    },
    startsWith(this: string, text: string, from = 0) {
      count += text.length
      return startsWith.call(this, text, from)
    },
  })
  try {
    act()
  } finally {
    Object.assign(String.prototype, { codePointAt, charCodeAt, indexOf, startsWith })
  }
  return count
}

const LONG = 65_535
const filled = (piece: string, length = LONG): string => piece.repeat(Math.ceil(length / piece.length)).slice(0, length)

const evil: [what: string, pattern: string, topic: string][] = [
  ['many stars that nearly match', `${filled('a*', LONG - 1)}b`, `${filled('a', LONG - 2)}cb`],
  ['a long text that fails at its end', `*${filled('a', 30_000)}b*`, filled('a')],
  ['a long text that fails at its beginning', `*${filled('a', 16)}b${filled('a', 30_000)}*`, filled('a')],
  ['many long texts', filled(`*${'a'.repeat(40)}b`, 60_000) + '*', filled(`${'a'.repeat(41)}b`)],
  ['segments before a long text', `**/${filled('a/', 30_000)}b*`, filled('a/')],
  ['a single sign before a long text', `*?${filled('a', 30_000)}b*`, filled('a')],
  ['a long text of sets', `*${'[a-z]'.repeat(10_000)}b*`, filled('a')],
  ['large sets', `*${`[${Array.from({ length: 3_000 }, (_, i) => String.fromCharCode(0x100 + 2 * i)).join('')}]`.repeat(20)}b*`, filled('\u0100')],
  ['segments before single signs', `**/${filled('?/', 30_000)}b/*`, filled('a/')],
  ['segments and stars', filled('**/*a?/', LONG - 1) + 'b', `${filled('aa/', LONG - 1)}b`],
  ['signs beyond the BMP', `*?${filled('😀', 30_000)}b*`, filled('😀', LONG - 1)],
]

for (const [what, source, name] of evil) {
  test(`of full length: ${what} cost no more than the budget and what is linear`, () => {
    const pattern = compilePattern(source)
    const topic = topicFromText(name)
    pattern.matches(topic)
    const taken = signs(() => pattern.matches(topic))
    // A sign of the topic is compared with at most sixteen when a text is looked for; each step in vain is two looks.
    assert.ok(taken <= 2 * BUDGET + 24 * (source.length + name.length), `${taken} signs`)
  })
}

test('a topic that does not begin or end as the pattern does costs nothing more', () => {
  const pattern = compilePattern(`news/${'*a'.repeat(100)}b`)
  assert.ok(signs(() => pattern.matches(topicFromText('a'.repeat(1_000)))) <= 10)
  assert.ok(signs(() => pattern.matches(topicFromText(`news/${'a'.repeat(1_000)}`))) <= 10)
})

for (const source of [filled('['), filled('[!'), `${filled('[', LONG - 1)}]`, filled('[]'), filled('[a]'), filled('*['), `é${filled('[', LONG - 1)}`, filled('**/'), filled('?')]) {
  test(`a full-length glob of ${JSON.stringify(source.slice(0, 4))} … ${JSON.stringify(source.slice(-2))} is compiled in linear time`, () => {
    const taken = signs(() => compilePattern(source))
    assert.ok(taken <= 8 * source.length, `${taken} signs`)
  })
}
