import assert from 'node:assert/strict'
import { test } from 'node:test'
import { draft, type Draft, type Message } from '../../src/core/message.ts'
import { draftOfTerm, isJson, termOf } from '../../src/core/term.ts'
import { topicFromText } from '../../src/core/topic.ts'
import { encode } from '../../src/protocol/etf/encode.ts'
import { Atom, BitString, Float, TermMap, Tuple, type Term } from '../../src/protocol/etf/term.ts'

const TOPIC = topicFromText('a')
const ATOMS = new Set(['known'])
const BITS = new BitString(Buffer.of(0x80), 1)
let offset = 0

function message(of: Draft): Message {
  return { ...of, offset: ++offset, epoch: 'e', time: 0 }
}
function shown(term: Term): [body: string, contentType: string, text: boolean, term: string | undefined] {
  const made = draftOfTerm(TOPIC, encode(term))
  assert.equal(made.topic, TOPIC)
  return [made.body.toString('latin1'), made.contentType, made.text, made.term?.toString('hex')]
}
function heard(body: string | Buffer, contentType?: string): string {
  return termOf(message(draft(TOPIC, Buffer.from(body as string), contentType)), ATOMS).toString('hex')
}
function hex(term: Term): string {
  return encode(term).toString('hex')
}

test('a binary is its bytes to everyone, any other term is its JSON and keeps itself beside it', () => {
  assert.deepEqual(shown('hello'), ['hello', 'text/plain; charset=utf-8', true, undefined])
  assert.deepEqual(shown(''), ['', 'text/plain; charset=utf-8', true, undefined])
  assert.deepEqual(shown(Buffer.of(255, 0)), ['\xff\0', 'application/octet-stream', false, undefined])
  const term = new Tuple(new Atom('ok'), [new Float(1), 2])
  assert.deepEqual(shown(term), ['{"$tuple":[{"$atom":"ok"},[1.0,2]]}', 'application/json', true, hex(term)])
})

test('a term whose JSON would be too large, or that has none, is a term to everyone', () => {
  const fits = new Tuple('\0'.repeat(500))
  assert.equal(shown(fits)[1], 'application/json')
  for (const term of [new Tuple('\0'.repeat(1_000)), [10n ** 20_000n]]) {
    const bytes = encode(term)
    assert.deepEqual(shown(term), [bytes.toString('latin1'), 'application/x-erlang-term', false, bytes.toString('hex')])
  }
})

test('a term that takes far more memory than its bytes is not read to be shown', () => {
  const made = draftOfTerm(TOPIC, encode(Array.from({ length: 270_000 }, () => BITS)))
  assert.equal(made.contentType, 'application/x-erlang-term')
})

test('however large a term is, there is a bound to what it may take to be shown', () => {
  const items = Buffer.alloc(9_000_000, 106)
  const head = Buffer.from([131, 108, 0, 0, 0, 0])
  head.writeUInt32BE(items.length, 2)
  const term = Buffer.concat([head, items, Buffer.of(106)])
  assert.equal(draftOfTerm(TOPIC, term).contentType, 'application/x-erlang-term')
  const text = 'x'.repeat(9_000_000)
  assert.equal(draftOfTerm(TOPIC, encode([text])).body.length, text.length + 4)
})

test('how deep a term may be has been judged by whoever took it', () => {
  let deep: Term = []
  for (let i = 0; i < 5_000; i++) deep = [deep]
  const made = draftOfTerm(TOPIC, encode(deep, { maxDepth: 10_000 }))
  assert.equal(made.body.toString(), '['.repeat(5_001) + ']'.repeat(5_001))
})

test('a message is the term that it came as, else what its JSON shows, else a binary', () => {
  const term = new Tuple(new Atom('unknown'), 1)
  assert.equal(termOf(message(draftOfTerm(TOPIC, encode(term))), ATOMS).toString('hex'), hex(term))
  assert.equal(heard('{"a":[1,1.0]}', 'application/json'), hex(new TermMap([['a', [1, new Float(1)]]])))
  assert.equal(heard('{"$tuple":[{"$atom":"known"},{"$atom":"unknown"}]}', 'application/json'), hex(new Tuple(new Atom('known'), 'unknown')))
  assert.equal(heard('"text"', 'Application/LD+JSON; charset=utf-8'), hex('text'))
  assert.equal(heard('{"a":1}', 'text/plain'), hex('{"a":1}'))
  assert.equal(heard('{"a":1}'), hex('{"a":1}'))
  for (const text of ['', '{"a":', '1e999', '"\\ud800"', '\ufeff1']) assert.equal(heard(text, 'application/json'), hex(text), text)
  assert.equal(heard(Buffer.of(0x22, 0xff, 0x22), 'application/json'), hex(Buffer.of(0x22, 0xff, 0x22)), 'no UTF-8, so no JSON')
  assert.equal(heard('\x83h\x00', 'application/x-erlang-term'), hex('\x83h\x00'), 'a client only says so')
})

test('the term of a message is made once for those who know the same atoms', () => {
  const json = message(draft(TOPIC, Buffer.from('{"$atom":"known"}'), 'application/json'))
  const known = termOf(json, ATOMS)
  assert.equal(termOf(json, ATOMS), known)
  assert.deepEqual(termOf(json, new Set()), encode('known'))
  assert.deepEqual(termOf(json, new Set(['known'])), encode(new Atom('known')))
  assert.equal(termOf(json, ATOMS), known)
})

test('JSON is known by its media type, whatever its case and parameters', () => {
  for (const type of ['application/json', 'application/json; charset=utf-8', 'APPLICATION/JSON', 'application/json ;x=y', 'application/vnd.api+json', 'application/problem+json;a=b', 'application/a+b+json']) assert.ok(isJson(type), type)
  for (const type of ['', 'json', 'text/json', 'application/jsonp', 'application/json-seq', 'application/jsonx+xml', 'application/octet-stream', 'application/+json', 'application/x;y=+json', 'xapplication/json', 'application/x-erlang-term', 'application/a b+json']) assert.ok(!isJson(type), type)
})
