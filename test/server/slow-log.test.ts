import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createSlowLog, type SlowLine } from '../../src/server/slow-log.ts'
import { createManualClock } from '../../src/testing/manual-clock.ts'

function open() {
  const clock = createManualClock()
  const lines: SlowLine[] = []
  const log = createSlowLog(clock, (line) => void lines.push({ ...line }))
  return {
    clock,
    lines,
    slow(count: number, topic: string, transport = 'pinghub') {
      for (let i = 0; i < count; i++) log.slow(transport, topic)
    },
  }
}

test('each who is let go has a line, at once', () => {
  const { slow, lines, clock } = open()
  slow(60, 'a')
  assert.equal(lines.length, 60)
  clock.endTurn()
  slow(60, 'a', 'sse')
  assert.deepEqual([lines.length, lines[0], lines[119]], [120, { transport: 'pinghub', topic: 'a' }, { transport: 'sse', topic: 'a' }])
  clock.endTurn()
  assert.equal(lines.length, 120)
})

test('of thousands in one turn some hundred have a line each, and the others one for each topic and transport, with their number', () => {
  const { slow, lines, clock } = open()
  slow(5_000, 'a')
  slow(3, 'a', 'sse')
  slow(7, 'b')
  slow(10, 'a')
  assert.equal(lines.length, 250)
  clock.endTurn()
  assert.deepEqual(lines.slice(250), [
    { transport: 'pinghub', topic: 'a', count: 4_760 },
    { transport: 'sse', topic: 'a', count: 3 },
    { transport: 'pinghub', topic: 'b', count: 7 },
  ])
})

test('of thousands of topics in one turn not each has a line, and the last says how many are left out', () => {
  const { slow, lines, clock } = open()
  for (let i = 0; i < 5_000; i++) slow(2, `topic ${i}`)
  clock.endTurn()
  assert.equal(lines.length, 350)
  assert.equal(lines.reduce((sum, { count = 1, leftOutElsewhere = 0 }) => sum + count + leftOutElsewhere, 0), 10_000)
  assert.ok((lines.at(-1)?.leftOutElsewhere ?? 0) > 0)
})

test('the next turn begins anew', () => {
  const { slow, lines, clock } = open()
  for (let turn = 0; turn < 2; turn++) {
    for (let i = 0; i < 400; i++) slow(1, `topic ${i}`)
    clock.endTurn()
  }
  assert.deepEqual(lines.slice(350), lines.slice(0, 350))
})
