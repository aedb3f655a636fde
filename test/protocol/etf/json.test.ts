import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'
import { encode } from '../../../src/protocol/etf/encode.ts'
import { jsonToTerm, termToJson } from '../../../src/protocol/etf/json.ts'
import { Atom, BitString, EtfError, ExternalFunction, Float, ImproperList, LocalFunction, Pid, Port, Reference, TermMap, Tuple, type Term } from '../../../src/protocol/etf/term.ts'
import { createChance } from '../../simulation/chance.ts'
import { ATOMS, drawTerm, NODE } from '../../support/terms.ts'

const MOST = { maxBytes: 100_000_000 }
const bytes = (text: string): Buffer => Buffer.from(text)

function json(term: Term): string | undefined {
  return termToJson(encode(term), MOST)
}
function term(text: string, atoms: ReadonlySet<string> = ATOMS): string | undefined {
  return jsonToTerm(text, { atoms })?.toString('hex')
}
function hex(value: Term): string {
  return encode(value).toString('hex')
}

/** The left column of the page, in the order of its rows. */
const EXAMPLES: readonly Term[] = [
  true, false, null, -42, 9_007_199_254_740_993n, new Float(1), new Float(-0), new Float(1e22), bytes('grüße'), Buffer.of(255, 0), new BitString(Buffer.of(0xa0), 3),
  new Atom('ok'), [1, bytes('two'), []], new ImproperList([1, 2], 3), new Tuple(new Atom('ok'), 1),
  [new Tuple(new Atom('name'), bytes('Ada')), new Tuple(new Atom('age'), 36)],
  new TermMap([[bytes('name'), bytes('Ada')]]), new TermMap([[new Atom('name'), bytes('Ada')]]), new TermMap([[1, bytes('one')]]), new TermMap([]),
  new Pid(NODE, 90, 2, 3), new Reference(NODE, 1, [1, 2, 3]),
]

test('the examples of the page are what terms are as JSON, and the same terms come back', () => {
  const page = readFileSync(new URL('../../../docs/protocols/erlang-terms.md', import.meta.url), 'utf8')
  const table = /\| Erlang \| JSON \|\n.*\n((?:\|.*\n)+)/.exec(page)?.[1] as string
  const shown = table.trimEnd().split('\n').map((row) => /\| `([^`]*)` \|$/.exec(row)?.[1])
  assert.deepEqual(EXAMPLES.map(json), shown)
  for (const [i, example] of EXAMPLES.entries()) assert.equal(term(shown[i] as string, new Set([...ATOMS, 'age'])), hex(example), `${shown[i]}`)
})

test('a term that went to JSON and back is the same, bit for bit', () => {
  for (let seed = 1; seed <= 4_000; seed++) {
    const encoded = encode(drawTerm(createChance(seed, 'terms'), 4))
    const text = termToJson(encoded, MOST) as string
    assert.doesNotThrow(() => JSON.parse(text), `seed ${seed}: ${text}`)
    assert.equal(jsonToTerm(text, { atoms: ATOMS })?.toString('hex'), encoded.toString('hex'), `seed ${seed}: ${text}`)
  }
})

test('what Erlang itself has written goes to JSON and back', () => {
  const { encode: cases, identifiers } = JSON.parse(readFileSync(new URL('../../vectors/etf.json', import.meta.url), 'utf8')) as Record<'encode' | 'identifiers', { name: string; hex?: string; reencoded_hex?: string }[]>
  const every = new (class extends Set<string> {
    override has(): boolean {
      return true
    }
  })()
  for (const { name, hex, reencoded_hex: expected = hex } of [...cases, ...identifiers]) {
    // The longest are described by what is in them; ports have no JSON.
    if (hex === undefined || name.startsWith('port')) continue
    const text = termToJson(Buffer.from(hex, 'hex'), { ...MOST, maxDepth: 10_000 })
    assert.ok(text !== undefined, name)
    assert.equal(jsonToTerm(text, { atoms: every, maxDepth: 10_000 })?.toString('hex'), expected, name)
  }
})

test('JSON without marks that went to a term and back is the same JSON', () => {
  const texts = [
    '{"a":[1,2.5,-3e2,"x",null,true,false,{}],"__proto__":{"b":[]},"2":1,"1":2,"":""}', '[]', '"\\ud83d\\ude00\\u0000\\n"', ' [ 1 , 2 ] \r\n\t', '1e3', '0', '9007199254740991', '-9007199254740991', '0.1',
    '[104,105]', '[["name",1]]', '{"name":"Ada"}',
  ]
  for (const text of texts) {
    const back = termToJson(jsonToTerm(text, { atoms: ATOMS }) as Buffer, MOST) as string
    assert.deepEqual(JSON.parse(back), JSON.parse(text), text)
  }
})

test('an integer and a float stay apart', () => {
  assert.equal(term('1'), hex(1))
  assert.equal(term('-0'), hex(0))
  for (const [text, value] of [['1.0', 1], ['1e0', 1], ['1E+2', 100], ['-0.0', -0], ['1e-400', 0]] as const) assert.equal(term(text), hex(new Float(value)), text)
  assert.deepEqual([1e21, 1e-7, 5e-324, 123, 2 ** 70].map((value) => json(new Float(value))), ['1.0e21', '1.0e-7', '5.0e-324', '123.0', '1.1805916207174113e21'])
  assert.equal(term('12345678901234567890'), hex(12_345_678_901_234_567_890n))
  assert.equal(term('9007199254740993'), hex(9_007_199_254_740_993n))
})

test('maps show their keys as names only where no name can be taken for another thing', () => {
  const shown: [Term, string][] = [
    [new TermMap([[bytes('$a'), 1]]), '{"$map":[["$a",1]]}'],
    [new TermMap([[new Atom('$a'), 1]]), '{"$map":[[{"$atom":"$a"},1]]}'],
    [new TermMap([[new Atom('a'), 1], [bytes('a'), 2]]), '{"$map":[[{"$atom":"a"},1],["a",2]]}'],
    [new TermMap([[true, 1], [null, 2]]), '{"true":1,"nil":2,"$keys":"atoms"}'],
    [new TermMap([[Buffer.of(255), 1]]), '{"$map":[[{"$binary":"/w=="},1]]}'],
    [new TermMap([[bytes('10'), 1], [bytes('9'), 2], [bytes('__proto__'), 3]]), '{"10":1,"9":2,"__proto__":3}'],
    [[new Tuple(true, 1), new Tuple(null, 2)], '{"$keyword":[["true",1],["nil",2]]}'],
    [[new Tuple(new Atom('a'), 1), new Tuple(bytes('b'), 2)], '[{"$tuple":[{"$atom":"a"},1]},{"$tuple":["b",2]}]'],
    [[new Tuple(new Atom('a'), 1, 2)], '[{"$tuple":[{"$atom":"a"},1,2]}]'],
  ]
  for (const [value, text] of shown) {
    assert.equal(json(value), text)
    assert.equal(term(text, new Set(['a', '$a'])), hex(value))
  }
})

test('what looks like a mark and is none is a map like any other', () => {
  const map = (...entries: [string, Term][]): string => hex(new TermMap(entries))
  const pid = new TermMap([['node', 'else@where'], ['id', 1], ['serial', 2], ['creation', 3]])
  const cases: [text: string, expected: string][] = [
    ['{"$tuple":5}', map(['$tuple', 5])],
    ['{"$tuple":[1],"$atom":"ok"}', map(['$tuple', [1]], ['$atom', 'ok'])],
    ['{"$unknown":1}', map(['$unknown', 1])],
    ['{"$atom":1}', map(['$atom', 1])],
    ['{"$atom":{"$atom":"unknown"}}', map(['$atom', 'unknown'])],
    ['{"$integer":12}', map(['$integer', 12])],
    ['{"$integer":"012"}', map(['$integer', '012'])],
    [`{"$integer":"${'1'.repeat(20_001)}"}`, map(['$integer', '1'.repeat(20_001)])],
    ['{"$binary":"a"}', map(['$binary', 'a'])],
    ['{"$binary":"/x=="}', map(['$binary', '/x=='])],
    ['{"$bits":["",3]}', map(['$bits', ['', 3]])],
    ['{"$bits":["oA==",8]}', map(['$bits', ['oA==', 8]])],
    ['{"$bits":["oA==",0]}', map(['$bits', ['oA==', 0]])],
    ['{"$bits":["oA==",1]}', map(['$bits', ['oA==', 1]])],
    ['{"$bits":["oA==",3.0]}', map(['$bits', ['oA==', new Float(3)]])],
    ['{"$bits":["oA==",{"$integer":"3"}]}', map(['$bits', ['oA==', 3]])],
    ['{"$keyword":[]}', map(['$keyword', []])],
    ['{"$keyword":[["name",1],5]}', map(['$keyword', [['name', 1], 5]])],
    ['{"$keyword":[["name",1,2]]}', map(['$keyword', [['name', 1, 2]]])],
    ['{"$keyword":[[{"$atom":"ok"},1]]}', map(['$keyword', [[new Atom('ok'), 1]]])],
    ['{"$tuple":{"$keyword":[["name",1]]}}', map(['$tuple', [new Tuple(new Atom('name'), 1)]])],
    ['{"$improper":[[],1]}', map(['$improper', [[], 1]])],
    ['{"$improper":[[1],[2]]}', map(['$improper', [[1], [2]]])],
    ['{"$improper":[[1],{"$keyword":[["name",1]]}]}', map(['$improper', [[1], [new Tuple(new Atom('name'), 1)]]])],
    ['{"$improper":[[1]]}', map(['$improper', [[1]]])],
    ['{"$map":[[1]]}', map(['$map', [[1]]])],
    ['{"$map":{}}', map(['$map', new TermMap([])])],
    ['{"$pid":{"node":"else@where","id":1,"serial":2,"creation":3}}', map(['$pid', pid])],
    ['{"$pid":{"$map":[["node","a@b"],["id",1],["serial",2],["creation",3]]}}', map(['$pid', new TermMap([['node', NODE], ...pid.entries.slice(1)])])],
    ['{"$pid":{"node":"a@b","id":1,"serial":2}}', map(['$pid', new TermMap([['node', NODE], ['id', 1], ['serial', 2]])])],
    ['{"$pid":{"node":"a@b","id":1,"serial":2,"creation":3,"":4}}', map(['$pid', new TermMap([['node', NODE], ['id', 1], ['serial', 2], ['creation', 3], ['', 4]])])],
    ['{"$pid":{"node":"a@b","id":1,"serial":2,"creation":-1}}', map(['$pid', new TermMap([['node', NODE], ['id', 1], ['serial', 2], ['creation', -1]])])],
    ['{"$reference":{"node":"a@b","creation":4294967296,"words":[]}}', map(['$reference', new TermMap([['node', NODE], ['creation', 4_294_967_296], ['words', []]])])],
    ['{"$reference":{"node":"a@b","creation":1,"words":[1,2,3,4,5,6]}}', map(['$reference', new TermMap([['node', NODE], ['creation', 1], ['words', [1, 2, 3, 4, 5, 6]]])])],
    ['{"$reference":{"node":"a@b","creation":1,"words":[1.0]}}', map(['$reference', new TermMap([['node', NODE], ['creation', 1], ['words', [new Float(1)]]])])],
    ['{"$keys":"atoms"}', map(['$keys', 'atoms'])],
    ['{"$keys":"other","ok":1}', map(['$keys', 'other'], ['ok', 1])],
    ['{"$keys":"atoms","$tuple":1}', map(['$keys', 'atoms'], ['$tuple', 1])],
  ]
  for (const [text, expected] of cases) assert.equal(term(text), expected, text.slice(0, 80))
  // Accepted, though nothing is written so.
  for (const [text, value] of [['{"$integer":"-5"}', -5], ['{"$binary":"aGk="}', 'hi'], ['{"$map":[]}', new TermMap([])], ['{"$tuple":[1],"$tuple":[2]}', new Tuple(2)], ['{"$keys":"atoms","ok":1}', new TermMap([[new Atom('ok'), 1]])]] as [string, Term][]) assert.equal(term(text), hex(value), text)
  assert.equal(term('{"$pid":{"node":"nonode@nohost","creation":3,"id":1,"serial":2}}'), hex(new Pid('nonode@nohost', 1, 2, 3)))
  assert.equal(term('{"$reference":{"node":"nonode@nohost","creation":1,"words":[]}}', new Set()), hex(new Reference('nonode@nohost', 1, [])))
})

test('an atom that the receivers may not know becomes a binary wherever it stands', () => {
  const none = new Set<string>()
  assert.equal(term('{"$atom":"name"}', none), hex('name'))
  assert.equal(term('{"$atom":"name"}', new Set(['name'])), hex(new Atom('name')))
  assert.equal(term('[{"$atom":"true"},{"$atom":"false"},{"$atom":"nil"},{"$atom":"ok"}]', none), hex([true, false, null, new Atom('ok')]))
  assert.equal(term('{"name":1,"nil":2,"ok":3,"$keys":"atoms"}', none), hex(new TermMap([['name', 1], [null, 2], [new Atom('ok'), 3]])))
  assert.equal(term('{"$keyword":[["name",1],["true",2]]}', none), hex([new Tuple('name', 1), new Tuple(true, 2)]))
})

test('of a name that stands twice the last counts, and one key twice in a $map is no term', () => {
  assert.equal(term('{"a":1,"b":2,"a":3}'), hex(new TermMap([['a', 3], ['b', 2]])))
  assert.equal(term('{"a":1,"a":3,"$keys":"atoms"}', new Set(['a'])), hex(new TermMap([[new Atom('a'), 3]])))
  assert.equal(term('{"$map":[[1,1],[1.0,2]]}'), hex(new TermMap([[1, 1], [new Float(1), 2]])))
  for (const text of ['{"$map":[[1,1],[1,2]]}', '{"$map":[["a",1],[{"$binary":"YQ=="},2]]}', '{"$map":[["zz",1],[{"$atom":"zz"},2]]}', '[{"$map":[[{"a":1,"b":2},1],[{"b":2,"a":1},2]]}]']) assert.equal(term(text), undefined, text)
})

test('text that is no JSON is no term', () => {
  const wrong = [
    '', ' ', '\ufeff1', 'nul', 'truer', 'NaN', 'Infinity', '+1', '01', '1.', '.5', '1e', '-', '0x1', '1_0', "'a'", '"a', '"\\x"', '"\\u12"', '"\n"', '"\\', '[', ']', '[1', '[1,', '[1,]', '[,1]', '[1 2]', '[1}', '{', '{"a"', '{"a":', '{"a":1', '{"a":1,', '{"a":1,}',
    '{a:1}', '{1:1}', '{"a" 1}', '{"a":1]', '1 2', '1,', '[]]', '{}{}', '[1]x', '/**/1', '\u00a01', 'true false', '"a"b',
  ]
  for (const text of wrong) {
    assert.throws(() => JSON.parse(text), SyntaxError, text)
    assert.equal(term(text), undefined, text)
  }
})

test('JSON that no term can be is no term: lone surrogates, numbers without a float, and integers of more than 20,000 digits', () => {
  for (const text of ['"\\ud800"', '["\\udc00\\ud800"]', '{"\\ud800":1}', '{"$atom":"\\ud800"}', '{"\\ud800":1,"$keys":"atoms"}', '"\ud800"', '1e999999', '-1e309', '[1.8e308]']) assert.equal(term(text), undefined, text)
  const longest = '7'.repeat(20_000)
  assert.equal(term(longest), hex(BigInt(longest)))
  assert.equal(term(`-${longest}`), hex(-BigInt(longest)))
  assert.equal(json(-BigInt(longest)), `{"$integer":"-${longest}"}`)
  assert.equal(term(`{"$integer":"-${longest}"}`), hex(-BigInt(longest)))
  for (const sign of ['', '-']) assert.equal(term(`${sign}7${longest}`), undefined)
  assert.equal(json(10n ** 20_000n), undefined)
  assert.equal(json(10n ** 20_000n - 1n), `{"$integer":"${'9'.repeat(20_000)}"}`)
})

test('numbers of a million digits, and strings of a million escapes, take no time to speak of', () => {
  const begun = process.cpuUsage()
  const digits = '7'.repeat(1_000_000)
  for (const text of [digits, `[${digits}`, `{"$integer":"${digits}`, `1.${digits}`, `1e${digits}`]) term(text)
  assert.equal(term(`0.${digits}`), hex(new Float(Number(`0.${digits}`))))
  // Four million bytes. They are quick to read, and would be slow to write in tens.
  assert.equal(termToJson(Buffer.concat([Buffer.of(131, 111, 0, 0x40, 0, 0, 0), Buffer.alloc(0x40_0000, 1)]), MOST), undefined)
  assert.equal(term(`"${'\\"'.repeat(1_000_000)}"`), hex('"'.repeat(1_000_000)))
  const { user, system } = process.cpuUsage(begun)
  assert.ok(user + system < 1_500_000, `${user + system} µs`)
})

test('what is too deep is no term, and nothing overflows the stack', () => {
  // No other takes as many levels of JSON.
  const innermost = new Reference(NODE, 1, [1])
  const deep = (open: string, close: string, levels: number): string => open.repeat(levels) + json(innermost) + close.repeat(levels)
  const shapes: [open: string, close: string, value: (inner: Term) => Term][] = [
    ['[', ']', (inner) => [inner]],
    ['{"a":', '}', (inner) => new TermMap([['a', inner]])],
    ['{"$tuple":[', ']}', (inner) => new Tuple(inner)],
    ['{"$map":[[0,', ']]}', (inner) => new TermMap([[0, inner]])],
    ['{"$improper":[[', '],0]}', (inner) => new ImproperList([inner], 0)],
  ]
  for (const [open, close, value] of shapes) {
    let expected: Term = innermost
    for (let i = 0; i < 1_000; i++) expected = value(expected)
    const text = deep(open, close, 1_000)
    assert.equal(term(text), hex(expected), open)
    assert.equal(json(expected), text)
    assert.equal(term(deep(open, close, 1_001)), undefined, open)
    assert.equal(term(deep(open, close, 100_000)), undefined, open)
    assert.equal(term(open.repeat(100_000)), undefined, open)
  }
  const begun = process.cpuUsage()
  assert.equal(term('['.repeat(16_777_216)), undefined)
  const { user, system } = process.cpuUsage(begun)
  assert.ok(user + system < 300_000, `${user + system} µs: the rest must not be read`)
  assert.equal(jsonToTerm('[[["x"]]]', { atoms: ATOMS, maxDepth: 2 }), undefined)
})

test('JSON that grows too large is given up while it is written, to the byte', () => {
  const text = '[1,{"$atom":"ok"},"grüße",{"a":1.0,"$keys":"atoms"},{"$binary":"/w=="}]'
  const encoded = encode([1, new Atom('ok'), bytes('grüße'), new TermMap([[new Atom('a'), new Float(1)]]), Buffer.of(255)])
  const size = Buffer.byteLength(text)
  assert.equal(termToJson(encoded, { maxBytes: size }), text)
  for (let maxBytes = 0; maxBytes < size; maxBytes++) assert.equal(termToJson(encoded, { maxBytes }), undefined)
})

test('wide terms go both ways', () => {
  const wide = Array.from({ length: 10_000 }, (_, i) => i)
  // As arguments of a call these would be too many.
  const tuple = Object.assign(new Tuple(), { elements: Array.from({ length: 130_000 }, () => 1) })
  const map = new TermMap(wide.map((i) => [i, i] as const))
  const members = new TermMap(wide.map((i) => [`${i}`, i] as const))
  for (const value of [wide, tuple, map, members, new ImproperList(wide, 1)]) assert.equal(term(json(value) as string), hex(value))
})

test('functions and ports have no JSON, and bytes that are no term are refused', () => {
  const unsafe = [new ExternalFunction('a', 'b', 1), new LocalFunction(Buffer.alloc(20)), new Port(NODE, 1, 2)]
  for (const value of unsafe) {
    assert.throws(() => termToJson(encode([1, value]), MOST), EtfError)
    assert.equal(termToJson(encode([1, value]), { ...MOST, opaque: 'kept' }), undefined)
  }
  assert.throws(() => termToJson(Buffer.of(131, 200), MOST), EtfError)
  assert.throws(() => termToJson(encode(new Atom('zz')), { ...MOST, atoms: ATOMS }), EtfError)
})
