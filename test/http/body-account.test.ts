import assert from 'node:assert/strict'
import { test } from 'node:test'
import { clientOf, createBodyAccount, NO_CLIENT } from '../../src/http/body-account.ts'

test('one client has its share, all together have the whole, and what is given back may be taken again', () => {
  const account = createBodyAccount(100, 40)
  assert.deepEqual([account.take('a', 40), account.take('a', 1), account.take('b', 40), account.take('c', 21), account.take('c', 20)], [true, false, true, false, true])
  account.give('a', 40)
  assert.deepEqual([account.take('c', 21), account.take('c', 20), account.take('a', 20), account.take('a', 1)], [false, true, true, false])
})

test('clients on this machine have no share of their own; others have one for each address, IPv6 for each /64', () => {
  const account = createBodyAccount(100, 10)
  assert.equal(account.take(NO_CLIENT, 100), true)
  assert.deepEqual(['unix', '127.0.0.1', '::1'].map(clientOf), [NO_CLIENT, NO_CLIENT, NO_CLIENT])
  assert.equal(clientOf('2001:db8:1:2::3'), clientOf('2001:db8:1:2:ffff::'))
  assert.notEqual(clientOf('203.0.113.1'), clientOf('203.0.113.2'))
})
