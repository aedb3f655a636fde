import assert from 'node:assert/strict'
import { test } from 'node:test'
import { decode } from '../../../src/protocol/etf/decode.ts'
import { encode } from '../../../src/protocol/etf/encode.ts'
import {
  Atom, BitString, EtfError, ExternalFunction, Float, ImproperList, LocalFunction, Pid, Port, Reference, TermMap, Tuple, type Term,
} from '../../../src/protocol/etf/term.ts'
import { outcome } from './vectors.ts'

function nested(levels: number, wrap: (term: Term) => Term): Term {
  let term: Term = 300
  for (let level = 0; level < levels; level++) term = wrap(term)
  return term
}

const WRAPS: readonly (readonly [string, (term: Term) => Term])[] = [
  ['lists', (term) => [term]],
  ['tuples', (term) => new Tuple(term)],
  ['values of maps', (term) => new TermMap([[1, term]])],
  ['keys of maps', (term) => new TermMap([[term, 1]])],
  ['keys of maps of two', (term) => new TermMap([[term, 1], [2, 2]])],
  ['tails', (term) => new ImproperList([1], new Tuple(term))],
]

const LONG = 'é'.repeat(255)
const NONE: readonly (readonly [string, unknown])[] = [
  ['a number that is not whole', 1.5], ['NaN', NaN], ['infinity', Infinity], ['a number beyond 2^53', 2 ** 53],
  ['a float that is NaN', new Float(NaN)], ['a float that is infinite', new Float(-Infinity)], ['a float that is a text', new Float('1' as unknown as number)],
  ['undefined', undefined], ['a function', () => 1], ['a symbol', Symbol('x')], ['a plain object', { a: 1 }], ['a Map', new Map()], ['a Date', new Date(0)],
  ['an ArrayBuffer', new ArrayBuffer(4)], ['a list with a hole', Array<number>(3)], ['a list of bytes with a hole', Object.assign([1, 2, 3], { length: 5 })],
  ['an atom of 256 characters', new Atom('a'.repeat(256))], ['an atom of 256 characters beyond 16 bits', new Atom('😀'.repeat(256))],
  ['an atom that is no text', new Atom(1 as unknown as string)], ['an atom with half a surrogate pair', new Atom('\ud800')], ['a text with half a surrogate pair', 'a\udc00'],
  ['an improper list without items', new ImproperList([], 1)], ['bits of a whole byte', new BitString(Buffer.of(1), 8)], ['no bits', new BitString(Buffer.of(1), 0)],
  ['bits without bytes', new BitString(Buffer.alloc(0), 1)], ['a pid beyond 32 bits', new Pid('a@b', 2 ** 32, 0, 0)], ['a negative serial', new Pid('a@b', 0, -1, 0)],
  ['a creation that is not whole', new Pid('a@b', 0, 0, 0.5)], ['a node that no atom can name', new Pid('a'.repeat(256), 0, 0, 0)],
  ['a reference of six words', new Reference('a@b', 0, [1, 2, 3, 4, 5, 6])], ['a reference with a negative word', new Reference('a@b', 0, [-1])],
  ['a port beyond 64 bits', new Port('a@b', 2n ** 64n, 0)], ['a negative port', new Port('a@b', -1, 0)], ['a port that is not whole', new Port('a@b', 0.5, 0)],
  ['an arity of 256', new ExternalFunction('m', 'f', 256)], ['a pair of three', new TermMap([[1, 2, 3] as unknown as [Term, Term]])], ['a hole among pairs', new TermMap(Array<[Term, Term]>(2))],
]

test('what is no term is refused, alone and within another', () => {
  for (const [name, value] of NONE) {
    assert.equal(outcome(() => encode(value as Term)), 'badarg', name)
    assert.equal(outcome(() => encode(new Tuple([1, new TermMap([[2, value as Term]])]))), 'badarg', name)
  }
})

test('what stands at an edge is written', () => {
  const edges: readonly (readonly [Term, string])[] = [
    [-0, '836100'], [new Float(-0), '83468000000000000000'], [255n, '8361ff'], [-1n, '8362ffffffff'], [2n ** 31n, '836e040000000080'], [-(2 ** 31), '836280000000'],
    [-(2 ** 31) - 1, '836e040101000080'], [2 ** 53 - 1, '836e0700ffffffffffff1f'], [[1n, 255], '836b000201ff'], ['é', '836d00000002c3a9'], [new BitString(Buffer.of(0xff), 3), '834d0000000103e0'],
    [new Port('a', 2 ** 32, 1), '837877016100000001000000' + '0000000001'], [new ExternalFunction('m', 'f', 255), '837177016d77016661ff'], [new LocalFunction(Buffer.of(1)), '83700000000501'],
    [new Atom('true'), '83770474727565'],
  ]
  for (const [term, hex] of edges) assert.equal(encode(term).toString('hex'), hex)
  assert.equal(encode(new Atom(LONG)).toString('hex').slice(0, 8), '837601fe')
  assert.equal(encode(new Atom('😀'.repeat(255))).length, 4 + 4 * 255)
  assert.equal(encode(2n ** 2039n).toString('hex', 0, 2), '836e')
  assert.equal(encode(2n ** 2040n).toString('hex', 0, 6), '836f00000100')
  assert.deepEqual(decode(encode('é'.repeat(5_000)), { binaries: 'text' }).term, 'é'.repeat(5_000))
})

test('terms of 100,000 levels are written and read without a call for each, where they are allowed', () => {
  for (const [name, wrap] of WRAPS) {
    for (const levels of [100, 1_000, 100_000]) {
      const containers = name === 'tails' ? 2 * levels : levels
      const term = nested(levels, wrap)
      const bytes = encode(term, { maxDepth: containers })
      assert.equal(outcome(() => encode(term, { maxDepth: containers - 1 })), 'too_deep', name)
      assert.equal(outcome(() => decode(bytes, { maxDepth: containers - 1 })), 'too_deep', name)
      assert.equal(outcome(() => decode(bytes)), containers > 1_000 ? 'too_deep' : 'ok', name)
      assert.deepEqual(encode(decode(bytes, { maxDepth: containers }).term, { maxDepth: containers }), bytes, name)
    }
  }
})

test('a term that holds itself is refused', () => {
  const list: Term[] = []
  list.push(list)
  assert.equal(outcome(() => encode(list)), 'too_deep')
  const entries: [Term, Term][] = []
  const map = new TermMap(entries)
  entries.push([map, 1])
  assert.throws(() => encode(map), (error) => error instanceof EtfError && error.code === 'too_deep')
})

test('a long list and a large tuple are written and read, whatever their length', () => {
  const many = Array.from({ length: 300_000 }, (_, index) => index)
  const tuple = new Tuple()
  Object.assign(tuple, { elements: many })
  assert.deepEqual(decode(encode(many)).term, many)
  assert.deepEqual((decode(encode(tuple)).term as Tuple).elements, many)
})
