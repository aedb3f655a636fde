import assert from 'node:assert/strict'
import { test } from 'node:test'
import { addressSet, countedAddress, isLocalAddress, isLoopback, parseAddress, plainAddress, type ListenAddress } from '../../src/http/address.ts'

const good: [text: string, address: ListenAddress, local: boolean][] = [
  [':8081', { host: undefined, port: 8081 }, false],
  [':0', { host: undefined, port: 0 }, false],
  ['127.0.0.1:8081', { host: '127.0.0.1', port: 8081 }, true],
  ['127.9.9.9:1', { host: '127.9.9.9', port: 1 }, true],
  ['0.0.0.0:8081', { host: '0.0.0.0', port: 8081 }, false],
  ['localhost:65535', { host: 'localhost', port: 65_535 }, true],
  ['hub.example.com:80', { host: 'hub.example.com', port: 80 }, false],
  ['[::1]:8081', { host: '::1', port: 8081 }, true],
  ['[::]:8081', { host: '::', port: 8081 }, false],
  ['[2001:db8::1]:8081', { host: '2001:db8::1', port: 8081 }, false],
  ['[::ffff:127.0.0.1]:80', { host: '::ffff:127.0.0.1', port: 80 }, true],
  ['/run/hub.sock', { path: '/run/hub.sock' }, true],
]

for (const [text, address, local] of good) {
  test(`${text} is an address that ${local ? 'only this machine' : 'others'} can reach`, () => {
    assert.deepEqual(parseAddress(text), address)
    assert.equal(isLocalAddress(address), local)
  })
}

for (const text of ['', '8081', 'localhost', '127.0.0.1', 'a:b', 'a:', ':', '::1:8081', '[::1]', '[::1]8081', '[zz]:1', 'a b:1', 'host:-1', 'host:1.5', 'host:123456', 'run/hub.sock', './hub.sock', 'http://hub:80']) {
  test(`${JSON.stringify(text)} is no address, and the reason says what to write`, () => {
    const reason = parseAddress(text)
    assert.equal(typeof reason, 'string')
    assert.ok((reason as string).includes(`"${text}"`))
    assert.match(reason as string, /host:port|65535/)
  })
}

test('a port above 65535 is none', () => assert.match(String(parseAddress('h:65536')), /above 65535/))

test('loopback is 127.0.0.0/8 and ::1, also IPv4 inside IPv6', () => {
  for (const address of ['127.0.0.1', '127.255.255.255', '::1', '0:0:0:0:0:0:0:1', '::ffff:127.0.0.1', '::ffff:7f00:1']) assert.equal(isLoopback(address), true, address)
  for (const address of ['128.0.0.1', '10.0.0.1', '::2', '::', '::ffff:10.0.0.1', 'localhost', 'unix', '', 'fe80::1']) assert.equal(isLoopback(address), false, address)
})

test('IPv4 is counted as it is, in whatever dress, IPv6 by its /64', () => {
  assert.equal(countedAddress('192.0.2.1'), '192.0.2.1')
  assert.equal(countedAddress('::ffff:192.0.2.1'), '192.0.2.1')
  assert.equal(countedAddress('2001:db8:1:2:3:4:5:6'), countedAddress('2001:db8:1:2::9'))
  assert.notEqual(countedAddress('2001:db8:1:2::9'), countedAddress('2001:db8:1:3::9'))
  assert.notEqual(countedAddress('2001:db8:1:23::9'), countedAddress('2001:db8:12:3::9'))
  assert.equal(countedAddress('unknown'), 'unknown')
})

const hops: [hop: string, address: string][] = [
  ['192.0.2.1', '192.0.2.1'],
  [' 192.0.2.1 ', '192.0.2.1'],
  ['192.0.2.1:4711', '192.0.2.1'],
  ['2001:db8::1', '2001:db8::1'],
  ['[2001:db8::1]', '2001:db8::1'],
  ['[2001:db8::1]:4711', '2001:db8::1'],
  ['unknown', 'unknown'],
  ['_hidden', 'unknown'],
  ['', 'unknown'],
  ['hub.example.com', 'unknown'],
  ['192.0.2.1 192.0.2.2', 'unknown'],
  ['999.0.0.1', 'unknown'],
]

for (const [hop, address] of hops) {
  test(`the hop ${JSON.stringify(hop)} is ${address}`, () => assert.equal(plainAddress(hop), address))
}

test('a set holds single addresses and ranges, of both families, in whatever dress they come', () => {
  const set = addressSet(['192.0.2.1', '10.0.0.0/8', '2001:db8::/32', '::1', '198.51.100.77/24'])
  for (const address of ['192.0.2.1', '::ffff:192.0.2.1', '10.255.0.1', '::ffff:10.1.2.3', '2001:db8:ffff::1', '::1', '198.51.100.1']) assert.equal(set.has(address), true, address)
  for (const address of ['192.0.2.2', '11.0.0.1', '2001:db9::1', '::2', '198.51.101.1', 'unix', 'unknown', '', '10.0.0.0/8']) assert.equal(set.has(address), false, address)
  assert.equal(addressSet([]).has('127.0.0.1'), false)
})

for (const text of ['', 'localhost', '10.0.0.0/33', '10.0.0.0/', '2001:db8::/129', '10.0.0.0/-1', 'a/8', '*']) {
  test(`${JSON.stringify(text)} is neither an address nor a range`, () => {
    assert.throws(() => addressSet(['192.0.2.1', text]), (error: unknown) => error instanceof RangeError && error.message.startsWith(`"${text}"`))
  })
}
