import assert from 'node:assert/strict'
import { test } from 'node:test'
import { formatSecrets, parseSecrets, type StatedScheme } from '../../../src/protocol/lonelyps/secrets.ts'
import { hex, vectors } from './vectors.ts'

const HMAC: StatedScheme = { type: 'hmac', secret: vectors.keys.to_broadcaster_secret }
const TOKEN: StatedScheme = { type: 'token', secret: vectors.keys.to_subscriber_secret }
const NONE: StatedScheme = { type: 'none' }

test('a secrets file has the bytes that the setup of the original writes', () => {
  assert.equal(formatSecrets({ toBroadcaster: HMAC, toSubscriber: TOKEN }), `{
  "version": "2",
  "to-broadcaster": {
    "type": "hmac",
    "secret": "${vectors.keys.to_broadcaster_secret}"
  },
  "to-subscriber": {
    "type": "token",
    "secret": "${vectors.keys.to_subscriber_secret}"
  }
}
`)
  assert.equal(formatSecrets({ toBroadcaster: NONE, toSubscriber: NONE }), '{\n  "version": "2"\n}\n')
})

test('a secrets file says the same when it is read back, in all nine combinations', () => {
  const read = (stated: StatedScheme): object => (stated.type === 'hmac' ? { type: 'hmac', key: hex(vectors.keys.to_broadcaster_key_hex) } : stated)
  const schemes = [NONE, HMAC, TOKEN]
  for (const toBroadcaster of schemes) {
    for (const toSubscriber of schemes) {
      assert.deepEqual(parseSecrets(formatSecrets({ toBroadcaster, toSubscriber })), { toBroadcaster: read(toBroadcaster), toSubscriber: read(toSubscriber) })
    }
  }
})

test('a secret stands in the file as it was stated, padding and all', () => {
  const secret = `${vectors.keys.to_broadcaster_secret}==`
  assert.ok(formatSecrets({ toBroadcaster: { type: 'hmac', secret }, toSubscriber: NONE }).includes(`"secret": "${secret}"`))
})

test('what is no secrets file is told in a sentence that holds nothing of it', () => {
  const file = (members: object): string => JSON.stringify({ version: '2', ...members })
  for (const text of [
    '', 'QX7', '"QX7"', 'null', '[]', '{"version": "2", "to-broadcaster": QX7', '{}', '{"version": 2}', '{"version": "1"}', file({ 'to-broadcaster': null }), file({ 'to-subscriber': 'QX7' }),
    file({ 'to-broadcaster': ['QX7'] }), file({ 'to-broadcaster': { type: 'QX7', secret: 'QX7' } }), file({ 'to-broadcaster': { type: 'none' } }), file({ 'to-subscriber': { type: 'token' } }),
    file({ 'to-subscriber': { type: 'token', secret: 7 } }), file({ 'to-subscriber': { type: 'token', secret: 'QX7\n' } }), file({ 'to-subscriber': { type: 'hmac', secret: 'QX7' } }),
  ]) {
    const said = parseSecrets(text)
    assert.ok(typeof said === 'string', text)
    assert.doesNotMatch(said, /QX7/)
  }
})
