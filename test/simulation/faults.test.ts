import assert from 'node:assert/strict'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { run } from '../support/process.ts'
import { FAULTS } from './faults.ts'
import { partsWith, type Fault } from './planting.ts'
import { PROMISES } from './promises.ts'
import { report, simulate } from './simulate.ts'

const MAIN = fileURLToPath(new URL('./main.ts', import.meta.url))
const WORLDS = 1_000
/** The test runner takes a rejection that is left alone for a failure of the test: such a fault has a process of its own. */
const APART = 'no rejection is left alone'

test('for every promise there is a fault that breaks it', () => {
  assert.deepEqual(PROMISES.filter((promise) => !Object.values(FAULTS).some(({ breaks }) => breaks === promise)), [])
})

for (const [name, fault] of Object.entries<Fault>(FAULTS)) {
  if (fault.breaks === APART) continue
  test(`caught: ${name}`, async (t) => {
    const parts = await partsWith(name, fault)
    for (let seed = 1; seed <= WORLDS; seed++) {
      const { breach } = await simulate(seed, parts)
      if (breach?.promise === fault.breaks) return t.diagnostic(`by seed ${seed}: ${breach.promise}`)
    }
    assert.fail(`in ${WORLDS} worlds nobody noticed that ${fault.breaks}`)
  })
}

for (const [name, { breaks }] of Object.entries<Fault>(FAULTS)) {
  if (breaks !== APART) continue
  test(`caught by the command: ${name}`, async (t) => {
    const child = run(t, process.execPath, [MAIN, '--seeds', `${WORLDS}`, '--fault', name])
    assert.deepEqual(await child.exited, { code: 1, signal: null }, child.stdout())
    assert.match(child.stdout(), new RegExp(`^seed \\d+ breaks: ${breaks}$`, 'm'))
  })
}

test('a failure names the seed, the promise and what led to it, and comes again from the seed alone', async () => {
  const name = 'a fan-out drops the last message of a large turn'
  const parts = await partsWith(name, FAULTS[name])
  let seed = 1
  while ((await simulate(seed, parts)).breach?.promise !== 'there is no hole') seed++
  const text = report(await simulate(seed, parts))
  const [first, second, ...rest] = text.split('\n')
  assert.equal(first, `seed ${seed} breaks: there is no hole`)
  assert.match(second ?? '', /^ {2}client \d, connected at step \d+: m\d+ at \d+ came, and m\d+ at \d+ had not$/)
  assert.match(rest.join('\n'), /\n {4}\d+ @\d+ client \d .* connects /)
  assert.equal(rest.at(-1), `  repeat it: npm run simulate -- --seed ${seed}`)
  assert.equal((await simulate(seed)).breach, undefined, 'and the sound hub stays sound beside it')
})

test('a fault whose text is no longer there is an error, not one that is caught', async () => {
  const fault: Fault = { file: 'log.ts', edits: [['no such text', '']], breaks: 'there is no hole' }
  await assert.rejects(partsWith('of nothing', fault), /the fault cannot be planted: src\/core\/log\.ts has not one, but 0 of: no such text/)
})
