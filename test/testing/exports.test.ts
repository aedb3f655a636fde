import assert from 'node:assert/strict'
import { join } from 'node:path'
import { test } from 'node:test'
import * as testing from '../../src/testing/index.ts'
import { run } from '../support/process.ts'

test('what is for those who plug in is found under waystation/testing, and outside a test file it runs nothing', async (t) => {
  const code = "import * as testing from 'waystation/testing'; console.log(JSON.stringify(Object.keys(testing)))"
  const child = run(t, process.execPath, ['--conditions=waystation/source', '--input-type=module', '-e', code], { cwd: join(import.meta.dirname, '../..'), env: { NODE_TEST_CONTEXT: undefined } })
  assert.deepEqual(await child.exited, { code: 0, signal: null }, child.stderr())
  assert.deepEqual((JSON.parse(child.stdout()) as string[]).sort(), Object.keys(testing).sort())
  for (const seam of ['clock', 'log', 'registry', 'sink', 'subscriber', 'transport']) assert.ok(Object.hasOwn(testing, `${seam}Contract`))
})
