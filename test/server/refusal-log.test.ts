import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createRefusalLog, type RefusalLine } from '../../src/server/refusal-log.ts'
import { createManualClock } from '../../src/testing/manual-clock.ts'

const MINUTE = 60_000

function open() {
  const clock = createManualClock()
  const lines: RefusalLine[] = []
  const log = createRefusalLog(clock, (line) => void lines.push(line))
  return { clock, lines, refused: (address: string, reason = 'forbidden', names: string[] = []) => log.refused(reason, { address, names }) }
}

test('who is turned away again for the same has a line in ten minutes, which says how often he came meanwhile', () => {
  const { refused, lines, clock } = open()
  for (let i = 0; i < 40; i++) refused('10.0.0.1')
  refused('10.0.0.1', 'certificate')
  refused('10.0.0.1', 'forbidden', ['cn:edge'])
  clock.advance(10 * MINUTE)
  refused('10.0.0.1')
  assert.deepEqual(lines, [
    { reason: 'forbidden', address: '10.0.0.1', names: [] },
    { reason: 'certificate', address: '10.0.0.1', names: [] },
    { reason: 'forbidden', address: '10.0.0.1', names: ['cn:edge'] },
    { reason: 'forbidden', address: '10.0.0.1', names: [], leftOut: 39 },
  ])
})

test('of many who come at once most have no line, and a later line says how many', () => {
  const { refused, lines, clock } = open()
  for (let i = 0; i < 1_000; i++) refused(`10.0.${i >> 8}.${i & 255}`)
  // One that had a line comes again, and then never more.
  refused('10.0.0.2')
  assert.equal(lines.length, 100)
  clock.advance(10 * MINUTE)
  refused('10.0.0.1')
  assert.deepEqual(lines.slice(100), [{ reason: 'forbidden', address: '10.0.0.1', names: [], leftOutElsewhere: 901 }])
})

test('what a certificate is called does not make a line long', () => {
  const { refused, lines } = open()
  refused('10.0.0.1', 'forbidden', Array.from({ length: 1_000 }, (_, i) => `dns:${i}${'x'.repeat(1_000)}`))
  assert.ok(JSON.stringify(lines).length < 2_000)
})
