import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Version } from '../../../src/protocol/erps/messages.ts'
import { readRequirement, readVersion } from '../../../src/protocol/erps/versions.ts'
import { vectors } from './vectors.ts'

const matches = (version: string, requirement: string): boolean | undefined => readRequirement(requirement)?.matches(readVersion(version) as Version)

test('versions satisfy requirements as they do for the original, and what it cannot read is none', () => {
  assert.equal(vectors.version_rules.length, 47)
  for (const { version, requirement, match, invalid } of vectors.version_rules) {
    assert.equal(matches(version, requirement), invalid === undefined ? match : undefined, `${version} ${requirement}`)
  }
})

test('of a version three numbers reach the wire, each cut to 8 bits', () => {
  for (const [text, major, minor, patch] of [
    ['0.2.4', 0, 2, 4], ['255.255.255', 255, 255, 255], ['256.257.511', 0, 1, 255], ['1.2.3-rc.1', 1, 2, 3], ['1.2.3+build.5', 1, 2, 3], ['1.2.3-a-b+c-d', 1, 2, 3],
    ['0.0.18446744073709551617', 0, 0, 1],
  ] as const) assert.deepEqual(readVersion(text), { major, minor, patch }, text)
})

test('what is no version of SemVer is none', () => {
  for (const text of ['', '1', '1.2', '1.2.3.4', 'v1.2.3', '1.2.x', '01.2.3', '1.02.3', '-1.2.3', '1.2.3-', '1.2.3+', '1.2.3-01', '1.2.3-a..b', ' 1.2.3', '1.2.3 ', '1.2.3\n', '１.2.3']) {
    assert.equal(readVersion(text), undefined, text)
  }
})

test('`and` binds tighter than `or`, in either order', () => {
  const either = '>= 1.0.0 and < 2.0.0 or == 5.0.0 or > 8.0.0 and != 9.0.0'
  const expected = { '0.9.9': false, '1.0.0': true, '1.9.0': true, '2.0.0': false, '5.0.0': true, '5.0.1': false, '8.0.0': false, '8.0.1': true, '9.0.0': false, '9.0.1': true }
  for (const [version, expectation] of Object.entries(expected)) assert.equal(matches(version, either), expectation, version)
})

test('a requirement for what comes before a release is met by the release, and not by its number alone', () => {
  const expected = { '== 1.0.0-rc': false, '!= 1.0.0-rc': true, '> 1.0.0-rc': true, '>= 1.0.0-rc': true, '< 1.0.0-rc': false, '<= 1.0.0-rc': false, '~> 1.0.0-rc': true, '~> 1.0-rc': true }
  for (const [requirement, expectation] of Object.entries(expected)) assert.equal(matches('1.0.0', requirement), expectation, requirement)
  assert.equal(matches('1.1.0', '~> 1.0.0-rc'), false)
  assert.equal(matches('0.9.9', '~> 1.0.0-rc'), false)
  assert.equal(matches('1.0.0', '== 1.0.0+build'), true)
})

test('the three numbers are compared in their order', () => {
  for (const [version, requirement, expectation] of [
    ['1.9.9', '< 2.0.0', true], ['2.0.0', '< 1.9.9', false], ['1.2.0', '> 1.1.9', true], ['0.255.255', '< 1.0.0', true], ['255.0.0', '< 256.0.0', true], ['255.255.255', '> 255.255.254', true],
    ['1.2.3', '>= 1.2.99999999999999999999', false], ['1.3.0', '~> 1.2.3', false], ['1.2.3', '~> 1.2.3', true], ['2.0.0', '~> 1.2', false], ['1.1.9', '~> 1.2', false],
  ] as const) assert.equal(matches(version, requirement), expectation, `${version} ${requirement}`)
})

test('what is no requirement is refused, not read as one', () => {
  for (const text of [
    ' ', 'and', 'or 1.0.0', '1.0.0 and', '1.0.0 or or 1.0.0', '1.0.0 1.0.0', '>= >= 1.0.0', '>=', '=== 1.0.0', '= 1.0.0', '>< 1.0.0', '!! 1.0.0', '~ 1.0.0', '~>1', '== 1.0', '> 1', '1.0.0, 2.0.0',
    '1.0.0 && 2.0.0', '1.0.0 || 2.0.0', '1.0.0 AND 2.0.0', '1.0.0-', '(1.0.0)', '*', '1.0.*', '^1.0.0', '1.0.0and 2.0.0', '1.0.0\n',
  ]) assert.equal(readRequirement(text), undefined, text)
})

test('blanks are free', () => {
  for (const text of ['>=1.0.0', '>= 1.0.0', '  >=   1.0.0  ', '>=1.0.0 and <2.0.0', ' >=  1.0.0   and   <  2.0.0 ', '!0.0.1', '~>1.0']) assert.equal(matches('1.0.0', text), true, text)
})
