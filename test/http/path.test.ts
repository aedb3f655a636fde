import assert from 'node:assert/strict'
import { posix } from 'node:path'
import { test } from 'node:test'
import { decodePath, splitTarget } from '../../src/http/path.ts'
import { createSeededRandom } from '../../src/testing/index.ts'

/** pinghub, section 2.2: where each request target is sent on to; none when it is served as it is. */
const canonical: [target: string, location: string | undefined][] = [
  ['/', undefined],
  ['/a', undefined],
  ['/a/b', undefined],
  ['/a/', undefined],
  ['/a/b/', undefined],
  ['/a%2Fb', undefined],
  ['/...', undefined],
  ['/.a/..b/c.', undefined],
  ['/%00', undefined],
  ['/a+b', undefined],
  ['/caf%C3%A9', undefined],
  ['//', '/'],
  ['///', '/'],
  ['/..', '/'],
  ['/.', '/'],
  ['/./', '/'],
  ['/../../', '/'],
  ['/a/..', '/'],
  ['/a/../', '/'],
  ['//a', '/a'],
  ['/a//b', '/a/b'],
  ['/a/./b', '/a/b'],
  ['/a%2F%2Fb', '/a/b'],
  ['/a/../b', '/b'],
  ['/%2e%2e/b', '/b'],
  ['/%2E/b', '/b'],
  ['/a/b/..', '/a'],
  ['/a/b/../', '/a/'],
  ['/a/b/.', '/a/b'],
  ['/a//', '/a/'],
  ['/../../etc/passwd', '/etc/passwd'],
  ['/a/../../../b', '/b'],
  ['/a//caf%C3%A9', '/a/caf%C3%A9'],
  ['//%ff', '/%FF'],
  ['//a%20b%22%3C%3E', '/a%20b%22%3C%3E'],
  ['//a!b*c(d)', '/a%21b%2Ac%28d%29'],
  ['//a$b&c+d,e:f;g=h@i', '/a$b&c+d,e:f;g=h@i'],
  ['//a%0d%0aSet-Cookie:x', '/a%0D%0ASet-Cookie:x'],
  ['//a%3Fb%23c%25d', '/a%3Fb%23c%25d'],
  ['*', '/%2A'],
]

for (const [target, location] of canonical) {
  test(`${target} ${location === undefined ? 'is canonical' : `has its canonical form at ${location}`}`, () => {
    const path = decodePath(splitTarget(target).raw)
    assert.ok(path !== undefined)
    assert.equal(path.canonical, location)
  })
}

const decoded: [raw: string, text: string | undefined][] = [
  ['/m1', '/m1'],
  ['/%6d1', '/m1'],
  ['/M1', '/M1'],
  ['/a%2Fb', '/a/b'],
  ['/a+b', '/a+b'],
  ['/a%20b', '/a b'],
  ['/%00', '/\0'],
  ['/caf%C3%A9', '/café'],
  ['/caf%c3%a9', '/café'],
  ['/%F0%9F%98%80', '/😀'],
  ['/%EF%BB%BFbom', '/\ufeffbom'],
  ['/%25', '/%'],
  ['/%2525', '/%25'],
  ['/%ff', undefined],
  ['/%C3', undefined],
  ['/%ED%A0%80', undefined],
  ['/%C0%AF', undefined],
]

for (const [raw, text] of decoded) {
  test(`${raw} ${text === undefined ? 'is no text' : `names ${JSON.stringify(text)}`}`, () => assert.equal(decodePath(raw)?.text, text))
}

for (const raw of ['/%', '/a%', '/%4', '/%zz', '/%4g', '/%%41', '/a%2', '/a/../%x']) {
  test(`${raw} is no path: a percent sign wants two hex digits`, () => assert.equal(decodePath(raw), undefined))
}

const targets: [target: string, raw: string, query: string][] = [
  ['/a', '/a', ''],
  ['/a?', '/a', '?'],
  ['/a?b=c', '/a', '?b=c'],
  ['/a?b?c', '/a', '?b?c'],
  ['/a%3Fb', '/a%3Fb', ''],
  ['/?q', '/', '?q'],
  ['//a?q=1', '//a', '?q=1'],
  ['http://hub/a?b', '/a', '?b'],
  ['HTTPS://user@hub:8081/a/b', '/a/b', ''],
  ['http://hub', '/', ''],
  ['http://hub?q', '/', '?q'],
  ['/http://hub/a', '/http://hub/a', ''],
  ['*', '*', ''],
]

for (const [target, raw, query] of targets) {
  test(`the target ${target} has the path ${raw} and the query ${query || '(none)'}`, () => assert.deepEqual(splitTarget(target), { raw, query }))
}

test('any path has the canonical form that file paths have, and that form has no other', () => {
  const random = createSeededRandom(3)
  for (let i = 0; i < 20_000; i++) {
    const path = '/' + Array.from({ length: random.below(8) }, () => random.pick(['a', 'bc', '.', '..', '', '...', '.a', 'a..', 'é'])).join('/')
    const encoded = path.replace(/[^/]/gu, (sign) => (random.below(3) === 0 || sign > '~' ? encodeURIComponent(sign).replace('.', '%2E') : sign))
    const read = decodePath(encoded)
    assert.ok(read !== undefined)
    assert.equal(read.text, path)
    const clean = posix.normalize(path)
    if (clean === path) assert.equal(read.canonical, undefined, path)
    else {
      assert.ok(read.canonical !== undefined, `${path} should go to ${clean}`)
      const again = decodePath(read.canonical)
      assert.deepEqual(again, { text: clean, canonical: undefined }, path)
    }
  }
})

test('a Location never begins with two slashes, which a browser would take for another host', () => {
  for (const target of ['//evil.example', '///evil.example/x', '/.//evil.example', '/a/..//evil.example', '/%2F%2Fevil.example', '/\\/evil.example']) {
    assert.doesNotMatch(decodePath(target)?.canonical ?? '/', /^\/[/\\]/)
  }
})
