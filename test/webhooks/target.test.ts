import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createSeededRandom } from '../../src/testing/seeded-random.ts'
import { parseTarget, type Target } from '../../src/webhooks/target.ts'

function read(url: string): Target {
  const target = parseTarget(url)
  assert.ok(typeof target !== 'string', `${url}: ${String(target)}`)
  return target
}

const good: [url: string, origin: string, hostname: string, port: number, host: string, path: string, signed?: string][] = [
  ['http://a.example/v1/receive', 'http://a.example', 'a.example', 80, 'a.example', '/v1/receive'],
  ['https://a.example', 'https://a.example', 'a.example', 443, 'a.example', '/'],
  ['https://a.example?x=1', 'https://a.example', 'a.example', 443, 'a.example', '/?x=1'],
  ['http://a.example:8080/', 'http://a.example:8080', 'a.example', 8080, 'a.example:8080', '/'],
  ['HTTP://A.Example:80/Path?Q=%2f', 'http://a.example', 'a.example', 80, 'A.Example:80', '/Path?Q=%2f'],
  ['https://a.example:0443/', 'https://a.example', 'a.example', 443, 'a.example:0443', '/'],
  ['http://a.example./', 'http://a.example.', 'a.example.', 80, 'a.example.', '/'],
  ['http://[2606:4700::1]:81/x', 'http://[2606:4700::1]:81', '2606:4700::1', 81, '[2606:4700::1]:81', '/x'],
  ['http://[::FFFF:127.0.0.1]/', 'http://[::ffff:7f00:1]', '::ffff:7f00:1', 80, '[::FFFF:127.0.0.1]', '/'],
  ['http://0x7f.1/', 'http://127.0.0.1', '127.0.0.1', 80, '0x7f.1', '/'],
  ['http://2130706433/', 'http://127.0.0.1', '127.0.0.1', 80, '2130706433', '/'],
  ['http://%31%32%37.0.0.1/', 'http://127.0.0.1', '127.0.0.1', 80, '127.0.0.1', '/'],
  ['http://bücher.example:81/', 'http://xn--bcher-kva.example:81', 'xn--bcher-kva.example', 81, 'xn--bcher-kva.example:81', '/'],
  ['http://a.example/b/../c//d/./', 'http://a.example', 'a.example', 80, 'a.example', '/b/../c//d/./'],
  ['http://a.example//evil.example/', 'http://a.example', 'a.example', 80, 'a.example', '//evil.example/'],
  ['http://a.example/é b?ü', 'http://a.example', 'a.example', 80, 'a.example', '/%C3%A9%20b?%C3%BC'],
  ['http://a.example/b?', 'http://a.example', 'a.example', 80, 'a.example', '/b?'],
  ['http://a.example\\@evil.example/', 'http://a.example', 'a.example', 80, 'a.example', '/@evil.example/'],
  ['http://a.example/x?y#z', 'http://a.example', 'a.example', 80, 'a.example', '/x?y', 'http://a.example/x?y'],
  ['http://a.example#/x?y', 'http://a.example', 'a.example', 80, 'a.example', '/', 'http://a.example'],
  ['http://user:pass@a.example:81/x', 'http://a.example:81', 'a.example', 81, 'a.example:81', '/x', 'http://a.example:81/x'],
  ['http://b.example@a.example/', 'http://a.example', 'a.example', 80, 'a.example', '/', 'http://a.example/'],
  ['http://u@b.example@a.example/', 'http://a.example', 'a.example', 80, 'a.example', '/', 'http://a.example/'],
]

for (const [url, origin, hostname, port, host, path, signed = url] of good) {
  test(`${url} is called at ${origin}, with Host ${host} and path ${path}`, () => {
    assert.deepEqual(read(url), { origin, hostname, port, host, path, signed })
  })
}

const bad = [
  '', 'a.example', '/x', '//a.example/', 'ftp://a.example/', 'file:///etc/passwd', 'unix:/run/a.sock', 'javascript:1', 'ws://a.example/', 'http:a.example', 'http:/a.example', 'http://', 'http:///a.example/',
  'http://\\a.example/', 'http://?x', 'http://#x', 'http://user@/', 'http://:80/', 'http://a.example:65536/', 'http://a.example:-1/', 'http://a.example:x/', 'http://a.example:0/', 'http://[::1/', 'http://[fe80::1%25eth0]/',
  'http://[fe80::1%eth0]/', 'http://a b/', 'http://1.2.3.4.5/', 'http://256.0.0.1/', ' http://a.example/', 'http://a.example/ ', 'http://a.example/\r\nX: y', 'http://a.example\r\n/', 'http://a.example/\tb', 'http://a.\nexample/',
  'http://a.example/\0', 'http://a.example/\x7f', 'http://a.example/\x85', 'http://a.example/#\n', 'http://a\r\n@a.example/', 'http://a.example/\ud800', 'view-source:http://a.example/', 'http+unix://a/',
]

for (const url of bad) {
  test(`${JSON.stringify(url)} cannot be called, and the sentence that says so does not repeat it`, () => {
    const reason = parseTarget(url)
    assert.equal(typeof reason, 'string')
    assert.match(reason as string, /^the url /)
    assert.ok(url.length < 8 || !(reason as string).includes(url))
  })
}

test('whatever stands in a url, what is sent is printable ASCII without blanks, and means what the url means', () => {
  const random = createSeededRandom(7)
  const bits = ['http://', 'https://', 'HTTP://', 'a', 'b.example', '127.0.0.1', '0x7f.1', '[::1]', ':', '80', '@', '/', '\\', '?', '#', '%', '%0d%0a', '%2e', '..', '\r', '\n', ' ', 'é', 'ß', '\u{1f600}', '\ud800', '"', '<', '|', '[', ']', ';', '\0', '．', '。', '⁄', 'ﬃ']
  let called = 0
  for (let i = 0; i < 20_000; i++) {
    const url = random.pick(bits.slice(0, 3)) + Array.from({ length: random.below(8) }, () => random.pick(bits)).join('')
    const target = parseTarget(url)
    if (typeof target === 'string') continue
    called++
    const whole = new URL(url)
    const scheme = whole.protocol
    assert.match(target.host, /^[\x21-\x7e]+$/, url)
    assert.match(target.path, /^\/[\x21-\x7e]*$/, url)
    assert.equal(new URL(`${scheme}//${target.host}/`).origin, whole.origin, url)
    const rebuilt = new URL(`${scheme}//${target.host}${target.path}`)
    assert.equal(rebuilt.pathname + rebuilt.search, whole.pathname + whole.search, url)
    assert.equal(target.origin, whole.origin, url)
    assert.ok(!target.signed.includes('#') && !/[\p{Cc}]/u.test(target.signed), url)
  }
  assert.ok(called > 1_000, `${called} urls could be called`)
})
