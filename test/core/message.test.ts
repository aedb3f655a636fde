import assert from 'node:assert/strict'
import { test } from 'node:test'
import { cursorOf, draft, encodedOnce, type Message } from '../../src/core/message.ts'
import { topicFromText } from '../../src/core/topic.ts'

function message(text: string): Message {
  return { ...draft(topicFromText('t'), Buffer.from(text)), offset: 5, epoch: 'e', time: 0 }
}

test('a message is encoded once for each encoding, however many ask', () => {
  const one = message('x')
  let calls = 0
  const encode = (of: Message): Buffer => Buffer.from(`${of.body.toString()}${++calls}`)
  const first = encodedOnce(one, 'a', encode)
  for (let i = 0; i < 10; i++) assert.equal(encodedOnce(one, 'a', encode), first)
  assert.equal(encodedOnce(one, 'b', encode).toString(), 'x2')
  assert.equal(encodedOnce(one, 'a', encode).toString(), 'x1')
  assert.equal(calls, 2)
})

test('messages that look alike are encoded each for itself', () => {
  let calls = 0
  const encode = (): Buffer => Buffer.from([++calls])
  assert.notEqual(encodedOnce(message('x'), 'a', encode), encodedOnce(message('x'), 'a', encode))
})

test('a draft of bytes knows whether they are text', () => {
  assert.equal(draft(topicFromText('t'), Buffer.from('é')).text, true)
  assert.equal(draft(topicFromText('t'), Buffer.from([0xff])).text, false)
  assert.equal(draft(topicFromText('t'), Buffer.alloc(0)).text, true)
  assert.equal(draft(topicFromText('t'), Buffer.alloc(0)).contentType, 'application/octet-stream')
})

test('the cursor of a message is its place', () => {
  assert.deepEqual(cursorOf(message('x')), { epoch: 'e', offset: 5 })
})
