import assert from 'node:assert/strict'
import { test } from 'node:test'
import { topicFromBytes, topicFromText } from '../../../src/core/topic.ts'
import { parseTarget } from '../../../src/transports/wspubsub/target.ts'

const sub = (topic: string) => ({ role: 'subscriber', topic: topicFromText(topic) })

test('a publisher names a key, a domain and a topic, a subscriber a domain and a topic', () => {
  assert.deepEqual(parseTarget('/ws/pub/k/acme/prices'), { role: 'publisher', key: 'k', domain: 'acme', topic: 'acme/prices' })
  assert.deepEqual(parseTarget('/ws/sub/acme/prices'), sub('acme/prices'))
})

test('whatever is not below /ws/pub or /ws/sub is somebody else\'s, and letter case counts', () => {
  for (const path of ['/', '/ws', '/ws/', '/ws/foo/a/b', '/ws/pubs/k/a/b', '/WS/sub/a/b', '/ws/SUB/a/b', '/ws//sub/a/b', '//ws/sub/a/b', '/x/../ws/sub/a/b', '/ws%2Fsub/a/b', '/ws/sub%2Fa/b', '', 'ws/sub/a/b', '*', '/wsx/sub/a/b']) {
    assert.equal(parseTarget(path), undefined, path)
  }
})

test('the words of the route may be escaped, as every segment may', () => {
  assert.deepEqual(parseTarget('/%77s/%73%75%62/acme/prices'), sub('acme/prices'))
})

test('another number of segments is none, with or without the slash at the end', () => {
  const wrong = ['/ws/pub', '/ws/pub/', '/ws/sub', '/ws/sub/', '/ws/sub/a', '/ws/sub/a/', '/ws/sub/a/b/c', '/ws/sub//a/b', '/ws/sub/a//b', '/ws/pub/k/a', '/ws/pub/k/a/', '/ws/pub/k/a/b/c', '/ws/pub/a/b', '/ws/sub/a/b//']
  for (const path of wrong) assert.equal(parseTarget(path), 404, path)
})

test('one slash at the end does not count; two make an empty name', () => {
  assert.deepEqual(parseTarget('/ws/sub/a/b/'), sub('a/b'))
  assert.deepEqual(parseTarget('/ws/sub/a//'), sub('a/'))
  assert.deepEqual(parseTarget('/ws/sub//b'), sub('/b'))
  assert.deepEqual(parseTarget('/ws/sub///'), sub('/'))
  assert.deepEqual(parseTarget('/ws/pub//a/b'), { role: 'publisher', key: '', domain: 'a', topic: 'a/b' })
})

test('a segment is decoded once, by itself: an escaped slash stays inside, a plus is a space', () => {
  for (const path of ['/ws/sub/d/a%2Fb+c', '/ws/sub/d/a%2fb%20c']) assert.deepEqual(parseTarget(path), sub('d/a/b c'))
  assert.deepEqual(parseTarget('/ws/sub/d/%252F%2B'), sub('d/%2F+'))
  assert.deepEqual(parseTarget('/ws/pub/k+1/d/t'), { role: 'publisher', key: 'k 1', domain: 'd', topic: 'd/t' })
})

test('dots are names like any other', () => {
  assert.deepEqual(parseTarget('/ws/sub/../..'), sub('../..'))
  assert.deepEqual(parseTarget('/ws/sub/./%2E%2E/'), sub('./..'))
})

test('names are bytes: what is no UTF-8 stays apart from what is', () => {
  const topic = topicFromBytes(Buffer.from([0x64, 0x2f, 0xff]))
  assert.deepEqual(parseTarget('/ws/sub/d/%FF'), { role: 'subscriber', topic })
  assert.deepEqual(parseTarget('/ws/sub/d/\xff'), { role: 'subscriber', topic })
  assert.deepEqual(parseTarget('/ws/sub/d/%C3%BF'), sub('d/ÿ'))
  assert.deepEqual(parseTarget('/ws/sub/d/%00'), sub('d/\0'))
})

test('a domain with a slash, and a percent sign without two hex digits, are refused', () => {
  for (const path of ['/ws/sub/a%2Fb/c', '/ws/pub/k/a%2fb/c', '/ws/sub/a%/c', '/ws/sub/a/%4', '/ws/sub/a/%zz', '/ws/pub/%/a/b']) assert.equal(parseTarget(path), 400, path)
})
