import assert from 'node:assert/strict'
import { globSync } from 'node:fs'
import { basename, join } from 'node:path'
import { suite, test } from 'node:test'
import { run } from '../support/process.ts'

/*
 * Each file in faults/ runs one contract suite against something sound, and against the same with one fault at a time. A
 * suite that lets a fault by is worth nothing to those who plug in.
 */
const folder = join(import.meta.dirname, 'faults')

suite('the contract suites', { concurrency: true }, () => {
  for (const file of globSync('*.ts', { cwd: folder })) {
    test(`the contract of ${basename(file, '.ts')} lets by what is sound, and catches every fault`, async (t) => {
      // Without the variable that tells a test file it is one, so that it reports by itself.
      const child = run(t, process.execPath, ['--test-reporter=tap', join(folder, file)], { env: { NODE_TEST_CONTEXT: undefined } })
      await child.exited
      const suites = [...child.stdout().matchAll(/^(not ok|ok) \d+ - (.*), as an? /gm)].map(([, outcome, name]) => [name as string, outcome === 'ok'] as const)
      assert.deepEqual(suites.filter(([, passed]) => passed).map(([name]) => name), ['sound'], child.stdout())
      assert.ok(suites.length > 10, `${suites.length} suites have run`)
    })
  }
})
