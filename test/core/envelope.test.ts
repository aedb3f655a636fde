import assert from 'node:assert/strict'
import { test } from 'node:test'
import { envelope, gapEnvelope, placeEnvelope } from '../../src/core/envelope.ts'
import type { Message } from '../../src/core/message.ts'
import { topicFromBytes } from '../../src/core/topic.ts'

function message(topic: Buffer, body: Buffer, text: boolean): Message {
  return { topic: topicFromBytes(topic), body, text, contentType: 'text/plain', offset: 7, epoch: 'abc', time: 1_767_225_600_123.4 }
}

test('a text stands in "data", with its place, time, type and topic', () => {
  const json = envelope(message(Buffer.from('news/é'), Buffer.from('"two"\nlines\0'), true))
  assert.deepEqual(JSON.parse(json.toString()), { cursor: 'abc:7', time: 1_767_225_600_123, type: 'text/plain', topic: 'news/é', data: '"two"\nlines\0' })
})

test('a body that is no text stands in "base64"', () => {
  const body = Buffer.from([0xff, 0x00, 0xfe])
  const json = JSON.parse(envelope(message(Buffer.from('t'), body, false)).toString()) as { base64: string; data?: string }
  assert.deepEqual(Buffer.from(json.base64, 'base64'), body)
  assert.equal('data' in json, false)
})

test('a topic that is no text is percent-encoded in "topicUrl"', () => {
  const json = JSON.parse(envelope(message(Buffer.from([0x61, 0x2f, 0xff]), Buffer.from('x'), true)).toString()) as Record<string, unknown>
  assert.equal(json['topicUrl'], 'a/%FF')
  assert.equal('topic' in json, false)
})

test('it has no line end, so that it can stand in a line', () => {
  const json = envelope(message(Buffer.from('a\nb\rc'), Buffer.from('\r\n\u2028'), true)).toString()
  assert.doesNotMatch(json, /[\r\n]/)
})

test('it is made once for a message', () => {
  const one = message(Buffer.from('t'), Buffer.from('x'), true)
  assert.equal(envelope(one), envelope(one))
})

test('a gap and a place are told apart from a message by their keys', () => {
  assert.deepEqual(JSON.parse(gapEnvelope({ epoch: 'a', offset: 1 }, { epoch: 'b', offset: 2 }).toString()), { gap: { from: 'a:1', to: 'b:2' } })
  assert.deepEqual(JSON.parse(placeEnvelope({ epoch: 'a', offset: 0 }).toString()), { cursor: 'a:0' })
})
