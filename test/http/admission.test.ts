import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createAdmission, type Admission } from '../../src/http/admission.ts'
import { heapUsed } from '../support/memory.ts'

function admitted(admission: Admission, address: string): () => void {
  const place = admission.admit(address)
  assert.equal(typeof place, 'function', `${address} was refused: ${String(place)}`)
  return place as () => void
}

test('all together have a bound, those on this machine included', () => {
  const admission = createAdmission({ total: 3, perAddress: 100 })
  const leave = admitted(admission, '192.0.2.1')
  admitted(admission, '127.0.0.1')
  admitted(admission, 'unix')
  for (const address of ['192.0.2.2', '127.0.0.1', 'unix']) assert.equal(admission.admit(address), 'too_many_connections')
  assert.equal(admission.count, 3)
  leave()
  admitted(admission, '192.0.2.2')
})

test('one address has a bound of its own, and the others notice nothing', () => {
  const admission = createAdmission({ total: 100, perAddress: 2 })
  const leave = admitted(admission, '192.0.2.1')
  admitted(admission, '::ffff:192.0.2.1')
  assert.equal(admission.admit('192.0.2.1'), 'too_many_from_address')
  admitted(admission, '192.0.2.2')
  assert.equal(admission.count, 3, 'one that was refused takes no place')
  leave()
  admitted(admission, '192.0.2.1')
  assert.equal(admission.admit('192.0.2.1'), 'too_many_from_address')
})

test('an IPv6 customer is one, whichever address of the /64 it uses', () => {
  const admission = createAdmission({ total: 100, perAddress: 2 })
  admitted(admission, '2001:db8:0:1::1')
  admitted(admission, '2001:db8:0:1:ffff::2')
  assert.equal(admission.admit('2001:db8:0:1::3'), 'too_many_from_address')
  admitted(admission, '2001:db8:0:2::1')
})

test('this machine and UNIX sockets have no bound of their own', () => {
  const admission = createAdmission({ total: 100, perAddress: 1 })
  for (let i = 0; i < 10; i++) for (const address of ['127.0.0.1', '127.0.0.2', '::1', '::ffff:127.0.0.1', 'unix']) admitted(admission, address)
})

test('a place that is given back twice is given back once', () => {
  const admission = createAdmission({ total: 2, perAddress: 1 })
  const leave = admitted(admission, '192.0.2.1')
  admitted(admission, '192.0.2.2')
  leave()
  leave()
  assert.equal(admission.count, 1)
  admitted(admission, '192.0.2.1')
  leave()
  assert.equal(admission.admit('192.0.2.1'), 'too_many_connections')
  assert.equal(admission.count, 2)
})

test('addresses that could not be told apart count as one', () => {
  const admission = createAdmission({ total: 100, perAddress: 1 })
  admitted(admission, 'unknown')
  assert.equal(admission.admit('unknown'), 'too_many_from_address')
})

test('addresses that come and go leave nothing behind', () => {
  const admission = createAdmission({ total: 10, perAddress: 1 })
  const visit = (i: number): void => admitted(admission, `198.${(i >> 16) & 255}.${(i >> 8) & 255}.${i & 255}`)()
  visit(0)
  const before = heapUsed()
  for (let i = 0; i < 200_000; i++) visit(i)
  const grown = heapUsed() - before
  assert.equal(admission.count, 0)
  assert.ok(grown < 4_000_000, `${grown} bytes more`)
})
