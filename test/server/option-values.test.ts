import assert from 'node:assert/strict'
import { test } from 'node:test'
import { readValue } from '../../src/server/option-values.ts'
import type { Option } from '../../src/server/options.ts'

function option(kind: Option['kind'], more: Partial<Option> = {}): Option {
  return { kind, default: undefined, value: '', help: '', ...more }
}

/** The value, or the faults as one text. */
function read(kind: Option['kind'], value: unknown, more: Partial<Option> = {}): unknown {
  const result = readValue(option(kind, more), value)
  return 'faults' in result ? `! ${result.faults.join(' | ')}` : result.value
}

const good: [kind: Option['kind'], stated: unknown, value: unknown, more?: Partial<Option>][] = [
  ['text', 'a b', 'a b'],
  ['text', '', ''],
  ['texts', 'a, b ,c', ['a', 'b', 'c']],
  ['texts', '', []],
  ['texts', ['a', 'b'], ['a', 'b']],
  ['texts', ['a,b', ' c '], ['a', 'b', 'c']],
  ['texts', [], []],
  ['switch', true, true],
  ['switch', false, false],
  ['switch', 'on', true],
  ['switch', 'off', false],
  ['switch', 'true', true],
  ['switch', 'no', false],
  ['switch', '1', true],
  ['switch', '0', false],
  ['choice', 'b', 'b', { choices: ['a', 'b'] }],
  ['bytes', 5, 5],
  ['bytes', '5', 5],
  ['bytes', '5b', 5],
  ['bytes', '1k', 1024],
  ['bytes', '1kB', 1000],
  ['bytes', '64KiB', 65_536],
  ['bytes', '1.5 MiB', 1_572_864],
  ['bytes', '2MB', 2_000_000],
  ['bytes', '1G', 1_073_741_824],
  ['bytes', ' 1gib ', 1_073_741_824],
  ['bytes', '7', 7, { min: 7 }],
  ['time', 250, 250],
  ['time', '250', 250],
  ['time', '500ms', 500],
  ['time', '10s', 10_000],
  ['time', '0.1s', 100],
  ['time', '0.07s', 70],
  ['time', '5m', 300_000],
  ['time', '2min', 120_000],
  ['time', '1h', 3_600_000],
  ['time', '7d', 604_800_000],
  ['time', '24d', 2_073_600_000],
  ['count', 3, 3],
  ['count', '3', 3],
  ['count', 0, 0],
]

for (const [kind, stated, value, more] of good) {
  test(`as ${kind}, ${JSON.stringify(stated)} is ${JSON.stringify(value)}`, () => assert.deepEqual(read(kind, stated, more), value))
}

const bad: [kind: Option['kind'], stated: unknown, says: RegExp, more?: Partial<Option>][] = [
  ['text', 5, /must be a text/],
  ['text', ['a'], /must be a text/],
  ['text', null, /must be a text/],
  ['texts', 5, /a text or a list of texts/],
  ['texts', ['a', 5], /a text or a list of texts/],
  ['texts', { 0: 'a' }, /a text or a list of texts/],
  ['switch', 'maybe', /on or off/],
  ['switch', '', /on or off/],
  ['switch', null, /on or off/],
  ['switch', 2, /on or off/],
  ['choice', 'c', /one of a, b/, { choices: ['a', 'b'] }],
  ['choice', 5, /one of a, b/, { choices: ['a', 'b'] }],
  ['bytes', 'many', /a size such as/],
  ['bytes', '', /a size such as/],
  ['bytes', '5 apples', /a size such as/],
  ['bytes', '5s', /a size such as/],
  ['bytes', '-5', /a size such as/],
  ['bytes', '1.5', /a size such as/],
  ['bytes', 1.5, /a size such as/],
  ['bytes', '1e3', /a size such as/],
  ['bytes', '0x10', /a size such as/],
  ['bytes', [5], /a size such as/],
  ['bytes', true, /a size such as/],
  ['bytes', Number.NaN, /a size such as/],
  ['bytes', Infinity, /a size such as/],
  ['bytes', '99999999999GiB', /at most 9007199254740991/],
  ['bytes', '6', /at least 7/, { min: 7 }],
  ['time', '5KiB', /a time such as/],
  ['time', '1.5ms', /a time such as/],
  ['time', '1w', /a time such as/],
  ['time', '25d', /at most 2147483647/],
  ['time', '99', /at least 100/, { min: 100 }],
  ['count', '3s', /a whole number/],
  ['count', '1.5', /a whole number/],
  ['count', 2.5, /a whole number/],
  ['count', -1, /a whole number/],
  ['count', 0, /at least 1/, { min: 1 }],
]

for (const [kind, stated, says, more] of bad) {
  const shown = typeof stated === 'number' ? String(stated) : JSON.stringify(stated)
  test(`as ${kind}, ${shown} is refused, and the reason says what it must be`, () => {
    const result = read(kind, stated, more)
    assert.ok(typeof result === 'string' && result.startsWith('! must be '), JSON.stringify(result))
    assert.match(result, says)
  })
}

test('rules come as a list, or as JSON, with ages in any unit, one hour when none is stated', () => {
  const rules = [
    { topics: 'a', publish: 'nobody', subscribe: 'local' },
    { topics: 'b/*', keep: { messages: 5, age: '10m' } },
    { topics: '*', keep: { messages: 5 } },
    { topics: 'c', keep: { messages: 1, age: 90 } },
    { topics: 'd', keep: { messages: 1, age: '30d' } },
  ]
  const made = [
    { topics: 'a', publish: 'nobody', subscribe: 'local' },
    { topics: 'b/*', keep: { messages: 5, ms: 600_000 } },
    { topics: '*', keep: { messages: 5, ms: 3_600_000 } },
    { topics: 'c', keep: { messages: 1, ms: 90 } },
    { topics: 'd', keep: { messages: 1, ms: 2_592_000_000 } },
  ]
  assert.deepEqual(read('rules', rules), made)
  assert.deepEqual(read('rules', JSON.stringify(rules)), made)
  assert.deepEqual(read('rules', []), [])
})

const badRules: [what: string, stated: unknown, says: RegExp][] = [
  ['no JSON', '{', /must be JSON: a list of rules/],
  ['no list', { topics: 'a' }, /must be a list, not an object/],
  ['a rule without topics', [{ publish: 'anyone' }], /\[0\]\.topics is missing/],
  ['topics that are no text', [{ topics: 5 }], /\[0\]\.topics must be a text, not 5/],
  ['an unknown key, which names the nearest', [{ topics: 'a', pubish: 'anyone' }], /\[0\]\.pubish is no key of a rule; did you mean publish\?/],
  ['an unknown key within keep', [{ topics: 'a', keep: { message: 5 } }], /\[0\]\.keep\.message is no key of a rule; did you mean messages\?/],
  ['somebody nobody knows', [{ topics: 'a', publish: 'friends' }], /\[0\]\.publish must be .*"local".*, not "friends"/],
  ['a number of messages that is none', [{ topics: 'a', keep: { messages: -1 } }], /\[0\]\.keep\.messages must be >=0, not -1/],
  ['half a message', [{ topics: 'a', keep: { messages: 1.5 } }], /\[0\]\.keep\.messages/],
  ['keep without a number', [{ topics: 'a', keep: { age: '1h' } }], /\[0\]\.keep\.messages is missing/],
  ['an age that is none', [{ topics: 'a', keep: { messages: 1, age: 'long' } }], /\[0\]\.keep\.age must be a time such as 10m/],
  ['a pattern that cannot be used', [{ topics: 'a\ud800' }], /\[0\]\.topics.*well-formed/],
]

for (const [what, stated, says] of badRules) {
  test(`rules with ${what} are refused, and the reason names the place`, () => assert.match(String(read('rules', stated)), says))
}

test('all that is wrong with the rules is said at once', () => {
  const said = String(read('rules', [{ topics: 5 }, { topics: 'a', pubish: 'anyone' }, { topics: 'b', keep: {} }]))
  for (const place of ['[0].topics', '[1].pubish', '[2].keep.messages']) assert.ok(said.includes(place), said)
  const later = String(read('rules', [{ topics: 'a\ud800' }, { topics: 'b', keep: { messages: 1, age: 'x' } }]))
  for (const place of ['[0].topics', '[1].keep.age']) assert.ok(later.includes(place), later)
})
