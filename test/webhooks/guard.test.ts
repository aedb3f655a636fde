import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createGuard, type Guard, type GuardOptions } from '../../src/webhooks/guard.ts'
import { parseTarget, type Target } from '../../src/webhooks/target.ts'

function guard(options: Partial<GuardOptions> = {}): Guard {
  return createGuard({ allow: [], allowPrivate: 'no', own: () => [], machine: () => [], ...options })
}

function registers(url: string, options: Partial<GuardOptions> = {}): boolean {
  const target = parseTarget(url)
  assert.notEqual(typeof target, 'string', url)
  return guard(options).forbidsTarget(target as Target) === undefined
}

const open = ['1.1.1.1', '8.8.8.8', '9.255.255.255', '11.0.0.0', '100.63.255.255', '100.128.0.0', '128.0.0.1', '172.15.255.255', '172.32.0.0', '169.253.255.255', '192.167.255.255', '192.169.0.0', '198.17.255.255', '198.20.0.0', '223.255.255.255', '168.63.129.15', '2606:4700::1111', '2a00:1450::1', '2001:4860:4860::8888', '2001:200::1', '2003::1', '3ffe::1']

/** Each range by its first and last address. */
const refused: Record<string, string[]> = {
  'an unspecified address': ['0.0.0.0', '::'],
  'an address of "this network"': ['0.0.0.1', '0.255.255.255'],
  'a loopback address': ['127.0.0.0', '127.0.0.1', '127.255.255.255', '::1', '0:0:0:0:0:0:0:1', '::0001'],
  'a private address': ['10.0.0.0', '10.255.255.255', '172.16.0.0', '172.31.255.255', '192.168.0.0', '192.168.255.255'],
  'a shared address': ['100.64.0.0', '100.127.255.255'],
  'a link-local address': ['169.254.0.0', '169.254.255.255', 'fe80::', 'febf:ffff::1'],
  'a site-local address': ['fec0::', 'feff::1'],
  'a unique local address': ['fc00::', 'fd12:3456::1', 'fdff:ffff::1'],
  'a documentation address': ['192.0.2.0', '192.0.2.255', '198.51.100.1', '203.0.113.255', '2001:db8::', '2001:db8:ffff::1', '3fff::1', '3fff:fff:ffff::'],
  'a benchmarking address': ['198.18.0.0', '198.19.255.255', '2001:2::1'],
  'a multicast address': ['224.0.0.0', '239.255.255.255', 'ff00::', 'ff02::1', 'ffff::1'],
  'the broadcast address': ['255.255.255.255'],
  'a reserved address': ['240.0.0.0', '255.255.255.254', '192.0.0.0', '192.0.0.255'],
  'an IPv4-mapped address': ['::ffff:127.0.0.1', '::ffff:7f00:1', '::FFFF:8.8.8.8', '0:0:0:0:0:ffff:a00:1'],
  'an IPv4-translated address': ['::ffff:0:127.0.0.1', '::ffff:0:808:808'],
  'an IPv4-compatible address': ['::127.0.0.1', '::7f00:1', '::8.8.8.8', '::2'],
  'a NAT64 address': ['64:ff9b::', '64:ff9b::127.0.0.1', '64:ff9b::ffff:ffff', '64:ff9b:1::', '64:ff9b:1:ffff::1'],
  'a 6to4 address': ['2002::', '2002:7f00:1::', '2002:ffff::1', '192.88.99.1'],
  'a Teredo address': ['2001::', '2001:0:4136:e378:8000:63bf:3fff:fdd2', '2001:0:ffff::1'],
  'an ORCHID address': ['2001:10::', '2001:1f::1', '2001:20::', '2001:2f:ffff::1'],
  'a discard address': ['100::', '100::ffff:ffff:ffff:ffff'],
  'an ISATAP address': ['2606:4700::5efe:10.0.0.1', '2606:4700::200:5efe:8.8.8.8'],
  'an address of the IETF': ['2001:1::1', '2001:30::1', '2001:1ff::1'],
  'an address of a service of the network': ['192.31.196.1', '192.52.193.1', '192.175.48.1', '2620:4f:8000::1'],
  'no global unicast address': ['100:0:0:1::', '64:ff9b:2::1', '1::1', '200::1', '4000::1', '5f00::1', 'fe00::1', 'fbff::1'],
  'a metadata address of a cloud': ['169.254.169.254', 'fd00:ec2::254', 'fd00:0ec2:0::0:254', '100.100.100.200', '168.63.129.16', '192.0.0.192', '169.254.170.2', '169.254.170.23', '169.254.42.42', 'fd00:ec2::23', 'fd00:42::42', 'fd20:ce::254', '::ffff:169.254.169.254', '64:ff9b::a9fe:a9fe', '2002:a9fe:a9fe::1', '::ffff:168.63.129.16'],
  'no plain IP address': ['', 'localhost', 'a.example', '0x7f.1', '2130706433', '127.1', '0177.0.0.1', '[::1]', 'fe80::1%eth0', '::1%lo', '8.8.8.8%1', '2606:4700::1%1', '1.1.1.1 ', '1.1.1.1/32', '１.1.1.1', '::ffff:1.2.3', '1.2.3.4.5'],
}

test('addresses on the open internet are not forbidden, also those next to a refused range', () => {
  for (const address of open) assert.equal(guard().forbids(address, 80), undefined, address)
})

for (const [what, addresses] of Object.entries(refused)) {
  test(`${what} is forbidden, and the reason says so`, () => {
    for (const address of addresses) assert.equal(guard().forbids(address, 81), `${address} port 81 is ${what}`)
  })
}

test('allowPrivate opens loopback, private and unique local addresses, and no others', () => {
  const opened = ['a loopback address', 'a private address', 'a unique local address']
  for (const [what, addresses] of Object.entries(refused)) {
    for (const address of addresses) assert.equal(guard({ allowPrivate: 'yes' }).forbids(address, 80) === undefined, opened.includes(what), `${address}: ${what}`)
  }
})

const allowed: [allow: string, opens: string[], closed: string[]][] = [
  ['127.0.0.2', ['127.0.0.2', '::ffff:127.0.0.2', '::ffff:7f00:2'], ['127.0.0.1', '127.0.0.3', '::1', '::127.0.0.2', '64:ff9b::7f00:2', '2002:7f00:2::']],
  ['127.0.0.2/32', ['127.0.0.2'], ['127.0.0.1']],
  ['10.1.2.3/8', ['10.0.0.0', '10.255.255.255'], ['11.0.0.0.', '192.168.0.1', '127.0.0.1']],
  ['::1', ['::1'], ['127.0.0.1', '::', '::2']],
  ['fe80::/10', ['fe80::1'], ['fe80::1%eth0', 'fec0::1']],
  ['64:ff9b::/96', ['64:ff9b::808:808'], ['64:ff9b:1::1', '127.0.0.1', '64:ff9b::a9fe:a9fe']],
  ['::ffff:10.0.0.1', ['::ffff:10.0.0.1'], ['10.0.0.1', '::ffff:10.0.0.2']],
  ['169.254.169.254', ['169.254.169.254', '::ffff:169.254.169.254'], ['169.254.169.253', '169.254.170.2']],
  ['169.254.0.0/16', ['169.254.1.1'], ['169.254.169.254']],
  ['0.0.0.0/0', ['127.0.0.1', '8.8.8.8', '255.255.255.255'], ['169.254.169.254', '168.63.129.16', '::1']],
  ['fd00::/8', ['fd00::1'], ['fd00:ec2::254', 'fc00::1']],
]

for (const [allow, opens, closed] of allowed) {
  test(`allow ${allow} opens what it names, and nothing beside`, () => {
    const it = guard({ allow: [allow] })
    for (const address of opens) assert.equal(it.forbids(address, 80), undefined, address)
    for (const address of closed) assert.notEqual(it.forbids(address, 80), undefined, address)
    assert.equal(it.forbids('8.8.8.8', 80), undefined)
  })
}

for (const text of ['', 'localhost', 'a.example', '10.0.0.0/33', '::/129', '10.0.0.0/', '10.0.0.0/x', '10', '0x7f.1', 'fe80::1%eth0', '10.0.0.0/8/8', '*']) {
  test(`allow ${JSON.stringify(text)} is an error that names it`, () => {
    assert.throws(() => guard({ allow: ['::1', text] }), (error: unknown) => error instanceof RangeError && error.message.startsWith(`"${text}"`))
  })
}

const EVERYTHING = { allowPrivate: 'yes', allow: ['0.0.0.0/0', '::/0', '127.0.0.1', '::1', '8.8.8.8'], machine: () => ['192.168.7.7', '8.8.8.8', 'fe80::7%eth0', '2606:4700::7'] } as const

for (const address of [undefined, '', '::', '0.0.0.0', 'not-yet-known']) {
  test(`a listener of the hub on ${JSON.stringify(address)} is on every address of this machine, and closed whatever is allowed`, () => {
    const it = guard({ ...EVERYTHING, own: () => [{ address, port: 3003 }] })
    for (const here of ['127.0.0.1', '127.8.8.8', '::1', '0.0.0.0', '::', '192.168.7.7', '8.8.8.8', '2606:4700::7', 'fe80::7', '::ffff:127.0.0.1', '::ffff:8.8.8.8', '::127.0.0.1', '64:ff9b::808:808', '2002:808:808::1', '64:ff9b:1:808:8:800:0:1', '2001:0:1:1:0:0:f7f7:f7f7', '2606::5efe:808:808']) {
      assert.equal(it.forbids(here, 3003), `${here} port 3003 is the hub itself`)
      assert.notEqual(it.forbids(here, 3004), `${here} port 3004 is the hub itself`)
    }
    for (const other of ['127.0.0.1', '192.168.7.7', '8.8.8.8', '::1']) assert.equal(it.forbids(other, 3004), undefined)
    for (const elsewhere of ['192.168.7.8', '9.9.9.9', '2606:4700::8']) assert.equal(it.forbids(elsewhere, 3003), undefined)
  })
}

test('a listener of the hub on one address is closed there and at the unspecified address, not on others', () => {
  const it = guard({ ...EVERYTHING, own: () => [{ address: '127.0.0.1', port: 3003 }, { address: '::ffff:192.168.7.7', port: 3004 }, { address: 'fe80::7%eth0', port: 3005 }] })
  for (const [address, port] of [['127.0.0.1', 3003], ['::ffff:127.0.0.1', 3003], ['0.0.0.0', 3003], ['::', 3003], ['192.168.7.7', 3004], ['fe80::7', 3005]] as const) assert.match(String(it.forbids(address, port)), /hub itself/, address)
  for (const [address, port] of [['127.0.0.2', 3003], ['192.168.7.7', 3003], ['127.0.0.1', 3004], ['::1', 3003]] as const) assert.equal(it.forbids(address, port), undefined, address)
})

test('listeners are asked for at every check', () => {
  const listeners: { address: string; port: number }[] = []
  const it = guard({ allowPrivate: 'yes', own: () => listeners })
  assert.equal(it.forbids('127.0.0.1', 9), undefined)
  listeners.push({ address: '127.0.0.1', port: 9 })
  assert.match(String(it.forbids('127.0.0.1', 9)), /hub itself/)
})

test('a url may be registered when its literal address is open, and names are not resolved', () => {
  for (const url of ['http://a.example/', 'https://8.8.8.8:1/', 'http://[2606:4700::1]/', 'http://localhost.example/', 'http://notlocalhost/', 'http://internal.example/', 'http://127.0.0.1.example/', 'http://mylocal/']) assert.equal(registers(url), true, url)
  for (const host of ['127.0.0.1', '0x7f.1', '0177.1', '2130706433', '127.1', '127.0.0.1.', '%31%32%37.0.0.1', '１２７.０.０.１', '127。0。0。1', '[::1]', '[::ffff:7f00:1]', '[::ffff:127.0.0.1]', '0', '0x0', '10.1', '169.254.169.254', '0xa9fea9fe', '[fd00:ec2::254]', '[2002:7f00:1::]', 'a@127.0.0.1', '8.8.8.8@[::1]']) {
    assert.equal(registers(`http://${host}/`), false, host)
    assert.equal(registers(`https://${host}:8443/x`), false, host)
  }
})

test('names that can only be inside may be registered where the inside has been opened', () => {
  for (const name of ['localhost', 'LOCALHOST', 'localhost.', 'a.localhost', 'a.b.LocalHost.', 'ｌocalhost']) {
    assert.equal(registers(`http://${name}:80/`), false, name)
    assert.equal(registers(`http://${name}:80/`, { allow: ['10.0.0.0/8'] }), false, name)
    for (const options of [{ allowPrivate: 'yes' }, { allow: ['127.0.0.0/8'] }, { allow: ['::1'] }] as const) assert.equal(registers(`http://${name}:80/`, options), true, name)
  }
  for (const name of ['printer.local', 'metadata.google.internal', 'internal', 'nas.home.arpa.', 'localhost.localdomain']) {
    assert.equal(registers(`http://${name}/`), false, name)
    for (const options of [{ allowPrivate: 'yes' }, { allow: ['10.0.0.0/8'] }] as const) assert.equal(registers(`http://${name}/`, options), true, name)
  }
})

test('localhost with the port of the hub itself may not be registered', () => {
  const own = (): { address: string; port: number }[] => [{ address: '127.0.0.1', port: 3003 }]
  assert.equal(registers('http://localhost:3003/', { allowPrivate: 'yes', own }), false)
  assert.equal(registers('http://localhost:3004/', { allowPrivate: 'yes', own }), true)
})
