import assert from 'node:assert/strict'
import { test } from 'node:test'
import { formatCursor, parseCursor } from '../../src/core/cursor.ts'
import { createSeededRandom } from '../../src/testing/index.ts'

test('a cursor comes back from its text as it was', () => {
  const random = createSeededRandom(1)
  for (let i = 0; i < 10_000; i++) {
    const cursor = { epoch: Array.from({ length: 1 + random.below(32) }, () => random.below(36).toString(36)).join(''), offset: Math.floor(random.next() ** 8 * (Number.MAX_SAFE_INTEGER + 1)) }
    assert.deepEqual(parseCursor(formatCursor(cursor)), cursor)
  }
  assert.deepEqual(parseCursor(`e:${Number.MAX_SAFE_INTEGER}`), { epoch: 'e', offset: Number.MAX_SAFE_INTEGER })
  assert.deepEqual(parseCursor('e:0'), { epoch: 'e', offset: 0 })
})

const bad: [what: string, text: string][] = [
  ['nothing', ''],
  ['no epoch', ':1'],
  ['no offset', 'abc:'],
  ['no colon', 'abc1'],
  ['two colons', 'a:1:2'],
  ['a negative offset', 'a:-1'],
  ['a broken offset', 'a:1.5'],
  ['an exponent', 'a:1e3'],
  ['an offset that is no number', 'a:x'],
  ['an offset past 2^53 - 1', 'a:9007199254740992'],
  ['an offset of 17 digits', 'a:00000000000000001'],
  ['capitals', 'ABC:1'],
  ['an epoch of 33 characters', `${'a'.repeat(33)}:1`],
  ['blanks', ' a:1'],
  ['a line end behind it', 'a:1\n'],
  ['a line end before it', '\na:1'],
  ['digits of another script', 'a:١'],
]

for (const [what, text] of bad) {
  test(`a text with ${what} is no cursor`, () => assert.equal(parseCursor(text), undefined))
}
