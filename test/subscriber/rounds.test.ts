import assert from 'node:assert/strict'
import { test } from 'node:test'
import { WaystationError } from '../../src/core/errors.ts'
import { createRounds, TryAgain } from '../../src/subscriber/rounds.ts'
import { createManualClock } from '../../src/testing/manual-clock.ts'

const broadcasters = [{ url: 'late', priority: 1 }, { url: 'a', priority: 0 }, { url: 'b', priority: 0 }]

function open(chances: readonly number[] = []) {
  const clock = createManualClock()
  const stopping = new AbortController()
  let held = 0
  const left = [...chances]
  const rounds = createRounds({
    broadcasters, rounds: 3, clock, stopped: stopping.signal,
    random: { next: () => left.shift() ?? 0.5 },
    hold: () => {
      held++
      return () => void held--
    },
  })
  const tried: string[] = []
  const run = rounds.run(async (base) => {
    tried.push(`${base} ${clock.monotonic()}`)
    throw new TryAgain(new WaystationError('unreachable', base))
  })
  run.catch(() => {})
  return { clock, run, tried, stopping, held: () => held }
}

test('every broadcaster once a round, by priority and then by chance, and before round k a sleep of 2^(k-1) and a random second', async () => {
  const { clock, run, tried, held } = open([0.1, 0.9, 0.2, 0.25, 0, 0.3, 0.1, 0.75])
  await clock.settle()
  assert.deepEqual(tried.splice(0), ['b 0', 'a 0', 'late 0'])
  clock.advance(1_249)
  await clock.settle()
  assert.deepEqual([tried.length, held()], [0, 1])
  clock.advance(1)
  await clock.settle()
  assert.deepEqual(tried.splice(0), ['b 1250', 'a 1250', 'late 1250'])
  clock.advance(2_750)
  await clock.settle()
  assert.equal(tried.length, 3)
  await assert.rejects(run, { code: 'unreachable', detail: 'late' })
  assert.deepEqual([clock.timers, held()], [0, 0])
})

test('stopping ends the sleep, and an error of another kind ends it all', async () => {
  const { clock, run, stopping, held } = open()
  await clock.settle()
  stopping.abort()
  await assert.rejects(run, { code: 'stopped' })
  assert.deepEqual([clock.timers, held()], [0, 0])
  const rounds = createRounds({ broadcasters, rounds: 3, clock, stopped: new AbortController().signal, random: { next: () => 0 }, hold: () => () => {} })
  let attempts = 0
  await assert.rejects(rounds.run(async () => {
    attempts++
    throw new WaystationError('bad_request')
  }), { code: 'bad_request' })
  assert.equal(attempts, 1)
})
