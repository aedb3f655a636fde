import assert from 'node:assert/strict'
import { test } from 'node:test'
import { encode } from '../../src/protocol/etf/encode.ts'
import { EtfError, ExternalFunction, Float, Pid, TermMap, Tuple, type Term } from '../../src/protocol/etf/term.ts'
import { createValues, decodeOptionsOf, type JsonValue, type ValuesOptions } from '../../src/services/values.ts'
import { scan } from '../../src/protocol/etf/scan.ts'
import { atom, bare, unbare } from './recorded-connection.ts'

const options = { atoms: new Set(['ping']), safety: 'strict', maxDepth: 20, maxBytes: 1_000 } as const
const terms = (more: Partial<ValuesOptions<'terms'>> = {}) => createValues({ ...options, as: 'terms', ...more })
const json = (more: Partial<ValuesOptions<'json'>> = {}) => createValues({ ...options, as: 'json', ...more })
const fault = (code: EtfError['code']) => (error: unknown): boolean => error instanceof EtfError && error.code === code

test('as terms everything goes through as it is, and a text is a binary', () => {
  for (const term of [0, 2n ** 64n, new Float(1), null, true, atom('ping'), atom('ok'), [1, [2]], new Tuple(1, new TermMap([[1, 2]])), new Pid('nonode@nohost', 1, 2, 3)] satisfies Term[]) {
    assert.deepEqual(terms().read(bare(term)), term)
    assert.deepEqual(unbare(terms().write(term)), term)
  }
  assert.deepEqual(terms().read(bare('text')), Uint8Array.from(Buffer.from('text')))
  assert.deepEqual(terms().write('text'), bare(Buffer.from('text')))
})

test('what is read does not keep the packet that it came in', () => {
  const packet = Buffer.alloc(1_000_000)
  const part = bare(Buffer.from('kept'))
  part.copy(packet, 500)
  const read = terms().read(packet.subarray(500, 500 + part.length)) as Uint8Array
  packet.fill(0)
  assert.equal(Buffer.from(read).toString(), 'kept')
})

test('atoms that were not declared, functions and ports go neither way, unless everything is wanted', () => {
  const call = new ExternalFunction('ok', 'ping', 1)
  for (const term of [atom('boom'), new Tuple(1, [atom('boom')]), new Pid('elsewhere@host', 1, 2, 3), call] satisfies Term[]) {
    assert.throws(() => terms().read(bare(term)), fault('badarg'))
    assert.throws(() => terms().write(term), fault('badarg'))
    assert.throws(() => scan(encode(term), decodeOptionsOf(options)), fault('badarg'))
    const any = { ...options, safety: 'any' } as const
    assert.deepEqual(terms(any).read(bare(term)), term)
    assert.deepEqual(terms(any).write(term), bare(term))
    scan(encode(term), decodeOptionsOf(any))
  }
})

test('what is too large or too deep is not written', () => {
  let deep: Term = []
  for (let i = 0; i < 30; i++) deep = [deep]
  const within: Term[] = []
  within.push(within)
  assert.throws(() => terms().write(deep), fault('too_deep'))
  assert.throws(() => terms().write(within), fault('too_deep'))
  assert.throws(() => terms({ safety: 'any' }).write(deep), fault('too_deep'))
  for (const values of [terms(), json()]) {
    assert.throws(() => values.write('x'.repeat(1_000) as never), fault('too_large'))
    assert.ok(values.write('x'.repeat(900) as never))
  }
})

test('as JSON values are plain, and become the terms that they show', () => {
  const pairs: [JsonValue, Term][] = [
    [{ name: 'a', list: [1, 2.5, null, true] }, new TermMap([['name', 'a'], ['list', [1, new Float(2.5), null, true]]])],
    ['text', 'text'],
    [[], []],
    [{ $tuple: [{ $atom: 'ping' }, 1] }, new Tuple(atom('ping'), 1)],
  ]
  for (const [value, term] of pairs) {
    assert.deepEqual(json().read(bare(term)), value)
    assert.deepEqual(unbare(json().write(value)), term)
  }
})

test('what is no JSON, or no term, is an error of one kind', () => {
  const circle: JsonValue[] = []
  circle.push(circle)
  for (const value of [undefined, () => 1, Symbol('x'), 1n, circle, '\ud800']) assert.throws(() => json().write(value as never), EtfError, String(typeof value))
  assert.throws(() => json({ safety: 'any' }).read(bare(new ExternalFunction('m', 'f', 1))), fault('badarg'))
  assert.throws(() => json().read(bare(atom('boom'))), fault('badarg'))
  assert.throws(() => terms().write({ plain: 'object' } as never), EtfError)
  assert.throws(() => terms().write(undefined as never), EtfError)
})
