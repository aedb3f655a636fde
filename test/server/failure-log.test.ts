import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createFailureLog, type FailureLine } from '../../src/server/failure-log.ts'
import { createManualClock } from '../../src/testing/manual-clock.ts'

function open() {
  const clock = createManualClock()
  const lines: FailureLine[] = []
  const log = createFailureLog(clock, (line) => void lines.push(line))
  return { clock, lines, failed: (id: number, url: string, topic = 't', why = 'refused') => log.failed({ id, url }, topic, why) }
}

test('a line names the host and the registration, and nothing of a url that may be secret', () => {
  const { failed, lines } = open()
  failed(7, 'https://user:word@a.example:8443/hook/SECRET?token=SECRET#SECRET')
  failed(8, 'SECRET')
  assert.deepEqual(lines, [
    { origin: 'https://a.example:8443', registration: 7, topic: 't', why: 'refused' },
    { origin: '(no url)', registration: 8, topic: 't', why: 'refused' },
  ])
})

test('a message with a long topic to fifty dead urls is one short line', () => {
  const { failed, lines } = open()
  for (let i = 0; i < 50; i++) failed(i, `http://127.0.0.1:1/hook/${'p'.repeat(60_000)}`, '\x1b'.repeat(65_535), 'w'.repeat(65_535))
  assert.equal(lines.length, 1)
  assert.equal(lines[0]?.topic, `${'\x1b'.repeat(100)}…`)
  assert.ok(JSON.stringify(lines).length < 1_000)
})

test('a host has a line in ten seconds, and the next says how many had none', () => {
  const { failed, lines, clock } = open()
  for (let i = 0; i < 100; i++) failed(i, 'http://a/')
  failed(200, 'http://b/')
  clock.advance(9_999)
  failed(101, 'http://a/')
  clock.advance(1)
  failed(102, 'http://a/')
  failed(201, 'http://b/')
  clock.advance(10_000)
  failed(103, 'http://a/')
  assert.deepEqual(lines.map(({ registration, leftOut }) => [registration, leftOut]), [[0, undefined], [200, undefined], [102, 100], [201, undefined], [103, undefined]])
})

test('of ever so many hosts some have a line, the others are counted, and nothing is remembered for longer than needed', () => {
  const { failed, lines, clock } = open()
  for (let i = 0; i < 10_000; i++) failed(i, `http://h${i}/`)
  failed(0, 'http://h0/')
  assert.equal(lines.length, 256)
  clock.advance(10_000)
  for (let i = 0; i < 256; i++) failed(i, `http://new${i}/`)
  assert.equal(lines.length, 512)
  assert.equal(lines.reduce((sum, { leftOut = 0, leftOutElsewhere = 0 }) => sum + leftOut + leftOutElsewhere, 0), 10_000 - 256 + 1)
})
