import assert from 'node:assert/strict'
import { test } from 'node:test'
import { hint, nearest } from '../../src/server/nearest.ts'
import { flagName, OPTIONS } from '../../src/server/options.ts'

const KNOWN = ['addr', 'origin', 'maxMessageBytes', 'maxFrameBytes', 'pingInterval', 'tlsCert', 'tlsKey', 'sse']

const cases: [word: string, found: string | undefined][] = [
  ['addr', 'addr'],
  ['adr', 'addr'],
  ['address', undefined],
  ['orgin', 'origin'],
  ['origins', 'origin'],
  ['maxMesageBytes', 'maxMessageBytes'],
  ['maxmessagebytes', 'maxMessageBytes'],
  ['MAXMESSAGEBYTES', 'maxMessageBytes'],
  ['maxFramesBytes', 'maxFrameBytes'],
  ['pingIntreval', 'pingInterval'],
  ['tlscertificate', undefined],
  ['tlsCrt', 'tlsCert'],
  ['sss', 'sse'],
  ['maxMessa', 'maxMessageBytes'],
  ['maxMess', undefined],
  ['tls', undefined],
  ['', undefined],
  ['colour', undefined],
  ['quiteSomethingElse', undefined],
]

for (const [word, found] of cases) {
  test(`${JSON.stringify(word)} is ${found === undefined ? 'like nothing that is known' : `likely to be ${found}`}`, () => assert.equal(nearest(word, KNOWN), found))
}

test('of two that are as near, the first is named; with nothing known, nothing is', () => {
  assert.equal(nearest('aX', ['aB', 'aC']), 'aB')
  assert.equal(nearest('a', []), undefined)
})

test('a hint writes the name the way its place does, or is nothing', () => {
  assert.equal(hint('adr', KNOWN), '; did you mean addr?')
  assert.equal(hint('maxMesageBytes', KNOWN, (name) => `--${flagName(name)}`), '; did you mean --max-message-bytes?')
  assert.equal(hint('nothingLikeIt', KNOWN), '')
})

test('one slip in any option is found again', () => {
  const names = Object.keys(OPTIONS)
  for (const name of names) {
    assert.equal(nearest(name.slice(0, 2) + name.slice(3), names), name, `one letter of ${name} left out`)
    assert.equal(nearest(`${name}s`, names), name, `one letter too many behind ${name}`)
  }
})
