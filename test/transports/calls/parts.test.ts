import assert from 'node:assert/strict'
import type { IncomingMessage } from 'node:http'
import { test } from 'node:test'
import { isServiceName } from '../../../src/core/calls.ts'
import { createOrigins } from '../../../src/http/origin.ts'
import { wantsTerm } from '../../../src/transports/calls/accept.ts'
import { membersOf } from '../../../src/transports/calls/members.ts'
import { originRule } from '../../../src/transports/calls/parts.ts'
import { deadlineOf } from '../../../src/transports/calls/wish.ts'

test('the name of a service has 1 to 255 bytes in UTF-8, and may hold anything that is well-formed', () => {
  for (const name of ['a', 'billing/invoices', '/', '..', 'grüße', 'a b', 'ü'.repeat(127), 'a'.repeat(255)]) assert.equal(isServiceName(name), true, name)
  for (const name of ['', 'a'.repeat(256), 'ü'.repeat(128), '\ud800', 'a\udc00b']) assert.equal(isServiceName(name), false, name)
})

test('an answer is a term when the client wants one more than JSON', () => {
  const term = 'application/x-erlang-term'
  for (const accept of [term, term.toUpperCase(), `${term}, */*`, `*/*, ${term}`, `application/json;q=0.5, ${term}`, `${term}; q=0.2, application/json;q=0.1`, `application/json;q=0, */*`, `text/html, ${term};q=0.1`]) assert.equal(wantsTerm(accept), true, accept)
  for (const accept of [undefined, '', '*/*', 'application/json', 'application/*', 'text/html', `application/json, ${term}`, `${term};q=0`, `${term};q=0.5, */*`, `${term};q=x`, `${term};q=0, */*`]) assert.equal(wantsTerm(accept), false, String(accept))
})

test('a deadline is a number of milliseconds or a time, and has its bounds', () => {
  const bounds = { callTimeout: 5_000, maxCallTimeout: 60_000 }
  const good: [unknown, number][] = [[undefined, 5_000], ['1', 1], [250, 250], ['500ms', 500], ['5s', 5_000], ['1.5s', 1_500], ['0.25s', 250], ['1m', 60_000], ['60000', 60_000], [0.6, 1]]
  for (const [stated, ms] of good) assert.equal(deadlineOf(stated, bounds), ms, String(stated))
  for (const stated of ['', '0', 0, -1, '-5', '+5', '5 s', '5h', 's', '0x10', '1e3', 'NaN', Number.NaN, Infinity, 1e21, null, true, {}, ['5'], '0.0001s', '9'.repeat(400)]) {
    assert.throws(() => deadlineOf(stated, bounds), { code: 'bad_request' }, String(stated))
  }
  for (const stated of ['60001', 60_001, '2m', '999999999999999m']) assert.throws(() => deadlineOf(stated, bounds), { code: 'bad_request', message: /60000 ms at most/ }, String(stated))
})

test('the members of an object are found as their text stands', () => {
  const found = (text: string): unknown => {
    const members = membersOf(text, 3)
    return members === undefined ? undefined : Object.fromEntries(members)
  }
  assert.deepEqual(found('{}'), {})
  assert.deepEqual(found(' { "a" : 1.0 , "b":[1,{"c":"]}\\""}] }\n'), { a: ' 1.0 ', b: '[1,{"c":"]}\\""}] ' })
  assert.deepEqual(found('{"\\u0061":1,"a":2}'), { a: '2' })
  assert.deepEqual(found('{"a":"\\\\","b":"}"}'), { a: '"\\\\"', b: '"}"' })
  for (const text of ['', ' ', '[]', '1', '"a"', '{', '{"a', '{"a"', '{"a":', '{"a":1', '{"a":"', '{"a":"\\', '{"a":1,', '{"a":1,}', '{,}', '{"a":1}x', '{} {}', '{a:1}', '{"a":1]', '{"a" 1}', '{"\\x":1}', '{"a":[1}', '{"a":1,"b":2,"c":3,"d":4}']) assert.equal(found(text), undefined, text)
})

test('what stands between members of a value need not be read to know where it ends', () => {
  const deep = `{"a":${'['.repeat(1_000_000)}${']'.repeat(1_000_000)}}`
  assert.equal(membersOf(deep, 1)?.get('a')?.length, 2_000_000)
})

test('where no origin is stated only pages of the hub itself may call, else those that are stated', () => {
  const asked = (origins: readonly string[]) => (origin: string, host: string | undefined, local = false): boolean =>
    originRule(createOrigins(origins))(origin, { message: { headers: { host } } as IncomingMessage, peer: { local, address: '' } })
  const unstated = asked([])
  for (const local of [true, false]) {
    for (const [origin, host] of [['http://127.0.0.1:8081', '127.0.0.1:8081'], ['http://[::1]:8081', '[::1]:8081'], ['http://localhost:8081', 'localhost:8081']] as const) assert.equal(unstated(origin, host, local), true, origin)
  }
  assert.equal(unstated('https://hub.example', 'HUB.example:443'), true)
  // A name that its owner has made to lead to this machine.
  assert.equal(unstated('http://evil.example:8081', 'evil.example:8081', true), false)
  for (const [origin, host] of [['http://evil.example', '127.0.0.1:8081'], ['http://127.0.0.1:9', '127.0.0.1:8081'], ['null', '127.0.0.1'], ['http://hub.example', undefined], ['null', 'null'], ['x', 'x'], ['file://', '']] as const) assert.equal(unstated(origin, host), false, origin)
  const stated = asked(['https://app.example'])
  assert.equal(stated('https://app.example', 'hub.example'), true)
  assert.equal(stated('https://hub.example', 'hub.example'), false)
})
