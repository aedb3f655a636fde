import assert from 'node:assert/strict'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { run } from '../support/process.ts'
import { report, simulate } from './simulate.ts'

const MAIN = fileURLToPath(new URL('./main.ts', import.meta.url))
const WORLDS = 1_000

test(`in ${WORLDS} worlds everything holds that was promised`, async (t) => {
  const start = performance.now()
  let published = 0
  let heard = 0
  for (let seed = 1; seed <= WORLDS; seed++) {
    const outcome = await simulate(seed)
    assert.equal(outcome.breach, undefined, report(outcome))
    published += outcome.published
    heard += outcome.heard
  }
  t.diagnostic(`${published} published, ${heard} heard, in ${Math.round(performance.now() - start)} ms`)
  // Worlds in which nothing happens keep every promise.
  assert.ok(published > 100 * WORLDS && heard > 50 * WORLDS)
})

test('the same seed gives the same world, whatever was played before it', async () => {
  const forth = []
  for (let seed = 1; seed <= 20; seed++) forth.push((await simulate(seed)).hash)
  const back = []
  for (let seed = 20; seed >= 1; seed--) back.unshift((await simulate(seed)).hash)
  assert.deepEqual(back, forth)
  assert.equal(new Set(forth).size, 20, 'and another seed another')
})

test('the same seed gives the same world in another process', async (t) => {
  const { hash, trace } = await simulate(42)
  const child = run(t, process.execPath, [MAIN, '--seed', '42'])
  assert.deepEqual(await child.exited, { code: 0, signal: null })
  const lines = child.stdout().trimEnd().split('\n')
  assert.equal(lines.at(-1), `trace ${hash}`)
  assert.equal(lines.at(-2), 'seed 42: everything holds')
  assert.deepEqual(lines.slice(0, -2), trace)
})

test('the command runs as many worlds as it is asked to, and says how they went', async (t) => {
  const child = run(t, process.execPath, [MAIN, '--seeds', '3', '--from', '77'])
  assert.deepEqual(await child.exited, { code: 0, signal: null })
  assert.match(child.stdout(), /^3 worlds from seed 77 in [\d.]+ s: \d+ published, \d+ heard, 0 failed\n$/)
})

test('the command says what is wrong with its options', async (t) => {
  const child = run(t, process.execPath, [MAIN, '--seeds', 'many'])
  assert.deepEqual(await child.exited, { code: 2, signal: null })
  assert.equal(child.stderr(), '--seeds takes a whole number, not "many"\n')
})
