import assert from 'node:assert/strict'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { realClock, realRandom } from '../../src/server/real-world.ts'
import { clockContract, createManualClock, createSeededRandom } from '../../src/testing/index.ts'
import { run } from '../support/process.ts'

clockContract('the clock of the machine', () => ({
  clock: realClock,
  pass: (ms) => new Promise((resolve) => setTimeout(resolve, ms)),
}))

clockContract('the manual clock', () => {
  const clock = createManualClock()
  return { clock, pass: (ms) => clock.advance(ms) }
})

test('a timer of the clock does not keep the process alive', async (t) => {
  const module = fileURLToPath(new URL('../../src/server/real-world.ts', import.meta.url))
  const child = run(t, process.execPath, ['--input-type=module', '-e', `import { realClock } from ${JSON.stringify(module)}; realClock.after(3_600_000, () => {})`])
  assert.deepEqual(await child.exited, { code: 0, signal: null })
})

for (const [name, random] of [['the chance of the machine', realRandom], ['seeded chance', createSeededRandom(3)]] as const) {
  test(`${name} is at least 0, below 1, and spread evenly`, () => {
    const tenths = Array.from({ length: 10 }, () => 0)
    for (let i = 0; i < 20_000; i++) {
      const value = random.next()
      assert.ok(value >= 0 && value < 1)
      const tenth = Math.floor(value * 10)
      tenths[tenth] = (tenths[tenth] as number) + 1
    }
    for (const count of tenths) assert.ok(count > 1_600 && count < 2_400, tenths.join(' '))
  })
}

test('what should have come already comes soon, and nobody is warned of it', async (t) => {
  const warnings: Error[] = []
  const warned = (warning: Error): void => void warnings.push(warning)
  process.on('warning', warned)
  t.after(() => process.off('warning', warned))
  await new Promise<void>((resolve) => {
    const alive = setTimeout(() => {}, 20_000)
    realClock.after(-5, () => {
      clearTimeout(alive)
      resolve()
    })
  })
  await new Promise((resolve) => setImmediate(resolve))
  assert.deepEqual(warnings, [])
})
